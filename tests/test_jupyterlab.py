"JupyterLab in a real browser: a tutorial is opened, run by its menu to the end, and its figures are seen."
import os, re, socket, subprocess, sys, time
from urllib.request import urlopen

import nbformat, pytest

PATIENCE = 900 # seconds for the whole notebook, which takes less than one minute where nothing else is running
TOKEN = "tutorials"

def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]

def wait_until_answering(address, server, seconds=180):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        assert server.poll() is None, "JupyterLab ended by itself"
        try:
            with urlopen(f"{address}/api", timeout=10): return
        except OSError: time.sleep(.5)
    raise TimeoutError(f"JupyterLab does not answer after {seconds} seconds")

def without_outputs(notebook, folder):
    "Store a copy of a notebook without its outputs, so that what is seen later is new."
    nb = nbformat.read(notebook, as_version=4)
    for c in code_cells(nb): c.outputs = []
    nbformat.write(nb, folder/notebook.name)

def code_cells(nb): return [c for c in nb.cells if c.cell_type == "code"]

def show_all_cells(settings):
    "JupyterLab draws the cells in view only, unless its settings say otherwise."
    path = settings/"@jupyterlab"/"notebook-extension"/"tracker.jupyterlab-settings"
    path.parent.mkdir(parents=True)
    path.write_text('{"windowingMode": "none"}')

@pytest.fixture
def lab(root, tmp_path, monkeypatch):
    "The address of a JupyterLab whose only notebook is a copy of the first tutorial; its settings are in an empty folder."
    pytest.importorskip("jupyterlab")
    folder = tmp_path/"tutorials"
    folder.mkdir()
    without_outputs(root/"nbs"/"tutorials"/"first_report.ipynb", folder)
    own = {name: str(tmp_path/name) for name in ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "JUPYTERLAB_SETTINGS_DIR", "JUPYTERLAB_WORKSPACES_DIR")}
    show_all_cells(tmp_path/"JUPYTERLAB_SETTINGS_DIR")
    path = os.pathsep.join([str(root), os.environ.get("PYTHONPATH", "")])
    env = dict(os.environ, PYTHONPATH=path, **own)
    env.pop("MPLBACKEND", None) # the tests' own choice draws nothing in a notebook
    port = free_port()
    options = dict(root_dir=folder, ip="127.0.0.1", port=port, port_retries=0, allow_root=True, open_browser=False)
    flags = [f"--ServerApp.{name}={value}" for name, value in options.items()]
    news = ["--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate", "--LabApp.news_url=None", f"--IdentityProvider.token={TOKEN}"]
    with (tmp_path/"server.log").open("w") as log:
        server = subprocess.Popen([sys.executable, "-m", "jupyterlab", *flags, *news], env=env, stdout=log, stderr=log)
    address = f"http://127.0.0.1:{port}"
    try:
        wait_until_answering(address, server)
        yield address
    finally:
        server.terminate()
        server.wait(60)

def when(driver, condition, seconds):
    from selenium.common.exceptions import WebDriverException
    from selenium.webdriver.support.ui import WebDriverWait
    return WebDriverWait(driver, seconds, poll_frequency=.5, ignored_exceptions=[WebDriverException]).until(condition)

def element(driver, selector, text=""):
    "The first visible element with a text, None without one."
    from selenium.webdriver.common.by import By
    found = driver.find_elements(By.CSS_SELECTOR, selector)
    return next((e for e in found if e.is_displayed() and text in e.text), None)

def click(driver, selector, text, seconds=60):
    "Click on what has this text, once it is there."
    def clicked(d):
        found = element(d, selector, text)
        if found: found.click()
        return found
    when(driver, clicked, seconds)

def is_ready(driver):
    "Whether the notebook is there and its kernel waits for work."
    return element(driver, ".jp-NotebookPanel .jp-Cell") and element(driver, ".jp-Notebook-ExecutionIndicator[data-status='idle']")

def prompts(driver):
    "What is written beside each code cell: `[3]:` where it has run, `[*]:` where it waits."
    return driver.execute_script("return [...document.querySelectorAll('.jp-CodeCell .jp-InputPrompt')].map(e => e.textContent.trim())")

def errors(driver):
    return driver.execute_script("return [...document.querySelectorAll('.jp-OutputArea-output[data-mime-type*=error]')].map(e => e.textContent)")

def finished(driver):
    "Whether every code cell has run, or one has failed."
    numbers = prompts(driver)
    return errors(driver) or numbers and all(re.fullmatch(r"\[\d+\]:", n) for n in numbers)

def figures(driver):
    "Width and height of the pictures among the outputs, as the browser draws them."
    return driver.execute_script("""
        const found = document.querySelectorAll('.jp-OutputArea-output img, .jp-RenderedSVG svg')
        return [...found].map(e => [e.naturalWidth ?? e.clientWidth, e.clientHeight])""")

def test_first_report_by_its_menu(root, lab, chromium):
    cells = code_cells(nbformat.read(root/"nbs"/"tutorials"/"first_report.ipynb", as_version=4))
    n_figures = sum("image/png" in o.get("data", {}) for c in cells for o in c.outputs)
    chromium.get(f"{lab}/lab/tree/first_report.ipynb?token={TOKEN}")
    when(chromium, is_ready, 180)
    when(chromium, lambda d: len(prompts(d)) == len(cells), 60)
    assert figures(chromium) == []
    click(chromium, ".lm-MenuBar-item", "Run")
    click(chromium, ".lm-Menu-item", "Run All Cells")
    when(chromium, lambda d: "[*]:" in prompts(d), 60)
    when(chromium, finished, PATIENCE)
    assert errors(chromium) == []
    seen = figures(chromium)
    assert len(seen) == n_figures > 0 and all(width > 200 and height > 100 for width, height in seen), seen
