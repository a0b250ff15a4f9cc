"""`Predictor` in Ray Data: the answers of the classifier, in the types that Parquet has, on the CPUs that Ray gives."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tokensieve
from support.packages import needed
from tokensieve.errors import ConfigError, InputError
from tokensieve.words import WordsClassifier
from unit.words.bags import fitted

needed("ray")
from tokensieve.ray import Predictor  # noqa: E402 (needs Ray)

TEXTS = ["a good film", "the court of law", "a goal in the market", "the share price", "film " * 30] * 4


@pytest.fixture(scope="session")
def folder(save_classifier: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_classifier(tmp_path_factory.mktemp("classifier"), combine_layer=3)


def batch(texts: Any, **columns: Any) -> dict[str, np.ndarray]:
    column = np.empty(len(texts), dtype=object)
    column[:] = texts
    return {"text": column, "id": np.arange(len(texts)), **columns}


def with_threads() -> type[Predictor]:
    """Made here, so that Ray sends it as a whole: its workers cannot import test files."""

    class WithThreads(Predictor):
        """Tells the threads, the process and the CPUs beside the answers."""

        def __call__(self, rows: dict[str, Any]) -> dict[str, Any]:
            import ray
            import torch

            found = super().__call__(rows)
            cpus = ray.get_runtime_context().get_assigned_resources().get("CPU")
            told = {"threads": torch.get_num_threads(), "process": os.getpid(), "cpus": cpus}
            return found | {name: np.full(len(rows["text"]), value) for name, value in told.items()}

    return WithThreads


@pytest.mark.parametrize("cpus", [1, 2])
def test_a_data_set_is_answered_by_actors(ray: Any, folder: Path, tmp_path: Path, cpus: int) -> None:
    rows = [{"id": number, "text": text, "label": "kept"} for number, text in enumerate(TEXTS)]
    answered = ray.data.from_items(rows).map_batches(
        with_threads(),
        fn_constructor_args=(str(folder),),
        fn_constructor_kwargs={"device": "cpu"},
        compute=ray.data.ActorPoolStrategy(size=2 // cpus),
        num_cpus=cpus,
        batch_size=5,
    )
    answered.write_parquet(str(tmp_path / "out"))
    found = sorted(ray.data.read_parquet(str(tmp_path / "out")).take_all(), key=lambda row: row["id"])
    classifier = tokensieve.load(folder, device="cpu")
    results = classifier.results(TEXTS)
    assert [row["predicted_label"] for row in found] == [classifier.labels[result.label] for result in results]
    for row, result in zip(found, results, strict=True):
        assert list(row["predicted_probabilities"]) == pytest.approx(result.probabilities, abs=1e-6)
    assert {row["label"] for row in found} == {"kept"}
    assert {(row["threads"], row["cpus"]) for row in found} == {(cpus, cpus)}, "as many threads as Ray gave CPUs"
    assert os.getpid() not in {row["process"] for row in found}


def test_rows_that_cannot_be_answered(folder: Path) -> None:
    texts = ["a good film", "", None, 7, "\0\0", "the court", float("nan")]
    found = Predictor(folder, device="cpu", on_error="column")(batch(texts))
    alone = tokensieve.load(folder, device="cpu").predict(["a good film", "the court"])
    assert found["predicted_label"].tolist() == [alone[0], None, None, None, None, alone[1], None]
    assert [error is None for error in found["predicted_error"]] == [True, False, False, False, False, True, False]
    assert [None if error is None else error.split(":")[0] for error in found["predicted_error"]][1:5] == [
        "empty text",
        "missing text",
        "text of the wrong type",
        "binary data in place of text",
    ]
    assert [row is None for row in found["predicted_probabilities"]] == [
        error is not None for error in found["predicted_error"]
    ]
    with pytest.raises(InputError, match=r"row 1 of a batch cannot be classified: empty text.*on_error='column'"):
        Predictor(folder, device="cpu")(batch(texts))


def test_a_form_that_the_classifier_was_not_trained_on(tmp_path: Path) -> None:
    """What the engine refuses, and not the reading of a text."""
    pairs, _ = fitted("pairs")
    pairs.save(tmp_path / "pairs")
    found = Predictor(tmp_path / "pairs", on_error="column")(batch(["a film", "a court"]))
    assert found["predicted_label"].tolist() == [None, None]
    assert all("trained on pairs" in error for error in found["predicted_error"])
    with pytest.raises(InputError, match="trained on pairs"):
        Predictor(tmp_path / "pairs")(batch(["a film"]))


def saved(kind: str, folder: Path) -> tuple[WordsClassifier, Any]:
    words, new = fitted(kind)
    words.save(folder)
    return words, new


def test_pairs(tmp_path: Path) -> None:
    _, new = saved("pairs", tmp_path / "pairs")
    rows = batch([text for text, _ in new], other=np.array([second for _, second in new], dtype=object))
    found = Predictor(tmp_path / "pairs", pair_column="other")(rows)
    assert found["predicted_label"].tolist() == tokensieve.load(tmp_path / "pairs").predict(new)


def test_several_labels(tmp_path: Path) -> None:
    _, new = saved("multi", tmp_path / "multi")
    found = Predictor(tmp_path / "multi", prefix="our ")(batch(new))
    assert found["our labels"].tolist() == tokensieve.load(tmp_path / "multi").predict(new)
    assert "our label" not in found


def test_an_empty_batch(folder: Path) -> None:
    found = Predictor(folder, device="cpu")(batch([]))
    assert [len(column) for column in found.values()] == [0] * 4


@pytest.mark.parametrize(
    ("rows", "options", "message"),
    [
        ({"body": np.array(["a"], dtype=object)}, {}, r"no column 'text' in \['body'\]"),
        (batch(["a"], predicted_label=np.array([1])), {}, "'predicted_label' is there already.*prefix="),
        ([1], {}, "a batch of type list"),
    ],
)
def test_batches_that_do_not_fit(folder: Path, rows: Any, options: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Predictor(folder, device="cpu", **options)(rows)


def test_an_unknown_way_with_errors(folder: Path) -> None:
    with pytest.raises(ConfigError, match="on_error='ignore': use one of raise, column"):
        Predictor(folder, on_error="ignore")
