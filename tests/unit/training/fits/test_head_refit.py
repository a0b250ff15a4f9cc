"""The head of a trained classifier, fitted to the document vectors that it gets from fewer tokens."""

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import tokensieve
from flat import reduction, with_flat
from tokensieve.data import DataSplits
from tokensieve.training.fits.head_refit import RidgeMap, _refit
from tokensieve.training.recipe import Recipe
from tokensieve.training.train import train
from unit.training.keyword_documents import labelled_documents

DENSE = reduction(pruning="none", pooling="mean")
RECIPE = Recipe(epochs=0, batch_size=8, max_length=32, calibrate=False)
TRAINED = replace(RECIPE, epochs=4, learning_rate=3e-3)
REDUCED = {
    "learned": reduction(score="learned", pruning="ratio", site="hidden", keep_ratio=0.5, pooling="mean"),
    "received": reduction(pruning="ratio", site="hidden", keep_ratio=0.5, pooling="mean"),
}
DATA = DataSplits(labelled_documents(60), labelled_documents(12, seed=1))


@pytest.fixture(scope="module")
def dense(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("refit") / "dense"
    train(base, DENSE, DATA, folder, TRAINED, progress=False)
    return folder


def vectors(count: int, width: int = 6) -> Tensor:
    return torch.randn(count, width, generator=torch.Generator().manual_seed(0))


def logits_and_vectors(folder: Path) -> tuple[Tensor, Tensor]:
    """Of the training documents."""
    classifier = tokensieve.load(folder, device="cpu")
    texts = [document.text for document in DATA.train]
    logits = torch.tensor([result.logits for result in classifier.engine.classify(DATA.train)])
    return logits, torch.as_tensor(classifier.encode(texts))


def test_a_shift_is_found_exactly() -> None:
    found = vectors(40)
    wanted = found + torch.arange(6.0)
    ridge_map = RidgeMap(found, wanted)
    torch.testing.assert_close(ridge_map(found), wanted.double(), atol=1e-6, rtol=0)
    torch.testing.assert_close(ridge_map.matrix, torch.eye(6).double(), atol=1e-6, rtol=0)


def test_what_varies_is_mapped_and_the_rest_shifted() -> None:
    scale = torch.tensor([100.0, 100.0, 1e-3, 1e-3, 1e-3, 1e-3])
    found = vectors(200) * scale
    ridge_map = RidgeMap(found, 2 * found + 5)
    torch.testing.assert_close(ridge_map.matrix[:2, :2], 2 * torch.eye(2).double(), atol=0.2, rtol=0)
    torch.testing.assert_close(ridge_map.matrix[2:, 2:], torch.eye(4).double(), atol=1e-3, rtol=0)
    assert ridge_map.distance(ridge_map(found)) < 0.02 * ridge_map.distance(found)


def test_one_document_gives_a_shift() -> None:
    ridge_map = RidgeMap(torch.ones(1, 6), torch.zeros(1, 6))
    torch.testing.assert_close(ridge_map.matrix, torch.eye(6).double())
    torch.testing.assert_close(ridge_map(torch.full((1, 6), 3.0)), torch.full((1, 6), 2.0).double())


@pytest.mark.parametrize("bias", [True, False])
def test_folding_is_mapping_first(bias: bool) -> None:
    found = vectors(50)
    ridge_map = RidgeMap(found, found.roll(1, 1) + 1)
    linear = nn.Linear(6, 3, bias=bias)
    mapped = linear(ridge_map(found).float()).detach()
    without_shift = F.linear((found.double() @ ridge_map.matrix).float(), linear.weight).detach()
    with torch.no_grad():
        ridge_map.fold_into(linear)
    torch.testing.assert_close(linear(found), mapped if bias else without_shift, atol=1e-5, rtol=0)


@pytest.mark.parametrize("name", REDUCED)
def test_the_answers_come_nearer_to_the_classifiers(dense: Path, tmp_path: Path, name: str) -> None:
    wanted, wanted_vectors = logits_and_vectors(dense)
    distances = {}
    for refit in (True, False):
        folder = tmp_path / str(refit)
        record = train(dense, REDUCED[name], DATA, folder, replace(RECIPE, refit_head=refit), progress=False)
        logits, pooled = logits_and_vectors(folder)
        distances[refit] = float((logits - wanted).square().mean())
        spread = (wanted_vectors - wanted_vectors.mean(0)).square().sum()
        if refit:
            moved = float((pooled - wanted_vectors).square().sum() / spread)
            assert record["head_refit"]["moved"] == pytest.approx(moved, rel=1e-3)
            assert record["head_refit"]["left"] < 0.7 * moved
        else:
            assert record["head_refit"] is None
    assert distances[True] < 0.7 * distances[False]


def states(folder: Path) -> dict[str, Any]:
    return tokensieve.load(folder, device="cpu").model.state_dict()


def test_only_the_heads_last_layer_changes(dense: Path, tmp_path: Path) -> None:
    train(dense, REDUCED["received"], DATA, tmp_path / "out", RECIPE, progress=False)
    before, after = states(dense), states(tmp_path / "out")
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed == {"head.classifier.weight", "head.classifier.bias"}


def test_the_pretrained_head_is_refitted_too(base: Path, tmp_path: Path) -> None:
    pretrained = reduction(pruning="none", pooling="host")
    train(base, pretrained, DATA, tmp_path / "dense", TRAINED, progress=False)
    wanted, _ = logits_and_vectors(tmp_path / "dense")
    distances = []
    for refit in (True, False):
        folder, recipe = tmp_path / str(refit), replace(RECIPE, refit_head=refit)
        train(
            tmp_path / "dense", replace(REDUCED["received"], pooling="pretrained"), DATA, folder, recipe, progress=False
        )
        distances.append(float((logits_and_vectors(folder)[0] - wanted).square().mean()))
    assert distances[0] < 0.8 * distances[1]


NOT_REFITTED = {
    "the same settings": (DENSE, RECIPE),
    "begins with the start's vectors": (REDUCED["received"], replace(TRAINED, epochs=1, pruning_warmup=0.5)),
    "leads to the start's vectors": (REDUCED["received"], replace(TRAINED, epochs=1, distill_pooled=1.0)),
}


@pytest.mark.parametrize("name", NOT_REFITTED)
def test_no_head_is_refitted(dense: Path, tmp_path: Path, name: str) -> None:
    settings, recipe = NOT_REFITTED[name]
    teacher = str(dense) if recipe.distill_pooled else None
    record = train(dense, settings, DATA, tmp_path / "out", replace(recipe, teacher=teacher), progress=False)
    assert record["head_refit"] is None


@torch.no_grad()
def test_vectors_that_rounding_alone_parts_are_alike() -> None:
    targets = torch.ones(4, 3) * 7 + torch.rand(4, 3) * 1e-6
    assert _refit(torch.nn.Linear(3, 2), targets.roll(1, 0), targets) is None
    assert _refit(torch.nn.Linear(3, 2), targets, targets + torch.rand(4, 3)) is not None


def test_no_head_is_refitted_to_vectors_that_are_all_alike(dense: Path, tmp_path: Path) -> None:
    """With one training document of each label, but of the same words."""
    one = labelled_documents(1)[0]
    data = DataSplits((one, replace(one, label="law"), replace(one, label="team")))
    record = train(dense, REDUCED["received"], data, tmp_path / "out", RECIPE, progress=False)
    assert record["head_refit"] is None


def test_a_half_precision_start_is_read_exactly(dense: Path, tmp_path: Path) -> None:
    half = shutil.copytree(dense, tmp_path / "half")
    classifier = tokensieve.load(dense, device="cpu").model.to(torch.bfloat16)
    classifier.save_pretrained(half)
    same = with_flat(DENSE, min_length=9)  # which prunes nothing, but is another record
    record = train(half, same, DATA, tmp_path / "out", RECIPE, progress=False)
    assert record["head_refit"] is None


def test_few_documents_are_not_learned_by_heart() -> None:
    """Documents of 12 directions, moved in ways of their own: what was not fitted comes nearer, too."""
    generator = torch.Generator().manual_seed(3)
    wanted = torch.randn(400, 12, generator=generator) @ torch.randn(12, 96, generator=generator)
    found = wanted + 1 + 0.6 * wanted.std() * torch.randn(400, 96, generator=generator)
    unseen = found[200:], wanted[200:]
    for count in (24, 200):
        mapped = RidgeMap(found[:count], wanted[:count])(unseen[0])
        left, moved = (float((vectors - unseen[1]).square().mean()) for vectors in (mapped, unseen[0]))
        assert left < moved, count


def test_no_head_is_refitted_where_parts_start_at_random(base: Path, dense: Path, tmp_path: Path) -> None:
    combining = reduction(combine_layer=3, combination_tokens=3)
    for number, start in enumerate((base, dense)):
        record = train(start, combining, DATA, tmp_path / str(number), replace(TRAINED, epochs=1), progress=False)
        assert record["head_refit"] is None
