"""Docstrings for Sphinx: they are written in plain words, with names in single backticks, and not in its markup."""

from __future__ import annotations

import re
from typing import Any

from sphinx.application import Sphinx

_SPAN = re.compile(r"(`[^`]*`)")


def escape(_: Sphinx, kind: str, __: str, ___: object, ____: object, lines: list[str]) -> None:
    """Take stars and bars outside code for themselves: they are mathematics or shell patterns, and no emphasis.

    A name may end in `_`, and the docstring of a property begins with no type.
    """
    parts = _SPAN.split("\n".join(lines))
    parts[::2] = [re.sub(r"([*|])", r"\\\1", part) for part in parts[::2]]
    parts[::2] = [re.sub(r"(?m)^( +\w+)_: ", r"\1\\_: ", part) for part in parts[::2]]
    parts[1::2] = [" ".join(part.split()) for part in parts[1::2]]
    lines[:] = "".join(parts).split("\n")
    if kind == "property":
        lines[0] = lines[0].replace(": ", " - ", 1)


def setup(app: Sphinx) -> dict[str, Any]:
    """Called by Sphinx."""
    app.connect("autodoc-process-docstring", escape, priority=100)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
