"""Sphinx's settings. docs/site/build.py lays out the pages that Sphinx reads, and runs it."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
sys.path.insert(0, str(Path(__file__).resolve().parent))
sys.path.insert(0, str(Path(__file__).resolve().parent / "extensions"))

import autorec_np

HERE = Path(__file__).resolve().parent

project = "autorec_np"
author = "The autorec_np developers"
copyright = author
version = release = autorec_np.__version__
language = "en"

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_copybutton",
    "sphinx_design",
    "mathematics",
    "house",
]
source_suffix = {".md": "markdown", ".rst": "restructuredtext"}

html_theme = "furo"
html_title = "autorec_np"
html_static_path = [str(HERE / "static")]
html_css_files = ["site.css"]
html_js_files = ["site.js"]
html_show_sourcelink = False
html_copy_source = False
html_theme_options = {"top_of_page_buttons": []}
html_math_renderer = "mathml"
pygments_style = "a11y-high-contrast-light"
pygments_dark_style = "a11y-high-contrast-dark"

myst_enable_extensions = ["amsmath", "attrs_block", "attrs_inline", "colon_fence", "dollarmath"]
myst_heading_anchors = 4
# files that are copied as they are: a page, and a place or a state in one
_COPIED = {"copied": "{{path}}", "placed": "{{path}}#{{fragment}}"}
myst_url_schemes = {"http": None, "https": None, "mailto": None, **_COPIED}

autodoc_default_options = {"members": True, "inherited-members": True}
autodoc_member_order = "bysource"
autodoc_typehints = "none"
autodoc_class_signature = "mixed"
napoleon_use_rtype = False
napoleon_use_ivar = True
default_role = "literal"

copybutton_exclude = ".linenos, .gp, .go"
