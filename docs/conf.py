"""How Sphinx builds the documentation as a site: `sh docs/build-site.sh OUT`."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

import guidebench

project = "guidebench"
author = "guidebench developers"
version = release = guidebench.__version__
html_title = f"guidebench {release}"

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.viewcode", "generated", "docstrings"]
source_suffix = {".md": "markdown"}
exclude_patterns = ["_ext"]

html_theme = "furo"
html_static_path = ["_static"]
html_css_files = ["guidebench.css"]
html_show_sourcelink = False
html_show_copyright = False
html_copy_source = False
html_last_updated_fmt = None  # the same sources give the same site

myst_heading_anchors = 4  # links such as metrics.md#recognised lead to headings, as they do on a code host
myst_enable_extensions = ["fieldlist"]

highlight_language = "text"  # of blocks that name no language: commands
add_module_names = False
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_default_options = {"members": True, "undoc-members": True}
python_use_unqualified_type_names = True
maximum_signature_line_length = 100
viewcode_line_numbers = True
