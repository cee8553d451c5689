"What a report says of odd results, what its pictures show, and what is left behind by a run that failed."
import base64, json, re

import matplotlib.pyplot as plt, nbformat, numpy as np, pandas as pd, pytest
from matplotlib.collections import QuadMesh
from matplotlib.text import Text
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook
from sklearn.metrics import accuracy_score, confusion_matrix

from upgradeability.evaluation import COLUMNS, evaluate, raise_if_all_failed, read_predictions
from upgradeability.metrics import Predictions
from upgradeability.kinds.classification import confused_pairs, confusion, mistakes, plot_confusion, plot_mistakes, plot_per_class
from PIL import Image
from upgradeability.draw import gallery, save_figure, shrunk, style
from upgradeability.plots import plot_epochs, plot_gains, plot_check, plot_examples, plot_findings, plot_labels, plot_rungs, plot_scores, plot_spent, plot_training
from upgradeability.words import compared, headlines
from upgradeability.report import keep_provenance, provenance, show_table, to_html, write_report
from upgradeability.verdicts import _is_meant, findings, verdict, verdict_check, verdict_rank
from upgradeability.datasets import load_task
from upgradeability.media import Inputs
from upgradeability.tasks import make_task

NAN3 = dict.fromkeys(["test", "test_low", "test_high"], np.nan)

def row(protocol, train=1., test=.8, gain=(.5, .4, .6), **more):
    "A row of the results table, made up."
    u = test - train
    around = lambda name, v: {name: v, f"{name}_low": v - .02, f"{name}_high": v + .02}
    base = dict(model="timm:vit_tiny", task="digits", protocol=protocol, n_train=200, seed=0, metric="accuracy", baseline="majority", n_test=450, seconds=1., error="", key=f"{protocol}-key")
    return dict.fromkeys(COLUMNS, np.nan) | base | around("train", train) | around("test", test) | around("upgradeability", u) | dict(zip(("gain", "gain_low", "gain_high"), gain)) | more

def table(*rows): return pd.DataFrame(list(rows))[COLUMNS]
def failed(protocol, message="ValueError: no head"): return row(protocol, train=np.nan, test=np.nan, gain=(np.nan,) * 3, error=message, key="")
def nothing(n): return (np.nan,) * n

MAJORITY = row("majority", .1, .1, nothing(3), baseline=None)
CONTROL = lambda *gain: pd.DataFrame([dict(row("linear_probe"), baseline="random_probe", gain=gain[0], gain_low=gain[1], gain_high=gain[2])])

def predictions(n_classes, n, split="test", right=.8, seed=0, name="class {}", **meta):
    rng = np.random.default_rng(seed)
    y = np.arange(n) % n_classes
    scores = rng.dirichlet(np.ones(n_classes), n) + np.eye(n_classes)[np.where(rng.random(n) < right, y, rng.integers(0, n_classes, n))]
    scores /= scores.sum(1, keepdims=True)
    return Predictions(np.arange(n), y, scores.argmax(1), scores, None, split, dict(classes=tuple(name.format(i) for i in range(n_classes)), model="timm:vit_tiny", task="digits", protocol="linear_probe", **meta))

@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")

# ---- sentences

VERDICTS = {
    "nothing ran": (table(failed("majority"), failed("knn")), None, ["Nothing could be evaluated", "no head", "`majority`, `knn` on `vit_tiny`"], ["reaches"]),
    "only majority": (table(MAJORITY), None, ["nothing is known about the pretrained model", "0.100"], ["better than", "It is"]),
    "no figure for the gain": (table(MAJORITY, row("knn", gain=nothing(3), baseline="resnet18", error="no gain, since the baseline resnet18 failed")), None,
                               ["not compared with `resnet18`", "could not be run", "since the baseline resnet18 failed"], ["nan", "excludes"]),
    "worse than the baseline": (table(MAJORITY, row("as_is", test=.05, gain=(-.05, -.09, -.01))), None, ["0.050 [0.010, 0.090] **worse** than always saying"], ["better"]),
    "not distinguishable": (table(MAJORITY, row("knn", gain=(.01, -.02, .04))), None, ["not distinguishable from always saying", "0.010 [−0.020, 0.040]"], ["excludes", "better"]),
    "pretraining helped": (table(MAJORITY, row("linear_probe")), CONTROL(.3, .2, .4), ["The pretraining bought 0.300 [0.200, 0.400]", "interval excludes 0"], ["not help"]),
    "pretraining undecided": (table(MAJORITY, row("linear_probe")), CONTROL(.01, -.1, .1), ["What the pretraining bought is not distinguishable from 0", "interval includes 0"], ["excludes", "**The pretraining bought"]),
    "pretraining harmed": (table(MAJORITY, row("linear_probe")), CONTROL(-.3, -.4, -.2), ["did not help", "0.300 [0.200, 0.400] better", "interval excludes 0"], ["bought"]),
    "train left out": (table(MAJORITY, row("knn", train=.9)), None, ["with the examples left out"], ["U ="]),
    "carries over wholly": (table(MAJORITY, row("linear_probe", train=.805)), None, ["is not distinguishable from that on its training examples"], ["worse than on"]),
    "better on test": (table(MAJORITY, row("linear_probe", train=.7)), None, ["On new examples it is 0.100 better than on its training examples"], ["worse"]),
    "a loss": (table(row("linear_probe", metric="log_loss")), None, ["log loss (lower is better) 0.800"], []),
    "a message with brackets": (table(MAJORITY, failed("knn", "OSError: <urlopen error>")), None, ["&lt;urlopen error&gt;"], ["<urlopen"]),
}

@pytest.mark.parametrize("case", VERDICTS)
def test_verdict_is_true(case):
    df, over, says, never = VERDICTS[case]
    text = verdict(df, over)
    assert [s for s in says if s not in text] == [], text
    assert [s for s in [*never, "nan", "None"] if s in text] == [], text

def test_verdict_of_several_models():
    df = table(row("linear_probe"), row("linear_probe", test=.6, model="timm:resnet18"), MAJORITY)
    assert verdict(df).count("reaches accuracy") == 2

def test_verdict_names_what_reaches_more():
    df = table(MAJORITY, row("fine_tune", test=.5), row("linear_probe", test=.7), row("knn", test=.4), row("random_probe", test=.9))
    assert "Ahead on test, but not tested: `linear_probe` with 0.700 [0.680, 0.720]." in verdict(df)
    assert "on test, but" not in verdict(df.assign(metric="log_loss")[df.protocol != "knn"])

def test_headline_does_not_depend_on_test():
    rows = [row("knn", test=.99), row("linear_probe", test=.5), row("fine_tune?epochs=3", test=.3), row("from_scratch", test=.999)]
    assert headlines(table(*rows)).protocol.tolist() == headlines(table(*rows[::-1])).protocol.tolist() == ["fine_tune?epochs=3"]
    assert headlines(table(failed("fine_tune"), row("random_probe"), row("mine"))).protocol.tolist() == ["mine"]

@pytest.mark.parametrize("rows, stops", [([MAJORITY, failed("knn")], True), ([failed("majority")], True), ([MAJORITY], False), ([MAJORITY, failed("knn"), row("linear_probe")], False)])
def test_all_failed(rows, stops):
    if not stops: return raise_if_all_failed(table(*rows))
    with pytest.raises(RuntimeError, match="no head"): raise_if_all_failed(table(*rows))

def test_table_for_readers():
    df = table(MAJORITY, row("knn"), failed("as_is", "ValueError: " + "long " * 50))
    shown = show_table(df)
    assert shown.index.tolist() == ["as_is", "majority", "knn"] and shown.loc["as_is"].iloc[[0, 1, 3, 4]].eq("").all()
    assert shown.loc["knn"].iloc[0].replace("\xa0", " ") == "0.800 [0.780, 0.820]"
    assert show_table(pd.concat([df, df.assign(model="timm:other")])).index.str.contains("other · knn").sum() == 1

# ---- pictures

def outside(ax):
    "The texts that do not lie within the figure."
    fig = ax.figure
    fig.canvas.draw()
    box, renderer = fig.bbox.padded(2), fig.canvas.get_renderer()
    legend = ax.get_legend()
    texts = [*ax.texts, ax.title, ax._left_title, ax.xaxis.label, *ax.get_yticklabels(), *(legend.get_texts() if legend else [])]
    extents = {t.get_text(): t.get_window_extent(renderer) for t in texts if t.get_text()}
    return [k for k, e in extents.items() if e.x0 < box.x0 or e.y0 < box.y0 or e.x1 > box.x1 or e.y1 > box.y1]

@pytest.mark.parametrize("n", [1, 2, 5, 8])
@pytest.mark.parametrize("model", ["timm:vit_tiny", "timm:" + "a_model_with_a_very_long_name." * 2])
def test_scores_are_not_cut(n, model):
    names = ["majority", "as_is", "knn", "linear_probe", "random_probe", "fine_tune?epochs=5&lrs=1e-4,3e-4", "from_scratch", "a_protocol_of_ones_own"]
    df = table(*[row(p, model=model) for p in names[:n]])
    ax = plot_scores(df)
    assert outside(ax) == [] and [t.get_text() for t in ax.get_yticklabels()] == names[:n]
    assert outside(plot_gains(df)) == []

def test_scores_of_several_models_and_failures():
    df = table(*[row(p, model=f"timm:net{i}") for i in range(3) for p in ("knn", "linear_probe")], failed("as_is"))
    ax = plot_scores(df)
    assert any("could not be run" == t.get_text() for t in ax.texts) and len(ax.get_yticklabels()) == 7
    assert outside(ax) == []

def test_marks_say_where_they_stand():
    "The dot is at test, the square at train, hollow where examples were left out."
    ax = plot_scores(table(row("knn", .9, .7), row("linear_probe", 1., .8)))
    marks = [(l.get_marker(), l.get_xdata()[0], l.get_markerfacecolor()) for l in ax.lines if l.get_marker() in "os" and len(np.atleast_1d(l.get_xdata())) == 1]
    assert [(m, x) for m, x, _ in marks] == [("s", .9), ("o", .7), ("s", 1.), ("o", .8)]
    assert marks[0][2] == "white" and marks[2][2] != "white"

def test_no_gain_to_show(): assert "no gain" in plot_gains(table(MAJORITY)[["model", "task", "protocol", "n_train", "seed", "metric", "baseline", "gain", "gain_low", "gain_high", "key"]]).get_xlabel()

@pytest.mark.parametrize("n_classes, lines", [(2, 2), (10, 10), (100, 24)])
def test_per_class(n_classes, lines):
    train, test = predictions(n_classes, 20 * n_classes, "train", .99), predictions(n_classes, 10 * n_classes, seed=1, name="a class with quite a long name, number {}")
    ax = plot_per_class(train, test)
    assert len(ax.get_yticklabels()) == lines and outside(ax) == []
    assert ("the 12 best of 100 classes" in ax.get_xlabel()) == (n_classes == 100)
    shown = [l.get_xdata()[0] for l in ax.lines if l.get_marker() == "o"]
    assert shown == sorted(shown) and len(shown) == lines

def test_class_without_test_examples():
    train, test = predictions(3, 30, "train"), predictions(3, 30)
    assert len(plot_per_class(train, test.take(test.y < 2)).get_yticklabels()) == 2

def test_confusion_is_scikit_learns():
    p = predictions(7, 300)
    assert np.array_equal(confusion(p), confusion_matrix(p.y, p.pred, labels=range(7)))
    pairs = confused_pairs(p)
    counts = {(a, b): n for a, b, n in zip(pairs["true"], pairs["predicted"], pairs["n"])}
    assert sum(counts.values()) == (p.y != p.pred).sum() and pairs.n.is_monotonic_decreasing and all(a != b for a, b in counts)

@pytest.mark.parametrize("n_classes, is_matrix", [(2, True), (15, True), (16, False), (100, False)])
def test_confusion_is_readable(n_classes, is_matrix):
    ax = plot_confusion(predictions(n_classes, 20 * n_classes, name="a class with quite a long name, number {}"))
    assert any(isinstance(c, QuadMesh) for c in ax.collections) == is_matrix and outside(ax) == []
    if not is_matrix: assert len(ax.patches) == 15 and re.search(r"these are \d+ of \d+ mistakes", ax.get_xlabel())

def test_without_a_mistake(capsys):
    p = predictions(20, 100, right=2.)
    perfect = Predictions(p.ids, p.y, p.y, p.scores, None, "test", p.meta)
    assert len(confused_pairs(perfect)) == 0 and len(mistakes(perfect)) == 0
    assert "0 of 0 mistakes" in plot_confusion(perfect).get_xlabel()
    assert plot_mistakes(load_task("digits"), perfect) is None

def test_mistakes_are_the_most_confident():
    p = predictions(5, 200)
    shown = mistakes(p, 8)
    wrong = p.pred != p.y
    assert shown.confidence.tolist() == sorted(p.scores.max(1)[wrong], reverse=True)[:8]
    assert all(p.meta["classes"][p.y[i]] == t for i, t in zip(shown.id, shown["true"]))
    without = mistakes(Predictions(p.ids, p.y, p.pred, None, None, "test", p.meta), 8)
    assert without.confidence.isna().all() and without.id.tolist() == p.ids[wrong][:8].tolist()

def test_pictures_of_mistakes():
    task = load_task("digits")
    rows = task.splits["test"][:20]
    p = Predictions(rows, task.y[rows], (task.y[rows] + 1) % 10, None, None, "test", dict(classes=task.classes))
    fig = plot_mistakes(task, p, 7)
    drawn = [ax for ax in fig.axes if ax.images]
    assert len(drawn) == 7 and all(f"{task.classes[task.y[i]]}\n" in ax.get_title() for ax, i in zip(drawn, rows))
    assert np.array_equal(drawn[0].images[0].get_array(), np.asarray(task.inputs[int(rows[0])]))

def test_epochs_ring_the_choice():
    curves = [dict(lr=lr, epoch=e, train=.5 + .05 * e, valid=.5 + .01 * e) for lr in (1e-4, 1e-3) for e in (1, 2, 3)]
    ax = plot_epochs(predictions(3, 30, epochs=curves, choices=dict(lr=1e-3, epoch=2)))
    ring = [l.get_xydata().tolist() for l in ax.lines if l.get_marker() == "o" and len(l.get_xdata())]
    assert ring == [[[2, .52]]] and outside(ax) == []

def test_given_axis_is_used_and_settings_stay():
    before = dict(plt.rcParams)
    _, ax = plt.subplots()
    p = predictions(4, 40)
    for drawn in (plot_scores(table(row("knn")), ax=ax), plot_gains(table(row("knn")), ax=ax), plot_per_class(p, p, ax=ax), plot_confusion(p, ax=ax)): assert drawn is ax
    assert {k for k, v in plt.rcParams.items() if v != before[k]} == set()

def test_style_leaves_a_notebook_interactive():
    was = plt.isinteractive()
    try:
        with style(): plt.ion() # what the first figure in a notebook does
        assert plt.isinteractive()
    finally: (plt.ion if was else plt.ioff)()

def test_kept_figures(tmp_path):
    df = table(row("knn"), row("linear_probe"))
    ax = plot_scores(df)
    assert save_figure(ax, tmp_path/"new", "scores") is ax
    first = (tmp_path/"new"/"scores.svg").read_bytes()
    save_figure(plot_scores(df).figure, tmp_path/"new", "scores")
    assert (tmp_path/"new"/"scores.svg").read_bytes() == first and (tmp_path/"new"/"scores.png").stat().st_size > 5000
    assert save_figure(None, tmp_path, "nothing") is None and not list(tmp_path.glob("nothing*"))

# ---- findings and provenance

@pytest.fixture(scope="module")
def leaky(tmp_path_factory):
    "A task of which three test pictures are also in train, and its evaluation."
    from torch import nn
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(60, 6)).astype(np.float32), np.arange(60) % 2
    x[:, 0] += 3 * y
    task = load_task((x, y, np.r_[x[:3], rng.normal(size=(17, 6)).astype(np.float32)], np.arange(20) % 2))
    return evaluate(nn.Linear(6, 3), task, protocols=["linear_probe"], out_dir=tmp_path_factory.mktemp("leaky")/"run"), task

def test_leaked_examples_are_reported(leaky):
    df, task = leaky
    text = findings(df, task)
    test = read_predictions(df.attrs["out_dir"], headlines(df).key.iloc[0])["test"]
    clean = test.take(np.isin(test.ids, [60, 61, 62], invert=True))
    assert "3 of 20 test examples are also in train" in text
    assert f"reaches {accuracy_score(clean.y, clean.pred):.3f}" in text

def test_few_examples_are_reported(leaky):
    df, task = leaky
    small = evaluate_small(task, df)
    assert "Fewer than 5 independent units" in findings(small)

def evaluate_small(task, df):
    "The same with four test examples."
    from dataclasses import replace
    from torch import nn
    few = replace(task, splits=dict(task.splits, test=task.splits["test"][:4]), fingerprint="few")
    return evaluate(nn.Linear(6, 3), few, protocols=["linear_probe"], out_dir=df.attrs["out_dir"] + "-few")

def test_provenance(leaky, monkeypatch, tmp_path):
    df, _ = leaky
    made = provenance(df)
    assert {"python", "torch", "numpy", "upgradeability"} <= made["versions"].keys() and len(made["runs"]) == len(df)
    probe = next(r for r in made["runs"] if r["protocol"] == "linear_probe")
    assert probe["choices"]["tried"] > 1 and probe["dtype"] == "float32" and probe["fingerprints"]["model"]
    shown = keep_provenance(df)
    assert "C = " in shown.loc["linear_probe", "chosen"]
    assert json.loads((tmp_path.__class__(df.attrs["out_dir"])/"provenance.json").read_text())["runs"] == json.loads(json.dumps(made["runs"], default=str))

def test_provenance_holds_no_folder_of_this_machine(leaky, monkeypatch, tmp_path):
    df, _ = leaky
    monkeypatch.chdir(tmp_path)
    task = f"folder:{tmp_path}/pets"
    assert provenance(df.assign(task=task))["runs"][0]["task"] == "folder:pets"

def test_nothing_was_trained_by_epochs(leaky): assert plot_training(leaky[0]) is None

# ---- pages and runs

def notebook(path, *sources):
    cells = [new_markdown_cell("# Mine"), new_code_cell("n: int = 1  # a number\nwords: list = None  # some words", metadata=dict(tags=["parameters"])), *map(new_code_cell, sources)]
    nbformat.write(new_notebook(cells=cells, metadata=dict(kernelspec=dict(name="python3", language="python", display_name="python3"))), path)
    return path

def text_of(path): return " ".join(o.get("text", "") + str(o.get("data", {}).get("text/plain", "")) for c in nbformat.read(path, 4).cells for o in c.get("outputs", []))

def test_lists_and_dicts_arrive_as_they_are(tmp_path):
    mine = notebook(tmp_path/"mine.ipynb", "words, n + 1")
    out = write_report(mine, tmp_path/"a"/"b"/"out.ipynb", html=False, words=["x, y", {"k": [1, None]}], n=np.int64(2))
    assert "(['x, y', {'k': [1, None]}], 3)" in text_of(out)
    assert not out.with_suffix(".html").exists()

@pytest.mark.parametrize("error, match, given", [(ValueError, "Did you mean 'words'", dict(wrods=[1])), (TypeError, "n=ndarray", dict(n=np.zeros(2))), (TypeError, "words=object", dict(words=[object()]))])
def test_bad_parameters_stop_before_anything_runs(tmp_path, error, match, given):
    mine = notebook(tmp_path/"mine.ipynb")
    with pytest.raises(error, match=match): write_report(mine, tmp_path/"new"/"out.ipynb", **given)
    assert not (tmp_path/"new").exists()

def test_unknown_notebook(tmp_path):
    with pytest.raises(ValueError, match="eval"): write_report("evil", tmp_path/"out.ipynb")

def test_a_failing_cell_leaves_both_files(tmp_path):
    mine = notebook(tmp_path/"mine.ipynb", "'before' * n", "import sys; print('noise', file=sys.stderr); raise KeyError('the reason')", "'after'")
    with pytest.raises(RuntimeError, match=r"(?s)the reason.*KeyError in cell 4 of mine.ipynb"): write_report(mine, tmp_path/"out.ipynb", n=2)
    assert "beforebefore" in text_of(tmp_path/"out.ipynb")
    page = (tmp_path/"out.html").read_text()
    assert "beforebefore" in page and "the reason" in page and "The run stopped here" in page
    assert not any(w in page for w in ("after'", "Traceback", "noise", "An Exception was encountered"))

def test_formulas_become_mathml(tmp_path):
    nb = new_notebook(cells=[new_markdown_cell("# T\n\n$a_1 < b$ costs $5 or $6, `$x$`\n\n$$\\sum_i x_i$$")])
    nbformat.write(nb, tmp_path/"n.ipynb")
    page = to_html(tmp_path/"n.ipynb").read_text()
    assert page.count("<math") == 2 and "$5 or $6" in page and "<code>$x$</code>" in page and "xFORMULA" not in page

# ---- the report itself; `report` is the executed notebook, its page beside it

def test_report_shows_and_stores_every_picture(report):
    cells = nbformat.read(report, 4).cells
    pictures = [base64.b64decode(o.data["image/png"]) for c in cells for o in c.get("outputs", []) if "image/png" in o.get("data", {})]
    names = ["cases", "confusion", "findings", "gains", "parts", "scores"]
    assert len(pictures) == len(names)
    assert sorted(p.stem for p in (report.parent/"runs").glob("*.svg")) == sorted(p.stem for p in (report.parent/"runs").glob("*.png")) == names

def test_report_says_what_the_table_says(report):
    df = pd.read_csv(report.parent/"runs"/"results.csv").set_index("protocol")
    said = next(o.data["text/markdown"] for c in nbformat.read(report, 4).cells for o in c.get("outputs", []) if "text/markdown" in o.get("data", {}))
    assert f"reaches accuracy {df.test['linear_probe']:.3f}" in said and f"U = −{abs(df.upgradeability['linear_probe']):.3f}" in said
    assert f"{df.gain['linear_probe']:.3f} [{df.gain_low['linear_probe']:.3f}" in said

def test_report_names_no_folder_of_this_machine(report):
    made = (report.parent/"runs"/"provenance.json").read_text()
    assert str(report.parent) not in made and not re.search(r'"/(tmp|home|root|work|Users)/', made)

def test_a_gain_is_called_what_it_is():
    assert compared(0., 0., 0.) == "undecided" and compared(.1, 0., .2) == "undecided"

# ---- numbers to decide by: rankings, curves, texts

def ranking(n=8, name="timm:net{}"):
    names = [name.format(i) for i in range(n)]
    steps = [dict(rung=0, model=m, examples=128, score=.5 + .001 * i, se=.05, seconds=1.) for i, m in enumerate(names)] + [dict(rung=1, model=m, examples=512, score=.6, se=.02, seconds=3.) for m in names[-2:]]
    df = pd.DataFrame(dict(rank=range(1, n + 1), model=names[::-1], score=.6, se=.02, logme=0., examples=[512, 512, *[128] * (n - 2)], rung=[1, 1, *[0] * (n - 2)], p_best=1 / n, seconds=1.,
                           status=["reached the last rung"] * 2 + ["dropped after rung 1"] * (n - 2)))
    df.attrs = dict(steps=steps, plan=[], spent=12., budget=10., overrun=2., saved=.75, remark="2.0 seconds over the budget")
    return df

def labels_drawn(ax):
    ax.figure.canvas.draw()
    return [(t.get_text(), Text.get_window_extent(t)) for t in ax.texts] # without the arrow

@pytest.mark.parametrize("n", [3, 8, 20])
def test_rungs_are_labelled_without_overlap(n):
    "All models of the first rung score nearly the same."
    ax = plot_rungs(ranking(n))
    drawn = labels_drawn(ax)
    assert {t for t, _ in drawn} == {f"net{i}" for i in range(n)} and all(b.x1 <= ax.figure.bbox.x1 and b.y1 <= ax.figure.bbox.y1 for _, b in drawn)
    heights = sorted(b.y0 for _, b in drawn)
    assert min(np.diff(heights)) > .6 * drawn[0][1].height

def test_time_spent_adds_up():
    ax = plot_spent(ranking(4))
    assert sum(b.get_width() for b in ax.patches) == pytest.approx(12) and outside(ax) == [] and [t.get_text() for t in ax.get_yticklabels()] == ["warm-up", "net3", "net2", "net1", "net0"]

def test_a_ranking_in_words():
    text = verdict_rank(ranking(5))
    assert "2 reached the last rung" in text and "3 dropped after rung 1" in text and "75% less" in text and "seconds over the budget" in text
    judged = ranking(3).assign(metric="accuracy", test=[.7, .9, .5], test_low=.4, test_high=.95)
    judged.attrs["check"] = dict(first="timm:net2", best="timm:net1", regret=.2, weighted_tau=.1, saved=.75)
    assert "but **net1** is the best" in verdict_check(judged) and "regret 0.200" in verdict_check(judged)
    ax = plot_check(judged)
    assert [t.get_text() for t in ax.get_yticklabels()] == ["1. net2", "2. net1", "3. net0"] and outside(ax) == [] and plot_check(None) is None

def test_labels_needed_are_drawn():
    summary = pd.DataFrame(dict(model=["timm:a", "timm:b"], label_efficiency=[300., 800.], efficiency_low=[200., 700.], efficiency_high=[500., 1600.], labels_to_95_of_best=[300., np.inf], at=[1600, 1600]))
    ax = plot_labels(summary)
    assert outside(ax) == [] and any("> 1,600" in t.get_text() for t in ax.texts)

def questions(texts, kind="classification", **more):
    return make_task("made", Inputs(texts, str, np.arange(len(texts)).astype(np.uint64)), list("ab") * (len(texts) // 2), {"train": [0, 1], "test": range(2, len(texts))}, medium="text", **more)

ODD = ["plain", "with $5 and $x^2$ and \\frac", "emoji 🙂 and 漢字", "", "a" * 3000, "word " * 40_000]

def test_texts_are_shown_and_none_is_cut(recwarn):
    task = questions(ODD)
    fig = plot_examples(task, pd.DataFrame({"id": range(6), "true": "a", "predicted": "b" * 200, "confidence": [.999, .9, .8, .7, .6, np.nan]}))
    fig.canvas.draw()
    said, box = [t.get_text() for t in fig.axes[0].texts], fig.bbox
    assert len(said) == 12 and "(blank)" in said and "$5" in said[3] and "…" in said[-1] and max(s.count("\n") for s in said) == 3
    assert [t.get_text() for t in fig.axes[0].texts if not (box.x0 <= t.get_window_extent().x0 and t.get_window_extent().x1 <= box.x1)] == []
    assert [str(w.message) for w in recwarn if "Glyph" in str(w.message)] == []

def test_no_mistake_and_no_example_are_said(capsys):
    task = questions(ODD)
    right = Predictions(np.arange(2, 6), [0, 1, 0, 1], [0, 1, 0, 1], meta=dict(classes=("a", "b")))
    assert plot_mistakes(task, right) is None and plot_examples(task, pd.DataFrame(columns=["id", "true", "predicted", "confidence"])) is None

def test_words_are_shown_in_their_sentence():
    inputs = Inputs([("in", "Rome"), ("no", "name", "here")], lambda w: w, np.array([1, 2], np.uint64))
    task = make_task("made", inputs, ["O", "B-x", "O", "O", "B-x"], {"train": [0, 1], "test": [2, 3, 4]}, medium="words", kind="tagging", unit=np.array([0, 0, 1, 1, 1]))
    fig = plot_examples(task, pd.DataFrame({"id": [3], "true": "O", "predicted": "B-x", "confidence": [.9]}))
    assert fig.axes[0].texts[1].get_text() == "no [name] here"

def test_lists_of_pictures_have_frames_around_hits():
    pictures = [shrunk(Image.new("RGB", (1300, 900), colour)) for colour in ("red", "green", "blue")]
    assert pictures[0].size == (650, 450)
    cells = [dict(group=user, heading=heading, contents=pictures, marks=marks) for user in ("a $x$", "b") for heading, marks in [("took last", [0, 0, 0]), ("is offered", [1, 0, 1])]]
    fig = gallery([*cells, dict(group="b", heading="nothing", contents=[], marks=[])], "pictures")
    fig.canvas.draw()
    frames = [patch for ax in fig.axes for patch in ax.patches]
    assert len([ax for ax in fig.axes if ax.images]) == 12 and len(frames) == 4
    assert gallery(cells, "") is None and gallery([], "pictures") is None

def test_findings_about_texts_are_shown():
    task = questions(["same text", "other", "same text", "new", "!", "more"])
    checked = pd.DataFrame(dict(check=["near_duplicates"], rows=[np.array([[2, 0]])]))
    said = [t.get_text() for t in plot_findings(task, checked).axes[0].texts]
    assert said == ["near duplicates: row 2 (test), a", "same text", "near duplicates: row 0 (train), a", "same text"]

@pytest.mark.parametrize("given, spec, meant", [
    ("efficientnet_lite0", "bundled:efficientnet_lite0", True), ("bundled:efficientnet_lite0", "bundled:efficientnet_lite0", True), ("efficientnet_lite0", "bundled:efficientnet_lite0?random=0", False),
    ("efficientnet_lite0?random", "bundled:efficientnet_lite0?random=0", True), ("resnet50", "torchvision:resnet50:IMAGENET1K_V2", True), ("resnet5", "torchvision:resnet50:IMAGENET1K_V2", False),
    ("timm:test_vit?random", "timm:test_vit.r160_in1k?random=0", True), ("test_vit", "timm:test_vit.r160_in1k", True), ("timm:test_vit", "timm:test_vit2.r160_in1k", False)])
def test_the_incumbent_may_be_named_as_it_was_given(given, spec, meant): assert _is_meant(given, spec) == meant
