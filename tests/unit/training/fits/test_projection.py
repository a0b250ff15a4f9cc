"""The warm start of a projection: clusters by hand, and closer to the classifier than a start at random."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

import tokensieve
from tokensieve import ConfigError, ReductionConfig
from tokensieve.data import DataSplits
from tokensieve.data.tokenized import TokenizedDocuments
from tokensieve.reduce.combine.projection import Projection
from tokensieve.training.fits.head_refit import document_vectors
from tokensieve.training.fits.projection import fit_projection, k_means, projection_of
from tokensieve.training.fits.sample import Sample
from tokensieve.training.recipe import Recipe
from tokensieve.training.train import train
from unit.training.keyword_documents import labelled_documents

CPU = torch.device("cpu")
RECIPE = Recipe(epochs=1, batch_size=8, max_length=32, learning_rate=1e-3, floors="none")
FOLDED = ReductionConfig(prune=None, combine=Projection(layer=2, tokens=4), pooling="mean")


@pytest.fixture(scope="module")
def dense(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A classifier that has learned which words tell."""
    folder = tmp_path_factory.mktemp("projection") / "dense"
    data = DataSplits(labelled_documents(120), labelled_documents(12, seed=1))
    recipe = replace(RECIPE, epochs=6, learning_rate=3e-3)
    train(base, ReductionConfig(prune=None, pooling="mean"), data, folder, recipe, progress=False)
    return folder


def test_k_means_finds_groups() -> None:
    torch.manual_seed(0)
    middles = torch.tensor([[0.0, 0.0], [10.0, 0.0], [0.0, 10.0]])
    centres, explained = k_means((middles.unsqueeze(1) + 0.1 * torch.randn(3, 50, 2)).flatten(0, 1), 3)
    assert torch.cdist(middles, centres).amin(1).max() < 0.1 and explained > 0.99
    centres, explained = k_means(torch.ones(5, 2), 3)
    assert centres.tolist() == [[1.0, 1.0]] * 3 and explained == 1.0, "states that are all alike"


def test_it_starts_nearer_than_at_random(dense: Path) -> None:
    """By the distance of the document vectors to the classifier's, over several random starts."""
    tokenizer = tokensieve.load(dense, device="cpu").engine.tokenizer
    sample = Sample(TokenizedDocuments(labelled_documents(60, seed=4), tokenizer, 32), tokenizer)
    wanted = document_vectors(tokensieve.load(dense, device="cpu").model, sample, CPU).detach()
    distances = []
    for seed in range(5):
        torch.manual_seed(seed)
        model = tokensieve.compress(dense, FOLDED, tokenizer=tokenizer)
        distances.append(float((document_vectors(model, sample, CPU).detach() - wanted).square().sum()))
    found = fit_projection(model, sample, CPU)
    fitted = float((document_vectors(model, sample, CPU).detach() - wanted).square().sum())
    assert fitted < 0.7 * sum(distances) / len(distances)
    mean = torch.tensor([len(sample.documents[row]["input_ids"]) for row in range(60)]).log().mean().exp()
    assert found is not None and 0 < found["explained"] < 1
    assert 0.7 * float(mean) / 4 < found["perplexity"] < 1.8 * float(mean) / 4, "short documents take one at least"


def test_training_fits_it_and_goes_on(dense: Path, splits: DataSplits, tmp_path: Path) -> None:
    recipe = replace(RECIPE, epochs=0, feature_epochs=1)
    record = train(dense, FOLDED, splits, tmp_path / "out", recipe, progress=False)
    assert record["projection"]["explained"] > 0 and record["head_refit"] is not None
    model = tokensieve.load(tmp_path / "out", device="cpu").model
    again = train(tmp_path / "out", FOLDED, splits, tmp_path / "again", replace(RECIPE, epochs=0), progress=False)
    assert again["projection"] is None, "it was fitted already"
    kept = projection_of(tokensieve.load(tmp_path / "again", device="cpu").model)
    assert kept is not None and torch.equal(kept.weight, projection_of(model).weight)  # type: ignore[union-attr]
    by_position = replace(FOLDED, combine=Projection(layer=2, tokens=4, by="position"))
    other = train(dense, by_position, splits, tmp_path / "position", RECIPE, progress=False)
    assert other["projection"] is None


def test_a_start_that_is_no_classifier_is_refused(base: Path, splits: DataSplits, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="combine=projection starts from a trained classifier"):
        train(base, FOLDED, splits, tmp_path / "out", RECIPE, progress=False)
