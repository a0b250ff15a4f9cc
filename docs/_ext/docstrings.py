"""Docstrings for Sphinx: they are written in plain words, with names in single backticks, and not in its markup."""

from __future__ import annotations

import re
from typing import Any

from sphinx.application import Sphinx

_SPAN = re.compile(r"(`[^`]*`)")


def escape(*event: Any) -> None:
    """Take stars and bars outside code for themselves: they are mathematics or shell patterns, and no emphasis."""
    lines: list[str] = event[-1]
    parts = _SPAN.split("\n".join(lines))
    for place in range(0, len(parts), 2):
        parts[place] = parts[place].replace("*", "\\*").replace("|", "\\|")
    for place in range(1, len(parts), 2):
        parts[place] = " ".join(parts[place].split())
    lines[:] = "".join(parts).split("\n")


def setup(app: Sphinx) -> dict[str, Any]:
    """Called by Sphinx."""
    app.connect("autodoc-process-docstring", escape, priority=100)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
