"""The folder that training makes never costs the user a file that tokensieve did not write."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tokensieve.errors import ConfigError, OperatingSystemError
from tokensieve.training.files.output import check_output, folder_in_the_making

Make = Callable[..., Path]
OURS = json.dumps({"versions": {"tokensieve": "0.1.0"}})


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """A folder with files of the given contents."""

    def folder(name: str, **files: str) -> Path:
        for file, text in files.items():
            path = tmp_path / name / file.replace("__", "/").replace("_json", ".json").replace("_txt", ".txt")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return tmp_path / name

    return folder


def write(output: Path) -> None:
    with folder_in_the_making(output) as part:
        (part / "training.json").write_text(OURS)


@pytest.mark.parametrize("neighbour", ["clf.old", ".clf.old", "clf.replaced", "clf.tmp", "clf.bak", "clf.new"])
@pytest.mark.parametrize("there", [False, True], ids=["new", "overwritten"])
def test_neighbours_are_left_alone(make: Make, tmp_path: Path, neighbour: str, there: bool) -> None:
    make(neighbour, notes_txt="n")
    if there:
        make("clf", training_json=OURS)
    check_output(tmp_path / "clf", overwrite=there)
    write(tmp_path / "clf")
    assert contents(tmp_path) == {f"{neighbour}/notes.txt": b"n", "clf/training.json": OURS.encode()}
    assert {path.name for path in tmp_path.iterdir()} == {neighbour, "clf"}


@pytest.mark.parametrize(
    "files",
    [
        {"notes_txt": "n"},
        {"training_json": '{"my": "own"}', "config_json": "{}"},
        {"training_json": "broken"},
        {"checkpoints__notes_txt": "n"},
        {"checkpoints__run_json": '{"my": "own"}'},
        {"checkpoints__run_json": '{"settings": {}}', "notes_txt": "n"},
        {"checkpoints__run_json": '{"settings": {}}', "checkpoints__notes_txt": "n"},
        {"checkpoints__run_json": '{"settings": {}}', "checkpoints__photos__notes_txt": "n"},
        {"training_json": OURS, "photos__notes_txt": "n"},
    ],
    ids=str,
)
@pytest.mark.parametrize("ways", [{"overwrite": False}, {"overwrite": True}, {"overwrite": False, "resume": True}])
def test_a_part_of_the_users_is_refused(make: Make, files: dict[str, str], ways: dict[str, bool]) -> None:
    part = make("clf.part", **files)
    before = contents(part)
    with pytest.raises(ConfigError, match=r"clf\.part.*(move|name)"):
        check_output(part.with_name("clf"), **ways)
    with pytest.raises(ConfigError, match=r"clf\.part"):
        write(part.with_name("clf"))
    assert contents(part) == before


def test_a_part_that_is_a_link_is_refused(make: Make, tmp_path: Path) -> None:
    """It was followed, and what it names was removed."""
    (tmp_path / "clf.part").symlink_to(make("photos", training_json=OURS))
    with pytest.raises(ConfigError, match=r"clf\.part is in the way"):
        write(tmp_path / "clf")
    assert contents(tmp_path / "photos")


@pytest.mark.parametrize("name", ["notes_txt", "data__train_txt", "model_old_txt"])
def test_a_file_of_the_users_within_a_classifier_is_not_overwritten(make: Make, name: str) -> None:
    folder = make("clf", training_json=OURS, config_json="{}", **{name: "n"})
    before = contents(folder)
    with pytest.raises(ConfigError, match=r"which tokensieve did not write, and is not overwritten: move that"):
        check_output(folder, overwrite=True)
    assert contents(folder) == before


def test_an_estimators_folder_is_ours(make: Make) -> None:
    names = {"training_json": OURS, "estimator_json": "{}", "tokenizer_config_json": "{}", "vocab_txt": "a"}
    check_output(make("clf", **names), overwrite=True)


def test_a_folder_that_cannot_be_replaced_leaves_both(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """Cut short between the two renames, the old classifier and the new one are both on the disk."""
    folder = make("clf", training_json=OURS, config_json="{}")
    rename = Path.rename

    def killed(self: Path, target: Path) -> Path:
        if self.name == "clf.part":
            raise KeyboardInterrupt
        return rename(self, target)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Path, "rename", killed)
        write(folder)
    assert (folder.with_name("clf.part") / "training.json").is_file()
    assert len(list(folder.parent.glob(".clf.*.replaced/clf/config.json"))) == 1


def test_a_full_disk_is_one_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As safetensors, tokenizers and torch tell of it; each names neither the place nor a remedy."""
    from safetensors import SafetensorError

    told = "Error while serializing: I/O error: No space left on device (os error 28)"
    torch_says = (
        "[enforce fail at inline_container.cc:672] . unexpected pos 64 vs 0; PytorchStreamWriter failed writing"
    )
    for error in (SafetensorError(told), Exception(told), RuntimeError(torch_says), OSError(28, "No space left")):
        with (
            pytest.raises(OperatingSystemError, match=r"clf\.part: No space left on device; free some space"),
            folder_in_the_making(tmp_path / "clf"),
        ):
            raise error
        assert not list(tmp_path.iterdir())
    with pytest.raises(OperatingSystemError), folder_in_the_making(tmp_path / "clf"):
        raise MemoryError
    with pytest.raises(ValueError, match="another"), folder_in_the_making(tmp_path / "clf"):
        raise ValueError("another")
    shutil.rmtree(tmp_path)
    with pytest.raises(OperatingSystemError, match=r"No such file.*may have been moved"):
        write(tmp_path / "clf")


def test_an_output_that_links_to_itself_is_one_error(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to("loop")
    for output in (tmp_path / "loop", tmp_path / "loop" / "clf"):
        with pytest.raises(OperatingSystemError, match=r"Too many levels of symbolic links; .*correct it"):
            check_output(output, overwrite=False)


def test_two_runs_do_not_share_a_folder(make: Make, tmp_path: Path) -> None:
    """The second one deleted what the first had written so far, and both told of success."""
    pytest.importorskip("fcntl")
    with folder_in_the_making(tmp_path / "clf") as part:
        (part / "training.json").write_text(OURS)
        with (
            pytest.raises(ConfigError, match=r"clf\.part is being written by another run: wait .*another output"),
            folder_in_the_making(tmp_path / "clf"),
        ):
            pass
        assert contents(part) == {"training.json": OURS.encode()}
    assert contents(tmp_path / "clf") == {"training.json": OURS.encode()}
    write(tmp_path / "clf")


def test_what_a_run_has_left_is_no_part_of_the_next(make: Make) -> None:
    part = make("clf.part", training_json=OURS, config_json="{}", checkpoints__run_json='{"settings": {}}')
    write(part.with_name("clf"))
    assert contents(part.parent) == {"clf/training.json": OURS.encode()}


@pytest.mark.parametrize("inside", ["", "checkpoints/checkpoint-1"])
def test_a_model_that_lies_in_the_work_in_progress_is_not_removed(make: Make, tmp_path: Path, inside: str) -> None:
    """It was deleted, and then not found."""
    part = make("clf.part", training_json=OURS, **{"checkpoints__checkpoint-1__config_json": "{}"})
    before = contents(part)
    (tmp_path / "link").symlink_to(part / inside)
    for source in (part / inside, tmp_path / "link"):
        with pytest.raises(ConfigError, match=r"model .* lies in .*clf\.part.*: move it, or name another output"):
            check_output(tmp_path / "clf", True, False, (None, source))
    check_output(tmp_path / "clf", True, False, (None, "a-hub-name", tmp_path / "clf.dense", tmp_path))
    assert contents(part) == before
