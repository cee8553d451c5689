"A part of a report that fails is one line; the results, and whatever does not need that part, are there. Without results a report ends."
import nbformat, numpy as np, pandas as pd, pytest
from papermill import PapermillExecutionError, execute_notebook
from PIL import Image

from upgradeability.checks import CHECKS, check_task
from upgradeability.core import STRICT
from upgradeability.datasets import load_task
from upgradeability.papermill_io import notebook_path
from upgradeability.plots import plot_cost
from upgradeability.report import to_html

def run(cells, folder, name="made", **parameters):
    "The texts that the cells of a notebook show, run as a user runs it."
    nb = nbformat.v4.new_notebook(cells=cells, metadata=dict(kernelspec=dict(name="python3", language="python", display_name="python3")))
    nbformat.write(nb, folder/f"{name}.ipynb")
    execute_notebook(str(folder/f"{name}.ipynb"), str(folder/f"{name}_out.ipynb"), parameters, progress_bar=False)
    return texts(folder/f"{name}_out.ipynb")

def texts(path):
    out = []
    for c in nbformat.read(path, 4).cells:
        for o in c.get("outputs", ()):
            data = o.get("data", {})
            out.append(data.get("text/markdown") or data.get("text/plain") or "")
    return "\n".join(out)

def code(*sources): return [nbformat.v4.new_code_cell(s) for s in sources]

@pytest.fixture
def lenient(monkeypatch):
    "As a user runs it."
    monkeypatch.delenv(STRICT, raising=False)
    monkeypatch.delenv("IN_TEST", raising=False)

def test_an_error_is_one_line_and_the_cells_go_on(lenient, tmp_path):
    said = run(code("from upgradeability.plots import *\nfrom upgradeability.words import keep_going\nkeep_going()", "found = 1 / 0", "found + 1", "2 + 40", "'a' + 1\n'quiet'\n'shown'", "plot_scores(None)\n'silent';"), tmp_path)
    assert "could not be made: ZeroDivisionError: division by zero" in said and "because an earlier part failed" in said and "42" in said
    assert "TypeError" in said and "shown" in said and "quiet" not in said and "silent" not in said
    assert "This picture could not be drawn: " in said and "with the column 'protocol' is needed" in said
    page = to_html(tmp_path/"made_out.ipynb").read_text()
    assert "ZeroDivisionError" in page and "Traceback" not in page

@pytest.mark.parametrize("cells", [("1 / 0",), ("from upgradeability.plots import *\nfrom upgradeability.words import keep_going\nkeep_going()", "raise KeyboardInterrupt"),
    ("from upgradeability.plots import *\nfrom upgradeability.words import keep_going\nkeep_going()", "from upgradeability.core import NothingToReport\nraise NothingToReport('none')")], ids=["never asked for", "by hand", "no results"])
def test_otherwise_an_error_ends_it(lenient, tmp_path, cells):
    with pytest.raises(PapermillExecutionError): run(code(*cells), tmp_path)

def test_in_tests_errors_are_errors(tmp_path, monkeypatch):
    monkeypatch.setenv(STRICT, "1")
    with pytest.raises(PapermillExecutionError, match="division by zero"): run(code("from upgradeability.plots import *\nfrom upgradeability.words import keep_going\nkeep_going()", "1 / 0"), tmp_path)

def bars(folder, n, start):
    "Pictures of two classes, each with a bar at another place."
    for c, at in enumerate((4, 20)):
        (folder/"ab"[c]).mkdir(parents=True, exist_ok=True)
        for j in range(n):
            a = np.random.default_rng(100 * c + start + j).integers(60, 140, (32, 32, 3))
            a[at:at + 6, :, c] += 90
            Image.fromarray(a.astype(np.uint8)).save(folder/"ab"[c]/f"{j}.png")

@pytest.fixture(scope="module")
def three_splits(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pictures")
    for split, n, start in [("train", 8, 0), ("val", 4, 20), ("test", 5, 40)]: bars(folder/split, n, start)
    return folder

SABOTAGE = """
from upgradeability import checks, plots, report
def plot_scores(df): return 1 / 0
def plot_parts(*a): raise ValueError('no <b>parts</b>')
def no_check(*a): return 1 / 0
checks.CHECKS['classes'] = no_check
def show_without_leaks(*a): raise KeyError('leaks')
"""

def with_cell(name, source):
    "A runnable notebook with one more cell behind its imports."
    nb = nbformat.read(notebook_path(name), 4)
    at = next(i for i, c in enumerate(nb.cells) if "check_parameters" in c.source and c.cell_type == "code" and "import" not in c.source)
    nb.cells.insert(at, nbformat.v4.new_code_cell(source))
    return nb.cells

def test_a_report_with_broken_parts_is_whole_otherwise(lenient, tmp_path, three_splits):
    said = run(with_cell("eval", SABOTAGE), tmp_path, task=f"folder:{three_splits}", protocols="majority, linear_probe", out_dir=str(tmp_path/"runs"))
    assert "reaches accuracy" in said and said.count("ZeroDivisionError") == 2 and "KeyError" in said and "parts" in said
    assert "The check 'classes' could not be run" in said
    assert {"results.csv", "provenance.json", "gains.svg"} <= {p.name for p in (tmp_path/"runs").iterdir()}

@pytest.mark.parametrize("notebook, more", [("eval", dict(protocols="majority, linear_probe")), ("compare", dict(models="bundled:efficientnet_lite0, bundled:efficientnet_lite0?random"))])
def test_official_train_valid_and_test_run_with_the_defaults(tmp_path, three_splits, notebook, more):
    "All labels: train and the official valid together, in the figures and in the findings."
    execute_notebook(notebook_path(notebook), str(tmp_path/"out.ipynb"), dict(task=f"folder:{three_splits}", out_dir=str(tmp_path/"runs"), **more), progress_bar=False)
    df = pd.read_csv(tmp_path/"runs"/"results.csv")
    assert set(df.n_train) == {24} and df.error.isna().all()
    assert {"findings.svg"} <= {p.name for p in (tmp_path/"runs").iterdir()} or "no finding" in texts(tmp_path/"out.ipynb").lower()

def test_nothing_to_show_still_ends_a_report(lenient, tmp_path, three_splits):
    with pytest.raises(PapermillExecutionError, match="Nothing could be evaluated"):
        execute_notebook(notebook_path("eval"), str(tmp_path/"out.ipynb"), dict(model="file:nowhere.safetensors:resnet18", task=f"folder:{three_splits}", out_dir=str(tmp_path/"runs")), progress_bar=False)

def test_a_check_that_fails_is_a_finding(lenient, monkeypatch):
    def broken(task, backbone, features): raise ZeroDivisionError("float division by zero")
    monkeypatch.setitem(CHECKS, "mine", broken)
    task = load_task("digits", n_train=50)
    found = check_task(task, backbone="bundled:no_such_network").set_index("check")
    assert "ZeroDivisionError: float division by zero" in found.message["mine_failed"] and "no_such_network" in found.message["no_network"]
    assert "mine" in check_task(task).attrs["checked"] or "mine_failed" in set(check_task(task).check)
    monkeypatch.setenv(STRICT, "1")
    with pytest.raises(ZeroDivisionError): check_task(task)

@pytest.mark.parametrize("test, low, high", [(1., 1 + 1e-15, 1.), (.5, .4, .5 - 1e-16), (np.nan, np.nan, np.nan)])
def test_intervals_that_end_at_their_value_are_drawn(test, low, high):
    "Rounding put the lower end of an accuracy of 1 above it, and the picture of the costs ended a report."
    df = pd.DataFrame(dict(model=["a", "b"], task="t", protocol="linear_probe", n_train=10, seed=0, metric="accuracy", test=[test, .7], test_low=[low, .6], test_high=[high, .8]))
    spent = pd.DataFrame(dict(model=["a", "b"], parameters=[1, 2], flops=[10, 20], examples_per_second=[5., 3.], device="cpu", input="3 x 8 x 8", batch_size=1, dtype="float32"))
    assert plot_cost(df, spent) is not None

def test_names_of_models_that_tie_are_beside_each_other():
    df = pd.DataFrame(dict(model=["lite0", "lite0, again", "lite0, once more"], task="t", protocol="linear_probe", n_train=10, seed=0, metric="accuracy", test=.7, test_low=.6, test_high=.8))
    spent = pd.DataFrame(dict(model=df.model, parameters=1, flops=10, examples_per_second=5., device="cpu", input="3 x 8 x 8", batch_size=1, dtype="float32"))
    ax = plot_cost(df, spent)
    boxes = [text.get_window_extent() for text in ax.texts]
    assert len(boxes) == 3 and not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i])
