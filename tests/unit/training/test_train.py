"""train(): it learns, by the recipe that was given, and leaves a folder that says what was done."""

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from safetensors.torch import load_file
from sklearn.utils.class_weight import compute_class_weight

import tokensieve
from flat import reduction
from tokensieve import TokensieveForSequenceClassification
from tokensieve.data import DataSplits, Document
from tokensieve.model.attention import SelfAttention
from tokensieve.runtime.classifier import Classifier
from tokensieve.training.loop import make_trainer as trainer_module
from tokensieve.training.losses.labels import balanced_weights, step_loss
from tokensieve.training.train import train
from unit.training.keyword_documents import LABELS, Train, labelled_documents


def evaluations(record: dict[str, Any]) -> list[dict[str, Any]]:
    return [entry for entry in record["history"] if "eval_loss" in entry]


def training_losses(record: dict[str, Any]) -> list[float]:
    return [entry["loss"] for entry in record["history"] if "loss" in entry]


def cross_entropy(classifier: Classifier, documents: tuple[Document, ...]) -> float:
    truth = [classifier.labels.index(str(document.label)) for document in documents]
    probabilities = classifier.predict_proba([document.text for document in documents])
    return float(-np.log(probabilities[range(len(truth)), truth]).mean())


def test_it_learns(run: Train, tmp_path: Path) -> None:
    data = DataSplits(labelled_documents(96), labelled_documents(30, seed=1))
    record = run(data, {"site": "hidden", "keep_ratio": 0.8}, epochs=6)
    losses = training_losses(record)
    assert losses[-1] < 0.75 * losses[0]
    classifier = tokensieve.load(tmp_path / "out", device="cpu")
    fresh = labelled_documents(60, seed=2)
    found = classifier.predict([document.text for document in fresh])
    assert np.mean([label == document.label for label, document in zip(found, fresh, strict=True)]) > 0.55


def several_labels(documents: tuple[Document, ...]) -> tuple[Document, ...]:
    """None, one or two labels a document."""
    labels = [(str(d.label), "team")[: number % 3] for number, d in enumerate(documents)]
    return tuple(dataclasses.replace(d, label=own) for d, own in zip(documents, labels, strict=True))


@pytest.fixture
def micro_batches(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Documents of every forward pass in training."""
    seen: list[int] = []
    forward = TokensieveForSequenceClassification.forward

    def noted(self: TokensieveForSequenceClassification, input_ids: torch.Tensor, **inputs: Any) -> Any:
        if self.training:
            seen.append(len(input_ids))
        return forward(self, input_ids, **inputs)

    monkeypatch.setattr(TokensieveForSequenceClassification, "forward", noted)
    # Trainer reads the names of the columns from the signature.
    noted.__wrapped__ = forward  # type: ignore[attr-defined]
    return seen


@pytest.mark.parametrize("documents", [32, 22])
@pytest.mark.parametrize("class_weights", ["none", "balanced"])
@pytest.mark.parametrize("multi_label", [False, True])
def test_one_batch_of_16_is_four_of_4(
    run: Train, tmp_path: Path, micro_batches: list[int], multi_label: bool, class_weights: str, documents: int
) -> None:
    """The gradient's norm is compared too: Adam and clipping would hide a loss that is four times too large."""
    parts = labelled_documents(documents, shares=(5, 2, 1)), labelled_documents(12, seed=1)
    data = DataSplits(*map(several_labels, parts) if multi_label else parts)
    figures = []
    for size, accumulation in ((16, 1), (4, 4)):
        folder = tmp_path / f"{size}x{accumulation}"
        options = {"batch_size": size, "accumulation": accumulation, "class_weights": class_weights}
        record = run(data, output=folder, epochs=2, learning_rate=1e-3, **options)
        figures.append(
            [entry[name] for entry in record["history"] for name in ("grad_norm", "eval_loss") if name in entry]
        )
        assert max(micro_batches) == size
        micro_batches.clear()
    assert len(figures[0]) == 4
    np.testing.assert_allclose(figures[0], figures[1], rtol=1e-3)


def test_class_weights_are_balanced() -> None:
    class_ids = [0] * 6 + [1] * 3 + [2]  # nothing of class 3
    loss = step_loss(balanced_weights(class_ids, 4))
    logits, labels = torch.randn(10, 4), torch.tensor(class_ids)
    weights = torch.tensor([*compute_class_weight("balanced", classes=np.arange(3), y=class_ids), 0.0]).float()
    expected = torch.nn.functional.cross_entropy(logits, labels, weight=weights, reduction="sum") / 10
    torch.testing.assert_close(loss({"logits": logits}, labels), expected)
    torch.testing.assert_close(loss({"logits": logits}, labels, num_items_in_batch=torch.tensor(40)), expected / 4)


def test_class_weights_lift_the_rare_class(run: Train, tmp_path: Path) -> None:
    data = DataSplits(labelled_documents(48, shares=(10, 1, 1)), labelled_documents(12, seed=1))
    shares = {}
    for weights in ("none", "balanced"):
        run(data, output=tmp_path / weights, class_weights=weights, epochs=2, calibrate=False)
        found = tokensieve.load(tmp_path / weights, device="cpu").predict_proba([d.text for d in data.validation])
        shares[weights] = found[:, 0].mean()
    assert shares["balanced"] < shares["none"] - 0.1


def test_early_stopping(run: Train) -> None:
    assert len(evaluations(run(learning_rate=1e-30, epochs=8, patience=2))) == 3


def test_without_patience_all_epochs_are_run(run: Train) -> None:
    assert len(evaluations(run(learning_rate=1e-30, epochs=5))) == 5


def test_patience_waits_while_it_gets_better(run: Train) -> None:
    data = DataSplits(labelled_documents(96), labelled_documents(30, seed=1))
    record = run(data, learning_rate=3e-4, epochs=4, patience=1)
    losses = [entry["eval_loss"] for entry in evaluations(record)]
    assert losses == sorted(losses, reverse=True)
    assert len(losses) == 4


def contradicting(documents: tuple[Document, ...]) -> tuple[Document, ...]:
    """Every label replaced by the next one: what training learns makes validation worse."""
    following = dict(zip(LABELS, LABELS[1:] + LABELS[:1], strict=True))
    return tuple(dataclasses.replace(d, label=following[str(d.label)]) for d in documents)


def test_the_epoch_of_the_lowest_loss_is_kept(run: Train, tmp_path: Path) -> None:
    data = DataSplits(labelled_documents(48), contradicting(labelled_documents(24)))
    record = run(data, epochs=5, calibrate=False)
    found = evaluations(record)
    losses = [entry["eval_loss"] for entry in found]
    assert losses[-1] > min(losses) + 0.1, "training has to make it worse, or the test proves nothing"
    assert record["best"] == found[losses.index(min(losses))]
    saved = tokensieve.load(tmp_path / "out", device="cpu")
    assert cross_entropy(saved, data.validation) == pytest.approx(min(losses), abs=1e-4)


@pytest.mark.parametrize("select", ["accuracy", "f1_macro"])
def test_the_epoch_of_the_highest_metric_is_kept(
    run: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, select: str
) -> None:
    scripted: Iterator[float] = iter([0.2, 0.7, 0.9, 0.9, 0.1])
    other = {"accuracy": 0.5, "f1_macro": 0.5, "f1_micro": 0.5}
    monkeypatch.setattr(trainer_module, "accuracy_and_f1", lambda *_: other | {select: next(scripted)})
    data = DataSplits(labelled_documents(48), labelled_documents(24, seed=1))
    record = run(data, epochs=5, select=select, calibrate=False)
    third = evaluations(record)[2]
    assert record["best"] == third
    assert third["eval_loss"] != pytest.approx(evaluations(record)[3]["eval_loss"], abs=1e-3)
    saved = tokensieve.load(tmp_path / "out", device="cpu")
    assert cross_entropy(saved, data.validation) == pytest.approx(third["eval_loss"], abs=1e-4)


def test_without_validation_the_last_epoch_is_kept(run: Train, splits: DataSplits, tmp_path: Path) -> None:
    record = run(DataSplits(splits.train), epochs=2)
    assert record["best"] is None
    assert record["documents"] == {"train": 24, "validation": 0}
    assert len(training_losses(record)) == 2
    assert tokensieve.load(tmp_path / "out", device="cpu").labels == LABELS


def without_times(record: dict[str, Any]) -> str:
    history = [{k: v for k, v in e.items() if not k.endswith(("runtime", "_per_second"))} for e in record["history"]]
    return json.dumps([history, record["settings"], record["recipe"]])


def test_seeds_reproduce_exactly(tiny_bert_dir: Path, splits: DataSplits, tmp_path: Path) -> None:
    """With dropout and Gumbel noise, whatever state the generators were left in."""
    settings = reduction(combine_layer=3)
    recipe = tokensieve.training.recipe.Recipe(epochs=2, batch_size=8, max_length=32, learning_rate=1e-3)
    runs, states = {}, {}
    for name, seed in (("first", 5), ("second", 5), ("third", 6)):
        torch.manual_seed(hash(name))
        chosen = dataclasses.replace(recipe, seed=seed)
        runs[name] = train(tiny_bert_dir, settings, splits, tmp_path / name, chosen)
        states[name] = load_file(tmp_path / name / "model.safetensors")
    assert without_times(runs["first"]) == without_times(runs["second"]) != without_times(runs["third"])
    assert all(torch.equal(tensor, states["second"][name]) for name, tensor in states["first"].items())
    assert not torch.equal(states["first"]["head.classifier.weight"], states["third"]["head.classifier.weight"])


def test_bf16(run: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = set()
    forward = SelfAttention.forward

    def noted(self: SelfAttention, *args: Any) -> Any:
        result = forward(self, *args)
        seen.add((self.training, result[0].dtype))
        return result

    monkeypatch.setattr(SelfAttention, "forward", noted)
    record = run(bf16=True, epochs=2)
    assert (True, torch.bfloat16) in seen
    assert np.isfinite(training_losses(record)).all()
    weights = load_file(tmp_path / "out" / "model.safetensors").values()
    assert all(tensor.dtype == torch.float32 and tensor.isfinite().all() for tensor in weights)


def test_attention_dropout_takes_the_checkpoints_place(run: Train, tmp_path: Path) -> None:
    run(attention_dropout=0.25)
    model = tokensieve.load(tmp_path / "out", device="cpu").model
    assert model.config.attention_probs_dropout_prob == 0.25
    assert {module.dropout for module in model.modules() if isinstance(module, SelfAttention)} == {0.25}


def test_the_recipe_reaches_trainer() -> None:
    recipe = tokensieve.training.recipe.Recipe(epochs=3, batch_size=4, accumulation=2, warmup=0.25, clip=0.5, seed=3)
    options = trainer_module.RunOptions(Path("unused"), torch.device("cpu"))
    args = trainer_module.training_arguments(recipe, 30, 1, True, options)
    assert args.num_train_epochs == 3
    assert args.get_warmup_steps(12) == 3  # 8 batches of 4 or fewer are 4 optimizer steps an epoch
    assert (args.max_grad_norm, args.weight_decay, args.learning_rate, args.seed) == (0.5, 0.0, 2e-5, 3)
    assert args.optim == "adamw_torch_fused"
    assert args.lr_scheduler_type == "linear"
    assert args.report_to == []


FILES = {"config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json", "training.json"}


def test_the_folder_holds_safetensors_json_and_the_card_alone(run: Train, tmp_path: Path) -> None:
    run(epochs=2)
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    names = {path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*")}
    assert names == {*FILES, "README.md"}
    for name in FILES - {"model.safetensors"}:
        assert isinstance(json.loads((tmp_path / "out" / name).read_text(encoding="utf-8")), dict)
    assert load_file(tmp_path / "out" / "model.safetensors")
    modes = {(tmp_path / "out" / name).stat().st_mode for name in FILES}
    assert len(modes) == 1, "whoever may read one may read all"


def test_training_json(run: Train, splits: DataSplits, tmp_path: Path) -> None:
    record = run(epochs=2, max_length=10)
    text = (tmp_path / "out" / "training.json").read_text(encoding="utf-8")
    assert json.loads(text) == record
    assert "NaN" not in text
    assert str(tmp_path) not in text, "paths of the machine are nobody's business"
    assert record["base"] == "tiny-bert"
    assert record["labels"] == list(LABELS)
    assert record["documents"] == {"train": 24, "validation": 12}
    for split, documents in (("train", splits.train), ("validation", splits.validation)):
        assert record["truncated"][split] == sum(len(d.text.split()) + 2 > 10 for d in documents) > 0
    assert tokensieve.ReductionConfig.from_dict(record["settings"]).before(4) + 1 == 3
    assert record["recipe"]["epochs"] == 2
    assert record["versions"]["torch"] == torch.__version__
    assert record["versions"]["transformers"] == transformers.__version__
    assert record["seconds"] > 0
    assert record["peak_memory_bytes"] > 50e6


def test_a_trained_folder_truncates_as_in_training(run: Train, tmp_path: Path) -> None:
    run(max_length=10)
    classifier = tokensieve.load(tmp_path / "out", device="cpu")
    (result,) = classifier.results(["film " * 50])
    assert result.length == 10
    assert classifier.engine.tokenizer.model_max_length == 64


def test_label_names_in_the_order_of_numbers(run: Train, tmp_path: Path) -> None:
    documents = [Document(f"film {word}", label, "x", 1) for label in ("10", "9", "-1") for word in ("good", "bad")]
    run(DataSplits(tuple(documents)))
    assert tokensieve.load(tmp_path / "out", device="cpu").labels == ("-1", "9", "10")


def test_training_goes_on_from_a_trained_folder(run: Train, splits: DataSplits, tmp_path: Path) -> None:
    run(epochs=2)
    settings = tokensieve.load(tmp_path / "out", device="cpu").model.settings
    recipe = tokensieve.training.recipe.Recipe(learning_rate=1e-30, epochs=1, max_length=32)
    again = train(tmp_path / "out", settings, splits, tmp_path / "again", recipe)
    before, after = (tokensieve.load(tmp_path / name, device="cpu") for name in ("out", "again"))
    texts = [document.text for document in splits.validation]
    np.testing.assert_allclose(before.predict_proba(texts), after.predict_proba(texts), atol=1e-5)
    assert again["base"] == "out"
