"From the source archive to a report in an empty folder, and the ways papermill finds the notebooks."
import json, os, shutil, subprocess, sys, tarfile, zipfile
from email import message_from_string
from importlib.metadata import entry_points
from pathlib import Path
from types import SimpleNamespace

import pytest

from upgradeability.papermill_io import LocalFirst, NotebookHandler, notebook_dir, notebook_names, notebook_path

BUILD = "import sys, setuptools.build_meta as b; getattr(b, 'build_' + sys.argv[1])(sys.argv[2])"
SMALL = ["-p", "n_train", "200", "-p", "protocols", "[majority, linear_probe]", "-p", "out_dir", "runs/small"]

def run(*cmd, cwd, ok=True):
    done = subprocess.run([str(o) for o in cmd], cwd=cwd, capture_output=True, text=True)
    assert (done.returncode == 0) == ok, done.stdout + done.stderr
    return done.stdout + done.stderr

@pytest.fixture(scope="module")
def built(root, tmp_path_factory):
    "sdist from a copy of the checkout, wheel from the unpacked sdist, and what was said meanwhile."
    tmp = tmp_path_factory.mktemp("built")
    ignored = shutil.ignore_patterns(".git", ".venv", ".cache", "_docs", "runs", "build", "dist", "*.egg-info", "__pycache__", ".pytest_cache", ".ipynb_checkpoints")
    shutil.copytree(root, tmp/"copy", symlinks=True, ignore=ignored)
    said = run(sys.executable, "-c", BUILD, "sdist", tmp, cwd=tmp/"copy")
    sdist = next(tmp.glob("*.tar.gz"))
    with tarfile.open(sdist) as t: t.extractall(tmp/"sdist", filter="data") if hasattr(tarfile, "data_filter") else t.extractall(tmp/"sdist")
    said += run(sys.executable, "-c", BUILD, "wheel", tmp, cwd=next((tmp/"sdist").iterdir()))
    return SimpleNamespace(sdist=sdist, wheel=next(tmp.glob("*.whl")), said=said)

def wheel_names(built): return zipfile.ZipFile(built.wheel).namelist()

def wheel_file(built, ending):
    z = zipfile.ZipFile(built.wheel)
    return z.read(next(n for n in z.namelist() if n.endswith(ending))).decode()

def test_wheel_holds_modules_and_notebooks(built, root):
    notebooks = [p.relative_to(root/"nbs").as_posix() for folder in (".", "kinds", "tutorials") for p in (root/"nbs"/folder).glob("*.ipynb")]
    assert "tutorials/first_report.ipynb" in notebooks
    want = {f"upgradeability/notebooks/{name}" for name in notebooks} | {f"upgradeability/{p.name}" for p in (root/"upgradeability").glob("*.py")}
    assert want - set(wheel_names(built)) == set()
    assert [n for n in wheel_names(built) if not n.startswith(("upgradeability/", "upgradeability-"))] == []

def test_metadata(built):
    meta = message_from_string(wheel_file(built, "/METADATA"))
    assert "Apache-2.0" in (meta["License-Expression"] or meta["License"])
    assert meta["License-File"] == "LICENSE" and meta["Requires-Python"] == ">=3.10"
    assert {"dev", "docs", "text", "recommend"} <= set(meta.get_all("Provides-Extra"))
    assert "Deprecat" not in built.said and "SetuptoolsWarning" not in built.said

def test_dev_extra_covers_the_others(built):
    required = message_from_string(wheel_file(built, "/METADATA")).get_all("Requires-Dist")
    by_extra = lambda e: {r.split(";")[0].strip() for r in required if f'extra == "{e}"' in r.replace("'", '"')}
    assert by_extra("dev") >= by_extra("docs") | by_extra("text") | by_extra("recommend")

def test_every_runnable_notebook_has_an_entry_point(built):
    listed = wheel_file(built, "/entry_points.txt")
    assert "\nupgradeability = upgradeability.command:main" in listed
    assert [n for n in notebook_names() if f"\n{n} = upgradeability.papermill_io:LocalFirst" not in listed] == []

@pytest.fixture(scope="module")
def installed(built, tmp_path_factory):
    "A new environment with the wheel; PyTorch and the other requirements are seen in this one's packages."
    env = tmp_path_factory.mktemp("installed")
    run(sys.executable, "-m", "venv", "--without-pip", env, cwd=env)
    python = env/"bin"/"python"
    here = [p for p in sys.path if p.endswith(("site-packages", "dist-packages"))]
    site = Path(run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=env).strip())
    run(sys.executable, "-m", "pip", "--python", python, "install", "-q", "--no-deps", built.wheel, cwd=env)
    (site/"requirements.pth").write_text("\n".join(here) + "\n")
    run(python, "-m", "ipykernel", "install", "--sys-prefix", cwd=env)
    return python

def test_wheel_runs_in_an_empty_folder(installed, tmp_path):
    where = run(installed, "-c", "import upgradeability; print(upgradeability.__file__)", cwd=tmp_path)
    assert Path(where.strip()).is_relative_to(installed.parent.parent)
    run(installed, "-m", "papermill", "eval.ipynb", "out.ipynb", *SMALL, cwd=tmp_path)
    cells = json.loads((tmp_path/"out.ipynb").read_text())["cells"]
    assert not any(o["output_type"] == "error" for c in cells for o in c.get("outputs", []))
    assert (tmp_path/"runs"/"small"/"results.csv").exists()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["out.ipynb", "runs"]

def test_the_command_of_the_wheel_decides(installed, tmp_path):
    "From an empty folder to a decision, which is the exit status, in a file and on the page."
    env = {**os.environ, "JUPYTER_PATH": str(Path(sys.prefix)/"share"/"jupyter")}   # the templates of nbconvert are seen in this environment
    command = [installed.parent/"upgradeability", "compare", "--models", "timm:test_resnet?random, timm:test_vit?random", "--n_train", "100", "--margin", "0.01", "--dtype", "float32"]
    done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True)
    assert done.returncode in (0, 1, 3) and done.stderr == "", done.stdout + done.stderr
    found = json.loads((tmp_path/"runs"/"compare"/"decision.json").read_text())
    assert done.returncode == found["exit_status"] and done.stdout.splitlines()[-1].startswith(found["decision"])
    assert sorted(p.name for p in (tmp_path/"runs").iterdir()) == ["compare", "compare.html", "compare.ipynb"]
    assert found["decision"] in (tmp_path/"runs"/"compare.html").read_text()

def test_unknown_notebook_names_those_that_exist(tmp_path):
    said = run(sys.executable, "-m", "papermill", "upgradeability://evl.ipynb", "out.ipynb", cwd=tmp_path, ok=False)
    assert "'evl.ipynb'" in said and "Did you mean 'eval.ipynb'" in said and ", ".join(notebook_names()) in said
    assert list(tmp_path.iterdir()) == []

def test_a_local_notebook_wins(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert LocalFirst.read("eval.ipynb") == (notebook_dir()/"eval.ipynb").read_text(encoding="utf-8")
    (tmp_path/"eval.ipynb").write_text("mine")
    assert LocalFirst.read("eval.ipynb") == "mine"

def test_a_path_is_never_replaced_by_a_packaged_notebook(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FileNotFoundError): LocalFirst.read("nothere/eval.ipynb")
    with pytest.raises(FileNotFoundError): LocalFirst.read("eval.ipynb.bak")

def test_entry_points_of_this_environment():
    found = {e.name for e in entry_points(group="papermill.io")}
    assert {*notebook_names(), "upgradeability://"} <= found

def test_papermill_starts_without_torch():
    "papermill imports the handlers at each start, also for notebooks that have nothing to do with this package."
    run(sys.executable, "-c", "import sys, upgradeability.papermill_io; assert 'torch' not in sys.modules", cwd="/")

def test_scheme_lists_and_refuses_to_write():
    assert NotebookHandler.listdir("upgradeability://") == [f"upgradeability://{n}" for n in notebook_names()]
    with pytest.raises(ValueError, match="read-only"): NotebookHandler.write("{}", "upgradeability://eval.ipynb")

@pytest.mark.parametrize("name", ["../settings", "/etc/hostname", "upgradeability://../secret.ipynb"])
def test_scheme_stays_in_its_folder(name):
    with pytest.raises(ValueError, match="Known: "): notebook_path(name)
