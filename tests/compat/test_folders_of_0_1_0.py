"""Folders that 0.1.0 wrote answer through every door as they did: logits to 1e-6, the same tokens kept.

The folders in `0.1.0/` were made by `make.py`, which says how.
"""

import json
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from compat import doors
from e2e.conftest import Cli

FOLDERS = [*doors.MODELS, *doors.TRAINED]
ANEW = sorted(
    file.stem for file in (doors.HERE / "answers").glob("*-to-*.json") if "origin" in doors.record_of(file.stem)
)


def test_every_preset_and_family_is_there() -> None:
    presets = {"dense", "paper-p", "paper-pf", "paper-c-7", "paper-c-11", "paper-pfc-7", "paper-pfc-11"}
    ours = {"accurate", "balanced", "fast", "fastest", "fast-second-norms", "fast-reread-ratios"}
    families = {"roberta", "xlm-roberta", "distilbert", "electra"}
    assert {*doors.MODELS} == presets | ours | families | {"multi-label", "pairs", "candidates-sample", "insert-soft"}
    assert len(ANEW) == 12


@pytest.mark.parametrize("name", FOLDERS)
def test_load(name: str) -> None:
    doors.by_load(doors.folder_of(name), name).check(name)


@pytest.mark.parametrize("name", FOLDERS)
def test_auto_classes(name: str) -> None:
    doors.by_auto_class(doors.folder_of(name), name).check(name)


@pytest.mark.parametrize("name", FOLDERS)
def test_pipeline(name: str) -> None:
    doors.by_pipeline(doors.folder_of(name), name)


@pytest.mark.parametrize("name", FOLDERS)
def test_predict(name: str, cli: Cli, tmp_path: Path) -> None:
    pairs = name == "pairs"
    rows = [{"text": t[0], "second": t[1]} if pairs else {"text": t} for t in doors.texts_of(name)]
    source = tmp_path / "documents.jsonl"
    source.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    options = ["--tokens", "--device", "cpu", "--threads", 1, *(["--pair-column", "second"] if pairs else [])]
    found = cli("predict", "--model", doors.folder_of(name), "--input", source, *options)
    assert found.code == 0, found.err
    records = [json.loads(line) for line in found.out.splitlines()]
    words, ids = AutoTokenizer.from_pretrained(doors.folder_of(name)), doors.batch_of(name)["input_ids"]
    wanted = doors.recorded(name)
    assert wanted.survivors is not None
    assert [own["tokens"] for own in records] == [
        words.convert_ids_to_tokens(row[left].tolist()) for row, left in zip(ids, wanted.survivors, strict=True)
    ]
    doors.Answers(
        probabilities=torch.tensor([[*own["probabilities"].values()] for own in records]),
        labels=[own.get("labels") if "labels" in own else [own["label"]] for own in records],
        joined=[own["joined"] for own in records],
    ).check(name)


@pytest.mark.parametrize("name", FOLDERS)
def test_saved_anew(name: str, tmp_path: Path) -> None:
    """A model of an old folder is the same after it is saved and loaded."""
    folder = doors.folder_of(name)
    AutoModelForSequenceClassification.from_pretrained(folder).save_pretrained(tmp_path)
    AutoTokenizer.from_pretrained(folder).save_pretrained(tmp_path)
    doors.by_load(tmp_path, name).check(name)
    doors.by_auto_class(tmp_path, name).check(name)
    doors.by_pipeline(tmp_path, name)


@pytest.mark.parametrize("name", ANEW)
def test_compressed_to_other_settings(name: str) -> None:
    doors.by_compress(name).check(name)


@pytest.mark.parametrize("name", doors.ORIGINS)
def test_adapters(name: str, tmp_path: Path) -> None:
    doors.by_peft(name, tmp_path / "adapter").check(name)


def test_evaluate(cli: Cli, tmp_path: Path) -> None:
    """The labels that 0.1.0 gives are right in all cases but the first three."""
    labels = [own[0] for own in doors.recorded("fast").labels or ()]
    wrong = ["film" if own == "law" else "law" for own in labels[:3]]
    rows = zip(doors.TEXTS, [*wrong, *labels[3:]], strict=True)
    source = tmp_path / "test.jsonl"
    source.write_text("".join(json.dumps({"text": t, "label": own}) + "\n" for t, own in rows), encoding="utf-8")
    found = cli("evaluate", "--model", doors.folder_of("fast"), "--data", source, "--device", "cpu", "--json").json()
    assert found["accuracy"] == pytest.approx(1 - 3 / len(labels))


@pytest.mark.parametrize("name", FOLDERS)
def test_info(name: str, cli: Cli) -> None:
    """The plan: kept tokens of every step, and what they cost."""
    wanted = doors.record_of(name)["plan"]
    found = cli("info", "--model", doors.folder_of(name), "--length", wanted["length"], "--json").json()
    assert [step["kept"] for step in found["plan"]["steps"]] == wanted["kept"]
    assert found["plan"]["flops"] == pytest.approx(wanted["flops"], rel=1e-9)
    assert found["plan"]["dense_flops"] == wanted["dense_flops"]
    assert found["longest_document"] == doors.INPUTS["longest"]
