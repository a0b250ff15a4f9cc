"""train(): checkpoint + labelled documents -> a folder with model.safetensors, config, tokenizer, record and card."""

from __future__ import annotations

import hashlib
import logging
import platform
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import transformers
from transformers import set_seed

from tokensieve.backbones.default_model import HUB_NAME, name_of_base
from tokensieve.cascade.build import EncoderClassifier, stages_of
from tokensieve.config import ReductionConfig
from tokensieve.data.documents import Tally
from tokensieve.data.splits import DataSplits
from tokensieve.data.tokenize import prepare_for_saving
from tokensieve.data.tokenized import TokenizedDocuments
from tokensieve.errors import ConfigError
from tokensieve.memory import peak_memory_bytes
from tokensieve.model.layer import unfitted
from tokensieve.training import checkpoints
from tokensieve.training.alignment import align_head
from tokensieve.training.best import best_epoch
from tokensieve.training.calibrate import calibrate
from tokensieve.training.card import write_card
from tokensieve.training.distill import teacher_targets
from tokensieve.training.fit_cascade import check_cascade, fit_to_validation, warn_of_pruned_base
from tokensieve.training.follow import follow
from tokensieve.training.importance import fit_importance, why_no_start
from tokensieve.training.lora import merged, require_peft
from tokensieve.training.output import RECORD, check_output, folder_in_the_making, part_of, read_record
from tokensieve.training.prepare import fit_for_training, keep_calibration, start_model
from tokensieve.training.processes import processes
from tokensieve.training.recipe import Recipe
from tokensieve.training.sample import Sample
from tokensieve.training.start import check_start, first_stage, warn_of_other_data, why_no_candidate
from tokensieve.training.trainer import RunOptions, Trained, require_accelerate, run_trainer
from tokensieve.training.unlabelled import check_unlabelled, unlabelled_digest, warn_of_judges

logger = logging.getLogger(__name__)


def train(
    base: str | Path,
    settings: ReductionConfig,
    splits: DataSplits,
    output: str | Path,
    recipe: Recipe | None = None,
    *,
    device: torch.device | None = None,
    overwrite: bool = False,
    resume: bool = False,
    keep_finished: bool = False,
    checkpoint_steps: int | None = None,
    data_name: str = "",
    progress: bool = True,
    callbacks: Sequence[Any] = (),
    report_to: str | Sequence[str] = (),
    run_name: str | None = None,
    reading: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Train a classifier and save it.

    All work goes to `output`.part, which becomes `output` at the end. Started by `torchrun` (or
    mpirun, or on GPUs `accelerate launch`), every process calls this and the first one writes; batch_size is that of
    one process. Where `base` is a trained classifier of the same labels, its weights are epoch 0, the head aligned to
    other settings (`training.alignment`): they are kept where validation finds no epoch better.

    Args:
        base: folder or hub name of the checkpoint to start from.
        settings: the reduction settings.
        splits: training, validation and test documents, of which the last are not looked at; and documents without
            labels, for `follow` and `reread_loss`.
        output: folder to make.
        recipe: how; None: the paper's.
        device: None: CPU.
        overwrite: replace `output` if it is there, and throw an interrupted run away.
        resume: go on with an interrupted run from its last whole checkpoint; without one begin at the beginning.
        keep_finished: with `resume`, leave an `output` alone that the same run has finished, and return its record.
        checkpoint_steps: save a checkpoint every so many optimizer steps, beside those at the end of each epoch.
        data_name: what the record calls the data.
        progress: show progress bars on stderr.
        callbacks: for transformers' Trainer.
        report_to: trackers by Trainer's names, such as "tensorboard" (whose files go to `output`.runs).
        run_name: for the trackers.
        reading: how `splits` were read, for the card: arguments of `load_splits`, and `max_documents`.

    Returns:
        The record that `training.json` holds: recipe, settings, counts, validation scores by epoch, versions.

    Raises:
        ConfigError: `output` exists, settings that do not fit the model, or a run that is not the interrupted one.
        CheckpointError: `base` cannot be used.
        DataError: labels that do not fit, or of the interrupted run the best checkpoint is missing or not whole.
        MissingExtraError: accelerate, or for LoRA PEFT, is not installed.
        TrainingError: training diverged.
    """
    require_accelerate()
    recipe, device = recipe or Recipe(), device or torch.device("cpu")
    if recipe.lora_rank is not None:
        require_peft()
    if checkpoint_steps is not None and checkpoint_steps < 1:
        raise ConfigError(f"checkpoint_steps={checkpoint_steps}: give a whole number of 1 or more")
    done = Path(output) / RECORD
    finished = resume and keep_finished and done.is_file()
    if not finished:
        check_output(output, overwrite, resume, (base, recipe.teacher))
    recipe.check_validation(len(splits.validation))
    check_cascade(settings, recipe, len(splits.validation))
    check_unlabelled(recipe, splits)
    group = processes(device)
    if group.is_main_process:
        warn_of_judges(splits)
    set_seed(recipe.seed)
    model, tokenizer = start_model(base, settings, recipe, splits.label_names, splits.multi_label)
    reason = why_no_start(base, splits.label_names)
    if unfitted(model):
        check_start(reason, "prune.score=learned is fitted to a trained classifier of the same labels")
    reason = reason or why_no_candidate(base, settings)
    if recipe.epochs == 0:
        check_start(reason, "epochs=0 trains nothing and needs a whole trained classifier of the same labels")
    if recipe.follow:
        check_start(reason, f"follow={recipe.follow} needs a whole trained classifier of the same labels")
    for own in (model, *stages_of(model)):
        own.config.text_pairs = any(document.pair is not None for document in splits.train)
    training, validation = (
        TokenizedDocuments(documents, tokenizer, recipe.max_length, splits.label_names)
        for documents in (splits.train, splits.validation)
    )
    for name, part in (("training", training), ("validation", validation)):
        logger.info("%s: %d documents, %d truncated to %d tokens", name, len(part), part.truncated, recipe.max_length)
    counts = {"train": len(training), "validation": len(validation)}
    run = {
        "base": name_of_base(base),
        "data": data_name,
        "data_digest": data_digest(training, validation),
        "unlabelled_digest": unlabelled_digest(splits),
        "settings": settings.to_dict(),
        "recipe": recipe.to_dict() | ({"teacher": name_of_base(recipe.teacher)} if recipe.teacher else {}),
        "labels": list(splits.label_names),
        "multi_label": splits.multi_label,
        "documents": counts | ({"unlabelled": len(splits.unlabelled)} if splits.unlabelled else {}),
        "processes": group.num_processes,
    }
    if reason is None and group.is_main_process:
        warn_of_other_data(base, run["data_digest"])
        warn_of_pruned_base(settings, base)
    if finished:
        checkpoints.check_run(done, run)
        return read_record(done)
    with work_folder(group, output, run, resume) as folder:
        if (folder / RECORD).is_file():  # cut short while it was put in its place
            return read_record(folder / RECORD)
        options = RunOptions(
            checkpoints=folder / checkpoints.FOLDER,
            device=device,
            checkpoint_steps=checkpoint_steps,
            resume=checkpoints.last_whole(folder / checkpoints.FOLDER),
            progress=progress and group.is_main_process,
            callbacks=callbacks,
            report_to=(report_to,) if isinstance(report_to, str) else report_to,
            logs=runs_of(output),
            run_name=run_name,
        )
        start = time.perf_counter()
        importance = followed = alignment = None
        sample = Sample(training, tokenizer, min(16, recipe.batch_size), recipe.seed)
        if unfitted(model):
            importance = fit_importance(stages_of(model)[0], base, sample, device)
        if recipe.follow:
            followed = follow(model, base, tokenizer, splits, recipe, options)
        if recipe.aligns_first and reason is None:
            alignment = align_head(model, base, sample, device)
        trainable = fit_for_training(model, recipe)
        asked, targets = time.perf_counter(), None
        if recipe.teacher is not None and recipe.epochs:
            targets = teacher_targets(recipe, splits.train, splits.label_names, device)
        taught = time.perf_counter() - asked
        trained = run_trainer(
            trainable, tokenizer, training, validation, recipe, options, targets, begins_trained=reason is None
        )
        if recipe.lora_rank is not None:
            merged(trainable)  # into the model that it was put around
        torch.nn.Module.to(model, device=device)  # a second stage was not trained
        if recipe.epochs == 0:
            keep_calibration(model, base)
        best = best_epoch(trained.history, recipe)
        moved = best is not None and best["epoch"] > 0
        reread, trained = fit_to_validation(model, trained, validation, tokenizer, recipe, splits, moved)
        record = {
            **run,
            "base_is_folder": Path(base).is_dir() and name_of_base(base) != HUB_NAME,
            "pairs": model.config.text_pairs,
            "reading": None if reading is None else dict(reading),
            "truncated": {"train": training.truncated, "validation": validation.truncated},
            "rows": {name: row_counts(tally) for name, tally in splits.tallies.items()},
            "mean_length": float(training.lengths.double().mean()),
            "seconds": time.perf_counter() - start,
            "importance_r2": importance,
            "followed": followed,
            "head_alignment": alignment,
            "started_from": first_stage(base),
            "teacher_seconds": taught if recipe.teacher else None,
            "resumed_from": None if options.resume is None else options.resume.name,
            "peak_memory_bytes": peak_memory_bytes(device),
            "history": trained.history,
            "best": best,
            "reread": reread,
            "calibration": calibrated(model, trained, recipe),
            "versions": versions(),
        }
        if group.is_main_process:
            save_classifier(folder, model, tokenizer, record)
    return record


@contextmanager
def work_folder(group: Any, output: str | Path, run: Mapping[str, Any], resume: bool) -> Iterator[Path]:
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
            checkpoints.check_run(folder / RECORD, run)
        elif (last := checkpoints.last_whole(store)) is not None:
            checkpoints.check_format(store / checkpoints.RUN)
            checkpoints.check_run(store / checkpoints.RUN, run)
            checkpoints.find_best(last)  # before anything is removed
            checkpoints.clear_broken(store)
        else:
            shutil.rmtree(store, ignore_errors=True)
            checkpoints.write_run(store, run)
        group.wait_for_everyone()
        yield folder
        group.wait_for_everyone()
    group.wait_for_everyone()


def runs_of(output: str | Path) -> Path:
    """Where TensorBoard's files go: beside the classifier's folder, which is published and holds none."""
    path = Path(output).resolve()
    return path.with_name(path.name + ".runs")


def row_counts(tally: Tally) -> dict[str, Any]:
    """What became of the rows, without the examples: the record is published, and they quote the user's data."""
    return {name: value for name, value in tally.to_dict().items() if name != "examples"}


def data_digest(*parts: TokenizedDocuments) -> str:
    """A hash of the tokens and labels, in their order: what tells one run's data from another's."""
    return hashlib.sha256("".join(part.digest() for part in parts).encode()).hexdigest()


def calibrated(model: EncoderClassifier, trained: Trained, recipe: Recipe) -> dict[str, Any] | None:
    """Calibrate on the validation documents and write it to the model's config; None where there are none."""
    if trained.logits is None or not recipe.calibrate:
        return None
    multi_label = model.config.problem_type == "multi_label_classification"
    calibration = calibrate(trained.logits, trained.truth, multi_label=multi_label)
    calibration.apply(model.config)
    return calibration.to_dict()


def save_classifier(folder: Path, model: EncoderClassifier, tokenizer: Any, record: dict[str, Any]) -> None:
    """Weights, config, tokenizer (with its limits set right), card, and last of all the record of the run."""
    model.save_pretrained(folder)
    for weights in folder.glob("*.safetensors"):  # whose writer may keep them from other users
        shutil.copymode(folder / "config.json", weights)
    prepare_for_saving(tokenizer)
    tokenizer.model_max_length = model.config.longest_document
    tokenizer.save_pretrained(folder)
    write_card(folder, model, record)
    checkpoints.write_json(folder / RECORD, record)


def versions() -> dict[str, str]:
    """Of what the result depends on."""
    from tokensieve.version import __version__

    return {
        "tokensieve": __version__,
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "python": platform.python_version(),
    }
