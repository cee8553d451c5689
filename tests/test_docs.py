"The site and a report, as a browser shows them: complete, silent, and without a request that leaves the machine."
import json, re, subprocess, sys

import pytest

@pytest.fixture(scope="module")
def site(root, tmp_path_factory):
    "The site, built with warnings as errors, if that was not done since the last change."
    built = root/"_docs"/"index.html"
    sources = [p for folder in ("nbs", "upgradeability") for p in (root/folder).rglob("*") if p.suffix in (".ipynb", ".py", ".yml")]
    if built.exists() and built.stat().st_mtime > max(p.stat().st_mtime for p in sources): return built.parent
    dest = tmp_path_factory.mktemp("site")/"html"
    done = subprocess.run([sys.executable, root/"nbs"/"_sphinx"/"build.py", "html", dest], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return dest

def requests(chromium):
    "The addresses that the page asked for since the last call."
    events = [json.loads(e["message"])["message"] for e in chromium.get_log("performance")]
    asked = [e["params"]["request"]["url"] for e in events if e["method"] == "Network.requestWillBeSent"]
    return [url for url in asked if not url.startswith("chrome:")]   # those of the browser's own first page

def looked_at(chromium, page, query=""):
    "Open a page; return the requests, the console's entries and the pictures that failed."
    chromium.get_log("browser"), requests(chromium)
    chromium.get(page.as_uri() + query)
    broken = chromium.execute_script("""
        for (const d of document.querySelectorAll('details')) d.open = true
        return [...document.images].filter(i => { i.loading = 'eager'; return !(i.complete && i.naturalWidth > 0) }).map(i => i.src.slice(0, 100))""")
    return requests(chromium), chromium.get_log("browser"), broken

def assert_quiet(chromium, page, query=""):
    asked, console, broken = looked_at(chromium, page, query)
    assert asked and all(url.startswith(("file:", "data:")) for url in asked), asked
    assert console == []
    assert broken == []

def pages(site): return sorted(p for p in [*site.glob("*.html"), *site.glob("tutorials/*.html"), *site.glob("studies/*.html")] if p.stem not in ("search", "genindex", "py-modindex"))

def test_every_page_is_quiet(site, chromium):
    for page in pages(site): assert_quiet(chromium, page)

def test_a_request_and_a_broken_picture_would_be_seen(chromium, tmp_path):
    page = tmp_path/"bad.html"
    page.write_text('<img src="http://127.0.0.1:9/a.png"><img src="missing.png">')
    asked, console, broken = looked_at(chromium, page)
    assert any(url.startswith("http:") for url in asked)
    assert console and len(broken) == 2

def test_search_finds_a_protocol(site, chromium):
    from selenium.webdriver.common.by import By
    from selenium.webdriver.support.ui import WebDriverWait
    assert_quiet(chromium, site/"search.html", "?q=linear_probe")
    hits = WebDriverWait(chromium, 20).until(lambda d: d.find_elements(By.CSS_SELECTOR, "#search-results li a"))
    assert any("protocols.html" in a.get_attribute("href") for a in hits)
    assert chromium.get_log("browser") == []

def test_site_has_every_notebook(site, root):
    from nbdev.doclinks import _nbpath2html
    from pathlib import Path
    names = [p.relative_to(root/"nbs") for folder in (".", "kinds", "tutorials", "studies") for p in (root/"nbs"/folder).glob("*.ipynb")]
    want = {Path(_nbpath2html(name)) for name in names}
    assert want <= {p.relative_to(site) for p in site.rglob("*.html")}

def test_api_pages_show_public_functions(site, root):
    "Also those that no cell shows explicitly, with the comments beside their parameters."
    import importlib
    from upgradeability._modidx import d
    n_rooms = 0
    for module, symbols in d["syms"].items():
        page = site/f"{module.split('.')[-1]}.html"
        if not page.exists(): continue
        text = page.read_text(encoding="utf-8")
        exported = set(importlib.import_module(module).__all__)   # helpers that modules share are not for users
        public = [s for s in symbols if re.fullmatch(re.escape(module) + r"\.[^_.]\w*", s) and s.split(".")[-1] in exported]
        n_rooms += bool(public) # some rooms have names for other rooms only
        assert [s for s in public if f'id="{s}"' not in text] == []
    assert n_rooms > 20

def test_formulas_are_drawn_without_a_script(site):
    texts = [p.read_text(encoding="utf-8") for p in pages(site)]
    assert any("<math" in t for t in texts)
    assert not any(re.search(r"<script[^>]*mathjax", t, re.I) for t in texts) # tables carry the word: MathJax shall leave them alone

def test_dark_mode(site, chromium):
    chromium.execute_cdp_cmd("Emulation.setEmulatedMedia", dict(features=[dict(name="prefers-color-scheme", value="dark")]))
    try:
        chromium.get((site/"index.html").as_uri())
        red, green, blue = json.loads(chromium.execute_script(
            "return '[' + getComputedStyle(document.body).backgroundColor.match(/\\d+/g).slice(0, 3) + ']'"))
        assert max(red, green, blue) < 80
    finally: chromium.execute_cdp_cmd("Emulation.setEmulatedMedia", dict(features=[]))

def test_fits_a_telephone(site, chromium):
    chromium.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", dict(width=390, height=800, deviceScaleFactor=1, mobile=True))
    try:
        for page in pages(site):
            chromium.get(page.as_uri())
            assert chromium.execute_script("return document.documentElement.scrollWidth") <= 400, page.name
    finally: chromium.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})

def test_report_is_quiet_and_shows_its_pictures(report, chromium):
    page = report.with_suffix(".html")
    assert_quiet(chromium, page)
    assert chromium.execute_script("return document.images.length + document.querySelectorAll('main svg').length") >= 3
    assert chromium.execute_script("return document.scripts.length") == 0
    assert chromium.execute_script("return document.querySelectorAll('table').length") >= 1
    assert chromium.execute_script("return [...document.images].filter(i => !i.alt).length") == 0

def test_report_is_one_small_file(report):
    text = report.with_suffix(".html").read_text(encoding="utf-8")
    assert len(text) < 3e6
    assert "<script" not in text and "xFORMULA" not in text

def test_gallery_shows_every_report_and_tutorial(site, root, chromium):
    chromium.get((site/"gallery.html").as_uri())
    cards = chromium.execute_script("return [...document.querySelectorAll('.gallery .card a:has(img)')].map(a => a.getAttribute('href'))")
    tutorials = {f"tutorials/{p.stem}.html" for p in (root/"nbs"/"tutorials").glob("*.ipynb")}
    assert set(cards) == tutorials | {f"{name}.html" for name in ("eval", "compare", "curve", "rank", "shift", "improve")}
    assert [href for href in cards if not (site/href).exists()] == []

def test_pages_to_look_things_up(site):
    front = (site/"index.html").read_text(encoding="utf-8")
    for name in ("gallery", "howto", "glossary", "changelog", "genindex"):
        assert f'href="{name}.html"' in front and (site/f"{name}.html").exists(), name

def test_expected_mistakes_are_folded(site):
    cells = (site/"tasks.html").read_text(encoding="utf-8").split('<div class="cell ')
    expected = [c for c in cells if re.search(r'<pre><span></span><span class="k">with</span>.{0,60}>expect_fail<', c)]
    assert expected and all(c.startswith("tag_hide-input") for c in expected)

def test_code_is_not_clipped(site, chromium):
    "At a usual width of a window each line of code is seen in full."
    chromium.set_window_size(1400, 1000)
    try:
        for name in ("index", "gallery", "models", "tutorials/choosing"):
            chromium.get((site/f"{name}.html").as_uri())
            assert chromium.execute_script("return [...document.querySelectorAll('.cell_input pre, .highlight-python pre, .highlight-sh pre')]"
                                           ".filter(e => e.scrollWidth > e.clientWidth + 1).map(e => e.textContent.slice(0, 80))") == [], name
    finally: chromium.set_window_size(1280, 1600)
