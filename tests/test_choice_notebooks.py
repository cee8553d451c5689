"The notebooks `compare`, `curve`, `shift` and `rank` from start to end, on small networks with random weights."
import json, re
from pathlib import Path

import nbformat, pandas as pd, pytest

from upgradeability import write_report
from upgradeability.evaluation import verify

TWO = "timm:test_resnet?random, timm:test_vit?random"
RUNS = {
    "compare": (dict(models=TWO, n_train=100, margin=.5, incumbent="timm:test_efficientnet?random"), ["leads with", "Replacing `test_efficientnet.r160_in1k?random=0` by", "**go**"],
                ["groups", "differences", "flips", "broken", "calibration", "cost", "findings"]),
    "curve": (dict(models=TWO, sizes="20, 40, 80, 160", seeds="0, 1"), ["needs about", "cross"], ["curve", "gap", "labels"]),
    "shift": (dict(models=TWO, shifts="noise, rotation?strength=2", strengths="1, 4", protocols="linear_probe", n_train=100), ["shifted sets", "against its own test set"], ["changes", "strengths", "line", "classes", "shifted"]),
    "rank": (dict(models=f"{TWO}, timm:test_efficientnet?random", budget=20., check=True, n_train=300), ["comes first", "Weighted τ", "seconds were spent"], ["ranking", "rungs", "spent", "check"]),
}

@pytest.fixture(scope="module", params=RUNS)
def run(request, tmp_path_factory):
    folder, (parameters, says, pictures) = tmp_path_factory.mktemp(request.param), RUNS[request.param]
    path = write_report(request.param, folder/"out.ipynb", task="digits", out_dir=str(folder/"runs"), dtype="float32", **parameters)
    return request.param, Path(path), folder/"runs", says, pictures

def outputs(path): return [o for c in nbformat.read(path, as_version=4).cells for o in c.get("outputs", [])]

def test_verdict_pictures_and_provenance(run):
    name, path, out_dir, says, pictures = run
    text = "\n".join("".join(o.get("data", {}).get("text/markdown", "")) for o in outputs(path))
    assert [s for s in says if s not in text] == [], text
    assert {p.stem for p in out_dir.glob("*.svg")} == {p.stem for p in out_dir.glob("*.png")} and {p.stem for p in out_dir.glob("*.png")} >= set(pictures) - {"broken", "findings"}
    assert [o["text"] for o in outputs(path) if o.get("name") == "stderr"] == []
    assert json.loads((out_dir/"provenance.json").read_text())["tried"] >= 3

def test_the_page_is_self_contained(run):
    page = run[1].with_suffix(".html").read_text()
    links = re.findall(r'(?:src|href)="(?!data:)([^"#]+)"', page)
    tables = {"runs/results.csv", "runs/ranking.csv"} if run[0] == "rank" else {"runs/results.csv"}
    assert set(links) == tables | {"runs/provenance.json"}
    assert len(links) == len(set(links))
    assert "<script" not in page and page.count('role="img"') >= 3

def test_every_figure_can_be_recomputed(run):
    name, _, out_dir, _, _ = run
    if name == "rank": assert json.loads((out_dir/"plan.json").read_text())["steps"] and len(pd.read_csv(out_dir/"ranking.csv")) == 3
    assert verify(out_dir).empty

@pytest.mark.parametrize("name, wrong, says", [("compare", dict(incumbent="resnet5O"), "Did you mean 'resnet50'"), ("curve", dict(sizes="20, many"), "sizes|n_train|many"), ("rank", dict(models="test_resnetx"), "Unknown model")])
def test_wrong_values_are_said_before_anything_is_computed(name, wrong, says, tmp_path):
    with pytest.raises(RuntimeError, match=says): write_report(name, tmp_path/"out.ipynb", task="digits", out_dir=str(tmp_path/"runs"), **{"models": TWO, **wrong})
    assert not list(tmp_path.glob("runs/predictions/*"))
