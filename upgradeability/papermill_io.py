"""papermill finds the packaged notebooks by name: `papermill eval.ipynb out.ipynb`, or `upgradeability://eval.ipynb`

papermill imports this module at each of its starts, in every environment that has this package,
so it needs the standard library only.
"""
import json
from difflib import get_close_matches
from pathlib import Path

SCHEME = "upgradeability://"

def notebook_dir() -> Path:
    "Folder of the packaged notebooks; in a checkout (editable install) that is `nbs/`."
    here = Path(__file__).resolve().parent
    for p in (here/"notebooks", here.parent/"nbs"):
        if p.is_dir(): return p
    raise FileNotFoundError(f"The notebooks of upgradeability are missing beside {here}. Reinstall the package.")

def _takes_parameters(path):
    "Whether a notebook has a cell with the tag `parameters`."
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return any("parameters" in cell["metadata"].get("tags", []) for cell in cells)

def notebook_names() -> list:
    "Names of the notebooks that take parameters, the reports."
    return [p.name for p in sorted(notebook_dir().glob("*.ipynb")) if _takes_parameters(p)]

def notebook_path(
    name:str, # `eval`, `eval.ipynb` or `upgradeability://eval.ipynb`
) -> Path: # the file
    "Path of a packaged notebook."
    want = Path(name.removeprefix(SCHEME)).with_suffix(".ipynb").as_posix()
    found = {p.name: p for p in notebook_dir().glob("*.ipynb")}
    if want in found: return found[want]
    near = get_close_matches(want, found, 1)
    raise ValueError(f"Unknown notebook {want!r} in {SCHEME}.{f' Did you mean {near[0]!r}?' if near else ''} "
                     f"Known: {', '.join(notebook_names())}. A notebook of your own is given by its path.")

class NotebookHandler:
    "Reads packaged notebooks for papermill; the scheme is read-only."
    @classmethod
    def read(cls, path): return notebook_path(path).read_text(encoding="utf-8")
    @classmethod
    def listdir(cls, path): return [SCHEME + o for o in notebook_names()]
    @classmethod
    def write(cls, buf, path):
        raise ValueError(f"{path} cannot be written: {SCHEME} is read-only. Give a local path for the output.")
    @classmethod
    def pretty_path(cls, path): return path

class LocalFirst:
    "A local file wins; without one, a bare name means the packaged notebook."
    @staticmethod
    def _local():
        from papermill.iorw import papermill_io
        return papermill_io.get_handler("local")
    @classmethod
    def read(cls, path):
        is_bare_name = path == Path(path).name
        is_packaged = is_bare_name and path in notebook_names()
        if Path(path).exists() or not is_packaged: return cls._local().read(path)
        return notebook_path(path).read_text(encoding="utf-8")
    @classmethod
    def write(cls, buf, path): return cls._local().write(buf, path)
    @classmethod
    def listdir(cls, path): return cls._local().listdir(path)
    @classmethod
    def pretty_path(cls, path): return path
