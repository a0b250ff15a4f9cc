"""The scripts of benchmarks/ are commands: called by path they run, and refuse what their config lacks."""

import os
import runpy
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from support.packages import needed
from support.paths import ROOT

BENCHMARKS = ROOT / "benchmarks"
SCRIPTS = sorted(path for path in BENCHMARKS.glob("*/*.py") if path.parent.name != "tokensieve_bench")
TEXTS = {path: path.read_text(encoding="utf-8") for path in SCRIPTS}
COMMANDS = [path for path, text in TEXTS.items() if "def main(" in text]
PARSERS = ("ArgumentParser(", "config_parser(", "read_config()")
NEEDED = {"convert_focus": "onnx"}

Call = Callable[..., int | str | None]


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch) -> Call:
    """`call(script, *arguments)` runs a script in this process; its exit status, or the error that ends it."""

    def run(script: Path, *arguments: str) -> int | str | None:
        if script.stem in NEEDED:
            needed(NEEDED[script.stem])
        monkeypatch.setattr(sys, "argv", [str(script), *arguments])
        monkeypatch.setattr(os, "environ", os.environ.copy())  # threads are the other tests' too
        monkeypatch.setattr(torch, "set_num_threads", lambda _: None)
        monkeypatch.syspath_prepend(str(script.parent))  # as for a script that is called by path
        with pytest.raises(SystemExit) as ended:
            runpy.run_path(str(script), run_name="__main__")
        return ended.value.code

    return run


@pytest.mark.parametrize("script", COMMANDS, ids=lambda path: path.stem)
def test_a_script_with_a_main_runs_it(script: Path) -> None:
    assert TEXTS[script].endswith('if __name__ == "__main__":\n    main()\n')


def test_most_scripts_have_a_parser() -> None:
    assert len([path for path in COMMANDS if any(word in TEXTS[path] for word in PARSERS)]) > 25


@pytest.mark.parametrize(
    "script", [path for path in COMMANDS if any(word in TEXTS[path] for word in PARSERS)], ids=lambda path: path.stem
)
def test_a_script_tells_its_options(script: Path, call: Call, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(script, "--help") == 0
    assert capsys.readouterr().out.startswith("usage: ")


def test_merge_without_a_record_says_what_it_wants(call: Call, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(BENCHMARKS / "accuracy" / "merge.py") == 2
    assert "record" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("script", "config", "option", "value"),
    [
        ("accuracy/train.py", "accuracy/cascade.json", "--set", "nothing"),
        ("accuracy/train.py", "accuracy/cascade.json", "--seed", "77"),
        ("accuracy/train.py", "accuracy/cascade.json", "--variant", "nothing"),
        ("accuracy/quantized.py", "accuracy/cascade.json", "--seed", "77"),
        ("accuracy/quantized.py", "accuracy/cascade.json", "--variant", "nothing"),
        ("accuracy/assistants.py", "accuracy/assistants.json", "--family", "nothing"),
        ("frontier/frontier.py", "accuracy/cascade.json", "--set", "nothing"),
        ("frontier/frontier.py", "accuracy/cascade.json", "--seed", "77"),
        ("words/floors.py", "accuracy/floors.json", "--set", "nothing"),
        ("words/cascade.py", "accuracy/cascade.json", "--set", "nothing"),
        ("words/worth.py", "accuracy/worth.json", "--set", "nothing"),
        ("methods/leaderboard.py", "methods/leaderboard.json", "--row", "nothing"),
        ("series/forecast.py", "series/forecast.json", "--series", "nothing"),
        ("vision/compare.py", "vision/compare.json", "--row", "nothing"),
        ("vision/compare.py", "vision/compare.json", "--share", "0.1"),
        ("vision/compare.py", "vision/compare.json", "--host", "nothing"),
    ],
)
def test_what_the_config_lacks_is_refused(call: Call, script: str, config: str, option: str, value: str) -> None:
    folder = [] if script.startswith("series") else ["--images" if script.startswith("vision") else "--data", "nowhere"]
    told = call(BENCHMARKS / script, str(BENCHMARKS / "configs" / config), *folder, option, value)
    assert str(told).startswith(f"{option} {value}: choose one of ")


def test_cascades_are_composed_of_some_configs_alone(call: Call) -> None:
    told = call(BENCHMARKS / "words/cascade.py", str(BENCHMARKS / "configs/accuracy/worth.json"), "--data", "nowhere")
    assert str(told) == "config worth: choose one of cascade, mpnet"


def test_the_cost_is_that_of_one_set(call: Call, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(BENCHMARKS / "accuracy/cost.py", str(BENCHMARKS / "configs/accuracy/tune.json"), "--data", "x") == 2
    assert "--set: name one of " in capsys.readouterr().err


def test_promises_are_of_all_sets(call: Call, capsys: pytest.CaptureFixture[str]) -> None:
    config = str(BENCHMARKS / "configs/accuracy/cascade.json")
    assert call(BENCHMARKS / "frontier/promises.py", config, "--data", "x", "--set", "bbc") == 2
    assert "unrecognized arguments: --set" in capsys.readouterr().err
