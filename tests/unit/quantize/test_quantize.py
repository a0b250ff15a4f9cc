"""quantize(): what changes little passes, sensitive layers keep float32, and what changes much is not written."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random
from typing import Any, ClassVar, cast

import pytest
import torch
from safetensors.torch import load_file

import tokensieve
from tokensieve.cascade.words_first import WordsFirst, WordsFirstSettings
from tokensieve.data.documents import Document
from tokensieve.errors import CheckpointError, ConfigError, DataError
from tokensieve.quantize.gate import Gate, changes
from tokensieve.quantize.quantize import REPORT, _split, _tried, quantize
from tokensieve.runtime.engine import STAGES
from tokensieve.runtime.frontier import Frontier, Point
from tokensieve.runtime.results import Result
from tokensieve.words import WordsClassifier

WORDS = ["good", "bad", "film", "court", "goal", "market", "team", "law", "share", "player", "price", "judge"]
LOOSE = Gate(1.0, 1.0)


def documents(count: int = 40, labels: tuple[str, ...] | None = ("film", "law", "sport")) -> tuple[Document, ...]:
    generator = Random(0)
    return tuple(
        Document(" ".join(generator.choices(WORDS, k=9)), labels and labels[line % len(labels)], "made up", line)
        for line in range(count)
    )


@pytest.fixture
def folder(save_classifier: Callable[..., Path], tmp_path: Path) -> Path:
    found = save_classifier(tmp_path / "plain", combine_layer=3)
    (found / "README.md").write_text("# A card\n", encoding="utf-8")
    (found / "training.json").write_text(json.dumps({"versions": {}}), encoding="utf-8")
    return found


def test_what_passes_is_written(folder: Path, tmp_path: Path) -> None:
    (folder / "mine.txt").write_text("a note", encoding="utf-8")
    report = quantize(folder, tmp_path / "int8", documents(), gate=LOOSE)
    assert {own.name for own in (tmp_path / "int8").iterdir()} == {own.name for own in folder.iterdir()} - {
        "mine.txt"
    } | {REPORT}
    rights = {own.stat().st_mode for own in (tmp_path / "int8").iterdir()}
    assert len(rights) == 1, "who may read the card may read the weights"
    assert json.loads((tmp_path / "int8" / REPORT).read_text(encoding="utf-8")) == report
    assert report["bytes"] < 0.55 * report["bytes_float32"]
    assert (report["fitted_to"], report["documents"]) == (10, 30)
    assert report["float32"] == []
    assert report["accuracy"] - report["accuracy_float32"] == pytest.approx(report["difference"])
    assert load_file(tmp_path / "int8" / "model.safetensors")["embeddings.word_embeddings.weight"].dtype == torch.int8
    card = (tmp_path / "int8" / "README.md").read_text(encoding="utf-8")
    assert card.startswith("# A card")
    assert "## int8\n\nInt8 changes" in card
    before, after = (tokensieve.load(place, device="cpu") for place in (folder, tmp_path / "int8"))
    texts = [document.text for document in _split(documents())[1]]
    found = changes(before.results(texts), after.results(texts))
    assert found["mean_change"] == pytest.approx(report["mean_change"], abs=1e-6)
    assert 0 < report["mean_change"] < 0.1


def test_documents_without_labels(folder: Path, tmp_path: Path) -> None:
    report = quantize(folder, tmp_path / "int8", documents(labels=None), gate=LOOSE)
    assert "accuracy" not in report
    assert report["documents"] == 30


def test_documents_that_fit_ranges_are_not_compared(folder: Path, tmp_path: Path) -> None:
    many = documents(2003)
    report = quantize(folder, tmp_path / "int8", many, gate=LOOSE)
    assert (report["fitted_to"], report["documents"]) == (256, 2003 - 256)
    fitted, compared = _split(many)
    assert set(fitted).isdisjoint(compared)
    lines = sorted(document.line for document in fitted)
    assert lines[0] < 100, "from the first"
    assert lines[-1] > 1900, "to the last, as files are often sorted by label"
    one = quantize(folder, tmp_path / "one", many[:1], gate=LOOSE)
    assert (one["fitted_to"], one["documents"]) == (1, 1)


class _Sums:
    """A trial in which each int8 layer moves every document's probability by a known amount."""

    MOVES: ClassVar = {"0": 0.01, "1": 0.04, "2": 0.02, "3": 0.005}

    def __init__(self) -> None:
        self.before, self.documents = None, documents(labels=None)
        self.names = [f"encoder.layer.{layer}.{part}" for layer in self.MOVES for part in ("attention", "output")]
        self.results = self.answers([], self.documents)

    def made(self, names: Sequence[str]) -> Sequence[str]:
        return names

    def answers(self, model: Sequence[str], documents: Sequence[Document]) -> list[Result]:
        first = 0.9 - sum(self.MOVES[layer] for layer in {name.split(".")[2] for name in model})
        return [Result((first, 1 - first), 0, (0,), (1.0, 0.0), 3, ())] * len(documents)


@pytest.mark.parametrize(
    ("most", "layers", "change"), [(0.08, "", 0.075), (0.074, "1", 0.035), (0.034, "12", 0.015), (0.014, "12", None)]
)
def test_the_most_sensitive_layers_go_back_first(most: float, layers: str, change: float | None) -> None:
    """One after the other, until the gate is passed; of four layers two at most."""
    made, report = _tried(cast(Any, _Sums()), Gate(0.0, most))
    assert report["float32"] == [f"encoder.layer.{layer}." for layer in layers]
    assert (made is None) == (change is None)
    if change is not None:
        assert report["mean_change"] == pytest.approx(change)
        assert {name.split(".")[2] for name in made} == set("0123") - set(layers)


class _TwoLayers(Gate):
    """Passes with two layers in float32, whatever changes."""

    def passes(self, report: dict[str, Any]) -> bool:
        return len(report["float32"]) == 2


def test_layers_that_go_back_are_written_in_float32(folder: Path, tmp_path: Path) -> None:
    whole = quantize(folder, tmp_path / "whole", documents(), gate=LOOSE)
    report = quantize(folder, tmp_path / "two", documents(), gate=_TwoLayers())
    assert len({*report["float32"]}) == 2
    stored, plain = (load_file(place / "model.safetensors") for place in (tmp_path / "two", folder))
    for layer in [f"encoder.layer.{number}." for number in range(4)]:
        own = {name: tensor for name, tensor in stored.items() if name.startswith(layer)}
        assert own, layer
        assert (torch.int8 in {tensor.dtype for tensor in own.values()}) == (layer not in report["float32"])
        if layer in report["float32"]:
            assert all(torch.equal(tensor, plain[name]) for name, tensor in own.items())
    assert report["bytes"] > whole["bytes"]
    assert tokensieve.load(tmp_path / "two", device="cpu").dtype == "int8"


def test_what_does_not_pass_is_not_written(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"int8 changes too much: .*nothing is written"):
        quantize(folder, tmp_path / "int8", documents(), gate=Gate(0.0, 0.0))
    assert not (tmp_path / "int8").exists()
    assert not list(tmp_path.glob("int8*"))


def test_a_cascade_with_a_bag_of_words(save_classifier: Callable[..., Path], tmp_path: Path) -> None:
    source = save_classifier(tmp_path / "plain", reread=0.4)
    labels = tokensieve.load(source, device="cpu").labels
    texts = [document.text for document in documents()]
    words = WordsClassifier.fit(texts, [line % 3 for line in range(len(texts))], labels)
    WordsFirst(words, WordsFirstSettings(0.5, 0.5, 0.5)).save(source)
    quantize(source, tmp_path / "int8", documents(), gate=LOOSE)
    made = tokensieve.load(tmp_path / "int8", device="cpu")
    assert made.engine.stages == ("words", "encoder", "second encoder")
    assert made.dtype == "int8"
    assert (
        made.model.first.encoder.layer[0].output.dense.weight is made.model.second.encoder.layer[0].output.dense.weight
    )
    assert made.predict_proba(texts).shape == (40, 3)


@pytest.mark.parametrize("number", [0, 1])
def test_one_stage_of_a_cascade(save_classifier: Callable[..., Path], tmp_path: Path, number: int) -> None:
    """The other stage keeps its float32 weights to the last bit; what is no product is still shared."""
    source = save_classifier(tmp_path / "plain", reread=0.4)
    report = quantize(source, tmp_path / "one", documents(), gate=LOOSE, stages=[STAGES[number]])
    quantize(source, tmp_path / "all", documents(), gate=LOOSE)
    assert report["stages"] == [STAGES[number]]
    plain, one, whole = (tokensieve.load(tmp_path / name, device="cpu").model for name in ("plain", "one", "all"))
    assert one.config.int8_stages == [number]
    assert [bool(stage.config.int8) for stage in one.stages] == [number == 0, number == 1]
    kept, before = one.stages[1 - number].state_dict(), plain.stages[1 - number].state_dict()
    assert kept.keys() == before.keys()
    assert all(torch.equal(kept[name], before[name]) for name in kept)
    made, wanted = one.stages[number].state_dict(), whole.stages[number].state_dict()
    assert {name: own.dtype for name, own in made.items()} == {name: own.dtype for name, own in wanted.items()}
    assert torch.int8 in {own.dtype for own in made.values()}
    first, second = one.stages
    assert first.embeddings.position_embeddings.weight is second.embeddings.position_embeddings.weight
    assert first.encoder.layer[0].output.dense.weight is not second.encoder.layer[0].output.dense.weight
    one.save_pretrained(tmp_path / "again")
    saved, again = (load_file(tmp_path / name / "model.safetensors") for name in ("one", "again"))
    assert saved.keys() == again.keys()
    assert all(torch.equal(saved[name], again[name]) for name in saved)


def test_all_stages_by_name_are_as_none_named(save_classifier: Callable[..., Path], tmp_path: Path) -> None:
    source = save_classifier(tmp_path / "plain", reread=0.4)
    for name, stages in (("named", STAGES), ("none", ())):
        assert quantize(source, tmp_path / name, documents(), gate=LOOSE, stages=stages)["stages"] == [*STAGES]
    one, other = (load_file(tmp_path / name / "model.safetensors") for name in ("named", "none"))
    assert all(torch.equal(one[name], other[name]) for name in one.keys() | other.keys())


@pytest.mark.parametrize("stage", ["second encoder", "words", ""])
def test_a_stage_that_is_not_there(folder: Path, tmp_path: Path, stage: str) -> None:
    with pytest.raises(ConfigError, match=rf"stage '{stage}': the encoders of .* are 'encoder'"):
        quantize(folder, tmp_path / "int8", documents(), gate=LOOSE, stages=[stage])
    assert not (tmp_path / "int8").exists()


@pytest.mark.parametrize("bad", [-0.1, 1.1, float("nan"), None, True])
def test_bounds_out_of_range(bad: Any) -> None:
    for name in ("labels_changed", "mean_change"):
        with pytest.raises(ConfigError, match=name):
            Gate(**{name: bad})


def test_a_frontier_of_float32_stays_behind(folder: Path, tmp_path: Path) -> None:
    Frontier((Point(None, None, {"encoder": 1.0}, 50.0, 1.0, 0.8, 0.0, (0.0, 0.0)),), 0, {"documents": 300}).write(
        folder
    )
    quantize(folder, tmp_path / "int8", documents(), gate=LOOSE)
    assert not list((tmp_path / "int8").glob("frontier*"))


def test_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"somebody/model is no folder: .*downloaded first"):
        quantize("somebody/model", tmp_path / "int8", documents())
    with pytest.raises(DataError, match="no document"):
        quantize(folder, tmp_path / "int8", ())
    quantize(folder, tmp_path / "int8", documents(), gate=LOOSE)
    with pytest.raises(ConfigError, match="exists"):
        quantize(folder, tmp_path / "int8", documents(), gate=LOOSE)
    quantize(folder, tmp_path / "int8", documents(), gate=LOOSE, overwrite=True)
    with pytest.raises(CheckpointError, match="int8 already"):
        quantize(tmp_path / "int8", tmp_path / "again", documents(), gate=LOOSE)
    bag = tmp_path / "bag"
    WordsClassifier.fit(["the law", "a goal"], [0, 1], ["law", "sport"]).save(bag)
    with pytest.raises(ConfigError, match="no encoder"):
        quantize(bag, tmp_path / "other", documents(), gate=LOOSE)


def test_changes_of_several_labels() -> None:
    one, other = (Result((0.9, own), 0, labels, (1.0, 0.0), 3, ()) for own, labels in ((0.6, (0, 1)), (0.4, (0,))))
    assert changes([one, one], [one, other]) == {"labels_changed": 0.5, "mean_change": 0.0}
