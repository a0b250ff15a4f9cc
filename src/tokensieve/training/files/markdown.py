"""Markdown for the model card: names of whatever characters are shown as they are, and break nothing around them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence


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


def fenced(language: str, caller: Callable[[], str]) -> str:
    """For Jinja's `call`: its text as a block of code, whatever backticks it holds."""
    text, fence = caller().strip(), "```"
    while fence in text:
        fence += "`"
    return f"{fence}{language}\n{text}\n{fence}\n"


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A table; cells are Markdown of one line each, names in them made by `code`."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)


def literal(name: str) -> str:
    """The name as a string of Python, in double quotes where that takes no escapes."""
    return f'"{name}"' if repr(name) == f"'{name}'" and '"' not in name else repr(name)
