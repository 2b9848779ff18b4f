"""How Sphinx makes a site of these pages: make docs."""

from __future__ import annotations

project = "Thoth"
author = "The Thoth developers"
copyright = "The Thoth developers, Apache License 2.0"

extensions = ["myst_parser"]
exclude_patterns = ["_build", "generate"]
source_suffix = {".md": "markdown"}
# The headings that a link may end in, with the names that they have on GitHub too.
myst_heading_anchors = 4
# A link of one name leads to a heading of the same page, and nothing else is tried.
myst_all_links_external = False
nitpicky = True
# What a shell prints, and lines of JSON cut short, are no code of any language.
highlight_language = "text"

html_theme = "furo"
html_title = "Thoth"
html_copy_source = False
html_show_sphinx = False
# Where a page says when it was built, two builds differ.
html_last_updated_fmt = None
