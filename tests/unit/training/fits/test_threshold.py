"""A threshold that is fitted keeps the wanted share, and is what the folder has."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

import tokensieve
from tokensieve import ConfigError, DataError, Deferral, Prune, ReductionConfig
from tokensieve.cascade.build import stages_of
from tokensieve.data import DataSplits
from tokensieve.data.tokenized import TokenizedDocuments
from tokensieve.reduce.schedule import Constant, OneLayer, Taper
from tokensieve.reduce.score.gradient import Gradient
from tokensieve.reduce.score.learned import Learned
from tokensieve.reduce.score.received import Received
from tokensieve.reduce.select.threshold import Threshold
from tokensieve.reduce.site import Ahead, Hidden
from tokensieve.training.fits.agreement import overlap, spearman
from tokensieve.training.fits.sample import Sample
from tokensieve.training.fits.threshold import fit_threshold
from tokensieve.training.recipe import Recipe
from tokensieve.training.train import train
from unit.training.keyword_documents import labelled_documents

CPU = torch.device("cpu")
RECIPE = Recipe(epochs=1, batch_size=8, max_length=32, learning_rate=1e-3, floors="none")
RECEIVED = ReductionConfig(prune=Prune(Received(), Threshold(fit=True), OneLayer(2, 0.4), Hidden()), pooling="mean")
SUMMARY = ReductionConfig(
    prune=Prune(Learned(target="gradient"), Threshold(relative="maximum", fit=True), OneLayer(1, 0.5), Ahead()),
    pooling="mean",
)


@pytest.fixture(scope="module")
def dense(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A classifier that has learned which words tell."""
    folder = tmp_path_factory.mktemp("threshold") / "dense"
    data = DataSplits(labelled_documents(120), labelled_documents(12, seed=1))
    recipe = replace(RECIPE, epochs=6, learning_rate=3e-3)
    train(base, ReductionConfig(prune=None, pooling="mean"), data, folder, recipe, progress=False)
    return folder


def fitted(dense: Path, settings: ReductionConfig, **changes: Any) -> tuple[Any, dict[str, float], Sample]:
    """A model whose threshold was fitted to documents, and these."""
    tokenizer = tokensieve.load(dense, device="cpu").engine.tokenizer
    sample = Sample(TokenizedDocuments(labelled_documents(80, seed=7), tokenizer, 32), tokenizer)
    model = tokensieve.compress(dense, replace(settings, **changes), tokenizer=tokenizer)
    return model, fit_threshold(model, sample, CPU), sample


@torch.no_grad()
def shares_kept(model: Any, sample: Sample, shortest: int = 0) -> list[float]:
    """The share of its tokens that each document keeps, by the model itself."""
    shares = []
    for batch in sample.batches(CPU):
        kept = stages_of(model)[0].eval()(**batch).trace.kept[-1]
        lengths = batch["attention_mask"].sum(1).tolist()
        shares += [own / length for own, length in zip(kept, lengths, strict=True) if length >= shortest]
    return shares


@pytest.mark.parametrize("relative", ["mean", "maximum", "nothing"])
@pytest.mark.parametrize("keep", [0.4, 0.6])
def test_the_model_keeps_the_wanted_share(dense: Path, relative: Any, keep: float) -> None:
    prune = replace(RECEIVED.prune, select=Threshold(relative=relative, fit=True), schedule=OneLayer(2, keep))  # type: ignore[type-var]
    model, found, sample = fitted(dense, RECEIVED, prune=prune)
    shares = shares_kept(model, sample)
    assert sum(shares) / len(shares) == pytest.approx(found["share"], abs=1e-6)
    assert found["share"] == pytest.approx(keep, abs=0.02), "80 documents of few tokens have few shares between"
    assert found["wanted"] == keep
    assert model.settings.prune.select.threshold == found["threshold"]
    assert len(set(shares)) > 5, "documents decide by themselves"


def test_short_documents_do_not_count(dense: Path) -> None:
    model, found, sample = fitted(dense, RECEIVED, min_length=12)
    long = shares_kept(model, sample, shortest=12)
    assert sum(long) / len(long) == pytest.approx(found["share"], abs=1e-6)
    assert found["share"] == pytest.approx(0.4, abs=0.03) and len(long) < 80
    with pytest.raises(DataError, match="is long enough to be pruned"):
        fitted(dense, RECEIVED, min_length=100)


def test_both_stages_of_a_cascade_have_it_in_their_config(dense: Path) -> None:
    model, found, _ = fitted(dense, RECEIVED, defer=Deferral(0.1))
    assert model.settings.prune.select.threshold == found["threshold"]
    assert model.first.settings.prune.select.threshold == found["threshold"] != 1.0
    assert model.first.encoder.layer[1].prune.select.threshold == found["threshold"]


def test_training_fits_score_and_threshold_and_saves_them(dense: Path, splits: DataSplits, tmp_path: Path) -> None:
    record = train(dense, SUMMARY, splits, tmp_path / "out", RECIPE, progress=False)
    assert record["threshold"]["share"] == pytest.approx(0.5, abs=0.05)
    assert list(record["importance_r2"]) == list(record["importance_agreement"]) == ["1"]
    agreement = record["importance_agreement"]["1"]
    assert agreement["documents"] <= 12, "of the validation documents"
    assert agreement["spearman"] > 0.5 and agreement["overlap"] > 0.5
    loaded = tokensieve.load(tmp_path / "out", device="cpu").model
    assert loaded.settings.prune.select.threshold == record["threshold"]["threshold"]
    assert ReductionConfig.from_dict(record["settings"]) == SUMMARY, "what was asked for, so that a run can be resumed"


def test_what_cannot_be_fitted_is_refused(dense: Path, splits: DataSplits, tmp_path: Path) -> None:
    def refused(match: str, recipe: Recipe = RECIPE, **changes: Any) -> None:
        settings = replace(SUMMARY, prune=replace(SUMMARY.prune, **changes))  # type: ignore[type-var]
        with pytest.raises(ConfigError, match=match):
            train(dense, settings, splits, tmp_path / "out", recipe, progress=False)

    refused("prunes in 4 of 4 layers", schedule=Taper())
    refused("prunes in 0 of 4 layers", schedule=Constant(1.0))
    refused("pruning_warmup=0.5 with prune.select=threshold", replace(RECIPE, pruning_warmup=0.5))
    refused("is for study: train with prune.score=learned", score=Gradient())


def test_agreement_by_hand() -> None:
    one = torch.tensor([1.0, 2.0, 3.0, 4.0])
    assert spearman(one, one.exp()) == pytest.approx(1.0)
    assert spearman(one, -one) == pytest.approx(-1.0)
    assert spearman(one, torch.tensor([1.0, 2.0, 4.0, 3.0])) == pytest.approx(0.8)
    assert spearman(one, torch.tensor([1.0, 2.0, 2.0, 4.0])) == pytest.approx(4.5 / (5 * 4.5) ** 0.5)
    assert spearman(one, torch.ones(4)) == 0.0
    kept = torch.tensor([True, True, False, False])
    assert overlap(kept, torch.tensor([9.0, 1.0, 5.0, 0.0])) == 0.5
    assert overlap(torch.ones(4, dtype=torch.bool), one) is None
