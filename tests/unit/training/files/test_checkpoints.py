"""An interrupted run goes on from its last whole checkpoint and ends where an uninterrupted one ends."""

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

import tokensieve
from flat import reduction
from tokensieve import ConfigError, DataError, Recipe, TokensieveForSequenceClassification
from tokensieve.data import DataSplits
from tokensieve.training.files import checkpoints
from tokensieve.training.train import train
from unit.training.keyword_documents import labelled_documents

RunFrom = Callable[..., dict[str, Any]]
DATA = DataSplits(labelled_documents(30), labelled_documents(12, seed=1))
"""Four steps of 8 an epoch, the last one of 6."""


class Cut(BaseException):
    """Stands for whatever ends a process."""


@pytest.fixture
def run(tiny_bert_dir: Path, tmp_path: Path) -> RunFrom:
    """Trains into tmp_path/`name`, with dropout and noise; `stop_at` ends it in that forward pass of training."""

    def start(name: str, stop_at: int | None = None, data: DataSplits = DATA, **options: Any) -> dict[str, Any]:
        own = {key: options.pop(key) for key in ("resume", "checkpoint_steps", "overwrite") if key in options}
        recipe = Recipe(**{"epochs": 3, "batch_size": 8, "max_length": 32, "learning_rate": 3e-3, "seed": 5} | options)
        torch.manual_seed(torch.seed() % 1000)  # whatever state the process is in
        with pytest.MonkeyPatch.context() as patch:
            if stop_at is not None:
                patch.setattr(TokensieveForSequenceClassification, "forward", _cut(stop_at))
            settings = reduction(combine_layer=3, combination_tokens=3, site="hidden", keep_ratio=0.8)
            return train(tiny_bert_dir, settings, data, tmp_path / name, recipe, progress=False, **own)

    return start


def _cut(stop_at: int) -> Any:
    calls, forward = 0, TokensieveForSequenceClassification.forward

    def counted(self: Any, *arguments: Any, **inputs: Any) -> Any:
        nonlocal calls
        calls += self.training
        if calls == stop_at and self.training:
            raise Cut
        return forward(self, *arguments, **inputs)

    counted.__wrapped__ = forward  # type: ignore[attr-defined]
    return counted


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "model.safetensors")


def same_end(tmp_path: Path, one: str, other: str) -> None:
    first, second = weights(tmp_path / one), weights(tmp_path / other)
    for name, weight in first.items():
        torch.testing.assert_close(second[name], weight, atol=1e-6, rtol=0, msg=name)
    records = [json.loads((tmp_path / name / "training.json").read_text()) for name in (one, other)]
    losses = [[entry["eval_loss"] for entry in record["history"] if "eval_loss" in entry] for record in records]
    assert losses[0] == pytest.approx(losses[1], abs=1e-6)
    assert records[0]["calibration"] == pytest.approx(records[1]["calibration"], abs=1e-5)


@pytest.mark.parametrize(("stop_at", "steps"), [(5, None), (7, None), (12, None), (2, 1), (9, 1), (7, 3), (12, 3)])
def test_the_end_is_the_same(run: RunFrom, tmp_path: Path, stop_at: int, steps: int | None) -> None:
    run("straight")
    with pytest.raises(Cut):
        run("cut", stop_at, checkpoint_steps=steps)
    found = checkpoints.last_complete(tmp_path / "cut.part" / "checkpoints")
    lost = (stop_at - 1) % 4 if steps is None else 0 if steps == 1 else min((stop_at - 1) % 3, (stop_at - 1) % 4)
    assert found is not None
    assert found.name == f"checkpoint-{stop_at - 1 - lost}", "more steps are lost than since the last checkpoint"
    record = run("cut", resume=True, checkpoint_steps=steps)
    assert record["resumed_from"] == found.name
    same_end(tmp_path, "straight", "cut")
    assert {path.name for path in tmp_path.iterdir()} == {"straight", "cut"}


@pytest.mark.parametrize(
    "recipe",
    [
        {"accumulation": 2},
        {"lora_rank": 2},
        {"gradient_checkpointing": True},
        {"class_weights": "balanced"},
        {"patience": 1},
        {"select": "accuracy"},
    ],
    ids=str,
)
def test_the_end_is_the_same_with(run: RunFrom, tmp_path: Path, recipe: dict[str, Any]) -> None:
    run("straight", **recipe)
    for stop_at in (3, 2):
        with pytest.raises(Cut):
            run("cut", stop_at, resume=True, checkpoint_steps=1, **recipe)
    run("cut", resume=True, checkpoint_steps=1, **recipe)
    same_end(tmp_path, "straight", "cut")


def test_without_validation(run: RunFrom, tmp_path: Path) -> None:
    data = DataSplits(DATA.train)
    run("straight", data=data)
    with pytest.raises(Cut):
        run("cut", 7, data=data)
    run("cut", data=data, resume=True)
    first, second = weights(tmp_path / "straight"), weights(tmp_path / "cut")
    assert all((first[name] - second[name]).abs().max() <= 1e-6 for name in first)


def cut_once(run: RunFrom, tmp_path: Path, stop_at: int = 11) -> Path:
    """A run of two whole checkpoints, 4 and 8; the folder that holds them."""
    with pytest.raises(Cut):
        run("cut", stop_at)
    return tmp_path / "cut.part" / "checkpoints"


def damage_by_removing(checkpoint: Path, name: str) -> None:
    (checkpoint / name).unlink()


def damage_by_cutting(checkpoint: Path, name: str) -> None:
    content = (checkpoint / name).read_bytes()
    (checkpoint / name).write_bytes(content[: len(content) // 2])


@pytest.mark.parametrize(
    "name", ["model.safetensors", "optimizer.pt", "rng_state.pth", "trainer_state.json", "whole.json"]
)
@pytest.mark.parametrize("damage", [damage_by_removing, damage_by_cutting])
def test_a_half_written_checkpoint_is_not_taken(run: RunFrom, tmp_path: Path, name: str, damage: Any) -> None:
    folder = cut_once(run, tmp_path)
    damage(folder / "checkpoint-8", name)
    assert checkpoints.last_complete(folder) == folder / "checkpoint-4"


def test_after_a_half_written_checkpoint_the_end_is_the_same(run: RunFrom, tmp_path: Path) -> None:
    run("straight")
    folder = cut_once(run, tmp_path)
    damage_by_cutting(folder / "checkpoint-8", "model.safetensors")
    shutil.copytree(folder / "checkpoint-4", folder / "checkpoint-12")
    (folder / "checkpoint-12" / "optimizer.pt").unlink()
    assert run("cut", resume=True)["resumed_from"] == "checkpoint-4"
    same_end(tmp_path, "straight", "cut")


def test_without_a_whole_checkpoint_it_begins_at_the_beginning(run: RunFrom, tmp_path: Path) -> None:
    run("straight")
    folder = cut_once(run, tmp_path)
    for checkpoint in folder.glob("checkpoint-*"):
        (checkpoint / "whole.json").unlink()
    assert run("cut", resume=True)["resumed_from"] is None
    same_end(tmp_path, "straight", "cut")


def test_nothing_to_resume_is_a_beginning(run: RunFrom, tmp_path: Path) -> None:
    run("straight")
    assert run("other", resume=True)["resumed_from"] is None
    same_end(tmp_path, "straight", "other")


def test_an_interrupted_run_is_not_lost_by_oversight(run: RunFrom, tmp_path: Path) -> None:
    cut_once(run, tmp_path)
    with pytest.raises(ConfigError, match=r"--resume.*--overwrite"):
        run("cut")
    run("cut", overwrite=True)
    assert [path.name for path in tmp_path.iterdir()] == ["cut"]


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"learning_rate": 1e-3}, "recipe is .*0.001.*0.003"),
        ({"epochs": 4}, "recipe is .*epochs"),
        ({"data": DataSplits(DATA.train[:-1], DATA.validation)}, "the documents"),
        (
            {"data": DataSplits(DATA.train[::-1], DATA.validation)},
            r"run\.json: the documents, their order.*--overwrite",
        ),
    ],
)
def test_another_run_is_refused(run: RunFrom, tmp_path: Path, change: dict[str, Any], named: str) -> None:
    folder = cut_once(run, tmp_path)
    with pytest.raises(ConfigError, match=named):
        run("cut", resume=True, **change)
    assert checkpoints.last_complete(folder) is not None, "a refused resume must not cost the run"


def test_a_run_of_before_a_field_came_to_the_recipe_is_resumed(tmp_path: Path) -> None:
    now: dict[str, Any] = {"recipe": Recipe(epochs=3).to_dict(), "unlabelled_digest": None}
    recipe = {name: value for name, value in now["recipe"].items() if name != "max_expected_loss"}
    checkpoints.write_run(tmp_path, {"recipe": recipe})
    checkpoints.check_run(tmp_path / checkpoints.RUN, now)
    with pytest.raises(ConfigError, match=r'recipe is \{"max_expected_loss": 0.5\} where'):
        checkpoints.check_run(tmp_path / checkpoints.RUN, {"recipe": Recipe(epochs=3, max_expected_loss=0.5).to_dict()})
    with pytest.raises(ConfigError, match="the documents without labels, or their order, differ from those"):
        checkpoints.check_run(tmp_path / checkpoints.RUN, now | {"unlabelled_digest": "another"})


def test_a_run_cut_off_while_it_is_put_in_its_place(run: RunFrom, tmp_path: Path) -> None:
    run("straight")
    run("cut")
    (tmp_path / "cut").rename(tmp_path / "cut.part")
    with pytest.raises(ConfigError, match="--resume"):
        run("cut")
    with pytest.raises(ConfigError, match="recipe"):
        run("cut", resume=True, epochs=1)
    run("cut", resume=True)
    same_end(tmp_path, "straight", "cut")


@pytest.fixture
def scripted_losses(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Validation that gets worse from the second epoch on."""
    import tokensieve.training.loop.trainer as module

    original = module.TokensieveTrainer.evaluation_loop

    def worse(self: Any, *arguments: Any, **options: Any) -> Any:
        output = original(self, *arguments, **options)
        if output.metrics and "eval_loss" in output.metrics:
            output.metrics["eval_loss"] += int(self.state.epoch)
        return output

    monkeypatch.setattr(module.TokensieveTrainer, "evaluation_loop", worse)
    yield


def cut_at_the_end(run: RunFrom, tmp_path: Path, name: str = "moved", **recipe: Any) -> Path:
    """A run whose first epoch was the best, cut off before it was saved; its folder of checkpoints, moved."""
    with pytest.MonkeyPatch.context() as patch, pytest.raises(Cut):
        patch.setattr("tokensieve.training.train.save_classifier", lambda *_: (_ for _ in ()).throw(Cut()))
        run("cut", **recipe)
    return (tmp_path / "cut.part").rename(tmp_path / f"{name}.part") / "checkpoints"


@pytest.mark.usefixtures("scripted_losses")
def test_a_run_that_was_over_trains_no_further(run: RunFrom, tmp_path: Path) -> None:
    """Cut off after patience had run out, before it was saved."""
    run("straight", epochs=6, patience=1)
    cut_at_the_end(run, tmp_path, "cut", epochs=6, patience=1)
    record = run("cut", epochs=6, patience=1, resume=True, stop_at=1)
    assert record["best"]["epoch"] == 1
    same_end(tmp_path, "straight", "cut")


@pytest.mark.usefixtures("scripted_losses")
@pytest.mark.parametrize("recipe", [{}, {"patience": 1}, {"lora_rank": 2}], ids=str)
def test_a_folder_that_was_moved_keeps_its_best_epoch(run: RunFrom, tmp_path: Path, recipe: dict[str, Any]) -> None:
    run("straight", **recipe)
    cut_at_the_end(run, tmp_path, **recipe)
    record = run("moved", resume=True, stop_at=1, **recipe)
    assert record["best"]["epoch"] == 1
    same_end(tmp_path, "straight", "moved")


@pytest.mark.usefixtures("scripted_losses")
def test_a_folder_that_was_copied_leaves_the_other_alone(run: RunFrom, tmp_path: Path) -> None:
    moved = cut_at_the_end(run, tmp_path)
    shutil.copytree(tmp_path / "moved.part", tmp_path / "cut.part")
    (tmp_path / "cut.part" / "checkpoints" / "checkpoint-4" / "model.safetensors").write_bytes(b"another run's")
    checkpoints.find_best(moved / "checkpoint-12")
    state = json.loads((moved / "checkpoint-12" / "trainer_state.json").read_text(encoding="utf-8"))
    assert state["best_model_checkpoint"] == str(moved / "checkpoint-4")
    assert checkpoints.last_complete(moved) == moved / "checkpoint-12"
    before = (moved / "checkpoint-12" / "trainer_state.json").stat()
    checkpoints.find_best(moved / "checkpoint-12")
    assert (moved / "checkpoint-12" / "trainer_state.json").stat() == before, "rewritten without need"


@pytest.mark.usefixtures("scripted_losses")
@pytest.mark.parametrize("writes", [0, 1, 2])
def test_a_kill_while_the_best_is_found_costs_nothing(run: RunFrom, tmp_path: Path, writes: int) -> None:
    run("straight")
    moved, write, left = cut_at_the_end(run, tmp_path), checkpoints.write_json, [None] * writes

    def killed(path: Path, record: Any) -> None:
        if not left:
            raise Cut
        left.pop()
        write(path, record)

    with pytest.MonkeyPatch.context() as patch, pytest.raises(Cut):
        patch.setattr(checkpoints, "write_json", killed)
        checkpoints.find_best(moved / "checkpoint-12")
    assert checkpoints.last_complete(moved) == moved / "checkpoint-12"
    run("moved", resume=True, stop_at=1)
    same_end(tmp_path, "straight", "moved")


@pytest.mark.usefixtures("scripted_losses")
def test_without_its_best_epoch_a_run_is_refused(run: RunFrom, tmp_path: Path) -> None:
    moved = cut_at_the_end(run, tmp_path)
    damage_by_cutting(moved / "checkpoint-4", "model.safetensors")
    with pytest.raises(DataError, match=r"moved\.part.*checkpoint-4: .*--overwrite"):
        run("moved", resume=True)
    assert {"checkpoint-4", "checkpoint-12"} <= {path.name for path in moved.iterdir()}, "a refusal must cost nothing"


def test_the_finished_folder_holds_nothing_of_it(run: RunFrom, tmp_path: Path) -> None:
    cut_once(run, tmp_path)
    run("cut", resume=True)
    kinds = {path.suffix for path in (tmp_path / "cut").iterdir()}
    assert kinds <= {".safetensors", ".json", ".txt", ".md"}, "no pickle in what is published, and no folder"
    assert tokensieve.load(tmp_path / "cut", device="cpu").predict(["law"])


def test_settings_that_came_later_are_at_their_defaults(run: RunFrom, tmp_path: Path) -> None:
    """A run of an older version, whose settings lack one, is the same run."""
    run("out", epochs=1)
    note = tmp_path / "out" / "training.json"
    record = json.loads(note.read_text(encoding="utf-8"))
    del record["settings"]["defer"]
    note.write_text(json.dumps(record), encoding="utf-8")
    checkpoints.check_run(note, {"settings": record["settings"] | {"defer": None}})
    with pytest.raises(ConfigError, match=r'settings is \{"defer": \{"share": 0.5'):
        checkpoints.check_run(note, {"settings": record["settings"] | {"defer": {"share": 0.5}}})
    record["settings"]["site"] = "elsewhere"
    note.write_text(json.dumps(record), encoding="utf-8")
    with pytest.raises(DataError, match=r"its settings cannot be read.*start anew with --overwrite"):
        checkpoints.check_run(note, {"settings": record["settings"]})


def test_a_name_of_bytes_that_are_no_text(tmp_path: Path) -> None:
    """The name of a file may hold any bytes; Python has them as halves of surrogate pairs."""
    name = b"caf\xe9.csv".decode("utf-8", "surrogateescape")
    checkpoints.write_json(tmp_path / "run.json", {"data": name, "label": "caf\u00e9"})
    assert json.loads((tmp_path / "run.json").read_text(encoding="utf-8")) == {"data": name, "label": "caf\u00e9"}
