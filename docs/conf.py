"""Sphinx builds the site from this folder: `make docs`."""

import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE / "_ext"))

from tokensieve.version import __version__  # noqa: E402  # after the path is set, as the extensions are

project = "tokensieve"
author = "tokensieve developers"
copyright = "tokensieve developers, Apache-2.0"
release = version = __version__
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "from_source", "docstrings"]
exclude_patterns = ["_ext"]
html_theme = "furo"
html_title = f"tokensieve {__version__}"
smartquotes = False  # options keep their two dashes, and values their quotes

myst_enable_extensions = ["deflist", "dollarmath", "attrs_inline"]
myst_heading_anchors = 4  # links to a heading of any page are checked

default_role = "code"  # our docstrings have names in single backticks
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_default_options = {"members": True}
napoleon_use_ivar = True
python_use_unqualified_type_names = True
add_module_names = False

# Names in signatures of packages that have sites of their own. An inventory of each would have to be downloaded.
nitpick_ignore_regex = [
    ("py:.*", r"(?!tokensieve).*"),
    # Parts inside, which signatures name and users do not. All other names of ours have to resolve.
    ("py:.*", r"tokensieve\.(cascade|checks|data|kernels|model|reduce|runtime|words)\..*"),
]
