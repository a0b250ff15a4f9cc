"""The learned importance: fitted as it is defined, to a classifier that can tell, and worth something."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

import tokensieve
from flat import reduction, with_flat
from tokensieve import CheckpointError, ConfigError, DataError, ReductionConfig
from tokensieve.data import DataSplits
from tokensieve.data.tokenized import TokenizedDocuments
from tokensieve.model.layer import unfitted
from tokensieve.reduce.score.learned import Importance
from tokensieve.tokens import Tokens
from tokensieve.training.dense_first import train_dense_first
from tokensieve.training.fits.importance import LeastSquares, explained_value, fit_importance
from tokensieve.training.fits.sample import Sample
from tokensieve.training.recipe import Recipe
from tokensieve.training.train import train
from unit.training.cut_off import CutOff
from unit.training.keyword_documents import LABELS, Train, labelled_documents

CPU = torch.device("cpu")
DENSE = {"pruning": "none", "combine_layer": None, "pooling": "mean"}
LEARNED = reduction(pruning="ratio", site="hidden", score="learned", keep_ratio=0.5, pooling="mean")
RECIPE = Recipe(epochs=1, batch_size=8, max_length=32, learning_rate=1e-3)


@pytest.fixture(scope="module")
def dense(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A classifier that has learned which words tell."""
    folder = tmp_path_factory.mktemp("importance") / "dense"
    data = DataSplits(labelled_documents(120), labelled_documents(12, seed=1))
    recipe = Recipe(epochs=6, batch_size=8, max_length=32, learning_rate=3e-3)
    train(base, reduction(pruning="none", pooling="mean"), data, folder, recipe, progress=False)
    return folder


def learned_model(dense: Path, settings: ReductionConfig = LEARNED) -> tuple[Any, Any]:
    tokenizer = tokensieve.load(dense, device="cpu").engine.tokenizer
    return tokensieve.compress(dense, settings, tokenizer=tokenizer), tokenizer


def test_it_is_least_squares_on_the_gradients_within_documents(dense: Path) -> None:
    """The first layer's, from the embeddings of each document by itself."""
    model, tokenizer = learned_model(dense)
    documents = labelled_documents(40, seed=3)
    assert len(unfitted(model)) == 4
    shares = fit_importance(model, dense, Sample(TokenizedDocuments(documents, tokenizer, 32), tokenizer), CPU)
    assert unfitted(model) == []
    dense_model = tokensieve.load(dense, device="cpu").model
    states, wanted = [], []
    for document in documents:
        found = tokenizer(document.text, return_tensors="pt")
        vectors = dense_model.embeddings.word_embeddings(found["input_ids"]).detach().requires_grad_()
        kept = []
        hook = dense_model.encoder.layer[0].register_forward_pre_hook(lambda _, inputs, kept=kept: kept.append(inputs))
        logits = dense_model(inputs_embeds=vectors).logits[0]
        hook.remove()
        entering = kept[0][0].values
        (gradient,) = torch.autograd.grad(logits.max() - logits.mean(), entering)
        text = slice(1, -1)  # the special tokens never leave
        norms = gradient[text].double().norm(dim=1)
        logs = norms.clamp(min=float(norms.mean()) * 1e-3).log()
        if len(logs) > 1:
            states.append((entering[text] - entering[text].mean(0)).detach().double())
            wanted.append(logs - logs.mean())
    matrix, target = torch.cat(states), torch.cat(wanted)
    ridge = 1e-4 * (matrix**2).sum(0).mean()
    expected = torch.linalg.solve(matrix.T @ matrix + ridge * torch.eye(matrix.shape[1]), matrix.T @ target)
    own = model.encoder.layer[0].importance
    spread = (matrix @ expected).square().mean().sqrt()  # scores of standard deviation 1
    torch.testing.assert_close(own.weight[0].double(), expected / spread, atol=1e-3, rtol=1e-3)
    left = ((target - matrix @ expected) ** 2).sum() / (target**2).sum()
    assert shares["1"] == pytest.approx(1 - float(left), abs=1e-3)
    assert set(shares) == {"1", "2", "3", "4"}


def test_the_word_that_tells_survives(dense: Path) -> None:
    """Of 12 words and more, one to three are left for all layers."""
    model, tokenizer = learned_model(dense, with_flat(LEARNED, keep_ratios=(0.25, 1.0, 1.0, 1.0)))
    fit_importance(
        model, dense, Sample(TokenizedDocuments(labelled_documents(60, seed=4), tokenizer, 32), tokenizer), CPU
    )
    survived = []
    for document in labelled_documents(40, seed=5):
        if len(document.text.split()) < 12:
            continue
        found = tokenizer(document.text, return_tensors="pt")
        words = tokenizer.convert_ids_to_tokens(found["input_ids"][0])
        with torch.no_grad():
            left = model(**found).trace.survivors()[0]
        assert len(left) <= len(words) / 4
        survived.append(document.label in [words[place] for place in left])
    assert len(survived) > 10 and sum(survived) >= 0.9 * len(survived)


def test_fitting_leaves_the_model_as_it_was(dense: Path) -> None:
    model, tokenizer = learned_model(dense)
    before = {name: tensor.clone() for name, tensor in model.named_parameters()}
    model.train()
    torch.nn.Module.train(model.encoder.layer[0], False)
    state = torch.random.get_rng_state()
    fit_importance(model, dense, Sample(TokenizedDocuments(labelled_documents(20), tokenizer, 32), tokenizer), CPU)
    assert torch.equal(state, torch.random.get_rng_state())
    assert model.training and model.encoder.min_length == 0
    assert all(torch.equal(tensor, before[name]) and tensor.grad is None for name, tensor in model.named_parameters())


def test_what_is_differentiated_by_hand() -> None:
    logits = torch.tensor([[1.0, -2.0, 4.0], [0.0, 3.0, 0.0]])
    assert explained_value(logits, "single_label_classification").tolist() == [3.0, 2.0]
    assert explained_value(logits, "multi_label_classification").tolist() == [7.0, 3.0]


def tokens_of(states: torch.Tensor) -> Tokens:
    """One document of these states."""
    nothing = torch.zeros(len(states), dtype=torch.bool)
    return Tokens(states, (len(states),), torch.arange(len(states)), nothing, (0,))


def test_noise_in_training_draws_what_stays(dense: Path) -> None:
    """By the scores: of two tokens a score of 2 apart the higher one comes first e^2 / (1 + e^2) = 0.88 of the time."""
    importance = Importance(2, noise=1.0)
    importance.weight.copy_(torch.tensor([[1.0, 0.0]]))
    states = torch.tensor([[2.0, 5.0], [0.0, 7.0]]).repeat(4000, 1)
    tokens = tokens_of(states)
    first = importance(tokens).view(-1, 2).argmax(1).eq(0).double().mean()
    assert float(first) == pytest.approx(0.881, abs=0.02)
    assert torch.equal(importance.eval()(tokens), states[:, :1].T)


def test_documents_without_a_choice_say_nothing() -> None:
    """One word, or gradients that are all alike."""
    model = tokensieve.TokensieveConfig(hidden_size=8, num_attention_heads=2)
    fit = LeastSquares(model.hidden_size, CPU)
    assert fit.r2() == 0.0 and not fit.solution().any()


def test_training_fits_it_saves_it_and_goes_on(dense: Path, splits: DataSplits, tmp_path: Path) -> None:
    record = train(dense, LEARNED, splits, tmp_path / "out", RECIPE, progress=False)
    assert all(0 < share <= 1 for share in record["importance_r2"].values())
    model = tokensieve.load(tmp_path / "out", device="cpu").model
    assert unfitted(model) == []
    again = train(tmp_path / "out", LEARNED, splits, tmp_path / "again", RECIPE, progress=False)
    assert again["importance_r2"] is None, "it was fitted already"
    assert torch.equal(
        tokensieve.load(tmp_path / "again", device="cpu").model.encoder.layer[1].importance.weight,
        model.encoder.layer[1].importance.weight,
    )


def test_a_classifier_that_was_never_fitted_is_not_loaded(dense: Path, tmp_path: Path) -> None:
    model, tokenizer = learned_model(dense)
    model.save_pretrained(tmp_path / "out")
    tokenizer.save_pretrained(tmp_path / "out")
    with pytest.raises(CheckpointError, match="importance is not fitted"):
        tokensieve.load(tmp_path / "out", device="cpu")


def test_a_start_that_is_no_classifier_is_refused(base: Path, splits: DataSplits, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is no classifier that tokensieve trained: train one first"):
        train(base, LEARNED, splits, tmp_path / "out", RECIPE, progress=False)
    assert not (tmp_path / "out").exists()


def test_what_is_asked_is_the_classifier_itself(dense: Path) -> None:
    """Not the model that is to be trained, whose combining module knows nothing yet."""
    documents = labelled_documents(40, seed=3)
    vectors = []
    for settings in (
        LEARNED,
        with_flat(LEARNED, combine_layer=3),
        with_flat(LEARNED, keep_ratios=(1.0, 0.5, 1.0, 0.5)),
    ):
        model, tokenizer = learned_model(dense, settings)
        fit_importance(model, dense, Sample(TokenizedDocuments(documents, tokenizer, 32), tokenizer), CPU)
        vectors.append(model.encoder.layer[1].importance.weight)
    assert torch.equal(vectors[0], vectors[1]) and torch.equal(vectors[0], vectors[2])


def test_documents_of_one_word_are_refused(dense: Path, tmp_path: Path) -> None:
    words = tuple(replace(document, text=str(document.label)) for document in labelled_documents(24))
    with pytest.raises(DataError, match="two words or more to choose between"):
        train(dense, LEARNED, DataSplits(words), tmp_path / "out", RECIPE, progress=False)


def test_read_without_importance_it_is_zero_and_not_whatever_lay_there(dense: Path) -> None:
    model = tokensieve.TokensieveForSequenceClassification.from_pretrained(dense, reduction=LEARNED.to_dict())
    assert len(unfitted(model)) == 4


def test_the_score_is_float32_under_autocast(dense: Path) -> None:
    model, _ = learned_model(dense)
    importance = model.encoder.layer[0].importance
    importance.weight.normal_()
    states = torch.randn(50, importance.weight.shape[1])
    with torch.autocast("cpu", torch.bfloat16):
        scores = importance(tokens_of(states))
    torch.testing.assert_close(scores, importance.weight @ states.T)


def test_other_labels_are_refused(dense: Path, tmp_path: Path) -> None:
    two = DataSplits(tuple(document for document in labelled_documents(24) if document.label != LABELS[0]))
    with pytest.raises(ConfigError, match="has other labels than the data"):
        train(dense, LEARNED, two, tmp_path / "out", RECIPE, progress=False)


def test_two_stages_from_a_pretrained_model(base: Path, splits: DataSplits, tmp_path: Path) -> None:
    record = train_dense_first(base, LEARNED, splits, tmp_path / "out", RECIPE, progress=False)
    assert (record["base"], record["recipe"]["teacher"]) == ("out.dense", "out.dense")
    dense = json.loads((tmp_path / "out.dense" / "training.json").read_text(encoding="utf-8"))
    assert (dense["base"], dense["settings"]["prune"], dense["recipe"]["teacher"]) == ("tiny-bert", None, None)
    assert (record["started_from"]["base"], record["started_from"]["recipe"]) == ("tiny-bert", dense["recipe"])
    assert "`out.dense`" in (card := (tmp_path / "out" / "README.md").read_text(encoding="utf-8"))
    assert "trained from `tiny-bert` before" in card
    assert dense["settings"]["pooling"] == "mean"
    rates = dense["recipe"]["learning_rate"], record["recipe"]["learning_rate"]
    assert rates == (RECIPE.learning_rate, RECIPE.learning_rate / 2)


def test_one_stage_from_a_classifier(dense: Path, splits: DataSplits, tmp_path: Path) -> None:
    record = train_dense_first(dense, LEARNED, splits, tmp_path / "out", RECIPE, progress=False)
    assert (record["base"], record["recipe"]["teacher"]) == ("dense", "dense")
    assert record["recipe"]["learning_rate"] == RECIPE.learning_rate
    assert not (tmp_path / "out.dense").exists()


def test_settings_without_a_learned_score_have_one_stage(base: Path, splits: DataSplits, tmp_path: Path) -> None:
    record = train_dense_first(base, reduction(), splits, tmp_path / "out", RECIPE, progress=False)
    assert record["recipe"]["teacher"] is None and record["importance_r2"] is None
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_lora_resumes_with_it(dense: Path, splits: DataSplits, tmp_path: Path) -> None:
    """An adapter's checkpoint does not hold it."""
    recipe = replace(RECIPE, epochs=2, lora_rank=2)

    with pytest.raises(KeyboardInterrupt):
        train(dense, LEARNED, splits, tmp_path / "out", recipe, progress=False, callbacks=[CutOff(4)])
    record = train(dense, LEARNED, splits, tmp_path / "out", recipe, progress=False, resume=True)
    assert record["resumed_from"] and record["importance_r2"]
    train(dense, LEARNED, splits, tmp_path / "whole", recipe, progress=False)
    cut, whole = (tokensieve.load(tmp_path / name, device="cpu").model.state_dict() for name in ("out", "whole"))
    for name, weight in whole.items():
        torch.testing.assert_close(cut[name], weight, atol=1e-6, rtol=0, msg=name)


def test_an_overwriting_run_that_is_cut_off_resumes(
    base: Path, splits: DataSplits, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The old output stays until the new one is there, and is not in the way of it."""
    train_dense_first(base, LEARNED, splits, tmp_path / "out", RECIPE, progress=False)
    old = (tmp_path / "out" / "model.safetensors").stat().st_mtime_ns

    def cut(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("tokensieve.training.stages.fit_score.fit_importance", cut)
        with pytest.raises(KeyboardInterrupt):
            train_dense_first(base, LEARNED, splits, tmp_path / "out", RECIPE, progress=False, overwrite=True)
    assert (tmp_path / "out" / "model.safetensors").stat().st_mtime_ns == old
    train_dense_first(base, LEARNED, splits, tmp_path / "out", RECIPE, progress=False, resume=True)
    assert (tmp_path / "out" / "model.safetensors").stat().st_mtime_ns > old


def test_the_dense_stage_does_not_replace_its_own_start(dense: Path, tmp_path: Path) -> None:
    shutil.copytree(dense, tmp_path / "out.dense")
    two = DataSplits(tuple(document for document in labelled_documents(24) if document.label != LABELS[0]))
    with pytest.raises(ConfigError, match="name another output"):
        train_dense_first(
            tmp_path / "out.dense", LEARNED, two, tmp_path / "out", RECIPE, progress=False, overwrite=True
        )


def test_the_dense_stage_does_not_replace_the_teacher(
    base: Path, dense: Path, splits: DataSplits, tmp_path: Path
) -> None:
    """It was replaced by what the stage made, which was then asked in its place."""
    for name in ("out.dense", "out.dense.part", "out.part"):
        teacher = shutil.copytree(dense, tmp_path / name)
        before = (teacher / "model.safetensors").read_bytes()
        recipe = replace(RECIPE, teacher=str(teacher))
        with pytest.raises(ConfigError, match=rf"{name} .*: .*name another output"):
            train_dense_first(base, LEARNED, splits, tmp_path / "out", recipe, progress=False, overwrite=True)
        assert (teacher / "model.safetensors").read_bytes() == before
        assert [path.name for path in tmp_path.iterdir()] == [name]
        shutil.rmtree(teacher)


def test_stages_resume(base: Path, splits: DataSplits, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Cut off in the second stage: the first one is not repeated, and one that differs is refused."""

    def cut(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("tokensieve.training.stages.fit_score.fit_importance", cut)
        with pytest.raises(KeyboardInterrupt):
            train_dense_first(base, LEARNED, splits, tmp_path / "out", RECIPE, progress=False)
    written = (tmp_path / "out.dense" / "model.safetensors").stat().st_mtime_ns
    with pytest.raises(ConfigError, match=r"out\.dense, which .* exists: start from it \(--model out\.dense\)"):
        train_dense_first(base, LEARNED, splits, tmp_path / "out", RECIPE, progress=False)
    other = DataSplits(labelled_documents(24, seed=9), splits.validation)
    with pytest.raises(ConfigError, match="the documents, their order"):
        train_dense_first(base, LEARNED, other, tmp_path / "out", RECIPE, progress=False, resume=True)
    train_dense_first(base, LEARNED, splits, tmp_path / "out", RECIPE, progress=False, resume=True)
    assert (tmp_path / "out.dense" / "model.safetensors").stat().st_mtime_ns == written


def test_a_dense_run_that_is_finished_is_still_refused(run: Train) -> None:
    run(settings=DENSE)
    with pytest.raises(ConfigError, match="exists"):
        run(settings=DENSE)
