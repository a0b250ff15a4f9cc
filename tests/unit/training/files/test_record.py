"""The JSON files of an interrupted run, with any value in any place: read, or refused by one error."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from transformers import TrainerState

from flat import reduction
from mutations import WRONG, json_values
from tokensieve import DataError, Recipe, TokensieveError
from tokensieve.checks import read_object
from tokensieve.training.files import checkpoints
from tokensieve.training.loop.run import stopped_early

RUN = {
    "base": "model",
    "data": "train.jsonl",
    "data_digest": "a",
    "settings": reduction(keep_ratios=(0.5, 0.5)).to_dict(),
    "recipe": Recipe().to_dict(),
    "labels": ["film", "law"],
    "multi_label": False,
    "documents": {"train": 30, "validation": 12},
    "processes": 1,
}
STATE = {
    "epoch": 1.0,
    "global_step": 4,
    "max_steps": 12,
    "best_global_step": 4,
    "best_metric": 0.5,
    "best_model_checkpoint": "checkpoint-4",
    "log_history": [{"loss": 0.7, "epoch": 1.0, "step": 4}],
    "stateful_callbacks": {
        "EarlyStoppingCallback": {"args": {}, "attributes": {"early_stopping_patience_counter": 1}},
        "TrainerControl": {"args": {"should_save": True}, "attributes": {}},
    },
}
any_value = hypothesis_settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
Place = tuple[str, ...]


def places(record: dict[str, Any], before: Place = ()) -> Iterator[Place]:
    """Every field of a record, and of the records in it."""
    for name, value in record.items():
        yield (*before, name)
        if isinstance(value, dict):
            yield from places(value, (*before, name))


def changed(record: dict[str, Any], place: Place, value: object) -> dict[str, Any]:
    copy: dict[str, Any] = json.loads(json.dumps(record))
    inner = copy
    for name in place[:-1]:
        inner = inner[name]
    inner[place[-1]] = value
    return copy


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    """A whole one, which has the best weights itself."""
    folder = tmp_path / "checkpoint-4"
    folder.mkdir()
    (folder / "model.safetensors").write_bytes(b"no weights")
    checkpoints.write_json(folder / checkpoints.STATE, STATE)
    checkpoints.mark_complete(folder)
    return folder


@any_value
@given(place=st.sampled_from(list(places(RUN))), value=json_values)
def test_the_note_of_a_run(tmp_path: Path, place: Place, value: object) -> None:
    record = changed(RUN, place, value)
    note = tmp_path / "run.json"
    note.write_text(json.dumps(record), encoding="utf-8")
    try:
        checkpoints.check_run(note, RUN)
    except TokensieveError as error:
        assert "run.json" in str(error) or place[0] in str(error)


@any_value
@given(place=st.sampled_from(list(places(STATE))), value=json_values)
def test_the_state_of_trainer(checkpoint: Path, place: Place, value: object) -> None:
    checkpoints.unmark(checkpoint)
    (checkpoint / checkpoints.STATE).write_text(json.dumps(changed(STATE, place, value)), encoding="utf-8")
    checkpoints.mark_complete(checkpoint)
    try:
        checkpoints.find_best(checkpoint)
        stopped_early(checkpoint, Recipe(patience=1))
        TrainerState.load_from_json(str(checkpoint / checkpoints.STATE))
    except DataError as error:
        assert "trainer_state.json" in str(error) or place == ("best_global_step",)


@pytest.mark.parametrize("value", WRONG, ids=lambda value: repr(value)[:20])
def test_a_note_of_sizes_that_is_none_means_not_whole(checkpoint: Path, value: object) -> None:
    note = checkpoint / "whole.json"
    sizes = json.loads(note.read_text(encoding="utf-8"))
    for record in (value, {**sizes, "model.safetensors": value}):
        note.write_text(json.dumps(record), encoding="utf-8")
        assert checkpoints.last_complete(checkpoint.parent) == (checkpoint if record == {} else None)


@pytest.mark.parametrize("text", ["", "{", "[]", "3", "null", "[" * 100_000, '{"a": ' * 100_000, "\udc80"])
def test_no_object(tmp_path: Path, text: str) -> None:
    file = tmp_path / "run.json"
    file.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(ValueError, match=r"."):
        read_object(file)
    with pytest.raises(DataError, match=r"run\.json: cannot be read"):
        checkpoints.check_run(file, RUN)


def test_patience_of_several_callbacks(checkpoint: Path) -> None:
    """Trainer saves a list where two callbacks have one name."""
    control = STATE["stateful_callbacks"]["TrainerControl"]  # type: ignore[index]
    for waited, over in ((0, False), (1, True), (2, True)):
        own = {"args": {}, "attributes": {"early_stopping_patience_counter": waited}}
        both = {"EarlyStoppingCallback": [{"args": {}, "attributes": {}}, own], "TrainerControl": control}
        checkpoints.write_json(checkpoint / checkpoints.STATE, STATE | {"stateful_callbacks": both})
        assert stopped_early(checkpoint, Recipe(patience=1)) is over
    assert not stopped_early(checkpoint, Recipe())
