"Packaging reads everything from settings.ini; the notebooks of nbs/ ship inside the wheel as upgradeability/notebooks/."
import json
from configparser import ConfigParser
from pathlib import Path
from setuptools import find_packages, setup

here = Path(__file__).resolve().parent
parser = ConfigParser(delimiters=["="])
parser.read(here/"settings.ini", encoding="utf-8")
cfg = parser["DEFAULT"]
lib = cfg["lib_path"]
statuses = {"1": "1 - Planning", "2": "2 - Pre-Alpha", "3": "3 - Alpha", "4": "4 - Beta", "5": "5 - Production/Stable"}

def requirements(kind): return cfg.get(f"{kind}_requirements", "").split()

extras = {kind: requirements(kind) for kind in ("text", "recommend", "fast", "ray", "dask", "mlflow", "docs")}
tested = [kind for kind in extras if kind not in ("ray", "dask", "mlflow")]   # their tests run where these are installed
extras["dev"] = sorted({*requirements("dev"), *(r for kind in tested for r in extras[kind])})

def takes_parameters(path):
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return any("parameters" in cell["metadata"].get("tags", []) for cell in cells)

runnable = [path.name for path in sorted((here/cfg["nbs_path"]).glob("*.ipynb")) if takes_parameters(path)]
readme = here/"README.md"

setup(
    name=cfg["lib_name"],
    version=cfg["version"],
    description=cfg["description"],
    long_description=readme.read_text(encoding="utf-8") if readme.exists() else cfg["description"],
    long_description_content_type="text/markdown",
    keywords=cfg["keywords"].split(),
    license="Apache-2.0",
    license_files=["LICENSE"],
    author=cfg["author"],
    author_email=cfg["author_email"],
    url=cfg["git_url"],
    classifiers=[
        f"Development Status :: {statuses[cfg['status']]}",
        f"Intended Audience :: {cfg['audience']}",
        f"Natural Language :: {cfg['language']}",
        "Programming Language :: Python :: 3",
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
    ],
    packages=find_packages(include=[lib, lib + ".*"]) + [lib + ".notebooks"],
    package_dir={lib + ".notebooks": cfg["nbs_path"]},
    package_data={lib + ".notebooks": ["*.ipynb", "*/*.ipynb"]},
    python_requires=">=" + cfg["min_python"],
    install_requires=cfg["requirements"].split(),
    extras_require=extras,
    entry_points={
        "console_scripts": [cfg["console_scripts"]],
        # a bare `eval.ipynb` means the local file, else the packaged one; upgradeability:// always the packaged one
        "papermill.io": [f"{name} = {lib}.papermill_io:LocalFirst" for name in runnable] + [f"{lib}:// = {lib}.papermill_io:NotebookHandler"],
        "nbdev": [f"{lib} = {lib}._modidx:d"],
    },
    zip_safe=False,
)
