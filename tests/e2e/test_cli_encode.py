"""`tokensieve encode`: vectors of a stream, by settings as other commands take them."""

import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

import tokensieve
from e2e.conftest import Cli, labelled_rows, write_rows
from tokensieve import ReductionConfig

TEXTS = [row["text"] for row in labelled_rows(24)]
ENCODE = ("encode", "--model", "base", "--device", "cpu")


@pytest.fixture
def data(work: Path) -> Path:
    return write_rows(work / "data.csv", labelled_rows(24))


def test_vectors_of_a_file_and_of_standard_input(cli: Cli, work: Path, data: Path) -> None:
    wanted = tokensieve.load_encoder("base", device="cpu").encode(TEXTS)
    outcome = cli(*ENCODE, "--data", "data.csv", "--output", "v.parquet")
    assert outcome.out == ""
    assert "24 documents encoded, 0 truncated; 32 dimensions, in v.parquet" in outcome.err
    table = pq.read_table(work / "v.parquet")
    assert table["line"].to_pylist() == list(range(2, 26))
    np.testing.assert_allclose(table["vector"].to_pylist(), wanted, atol=1e-5)
    lines = "".join(json.dumps({"text": text}) + "\n" for text in TEXTS)
    record = cli(*ENCODE, "--output", "v.npy", "--no-normalize", "--json", stdin=lines).json()
    assert (record["written"], record["dimensions"], record["dtype"]) == (24, 32, "float32")
    assert record["settings"]["prune"] is None
    plain = np.load(work / "v.npy")
    np.testing.assert_allclose(plain / np.linalg.norm(plain, axis=1, keepdims=True), wanted, atol=1e-5)


def test_settings_by_every_door_are_the_same(cli: Cli, work: Path, data: Path) -> None:
    schedule = {"schedule": {"name": "one-layer", "layer": 1, "keep": 0.4}}
    (work / "few-shot.json").write_text(
        json.dumps({"preset": "quantile", "min_length": 1, "prune": schedule}), encoding="utf-8"
    )
    sets = ("min_length=1", "prune.schedule.layer=1", "prune.schedule.keep=0.4")
    assigned = [part for text in sets for part in ("--set", text)]
    by_file = cli(*ENCODE, "--data", "data.csv", "--output", "a.npy", "--config", "few-shot.json", "--json").json()
    by_sets = cli(
        *ENCODE, "--data", "data.csv", "--output", "b.npy", "--preset", "quantile", *assigned, "--json"
    ).json()
    assert by_file["settings"] == by_sets["settings"]
    assert by_file["settings"] != ReductionConfig.preset("quantile").to_dict()
    wanted = tokensieve.load_encoder("base", work / "few-shot.json", device="cpu").encode(TEXTS)
    for name in ("a.npy", "b.npy"):
        np.testing.assert_allclose(np.load(work / name), wanted, atol=1e-5)
    assert np.abs(wanted - tokensieve.load_encoder("base", device="cpu").encode(TEXTS)).max() > 1e-2


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--output", "v.csv"), "v.csv"),
        (("--output", "-"), "vectors go to a file"),
        (("--output", "data.csv"), "end the name"),
        (("--output", "nowhere/v.npy"), "in a folder that exists"),
        (("--output", "mine.npy"), "mine.npy exists and is no output of tokensieve"),
        (("--output", "v.npy", "--preset", "fastest"), "no fitted importance"),
        (("--output", "v.npy", "--preset", "fast"), "one stage"),
        (("--output", "v.npy", "--config", "nothing.json"), "nothing.json"),
        (("--output", "v.npy", "--set", "prune.schedule.layer=9", "--preset", "quantile"), "layer=9"),
        (("--output", "v.npy", "--model", "nothing"), "nothing: no such folder"),
        (("--output", "v.npy", "--text-column", "body"), "body"),
        (("--output", "v.npy", "--max-length", "99"), "max_length=99"),
        (("--output", "v.npy", "--dtype", "int8"), "int8"),
        (("--output", "v.npy", "--batch-tokens", "0"), "batch_tokens=0"),
    ],
)
def test_an_error_is_one_line_and_leaves_nothing(
    cli: Cli, work: Path, data: Path, options: tuple[str, ...], told: str
) -> None:
    np.save(work / "mine.npy", np.zeros((2, 3)))
    before = {path.name: path.read_bytes() for path in work.iterdir() if path.is_file()}
    assert told in cli(*ENCODE, "--data", "data.csv", *options).error()
    assert {path.name: path.read_bytes() for path in work.iterdir() if path.is_file()} == before
