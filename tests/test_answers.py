"Predictions that other programs made: read from CSV files, compared and decided upon, or refused with the place."
import json

import numpy as np, pandas as pd, pytest

from upgradeability import compare, decide_files, read_answers
from upgradeability.command import main
from upgradeability.metrics import Predictions

RNG = np.random.default_rng(0)
Y = RNG.choice(["01", "NA", "dog"], 300)
IDS = np.array([f"e{i}" for i in range(300)])


def wrong(share):
    other = np.roll(["01", "NA", "dog"], 1)
    codes = np.searchsorted(np.array(["01", "NA", "dog"]), Y)
    return np.where(RNG.random(300) < share, other[codes], Y)


OLD, NEW = wrong(.3), wrong(.1)


def write(path, pred, order=slice(None), **more):
    table = pd.DataFrame(dict(id=IDS, y=Y, pred=pred, **more)).iloc[order]
    table.to_csv(path, index=False)
    return path


@pytest.fixture
def files(tmp_path): return write(tmp_path/"old.csv", OLD), write(tmp_path/"new.csv", NEW, RNG.permutation(300))


def test_compared_as_if_they_had_been_made_here(files):
    "In another order, with names that look like numbers or like nothing."
    codes = {name: i for i, name in enumerate(["01", "NA", "dog"])}
    y, old, new = (np.array([codes[v] for v in values]) for values in (Y, OLD, NEW))
    known = compare(Predictions(IDS, y, old, meta={}), Predictions(IDS, y, new, meta={}), margin=.05)
    found = compare(*files, margin=.05)
    assert found.difference.value == known.difference.value == (new == y).mean() - (old == y).mean()
    assert (found.negative_flips, found.verdict) == (known.negative_flips, "go")
    swapped = compare(files[1], files[0], margin=.05)
    assert swapped.verdict == "no-go" and swapped.difference.value == -found.difference.value


def test_probabilities_and_values(tmp_path):
    p = RNG.dirichlet(np.ones(3), 300)
    classes = ["01", "NA", "dog"]
    pred = np.array(classes)[p.argmax(1)]
    (a,) = read_answers(write(tmp_path/"p.csv", pred, dog=p[:, 2], **{"01": p[:, 0], "NA": p[:, 1]}))
    assert np.allclose(a.scores, p) and a.meta["classes"] == classes
    x = RNG.normal(size=50)
    pd.DataFrame(dict(id=range(50), y=x, pred=x + .1)).to_csv(tmp_path/"v.csv", index=False)
    (v,) = read_answers(tmp_path/"v.csv", values=True)
    assert v.form == "values" and np.allclose(v.pred - v.y, .1)


@pytest.mark.parametrize("text, says", [
    ("id,y,pred\na,x,x\na,y,y\n", "line 3, repeats an id"),
    ("id,y,pred\na,x,x\nb,,y\nc,,y\n", r"line 3, has no y \(2 such lines\)"),
    ("id;y;pred\na;x;x\n", "no column 'id'.*separated by commas"),
    ("id,y,prediction\na,x,x\n", "no column 'pred'. It has 'id', 'y', 'prediction'"),
    ("id,y,pred\n", "has no rows"),
    ("", "no CSV file"),
    ("id,y,pred,x\na,x,x,.5\nb,z,x,.5\n", "no column with the probability of 'z'"),
    ("id,y,pred,x,z\na,x,x,.5,.5\nb,z,x,.9,.9\n", "line 3, has probabilities"),
    ("id,y,pred,x,z\na,x,x,.5,.5\nb,z,x,high,.9\n", "line 3, has no number in the column 'x'"),
])
def test_a_mistake_is_named_with_its_place(text, says, tmp_path):
    (tmp_path/"a.csv").write_text(text)
    with pytest.raises(ValueError, match=says): read_answers(tmp_path/"a.csv")


def test_a_class_may_have_a_probability_and_no_example(tmp_path):
    (tmp_path/"a.csv").write_text("id,y,pred,x,q\na,x,x,.5,.5\nb,x,x,.5,.5\n")
    (found,) = read_answers(tmp_path/"a.csv")
    assert found.meta["classes"] == ["q", "x"] and found.scores.shape == (2, 2)


def test_files_about_other_examples_are_refused(files, tmp_path):
    other = write(tmp_path/"other.csv", OLD, slice(200))
    with pytest.raises(ValueError, match="example|ids|same"): compare(files[0], other)
    with pytest.raises(FileNotFoundError, match="There is no file .*nothere.csv'.*Did you mean"): compare(files[0], tmp_path/"nothere.csv")


def test_the_command_decides(files, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["decide", "old.csv", "new.csv", "--margin", "0.02"]) == 0
    found = json.loads((tmp_path/"runs"/"decide"/"decision.json").read_text())
    assert found["decision"] == "go" and found["n_test"] == 300 and "go: " in capsys.readouterr().out
    assert "From files of answers" in (tmp_path/"runs"/"decide"/"decision.md").read_text()
    assert main(["decide", "new.csv", "old.csv", "--margin", "0.02"]) == 1
    assert main(["decide", "old.csv", "nothere.csv", "--margin", "0.02"]) == 2
    assert "nothere.csv" in capsys.readouterr().err
    assert decide_files("old.csv", "old.csv", margin=.1)["decision"] in ("go", "cannot tell")
