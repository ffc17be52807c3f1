"""How Sphinx makes the site of these pages. ``make docs`` builds it; warnings are errors."""

import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE / "extensions"))

project = "Pressroom"
project_copyright = "the Pressroom contributors"
extensions = ["myst_parser", "sphinx.ext.autodoc", "reference_pages"]
exclude_patterns = ["_build", "extensions"]
myst_heading_anchors = 4
nitpicky = True
# What the signatures of the client name are classes of other projects and of ours that have no page.
nitpick_ignore_regex = [("py:.*", ".*")]
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
python_maximum_signature_line_length = 100
smartquotes = False  # flags such as --queue are text, too
html_theme = "furo"
html_title = "Pressroom"
html_static_path = ["static"]
html_css_files = ["tables.css"]
html_copy_source = False
html_show_sphinx = False
html_theme_options = {"navigation_with_keys": True}
linkcheck_timeout = 15
linkcheck_retries = 1
linkcheck_workers = 8
linkcheck_ignore = [
    r"^https?://(127\.0\.0\.1|([^/]+\.)?localhost|0\.0\.0\.0)",
    r"^https?://[^/]*example\.(com|org)",
]
