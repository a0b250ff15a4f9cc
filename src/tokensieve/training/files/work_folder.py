"""The folder of a run in the making, for one process or several; and what is written to it at the end."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tokensieve.cascade.build import EncoderClassifier
from tokensieve.cascade.words_first import WordsFirst
from tokensieve.data.tokenize import prepare_for_saving
from tokensieve.training.files import checkpoints
from tokensieve.training.files.card import write_card
from tokensieve.training.files.output import RECORD, folder_in_the_making, open_to_others, part_of


@contextmanager
def work_folder(group: Any, output: str | Path, identity: Mapping[str, Any], resume: bool) -> Iterator[Path]:
    """`folder_in_the_making` for one process or several: the first one makes it, checks what is resumed, and ends."""
    if not group.is_main_process:
        group.wait_for_everyone()
        yield part_of(Path(output).resolve())
        group.wait_for_everyone()  # nobody needs the work in progress any more
        group.wait_for_everyone()  # the output is in its place: a second stage may read it
        return
    with folder_in_the_making(output, resume) as folder:
        store = folder / checkpoints.FOLDER
        if (folder / RECORD).is_file():
            checkpoints.check_run(folder / RECORD, identity)
        elif (last := checkpoints.last_complete(store)) is not None:
            checkpoints.check_format(store / checkpoints.RUN)
            checkpoints.check_run(store / checkpoints.RUN, identity)
            checkpoints.find_best(last)  # before anything is removed
            checkpoints.clear_broken(store)
        else:
            shutil.rmtree(store, ignore_errors=True)
            checkpoints.write_run(store, identity)
        group.wait_for_everyone()
        yield folder
        group.wait_for_everyone()
    group.wait_for_everyone()


def runs_of(output: str | Path) -> Path:
    """Where TensorBoard's files go: beside the classifier's folder, which is published and holds none."""
    path = Path(output).resolve()
    return path.with_name(path.name + ".runs")


def save_classifier(
    folder: Path,
    model: EncoderClassifier,
    tokenizer: Any,
    record: dict[str, Any],
    words_first: WordsFirst | None = None,
) -> None:
    """Write weights, config, tokenizer, card, and last of all the record of the run.

    The limits of the tokenizer are set right. The bag of words ahead of the model is written if there is one.
    """
    model.save_pretrained(folder)
    prepare_for_saving(tokenizer)
    tokenizer.model_max_length = model.config.longest_document
    tokenizer.save_pretrained(folder)
    if words_first is not None:
        words_first.save(folder)
    open_to_others(folder)
    write_card(folder, model, record)
    checkpoints.write_json(folder / RECORD, record)
