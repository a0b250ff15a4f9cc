"""`tokensieve tune --tasks`: the search, and its settings in the hands of the commands that take them."""

import json
from pathlib import Path

import numpy as np
import pytest

import tokensieve
from e2e.conftest import Cli, labelled_rows, listing, write_rows

SEARCH = ("tune", "--model", "base", "--shots", "3", "--grid", "s=1,4", "--grid", "q=0.3,0.6", "--grid", "l=1,2")
TASKS = ("--tasks", "one", "--tasks", "two.jsonl")


@pytest.fixture
def data(work: Path) -> Path:
    (work / "one").mkdir()
    write_rows(work / "one" / "train.csv", labelled_rows(60))
    write_rows(work / "one" / "test.csv", labelled_rows(30))
    return write_rows(work / "two.jsonl", labelled_rows(60))


def test_search_then_encode_and_train(cli: Cli, work: Path, data: Path) -> None:
    record = cli(*SEARCH, *TASKS, "--output", "few-shot.json", "--tolerance", "100", "--json").json()
    assert record["tasks"].keys() == {"one", "two.jsonl"}
    assert len(record["rows"]) == 1 + 2 * 2 * 2 * 2
    assert record["by"] == "seconds"
    in_time = [row["seconds"] for row in record["rows"] if row["seconds"] is not None]
    assert record["chosen"]["seconds"] == min(in_time)
    assert {"few-shot.json", "few-shot.search.json"} <= listing(work)
    written = json.loads((work / "few-shot.search.json").read_text(encoding="utf-8"))
    assert {**written, "output": "few-shot.json"} == record
    settings = tokensieve.load_encoder("base", "few-shot.json", device="cpu").settings
    encoded = cli("encode", "--model", "base", "--data", "two.jsonl", "--config", "few-shot.json", "--output", "v.npy")
    assert encoded.code == 0, encoded.err
    assert np.load(work / "v.npy").shape == (60, 32)
    recipe = ("--epochs", "1", "--max-length", "32", "--device", "cpu", "--set", "train.floors=none")
    train = ("train", "--model", "base", "--data", "two.jsonl", "--config", "few-shot.json", "--output", "out", *recipe)
    assert cli(*train).code == 0
    assert tokensieve.load("out", device="cpu").model.settings == settings


def test_by_flops_the_lines_say_what_was_chosen(cli: Cli, work: Path, data: Path) -> None:
    lines = cli(*SEARCH, *TASKS, "--output", "few-shot.json", "--by", "flops", "--tolerance", "100").out.splitlines()
    assert lines[0].split() == ["FLOPs", "seconds", "points", "worst"]
    (chosen,) = [line for line in lines if line.endswith("<- chosen")]
    assert chosen.startswith("s=1 q=0.6 l=1 m="), "most tokens leave, as early as can be"
    assert lines[-1] == "saved in few-shot.json, with figures in few-shot.search.json"
    assert "exists" in cli(*SEARCH, *TASKS, "--output", "few-shot.json").error()
    again = cli(*SEARCH, *TASKS, "--output", "few-shot.json", "--by", "flops", "--overwrite")
    assert again.code == 0, again.err


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--output", "out"), "end its name in .json"),
        (("--output", "a.json", "--budget", "1"), "--budget is for a trained classifier"),
        (("--output", "a.json", "--data", "two.jsonl"), "--data is for a trained classifier"),
        (("--output", "a.json", "--by", "time"), "give seconds or flops"),
        (("--output", "a.json", "--tolerance", "-1"), "--tolerance=-1"),
        (("--output", "a.json", "--shots", "0"), "--shots=0"),
        (("--output", "a.json", "--shots", "100"), "100 shots are asked for"),
        (("--output", "a.json", "--grid", "k=1"), "give s, q, l or m"),
        (("--output", "a.json", "--grid", "q=a"), "give s, q, l or m"),
        (("--output", "a.json", "--grid", "q=1.5"), "quantiles=1.5"),
        (("--output", "a.json", "--grid", "l=9", "--by", "flops"), "layer=9"),
        (("--output", "a.json", "--tasks", "nowhere"), "nowhere"),
        (("--output", "a.json", "--tasks", "one"), "a name of its own"),
        (("--output", "a.json", "--set", "data.multi_label=true"), "one label a document"),
    ],
)
def test_an_error_is_one_line_and_leaves_nothing(
    cli: Cli, work: Path, data: Path, options: tuple[str, ...], told: str
) -> None:
    before = listing(work)
    assert told in cli(*SEARCH, *TASKS, *options).error()
    assert listing(work) == before


def test_options_of_the_search_without_tasks(cli: Cli, work: Path) -> None:
    assert "give --tasks" in cli("tune", "--model", "base", "--output", "out", "--shots", "3").error()
    assert "--tasks" in cli("tune", "--output", "out").error()
