"""Directives whose text comes from the package: the commands from the parser, settings from the dataclasses.

So these pages cannot tell anything but what the code does. The directives write Markdown, which the page's parser
reads.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Iterator
from dataclasses import MISSING, Field, fields
from typing import Any, ClassVar

import typer
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from tokensieve.cli.app import app
from tokensieve.cli.old_options import OLD_OPTIONS
from tokensieve.cli.settings import DATA_FIELDS, RUN_FIELDS
from tokensieve.config import Deferral, Prune, ReductionConfig
from tokensieve.reduce.cell import Cell
from tokensieve.training.recipe import Recipe
from tokensieve.words.settings import WordsSettings


def command_reference() -> Iterator[str]:
    """A section for each command: its docstring, and a row for each option."""
    commands: dict[str, Any] = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    for name, command in commands.items():
        context = typer.Context(command, info_name=name)
        yield from ("", f"## tokensieve {name}", "", *_paragraphs(command.help))
        options = [option for option in command.params if not option.hidden]
        panels = dict.fromkeys(getattr(option, "rich_help_panel", None) for option in options)
        for panel in panels:
            yield from ("", "" if panel is None else f"**{panel}**", "", "| option | meaning |", "|---|---|")
            shown = (option for option in options if getattr(option, "rich_help_panel", None) == panel)
            for option in shown:
                usage, text = option.get_help_record(context)
                yield f"| {_code(usage)} | {_cell(text)} |"


def reduction_settings() -> Iterator[str]:
    """The settings of the token reduction, by dotted path, and those of each choice."""
    yield from ("", "### Parts", "", *_table("", ReductionConfig, leave_out=("keep",)))
    yield from ("", "### prune", "", *_table("prune.", Prune))
    for kind, cells in Prune.nested.items():
        yield from _choices(f"prune.{kind}", cells)
    yield from _choices("combine", ReductionConfig.nested["combine"])
    yield from ("", "### defer", "", *_table("defer.", Deferral))


def recipe_settings() -> Iterator[str]:
    """The fields of the training's recipe."""
    yield from _table("train.", Recipe)


def words_settings() -> Iterator[str]:
    """The settings of a bag of words, which have no path on the command line."""
    yield from _table("", WordsSettings)


def data_settings() -> Iterator[str]:
    """The paths that begin with data. and run., with their defaults."""
    for head, known in (("data", DATA_FIELDS), ("run", RUN_FIELDS)):
        yield from ("", f"### {head}", "", "| path | default |", "|---|---|")
        yield from (f"| `{head}.{name}` | {_value(field.default)} |" for name, field in known.items())


def old_options() -> Iterator[str]:
    """The options of version 0.1.0 that have other names, each with its new one."""
    yield from ("| 0.1.0 | today |", "|---|---|")
    known = {name: option for table in OLD_OPTIONS.values() for name, option in table.items()}
    yield from (f"| `{name}` | `{option.notice}` |" for name, option in known.items())


def _choices(path: str, kind: type[Cell]) -> Iterator[str]:
    """A table of the choices of a kind of cells, and the settings of each."""
    yield from ("", f"### {path}", "")
    for name, choice in kind.choices.items():
        yield from ("", f"`{path}={name}`: {_first_line(choice)}", "")
        if fields(choice):
            yield from _table(f"{path}.", choice)


def _table(head: str, settings: type[Any], leave_out: Iterable[str] = ()) -> Iterator[str]:
    told = attributes(inspect.getdoc(settings) or "")
    yield from ("| path | default | meaning |", "|---|---|---|")
    for field in fields(settings):
        if field.name not in leave_out:
            yield f"| `{head}{field.name}` | {_default(field)} | {_cell(told.get(field.name, ''))} |"


def attributes(doc: str) -> dict[str, str]:
    """What a docstring tells under "Attributes:", by name."""
    found: dict[str, str] = {}
    name = ""
    for line in doc.partition("Attributes:\n")[2].splitlines():
        if line and not line.startswith(" "):
            break
        if begins := re.match(r"    (\w+): (.*)", line):
            name, text = begins.groups()
            found[name] = text
        elif line.strip() and name:
            found[name] += " " + line.strip()
    return found


def _default(field: Field[Any]) -> str:
    if field.default is not MISSING:
        return _value(field.default)
    made = field.default_factory() if field.default_factory is not MISSING else ""
    return f"`{getattr(made, 'name', type(made).__name__)}`"


def _value(value: object) -> str:
    if isinstance(value, tuple):
        return f"`{','.join(map(str, value))}`" if value else "none"
    return {None: "none", True: "true", False: "false"}.get(value, f"`{value}`") if _plain(value) else f"`{value}`"


def _plain(value: object) -> bool:
    return value is None or isinstance(value, bool)


def _first_line(choice: type[Any]) -> str:
    return (inspect.getdoc(choice) or "").partition("\n")[0]


def _paragraphs(text: str | None) -> list[str]:
    """A docstring as Markdown; an example is code."""
    shown = []
    for paragraph in (text or "").strip().split("\n\n"):
        joined = " ".join(line.strip() for line in paragraph.splitlines())
        lead, found, command = joined.partition("Example: ")
        shown += ["", lead and _options_as_code(lead), *(("```text", command, "```") if found else ())]
    return shown


def _options_as_code(text: str) -> str:
    """Options outside code are set as code."""
    parts = re.split(r"(`[^`]*`)", text)
    parts[::2] = [re.sub(r"(?<![\w-])(--[a-z][\w.-]*)", r"`\1`", part.replace("<", "\\<")) for part in parts[::2]]
    return "".join(parts)


def _cell(text: str) -> str:
    escaped = text.replace("|", "\\|").replace("*", "\\*").replace("[", "\\[").replace("_", "\\_")
    return re.sub(r"`([^`]*)`", lambda code: f"`{code[1].replace(chr(92), '')}`", _options_as_code(escaped))


def _code(text: str) -> str:
    return "`" + text.replace("|", "\\|") + "`"


TEXTS = {
    "commands": command_reference,
    "reduction": reduction_settings,
    "recipe": recipe_settings,
    "words": words_settings,
    "data": data_settings,
    "old-options": old_options,
}


class FromSource(SphinxDirective):
    """`{from-source} commands`: the text that the package tells of itself."""

    required_arguments = 1
    option_spec: ClassVar = {}

    def run(self) -> list[nodes.Node]:
        """The nodes of the Markdown."""
        text = "\n".join(TEXTS[self.arguments[0]]())
        return self.parse_text_to_nodes(text, allow_section_headings=True)


def setup(app: Sphinx) -> dict[str, bool]:
    """Called by Sphinx."""
    app.add_directive("from-source", FromSource)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
