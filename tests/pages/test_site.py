"""The site: it builds without a warning, its generated pages tell every name, and the code names pages that exist."""

from __future__ import annotations

import dataclasses
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import typer

from tokensieve import Recipe, ReductionConfig
from tokensieve.cli.app import app
from tokensieve.cli.old_options import OLD_OPTIONS
from tokensieve.cli.settings import DATA_FIELDS, RUN_FIELDS
from tokensieve.config import Prune

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"


def build(source: Path, target: Path) -> subprocess.CompletedProcess[str]:
    """As `make docs` does; the package is the one that the tests import."""
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-n", str(source), str(target)]
    paths = {"PYTHONPATH": str(ROOT / "src")}
    return subprocess.run(
        command, capture_output=True, text=True, timeout=280, check=False, env={**os.environ, **paths}
    )


@pytest.mark.slow
def test_the_site_builds_without_a_warning(tmp_path: Path) -> None:
    """Links that lead nowhere, missing headings, pages that no list has, and names that do not resolve are warnings."""
    done = build(DOCS, tmp_path)
    assert done.returncode == 0, done.stderr
    commands = (tmp_path / "reference" / "cli.html").read_text(encoding="utf-8")
    parser = typer.main.get_command(app)
    for name, command in parser.commands.items():  # type: ignore[attr-defined]
        assert f"tokensieve {name}" in commands
        assert [option for row in command.params for option in row.opts if option not in commands] == []
    settings = (tmp_path / "reference" / "settings.html").read_text(encoding="utf-8")
    fields = [f"train.{field.name}" for field in dataclasses.fields(Recipe)]
    fields += [field.name for field in dataclasses.fields(ReductionConfig) if field.name != "keep"]
    fields += [f"data.{name}" for name in DATA_FIELDS] + [f"run.{name}" for name in RUN_FIELDS]
    for kind, cells in Prune.nested.items():
        for choice, cell in cells.choices.items():
            fields += [f"prune.{kind}={choice}", *(f"prune.{kind}.{field.name}" for field in dataclasses.fields(cell))]
    assert [field for field in fields if f">{field}<" not in settings and f">{field}</span>" not in settings] == []
    old = (tmp_path / "reference" / "old-names.html").read_text(encoding="utf-8")
    assert [name for table in OLD_OPTIONS.values() for name in table if name not in old] == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[a page](nowhere.md)", "nowhere"),
        ("[a heading](index.md#nowhere)", "nowhere"),
        ("```{eval-rst}\n.. autofunction:: tokensieve.nowhere\n```", "nowhere"),
    ],
)
def test_a_broken_page_fails(tmp_path: Path, text: str, told: str) -> None:
    """By the site's own settings."""
    source = tmp_path / "docs"
    source.mkdir()
    for name in ("conf.py", "_ext"):
        (source / name).symlink_to(DOCS / name)
    (source / "index.md").write_text(f"# Index\n\n{text}\n", encoding="utf-8")
    done = build(source, tmp_path / "built")
    assert done.returncode != 0
    assert told in done.stderr


@pytest.mark.slow
def test_a_page_that_no_list_has_fails(tmp_path: Path) -> None:
    source = tmp_path / "docs"
    source.mkdir()
    for name in ("conf.py", "_ext"):
        (source / name).symlink_to(DOCS / name)
    for name in ("index", "lost"):
        (source / f"{name}.md").write_text("# A page\n", encoding="utf-8")
    done = build(source, tmp_path / "built")
    assert done.returncode != 0
    assert "lost.md" in done.stderr


def test_pages_that_the_code_names_exist() -> None:
    named = {
        (str(file.relative_to(ROOT)), page)
        for folder in ("src", "tests", "examples")
        for file in (ROOT / folder).rglob("*.*")
        if file.suffix in {".py", ".jinja", ".service"}
        for page in re.findall(r"docs/[\w./-]+\.md", file.read_text(encoding="utf-8"))
    }
    assert len(named) > 10
    assert [(file, page) for file, page in sorted(named) if not (ROOT / page).is_file()] == []
