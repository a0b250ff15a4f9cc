"""Markdown for the model card: names of whatever characters are shown as they are, and break nothing around them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence


def code(name: object) -> str:
    """A name on one line, in code type; characters that would end that, or a table's cell, as HTML entities."""
    shown = visible(str(name))
    if not shown:
        return "(no name)"
    if re.search(r"[`|\\]", shown) or shown != shown.strip():
        return re.sub(r"[\W_]", lambda match: f"&#{ord(match[0])};", shown)
    return f"`{shown}`"


def visible(name: str) -> str:
    """The name with line breaks, control characters and lone surrogates as Python's escapes."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in name)


def fenced(text: str, language: str) -> str:
    """A block of code, whatever backticks it holds."""
    fence = "```"
    while fence in text:
        fence += "`"
    return f"{fence}{language}\n{text}\n{fence}"


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A table; cells are Markdown of one line each, names in them made by `code`."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)
