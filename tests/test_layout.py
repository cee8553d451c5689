"The shape of the project: what lies where, what imports what, what a notebook may contain."
import ast, importlib, inspect, json, re, shutil, subprocess, sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
NBS = ROOT/"nbs"
PACKAGE = ROOT/"upgradeability"
TOP = set("""settings.ini setup.py README.md index.ipynb nbs upgradeability tests benchmarks Makefile MANIFEST.in LICENSE CHANGELOG.md
             CONTRIBUTING.md CITATION.cff .gitignore .gitattributes .pre-commit-config.yaml .github .ci""".split())
NEEDED = TOP - {"benchmarks", ".gitattributes"}
MACHINE = re.compile(r"/(?:work|root|tmp|home|Users|usr|opt|private|var)/[\w.-]+|[A-Z]:\\\\?Users")

def read(path): return json.loads(path.read_text(encoding="utf-8"))["cells"]
def source(cell): return "".join(cell["source"])
def code(cells): return [c for c in cells if c["cell_type"] == "code"]
def tags(cell): return cell["metadata"].get("tags", [])

def exported_module(path):
    "The module that a notebook exports, if any."
    return next((m[1] for c in read(path) if (m := re.search(r"^#\| *default_exp +(\S+)", source(c), re.M))), None)

NOTEBOOKS = sorted(p for p in NBS.rglob("*.ipynb") if not any(part.startswith(("_", ".", "runs")) for part in p.relative_to(NBS).parts))
MODULES = {m: p for p in NOTEBOOKS if (m := exported_module(p))}
STUDIES = sorted((NBS/"studies").glob("*.ipynb"))
RUNNABLE = [p for p in NOTEBOOKS if p not in STUDIES and any("parameters" in tags(c) for c in read(p))]
PAGES = {"house", "coverage"}
name = lambda o: getattr(o, "stem", o)

def test_top_level():
    if not (shutil.which("git") and (ROOT/".git").exists()): pytest.skip("needs git and a clone")
    listed = subprocess.run(["git", "ls-files", "--cached", "--others", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    top = {Path(line.strip('"')).parts[0] for line in listed.splitlines()}
    assert top - TOP == set()
    assert NEEDED - top == set()

def test_kinds_of_notebooks():
    "Numbered ones export a module of their name; the others take parameters, are tutorials, studies or pages of prose; the index is a link to the one at the top."
    for p in NOTEBOOKS:
        if p.stem == "index": assert p.resolve() == ROOT/"index.ipynb"
        elif p.stem in PAGES: assert exported_module(p) is None
        elif p.parent.name == "tutorials": assert exported_module(p) is None and p not in RUNNABLE
        elif p in STUDIES: assert exported_module(p) is None
        elif p.parent.name == "kinds": assert exported_module(p) == f"kinds.{p.stem}"
        elif m := re.fullmatch(r"\d\d[a-z]?_(\w+)", p.stem): assert exported_module(p) == m[1]
        else: assert p in RUNNABLE
    assert (NBS/"eval.ipynb") in RUNNABLE

TUTORIALS = sorted((NBS/"tutorials").glob("*.ipynb"))

def headings(cells): return [line for c in cells if c["cell_type"] == "markdown" for line in source(c).splitlines() if line.startswith("#")]

@pytest.mark.parametrize("path", TUTORIALS, ids=name)
def test_tutorial_is_short_and_leads_on(path):
    "A goal as its title, little code per cell, and links at the end to pages that exist."
    cells = read(path)
    assert source(cells[0]).startswith("# ") and "\n> " in source(cells[0])
    assert headings(cells)[-1] == "## What next"
    assert [source(c) for c in code(cells) if len(source(c).splitlines()) > 12] == []
    links = [link for c in cells for link in re.findall(r"\]\(([^)#\s]+\.ipynb)", source(c))]
    assert len(links) >= 3
    assert [link for link in links if not (path.parent/link).exists()] == []

def test_tutorials_are_in_the_sidebar():
    bar = (NBS/"sidebar.yml").read_text(encoding="utf-8")
    assert TUTORIALS and [p.name for p in TUTORIALS if f"- tutorials/{p.name}\n" not in bar] == []

def test_studies_are_read_and_not_tested():
    "They take minutes: nbdev_test leaves out a folder with this file; the site lists them."
    bar = (NBS/"sidebar.yml").read_text(encoding="utf-8")
    assert STUDIES and (NBS/"studies"/".notest").exists()
    assert [p.name for p in STUDIES if f"studies/{p.name}" not in bar] == []

def siblings(path):
    "Modules of the package that a module imports."
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.level or (node.module or "").split(".")[0] == PACKAGE.name):
            inner = (node.module or "").removeprefix(PACKAGE.name).strip(".")
            found |= {inner} if inner else {a.name for a in node.names}
        if isinstance(node, ast.Import): found |= {a.name.split(".")[1] for a in node.names if a.name.startswith(PACKAGE.name + ".")}
    return found

@pytest.mark.parametrize("module", sorted(p.stem for p in PACKAGE.glob("*.py") if p.stem not in ("__init__", "_modidx")))
def test_imports_point_down(module):
    "A module imports modules of a lower number, and hand-written ones, which import none."
    written_by_hand = {"kinds", *(p.stem for p in PACKAGE.glob("*.py"))} - {"__init__", "_modidx"} - MODULES.keys()
    for other in siblings(PACKAGE/f"{module}.py"):
        assert module in MODULES, f"{module} is written by hand and imports {other}"
        assert other in written_by_hand or MODULES[other].stem < MODULES[module].stem, f"{module} imports {other}"

def test_kinds_are_found_without_the_package():
    "The folder of kinds lists its modules and imports none of them; `kind` imports each at first use."
    assert siblings(PACKAGE/"kinds"/"__init__.py") == set()

@pytest.mark.parametrize("path", sorted((PACKAGE/"kinds").glob("[!_]*_*.py")), ids=name)
def test_rooms_of_a_kind_import_no_kind(path):
    "The kind imports its rooms; these import rooms of the same kind only."
    kind = path.stem.partition("_")[0]
    kinds = siblings(path) & {p.stem for p in path.parent.glob("*.py")}
    assert {other.partition("_")[0] for other in kinds} <= {kind} and kind not in kinds

def test_kinds_are_imported_at_first_use():
    "The package imports no kind of task; the digits import classification only."
    probe = "print([m for m in sys.modules if m.startswith('upgradeability.kinds.')])"
    script = f"import sys, upgradeability.report as r, upgradeability.datasets as d; {probe}; d.load_task('digits'); {probe}"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.splitlines() == ["[]", "['upgradeability.kinds.classification']"]

@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=name)
def test_package_needs_no_nbdev(path):
    nodes = list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
    roots = {a.name.split(".")[0] for n in nodes if isinstance(n, ast.Import) for a in n.names}
    roots |= {n.module.split(".")[0] for n in nodes if isinstance(n, ast.ImportFrom) and n.module}
    assert roots & {"nbdev", "fastcore", "execnb"} == set()

@pytest.mark.parametrize("module", ["metrics", "intervals", "transfer"])
def test_statistics_need_no_torch(module):
    if module not in MODULES: pytest.skip(f"no module {module} yet")
    probe = f"import sys, upgradeability.{module}; sys.exit('torch' in sys.modules and 'torch was imported')"
    script = f"import sys, types; p = types.ModuleType('upgradeability'); p.__path__ = [{str(PACKAGE)!r}]; sys.modules['upgradeability'] = p; {probe}"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr

@pytest.mark.parametrize("path", RUNNABLE, ids=name)
def test_runnable_notebook_is_thin(path):
    cells = read(path)
    trees = [ast.parse("\n".join(l for l in source(c).splitlines() if not l.startswith(("%", "!")))) for c in code(cells)]
    logic = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.For, ast.While, ast.Lambda, ast.Try, ast.With)
    assert [type(n).__name__ for t in trees for n in ast.walk(t) if isinstance(n, logic)] == []
    assert len(cells) < 30

@pytest.mark.parametrize("path", RUNNABLE, ids=name)
def test_parameters_are_annotated_and_explained(path):
    "`papermill --help-notebook` reads the annotations and comments of this cell."
    cells = [c for c in read(path) if "parameters" in tags(c)]
    assert len(cells) == 1
    lines = [l for l in source(cells[0]).splitlines() if l.strip() and not l.startswith("#")]
    assert [l for l in lines if not re.match(r"\w+ *: *[^=#]+= *.+# *\w", l)] == []
    names = {l.split(":")[0].strip() for l in lines}
    assert {"out_dir", "seed", "device", "metric", "batch_size", "dtype"} <= names

def outputs(path): return [(c["id"], o) for c in code(read(path)) for o in c["outputs"]]
def output_text(o):
    "What a reader sees of one output; pictures are left out."
    texts = [v for k, v in o.get("data", {}).items() if not k.startswith("image/") or k == "image/svg+xml"]
    return "".join("".join(t) if isinstance(t, list) else str(t) for t in [*texts, o.get("text", ""), o.get("traceback", "")])

@pytest.mark.parametrize("path", NOTEBOOKS, ids=name)
def test_stored_outputs(path):
    "They hold no path of one machine, no warning, no error, and something to see."
    found = outputs(path)
    assert [i for i, o in found if o["output_type"] == "error" or o.get("name") == "stderr"] == []
    assert [(i, m[0]) for i, o in found if (m := MACHINE.search(output_text(o)))] == []
    if path.stem != "index": assert found, "not executed: make notebooks"

@pytest.mark.parametrize("path", NOTEBOOKS, ids=name)
def test_stored_pictures_are_modest(path):
    sizes = [len("".join(v)) for _, o in outputs(path) for k, v in o.get("data", {}).items() if k.startswith("image/")]
    assert max(sizes, default=0) < 500_000 and sum(sizes) < 2_000_000

def interfaces(mod):
    "Functions that share one signature, which is described where their dictionary is (`PROTOCOLS`, `RECOMMENDERS`, `CHECKS`)."
    return {f for k in ("PROTOCOLS", "RECOMMENDERS", "CHECKS") for f in getattr(mod, k, {}).values()}

def functions(module):
    "Public functions of a module, and public methods of its public classes."
    mod = importlib.import_module(f"upgradeability.{module}")
    for o in (getattr(mod, k) for k in mod.__all__):
        if inspect.isfunction(o) and o not in interfaces(mod): yield o
        if inspect.isclass(o): yield from (f for k, f in vars(o).items() if inspect.isfunction(f) and not k.startswith("_") and f.__qualname__ == f"{o.__name__}.{k}")

@pytest.mark.parametrize("module", sorted(MODULES))
def test_public_functions_are_documented(module):
    "A docstring, and a comment beside each parameter."
    from fastcore.docments import docments
    lacking = [f.__qualname__ for f in functions(module) if not f.__doc__]
    for f in functions(module):
        docs = docments(f, full=True, args_kwargs=True)
        lacking += [f"{f.__qualname__}({p})" for p in inspect.signature(f).parameters if p != "self" and not (docs[p].docment or "").strip()]
    assert lacking == [], ", ".join(lacking)

@pytest.mark.parametrize("module", sorted(MODULES))
def test_public_functions_are_typed(module):
    lacking = []
    for f in functions(module):
        signature = inspect.signature(f)
        lacking += [f"{f.__qualname__}({p.name})" for p in signature.parameters.values()
                    if p.annotation is p.empty and p.name != "self" and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
        lacking += [f"{f.__qualname__} -> ?"] * (signature.return_annotation is signature.empty)
    assert lacking == [], ", ".join(lacking)

def test_import_star_gives_the_public_names():
    "Each name is what its module calls so, no name is a module, nothing else comes; catalogues have a line of help each."
    script = """
import types, upgradeability, importlib
found = {}
exec("from upgradeability import *", found)
found.pop("__builtins__")
assert sorted(found) == sorted(upgradeability.__all__)
for name, home in upgradeability._HOME.items():
    assert not isinstance(found[name], types.ModuleType), name
    assert found[name] is getattr(importlib.import_module(f"upgradeability.{home}"), name), name
    assert getattr(upgradeability, name) is found[name], name
for name in "METRICS MODELS PROTOCOLS RECOMMENDERS SCORES TASKS".split():
    for line, entry in zip(repr(found[name]).splitlines(), found[name], strict=True):
        assert line.split("  ")[0] == entry and line.partition("  ")[2].strip(), line
assert {"conll", "interactions"} <= set(found["TASKS"]) and {"r2", "span_f1"} <= set(found["METRICS"])
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
