"""`tokensieve train`: from every kind of file to a folder that evaluates and predicts."""

import json
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

import tokensieve
from e2e.conftest import LABELS, Cli, labelled_rows, listing, write_rows
from tokensieve import METHODS, ReductionConfig
from tokensieve.training.recipe import Recipe

TRAIN = ("train", "--model", "base", "--output", "out", "--max-length", "32", "--device", "cpu", "--epochs", "1")


@pytest.mark.parametrize("kind", ["csv", "tsv", "jsonl", "jsonl.gz", "parquet"])
def test_every_format(cli: Cli, work: Path, kind: str) -> None:
    write_rows(work / f"data.{kind}", labelled_rows(30, text="body", label="topic"))
    columns = ("--text-column", "body", "--label-column", "topic")
    record = cli(*TRAIN, "--data", f"data.{kind}", *columns, "--json").json()
    assert record["documents"] == {"train": 24, "validation": 6}
    examples = record["rows"]["train"].pop("examples")  # printed, but not published with the model
    assert examples == []
    assert record["rows"]["train"] == {"read": 30, "used": 30, "rejected": 0, "reasons": {}}
    assert record["labels"] == list(LABELS)
    assert record["data"] == f"data.{kind}"
    assert json.loads((work / "out" / "training.json").read_text(encoding="utf-8")) == record
    assert set(tokensieve.load("out", device="cpu").predict(["film", "court"])) <= set(LABELS)


def test_a_folder_of_split_files(cli: Cli, work: Path) -> None:
    (work / "data").mkdir()
    for name, count in (("train.csv", 24), ("dev.jsonl", 9), ("test.tsv", 15)):
        write_rows(work / "data" / name, labelled_rows(count, seed=count))
    record = cli(*TRAIN, "--data", "data", "--json").json()
    assert record["documents"] == {"train": 24, "validation": 9}
    scores = cli("evaluate", "--model", "out", "--data", "data", "--json").json()
    assert (scores["documents"], scores["max_length"]) == (15, 32)
    assert cli("evaluate", "--model", "out", "--data", "data", "--split", "dev", "--json").json()["documents"] == 9


def test_learning_from_the_command_line(cli: Cli, work: Path) -> None:
    """Train, evaluate and predict in turn: what the first learnt the others find."""
    write_rows(work / "data.jsonl", labelled_rows(90))
    write_rows(work / "test.jsonl", labelled_rows(60, seed=1))
    settings = ("--preset", "paper-pfc-7", "--set", "combine.tokens=3", "--set", "combine.noise=false")
    recipe = ("--epochs", "12", "--learning-rate", "3e-3", "--batch-size", "8", "--max-length", "64")
    record = cli(*TRAIN, "--data", "data.jsonl", *settings, *recipe, "--json").json()
    scores = cli("evaluate", "--model", "out", "--data", "test.jsonl", "--json").json()
    assert scores["accuracy"] > 0.55
    assert record["best"]["eval_accuracy"] > 0.55
    predicted = cli("predict", "--model", "out", "--input", "test.jsonl").out.splitlines()
    right = sum(
        json.loads(line)["label"] == row["label"] for line, row in zip(predicted, labelled_rows(60, 1), strict=True)
    )
    assert right / 60 == pytest.approx(scores["accuracy"])


@pytest.mark.parametrize("name", ["ltp", "transkimmer", "power-bert"])
def test_methods_that_learn_gates(cli: Cli, work: Path, name: str) -> None:
    """Both parts of the training by the preset alone, whose fields of the recipe hold unless they are given."""
    gates = ("--set", "train.gate_epochs=1", "--set", "train.floors=none")
    record = cli(*TRAIN, "--data", "good.jsonl", "--preset", name, *gates, "--json").json()
    assert record["gates"]["epochs"] == 1
    assert set(record["gates"]["layers"]) == {"1", "2", "3", "4"}
    assert record["recipe"]["gate_learning_rate"] == METHODS[name].recipe["gate_learning_rate"]
    scores = cli("evaluate", "--model", "out", "--data", "good.jsonl", "--json").json()
    assert scores["documents"] == 24


def test_what_is_said_to_people(cli: Cli, work: Path) -> None:
    outcome = cli(*TRAIN, "--data", "good.jsonl")
    assert outcome.code == 0
    assert outcome.out.splitlines()[-1] == "saved in out"
    assert "trained on 19 documents" in outcome.out
    assert "best epoch 1, on 5 validation documents" in outcome.out
    assert "24 records read, 24 used, 0 rejected" in outcome.err


def test_json_keeps_stderr_quiet(cli: Cli, work: Path) -> None:
    """No bars, as --help promises, and no log of Trainer's."""
    outcome = cli(*TRAIN, "--data", "good.jsonl", "--json")
    outcome.json()
    assert "it/s" not in outcome.err
    assert "eval_loss" not in outcome.err


def test_rows_left_out_are_counted(cli: Cli, work: Path) -> None:
    bad: list[dict[str, Any]] = [
        {"text": "", "label": "film"},
        {"text": 3, "label": "law"},
        {"text": "a", "label": None},
    ]
    write_rows(work / "data.jsonl", [*labelled_rows(10), *bad, *labelled_rows(14, seed=1)])
    record = cli(*TRAIN, "--data", "data.jsonl", "--set", "data.on_bad_rows=skip", "--json").json()
    rows = record["rows"]["train"]
    assert (rows["read"], rows["used"], rows["rejected"]) == (27, 24, 3)
    assert sum(record["documents"].values()) == rows["used"]
    assert [example["line"] for example in rows["examples"]] == [11, 12, 13]
    said = cli(*TRAIN, "--data", "data.jsonl", "--set", "data.on_bad_rows=skip", "--overwrite")
    assert "3 of 27 rows left out" in said.out
    assert "line 12: text of the wrong type" in said.err


def test_truncated_documents_are_counted(cli: Cli, work: Path) -> None:
    record = cli(*TRAIN, "--data", "good.jsonl", "--max-length", "10", "--json").json()
    long = sum(len(row["text"].split()) + 2 > 10 for row in labelled_rows(24))
    assert sum(record["truncated"].values()) == long > 0


def test_max_documents(cli: Cli, work: Path) -> None:
    record = cli(*TRAIN, "--data", "good.jsonl", "--max-documents", "4", "--json").json()
    assert record["documents"] == {"train": 4, "validation": 4}


def test_without_validation(cli: Cli, work: Path) -> None:
    outcome = cli(*TRAIN, "--data", "good.jsonl", "--set", "data.validation_fraction=0")
    assert outcome.code == 0
    assert "best epoch" not in outcome.out
    assert "trained on 24 documents" in outcome.out


def test_overwrite(cli: Cli, work: Path) -> None:
    cli(*TRAIN, "--data", "good.jsonl", "--json").json()
    (work / "out" / "merges.txt").touch()
    assert "--overwrite" in cli(*TRAIN, "--data", "good.jsonl").error()
    cli(*TRAIN, "--data", "good.jsonl", "--overwrite", "--json").json()
    assert not (work / "out" / "merges.txt").exists()


def test_a_preset_with_two_stages(cli: Cli, work: Path) -> None:
    """Pretrained: dense first, which stays and teaches. From that classifier one stage is enough."""
    record = cli(*TRAIN, "--data", "good.jsonl", "--preset", "fast", "--json").json()
    assert (record["base"], record["recipe"]["teacher"]) == ("out.dense", "out.dense")
    assert set(record["importance_r2"]) == {"1", "2", "3", "4"}
    for name in ("out", "out.dense"):
        assert cli("predict", "--model", name, "--input", "good.jsonl").out.count("\n") == 24
    again = ("--model", "out.dense", "--output", "two", "--preset", "fastest")
    second = cli(*TRAIN, "--data", "good.jsonl", *again, "--json").json()
    assert second["base"] == "out.dense"
    assert {path.name for path in work.iterdir() if path.is_dir()} >= {"out", "out.dense", "two"}
    assert not (work / "two.dense").exists()
    refused = cli(*TRAIN, "--data", "good.jsonl", "--preset", "fast").error()
    assert "exists" in refused


def test_documents_without_labels(cli: Cli, work: Path) -> None:
    (work / "mail").mkdir()
    write_rows(work / "mail" / "more.csv", [{"text": row["text"]} for row in labelled_rows(30, seed=5)])
    more = ("--preset", "fast", "--set", "train.feature_epochs=1", "--set", "data.unlabelled=mail/more.csv")
    record = cli(*TRAIN, "--data", "good.jsonl", *more, "--json").json()
    assert record["documents"] == {"train": 19, "validation": 5, "unlabelled": 30}
    assert record["feature_distillation"]["documents"] == 49
    assert record["rows"]["unlabelled"]["used"] == 30
    card = (work / "out" / "README.md").read_text(encoding="utf-8")
    assert "--set data.unlabelled=more.csv" in card and "mail" not in card


def test_the_same_seed_is_the_same_model(cli: Cli, work: Path) -> None:
    states = {}
    for name, seed in (("one", "3"), ("two", "3"), ("three", "4")):
        cli(*TRAIN, "--output", name, "--data", "good.jsonl", "--seed", seed, "--json").json()
        states[name] = load_file(f"{name}/model.safetensors")["head.classifier.weight"]
    assert states["one"].equal(states["two"])
    assert not states["one"].equal(states["three"])


def test_nothing_but_the_folder_is_left(cli: Cli, work: Path) -> None:
    before = listing(work)
    cli(*TRAIN, "--data", "good.jsonl", "--json").json()
    new = listing(work) - before
    assert {name.split("/")[0] for name in new} == {"out"}
    assert {Path(name).suffix for name in new - {"out"}} == {".json", ".md", ".safetensors"}


def test_the_defaults_are_the_papers_recipe(cli: Cli, work: Path, handed_over: dict[str, Any]) -> None:
    cli("train", "--model", "base", "--data", "good.jsonl", "--output", "out").error()
    assert handed_over["recipe"] == Recipe()
    assert handed_over["settings"] == ReductionConfig()


def test_the_recipe_reaches_the_training(cli: Cli, work: Path, handed_over: dict[str, Any]) -> None:
    usual: dict[str, Any] = {"learning_rate": 1e-3, "epochs": 7, "batch_size": 3, "max_length": 40, "seed": 9}
    others: dict[str, Any] = {
        "accumulation": 5, "warmup": 0.2, "weight_decay": 0.01, "clip": 2.0, "select": "f1_macro", "patience": 2,
        "class_weights": "balanced", "attention_dropout": 0.0,
    }  # fmt: skip
    flags = [part for name, value in usual.items() for part in (f"--{name.replace('_', '-')}", value)]
    flags += [part for name, value in others.items() for part in ("--set", f"train.{name}={value}")]
    cli(*TRAIN, "--data", "good.jsonl", *flags, "--set", "train.bf16=true").error()
    assert handed_over["recipe"] == Recipe(**usual, **others, bf16=True)
    assert handed_over["device"].type == "cpu"
    assert len(handed_over["splits"].validation) == 5


def test_trackers_reach_the_training(cli: Cli, work: Path, handed_over: dict[str, Any]) -> None:
    cli(*TRAIN, "--data", "good.jsonl", "--set", "run.report_to=a,b", "--set", "run.run_name=x").error()
    assert list(handed_over["report_to"]) == ["a", "b"]
    assert handed_over["run_name"] == "x"


def test_the_seed_draws_the_validation_split(cli: Cli, work: Path, handed_over: dict[str, Any]) -> None:
    drawn = set()
    for seed in (0, 0, 1, 2):
        cli(*TRAIN, "--data", "good.jsonl", "--seed", seed).error()
        drawn.add(tuple(document.line for document in handed_over["splits"].validation))
    assert len(drawn) == 3


def test_nothing_is_trained(cli: Cli, work: Path) -> None:
    """A trained classifier gets other settings; what is said, and the card's command, name no training."""
    dense = ("--preset", "dense", "--set", "pooling=mean", "--data", "good.jsonl")
    assert cli(*TRAIN, *dense, "--output", "plain").code == 0
    start = ("--model", "plain", "--epochs", "0", "--preset", "paper-p")
    learned = ("--set", "prune.score=learned", "--set", "prune.site=ahead")
    outcome = cli(*TRAIN, *start, *learned, "--data", "good.jsonl")
    assert outcome.code == 0, outcome.err
    assert "fitted to 19 documents" in outcome.out and "best epoch 0 (the start), on 5" in outcome.out
    card = (work / "out" / "README.md").read_text(encoding="utf-8")
    assert "--epochs 0" in card and "Nothing was trained" in card
