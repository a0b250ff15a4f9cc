"""Every error of a user: one line that names the place, the value and the remedy; nothing half-written; exit code 1."""

import gzip
import json
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import GPT2Config

from e2e.conftest import Cli, labelled_rows, listing
from support.folders import read_config, write_config

COMMANDS = {
    "train": "--model base --data good.jsonl --output out --max-length 32 --epochs 1",
    "evaluate": "--model model --data good.jsonl",
    "predict": "--model model --input good.jsonl --output out.jsonl",
    "info": "--model model --length 64",
}


def complain(cli: Cli, work: Path, command: str, given: str, *hints: str) -> None:
    """Run a command that works but for what is `given`, which takes the place of its own options."""
    before = listing(work)
    line = cli(command, *shlex.split(COMMANDS[command]), *shlex.split(given)).error()
    assert [hint for hint in hints if hint not in line] == [], line
    assert len(line) < 600, line
    assert listing(work) == before


# The first column is what is given, the others are what the message has to name.
TRAIN_SETTINGS: list[tuple[str, ...]] = [
    ("--keep 0", "keep", "=0", "(0, 1]"),
    ("--keep 1.5", "keep", "=1.5", "(0, 1]"),
    ("--keep nan", "keep", "=nan", "(0, 1]"),
    ("--set prune.schedule=listed --set prune.schedule.shares=1,x", "'x'", "(0, 1]"),
    ("--set prune.schedule=listed --set prune.schedule.shares=1,0.5", "[1.0, 0.5]", "give one for each"),
    ("--set prune.schedule=listed --set prune.schedule.shares=1,0", "0", "(0, 1]"),
    ("--set prune.select=most", "prune.select='most'", "fuzzy"),
    ("--set prune.select.scope=some", "scope='some'", "'candidates'"),
    ("--set prune.site=here", "prune.site='here'", "hidden"),
    ("--set prune.score.heads=two", "heads='two'", "'per_head'"),
    ("--set combine.layer=0", "layer=0"),
    ("--set combine.layer=5", "layer=5", "1 to 4"),
    ("--set combine.layer=6 --set combine.mode=insert", "layer=6", "1 to 5"),
    ("--set combine.layer=3 --set combine.mode=add", "mode='add'", "'insert'"),
    ("--set combine.layer=3 --set combine.tokens=0", "tokens=0", "1 or more"),
    ("--set pooling=max", "pooling='max'", "'mean'"),
    ("--set min_length=-1", "min_length=-1", "0 or more"),
    ("--set min_length", "--set 'min_length'", "prune.schedule.keep=0.7"),
    ("--set =1", "--set '=1'", "prune.schedule.keep=0.7"),
    ("--set prune..keep=1", "--set 'prune..keep=1'", "prune.schedule.keep=0.7"),
    ("--set prune.select.alpha_important=2", "alpha_important=2", "[0, 1]"),
    ("--set prune.select.alpha_unimportant=-1", "alpha_unimportant=-1", "[0, 1]"),
    ("--set combine.layer=3 --set combine.count_offset=-1", "count_offset=-1", "0 or more"),
    ("--set combine.layer=3 --set combine.init=copy", "init='copy'", "'random'"),
    ("--set combine.layer=3 --set combine.assignment=firm", "assignment='firm'", "'soft'"),
    ("--preset paper-x", "preset 'paper-x'", "paper-pfc-7"),
    ("--set prune.merge=most-similar --set prune.site=keys", "merge", "hidden"),
    ("--set prune.score.heads=per_head --set prune.site=hidden", "per_head", "hidden"),
    ("--set pooling=pretrained --set combine.layer=3", "pooling=", "combin", "'mean'"),
    ("--preset paper-pfc-7 --set pooling=pretrained", "pooling="),
    ("--learning-rate 0", "learning_rate=0", "above 0"),
    ("--learning-rate nan", "learning_rate=nan", "above 0"),
    ("--epochs -1", "epochs=-1", "0 or more"),
    ("--epochs 0", "epochs=0", "trained classifier"),
    ("--batch-size 0", "batch_size=0", "1 or more"),
    ("--set train.accumulation=0", "accumulation=0", "1 or more"),
    ("--set train.accumulation=two", "accumulation='two'", "1 or more"),
    ("--set train.warmup=1", "warmup=1", "[0, 1)"),
    ("--set train.weight_decay=-1", "weight_decay=-1", "0 or more"),
    ("--set train.clip=0", "clip=0", "above 0"),
    ("--set train.select=best", "select='best'", "f1_macro"),
    ("--set train.patience=0", "patience=0", "1 or more"),
    ("--set train.class_weights=some", "class_weights='some'", "balanced"),
    ("--set train.attention_dropout=1", "attention_dropout=1", "[0, 1)"),
    ("--set train.lora_dropout=0.1", "lora_dropout=0.1", "lora_rank"),
    ("--set train.lora_targets=3", "lora_targets=(3,)", "query"),
    ("--set train.epochs=2", "--epochs", "--set train.epochs", "give one of them"),
    ("--set train.warm_up=0.2", "'train.warm_up'", "did you mean train.warmup?"),
    ("--set train.warmup.share=0.2", "--set train.warmup.share", "a field of train"),
    ("--set train=0.2", "--set train", "a field of train"),
    ("--set data.delimeter=;", "'data.delimeter'", "did you mean data.delimiter?"),
    ("--set run.thread=2", "'run.thread'", "did you mean run.threads?"),
    ("--set prume.site=keys", "'prume'", "did you mean prune?"),
    ("--set train.bf16=perhaps", "bf16='perhaps'", "True or False"),
    ("--seed -1", "seed=-1", "0 or more"),
    ("--max-length 0", "max_length=0"),
    ("--max-length 2", "max_length", "3"),
    ("--max-length 65", "max_length=65", "64"),
    ("--set data.validation_fraction=0.6", "0.6", "0.5"),
    ("--set data.validation_fraction=-0.1", "data.validation_fraction=-0.1", "[0, 1]"),
    ("--set data.on_bad_rows=maybe", "--set data.on_bad_rows='maybe'", "'skip'"),
    ("--set data.multi_label=maybe", "--set data.multi_label='maybe'", "True or False"),
    ("--max-documents 0", "limit", "0"),
    ("--max-documents 2", "limit of 2", "3 labels"),
    ("--set data.unlabelled=good.jsonl", "24 documents without labels", "give one of them"),
    ("--set train.feature_epochs=1 --set data.unlabelled=none.csv", "none.csv", "no such file"),
    ("--device warp", "device='warp'", "cpu"),
    ("--device meta", "device='meta'", "cpu"),
    ("--set run.threads=0", "threads=0", "1 or more"),
    ("--set run.threads=some", "--set run.threads='some'", "whole number"),
    ("--set run.checkpoint_steps=0", "checkpoint_steps=0", "1 or more"),
    ("--set data.validation_fraction=0 --set train.patience=2", "patience", "validation"),
    ("--set data.validation_fraction=0 --set train.select=accuracy", "select", "validation"),
    ("--config absent.json", "--config absent.json", "No such file"),
    ("--config good.jsonl", "--config good.jsonl", "no JSON object"),
]
PLACES: list[tuple[str, ...]] = [
    ("train", "--output good.jsonl", "good.jsonl", "exists"),
    ("train", "--output model", "model", "--overwrite"),
    ("train", "--output absent/out", "absent", "does not exist"),
    ("train", "--model absent", "absent", "no such folder"),
    ("train", "--model good.jsonl", "good.jsonl", "folder"),
    ("train", "--model empty", "empty", "config.json"),
    ("train", "--model gpt", "gpt", "'gpt2'", "roberta"),
    ("train", "--model pickled", "pickled", "safetensors"),
    ("train", "--model wordless", "wordless", "tokenizer"),
    ("train", "--data absent.csv", "absent.csv", "no such file"),
    ("train", "--data empty", "empty", "train", ".csv"),
    ("evaluate", "--model absent", "absent", "no such folder"),
    ("evaluate", "--model base", "base", "'bert'", "tokensieve train"),
    ("evaluate", "--model empty", "empty", "config.json"),
    ("evaluate", "--model other-version", "other-version", "format_version=3"),
    ("evaluate", "--model mistyped", "mistyped", "kep_ratio"),
    ("evaluate", "--model deferring", "deferring", "defer_below=1.5", "a number in [0, 1]"),
    ("evaluate", "--model mismatched", "mismatched", "head.classifier.weight"),
    ("evaluate", "--data absent.csv", "absent.csv", "no such file"),
    ("evaluate", "--data empty", "empty", "test"),
    ("evaluate", "--data empty --split best", "'best'", "validation"),
    ("evaluate", "--max-documents 0", "limit", "0"),
    ("evaluate", "--label-column class", "'class'", "label"),
    ("predict", "--model absent", "absent", "no such folder"),
    ("predict", "--model base", "base", "'bert'"),
    ("predict", "--input absent.csv", "absent.csv", "no such file"),
    ("predict", "--input empty", "empty", "has no data file"),
    ("predict", "--input good.jsonl --input-format xml", "'xml'", "jsonl"),
    ("predict", "--input - --input-format parquet", "Parquet", "file"),
    ("predict", "--input - ", "<stdin>", "empty"),
    ("predict", "--output out.xml", "out.xml", ".jsonl or .csv"),
    ("predict", "--output out", "'out'", ".jsonl or .csv"),
    ("predict", "--output-format xml", "'xml'", ".csv"),
    ("predict", "--output absent/out.csv", "absent/out.csv", "folder"),
    ("predict", "--output empty --output-format csv", "empty", "folder"),
    ("info", "--model absent", "absent", "no such folder"),
    ("info", "--length 0", "length=0", "64"),
    ("info", "--length 65", "length=65", "64"),
    ("info", "--preset paper-x", "'paper-x'", "paper-pfc-7"),
    ("info", "--keep 3", "keep", "=3"),
    ("info", "--set combine.layer=9", "layer=9", "1 to 4"),
    ("info", "--set train.epochs=1", "'train'", "prune"),
    ("info", "--sample absent.jsonl", "absent.jsonl", "no such file"),
    ("info", "--model base --sample good.jsonl", "sample", "trained"),
]
RUNNING: list[tuple[str, ...]] = [
    ("--device warp", "device='warp'", "cpu"),
    ("--device meta", "device='meta'", "cpu"),
    ("--device cuda:99", "device='cuda:99'", "cpu"),
    ("--dtype int4", "dtype='int4'", "bfloat16"),
    ("--threads 0", "threads=0", "1 or more"),
    ("--batch-tokens 0", "batch_tokens=0", "1 or more"),
    ("--batch-tokens many", "batch_tokens='many'", "auto"),
    ("--max-length 65", "max_length=65", "64"),
    ("--max-length 0", "max_length=0", "64"),
    ("--max-length 2", "max_length", "3"),
]


@pytest.fixture
def broken_models(work: Path) -> None:
    """Folders that are no model, each in its own way."""
    (work / "empty").mkdir()

    def copy(source: str, name: str) -> Path:
        folder = work / name
        folder.mkdir()
        for file in (work / source).iterdir():
            (folder / file.name).write_bytes(file.read_bytes())
        return folder

    def edit(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
        record = read_config(folder)
        change(record)
        write_config(folder, record)

    GPT2Config(n_layer=1, n_embd=8, n_head=1, vocab_size=9).save_pretrained(work / "gpt")
    pickled = copy("base", "pickled")
    torch.save(load_file(pickled / "model.safetensors"), pickled / "pytorch_model.bin")
    (pickled / "model.safetensors").unlink()
    wordless = copy("base", "wordless")
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (wordless / name).unlink()
    edit(copy("model", "other-version"), lambda record: record["reduction"].update(format_version=3))
    edit(copy("model", "mistyped"), lambda record: record["reduction"].update(kep_ratio=0.5))
    edit(copy("model", "deferring"), lambda record: record.update(model_type="tokensieve_cascade", defer_below=1.5))
    edit(work / "deferring", lambda record: record["reduction"].update(defer={"share": 0.1}))
    weights = copy("model", "mismatched") / "model.safetensors"
    save_file(load_file(weights) | {"head.classifier.weight": torch.zeros(7, 32)}, weights, metadata={"format": "pt"})


@pytest.mark.parametrize("case", TRAIN_SETTINGS, ids=lambda case: case[0])
def test_settings_of_training(cli: Cli, work: Path, monkeypatch: pytest.MonkeyPatch, case: tuple[str, ...]) -> None:
    monkeypatch.setattr(
        "tokensieve.training.stages.fine_tune.run_trainer", lambda *_: pytest.fail("refuse it before training")
    )
    complain(cli, work, "train", *case)


@pytest.mark.usefixtures("broken_models")
@pytest.mark.parametrize("case", PLACES, ids=lambda case: " ".join(case[:2]))
def test_files_and_folders(cli: Cli, work: Path, monkeypatch: pytest.MonkeyPatch, case: tuple[str, ...]) -> None:
    monkeypatch.setattr(
        "tokensieve.training.stages.fine_tune.run_trainer", lambda *_: pytest.fail("refuse it before training")
    )
    complain(cli, work, *case)


@pytest.mark.parametrize("command", ["evaluate", "predict"])
@pytest.mark.parametrize("case", RUNNING, ids=lambda case: case[0])
def test_settings_of_a_run(cli: Cli, work: Path, command: str, case: tuple[str, ...]) -> None:
    complain(cli, work, command, *case)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
@pytest.mark.parametrize("command", ["train", "evaluate", "predict"])
def test_no_such_device(cli: Cli, work: Path, command: str) -> None:
    complain(cli, work, command, "--device cuda", "device='cuda'", "cpu")


GOOD = [json.dumps(row) for row in labelled_rows(24)]


def with_bad_line(bad: str | bytes) -> bytes:
    """A good file whose line 5 is bad."""
    bad = bad.encode() if isinstance(bad, str) else bad
    return b"\n".join([*(line.encode() for line in GOOD[:4]), bad, *(line.encode() for line in GOOD[4:])])


BAD_FILES: dict[str, tuple[bytes, tuple[str, ...]]] = {
    "empty text.jsonl": (with_bad_line('{"text": " ", "label": "law"}'), ("line 5", "empty text", "--on-bad-rows")),
    "missing text.jsonl": (with_bad_line('{"label": "law"}'), ("line 5", "'text'", "--on-bad-rows")),
    "wrong type.jsonl": (with_bad_line('{"text": ["a"], "label": "law"}'), ("line 5", "list ['a']", "--on-bad-rows")),
    "binary.jsonl": (with_bad_line('{"text": "\\u0000\\u0001", "label": "law"}'), ("line 5", "binary")),
    "encoding.jsonl": (with_bad_line(b'{"text": "na\xefve", "label": "law"}'), ("line 5", "UTF-8")),
    "no object.jsonl": (with_bad_line("[1]"), ("line 5", "list [1]")),
    "no json.jsonl": (with_bad_line("{text: 1}"), ("line 5", "JSON")),
    "fields.csv": (b"text,label\nfilm,film\ngood, film,law\n", ("line 3", "3 where the header has 2")),
    "quotes.csv": (b'text,label\n"film "good" it",film\ncourt,law\n', ("line 2", "quote")),
    "columns.csv": (b"body,label\nfilm,film\ncourt,law\n", ("'text'", "'body'", "--text-column")),
    "delimiter.csv": (b"text;label\nfilm;film\ncourt;law\n", ("'text;label'", "--delimiter ';'")),
    "array.jsonl": (b'[{"text": "film", "label": "film"}]', ("JSON array", ".json")),
    "columns.json": (b'{"text": {"0": "film"}, "label": {"0": "film"}}', ("single JSON object", "orient='records'")),
    "utf32.csv": ("text,label\nfilm,film\n".encode("utf-32"), ("UTF-32", "UTF-8")),
    "lines.tsv": (b'text\tlabel\n"a film\nof two lines"\tfilm\n', ("line 2", "one line", "CSV, JSONL or Parquet")),
    "blank.csv": (b"text,label\n", ("no records",)),
    "nothing.csv": (b"", ("empty",)),
    "utf16.csv": ("text,label\nfilm,film\n".encode("utf-16"), ("UTF-16", "UTF-8")),
    "plain.jsonl": (gzip.compress(b'{"text": "film", "label": "film"}\n'), ("gzip", ".gz")),
    "cut.jsonl.gz": (gzip.compress("\n".join(GOOD).encode())[:100], ("gzip", "again")),
    "text.jsonl.gz": (b"not compressed at all\n", ("gzip", "again")),
    "cut.parquet": (b"PAR1" + b"\x00" * 50, ("Parquet", "again")),
    "text.parquet": (b"text,label\nfilm,film\n", ("Parquet",)),
    "what.xyz": (b"text", (".xyz", ".csv")),
}


@pytest.mark.parametrize("command", ["train", "evaluate", "predict"])
@pytest.mark.parametrize("name", BAD_FILES)
def test_files_that_cannot_be_read(cli: Cli, work: Path, command: str, name: str) -> None:
    content, hints = BAD_FILES[name]
    (work / name).write_bytes(content)
    option = "--input" if command == "predict" else "--data"
    complain(cli, work, command, f"{option} '{name}'", name, *hints)


TRAINING_FILES: dict[str, tuple[bytes, tuple[str, ...]]] = {
    "one label.jsonl": (b'{"text": "film", "label": "film"}\n{"text": "good", "label": "film"}\n', ("'film'", "two")),
    "one each.jsonl": (b'{"text": "film", "label": "film"}\n{"text": "law", "label": "law"}\n', ("validation",)),
    "no label.jsonl": (with_bad_line('{"text": "film"}'), ("line 5", "'label'")),
    "null label.jsonl": (with_bad_line('{"text": "film", "label": null}'), ("line 5", "label")),
    "indicators.jsonl": (b'{"text": "film", "label": [1, 0]}\n', ("list [1, 0]", "--multi-label")),
    "list.csv": (b"text,label\nfilm,\"['film', 'law']\"\n", ("line 2", "list written as text", "--multi-label")),
    "contradicted.csv": (b"text,label\nfilm,film\nfilm,law\n", ("1 of 1 different texts", "'film', 'law'")),
    "float label.jsonl": (with_bad_line('{"text": "film", "label": 1.5}'), ("line 5", "1.5")),
}


@pytest.mark.parametrize("name", TRAINING_FILES)
def test_files_that_cannot_be_learnt_from(cli: Cli, work: Path, name: str) -> None:
    content, hints = TRAINING_FILES[name]
    (work / name).write_bytes(content)
    complain(cli, work, "train", f"--data '{name}'", *hints)


def test_a_link_to_nothing(cli: Cli, work: Path) -> None:
    (work / "link.csv").symlink_to("gone.csv")
    for command, option in (("train", "--data"), ("evaluate", "--data"), ("predict", "--input")):
        complain(cli, work, command, f"{option} link.csv", "link.csv", "a link to gone.csv")


@pytest.mark.parametrize("command", ["train", "evaluate", "predict"])
def test_errors_of_machines_are_one_line_too(cli: Cli, work: Path, command: str) -> None:
    """Under --json the error is all that is on stderr."""
    option = "--input" if command == "predict" else "--data"
    (work / "bad.jsonl").write_bytes(with_bad_line("{"))
    outcome = cli(command, *shlex.split(COMMANDS[command]), option, "bad.jsonl", "--json")
    assert outcome.err == outcome.error() + "\n"


@pytest.mark.parametrize(
    ("args", "hint"),
    [
        ("train --model base", "--output"),
        ("predict", "--model"),
        ("evaluate --model model --bogus", "--bogus"),
        ("train --output out --epochs many", "--epochs"),
        ("predict --model model --on-bad-rows maybe", "maybe"),
        ("fly", "fly"),
    ],
)
def test_usage(cli: Cli, work: Path, args: str, hint: str) -> None:
    before = listing(work)
    outcome = cli(*args.split())
    assert outcome.code == 2
    assert hint in outcome.err
    assert "Traceback" not in outcome.err
    assert listing(work) == before


@pytest.mark.parametrize("command", [(), ("train",), ("evaluate",), ("predict",), ("info",), ("demo",)])
def test_help(cli: Cli, command: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    outcome = cli(*command, "--help")
    assert outcome.code == 0
    assert len(outcome.out.splitlines()) > 5
    options = {"train": "--preset", "evaluate": "--json", "predict": "--tokens", "info": "--length", "demo": "--output"}
    assert options.get("".join(command), "predict") in outcome.out


def test_an_error_of_ours_is_told_as_such(cli: Cli, work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def bug(*_: Any, **__: Any) -> None:
        raise KeyError("of ours\nin two lines")

    monkeypatch.setattr("tokensieve.runtime.load.load", bug)
    outcome = cli("predict", "--model", "model", "--input", "good.jsonl")
    assert outcome.code == 1
    (line,) = outcome.err.splitlines()
    assert line.startswith("tokensieve: error: unexpected KeyError")
    assert "TOKENSIEVE_DEBUG=1" in line
