"""Few-shot tasks: which documents are drawn, and what a logistic regression on their vectors gets right."""

from pathlib import Path

import numpy as np
import pytest

from support.data_files import write_rows
from tokensieve import DataError
from tokensieve.tune.few_shot import few_shot_task, load_task
from unit.tune.few_shot_tasks import LABELS, labelled, task


def test_each_draw_has_the_shots_of_each_label() -> None:
    made = task("made", 0)
    assert made.draws.shape == (3, 3, 4)
    texts = [document.text for document in made.documents]
    train = {document.text for document in labelled(60, 0)}
    for draw in made.draws:
        assert len(set(draw.ravel())) == 12, "without replacement"
        for label, places in zip(sorted(LABELS), draw, strict=True):
            assert {made.documents[place].label for place in places} == {label}
            assert all(texts[place] in train for place in places)
    assert [made.documents[place] for place in made.test] == labelled(45, 100)
    assert set(made.draws.ravel()) | set(made.test) == set(range(len(made.documents))), "none is read for nothing"
    assert not np.array_equal(made.draws[0], made.draws[1])


def test_the_same_seed_draws_the_same_for_any_test_documents() -> None:
    few = few_shot_task("few", labelled(60, 0), labelled(45, 100), shots=4, draws=3, most=9)
    many = few_shot_task("many", labelled(60, 0), labelled(45, 100), shots=4, draws=3)
    assert np.array_equal(few.draws, many.draws)
    assert (len(few.test), len(many.test)) == (9, 45)
    assert [few.labels[few.test].tolist().count(label) for label in range(3)] == [3, 3, 3]


def test_what_is_right_by_hand() -> None:
    """Vectors that tell the label, but for some test documents that have the vector of another label."""
    made = task("made", 0, draws=2)
    vectors = np.eye(3, dtype=np.float32)[made.labels]
    assert made.right(vectors, 2).tolist() == [2] * 45
    swapped = made.test[[0, 7, 31]]
    vectors[swapped] = np.roll(vectors[swapped], 1, axis=1)
    right = made.right(vectors, 4)
    assert np.flatnonzero(right == 0).tolist() == [0, 7, 31]
    assert set(np.delete(right, [0, 7, 31])) == {2}


def test_a_draw_of_fewer_shots_is_the_start_of_the_whole_draw() -> None:
    """The vectors of the later shots have no meaning, and one shot a label does not see them."""
    made = task("made", 0, draws=1)
    vectors = np.eye(3, dtype=np.float32)[made.labels]
    later = made.draws[0, :, 1:].ravel()
    vectors[later] = np.roll(vectors[later], 1, axis=1)
    assert made.right(vectors, 1).all()
    assert not made.right(vectors, 4).any()


@pytest.mark.parametrize(
    ("train", "test", "told"),
    [
        (labelled(60, 0), [], "3 labels, 0 test documents"),
        (labelled(60, 0)[::3], labelled(3, 1)[:1], "1 labels"),
        (labelled(11, 0), labelled(3, 1), "'sport' has 3 training documents, and 4 shots"),
        ([one for one in labelled(60, 0) if one.label != "law"], labelled(3, 1), "the label 'law' of the test"),
    ],
)
def test_tasks_that_cannot_be_drawn(train: list, test: list, told: str) -> None:  # type: ignore[type-arg]
    with pytest.raises(DataError, match=told):
        few_shot_task("odd", train, test, shots=4, draws=2)


def test_a_folder_is_a_task_with_its_test_documents_else_validation_ones(tmp_path: Path) -> None:
    rows = [{"text": one.text, "label": one.label} for one in labelled(60, 0)]
    (tmp_path / "intents").mkdir()
    write_rows(tmp_path / "intents" / "train.jsonl", rows)
    write_rows(tmp_path / "intents" / "test.jsonl", rows[:6])
    made = load_task(tmp_path / "intents", shots=2, draws=2, seed=0, most=None)
    assert (made.name, [made.documents[place].text for place in made.test]) == (
        "intents",
        [row["text"] for row in rows[:6]],
    )
    (tmp_path / "intents" / "test.jsonl").unlink()
    carved = load_task(tmp_path / "intents", shots=2, draws=2, seed=0, most=None)
    drawn = {carved.documents[place].text for place in carved.draws.ravel()}
    tested = {carved.documents[place].text for place in carved.test}
    assert tested
    assert not tested & drawn
