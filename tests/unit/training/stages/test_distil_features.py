"""Norms and biases that learn a classifier's document vectors: what is tuned, by what, and that it helps."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

import tokensieve
from contract.variants import settings, tiny_model
from flat import reduction, with_flat
from tokensieve import ConfigError
from tokensieve.data import DataSplits
from tokensieve.data.documents import Tally
from tokensieve.data.tokenized import TokenizedDocuments
from tokensieve.model.norms import norms_and_biases
from tokensieve.training.dense_first import train_dense_first
from tokensieve.training.files.output import read_record
from tokensieve.training.fits.importance import fit_importance
from tokensieve.training.fits.sample import Sample
from tokensieve.training.loop.frozen import only_trainable, without_dropout
from tokensieve.training.recipe import Recipe
from tokensieve.training.start import start_model
from tokensieve.training.teacher import teacher_targets
from tokensieve.training.train import train
from unit.training.keyword_documents import labelled_documents
from unit.training.stage_files import is_cascade, own_of_second, weights_of

DENSE = reduction(pruning="none", pooling="mean")
REDUCED = reduction(score="learned", pruning="ratio", site="hidden", keep_ratio=0.5, pooling="mean")
RECIPE = Recipe(epochs=0, batch_size=8, max_length=32, calibrate=False)
DISTILLING = replace(RECIPE, feature_epochs=10, feature_learning_rate=1e-2)
DATA = DataSplits(labelled_documents(60), labelled_documents(40, seed=1))


@pytest.fixture(scope="module")
def dense(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("features") / "dense"
    train(base, DENSE, DATA, folder, replace(RECIPE, epochs=2, learning_rate=3e-3), progress=False)
    return folder


def vectors_of(folder: Path) -> torch.Tensor:
    """Of the training documents."""
    found = tokensieve.load(folder, device="cpu").encode([document.text for document in DATA.train])
    return torch.as_tensor(found)


def test_vectors_come_closer_and_nothing_but_norms_biases_and_the_head_changes(dense: Path, tmp_path: Path) -> None:
    plain = train(dense, REDUCED, DATA, tmp_path / "plain", RECIPE, progress=False)
    record = train(dense, REDUCED, DATA, tmp_path / "distilled", DISTILLING, progress=False)
    assert plain["feature_distillation"] is None
    told = record["feature_distillation"]
    assert told["epochs"] == 10 and told["distance"] > 0
    assert told["distance"] < 0.8 * plain["head_refit"]["moved"]
    card = " ".join((tmp_path / "distilled" / "README.md").read_text().split())
    assert "the classifier it started from, except norms, biases and the head's last layer" in card
    assert "in 10 epochs without labels" in card and "`feature_learning_rate`" in card
    assert "feature_" not in (tmp_path / "plain" / "README.md").read_text()
    before, after = weights_of(tmp_path / "plain"), weights_of(tmp_path / "distilled")
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    tuned = {name for name in before if name.startswith("encoder.") and ("LayerNorm" in name or name.endswith("bias"))}
    assert changed <= tuned | {"head.classifier.weight", "head.classifier.bias"}
    assert {name for name in changed if "LayerNorm" in name}, "no norm was tuned"
    assert told["parameters"] == sum(before[name].numel() for name in tuned)
    wanted = vectors_of(dense)
    away = [
        (moved - moved.mean(0)).square().sum()
        for moved in (vectors_of(tmp_path / name) - wanted for name in ("plain", "distilled"))
    ]
    assert away[1] < 0.9 * away[0]


def test_labels_are_not_looked_at(dense: Path, tmp_path: Path) -> None:
    """Other labels of the same documents, and all that is made is the same."""
    names = sorted({str(document.label) for document in DATA.train})
    turned = [replace(document, label=names[-1 - names.index(str(document.label))]) for document in DATA.train]
    train(dense, REDUCED, DATA, tmp_path / "own", DISTILLING, progress=False)
    train(dense, REDUCED, DataSplits(turned, DATA.validation), tmp_path / "turned", DISTILLING, progress=False)
    own, other = weights_of(tmp_path / "own"), weights_of(tmp_path / "turned")
    assert all(torch.equal(own[name], other[name]) for name in own)


def test_a_second_stage_has_the_norms_of_before(dense: Path, tmp_path: Path) -> None:
    settings = with_flat(REDUCED, reread=0.25, min_length=6)
    train(dense, settings, DATA, tmp_path / "out", DISTILLING, progress=False)
    own, before, first = own_of_second(tmp_path / "out"), weights_of(dense), weights_of(tmp_path / "out")
    assert len(own) > 2, "no norms of its own"
    assert all(torch.equal(tensor, before[name]) for name, tensor in own.items())
    assert {"LayerNorm.weight", "LayerNorm.bias", "dense.bias"} <= {
        ".".join(name.split(".")[-2:]) for name in own if not torch.equal(own[name], first[name])
    }
    assert "keeps the norms and biases of that classifier" in (tmp_path / "out" / "README.md").read_text()
    found, wanted = (tokensieve.load(folder, device="cpu") for folder in (tmp_path / "out", dense))
    found.model.config.defer_below = 1.0
    texts = [document.text for document in DATA.validation]
    torch.testing.assert_close(torch.tensor(found.predict_proba(texts)), torch.tensor(wanted.predict_proba(texts)))
    found.model.config.defer_below = 0.0
    assert not torch.allclose(torch.tensor(found.predict_proba(texts)), torch.tensor(wanted.predict_proba(texts)))


def test_a_second_stage_of_fewer_tokens_has_its_head_refitted_afterwards(dense: Path, tmp_path: Path) -> None:
    settings = with_flat(REDUCED, reread=0.25, reread_ratios=(0.8,) * 4)
    record = train(dense, settings, DATA, tmp_path / "out", DISTILLING, progress=False)
    assert record["head_refit"]["left_again"] < record["head_refit"]["moved_again"]
    assert not torch.equal(*(weights_of(tmp_path / "out", stage)["head.classifier.weight"] for stage in (0, 1)))


@pytest.mark.parametrize(("best", "kept"), [(1.0, False), (0.0, True)], ids=["an epoch is best", "the start is"])
def test_what_is_trained_afterwards_has_one_set_of_norms(
    dense: Path, tmp_path: Path, best: float, kept: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def chosen(history: Any, recipe: Recipe) -> Any:
        return next(entry for entry in history if "eval_loss" in entry and entry["epoch"] == best)

    monkeypatch.setattr("tokensieve.training.stages.fine_tune.best_epoch", chosen)
    recipe = replace(DISTILLING, feature_epochs=1, epochs=1, learning_rate=1e-3)
    train(dense, with_flat(REDUCED, reread=0.25), DATA, tmp_path / "out", recipe, progress=False)
    assert any("LayerNorm" in name for name in own_of_second(tmp_path / "out")) is kept
    first, second = (weights_of(tmp_path / "out", stage)["head.classifier.weight"] for stage in (0, 1))
    assert torch.equal(first, second) is not kept
    assert tokensieve.load(tmp_path / "out", device="cpu").model.config.own_norms is kept


def test_in_bfloat16_nothing_of_the_second_stage_changes(dense: Path, tmp_path: Path) -> None:
    """Trainer's autocast ends with it: what is fitted afterwards is fitted in the model's own type."""
    settings = with_flat(REDUCED, reread=0.25)
    record = train(
        dense, settings, DATA, tmp_path / "out", replace(DISTILLING, feature_epochs=1, bf16=True), progress=False
    )
    assert set(record["head_refit"]) == {"moved", "left"}
    own, before = own_of_second(tmp_path / "out"), weights_of(dense)
    assert own and all(torch.equal(tensor, before[name]) for name, tensor in own.items())


@pytest.fixture(scope="module")
def distilled(dense: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Documents of fewer than 6 tokens, of which there are some, go to the second stage at once."""
    folder = tmp_path_factory.mktemp("distilled") / "out"
    train(dense, with_flat(REDUCED, reread=0.25, min_length=6), DATA, folder, DISTILLING, progress=False)
    return folder


def probabilities(folder: Path, below: float | None = None) -> torch.Tensor:
    """Of the validation documents."""
    classifier = tokensieve.load(folder, device="cpu")
    if below is not None:
        classifier.model.config.defer_below = below
    return torch.tensor(classifier.predict_proba([document.text for document in DATA.validation]))


def test_the_first_stage_alone_needs_no_other_head(distilled: Path, tmp_path: Path) -> None:
    """Its vectors are those that the head was fitted to, those of short documents among them."""
    settings = with_flat(REDUCED, min_length=6)
    record = train(distilled, settings, DATA, tmp_path / "out", RECIPE, progress=False)
    assert record["head_refit"] is None
    found, wanted = weights_of(tmp_path / "out"), weights_of(distilled)
    assert not is_cascade(tmp_path / "out")
    assert all(torch.equal(own, wanted[name]) for name, own in found.items())


def test_another_share_is_deferred_to_the_same_stage(dense: Path, distilled: Path, tmp_path: Path) -> None:
    settings = with_flat(REDUCED, reread=0.5, min_length=6)
    record = train(distilled, settings, DATA, tmp_path / "out", RECIPE, progress=False)
    assert record["head_refit"] is None
    for stage in (0, 1):
        found, wanted = weights_of(tmp_path / "out", stage), weights_of(distilled, stage)
        assert found.keys() == wanted.keys()
        assert all(torch.equal(own, wanted[name]) for name, own in found.items())
    torch.testing.assert_close(probabilities(tmp_path / "out", 1.0), probabilities(dense))


def test_other_first_shares_leave_the_second_stage_alone(dense: Path, distilled: Path, tmp_path: Path) -> None:
    settings = with_flat(REDUCED, reread=0.25, keep_ratio=0.7, min_length=6)
    record = train(distilled, settings, DATA, tmp_path / "out", RECIPE, progress=False)
    assert set(record["head_refit"]) == {"moved", "left"}
    torch.testing.assert_close(probabilities(tmp_path / "out", 1.0), probabilities(dense))


def test_without_pruning_it_is_the_classifier_again(dense: Path, distilled: Path, tmp_path: Path) -> None:
    record = train(distilled, DENSE, DATA, tmp_path / "out", RECIPE, progress=False)
    assert record["head_refit"] is None
    found, wanted = weights_of(tmp_path / "out"), weights_of(dense)
    assert found.keys() == wanted.keys()
    assert all(torch.equal(own, wanted[name]) for name, own in found.items())


def test_feature_distillation_leaves_a_second_stage_of_fewer_tokens_alone(dense: Path, tmp_path: Path) -> None:
    """Documents that are too short to be pruned are not read by it, so its last layer is not fitted to them."""
    settings = with_flat(REDUCED, reread=0.25, reread_ratios=(0.8,) * 4, min_length=12)
    train(dense, settings, DATA, tmp_path / "once", DISTILLING, progress=False)
    record = train(
        tmp_path / "once", settings, DATA, tmp_path / "twice", replace(DISTILLING, feature_epochs=2), progress=False
    )
    assert set(record["head_refit"]) == {"moved", "left"}
    heads = (own_of_second(tmp_path / name)["head.classifier.weight"] for name in ("once", "twice"))
    assert torch.equal(*heads)


def test_distilling_once_more(dense: Path, distilled: Path, tmp_path: Path) -> None:
    """The vectors are those of the second stage, whose norms stay; the head is fitted to the new ones."""
    settings = with_flat(REDUCED, reread=0.25, min_length=6)
    again = replace(DISTILLING, feature_epochs=3)
    record = train(distilled, settings, DATA, tmp_path / "out", again, progress=False)
    assert set(record["head_refit"]) == {"moved", "left"}
    assert (
        record["feature_distillation"]["distance"]
        < read_record(distilled / "training.json")["feature_distillation"]["distance"]
    )
    weights, before = weights_of(tmp_path / "out"), weights_of(distilled)
    second, second_before = own_of_second(tmp_path / "out"), own_of_second(distilled)
    assert len(second) > 2 and second.keys() == second_before.keys()
    assert all(torch.equal(own, second_before[name]) for name, own in second.items())
    assert not torch.equal(*(own["encoder.layer.0.output.LayerNorm.bias"] for own in (weights, before)))
    torch.testing.assert_close(probabilities(tmp_path / "out", 1.0), probabilities(dense))


def test_a_teacher_that_is_a_cascade_is_its_second_stage(dense: Path, distilled: Path) -> None:
    recipe = replace(RECIPE, teacher=str(distilled), distill_pooled=1.0)
    found, wanted = (
        teacher_targets(replace(recipe, teacher=str(folder)), DATA.train, DATA.label_names, torch.device("cpu"))
        for folder in (distilled, dense)
    )
    for name, own in wanted.items():
        torch.testing.assert_close(found[name], own)


def test_documents_that_judge_are_told_of(dense: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    more = tuple(replace(document, label=None) for document in (*DATA.validation[:3], *DATA.train[:2]))
    texts = {document.text for document in more}
    known = sum(document.text in texts for document in DATA.validation)
    recipe, settings = replace(RECIPE, max_expected_loss=1.0), with_flat(REDUCED, reread=0.1)
    train(dense, settings, replace(DATA, unlabelled=more), tmp_path / "out", recipe, progress=False)
    (told,) = [message for message in caplog.messages if "unlabelled:" in message]
    assert f"{known} of the 40 validation documents are among them" in told


def test_the_card_of_the_dense_stage_asks_for_no_other_documents(base: Path, tmp_path: Path) -> None:
    more = tuple(replace(document, label=None) for document in labelled_documents(20, seed=2))
    splits = replace(DATA, unlabelled=more, tallies={"unlabelled": Tally()})
    recipe, reading = (
        replace(DISTILLING, feature_epochs=1, epochs=1),
        {"unlabelled": "more.txt", "label_column": "kind"},
    )
    train_dense_first(
        base, REDUCED, splits, tmp_path / "out", recipe, data_name="films", reading=reading, progress=False
    )
    for name, told in (("out", True), ("out.dense", False)):
        record = read_record(tmp_path / name / "training.json")
        assert ("unlabelled" in record["rows"]) is told
        card = (tmp_path / name / "README.md").read_text()
        assert "--label-column kind" in card and ("--set data.unlabelled=more.txt" in card) is told


def test_importance_is_that_of_the_classifier_with_all_its_tokens(dense: Path, tmp_path: Path) -> None:
    """Of a cascade that has distilled, too: its second stage is the classifier."""
    distilled, wanted = tmp_path / "distilled", tmp_path / "wanted"
    train(dense, with_flat(REDUCED, reread=0.25), DATA, distilled, DISTILLING, progress=False)
    other = with_flat(REDUCED, keep_ratio=0.4)
    train(dense, other, DATA, wanted, RECIPE, progress=False)
    model, tokenizer = start_model(distilled, other, RECIPE, DATA.label_names, False)
    for layer in model.encoder.layer:
        layer.importance.weight.zero_()
    sample = Sample(TokenizedDocuments(DATA.train, tokenizer, 32, DATA.label_names), tokenizer, 8, RECIPE.seed)
    fit_importance(model, distilled, sample, torch.device("cpu"))
    name = "encoder.layer.1.importance.weight"
    torch.testing.assert_close(model.state_dict()[name], weights_of(wanted)[name])


def test_documents_without_labels_are_read_too(dense: Path, tmp_path: Path) -> None:
    more = tuple(replace(document, label=None) for document in labelled_documents(50, seed=2))
    splits = replace(DATA, unlabelled=more)
    record = train(dense, REDUCED, splits, tmp_path / "out", replace(DISTILLING, feature_epochs=1), progress=False)
    assert (record["feature_distillation"]["documents"], record["documents"]["unlabelled"]) == (110, 50)
    alone = train(dense, REDUCED, DATA, tmp_path / "alone", replace(DISTILLING, feature_epochs=1), progress=False)
    assert (alone["feature_distillation"]["documents"], alone["documents"]) == (60, {"train": 60, "validation": 40})
    weights = (weights_of(tmp_path / name)["encoder.layer.0.output.LayerNorm.weight"] for name in ("out", "alone"))
    assert not torch.equal(*weights)
    for name, told in (("out", ", 50 without labels"), ("alone", "for validation")):
        (line,) = [
            line for line in (tmp_path / name / "README.md").read_text().splitlines() if line.startswith("- Documents:")
        ]
        assert line.endswith(told)
    assert record["unlabelled_digest"] and alone["unlabelled_digest"] is None


def test_several_labels_and_documents_without(base: Path, tmp_path: Path) -> None:
    several, more = (
        tuple(replace(document, label=label) for document, label in zip(DATA.train, labels * 30, strict=True))
        for labels in ((("film",), ("law", "team")), (None, None))
    )
    splits = DataSplits(several, several[:20], unlabelled=more)
    recipe = replace(DISTILLING, feature_epochs=1, epochs=1)
    record = train_dense_first(base, REDUCED, splits, tmp_path / "out", recipe, progress=False)
    assert record["feature_distillation"]["documents"] == 120
    first = read_record(tmp_path / "out.dense" / "training.json")
    assert first["documents"] == {"train": 60, "validation": 20}


@pytest.mark.parametrize("run", [train, train_dense_first])
def test_documents_that_nothing_reads(base: Path, tmp_path: Path, run: Any) -> None:
    splits = replace(DATA, unlabelled=DATA.validation)
    with pytest.raises(
        ConfigError, match=r"unlabelled: 40 documents .*give one of them \(feature_epochs=1.*, or leave them out"
    ):
        run(base, REDUCED, splits, tmp_path / "out", RECIPE, progress=False)
    assert not list(tmp_path.iterdir())


def test_epochs_of_training_come_after_it(dense: Path, tmp_path: Path) -> None:
    recipe = replace(DISTILLING, feature_epochs=1, epochs=1, learning_rate=1e-3)
    record = train(dense, REDUCED, DATA, tmp_path / "out", recipe, progress=False)
    assert record["feature_distillation"]["epochs"] == 1
    assert [entry["epoch"] for entry in record["history"] if "eval_loss" in entry] == [0, 1]
    assert read_record(tmp_path / "out" / "training.json")["recipe"]["feature_epochs"] == 1
    assert not list(tmp_path.glob("**/checkpoint-*"))


def test_in_two_training_stages_the_dense_model_distils_no_features(base: Path, tmp_path: Path) -> None:
    recipe = replace(DISTILLING, feature_epochs=1, epochs=1, learning_rate=3e-3)
    record = train_dense_first(base, REDUCED, DATA, tmp_path / "out", recipe, progress=False)
    assert record["feature_distillation"]["epochs"] == 1
    assert read_record(tmp_path / "out.dense" / "training.json")["feature_distillation"] is None


def test_the_rest_is_frozen_and_nothing_dropped_for_as_long() -> None:
    model = tiny_model(settings(pruning="ratio", site="hidden"), hidden_dropout_prob=0.3, classifier_dropout=0.2)
    tuned = list(norms_and_biases(model.encoder.layer).values())
    layer = model.encoder.layer[0]
    assert any(parameter is layer.output.LayerNorm.weight for parameter in tuned)
    assert not any(parameter is layer.output.dense.weight for parameter in tuned)
    layer.output.dense.weight.requires_grad_(False)
    with only_trainable(model, tuned), without_dropout(model):
        trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
        assert {*map(id, trained)} == {*map(id, tuned)}
        assert (layer.output.dropout.p, model.head.dropout.p, layer.attention.self.dropout) == (0, 0, 0)
    assert (layer.output.dropout.p, model.head.dropout.p) == (0.3, 0.2)
    frozen = [parameter for parameter in model.parameters() if not parameter.requires_grad]
    assert [*map(id, frozen)] == [id(layer.output.dense.weight)]


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"feature_epochs": -1}, "feature_epochs=-1"),
        ({"feature_epochs": True}, "feature_epochs=True"),
        ({"feature_epochs": 1, "feature_learning_rate": 0.0}, "feature_learning_rate=0.0"),
        (
            {"feature_epochs": 1, "refit_head": False},
            r"feature_epochs=1 with refit_head=False.*leave refit_head",
        ),
        ({"feature_epochs": 1, "batch_size": 1}, "feature_epochs=1 with batch_size=1"),
    ],
)
def test_refused(given: dict[str, Any], named: str) -> None:
    with pytest.raises(ConfigError, match=named):
        Recipe(**given)


def test_feature_distillation_needs_a_trained_classifier(base: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"feature_epochs=1 needs a whole trained classifier.*train one first"):
        train(base, DENSE, DATA, tmp_path / "out", replace(DISTILLING, feature_epochs=1, epochs=1), progress=False)
    assert not list(tmp_path.iterdir())
