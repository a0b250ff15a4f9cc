"""`tokensieve bench`: whole runs of tiny configs, and every way in which one ends before it begins."""

import json
import shlex
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from e2e.conftest import Cli, labelled_rows, listing, write_rows
from support.packages import needed
from support.paths import ROOT
from tokensieve.cli import benchmarks
from tokensieve.errors import TokensieveError

SMOKE = ROOT / "benchmarks" / "configs" / "bench" / "smoke.json"
HIDDEN = {"kind": "tokensieve", "preset": "paper-p", "settings": {"site": "hidden", "keep_ratio": 0.5}}
TOY: dict[str, Any] = {"lengths": ..., "batches": ..., "data": {"set": "toy", "max_length": 16}}


def write_config(name: str, **changes: Any) -> None:
    record: dict[str, Any] = {
        "backbone": "base",
        "measure": "throughput",
        "lengths": [8, 60],
        "batches": [2],
        "documents": 4,
        "rounds": 2,
        "baseline": "sdpa",
        "contenders": {"sdpa": {"kind": "transformers"}, "hidden": HIDDEN},
    }
    record = {key: value for key, value in (record | changes).items() if value is not ...}
    Path(name).write_text(json.dumps(record), encoding="utf-8")


@pytest.fixture
def place(work: Path) -> Path:
    """The current folder, with `mine.json`, a config, and `data/toy`, a data set."""
    write_config("mine.json")
    (work / "data" / "toy").mkdir(parents=True)
    write_rows(work / "data" / "toy" / "test.jsonl", labelled_rows(12))
    return work


def test_the_committed_smoke_config(cli: Cli, place: Path) -> None:
    """All kinds of contenders at once; those of ONNX too."""
    needed("onnxruntime")
    found = cli("bench", SMOKE, "--rounds", 1, "--threads", 1, "--output", "out.json")
    assert found.code == 0, found.err
    record = json.loads((place / "out.json").read_text(encoding="utf-8"))
    config = json.loads(SMOKE.read_text(encoding="utf-8"))
    assert record["config"] == config
    assert (record["name"], record["rounds"], record["machine"]["threads"]) == ("smoke", 1, 1)
    assert [(cell["batch"], cell["length"]) for cell in record["cells"]] == [(1, 16), (2, 16), (1, 200), (2, 200)]
    for cell in record["cells"]:
        assert set(cell["seconds"]) == set(config["contenders"])
        assert all(len(own) == 1 and own[0] > 0 for own in cell["seconds"].values())
        assert cell["flops"]["PF candidates"]["basis"] == "measured"
        assert cell["flops"]["hidden p=.7"]["own"] < cell["flops"]["dense"]["own"]
        assert cell["flops"]["Longformer"] is None
    assert record["parity"] < 1e-5
    assert record["contenders"]["ONNX"]["parity"] < 1e-5
    assert "parity" not in record["contenders"]["ONNX int8"]
    lines = found.out.splitlines()
    assert sum("hidden p=.7" in line for line in lines) == 4
    assert lines[-1] == "raw figures: out.json"


def test_latency_on_documents(cli: Cli, place: Path) -> None:
    contenders = {"sdpa": {"kind": "transformers"}, "hidden": HIDDEN, "pipeline": {"kind": "pipeline"}}
    write_config("mine.json", measure="latency", documents=5, contenders=contenders, **TOY)
    record = cli("bench", "mine.json", "--data", "data", "--output", "out.json", "--json").json()
    assert record == json.loads((place / "out.json").read_text(encoding="utf-8"))
    (cell,) = record["cells"]
    assert (cell["length"], cell["batch"], cell["documents"]) == (None, 1, 5)
    for rounds in cell["call_seconds"].values():
        assert [len(calls) for calls in rounds] == [5, 5]


def test_from_file_to_file(cli: Cli, place: Path) -> None:
    contenders = {"pipeline": {"kind": "pipeline", "batch_sizes": [2]}, "hidden": HIDDEN | {"batch_tokens": 64}}
    contenders["auto"] = HIDDEN | {"batch_tokens": "auto"}
    bars = [{"contender": "hidden", "metric": "speedup", "at_least": 1e-6}]
    options = {"documents": 5, "baseline": "pipeline", "contenders": contenders, "bars": bars, "num_labels": 3}
    write_config("mine.json", measure="end_to_end", **options, **TOY)
    record = cli("bench", "mine.json", "--data", "data", "--json", "--output", "out.json").json()
    assert {name: len(own) for name, own in record["cells"][0]["seconds"].items()} == {
        "pipeline": 2,
        "hidden": 2,
        "auto": 2,
    }
    assert record["contenders"]["pipeline"]["batch_size"] == 2
    assert record["contenders"]["hidden"]["batch_tokens"] == 64
    assert record["contenders"]["auto"]["batch_tokens"] > 64


@pytest.mark.parametrize("measure", ["memory", "training"])
def test_processes_of_their_own(cli: Cli, place: Path, measure: str) -> None:
    own: dict[str, Any] = {"training": {"attention_dropout": 0.1, "steps": 2}} if measure == "training" else {}
    bars = [{"what": "small", "contender": "hidden", "metric": "memory_ratio", "at_most": 9}]
    write_config("mine.json", measure=measure, lengths=[60], rounds=1, bars=bars, **own)
    found = cli("bench", "mine.json", "--threads", "1")
    assert found.code == 0, found.err
    (cell,) = json.loads((place / "results" / "bench" / "mine.json").read_text(encoding="utf-8"))["cells"]
    for name in ("sdpa", "hidden"):
        assert len(cell["peak_bytes"][name]) == 1
        assert cell["flops"][name]["basis"] == "exact"
        if own:
            assert [len(steps) for steps in cell["step_seconds"][name]] == [2]
    assert [line for line in found.out.splitlines() if line.startswith("small ") and " met " in line]


@pytest.mark.parametrize(
    ("options", "contenders", "rounds"),
    [(("--only", "b"), ["sdpa", "b"], 2), (("--rounds", 1), ["sdpa", "a", "b"], 1)],
    ids=["some contenders", "fewer rounds"],
)
def test_a_part_goes_elsewhere(
    cli: Cli, place: Path, options: tuple[object, ...], contenders: list[str], rounds: int
) -> None:
    write_config("mine.json", contenders={"sdpa": {"kind": "transformers"}, "a": HIDDEN, "b": HIDDEN})
    found = cli("bench", "mine.json", *options)
    assert found.code == 0, found.err
    record = json.loads((place / "build" / "bench" / "mine.json").read_text(encoding="utf-8"))
    assert (list(record["contenders"]), record["rounds"]) == (contenders, rounds)
    assert not (place / "results").exists()


REFUSED: list[tuple[str, ...]] = [
    ("absent.json", "absent.json", "cannot be read"),
    ("good.jsonl", "good.jsonl", "JSON"),
    ("mine.json --rounds 0", "rounds=0", "1 or more"),
    ("mine.json --threads 0", "threads=0"),
    ("mine.json --only dense", "'dense'", "'hidden'"),
    ("mine.json --output absent/out.json", "absent/out.json", "folder"),
    ("mine.json --output mine.json", "mine.json", "another file"),
    ("toy.json --output out.json", "'toy'", "--data"),
    ("toy.json --output out.json --data absent", "absent"),
    ("many.json --output out.json --data data", "12 documents", "13"),
    ("long.json --output out.json", "65", "64"),
    ("deep.json --output out.json", "combine.layer=9", "4"),
    ("ours.json --output out.json", "'model'", "tokensieve classifier"),
    ("nowhere.json --output out.json", "nowhere", "no such folder"),
]


@pytest.mark.parametrize(("given", "hints"), [(row[0], row[1:]) for row in REFUSED], ids=[row[0] for row in REFUSED])
def test_refused(cli: Cli, place: Path, given: str, hints: tuple[str, ...]) -> None:
    write_config("toy.json", **TOY)
    write_config("many.json", **TOY | {"documents": 13})
    write_config("long.json", lengths=[65])
    deep = HIDDEN | {"settings": {"combine_layer": 9}}
    write_config("deep.json", contenders={"sdpa": {"kind": "transformers"}, "deep": deep})
    write_config("ours.json", backbone="model")
    write_config("nowhere.json", backbone="nowhere")
    options = [] if "--output" in given or "--only" in given else ["--output", "out.json"]
    before = listing(place)
    line = cli("bench", *shlex.split(given), *options).error()
    assert [hint for hint in hints if hint not in line] == [], line
    assert listing(place) == before


def test_a_run_that_fails_leaves_what_was_there(cli: Cli, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from tokensieve.errors import TokensieveError
    from tokensieve_bench import measure

    def fail(*arguments: object) -> None:
        raise TokensieveError("cut off in the middle")

    older = '{"config": {}, "machine": {}, "cells": []}'
    (place / "out.json").write_text(older)
    before = listing(place)
    monkeypatch.setattr(measure, "throughput", fail)
    assert "in the middle" in cli("bench", "mine.json", "--output", "out.json").error()
    assert (place / "out.json").read_text() == older
    assert listing(place) == before


def test_a_file_that_is_no_record_is_not_overwritten(cli: Cli, place: Path) -> None:
    (place / "out.json").write_text('{"my": "own"}')
    line = cli("bench", "mine.json", "--output", "out.json").error()
    assert "output out.json exists and is no output of tokensieve" in line
    assert (place / "out.json").read_text() == '{"my": "own"}'


@pytest.mark.parametrize("options", [("bench", "mine.json", "--rounds", "1"), ("bench", "--help"), ("demo", "-h")])
def test_without_the_package(options: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    """As in an environment that has the wheel alone."""
    app = typer.Typer(context_settings={"help_option_names": ["-h", "--help"]})
    app.command("train")(lambda: None)
    monkeypatch.setattr(benchmarks, "find_spec", lambda name: None)
    benchmarks.add_benchmarks(app)
    with pytest.raises(TokensieveError, match=f"`tokensieve {options[0]}` is not in the wheel: it runs in a clone"):
        app(list(options), standalone_mode=False)
    listed = CliRunner().invoke(app, ["--help"]).output
    assert "train" in listed
    assert "bench" not in listed and "demo" not in listed
