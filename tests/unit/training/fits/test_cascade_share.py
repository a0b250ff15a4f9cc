"""The share that is deferred, from what it may cost that the others are not."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

import tokensieve
from contract.variants import settings, tiny_model
from flat import reduction, with_flat
from tokensieve import ConfigError
from tokensieve.cascade.build import cascade_of
from tokensieve.cascade.fit import BothStages, expected_loss, fit_share
from tokensieve.data import DataSplits
from tokensieve.model.probabilities import confidence
from tokensieve.training.dense_first import train_dense_first
from tokensieve.training.files.output import read_record
from tokensieve.training.recipe import Recipe
from tokensieve.training.train import train
from unit.training.keyword_documents import labelled_documents

DENSE = reduction(pruning="none", pooling="mean")
REDUCED = reduction(score="learned", pruning="ratio", site="hidden", keep_ratio=0.3, pooling="mean", reread=0.1)
RECIPE = Recipe(epochs=0, batch_size=8, max_length=32, calibrate=False, refit_head=False)
DATA = DataSplits(labelled_documents(60), labelled_documents(40, seed=1))
MORE = tuple(replace(document, label=None) for document in labelled_documents(50, seed=2))


@pytest.fixture(scope="module")
def dense(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("share") / "dense"
    train(base, DENSE, DATA, folder, replace(RECIPE, epochs=2, learning_rate=3e-3), progress=False)
    return folder


def logits_of(folder: Path, documents: Any, below: float | None) -> torch.Tensor:
    classifier = tokensieve.load(folder, device="cpu")
    classifier.model.config.defer_below = below
    return torch.tensor([result.logits for result in classifier.engine.classify(documents)])


@pytest.mark.parametrize("more", [(), MORE], ids=["validation alone", "and documents without labels"])
def test_the_fewest_documents_that_keep_the_loss_as_allowed(dense: Path, tmp_path: Path, more: Any) -> None:
    """By hand: of all documents that are not deferred, and with one fewer it would be more than that."""
    splits = replace(DATA, unlabelled=more)
    allowed = 0.6
    record = train(dense, REDUCED, splits, tmp_path / "out", replace(RECIPE, max_expected_loss=allowed), progress=False)
    fitted = record["cascade"]
    documents = [*DATA.validation, *more]
    assert fitted["documents"] == len(documents)
    first, second = (logits_of(tmp_path / "out", documents, below) for below in (0.0, 1.0))
    probabilities = first.softmax(1).amax(1)
    best = min(
        ((second[:40].double() / heat).log_softmax(1)[range(40), truth()].sum().neg() + heat.log() ** 2 / 2, heat)
        for heat in torch.linspace(0.05, 5, 2000, dtype=torch.float64)
    )[1]
    sure = (second / best).softmax(1)
    rows = range(len(documents))
    lost = sure[rows, second.argmax(1)] - sure[rows, first.argmax(1)]
    order = probabilities.argsort()
    left = [100 * float(lost[order[again:]].sum()) / len(documents) for again in range(len(documents))]
    wanted = next(again for again, points in enumerate(left) if points <= allowed)
    assert 1 < wanted < len(documents) - 1, "a case that tells nothing"
    assert fitted["share"] == pytest.approx(wanted / len(documents))
    model = tokensieve.load(tmp_path / "out", device="cpu").model
    assert model.settings.deferred == fitted["share"] and model.config.defer_below == fitted["below"]
    assert int((probabilities < fitted["below"]).sum()) == wanted
    assert fitted["expected_loss"] == pytest.approx(left[wanted], abs=1e-3)
    assert record["settings"]["defer"]["share"] == 0.1, "what was asked for"
    assert model.plan(20).deferred == fitted["share"]


def truth() -> list[int]:
    names = list(DATA.label_names)
    return [names.index(str(document.label)) for document in DATA.validation]


def test_the_less_may_be_lost_the_more_is_deferred(
    dense: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    shares = []
    for allowed in (100.0, 0.6, 0.0):
        recipe = replace(RECIPE, max_expected_loss=allowed)
        caplog.clear()
        shares.append(train(dense, REDUCED, DATA, tmp_path / str(allowed), recipe, progress=False)["cascade"]["share"])
        assert ("prune less, or allow more" in caplog.text) == (shares[-1] > 0.4)
    assert shares[0] == 1 / 40, "one in any case"
    assert shares[0] < shares[1] < shares[2] < 1 and shares[2] > 0.4
    first, second = (logits_of(tmp_path / "0.0", DATA.validation, below) for below in (0.0, 1.0))
    assert not torch.equal(first.argmax(1), second.argmax(1))
    found = tokensieve.load(tmp_path / "0.0", device="cpu").engine.classify(DATA.validation)
    assert [max(range(3), key=own.logits.__getitem__) for own in found] == second.argmax(1).tolist()


def test_documents_that_are_too_short_lose_nothing(dense: Path, tmp_path: Path) -> None:
    recipe = replace(RECIPE, max_expected_loss=0.0)
    lengths = sorted(own.length for own in tokensieve.load(dense, device="cpu").engine.classify(DATA.validation))
    pruned = with_flat(REDUCED, min_length=lengths[20])
    fitted = train(dense, pruned, DATA, tmp_path / "some", recipe, progress=False)["cascade"]
    assert fitted["documents"] == sum(length >= lengths[20] for length in lengths)
    pruned = with_flat(REDUCED, min_length=33)
    fitted = train(dense, pruned, DATA, tmp_path / "none", recipe, progress=False)["cascade"]
    assert (fitted["documents"], fitted["share"], fitted["below"]) == (0, 0.1, 0.0)
    assert "expected to lose" not in (tmp_path / "none" / "README.md").read_text()
    pruned = with_flat(REDUCED, min_length=lengths[-1])
    fitted = train(dense, pruned, DATA, tmp_path / "one", recipe, progress=False)["cascade"]
    again = sum(length == lengths[-1] for length in lengths)
    assert fitted["documents"] == again and 0 < fitted["share"] < 1


def test_nothing_is_deferred_that_loses_nothing() -> None:
    """However many there are: rounding leaves nothing of a sum of zeros."""
    generator = torch.Generator().manual_seed(0)
    deferring = settings(pruning="ratio", site="hidden", pooling="mean", reread=0.1)
    model = cascade_of(tiny_model(deferring.stages(4)[0]), deferring)
    for _ in range(20):
        second = torch.randn(1000, 3, generator=generator)
        first = 3 * second.clone()
        first[:300] = torch.randn(300, 3, generator=generator) / 10  # the least sure of all
        left = fit_share(model, BothStages(first, second, [20] * 1000), 1.0, 0.0)
        assert left == 0 and model.settings.deferred <= 0.7


def test_in_two_stages_it_is_the_second_ones(base: Path, tmp_path: Path) -> None:
    recipe = replace(RECIPE, epochs=1, learning_rate=3e-3, refit_head=True, max_expected_loss=1.0)
    record = train_dense_first(base, REDUCED, replace(DATA, unlabelled=MORE), tmp_path / "out", recipe, progress=False)
    assert record["cascade"]["documents"] == 90
    first = read_record(tmp_path / "out.dense" / "training.json")
    assert first["cascade"] is None and first["recipe"]["max_expected_loss"] is None
    card = " ".join((tmp_path / "out" / "README.md").read_text().split())
    assert f"{record['cascade']['share']:.1%} of the documents that are pruned" in card
    assert f"expected to lose {record['cascade']['expected_loss']:.2f} points" in card
    assert "1 were allowed (`max_expected_loss`), and the share was fitted to 90 documents" in card


def test_several_labels(base: Path, tmp_path: Path) -> None:
    several = tuple(
        replace(document, label=label)
        for document, label in zip(DATA.train, (("film",), ("law", "team"), ()) * 20, strict=True)
    )
    splits = DataSplits(several, several[:30])
    deferring = reduction(pruning="ratio", keep_ratio=0.4, site="hidden", pooling="mean", reread=0.1)
    recipe = replace(RECIPE, epochs=1, learning_rate=3e-3, max_expected_loss=0.0)
    record = train(base, deferring, splits, tmp_path / "out", recipe, progress=False)
    assert record["cascade"]["documents"] == 30 and record["cascade"]["expected_loss"] == 0
    both, second = (logits_of(tmp_path / "out", several[:30], below) for below in (record["cascade"]["below"], 1.0))
    assert torch.equal(both > 0, second > 0)


def test_a_document_of_several_labels_changes_with_any_of_them(base: Path, tmp_path: Path) -> None:
    """Its highest label may be another one while it is given the same ones."""
    labels = (("film",), ("law", "team"), ()) * 20
    several = tuple(replace(own, label=label) for own, label in zip(DATA.train, labels, strict=True))
    deferring = reduction(pruning="ratio", keep_ratio=0.4, site="hidden", pooling="mean", reread=0.9)
    recipe = replace(RECIPE, epochs=1, learning_rate=3e-3)
    record = train(base, deferring, DataSplits(several, several), tmp_path / "out", recipe, progress=False)["cascade"]
    first, second = (logits_of(tmp_path / "out", several, below) for below in (0.0, 1.0))
    below = confidence(first, "multi_label_classification") < record["below"]
    assert record["changed"] == int((((first > 0) != (second > 0)).any(1) & below).sum())
    assert record["changed"] != int(((first.argmax(1) != second.argmax(1)) & below).sum()), (
        "a case that tells something"
    )


def test_the_expected_loss_by_hand() -> None:
    second = torch.tensor([[3.0, 1.0, 0.0], [3.0, 1.0, 0.0], [0.0, 1.0, 1.5]])
    first = torch.tensor([[0.0, 1.0, 0.5], [0.3, 0.2, 0.1], [0.0, 2.0, 1.0]])
    own = (second / 2).double().softmax(1)
    wanted = torch.tensor([own[0, 0] - own[0, 1], 0.0, own[2, 2] - own[2, 1]], dtype=torch.float64)
    torch.testing.assert_close(expected_loss(first, second, None, 2.0), wanted)


def test_the_expected_loss_of_several_labels_by_hand() -> None:
    """Both labels have to be right."""
    second, first = torch.tensor([[2.0, -1.0], [2.0, -1.0]]), torch.tensor([[1.0, 1.0], [1.0, -1.0]])
    one, two = (float(torch.tensor(own).sigmoid()) for own in (2.0, -1.0))
    found = expected_loss(first, second, "multi_label_classification")
    assert found.tolist() == pytest.approx([one * (1 - two) - one * two, 0.0])


def test_refused(dense: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"max_expected_loss=-1\.0: give points of accuracy"):
        Recipe(max_expected_loss=-1.0)
    once = with_flat(REDUCED, reread=0.0)
    for run in (train, train_dense_first):
        with pytest.raises(ConfigError, match=r"max_expected_loss=0.4 with defer=none.*leave max_expected_loss out"):
            run(dense, once, DATA, tmp_path / "out", replace(RECIPE, max_expected_loss=0.4), progress=False)
    assert not list(tmp_path.iterdir())
