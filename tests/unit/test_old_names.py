"""Modules, classes and functions of earlier versions can still be imported; each import names what to write today."""

import re
import sys
from importlib import import_module
from pathlib import Path

import pytest

import tokensieve
from tokensieve.old_names import MODULES, NAMES, renamed_keyword

PACKAGE = Path(tokensieve.__file__).parent


def imported(dotted: str) -> object:
    """A module, or what a module has under a name."""
    module, _, name = dotted.rpartition(".")
    return getattr(import_module(module), name)


@pytest.fixture(autouse=True)
def not_yet_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    for old in MODULES:
        for name in [name for name in sys.modules if name == old or name.startswith(f"{old}.")]:
            monkeypatch.delitem(sys.modules, name)


@pytest.mark.parametrize(("old", "new"), MODULES.items())
def test_modules(old: str, new: str) -> None:
    with pytest.warns(DeprecationWarning) as caught:
        module = import_module(old)
    assert f"{old} is now called {new}; " in str(caught[-1].message)
    for name, value in vars(import_module(new)).items():
        assert name.startswith("__") or getattr(module, name) is value
    with pytest.raises(AttributeError):
        _ = module.there_is_no_such_name


@pytest.mark.parametrize(("old", "new"), NAMES.items())
def test_names(old: str, new: str) -> None:
    with pytest.warns(DeprecationWarning, match="is now called"):
        assert imported(old) is imported(new)


def test_the_front_door() -> None:
    with pytest.warns(DeprecationWarning, match="PTCClassifier is now called TokensieveClassifier") as caught:
        estimator = tokensieve.PTCClassifier(
            preset="fast", pruning="ratio", keep_ratio=0.5, site="hidden", combine_layer=3, combination_tokens=4
        )
    assert caught[0].filename == __file__
    assert isinstance(estimator, tokensieve.TokensieveClassifier)
    assert estimator.settings == {
        "prune.select": "top-share",
        "prune.schedule": {"name": "constant", "keep": 0.5},
        "prune.site": "ahead",
        "combine.layer": 3,
        "combine.tokens": 4,
    }
    with pytest.warns(DeprecationWarning):
        assert tokensieve.PTCClassifier().get_params() == tokensieve.TokensieveClassifier().get_params()
    with pytest.raises(AttributeError):
        _ = tokensieve.no_such_name


@pytest.mark.parametrize("old", ["tokensieve.bench.figures", "tokensieve.bench.subjects", "tokensieve.demo"])
def test_a_wheel_has_no_benchmarks(old: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "tokensieve_bench"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, "path", [place for place in sys.path if not (Path(place) / "tokensieve_bench").is_dir()])
    today = {"tokensieve.bench": "tokensieve_bench", "tokensieve.demo": "tokensieve_bench.demo"}
    outer = old if old in today else old.rpartition(".")[0]
    text = f"No module named '{outer}': it is now {today[outer]}, which only a clone of the repository has"
    with pytest.raises(ModuleNotFoundError, match=re.escape(text)):
        import_module(old)


def test_modules_of_the_benchmarks_follow_their_package() -> None:
    with pytest.warns(DeprecationWarning, match="is now called tokensieve_bench.contenders.onnx"):
        assert imported("tokensieve.bench.subjects.onnx.Onnx") is imported("tokensieve_bench.contenders.onnx.Onnx")
    with pytest.warns(DeprecationWarning, match="is now called tokensieve_bench.report"):
        import_module("tokensieve.bench.report")


@pytest.mark.parametrize("old", MODULES)
def test_the_old_module_is_gone(old: str) -> None:
    place = PACKAGE.joinpath(*old.split(".")[1:])
    assert not place.with_suffix(".py").exists()
    assert not (place / "__init__.py").exists()


def test_keywords() -> None:
    @renamed_keyword("ahead", "prefetch")
    def read(number: int, *, prefetch: bool = True) -> tuple[int, bool]:
        return number, prefetch

    assert read(1, prefetch=False) == (1, False)
    with pytest.warns(DeprecationWarning, match=r"read\(ahead=\.\.\.\) is now called prefetch=\.\.\.") as caught:
        assert read(1, **{"ahead": False}) == (1, False)
    assert caught[0].filename == __file__
    with pytest.raises(TypeError, match="got 'prefetch' twice"):
        read(1, prefetch=False, **{"ahead": False})


def test_a_module_that_never_was() -> None:
    with pytest.raises(ModuleNotFoundError, match=r"No module named 'tokensieve\.nothing'"):
        import_module("tokensieve.nothing")


def test_the_warning_is_about_the_line_that_imports() -> None:
    with pytest.warns(DeprecationWarning, match="WordsOnDisk|words_on_disk") as caught:
        from tokensieve.model.words_on_disk import WordsOnDisk  # noqa: F401
    assert {warning.filename for warning in caught} == {__file__}
