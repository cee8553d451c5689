"Ordinary mistakes: one line, exit status 2, a next step; nothing is begun."
import importlib.util, json, subprocess, sys, time
from pathlib import Path

import nbformat, pytest

from upgradeability import command, names
from upgradeability.command import main, read_parameters
from upgradeability.papermill_io import notebook_dir, notebook_names, notebook_path

ROOT = Path(__file__).resolve().parent.parent
spec = importlib.util.spec_from_file_location("mistakes", ROOT/"benchmarks"/"mistakes.py")
mistakes = importlib.util.module_from_spec(spec)
spec.loader.exec_module(mistakes)

@pytest.fixture
def folder(tmp_path, monkeypatch):
    mistakes.make_files(tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path

def said(capsys, *words):
    "(exit status, stderr) of a command in this process."
    status = main(list(words))
    return status, capsys.readouterr().err

@pytest.mark.parametrize("words, step", mistakes.COMMAND, ids=[row[0] for row in mistakes.COMMAND])
def test_a_mistake_is_one_line(words, step, folder, capsys):
    before = sorted(folder.rglob("*"))
    status, err = said(capsys, *words.split())
    assert status == 2 and err.count("\n") == 1 and step in err, err
    assert err.startswith("upgradeability") and sorted(folder.rglob("*")) == before

@pytest.fixture(scope="module")
def calls(): return mistakes.namespace()

@pytest.mark.parametrize("text, step", mistakes.PYTHON, ids=[row[0] for row in mistakes.PYTHON])
def test_a_mistake_in_python_has_a_next_step(text, step, folder, calls):
    message, _ = mistakes.call(text, calls)
    assert step in message and message.partition(":")[0] in ("ValueError", "TypeError", "FileNotFoundError"), message

def test_no_torch_before_the_options_are_checked():
    "Help, lists and mistakes of spelling need neither PyTorch nor papermill."
    words = [["--help"], ["eval", "--help"], ["models"], ["tasks"], ["eval", "--model", "resnet5O"], ["compare", "--margin", "x"]]
    script = f"import sys; from upgradeability.command import main\nfor w in {words}: main(w)\nprint('torch' in sys.modules, 'papermill' in sys.modules, file=sys.stderr)"
    start = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stderr.splitlines()[-1] == "False False" and time.perf_counter() - start < 15, done.stderr

def test_names_are_those_of_the_libraries():
    "What is read from the texts of modules is what the modules have after their import."
    import timm, torchvision
    from timm.models._registry import _model_entrypoints
    from upgradeability.datasets import _all_sources, _torchvision_sets
    from upgradeability.runtimes import DTYPES, RUNTIMES
    from upgradeability.finetuning import all_protocols
    from upgradeability.kind import load_kinds
    from upgradeability.metrics import METRICS
    from upgradeability.models import MODELS
    load_kinds()
    assert set(names.timm_names()) == set(timm.list_models())
    assert set(names.timm_names()) | names.old_timm_names() == set(_model_entrypoints)
    assert set(names.vision_names()) == set(torchvision.models.list_models(module=torchvision.models))
    assert set(names.PLAIN_SETS) == set(_torchvision_sets())
    built_in = {name for name, metric in METRICS.items() if metric.name == name}
    assert set(names.written_names("METRICS")) <= built_in and {"span_f1", "r2", "ndcg@10"} <= set(names.written_names("METRICS"))
    assert {*names.written_names("PROTOCOLS"), *names.written_names("RECOMMENDERS")} <= set(all_protocols())
    assert set(names.written_names("MODELS")) == set(MODELS) and set(names.written_names("DTYPES")) == set(DTYPES) and set(names.written_names("RUNTIMES")) == set(RUNTIMES)
    assert set(names.written_names("TASKS")) <= set(_all_sources())
    for checked in ("timm:resnet50.a1_in1k", "torchvision:resnet50:IMAGENET1K_V2", "hf:org/name", "bundled:minilm?random", "gluon_resnet50_v1b"): names.check_model(checked)

@pytest.mark.parametrize("name", notebook_names())
def test_options_are_those_that_papermill_reads(name):
    import ast
    from papermill import inspect_notebook
    theirs = inspect_notebook(str(notebook_path(name)))
    assert {k: (p["inferred_type_name"], ast.literal_eval(p["default"]), p["help"]) for k, p in theirs.items()} == \
        {p.name: (p.type, p.default, p.help) for p in read_parameters(notebook_path(name))}

# ---- runs, on small notebooks in the place of `eval` and `compare`

HEAD = "from upgradeability.core import check_parameters, unknown, NothingToReport, write_json\ncheck_parameters(globals())\n"
ENDS = {
    "mistake": ("raise ValueError('not ours')", 4, "not ours"),      # a bug: raised here and not by the package
    "own": ("__import__('upgradeability.names').names.check_task('digts')", 2, "Did you mean 'digits'"),
    "nothing": ("__import__('upgradeability.core').core.check_given(0, int, ''); exec(compile('raise NothingToReport(1)', 'a', 'exec'))", 4, "NothingToReport: 1"),
    "killed": ("import os; os.kill(os.getpid(), 9)", 4, "died"),
    "done": ("1", 0, ""),
}

@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    "Run a cell as the notebook `compare`: (exit status, stderr)."
    monkeypatch.chdir(tmp_path)
    def run(cell, *words):
        cells = [nbformat.v4.new_markdown_cell("# A\n\n> small one"),
                 nbformat.v4.new_code_cell("margin: float = None  # loss\nout_dir: str = 'out'  # where", metadata=dict(tags=["parameters"])),
                 nbformat.v4.new_code_cell(HEAD + cell)]
        path = tmp_path/"small.ipynb"
        nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata=dict(kernelspec=dict(name="python3", language="python", display_name="python3"))), path)
        monkeypatch.setattr(command, "notebook_path", lambda name: path)
        return said(capsys, "compare", *words, "--no-html")
    return run

@pytest.mark.parametrize("end", ENDS)
def test_how_a_run_ends(run, end, tmp_path):
    "A mistake leaves nothing; a run that failed leaves its notebook; a report of before is kept at a mistake."
    cell, status, words = ENDS[end]
    (tmp_path/"runs").mkdir()
    (tmp_path/"runs"/"compare.ipynb").write_text("before")
    found, err = run(cell)
    assert found == status and words in err and err.count("\n") == int(status > 0), err
    assert ((tmp_path/"runs"/"compare.ipynb").read_text() == "before") == (status == 2)
    assert [p.name for p in (tmp_path/"runs").iterdir()] == ["compare.ipynb"]

@pytest.mark.parametrize("decision, status", [("go", 0), ("no-go", 1), ("cannot tell", 3)])
def test_the_decision_is_the_exit_status(run, decision, status, tmp_path):
    cell = f"import os; os.makedirs(out_dir, exist_ok=True); write_json(out_dir + '/decision.json', dict(decision={decision!r}, reason='', exit_status={status}))"
    assert run(cell, "--margin", "0.01") == (status, "")

def test_a_margin_without_a_decision_is_a_failed_run(run, tmp_path):
    "An old decision is never read as that of this run; without a margin there is none."
    (tmp_path/"out").mkdir()
    (tmp_path/"out"/"decision.json").write_text(json.dumps(dict(decision="go", reason="", exit_status=0)))
    status, err = run("1", "--margin", "0.01")
    assert status == 4 and "no decision" in err and not (tmp_path/"out"/"decision.json").exists()
    assert run("1") == (0, "")

# ---- other commands

def test_tutorials_are_copied_once(tmp_path, capsys):
    to = tmp_path/"mine"
    assert main(["tutorials", str(to)]) == 0
    copied = {p.name for p in to.iterdir()}
    assert copied == {p.name for p in (notebook_dir()/"tutorials").glob("*.ipynb")} and "first_report.ipynb" in copied
    for p in to.iterdir(): assert "](../" not in p.read_text() and nbformat.validate(nbformat.read(p, 4)) is None
    status, err = said(capsys, "tutorials", str(to))
    assert status == 2 and "nothing is overwritten" in err

def test_lists(capsys):
    assert main(["models", "RESNET1*"]) == 0 and main(["tasks"]) == 0 and main(["cache"]) == 0
    out = capsys.readouterr().out
    assert "torchvision:resnet18\n" in out and "conll:PATH" in out and " GB" in out

# ---- decisions from stored predictions

@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    "A run of two networks, of which the second is better."
    import numpy as np, torch
    from torch import nn
    from upgradeability import evaluate
    rng = np.random.default_rng(0)
    y = np.arange(400) % 2
    x = np.column_stack([y + rng.normal(size=400), 3. * y, rng.normal(size=400)]).astype("f4")
    class Pick(nn.Module):
        def __init__(self, column):
            super().__init__()
            self.weight, self.column = nn.Parameter(torch.ones(1)), column
            self.head = nn.Linear(1, 2)
        def forward(self, x): return self.head(x[:, self.column:self.column + 1] * self.weight * (1 + self.column))
    out_dir = tmp_path_factory.mktemp("stored")
    with pytest.warns(UserWarning, match="no pictures"): return evaluate([Pick(0), Pick(1), "bundled:efficientnet_lite0"], (x[:200], y[:200], x[200:], y[200:]), protocols=["linear_probe"], out_dir=out_dir, device="cpu")

def test_decide_from_the_command(stored, capsys):
    asked = stored[stored.protocol == "linear_probe"]
    first, second = asked.model[asked.test.notna()]
    words = ["decide", str(stored.out_dir), "--margin", "0.05"]
    assert main(words) == 0 and main([*words, "--incumbent", second]) == 1
    assert capsys.readouterr().out.startswith("go: ")
    found = json.loads((Path(stored.out_dir)/"decision.json").read_text())
    assert (found["decision"], found["incumbent"], found["candidate"]) == ("no-go", second, first)
    text = (Path(stored.out_dir)/"decision.md").read_text()
    assert text.startswith("### Replace") and f"{found['broken']:,} of 200" in text
    assert main(["verify", str(stored.out_dir)]) == 0

def test_no_decision_without_a_candidate_or_the_model_in_use(stored, tmp_path):
    from upgradeability.core import NothingToReport
    from upgradeability.decision import decide, keep_decision
    asked = stored[stored.protocol == "linear_probe"]
    with pytest.raises(NothingToReport, match="no other model"): decide(asked[:1], margin=.01)
    with pytest.raises(NothingToReport, match="did not run.*efficientnet"): decide(asked.iloc[[2, 0, 1]], margin=.01)
    with pytest.raises(ValueError, match="several values of 'protocol'"): decide(stored.assign(protocol=["knn", *stored.protocol[1:]]), margin=.01)
    assert decide(asked, margin=.05)["decision"] == "go" and not keep_decision(asked, type("C", (), dict(margin=None)), "", "")
    assert not (Path(stored.out_dir)/"decision.json").exists()
