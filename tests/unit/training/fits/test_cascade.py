"""The confidence below which documents are deferred: fitted to validation documents, kept in the cascade."""

from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import tokensieve
from flat import reduction, with_flat
from support.packages import needed
from tokensieve import ConfigError, compress
from tokensieve.backbones.loading import load_config, load_tokenizer
from tokensieve.backbones.source import source_config
from tokensieve.data import DataSplits
from tokensieve.kernels import linear
from tokensieve.runtime.batching import padded_batch
from tokensieve.training.dense_first import train_dense_first
from tokensieve.training.files.output import read_record
from tokensieve.training.fits.calibration import calibrate
from tokensieve.training.recipe import Recipe
from tokensieve.training.train import train
from unit.training.keyword_documents import Train, labelled_documents
from unit.training.stage_files import is_cascade, own_of_second, weights_of

DENSE = reduction(pruning="none", pooling="mean")
REDUCED = reduction(score="learned", pruning="ratio", site="hidden", keep_ratio=0.5, pooling="mean", reread=0.25)
LAST_LAYER = (WEIGHT, _) = ("head.classifier.weight", "head.classifier.bias")
RECIPE = Recipe(epochs=0, batch_size=8, max_length=32, calibrate=False)
DATA = DataSplits(labelled_documents(60), labelled_documents(40, seed=1))


@pytest.fixture(scope="module")
def dense(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cascade") / "dense"
    train(base, DENSE, DATA, folder, replace(RECIPE, epochs=1, learning_rate=3e-3), progress=False)
    return folder


def card_of(folder: Path) -> str:
    """The card on one line."""
    return " ".join((folder / "README.md").read_text().split())


def test_the_share_that_is_asked_for_has_the_dense_classifiers_answers(dense: Path, tmp_path: Path) -> None:
    record = train(dense, REDUCED, DATA, tmp_path / "cascade", RECIPE, progress=False)
    train(dense, with_flat(REDUCED, reread=0.0), DATA, tmp_path / "once", RECIPE, progress=False)
    cascade, once, whole = (
        tokensieve.load(folder, device="cpu") for folder in (tmp_path / "cascade", tmp_path / "once", dense)
    )
    assert record["cascade"]["below"] == cascade.model.config.defer_below
    assert record["cascade"]["documents"] == 40
    deferrals = 0
    results = (own.engine.classify(DATA.validation) for own in (cascade, once, whole))
    for found, first, second in zip(*results, strict=True):
        deferred = max(first.probabilities) < cascade.model.config.defer_below
        deferrals += deferred
        np.testing.assert_allclose(found.logits, (second if deferred else first).logits, atol=1e-4)
        assert (found.kept == (found.length,) * 4) == deferred
    assert deferrals == 10
    own, given = own_of_second(tmp_path / "cascade"), weights_of(dense)
    assert own.keys() == {*LAST_LAYER}, "all else is shared"
    assert all(torch.equal(own[name], given[name]) for name in LAST_LAYER)
    assert not torch.equal(own[WEIGHT], weights_of(tmp_path / "cascade")[WEIGHT]), "the head was not refitted"


def test_deferred_documents_of_all_batches_are_read_together(dense: Path, tmp_path: Path) -> None:
    train(dense, with_flat(REDUCED, reread=0.5), DATA, tmp_path / "cascade", RECIPE, progress=False)
    small, large = (tokensieve.load(tmp_path / "cascade", device="cpu", batch_tokens=own) for own in (70, 4096))
    read: list[tuple[int, ...]] = []
    for stage in small.model.stages:
        stage.embeddings.register_forward_pre_hook(lambda _, given: read.append(given[0].lengths))
    found, wanted = (own.engine.classify(DATA.validation) for own in (small, large))
    for one, other in zip(found, wanted, strict=True):
        np.testing.assert_allclose(one.logits, other.logits, atol=1e-4)
        assert one.kept == other.kept
    sizes = [len(lengths) for lengths in read]
    first = next(number for number in range(len(sizes)) if sum(sizes[:number]) == 40)
    assert sum(sizes[first:]) == 20
    assert all(sum(batch) <= 70 < sum(batch) + after[0] for batch, after in pairwise(read[first:])), "batches are full"
    encodings = small.engine._encode(DATA.validation)
    with torch.no_grad():
        batch = padded_batch(encodings, range(40), small.model.config, torch.device("cpu"))
        wanted_vectors = small.model.read(batch).pooled.numpy()
    vectors = small.encode([document.text for document in DATA.validation])
    np.testing.assert_allclose(vectors, wanted_vectors, atol=1e-4)


def test_a_second_stage_of_fewer_tokens_has_a_last_layer_refitted_to_them(dense: Path, tmp_path: Path) -> None:
    """Its answers are those of a classifier that reads every document so."""
    settings = with_flat(REDUCED, reread_ratios=(0.8, 0.9, 0.9, 0.9))
    record = train(dense, settings, DATA, tmp_path / "cascade", RECIPE, progress=False)
    fitted = record["head_refit"]
    assert fitted["left_again"] < fitted["moved_again"] < fitted["moved"]
    train(dense, with_flat(REDUCED, reread=0.0), DATA, tmp_path / "once", RECIPE, progress=False)
    train(dense, settings.stages(4)[1], DATA, tmp_path / "more", RECIPE, progress=False)
    cascade, once, more = (tokensieve.load(tmp_path / name, device="cpu") for name in ("cascade", "once", "more"))
    results = (own.engine.classify(DATA.validation) for own in (cascade, once, more))
    for found, first, second in zip(*results, strict=True):
        wanted = second if max(first.probabilities) < cascade.model.config.defer_below else first
        np.testing.assert_allclose(found.logits, wanted.logits, atol=1e-4)
        assert found.kept == wanted.kept
    assert "The second stage reads more tokens" in " ".join((tmp_path / "cascade" / "README.md").read_text().split())
    fewer = with_flat(settings, keep_ratio=0.6, reread_ratios=(0.8, 0.9, 0.9, 0.9))
    train(tmp_path / "cascade", fewer, DATA, tmp_path / "next", RECIPE, progress=False)
    own, before = own_of_second(tmp_path / "next"), own_of_second(tmp_path / "cascade")
    torch.testing.assert_close(own[WEIGHT], before[WEIGHT])


def test_started_from_a_cascade(dense: Path, tmp_path: Path) -> None:
    """Importance and head are fitted to its first stage, and the last layer of its second one is handed on."""
    train(dense, REDUCED, DATA, tmp_path / "first", RECIPE, progress=False)
    train(tmp_path / "first", with_flat(REDUCED, keep_ratio=0.6), DATA, tmp_path / "second", RECIPE, progress=False)
    own, given = own_of_second(tmp_path / "second"), weights_of(dense)
    assert torch.equal(own[WEIGHT], given[WEIGHT])
    train(tmp_path / "first", with_flat(REDUCED, reread=0.0), DATA, tmp_path / "once", RECIPE, progress=False)
    assert not is_cascade(tmp_path / "once")


@pytest.mark.parametrize("lora", [{}, {"lora_rank": 2, "lora_alpha": 4}], ids=["all weights", "adapters"])
def test_trained_weights_have_one_last_layer(base: Path, tmp_path: Path, lora: dict[str, Any]) -> None:
    if lora:
        needed("peft")
    recipe = replace(RECIPE, epochs=1, learning_rate=3e-3, **lora)
    settings = reduction(pruning="ratio", keep_ratio=0.5, pooling="mean", reread=0.25)
    record = train(base, settings, DATA, tmp_path / "out", recipe, progress=False)
    assert record["best"]["epoch"] == 1
    assert torch.equal(own_of_second(tmp_path / "out")[WEIGHT], weights_of(tmp_path / "out")[WEIGHT])
    assert 0 < read_record(tmp_path / "out" / "training.json")["cascade"]["below"] < 1


def test_the_share_is_of_documents_that_are_pruned(dense: Path, tmp_path: Path) -> None:
    lengths = sorted(result.length for result in tokensieve.load(dense, device="cpu").engine.classify(DATA.validation))
    settings = with_flat(REDUCED, reread=0.5, min_length=lengths[20])
    record = train(dense, settings, DATA, tmp_path / "out", RECIPE, progress=False)
    pruned = sum(length >= lengths[20] for length in lengths)
    assert record["cascade"]["documents"] == pruned < 40
    results = tokensieve.load(tmp_path / "out", device="cpu").engine.classify(DATA.validation)
    once = [result for result in results if result.kept[-1] < result.length]
    assert len(once) == pruned - round(0.5 * pruned)


def test_calibration_is_of_both_stages(dense: Path, tmp_path: Path) -> None:
    recipe = replace(RECIPE, calibrate=True)
    record = train(dense, with_flat(REDUCED, reread=0.9), DATA, tmp_path / "cascade", recipe, progress=False)
    results = tokensieve.load(tmp_path / "cascade", device="cpu").engine.classify(DATA.validation)
    names = list(DATA.label_names)
    truth = [names.index(str(document.label)) for document in DATA.validation]
    wanted = calibrate(torch.tensor([result.logits for result in results]), truth, multi_label=False)
    assert record["calibration"]["temperature"] == pytest.approx(wanted.temperature, rel=1e-3)
    assert "The second stage reads all tokens" in " ".join((tmp_path / "cascade" / "README.md").read_text().split())


def test_a_pruned_start_is_warned_of(dense: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    train(dense, with_flat(REDUCED, reread=0.0), DATA, tmp_path / "pruned", RECIPE, progress=False)
    assert not caplog.messages
    train(tmp_path / "pruned", REDUCED, DATA, tmp_path / "out", RECIPE, progress=False)
    assert "better start from a dense one" in caplog.text


def test_not_fitted_is_warned_of(base: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    compress(base, reduction(pruning="ratio", pooling="mean", reread=0.1), num_labels=3).save_pretrained(tmp_path)
    load_tokenizer(base, source_config(load_config(base), base)).save_pretrained(tmp_path)
    tokensieve.load(tmp_path, device="cpu")
    assert "a cascade (defer.share=0.1) whose defer_below is not fitted" in caplog.text


def test_load_lays_the_weights_out_for_the_processor(dense: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for pays in (True, False):
        monkeypatch.setattr(linear, "onednn_pays", lambda pays=pays: pays)
        weight = tokensieve.load(dense, device="cpu").model.encoder.layer[0].output.dense.weight
        assert weight.is_contiguous() != pays
        assert weight.t().is_contiguous() == pays


def test_without_it_the_record_says_nothing(run: Train) -> None:
    assert run()["cascade"] is None


def test_without_validation_documents(base: Path, tmp_path: Path) -> None:
    data = DataSplits(labelled_documents(24), ())
    with pytest.raises(ConfigError, match=r"defer.share=0.25 needs validation documents.*validation_fraction above 0"):
        train(base, REDUCED, data, tmp_path / "out", RECIPE)
    with pytest.raises(ConfigError, match="needs validation documents"):  # before a dense stage
        train_dense_first(base, REDUCED, data, tmp_path / "out", RECIPE)
    assert not list(tmp_path.iterdir())
