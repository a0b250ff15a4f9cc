"""A folder of ours used by a user of transformers: Auto classes, pipelines, save_pretrained, Trainer."""

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import (
    AutoConfig,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    DataCollatorWithPadding,
    Trainer,
    TrainingArguments,
    pipeline,
)

import tokensieve

SETTINGS: dict[str, dict[str, Any]] = {
    "dense": {"pruning": "none"},
    "pruned": {"site": "hidden"},
    "combined": {"combine_layer": 3, "heads": "per_head"},
}
TEXTS = ["the film was good", "law", "a goal for the team . " * 8, "the judge and the court", "share price " * 20]


@pytest.fixture(scope="module", params=SETTINGS)
def folder(
    request: pytest.FixtureRequest, save_classifier: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    return save_classifier(tmp_path_factory.mktemp("model"), **SETTINGS[request.param])


@pytest.fixture
def expected(folder: Path) -> np.ndarray:
    return tokensieve.load(folder, device="cpu").predict_proba(TEXTS)


def test_auto_classes(folder: Path, expected: np.ndarray) -> None:
    assert isinstance(AutoConfig.from_pretrained(folder), tokensieve.TokensieveConfig)
    model = AutoModelForSequenceClassification.from_pretrained(folder)
    assert isinstance(model, tokensieve.TokensieveForSequenceClassification)
    assert not model.training
    inputs = AutoTokenizer.from_pretrained(folder)(TEXTS, padding=True, return_tensors="pt")
    with torch.no_grad():
        probabilities = model(**inputs).logits.softmax(-1)
    np.testing.assert_allclose(probabilities, expected, atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_round_trip_keeps_weights_settings_and_type(folder: Path, tmp_path: Path, dtype: torch.dtype) -> None:
    model = AutoModelForSequenceClassification.from_pretrained(folder, dtype=dtype)
    model.save_pretrained(tmp_path)
    copy = AutoModelForSequenceClassification.from_pretrained(tmp_path)
    assert {parameter.dtype for parameter in copy.parameters()} == {dtype}
    assert copy.config.reduction == model.config.reduction
    assert copy.config.id2label == {0: "film", 1: "law", 2: "sport"}
    state = model.state_dict()
    assert state.keys() == copy.state_dict().keys()
    assert all(torch.equal(tensor, state[name]) for name, tensor in copy.state_dict().items())


@pytest.mark.parametrize("batch_size", [1, 3])
def test_pipeline(folder: Path, expected: np.ndarray, batch_size: int) -> None:
    classify = pipeline("text-classification", str(folder), device="cpu", top_k=None)
    for found, row in zip(classify(TEXTS, batch_size=batch_size), expected, strict=True):
        scores = {entry["label"]: entry["score"] for entry in found}
        assert scores == pytest.approx(dict(zip(("film", "law", "sport"), row.tolist(), strict=True)), abs=1e-5)


def test_pipeline_names_the_label(folder: Path) -> None:
    labels = [found["label"] for found in pipeline("text-classification", str(folder), device="cpu")(TEXTS)]
    assert labels == tokensieve.load(folder, device="cpu").predict(TEXTS)


def test_pipeline_over_the_position_table(folder: Path) -> None:
    classify = pipeline("text-classification", str(folder), device="cpu")
    with pytest.raises(tokensieve.InputError, match=r"102 tokens.*64.*truncation=True"):
        classify("film " * 100)
    found = classify(["film " * 100, "film"], truncation=True, batch_size=2)
    assert [entry["label"] for entry in found] == tokensieve.load(folder, device="cpu").predict(["film " * 100, "film"])


def examples(count: int, seed: int = 0) -> list[tuple[str, int]]:
    """Texts of 1 to 40 words; the label is told by one of them."""
    generator = random.Random(seed)
    words = ["the", "a", "of", "in", "to", "and", "is", "was", "not"]
    texts = []
    for number in range(count):
        text = generator.choices(words, k=generator.randint(0, 40))
        text.insert(generator.randint(0, len(text)), ("film", "law", "team")[number % 3])
        texts.append((" ".join(text), number % 3))
    return texts


def users_trainer(folder: Path, output: Path, **options: Any) -> Trainer:
    """Trainer as its documentation shows it, without a word of ours."""
    tokenizer = AutoTokenizer.from_pretrained(folder)

    def encoded(pairs: list[tuple[str, int]]) -> list[dict[str, Any]]:
        return [{**tokenizer(text, truncation=True), "labels": label} for text, label in pairs]

    settings = {"max_steps": 3, "per_device_train_batch_size": 8, "report_to": "none", "use_cpu": True} | options
    return Trainer(
        AutoModelForSequenceClassification.from_pretrained(folder),
        TrainingArguments(str(output), **settings),
        data_collator=DataCollatorWithPadding(tokenizer),
        train_dataset=encoded(examples(24)),
        eval_dataset=encoded(examples(10, seed=1)),
        compute_metrics=lambda found: {"accuracy": float((found.predictions.argmax(-1) == found.label_ids).mean())},
    )


def test_trainer_trains_evaluates_and_predicts(folder: Path, tmp_path: Path) -> None:
    trainer = users_trainer(folder, tmp_path, eval_strategy="steps", eval_steps=1, per_device_eval_batch_size=4)
    before = {name: parameter.clone() for name, parameter in trainer.model.named_parameters()}
    assert np.isfinite(trainer.train().training_loss)
    assert all(not torch.equal(parameter, before[name]) for name, parameter in trainer.model.named_parameters())
    metrics = trainer.evaluate()
    assert np.isfinite(metrics["eval_loss"])
    found = trainer.predict(trainer.eval_dataset)
    assert found.predictions.shape == (10, 3), "the ragged trace must not be among the predictions"
    trainer.save_model(tmp_path / "saved")
    AutoTokenizer.from_pretrained(folder).save_pretrained(tmp_path / "saved")
    probabilities = tokensieve.load(tmp_path / "saved", device="cpu").predict_proba(
        [text for text, _ in examples(10, seed=1)]
    )
    np.testing.assert_allclose(probabilities, torch.tensor(found.predictions).softmax(-1), atol=1e-5)
    assert metrics["eval_accuracy"] == pytest.approx(np.mean(probabilities.argmax(1) == found.label_ids))


@pytest.mark.parametrize("folder", ["combined"], indirect=True)
def test_trainer_resumes_and_keeps_the_best(folder: Path, tmp_path: Path) -> None:
    each_step = {"eval_strategy": "steps", "save_strategy": "steps", "eval_steps": 1, "save_steps": 1}
    options = each_step | {"load_best_model_at_end": True, "learning_rate": 1e-3}
    users_trainer(folder, tmp_path, max_steps=2, **options).train()
    trainer = users_trainer(folder, tmp_path, max_steps=4, **options)
    trainer.train(resume_from_checkpoint=True)
    losses = [entry["eval_loss"] for entry in trainer.state.log_history if "eval_loss" in entry]
    assert len(losses) == 4
    assert trainer.evaluate()["eval_loss"] == pytest.approx(min(losses), abs=1e-5)


@pytest.mark.parametrize("folder", ["combined"], indirect=True)
def test_trainer_with_label_smoothing(folder: Path, tmp_path: Path) -> None:
    assert np.isfinite(users_trainer(folder, tmp_path, label_smoothing_factor=0.1).train().training_loss)


def test_trainers_batches_may_be_taken_apart(folder: Path) -> None:
    """The plain tuple of transformers, and the trace beside it."""
    model = AutoModelForSequenceClassification.from_pretrained(folder)
    inputs = AutoTokenizer.from_pretrained(folder)(TEXTS, padding=True, return_tensors="pt")
    labels = torch.tensor([0, 1, 2, 0, 1])
    with torch.no_grad():
        output, (loss, logits) = model(**inputs, labels=labels), model(**inputs, labels=labels, return_dict=False)
    assert torch.equal(output.logits, logits)
    assert torch.equal(output.loss, torch.nn.functional.cross_entropy(logits, labels))
    assert torch.equal(loss, output.loss)
    assert len(output.trace.kept) == len(model.encoder.layer)


def test_the_config_is_json_and_complete(folder: Path) -> None:
    record = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    assert record["model_type"] == "tokensieve"
    assert record["architectures"] == ["TokensieveForSequenceClassification"]
    assert record["reduction"]["format_version"] == 2
    assert tokensieve.ReductionConfig.from_dict(record["reduction"]) == AutoConfig.from_pretrained(folder).settings
