"""tests/unit mirrors the package: what tests a module stands in the folder, and has the name, of that module."""

from pathlib import Path

import pytest

from support.paths import PACKAGE, TESTS

UNIT = TESTS / "unit"
# Scripts outside the package, and folders whose tests get the names of their modules together with the modules.
EXCEPTIONS: set[str] = set()


def mirrored(files: list[Path]) -> list[Path]:
    """The files, as paths below tests/unit, that no exception covers."""
    paths = [file.relative_to(UNIT) for file in files]
    return [path for path in paths if path.parts[0] not in EXCEPTIONS]


FILES = mirrored(sorted(UNIT.rglob("test_*.py")))


def module_of(test: Path) -> str | None:
    """The module or package that a test file is named after: `test_MODULE.py`, or `test_MODULE_ASPECT.py`."""
    words = test.stem.removeprefix("test_").split("_")
    names = ["_".join(words[:count]) for count in range(len(words), 0, -1)]
    folder = PACKAGE / test.parent
    found = [name for name in names if (folder / f"{name}.py").is_file() or (folder / name / "__init__.py").is_file()]
    return found[0] if found else None


def test_there_are_tests() -> None:
    assert Path("runtime/test_engine.py") in FILES
    assert module_of(Path("runtime/test_engine_stream.py")) == "engine"
    assert module_of(Path("runtime/test_no_module.py")) is None


@pytest.mark.parametrize("test", FILES, ids=str)
def test_a_test_is_named_after_its_module(test: Path) -> None:
    assert module_of(test), f"src/tokensieve/{test.parent} has no module whose name begins {test.name}"


def test_folders_of_tests_are_packages() -> None:
    folders = {path.parent for path in mirrored(sorted(UNIT.rglob("*.py")))} - {Path()}
    assert [str(folder) for folder in sorted(folders) if not (PACKAGE / folder / "__init__.py").is_file()] == []


def test_exceptions_are_needed() -> None:
    assert {name for name in EXCEPTIONS if not (UNIT / name).is_dir()} == set()
