"""Tests are skipped for the lack of a package only where CI lacks it, too."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from support import packages
from support.paths import TESTS


def asked_for(path: Path) -> Iterator[str]:
    """The packages without which tests of a file are skipped, as they stand there."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "pytest.importorskip":
            yield ast.unparse(node.args[0])


def test_what_ci_installs_is_needed() -> None:
    allowed = {repr(name) for name in packages.MAY_BE_ABSENT}
    files = [path for path in TESTS.rglob("*.py") if path != Path(packages.__file__)]
    wrong = {path.relative_to(TESTS): names for path in files if (names := {*asked_for(path)} - allowed)}
    assert not wrong, "take support.packages.needed, which fails where CI is set"


@pytest.mark.parametrize(("where", "outcome"), [("1", pytest.fail.Exception), ("", pytest.skip.Exception)])
def test_a_package_that_is_not_there(where: str, outcome: type[BaseException], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI", where)
    with pytest.raises(outcome, match=r"no nowhere_to_be_found .*pip install 'tokensieve\[all,dev\]'"):
        packages.needed("nowhere_to_be_found")
    assert packages.needed("json.decoder").JSONDecoder
