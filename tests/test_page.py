"The head of a report, its page, and what is said where something could not be run."
import re

import matplotlib.pyplot as plt, nbformat, numpy as np, pandas as pd, pytest
from bs4 import BeautifulSoup
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from torch import nn

from upgradeability import METRICS, MODELS, PROTOCOLS, TASKS, evaluate, learning_curve, read_results
from upgradeability.cards import head_compare, head_curve, head_eval, plain_name
from upgradeability.comparisons import rank_groups
from upgradeability.core import NothingToReport, progress, short_number
from upgradeability.curves import _at_edge
from upgradeability.draw import EMPTY, gallery, STYLE
from upgradeability.kinds.classification import plot_per_class
from upgradeability.metrics import Predictions
from upgradeability.report import _is_figure, show_costs, show_table, to_html
from upgradeability.verdicts import opponents, test_predictions as predictions_of, upgrade_of, verdict, verdict_compare, verdict_curve, verdict_rank

def data(n=90):
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(n, 6)).astype(np.float32), np.arange(n) % 3
    x[:, 0] += 2 * y
    return x[:60], y[:60], x[60:], y[60:]

def net(seed=0):
    import torch
    torch.manual_seed(seed)
    return nn.Linear(6, 4)

class Broken(nn.Linear):
    def forward(self, x): raise RuntimeError("the third layer is missing")

@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")

@pytest.fixture(scope="module")
def df(tmp_path_factory): return evaluate(net(), data(), protocols=["knn", "linear_probe"], n_train=30, out_dir=tmp_path_factory.mktemp("page")/"run")

@pytest.fixture(scope="module")
def partly(tmp_path_factory):
    "Three models, of which the second cannot be run."
    models = [net(), Broken(6, 4), net(1)]
    return evaluate(models, data(), protocols="linear_probe", out_dir=tmp_path_factory.mktemp("partly")/"run")

# ---- what could not be run

def test_all_failed_is_an_error_after_the_table(tmp_path):
    with pytest.raises(NothingToReport, match="the third layer is missing"): evaluate(Broken(6, 4), data(), out_dir=tmp_path/"run")
    stored = read_results(tmp_path/"run")
    assert stored.error.str.contains("third layer").sum() == 2 and stored.test.notna().tolist() == [True, False, False]

@pytest.mark.parametrize("given, match", [
    (dict(device="gpu"), "Unknown device 'gpu'"), (dict(device="cuda:x"), "device"), (dict(device="mps"), "no such device"), (dict(n_train=5000), "more than the 60"), (dict(n_train=[4000, 5000]), "n_train=4000")])
def test_what_fails_everywhere_is_said_before_anything_runs(given, match, tmp_path, monkeypatch):
    monkeypatch.setattr("upgradeability.evaluation.load_backbone", None)
    with pytest.raises(ValueError, match=match): evaluate("bundled:efficientnet_lite0", data(), out_dir=tmp_path/"run", **given)
    assert not (tmp_path/"run").exists()

def test_errors_come_first(partly):
    assert verdict(partly).startswith("- Error: `linear_probe` on `Broken")
    assert show_table(partly)["error"].iloc[0] and not show_table(partly)["error"].iloc[1:].any()
    assert repr(partly).splitlines()[1].count("third layer") == 1
    assert pd.read_csv(f"{partly.out_dir}/results.csv").key.fillna("").tolist() == partly.key.tolist()

def test_compare_names_what_is_missing(partly):
    tests = predictions_of(partly, "linear_probe")
    groups = rank_groups(tests)
    old, new = opponents(tests, groups, None, partly)
    upgrade = upgrade_of(tests, old, new)
    said = verdict_compare(groups, upgrade, old, new, partly)
    assert said.startswith("**1 of 3 models could not be run:**") and "third layer" in said.partition("leads")[0] and "all others" not in said
    assert re.search(r"accuracy 0\.\d+ \[.*\] on 30 test examples of `arrays:", said)
    assert "▼ could not be run: 1 of 3" in head_compare(partly, groups, upgrade, old, new).text
    with pytest.raises(NothingToReport, match="The model in use could not be run"): opponents(tests, groups, partly.model.unique()[1], partly)

def test_a_lone_survivor_is_compared_with_nothing(partly):
    two = partly[partly.model != partly.model.iloc[-1]]
    tests = predictions_of(two, "linear_probe")
    groups = rank_groups(tests)
    old, new = opponents(tests, groups, None, two)
    said = verdict_compare(groups, upgrade_of(tests, old, new), old, new, two)
    assert "1 of 2 models could not be run" in said and "nothing was compared" in said and "better than" not in said.partition("compared")[0]

def test_a_curve_names_the_sizes_that_are_missing(tmp_path):
    curve = learning_curve(net(), data(), sizes=[10, 20, 40, 500], seeds=[0], n_boot=20, out_dir=tmp_path)
    first = verdict_curve(curve).splitlines()[0]
    assert first.startswith("- Error") and "500 labels" in first
    assert head_curve(curve).text.splitlines()[1].startswith("▼ could not be run: 2 of 8")

def test_a_ranking_names_what_is_missing():
    ranked = pd.DataFrame(dict(rank=[1, np.nan], model=["a", "c"], score=[.8, np.nan], rung=[0, np.nan], p_best=[1., np.nan], examples=[128, np.nan], status=["reached the last rung", "OSError: no weights"]))
    ranked.attrs = dict(spent=30., budget=60., saved=.8, remark="", steps=[dict(rung=0, seconds=12.)], settings=dict(task="digits"))
    said = verdict_rank(ranked)
    assert said.startswith("**1 of 2 models could not be run:**") and said.index("no weights") < said.index("comes first")
    assert "on 128 training examples of `digits`" in said and "(18 on loading and trying the models, 12 on rung 1)" in said

# ---- verdicts

def test_an_unchecked_pretraining_is_said(df):
    assert "was not checked:** add `random_probe` to the protocols" in verdict(df)
    assert "not checked (add random_probe to the protocols)" in head_eval(df).text
    row = df[df.protocol == "linear_probe"].copy()
    assert "not checked" not in verdict(row.assign(model="timm:vit?random=0"))
    control = row.assign(protocol="random_probe", test=np.nan, error="ValueError: no init", key="")
    failed = pd.concat([row, control], ignore_index=True)
    failed.attrs = {}
    assert "the control on random weights could not be run" in verdict(failed) and "was not checked" not in verdict(failed)

@pytest.mark.parametrize("law, says", [([.1, .5, .5], ""), ([.1, .5, 2.], "do not extrapolate"), ([.1, .5, .02], "do not extrapolate"), ([.1, 0., .5], "flat"), ([np.nan] * 3, "")])
def test_a_degenerate_law_is_not_trusted(law, says): assert says in _at_edge(law) and bool(_at_edge(law)) == bool(says)

def curve_of(points, **summary):
    "A made-up curve of a model and its control."
    from upgradeability.curves import Curve
    rows = [dict(model=m, n_train=n, train=1., test=t, test_low=t - .1, test_high=t + .1, upgradeability=t - 1, origin=origin, n_seeds=1) for m, n, t, origin in points]
    known = dict(label_efficiency=np.nan, efficiency_low=np.nan, efficiency_high=np.nan, at=100, smallest=50, has_learned=True, labels_to_95_of_best=np.nan, remark="", trusted=True)
    return Curve.of(pd.DataFrame(rows), metric="accuracy", crossings=[], kinds={"t": "classification"}, summary=[known | dict(model=m, best=.6) | summary for m in dict.fromkeys(m for m, *_ in points)])

def test_twice_the_labels_and_a_control_that_wins():
    points = [("net", 50, .5, "measured"), ("net", 100, .6, "measured"), ("net", 200, .65, "extrapolated"), ("net?random=0", 50, .55, "measured"), ("net?random=0", 100, .61, "measured")]
    said = verdict_curve(curve_of(points))
    assert "Twice as many labels would give about 0.650 [0.550, 0.750] (+0.050)" in said and "**Random weights are ahead at every size:** `net` gains nothing" in said
    assert "Twice" not in verdict_curve(curve_of(points, trusted=False))
    points[-1] = ("net?random=0", 100, .59, "measured")
    assert "ahead at every size" not in verdict_curve(curve_of(points))

# ---- the head

def test_titles_are_short():
    assert plain_name("csv:/data/banking77/train.csv?text=text&label=category") == "banking77"
    assert plain_name("folder:pics/pets/") == "pets" and plain_name("bundled:minilm") == "minilm" and plain_name("timm:vit?random=0") == "vit, random weights"

def test_cards_repeat_the_verdict(df):
    text = head_eval(df).text
    row = df.set_index("protocol").loc["linear_probe"]
    assert text.splitlines()[0].endswith("· 30 labels")
    assert f"accuracy on test: {row.test:.3f} ({row.test_low:.3f} to {row.test_high:.3f} · 30 examples)" in text and f"{row.gain:+.3f}" in text
    assert [line[0] for line in text.splitlines()[1:]][:3] == ["●", "○", "▲"]

# ---- the page

def page_of(tmp_path, *cells, name="out"):
    nbformat.write(new_notebook(cells=list(cells)), tmp_path/f"{name}.ipynb")
    return BeautifulSoup(to_html(tmp_path/f"{name}.ipynb").read_text(), "html.parser")

def shown(**data): return new_code_cell("x", outputs=[new_output("display_data", {k.replace("_", "/"): v for k, v in data.items()})])
def empty(): return new_code_cell("x", outputs=[new_output("display_data", {"text/markdown": "*nothing*"}, metadata={EMPTY: True})])

def test_title_contents_links_and_date(df, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path/"runs").mkdir()
    for name in ("results.csv", "provenance.json"): (tmp_path/"runs"/name).write_text("x")
    cells = [new_markdown_cell("# Evaluate\n\n> a promise"), new_code_cell("out_dir: str = 'runs'", metadata=dict(tags=["parameters"])), shown(text_html=head_eval(df).html)]
    page = page_of(tmp_path, *cells, *[new_markdown_cell(f"## Part {i} & more") for i in range(3)])
    title = head_eval(df).text.splitlines()[0]
    assert page.title.get_text() == page.h1.get_text() == title and len(page.find_all("h1")) == 1 and "Evaluate" in page.header.get_text()
    assert re.search(r"upgradeability \d.*\d{4}, \d\d:\d\d UTC", page.header.get_text())
    assert [a["href"] for a in page.header.find_all("a")] == ["runs/results.csv", "runs/provenance.json"]
    assert [a["href"] for a in page.nav.find_all("a")] == [f"#part-{i}-more" for i in range(3)] == [f"#{h['id']}" for h in page.find_all("h2")]
    assert not page.find_all("script")

def test_far_files_are_not_linked(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("far", "here", "here/sub"): (tmp_path/name).mkdir()
    (tmp_path/"far"/"results.csv").write_text("x")
    monkeypatch.chdir(tmp_path/"here")
    page = page_of(tmp_path/"here"/"sub", new_markdown_cell("# T"), new_code_cell(f"out_dir = {str(tmp_path/'far')!r}", metadata=dict(tags=["injected-parameters"])))
    assert not page.find_all("a")

def test_empty_sections_are_left_out(tmp_path):
    page = page_of(tmp_path, new_markdown_cell("# T"), new_markdown_cell("## Empty"), empty(), new_markdown_cell("## Half"), empty(), shown(text_markdown="kept"), new_markdown_cell("## Prose"))
    assert [h.get_text() for h in page.find_all("h2")] == ["Half", "Prose"] and "nothing" not in page.get_text() and "kept" in page.get_text()

def svg_of(title="a < b"):
    from io import StringIO
    with plt.rc_context({"svg.fonttype": STYLE["svg.fonttype"]}):
        fig, ax = plt.subplots()
        ax.set_title(title)
        fig.savefig(file := StringIO(), format="svg")
    return file.getvalue()

def test_figures_are_text_and_follow_the_page(tmp_path):
    page = page_of(tmp_path, new_markdown_cell("# T\n\n## Scores"), shown(**{"image_svg+xml": svg_of()}))
    svg = page.find("svg")
    assert svg["role"] == "img" and svg["aria-label"] == "Scores" and "a < b" in [t.get_text() for t in svg.find_all("text")]
    assert "#000000" not in str(svg) and "currentColor" in str(svg) and "var(--paper)" in str(svg) and not page.find_all(["metadata", "style"])[1:]

@pytest.mark.parametrize("odd", ["<script>1</script>", "<g onload='x'/>", "<a href='javascript:1'/>"])
def test_other_svg_stays_a_picture(odd, tmp_path):
    assert not _is_figure(svg_of().replace("</svg>", f"{odd}</svg>"))
    page = page_of(tmp_path, shown(**{"image_svg+xml": svg_of().replace("</svg>", f"{odd}</svg>")}))
    assert not page.find_all("svg") and len(page.find_all("img")) == 1

def test_galleries_are_html_with_descriptions():
    shades = np.linspace(0, 1, 64).reshape(8, 8)
    made = BeautifulSoup(gallery([dict(heading="pair", contents=[shades, shades.T], captions=[["<left>"], ["right"]])], "pictures")._repr_html_(), "html.parser")
    assert [i["alt"] for i in made.find_all("img")] == ["pair, <left>", "pair, right"] and all(i["src"].startswith("data:image/png") for i in made.find_all("img"))
    long = "where is my card? 你好 " * 20
    texts = gallery([dict(contents=[long], captions=[["7: arrival", "taken for x"]])], "texts")._repr_html_()
    assert long.strip() in texts and "7: arrival, taken for x" in texts

def test_parts_are_sorted_by_test():
    y = np.repeat(np.arange(3), 20)
    right = lambda shares: np.where(np.tile(np.arange(20), 3) < 20 * np.repeat(shares, 20), y, (y + 1) % 3)
    train, test = (Predictions(np.arange(60), y, right(s), None, None, split, dict(classes=("a name of a class that is much longer than the others, and still not cut", "b", "c"))) for split, s in [("train", [.6, 1, .9]), ("test", [.5, .8, .9])])
    names = [t.get_text() for t in plot_per_class(train, test).get_yticklabels()]
    assert [n[0] for n in names] == ["a", "b", "c"] and names[0].replace("\n", " ").endswith("still not cut") and "\n" in names[0]

# ---- shown in Python

def test_a_line_of_help_for_each_entry():
    for known in (MODELS, TASKS, PROTOCOLS, METRICS):
        lines = repr(known).splitlines()
        assert len(lines) == len(known) and all(re.fullmatch(r"\S+ +\S.{8,}", line) for line in lines), lines
        assert isinstance(known, dict)

def test_features_have_a_row_of_their_own(df):
    shown = show_table(df)
    seconds = df.predictions(df.key.iloc[-1])["test"].meta["feature_seconds"]
    assert shown.index[-1] == "features, shared by all" and float(shown["seconds"].iloc[-1]) >= 0 and seconds >= 0
    assert list(shown)[0] == "accuracy on test"

def test_costs_are_for_people():
    paid = pd.DataFrame([dict(model="timm:a", parameters=4_652_008, flops=7.7e8, examples_per_second=1234.5, input="3 x 224 x 224", device="cpu")])
    row = show_costs(paid, pd.DataFrame([dict(model="timm:a", seconds=1.23)])).loc["a"]
    assert row.tolist()[:4] == ["4.7 M", "0.77 GFLOPs", "1,234", "1.2"]
    assert [short_number(n) for n in (7, 1_000, 999_600, 22_700_000)] == ["7", "1.0 k", "1.0 M", "23 M"]

def test_a_step_inside_of_a_step_has_no_bar(monkeypatch, capsys):
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    with progress(2, "Outer") as outer:
        with progress(5, "Inner") as inner: inner.update(5)
        outer.update(1)
    assert type(outer).__name__ == "tqdm" and inner.bar is outer
    written = capsys.readouterr().err
    assert "Inner: 5 of 5" in written and "\x1b[A" not in written

LONG = ["questions_about_the_standard_library_module_numpy_and_its_submodules", "things that customers wrote about cancelled orders", "cat"]

def whole(label): return label.replace("\n", "").replace(" ", "")

def test_names_in_a_matrix_wrap_and_do_not_overlap():
    from upgradeability.draw import matrix
    ax = matrix(np.ones((6, 6), int), LONG * 2, LONG * 2)
    for axis in (ax.xaxis, ax.yaxis):
        labels = axis.get_ticklabels()
        assert [whole(label.get_text()) for label in labels] == [whole(name) for name in LONG * 2]
        assert max(len(line) for label in labels for line in label.get_text().split("\n")) <= 30
    ax.figure.canvas.draw()
    boxes = [label.get_window_extent() for label in ax.get_xticklabels()]
    assert all(left.x1 <= right.x0 for left, right in zip(boxes, boxes[1:]))
    plt.close(ax.figure)

def test_names_of_models_wrap_in_legends_and_beside_points():
    from upgradeability.plots import _model_label
    label = _model_label("hf:models/company-sentence-encoder-finetuned-on-support-tickets-2026-10-final-v3")
    assert "…" not in label and "\n" in label and whole(label).endswith("final-v3")

def test_a_gallery_is_never_wider_than_its_page():
    from upgradeability.draw import gallery
    texts = gallery([dict(contents=["a text"], captions=[["a", "b"]])], "texts")._repr_html_()
    assert "minmax(min(30rem,100%),1fr)" in texts
