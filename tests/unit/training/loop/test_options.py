"""Callbacks and trackers are transformers' own: what is passed reaches Trainer."""

from pathlib import Path
from typing import Any

import pytest
from transformers import TrainerCallback

from flat import reduction
from support.packages import needed
from tokensieve import ConfigError, Recipe
from tokensieve.data import DataSplits
from tokensieve.training.train import train
from unit.training.keyword_documents import labelled_documents

DATA = DataSplits(labelled_documents(12), labelled_documents(6, seed=1))
SHORT = Recipe(epochs=2, batch_size=8, max_length=32)


class Seen(TrainerCallback):
    """Counts what it is told."""

    def __init__(self) -> None:
        self.steps, self.logs, self.name = 0, 0, None

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self.steps += 1
        self.name = args.run_name

    def on_log(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self.logs += 1


def test_callbacks_see_the_run(tiny_bert_dir: Path, tmp_path: Path) -> None:
    seen = Seen()
    train(tiny_bert_dir, reduction(), DATA, tmp_path / "out", SHORT, callbacks=[seen], run_name="first", progress=False)
    assert (seen.steps, seen.name) == (4, "first")
    assert seen.logs >= 4, "training and validation, each epoch"


def test_a_callback_can_stop_training(tiny_bert_dir: Path, tmp_path: Path) -> None:
    class Stop(TrainerCallback):
        def on_epoch_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            control.should_training_stop = True

    record = train(tiny_bert_dir, reduction(), DATA, tmp_path / "out", SHORT, callbacks=[Stop()], progress=False)
    assert max(entry["epoch"] for entry in record["history"]) == 1


def test_tensorboard_files_lie_beside_the_classifier(tiny_bert_dir: Path, tmp_path: Path) -> None:
    needed("tensorboard")
    train(tiny_bert_dir, reduction(), DATA, tmp_path / "out", SHORT, report_to=["tensorboard"], progress=False)
    assert list((tmp_path / "out.runs").rglob("events.out.tfevents.*"))
    assert not [path for path in (tmp_path / "out").rglob("*") if "tfevents" in path.name]


def test_one_tracker_by_its_name(tiny_bert_dir: Path, tmp_path: Path) -> None:
    """As transformers takes it, too."""
    needed("tensorboard")
    train(tiny_bert_dir, reduction(), DATA, tmp_path / "out", SHORT, report_to="tensorboard", progress=False)
    assert (tmp_path / "out.runs").is_dir()


def test_an_unknown_tracker(tiny_bert_dir: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"report_to=.*no-such-tracker"):
        train(tiny_bert_dir, reduction(), DATA, tmp_path / "out", SHORT, report_to=["no-such-tracker"], progress=False)
    assert not list(tmp_path.iterdir())


def test_a_tracker_that_is_not_installed(tiny_bert_dir: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"report_to=.*[Cc]omet"):
        train(tiny_bert_dir, reduction(), DATA, tmp_path / "out", SHORT, report_to=["comet_ml"], progress=False)
    assert not list(tmp_path.iterdir())
