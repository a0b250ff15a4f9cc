"""A teacher's answers: taken once and in order, followed by the loss as it is defined, and worth something."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

import tokensieve
from tokensieve import ConfigError
from tokensieve.data import DataSplits
from tokensieve.training.losses.batch import LOGITS, POOLED
from tokensieve.training.recipe import Recipe
from tokensieve.training.teacher import teacher_targets
from unit.training.keyword_documents import LABELS, Train, labelled_documents

CPU = torch.device("cpu")
DENSE = {"pruning": "none", "combine_layer": None}


@pytest.fixture
def teacher(run: Train, tmp_path: Path) -> Path:
    run(settings=DENSE, output=tmp_path / "teacher")
    return tmp_path / "teacher"


def test_targets_are_the_teachers_answers_in_order(teacher: Path) -> None:
    documents = labelled_documents(40, seed=5)
    recipe = Recipe(teacher=str(teacher), distill_pooled=0.5)
    labels = tuple(reversed(sorted(LABELS)))
    found = teacher_targets(recipe, documents, labels, CPU)
    classifier = tokensieve.load(teacher, device="cpu")
    results = classifier.results([document.text for document in documents])
    columns = [classifier.labels.index(label) for label in labels]
    expected = torch.tensor([result.logits for result in results])[:, columns]
    torch.testing.assert_close(found[LOGITS], expected, atol=1e-5, rtol=0)
    vectors = classifier.encode([document.text for document in documents])
    torch.testing.assert_close(found[POOLED], torch.tensor(vectors), atol=1e-5, rtol=0)
    assert set(teacher_targets(Recipe(teacher=str(teacher)), documents, labels, CPU)) == {LOGITS}


def test_a_student_learns_from_the_teacher_alone(run: Train, tmp_path: Path) -> None:
    """All its labels are wrong, and count for nothing: it gives the teacher's answers."""
    documents, held_out = labelled_documents(96), labelled_documents(12, seed=1)
    run(DataSplits(documents, held_out), DENSE, epochs=6, output=tmp_path / "teacher")
    wrong = tuple(
        dataclasses.replace(document, label=LABELS[LABELS.index(str(document.label)) - 1]) for document in documents
    )
    taught = {"teacher": str(tmp_path / "teacher"), "distill_weight": 1.0, "epochs": 6}
    record = run(DataSplits(wrong, held_out), DENSE, **taught)
    assert record["recipe"]["teacher"] == "teacher"
    assert record["teacher_seconds"] > 0
    texts = [document.text for document in documents]
    answers = [tokensieve.load(tmp_path / name, device="cpu").predict(texts) for name in ("teacher", "out")]
    assert np.mean([a == b for a, b in zip(*answers, strict=True)]) > 0.6
    assert np.mean([a == document.label for a, document in zip(answers[1], wrong, strict=True)]) < 0.4


def test_with_accumulation_it_is_the_same(run: Train, teacher: Path, tmp_path: Path) -> None:
    whole = run(settings=DENSE, teacher=str(teacher), output=tmp_path / "whole")
    parts = run(settings=DENSE, teacher=str(teacher), batch_size=4, accumulation=2, output=tmp_path / "parts")
    losses = [[entry["loss"] for entry in record["history"] if "loss" in entry] for record in (whole, parts)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)


def test_another_teacher_is_refused(run: Train, teacher: Path, base: Path) -> None:
    other = DataSplits(
        tuple(document.__class__(document.text, f"x{document.label}", "s", 1) for document in labelled_documents(24))
    )
    with pytest.raises(ConfigError, match=r"its labels .* are not those of the data"):
        run(other, DENSE, teacher=str(teacher))
    with pytest.raises(ConfigError, match="holds a 'bert' model"):
        run(settings=DENSE, teacher=str(base))


@pytest.mark.parametrize(
    "changes",
    [
        {"teacher": ""},
        {"distill_weight": 1.5},
        {"distill_temperature": 0},
        {"distill_pooled": -1},
        {"pruning_warmup": 2},
        {"head_lr_multiplier": 0},
    ],
    ids=str,
)
def test_refused(changes: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match=next(iter(changes))):
        Recipe(**changes)
