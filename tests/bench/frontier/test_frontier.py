"""The table of who could do the job, and the dense classifier in transformers' code, which the rivals run."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import contenders
import pytest
import torch
from safetensors.torch import load_file, save_file

import frontier
from tokensieve import ReductionConfig, load
from tokensieve.data import DataSplits, Document
from tokensieve_bench.records import Results
from tokensieve_bench.report.contenders import GROUPS, contender_plot, contender_tables
from tokensieve_bench.trained import TrainedBackbone, padded

TRUTH = [0, 1, 1, 0]


def _write(file: Path, record: dict[str, Any]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(record), encoding="utf-8")


@pytest.fixture
def results(tmp_path: Path) -> Results:
    """Two sets, of which one has no answers of ONNX Runtime; words are right once less than dense."""
    stages = {"words": [0, 1, 0, 1], "dense": [0, 1, 1, 1], "fast": [0, 1, 1, 1], "words -> pruned, 0.5": TRUTH}
    machine = {"commit": "ab" * 20, "processor": "a processor", "threads": 4}
    for data in ("a", "b"):
        runs = [{"seed": seed, "predicted": stages} for seed in (0, 1)]
        recipe = {"max_length": 64 if data == "a" else 96}
        config = {"config": {"variants": {}, "recipe": recipe}, "truth": {"test": TRUTH}, "machine": machine}
        _write(tmp_path / "cascade" / data / "common.json", config)
        _write(tmp_path / "cascade" / data / "seed0.json", {"runs": runs})
        seconds = {"transformers": [4.0, 8.0], "dense": [2.0, 2.0], "OpenVINO int8": [1.0, 1.0]}
        speed: dict[str, Any] = {"seconds": seconds, "documents": 4, "machine": machine, "max_length": 64}
        if data == "b":  # the record of a has no batches, as those made before
            speed["batches"] = {"transformers": 16, "OpenVINO int8": 8}
        _write(tmp_path / "frontier" / data / "speed.json", speed)
        answers = {"contender": "OpenVINO int8", "seed": 1, "predicted": [0, 1, 1, 1] if data == "a" else [1, 1, 1, 1]}
        answers["machine"] = machine | {"commit": "cd" * 20 + "+"}
        _write(tmp_path / "frontier" / data / "seed1-OpenVINO-int8.json", answers)
    other = {"contender": "static", "seed": 0, "predicted": TRUTH, "machine": machine | {"commit": None}}
    _write(tmp_path / "frontier" / "a" / "seed0-x.json", other)
    return Results(tmp_path)


def test_contenders_are_compared_on_the_same_documents(results: Results) -> None:
    pooled, accuracy, speed, notes = contender_tables(results).split("\n\n")
    row = {line.split("|")[1].strip(): [cell.strip() for cell in line.split("|")[2:]] for line in pooled.splitlines()}
    assert row["OpenVINO int8"][0] == "6 (6-6)"  # the median of 4 and 8
    assert row["OpenVINO int8"][1].startswith("-12.50 [")  # one of eight documents, its seed against the same seed
    assert row["cascade"][2].startswith("+50.00 [")
    assert row["dense"][1] == ""
    assert "static" not in row  # it has no answers for the set b
    assert "| OpenVINO int8 | 0.7500 | 0.5000 |" in accuracy
    assert "| dense | 2 | 2 |" in speed
    assert "a 4, b 4" in notes
    assert notes.endswith("- Documents in a batch of the rivals: a 8; b transformers 16, OpenVINO int8 8.")


def test_the_classifiers_of_another_config_have_tables_of_their_own(results: Results) -> None:
    of_minilm = contender_tables(results)
    assert contender_tables(results, "mpnet") == "Not measured yet."
    int8 = {"variant": "dense", "seed": 0, "int8": TRUTH, "machine": {"commit": "ef" * 20, "processor": "a processor"}}
    trained = {"variant": "dense", "seed": 0, "machine": {"commit": "12" * 20, "processor": "a processor"}}
    for data in ("a", "b"):
        _write(results.folder / "int8" / f"{data}.json", {"truth": TRUTH, "runs": [int8]})
        _write(results.folder / "accuracy" / f"cascade-{data}.json", {"runs": [trained]})
    assert "| dense int8 |" in contender_tables(results) and "- encoders trained: commit 121212" in contender_tables(
        results
    )
    (results.folder / "cascade").rename(results.folder / "mpnet")
    (results.folder / "frontier").rename(results.folder / "frontier-mpnet")
    assert contender_tables(results, "mpnet") == of_minilm
    assert contender_tables(results) == "Not measured yet."


def test_notes_are_those_of_the_records(results: Results) -> None:
    notes = contender_tables(results).split("\n\n")[-1]
    assert "The encoders read 64 or 96 tokens" in notes
    assert "- answers: commits ababababab, cdcdcdcdcd+, unknown; a processor" in notes
    assert "medians of 2 interleaved rounds" in notes
    assert "4 threads for all; commit ababababab; a processor" in notes
    assert "largest of the sets: `OpenVINO int8` 67 %, `dense` 67 %" in notes  # of 4 and 8, and of 2 and 4


def test_the_picture_has_every_timed_contender(results: Results, tmp_path: Path) -> None:
    contender_plot(results, tmp_path / "pictures" / "picture.svg")
    drawn = (tmp_path / "pictures" / "picture.svg").read_text(encoding="utf-8")
    assert "OpenVINO int8" in drawn
    assert "cascade" not in drawn  # nobody timed it


def test_without_records_the_table_says_so(tmp_path: Path) -> None:
    assert contender_tables(Results(tmp_path)) == "Not measured yet."


def test_tables_and_script_know_the_same_contenders() -> None:
    assert {own for group in GROUPS.values() for own in group} == contenders.CONTENDERS.keys()


@pytest.fixture
def dense(save_classifier: Callable[..., Path], tmp_path: Path) -> Path:
    return save_classifier(tmp_path / "dense", reduction=ReductionConfig(prune=None, pooling="mean"))


TEXTS = ["a film scene", "a court", "a film scene of a court and an actor"]


def test_the_rivals_run_the_same_weights(dense: Path) -> None:
    backbone, ours = TrainedBackbone(dense), load(dense, device="cpu")
    theirs: Any = backbone.model
    assert type(theirs.encoder).__module__.startswith("transformers.")
    batch = backbone.tokenizer(TEXTS, padding=True, return_tensors="pt")
    with torch.inference_mode():
        logits = theirs(batch["input_ids"], batch["attention_mask"]).logits
        wanted = ours.model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).logits
    assert (logits - wanted).abs().max() < 1e-4


def test_answers_come_in_the_order_of_the_texts(dense: Path) -> None:
    """Batches are sorted by length; the answer here is the length itself."""
    tokenizer = TrainedBackbone(dense).tokenizer
    answer = padded(lambda batch: torch.eye(64)[batch.attention_mask.sum(1)], tokenizer, tuple(range(64)), 6, 2)
    assert answer(TEXTS) == [5, 4, 6]  # the last one is truncated


def test_what_was_made_of_other_weights_is_made_anew(dense: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The int8 classifier, the rivals' files and the answers are named by the weights that they were made of."""
    made = []
    monkeypatch.setattr(contenders, "quantize", lambda source, target, *_, **__: made.append(target) or target.mkdir())
    for name in ("dense", "fast", "shallow"):
        monkeypatch.setattr(contenders.Trained, name, dense)
    name = {"name": "cascade-a", "seed": 0, "threads": 1}

    def trained() -> contenders.Trained:
        return contenders.Trained({"data": "a", "recipe": {"max_length": 8}}, splits=DataSplits(()), **name)

    before = [trained().int8(dense), trained().rivals.folder, trained().made_of]
    assert [trained().int8(dense), trained().rivals.folder, trained().made_of] == before
    assert len(made) == 1
    weights = load_file(dense / "model.safetensors")
    save_file({key: own + 1 for key, own in weights.items()}, dense / "model.safetensors", {"format": "pt"})
    after = [trained().int8(dense), trained().rivals.folder, trained().made_of]
    assert all(own != other for own, other in zip(before, after, strict=True))
    assert len(made) == 2


def test_answers_of_other_weights_are_asked_for_again(tmp_path: Path) -> None:
    assert not frontier.is_answered(tmp_path / "answers.json", "a")
    _write(tmp_path / "answers.json", {"made_of": "a"})
    assert frontier.is_answered(tmp_path / "answers.json", "a")
    assert not frontier.is_answered(tmp_path / "answers.json", "b")


def test_a_record_is_not_replaced_by_one_with_fewer_contenders(tmp_path: Path) -> None:
    file = tmp_path / "speed.json"
    frontier.check_complete(file, ["dense"])
    _write(file, {"seconds": {"dense": [1.0], "OpenVINO int8": [1.0]}})
    frontier.check_complete(file, ["dense", "OpenVINO int8", "fast"])
    with pytest.raises(SystemExit, match=r"speed\.json: it has times of OpenVINO int8, which the config leaves out"):
        frontier.check_complete(file, ["dense", "fast"])


def test_a_rival_is_timed_at_its_fastest_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first pass of 16 is slow, as if something were compiled; its second is the fastest of all."""
    passes = {8: [3.0, 3.0], 16: [9.0, 1.0], 32: [2.0, 2.0]}
    taken = {str(size): list(own) for size, own in passes.items()}
    monkeypatch.setattr(frontier, "seconds", lambda call: call())
    best, tried = frontier.best_batch(lambda size: lambda _: taken[str(size)].pop(0), ["text"])
    assert best == 16
    assert tried == {str(size): own for size, own in passes.items()}


@pytest.mark.parametrize("rival", ["transformers", "transformers bf16"])
def test_a_rival_answers_in_batches_of_any_size(dense: Path, rival: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contenders.Trained, "dense", dense)
    labels = ("film", "law", "sport")
    splits = DataSplits(tuple(Document(label, label, "here", 1) for label in labels))
    trained = contenders.Trained({"recipe": {"max_length": 8}}, "cascade-a", 0, splits, 1)
    answers = [contenders.by_batch(rival, trained)(size)(TEXTS) for size in (1, 2, 3)]
    assert answers[0] == answers[1] == answers[2]
    if rival == "transformers":
        assert answers[0] == load(dense, device="cpu").predict(TEXTS)


def test_bfloat16_takes_no_part_where_it_is_emulated(monkeypatch: pytest.MonkeyPatch) -> None:
    trained = contenders.Trained({}, "cascade-a", 0, DataSplits(()), 1)
    for native in (True, False):
        monkeypatch.setattr(contenders, "is_native", lambda *_, native=native: native)
        assert trained.has("transformers bf16") == native
        assert trained.has("transformers")
