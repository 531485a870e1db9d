"""How Sphinx makes the site of these documents: `nox -s docs`, then open build/site/index.html.

Rule: the pages are Markdown that reads well on its own; nothing of the site needs the network.
"""

from __future__ import annotations

import sys
from pathlib import Path

import aldeamo_async

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE / "_site"))  # the extensions of this site

project = "aldeamo-async"
author = "the aldeamo-async authors"
version = release = aldeamo_async.__version__
language = "en"

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "public_names",
    "two_homes",
]
exclude_patterns = ["_site", "examples"]

myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 4  # links to headings, as in `page.md#a-heading`
suppress_warnings = ["myst.header"]  # a page may go from its title to a small heading
highlight_language = "none"

default_role = "code"
add_module_names = False
autodoc_typehints_format = "short"
python_display_short_literal_types = True
python_maximum_signature_line_length = 72
toc_object_entries_show_parents = "hide"

html_theme = "furo"
html_title = "aldeamo-async"
html_static_path = ["_site/static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sphinx = False
html_show_copyright = False
