"""Runs that cannot be: refused before anything is trained, and nothing left behind of one that was cut off."""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

import tokensieve
from tokensieve import ConfigError, DataError, TokensieveError, TokensieveForSequenceClassification
from tokensieve.data import DataSplits, Document
from tokensieve.training.train import train
from unit.training.keyword_documents import Train, labelled_documents


@pytest.fixture
def no_training(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("nothing may be trained here")

    monkeypatch.setattr("tokensieve.training.stages.fine_tune.run_trainer", refuse)


@pytest.mark.usefixtures("no_training")
@pytest.mark.parametrize("length", [65, 512])
def test_a_length_over_the_position_table(run: Train, tmp_path: Path, length: int) -> None:
    with pytest.raises(ConfigError, match=f"max_length={length}.*64"):
        run(max_length=length)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("no_training")
@pytest.mark.parametrize("length", [1, 2])
def test_a_length_without_room_for_text(run: Train, tmp_path: Path, length: int) -> None:
    with pytest.raises(ConfigError, match="max_length"):
        run(max_length=length)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("no_training")
def test_an_output_that_is_there(run: Train, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "file").write_text("mine")
    (tmp_path / "file").write_text("mine")
    for name in ("out", "file"):
        with pytest.raises(ConfigError, match=f"{name} exists.*overwrite"):
            run(output=tmp_path / name)
    assert (tmp_path / "out" / "file").read_text() == (tmp_path / "file").read_text() == "mine"


@pytest.mark.usefixtures("no_training")
def test_resume_and_overwrite(base: Path, splits: DataSplits, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"output .*out: --resume .*--overwrite"):
        train(base, tokensieve.ReductionConfig(), splits, tmp_path / "out", overwrite=True, resume=True)


@pytest.mark.usefixtures("no_training")
def test_an_output_in_no_folder(run: Train, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="absent does not exist"):
        run(output=tmp_path / "absent" / "out")


@pytest.mark.usefixtures("no_training")
def test_an_output_in_a_file(run: Train, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="file is a file, not a folder"):
        run(output=tmp_path / "file" / "out")


def test_an_empty_folder_is_filled(run: Train, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    run()
    assert (tmp_path / "out" / "model.safetensors").is_file()


@pytest.mark.usefixtures("no_training")
@pytest.mark.parametrize("name", [".", "../work", ".."])
def test_the_current_folder_is_refused(run: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Before the training, and not when all the work is done."""
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    with pytest.raises(ConfigError, match=f"output {re.escape(name)} holds the current folder"):
        run(output=Path(name))
    assert list(tmp_path.iterdir()) == [tmp_path / "work"]


def test_a_link_to_an_empty_folder_is_filled(run: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "target").mkdir()
    monkeypatch.chdir(tmp_path)
    Path("link").symlink_to(tmp_path / "target")
    run(output=Path("link"))
    assert (tmp_path / "target" / "model.safetensors").is_file()
    assert not list(tmp_path.rglob("*.part"))


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("error", [RuntimeError("disk"), KeyboardInterrupt()], ids=repr)
def test_a_run_cut_off_leaves_what_can_be_resumed(
    base: Path, splits: DataSplits, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, overwrite: bool
) -> None:
    """In the second epoch, when a checkpoint lies on the disk already."""
    calls = 0
    forward = TokensieveForSequenceClassification.forward

    def failing(self: Any, input_ids: torch.Tensor, **inputs: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == 6:
            assert list((tmp_path / "out.part" / "checkpoints").glob("checkpoint-*"))
            raise error
        return forward(self, input_ids, **inputs)

    failing.__wrapped__ = forward  # type: ignore[attr-defined]
    monkeypatch.setattr(TokensieveForSequenceClassification, "forward", failing)
    if overwrite:
        (tmp_path / "out").mkdir()
        (tmp_path / "out" / "training.json").write_text('{"versions": {"tokensieve": "0.1.0"}}')
    recipe = tokensieve.training.recipe.Recipe(epochs=3, batch_size=8, max_length=32)
    with pytest.raises(type(error)):
        train(base, tokensieve.ReductionConfig(), splits, tmp_path / "out", recipe, overwrite=overwrite)
    assert {path.name for path in tmp_path.iterdir()} == ({"out", "out.part"} if overwrite else {"out.part"})
    assert [path.name for path in (tmp_path / "out.part").iterdir()] == ["checkpoints"]
    if overwrite:
        assert [path.name for path in (tmp_path / "out").iterdir()] == ["training.json"]


@pytest.mark.parametrize("error", [RuntimeError("disk"), KeyboardInterrupt()], ids=repr)
def test_a_run_cut_off_before_a_checkpoint_leaves_nothing(
    run: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def failing(*_: Any, **__: Any) -> Any:
        raise error

    failing.__wrapped__ = TokensieveForSequenceClassification.forward  # type: ignore[attr-defined]
    monkeypatch.setattr(TokensieveForSequenceClassification, "forward", failing)
    with pytest.raises(type(error)):
        run()
    assert not list(tmp_path.iterdir())


@pytest.mark.usefixtures("no_training")
@pytest.mark.parametrize("name", ["..", "../..", "../data"])
def test_overwriting_is_for_classifiers(
    base: Path, splits: DataSplits, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """A slip in --output must not cost a user a folder of something else, such as the documents or all above."""
    for folder in ("data", "inner/here"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "data" / "train.csv").write_text("text,label")
    monkeypatch.chdir(tmp_path / "inner" / "here")
    output = tmp_path / "data" if name == "../data" else Path(name)
    recipe = tokensieve.training.recipe.Recipe(max_length=32)
    with pytest.raises(ConfigError, match="output"):
        train(base, tokensieve.ReductionConfig(), splits, output, recipe, overwrite=True)
    assert (tmp_path / "data" / "train.csv").exists()
    assert (tmp_path / "inner" / "here").is_dir()


def test_overwriting_leaves_nothing_of_the_old(base: Path, splits: DataSplits, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    for name in ("merges.txt", "config.json", "training.json"):
        (tmp_path / "out" / name).write_text('{"versions": {"tokensieve": "0.1.0"}}')
    (tmp_path / "out.part" / "checkpoints" / "checkpoint-3").mkdir(parents=True)
    (tmp_path / "out.part" / "checkpoints" / "run.json").write_text('{"settings": {}}')
    recipe = tokensieve.training.recipe.Recipe(epochs=1, max_length=32)
    train(base, tokensieve.ReductionConfig(), splits, tmp_path / "out", recipe, overwrite=True)
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert not (tmp_path / "out" / "merges.txt").exists()
    assert (tmp_path / "out" / "model.safetensors").is_file()


def test_a_training_that_diverges_is_an_error(run: Train, tmp_path: Path) -> None:
    """A classifier of NaNs answers the first label to everything, and its files are no JSON."""
    with pytest.raises(TokensieveError, match="learning_rate"):
        run(learning_rate=1e30, epochs=2)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("no_training")
def test_settings_that_do_not_fit_the_model(run: Train, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"combine\.layer=9"):
        run(settings={"combine_layer": 9})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("no_training")
def test_a_base_without_tokenizer(base: Path, splits: DataSplits, tmp_path: Path) -> None:
    """For BERT transformers then makes up a tokenizer that knows no word at all."""
    folder = shutil.copytree(base, tmp_path / "bare")
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (folder / name).unlink()
    recipe = tokensieve.training.recipe.Recipe(max_length=32)
    with pytest.raises(tokensieve.CheckpointError, match=r"bare.*tokenizer"):
        train(folder, tokensieve.ReductionConfig(), splits, tmp_path / "out", recipe)
    assert not (tmp_path / "out").exists()


@pytest.mark.usefixtures("no_training")
def test_a_base_whose_tokenizer_is_another_models(base: Path, splits: DataSplits, tmp_path: Path) -> None:
    folder = shutil.copytree(base, tmp_path / "mixed")
    record = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
    record["model"]["vocab"] |= {f"word{number}": 28 + number for number in range(50)}
    (folder / "tokenizer.json").write_text(json.dumps(record), encoding="utf-8")
    data = DataSplits((*splits.train, Document("word40", "film", "x", 1)), splits.validation)
    recipe = tokensieve.training.recipe.Recipe(max_length=32)
    with pytest.raises(TokensieveError, match=r"tokenizer.*28|28.*tokenizer"):
        train(folder, tokensieve.ReductionConfig(), data, tmp_path / "out", recipe)


@pytest.mark.usefixtures("no_training")
def test_a_label_of_validation_that_training_lacks(run: Train, splits: DataSplits, tmp_path: Path) -> None:
    data = DataSplits(splits.train, (Document("the", "unheard-of", "made up", 7),))
    with pytest.raises(DataError, match=r"made up, line 7.*unheard-of"):
        run(data)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("no_training")
def test_without_accelerate(run: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import importlib.util

    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *a: None if name == "accelerate" else found(name, *a))
    with pytest.raises(tokensieve.MissingExtraError, match=r"tokensieve\[train\]"):
        run(DataSplits(labelled_documents(6)))
    assert list(tmp_path.iterdir()) == []
