"Shared by all tests: one feature cache, the data beside the checkout, a browser, a report."
import os, shutil
from pathlib import Path

import pytest
import warm

ROOT = Path(__file__).resolve().parent.parent
SHARED = ROOT.parent/"shared"/"data"
os.environ.setdefault("UPGRADEABILITY_CACHE", str(ROOT/".cache"))   # as `make test` sets it, so that the lessons' features serve here too
os.environ.setdefault("MPLBACKEND", "agg")
os.environ.setdefault("UPGRADEABILITY_STRICT", "1")   # a part of a report that fails is an error here
warm.use()

# no sandbox and no GPU, so that it starts in a container; nothing that Chromium would ask of the network by itself
CHROMIUM = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-quic", "--no-first-run",
            "--disable-background-networking", "--disable-component-update", "--disable-sync", "--window-size=1280,1600"]

# files that take longest, which begin first: otherwise one process is still at them when the others are done
LONG = "choice_notebooks eval_notebook hostile_names going_on report runs packaging jupyterlab entities page mistakes".split()

def pytest_collection_modifyitems(items):
    "The longest files first, the others in their order."
    def place(item):
        name = item.path.stem.removeprefix("test_")
        return LONG.index(name) if name in LONG else len(LONG)
    items.sort(key=place)

@pytest.fixture(scope="session")
def root(): return ROOT

@pytest.fixture(scope="session")
def shared_data():
    "The folder of sample data sets that may lie beside the checkout."
    if not SHARED.is_dir(): pytest.skip("needs the sample data in ../shared/data")
    return SHARED

@pytest.fixture(scope="session")
def chromium(tmp_path_factory):
    "A headless Chromium that logs its requests and its console."
    browser, driver = (shutil.which(o) for o in ("chromium", "chromedriver"))
    if not (browser and driver): pytest.skip("needs Chromium and its driver (Debian: chromium, chromium-driver)")
    from selenium import webdriver
    options = webdriver.ChromeOptions()
    options.binary_location = browser
    for flag in [*CHROMIUM, f"--user-data-dir={tmp_path_factory.mktemp('chromium')}"]: options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", dict(performance="ALL", browser="ALL"))
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(executable_path=driver))
    yield driver
    driver.quit()

@pytest.fixture(scope="session")
def report(tmp_path_factory):
    "A small run of the notebook `eval`: the executed notebook; its page lies beside it."
    from upgradeability import write_report
    folder = tmp_path_factory.mktemp("report")
    return Path(write_report("eval", folder/"eval.ipynb", n_train=200, protocols="majority, knn, linear_probe", out_dir=str(folder/"runs")))
