"Sphinx settings; names, version and URLs come from settings.ini."
import importlib, inspect, re
from configparser import ConfigParser
from pathlib import Path
from unittest.mock import patch

import myst_parser.mdit_to_docutils.base as myst_base
from myst_parser.mdit_to_docutils.base import DocutilsRenderer

here = Path(__file__).resolve().parent
_p = ConfigParser(delimiters=["="]); _p.read(here.parent.parent/"settings.ini", encoding="utf-8"); cfg = _p["DEFAULT"]

project, author, release, copyright = cfg["lib_name"], cfg["author"], cfg["version"], cfg["copyright"]
extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.linkcode", "sphinx_copybutton"]
root_doc = "index"
# notebooks: show the stored outputs, run nothing
nb_execution_mode = "off"
nb_render_markdown_format = "myst"
nb_merge_streams = True
nb_ipywidgets_js = {}
myst_enable_extensions = ["dollarmath", "amsmath", "colon_fence", "attrs_inline", "attrs_block", "deflist", "tasklist"]
myst_heading_anchors = 4
suppress_warnings = ["mystnb.unknown_mime_type", "myst.header"]
# API reference
autodoc_typehints = "signature"
autodoc_member_order = "bysource"
add_module_names = False
html_theme = "furo"
html_title = f"{cfg['title']} {release}"
html_static_path = [str(here/"static")]
html_css_files = ["custom.css"]
html_show_sourcelink = html_copy_source = False
html_show_search_summary = False      # summaries are fetched, and a browser fetches nothing from file://
pygments_style, pygments_dark_style = "default", "monokai"
# formulas are MathML, which browsers draw by themselves: no script, no font, no network
html_math_renderer = "mathml"
myst_update_mathjax = False

def math_visitor(display):
    "Write a formula as MathML; a command that the converter does not know is a warning, and so fails the build."
    from docutils import nodes
    from latex2mathml.converter import convert
    from sphinx.util import logging
    def visit(self, node):
        xml = convert(node.astext(), display=display)
        if "\\" in re.sub(r"<annotation.*?</annotation>", "", xml): logging.getLogger(__name__).warning("formula not understood: %s", node.astext(), location=node)
        self.body.append(xml if display == "inline" else f'<div class="math">{xml}</div>')
        raise nodes.SkipNode
    return visit

def linkcode_resolve(domain, info):
    "A link to the line on the code host."
    if domain != "py" or not info["module"]: return None
    try:
        obj = importlib.import_module(info["module"])
        for part in info["fullname"].split("."): obj = getattr(obj, part)
        line = inspect.getsourcelines(inspect.unwrap(obj))[1]
    except Exception: return None
    return f"{cfg['git_url']}/blob/{cfg['branch']}/{info['module'].replace('.', '/')}.py#L{line}"

def to_rst(line):
    "Docstrings are Markdown, as in nbdev: turn formulas and `names` into reStructuredText."
    from nbdev.doclinks import NbdevLookup
    syms = NbdevLookup().syms
    def name(m):
        hit = syms.get(m[1])
        if not isinstance(hit, tuple): return f"``{m[1]}``"
        full = next((k for k, v in syms.items() if v == hit and k.endswith("." + m[1])), m[1])
        return f":py:obj:`{m[1]} <{full}>`"
    line = re.sub(r"(?<![`:])`([^`]+)`(?!`)", name, line)
    return re.sub(r"(?<![\\$])\$(?!\s)([^$]+?)(?<!\s)\$(?!\d)", lambda m: f":math:`{m[1]}`", line)

def docments_to_fields(app, what, name, obj, options, lines):
    "Show the comments beside the parameters (docments) as a parameter list."
    from fastcore.docments import docments
    lines[:] = [to_rst(l) for l in lines]
    if what not in ("function", "method", "class"): return
    try: docs = docments(obj, full=True, returns=True)
    except Exception: return
    fields = []
    for k, v in docs.items():
        text = to_rst(" ".join((v.get("docment") or "").split()))
        if text and k != "self": fields.append(f":returns: {text}" if k == "return" else f":param {k}: {text}")
    if fields and not any(l.startswith(":param") for l in lines):
        if lines and lines[-1]: lines.append("")
        lines += fields + [""]

def render_at_line_zero(self, token, original=DocutilsRenderer.render_restructuredtext):
    """Parse an `eval-rst` block without the blank lines that MyST puts before it to keep line numbers right.

    MyST-NB numbers the lines of cell k from 10,000 k on, so that each block of a long notebook would be parsed behind a million of them.
    """
    with patch.object(myst_base, "token_line", lambda *_, **__: 0): return original(self, token)

DocutilsRenderer.render_restructuredtext = render_at_line_zero

def setup(app):
    app.add_html_math_renderer("mathml", (math_visitor("inline"), None), (math_visitor("block"), None))
    app.connect("autodoc-process-docstring", docments_to_fields)
