"""Cascades are composed of trained runs, and of the logits that a run elsewhere has left."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cascade
import pytest
import torch
from safetensors.torch import load_file, save_file

from tokensieve_bench import runs
from tokensieve_bench.record_files import read_record
from tokensieve_bench.report.cascades import cascade_table

LABELS = ("film", "law", "sport")
COUNTS = {"train": 30, "validation": 30, "test": 45}
CONFIG: dict[str, Any] = {"sets": {"toy": {}}, "seeds": [0, 1, 2], "recipe": {"epochs": 1}, "variants": {"dense": {}}}

Compose = Callable[[], dict[str, Any]]


@pytest.fixture
def compose(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Compose:
    """Runs the script on a set of made-up documents; runs lie in `runs/`, results in `results/`."""
    monkeypatch.setattr(runs, "RUNS", tmp_path / "runs")
    monkeypatch.setattr(cascade, "RESULTS", tmp_path / "results")
    (tmp_path / "data" / "toy").mkdir(parents=True)
    for split in COUNTS:
        write_documents(tmp_path, split)
    (tmp_path / "cascade.json").write_text(json.dumps(CONFIG), encoding="utf-8")
    command = ["cascade.py", str(tmp_path / "cascade.json"), "--data", str(tmp_path / "data"), "--threads", "1"]
    monkeypatch.setattr("sys.argv", command)

    def run() -> dict[str, Any]:
        cascade.main()
        return read_record(tmp_path / "results" / "cascade" / "toy")

    return run


def write_documents(folder: Path, split: str, first: int = 0) -> None:
    """Documents whose words tell the label of most of them."""
    rows = []
    for place in range(COUNTS[split]):
        label, word = LABELS[(first + place) % 3], LABELS[(first + place + (place % 5 == 0)) % 3]
        rows.append({"text": f"{split} {place} {word} {word}", "label": label})
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    (folder / "data" / "toy" / f"{split}.jsonl").write_text(lines, encoding="utf-8")


def trained(folder: Path, seed: int) -> Path:
    """Folders of runs with random logits, in which a fair share of the documents is right."""
    generator = torch.Generator().manual_seed(seed)
    for variant in ("dense", "fast"):
        place = folder / "runs" / "cascade-toy" / f"{variant}-seed{seed}"
        place.mkdir(parents=True)
        tensors = {}
        for split in ("validation", "test"):
            for name in (split, f"{split}.first"):
                right = torch.nn.functional.one_hot(torch.arange(COUNTS[split]) % 3, 3)
                tensors[name] = 2 * right + torch.randn(COUNTS[split], 3, generator=generator)
        save_file(tensors, place / runs.LOGITS)
    return folder / "runs"


def stages_of(folder: Path, seed: int) -> dict[str, bytes]:
    files = (folder / "results" / "cascade" / "toy").glob(f"seed{seed}-*.safetensors")
    return {file.name.split("-")[1]: file.read_bytes() for file in files}


def test_a_stage_a_file(compose: Compose, tmp_path: Path) -> None:
    trained(tmp_path, 1)
    record = compose()
    assert [run["seed"] for run in record["runs"]] == [1]
    assert set(stages_of(tmp_path, 1)) == {f"{stage}.safetensors" for stage in ("words", "dense", "fast", "pruned")}
    logits = load_file(tmp_path / "results" / "cascade" / "toy" / "seed1-dense.safetensors")
    assert {split: (tuple(own.shape), own.dtype) for split, own in logits.items()} == {
        "validation": ((30, 3), torch.float16),
        "test": ((45, 3), torch.float16),
    }
    assert logits["test"].argmax(1).tolist() == record["runs"][0]["predicted"]["dense"]


def test_a_seed_from_elsewhere_is_composed_of_its_logits(compose: Compose, tmp_path: Path) -> None:
    """Its runs are gone: its figures stay what they were, and its files are not written again."""
    for seed in (0, 2):
        trained(tmp_path, seed)
    both = compose()
    before = stages_of(tmp_path, 2)
    for variant in ("dense", "fast"):
        shutil.rmtree(tmp_path / "runs" / "cascade-toy" / f"{variant}-seed2")
    again = compose()
    assert [run["seed"] for run in again["runs"]] == [0, 2]
    assert again["runs"][0] == both["runs"][0]
    assert again["runs"][1]["alone"] == both["runs"][1]["alone"]
    assert again["runs"][1]["predicted"] == both["runs"][1]["predicted"]
    assert stages_of(tmp_path, 2) == before
    assert len({str(run["predicted"]["dense"]) for run in again["runs"]}) == 2, "each seed has its own logits"
    shutil.rmtree(tmp_path / "runs")
    assert [run["seed"] for run in compose()["runs"]] == [0, 2]


def test_a_seed_that_lacks_a_stage_is_left_out(compose: Compose, tmp_path: Path) -> None:
    for seed in (0, 1):
        trained(tmp_path, seed)
    compose()
    shutil.rmtree(tmp_path / "runs")
    (tmp_path / "results" / "cascade" / "toy" / "seed1-fast.safetensors").unlink()
    assert [run["seed"] for run in compose()["runs"]] == [0]


@pytest.mark.parametrize("changed", ["documents", "recipe"])
def test_logits_of_something_else_are_refused(compose: Compose, tmp_path: Path, changed: str) -> None:
    trained(tmp_path, 0)
    before = compose()
    shutil.rmtree(tmp_path / "runs")
    if changed == "documents":
        write_documents(tmp_path, "test", first=1)
    else:
        (tmp_path / "cascade.json").write_text(json.dumps(CONFIG | {"recipe": {"epochs": 2}}), encoding="utf-8")
    with pytest.raises(SystemExit, match=r"seed0-words\.safetensors: made of other documents.* train seed 0 again"):
        compose()
    assert read_record(tmp_path / "results" / "cascade" / "toy") == before


def test_the_table_has_all_seeds(compose: Compose, tmp_path: Path) -> None:
    from tokensieve_bench.records import Results

    for seed in (0, 2):
        trained(tmp_path, seed)
    compose()
    (tmp_path / "results" / "cascade" / "speed-toy.json").write_text('{"seconds": {}}', encoding="utf-8")
    table = cascade_table(Results(tmp_path / "results"))
    rows = [line for line in table.splitlines() if line.startswith("| toy")]
    assert [row.split(" | ")[:3] for row in rows] == [["| toy", "0, 2", "45"]]
    assert "toy 30; 1 epoch at 2e-05, 512 tokens, the epoch by validation loss; the bag" in table
    assert "encoders trained" not in table
    machine = {"commit": "ab" * 20 + "+", "processor": "another"}
    runs = [
        {"variant": "dense", "seed": seed, "machine": machine | ({"commit": None} if seed else {})} for seed in (0, 1)
    ]
    (tmp_path / "results" / "accuracy").mkdir()
    training = json.dumps({"runs": runs})
    (tmp_path / "results" / "accuracy" / "cascade-toy.json").write_text(training, encoding="utf-8")
    assert "- encoders trained: commit ababababab+; another" in cascade_table(Results(tmp_path / "results"))
