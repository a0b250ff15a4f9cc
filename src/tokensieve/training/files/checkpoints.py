"""Checkpoints of a running training: which of them are complete, and what run they belong to.

The weights are safetensors; optimizer and random states are Trainer's own files, which torch pickles. They lie under
`checkpoints/` beside the work in progress, are read by `resume` alone, and are gone from the finished folder.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from tokensieve.checks import TEXT, Check, check_values, list_of, number, read_object, whole
from tokensieve.config import ReductionConfig
from tokensieve.errors import ConfigError, DataError
from tokensieve.training.old import recipe_today
from tokensieve.training.recipe import Recipe

FOLDER = "checkpoints"
_COMPLETE = "whole.json"
RUN = "run.json"
_FORMAT_KEY, _FORMAT = "checkpoint_format", 2
STATE = "trainer_state.json"
"""Trainer's own record of how far it is."""


def _is_callback(state: object) -> bool:
    """Whether this is what Trainer saves of a callback."""
    parts = [state.get("args", {}), state.get("attributes", {})] if isinstance(state, Mapping) else [None]
    return all(isinstance(part, Mapping) for part in parts)


def _are_callbacks(states: object) -> bool:
    """Whether this is what Trainer saves of its callbacks: by name, of several of one name a list."""
    if not isinstance(states, Mapping):
        return False
    return all(
        all(map(_is_callback, state)) if isinstance(state, list) else _is_callback(state) for state in states.values()
    )


_POSITIVE = number(lambda steps: steps > 0, "a number above 0").or_none()
_STATE = {
    "epoch": number(lambda epoch: epoch >= 0, "a number of 0 or more").or_none(),
    "global_step": whole(0),
    "max_steps": whole(0),
    "num_train_epochs": whole(0),
    "logging_steps": _POSITIVE,
    "eval_steps": _POSITIVE,
    "save_steps": _POSITIVE,
    "train_batch_size": whole(1).or_none(),
    "best_global_step": whole(0).or_none(),
    "best_metric": number(lambda _: True, "a number").or_none(),
    "best_model_checkpoint": TEXT.or_none(),
    "log_history": list_of(Check(lambda entry: isinstance(entry, Mapping), "give an object"), "objects"),
    "stateful_callbacks": Check(_are_callbacks, "give an object of the callbacks' states"),
}
"""What training and Trainer read of it."""


def mark_complete(checkpoint: Path) -> None:
    """Note every file of a checkpoint with its size. The note is the last file that is written of it."""
    files = {str(file.relative_to(checkpoint)): file.stat().st_size for file in checkpoint.rglob("*") if file.is_file()}
    write_json(checkpoint / _COMPLETE, files)


def unmark(checkpoint: Path) -> None:
    """Remove the note, before a checkpoint is written again."""
    (checkpoint / _COMPLETE).unlink(missing_ok=True)


def is_complete(checkpoint: Path) -> bool:
    """Whether a checkpoint was written to its end, and still has all its files."""
    try:
        files = read_object(checkpoint / _COMPLETE)
        return all((checkpoint / name).stat().st_size in _sizes(size) for name, size in files.items())
    except (OSError, ValueError):
        return False


def last_complete(folder: Path) -> Path | None:
    """The checkpoint with the most steps among those that are complete."""
    numbered = (path for path in folder.glob("checkpoint-*") if path.name.partition("-")[2].isdigit())
    return max(filter(is_complete, numbered), key=_step, default=None)


def clear_broken(folder: Path) -> None:
    """Remove checkpoints that are half written or half deleted, and those after the last complete one."""
    last = last_complete(folder)
    for path in folder.glob("checkpoint-*"):
        if last is None or not is_complete(path) or _step(path) > _step(last):
            shutil.rmtree(path)


def _step(checkpoint: Path) -> int:
    return int(checkpoint.name.partition("-")[2])


def _sizes(noted: Any) -> list[Any]:
    """A file has one size, or two while it is replaced."""
    return noted if isinstance(noted, list) else [noted]


def find_best(checkpoint: Path) -> None:
    """Make the state of a checkpoint name the best one beside it, also after the folder was moved.

    Trainer notes an absolute path. If nothing is there any more, it ends with the last epoch's weights.

    Args:
        checkpoint: a complete one, which is resumed; its files change only where the folder was moved or copied.

    Raises:
        DataError: the best checkpoint is missing or incomplete, or the state cannot be read.
    """
    state = read_state(checkpoint)
    if state.get("best_global_step") is None:  # no validation, or none so far
        return
    best = checkpoint.with_name(f"checkpoint-{state['best_global_step']}")
    if not is_complete(best):
        raise DataError(
            f"{best}: this checkpoint holds the best weights of the interrupted run, and is missing or incomplete; "
            "put it back, or start anew with --overwrite"
        )
    if state.get("best_model_checkpoint") != str(best):
        _replace_state(checkpoint, state | {"best_model_checkpoint": str(best)})


def read_state(checkpoint: Path) -> dict[str, Any]:
    """Trainer's record of a checkpoint.

    Raises:
        DataError: it cannot be read, or has fields that this Trainer does not know.
    """
    from transformers import TrainerState

    path = checkpoint / STATE
    try:
        state = read_object(path)
        check_values(state, _STATE)
        if unknown := sorted(set(state) - {each.name for each in fields(TrainerState)}):
            raise ConfigError(f"{unknown[0]} is unknown here; another version of transformers wrote it")
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read ({error}); start anew with --overwrite") from error
    return state


def _replace_state(checkpoint: Path, state: Mapping[str, Any]) -> None:
    """Write a new state. The checkpoint is complete at every moment: its note allows for both sizes in between."""
    path, note = checkpoint / STATE, checkpoint / _COMPLETE
    files = read_object(note)
    size = len(_json_text(state).encode("utf-8"))
    write_json(note, files | {STATE: [path.stat().st_size, size]})
    write_json(path, state)
    write_json(note, files | {STATE: size})


def write_run(folder: Path, run: Mapping[str, Any]) -> None:
    """Note what determines a run. Only the same run is resumed, by a version that writes the same checkpoints."""
    folder.mkdir(exist_ok=True)
    write_json(folder / RUN, {_FORMAT_KEY: _FORMAT, **run})


def check_format(note: Path) -> None:
    """Refuse to go on with checkpoints of another version, whose tensors have other names.

    Args:
        note: what `write_run` wrote; that of 0.1.0 names no format.

    Raises:
        ConfigError: another version wrote it.
        DataError: the note is not there or cannot be read.
    """
    version = _read_note(note).get(_FORMAT_KEY)
    if version != _FORMAT:
        writer = "tokensieve 0.1.0" if version is None else f"another version of tokensieve (format {version!r})"
        raise ConfigError(
            f"{note}: {writer} began this run, and its checkpoints cannot be resumed here: finish it with that "
            "version, or start anew with --overwrite"
        )


def _read_note(note: Path) -> dict[str, Any]:
    try:
        return read_object(note)
    except (OSError, ValueError) as error:
        raise DataError(f"{note}: cannot be read ({error}); start anew with --overwrite") from error


_DIGESTS = {
    "data_digest": "the documents, their order, their labels or the tokenizer differ",
    "unlabelled_digest": "the documents without labels, or their order, differ",
}


def check_run(note: Path, run: Mapping[str, Any]) -> None:
    """Refuse to go on with another recipe, other data or another number of processes than the run began with.

    Args:
        note: what `write_run` wrote, or the record of the run.
        run: as it is asked for now.

    Raises:
        ConfigError: names what differs.
        DataError: the note is not there or cannot be read.
    """
    begun = _read_note(note)
    now = json.loads(json.dumps(dict(run)))
    if "settings" in begun:  # those that came later were not there, or at their defaults
        begun["settings"] = _with_defaults(begun["settings"], note)
    if isinstance(begun.get("recipe"), dict):
        begun["recipe"] = Recipe().to_dict() | recipe_today(begun["recipe"])
    for name in now:
        if begun.get(name) != now.get(name):
            if name in _DIGESTS:
                raise ConfigError(
                    f"{note}: {_DIGESTS[name]} from those of the interrupted run: resume with what the run began "
                    "with, or start anew with --overwrite"
                )
            raise ConfigError(
                f"{name} is {_differing(now.get(name), begun.get(name))} where the interrupted run has "
                f"{_differing(begun.get(name), now.get(name))}: resume with what the run began with, or start anew "
                "with --overwrite"
            )


def _with_defaults(settings: Any, note: Path) -> Any:
    try:
        return json.loads(json.dumps(ReductionConfig.from_dict(settings).to_dict()))
    except (TypeError, ValueError) as error:
        raise DataError(f"{note}: its settings cannot be read ({error}); start anew with --overwrite") from error


def _differing(value: Any, other: Any) -> str:
    """The value, of records only the entries that differ, shortened."""
    if isinstance(value, Mapping) and isinstance(other, Mapping):
        value = {name: entry for name, entry in value.items() if other.get(name, None) != entry}
    return json.dumps(value, ensure_ascii=False)[:200]


def write_json(path: Path, record: Any) -> None:
    """Write a file that is there complete or not at all."""
    part = path.with_name(path.name + ".part")
    # A name of bytes that are no UTF-8 has halves of surrogate pairs, which JSON may hold escaped.
    part.write_bytes(_json_text(record).encode("utf-8", "backslashreplace"))
    os.replace(part, path)


def _json_text(record: Any) -> str:
    return json.dumps(record, indent=2, ensure_ascii=False) + "\n"
