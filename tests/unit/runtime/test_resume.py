"""Part files that a later run resumes: at whatever step a run dies, the finished file is that of one which did not."""

import gzip
import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tokensieve import ConfigError
from tokensieve.data import Document
from tokensieve.runtime.classifier import Classifier
from tokensieve.runtime.predict import OutputFormat, write_resumable
from tokensieve.runtime.resume import ResumablePart, read_state, resumable_part

WINDOW = 7
PRINT = {"the input": "sha256 0", "--tokens": True}  # a fingerprint as good as any other
Run = Callable[..., ResumablePart]


@pytest.fixture
def run(classifier: Classifier, some_texts: list[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """`run(path, resume=..., stop=n)` predicts the 40 texts, 7 a window, and fails when it comes to the n-th."""
    monkeypatch.setattr("tokensieve.runtime.windows._WINDOW_DOCUMENTS", WINDOW)

    def documents(stop: int | None) -> Iterator[Document]:
        for number, text in enumerate(some_texts):
            if number == stop:
                raise RuntimeError("the disk came off")
            yield Document(text, None, "here", number + 1)

    def predict(path: Path, *, resume: bool = False, stop: int | None = None) -> ResumablePart:
        kind: OutputFormat = "csv" if ".csv" in path.name else "jsonl"
        classifier.engine.truncated = 0
        with resumable_part(path, PRINT, resume=resume) as part:
            write_resumable(classifier, documents(stop), part, kind, tokens=True)
        return part

    return predict


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture
def snapshots(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Copies of the folder `at-work` as a kill would leave it: before and after every step that reaches the disk."""
    taken: list[Path] = []

    def watch(name: str) -> None:
        step = getattr(os, name)

        def watched(*args: Any) -> None:
            for act in (lambda: None, lambda: step(*args)):
                act()
                taken.append(tmp_path / f"killed-{len(taken)}")
                shutil.copytree(tmp_path / "at-work", taken[-1])

        monkeypatch.setattr(f"tokensieve.runtime.part.os.{name}", watched)

    (tmp_path / "at-work").mkdir()
    for name in ("fsync", "replace"):
        watch(name)
    return taken


@pytest.mark.parametrize("name", ["a.jsonl", "a.jsonl.gz", "a.csv", "a.csv.gz"])
def test_killed_at_every_step(run: Run, tmp_path: Path, snapshots: list[Path], name: str) -> None:
    whole = run(tmp_path / "at-work" / name).state
    expected = (tmp_path / "at-work" / name).read_bytes()
    killed, done = list(snapshots), set()
    assert len(killed) == 2 * (2 + 3 * 6 + 1), (
        "a first state; six windows: part and state to disk, the state in place; the name at the end"
    )
    for folder in killed:
        part = folder / f"{name}.part"
        if not part.exists():
            assert (folder / name).read_bytes() == expected, "it had its name already"
            continue
        state = read_state(part)
        done.add(state.documents if state is not None else 0)
        with open(part, "ab") as file:
            file.write(b'{"line": 3')  # half a record of the next commit
        assert run(folder / name, resume=True).state == whole
        assert (folder / name).read_bytes() == expected
        assert names(folder) == [name]
    assert done == {0, 7, 14, 21, 28, 35, 40}


def test_what_is_done_is_not_done_again(run: Run, tmp_path: Path, classifier: Classifier) -> None:
    with pytest.raises(RuntimeError):
        run(tmp_path / "a.csv", stop=30)
    seen = 0

    def note(_: Any, inputs: tuple[Any, ...], output: Any) -> None:
        nonlocal seen
        seen += len(output[0])

    hook = classifier.model.head.register_forward_hook(note)
    state = run(tmp_path / "a.csv", resume=True).state
    hook.remove()
    assert (state.documents, seen) == (40, 40 - 28)


@pytest.mark.parametrize("name", ["a.csv", "a.jsonl.gz"])
@pytest.mark.parametrize("stops", [(8,), (7, 8, 15, 39), (30, 3, 39)])
def test_errors_on_the_way(run: Run, tmp_path: Path, name: str, stops: tuple[int, ...]) -> None:
    whole = run(tmp_path / name).state
    expected = (tmp_path / name).read_bytes()
    for stop in stops:
        with pytest.raises(RuntimeError):
            run(tmp_path / name, resume=True, stop=stop)
        assert (tmp_path / name).read_bytes() == expected, "that of the run before"
        assert names(tmp_path) == [name, f"{name}.part", f"{name}.part.json"]
    assert run(tmp_path / name, resume=True).state == whole
    assert whole.truncated > 0
    assert (tmp_path / name).read_bytes() == expected
    assert names(tmp_path) == [name]


def test_commits_of_gzip_are_one_file(run: Run, tmp_path: Path) -> None:
    run(tmp_path / "a.csv.gz")
    run(tmp_path / "a.csv")
    assert gzip.decompress((tmp_path / "a.csv.gz").read_bytes()) == (tmp_path / "a.csv").read_bytes()


@pytest.mark.parametrize("resume", [False, True])
def test_an_error_before_the_first_commit_leaves_nothing(run: Run, tmp_path: Path, resume: bool) -> None:
    (tmp_path / "a.csv").write_text("earlier")
    with pytest.raises(RuntimeError):
        run(tmp_path / "a.csv", resume=resume, stop=5)
    assert names(tmp_path) == ["a.csv"]
    assert (tmp_path / "a.csv").read_text() == "earlier"


def test_what_is_kept_is_told(run: Run, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for stop, documents in ((10, "7"), (25, "21")):
        caplog.clear()
        with pytest.raises(RuntimeError):
            run(tmp_path / "a.csv", resume=True, stop=stop)
        (*_, record) = caplog.records
        assert record.levelname == "WARNING"
        assert all(word in record.getMessage() for word in ("a.csv.part", f"{documents} documents", "--resume"))


def test_nothing_to_resume_is_told(run: Run, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    run(tmp_path / "a.csv", resume=True)
    (record,) = caplog.records
    assert record.levelname == "WARNING"
    assert "a.csv: starting from the beginning" in record.getMessage()


@pytest.fixture
def left(run: Run, tmp_path: Path) -> Path:
    """A part of 28 documents with its state."""
    with pytest.raises(RuntimeError):
        run(tmp_path / "a.csv", stop=30)
    return tmp_path / "a.csv.part"


def test_the_state_counts_whole_records(left: Path) -> None:
    state = read_state(left)
    assert state is not None
    assert (state.documents, state.size, state.fingerprint) == (28, left.stat().st_size, PRINT)
    assert len(left.read_text().splitlines()) == 29  # and the header


@pytest.mark.parametrize(
    "break_it",
    [
        lambda part, state: state.write_text(json.dumps(json.loads(state.read_text()) | {"size": None})),
        lambda part, state: state.write_text(json.dumps(json.loads(state.read_text()) | {"documents": 0})),
        lambda part, state: state.write_text(json.dumps(json.loads(state.read_text()) | {"batch_tokens": 0})),
        lambda part, state: state.write_text(json.dumps(json.loads(state.read_text()) | {"size": 1.5})),
        lambda part, state: state.write_text(json.dumps(json.loads(state.read_text()) | {"documents": True})),
        lambda part, state: state.write_text(json.dumps(json.loads(state.read_text()) | {"batch_tokens": "auto"})),
        lambda part, state: state.write_text(json.dumps(json.loads(state.read_text()) | {"of a later version": 1})),
        lambda part, state: os.truncate(part, part.stat().st_size - 1),
        lambda part, state: part.unlink(),
    ],
)
def test_a_part_whose_state_does_not_fit_is_replaced(run: Run, left: Path, break_it: Any) -> None:
    break_it(left, left.with_name("a.csv.part.json"))
    assert read_state(left) is None
    with pytest.raises(RuntimeError):
        run(left.with_name("a.csv"), resume=True, stop=10)
    assert len(left.read_text().splitlines()) == 8, "one window, and nothing of what was there"
    run(left.with_name("a.csv"), resume=True)
    assert names(left.parent) == ["a.csv"]


@pytest.mark.parametrize(
    "break_it",
    [
        lambda part, state: state.unlink(),
        lambda part, state: state.write_text(state.read_text()[:-9]),
        lambda part, state: state.write_text("[]"),
        lambda part, state: (part.unlink(), state.write_text('{"my": "own"}')),
        lambda part, state: (part.unlink(), part.mkdir()),
        lambda part, state: (part.rename(part.with_name("mine")), part.symlink_to("mine")),
    ],
)
@pytest.mark.parametrize("resume", [False, True])
def test_a_part_without_a_state_of_ours_is_refused(run: Run, left: Path, break_it: Any, resume: bool) -> None:
    """It may be a file of the user's that happens to have this name."""
    break_it(left, left.with_name("a.csv.part.json"))
    before = {path: path.read_bytes() for path in left.parent.iterdir() if path.is_file()}
    with pytest.raises(ConfigError, match=r"a\.csv\.part\S* is in the way.*move it, or name another"):
        run(left.with_name("a.csv"), resume=resume)
    assert {path: path.read_bytes() for path in left.parent.iterdir() if path.is_file()} == before


@pytest.mark.parametrize(
    ("fingerprint", "told"),
    [
        (PRINT | {"the input": "sha256 1"}, ["the input"]),
        (PRINT | {"--tokens": False}, ["--tokens (then True, now False)"]),
        ({"the input": "sha256 0"}, ["--tokens (then True, now None)"]),
        (PRINT | {"--dtype": "float16"}, ["--dtype (then None, now float16)"]),
        ({"the input": "x", "--tokens": 3}, ["the input; --tokens (then True, now 3)"]),
    ],
)
def test_what_has_changed_is_named_and_nothing_touched(
    left: Path, fingerprint: dict[str, Any], told: list[str]
) -> None:
    before = {path.name: path.read_bytes() for path in left.parent.iterdir()}
    with (
        pytest.raises(ConfigError, match="--restart") as caught,
        resumable_part(left.with_name("a.csv"), fingerprint, resume=True),
    ):
        pytest.fail("refuse it before anything is written")
    assert all(text in str(caught.value) for text in told)
    assert str(caught.value).count("(then") == sum("(then" in text for text in told)
    assert {path.name: path.read_bytes() for path in left.parent.iterdir()} == before


def test_without_resume_a_run_starts_from_the_beginning(run: Run, left: Path) -> None:
    with pytest.raises(RuntimeError):
        run(left.with_name("a.csv"), stop=3)
    assert not list(left.parent.iterdir()), "what was there was thrown away, and nothing has come in its place"


def test_a_state_never_stands_beside_a_part_of_another_run(
    run: Run, left: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once that part has grown, it would be taken for its own."""
    replace, seen = os.replace, []

    def watched(new: str, name: Path) -> None:
        replace(new, name)
        seen.append((json.loads(left.with_name("a.csv.part.json").read_text())["documents"], left.stat().st_size > 0))

    monkeypatch.setattr("tokensieve.runtime.part.os.replace", watched)
    with pytest.raises(RuntimeError):
        run(left.with_name("a.csv"), stop=8)
    assert seen == [(0, True), (7, True)], "the state is renewed before the part is emptied"


def test_two_runs_do_not_write_one_part(run: Run, tmp_path: Path) -> None:
    pytest.importorskip("fcntl")
    with resumable_part(tmp_path / "a.csv", PRINT, resume=False) as first:
        first.records.write("first\n")
        first.commit(1, 0)
        for resume in (False, True):
            with pytest.raises(ConfigError, match=r"a\.csv\.part is being written by another run"):
                run(tmp_path / "a.csv", resume=resume)
        first.records.write("second\n")
        first.commit(2, 0)
    assert (tmp_path / "a.csv").read_text() == "first\nsecond\n"
    assert names(tmp_path) == ["a.csv"]


def test_a_run_that_ends_as_we_begin(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its part, which we have opened, has its name by the time that we get the lock; it must not lose its records."""
    fcntl = pytest.importorskip("fcntl")
    (tmp_path / "a.csv.part").write_text("whole\n")
    (tmp_path / "a.csv.part.json").write_text(json.dumps({"fingerprint": {}, "documents": 1, "size": 6}))

    def too_late(*_: Any) -> None:
        (tmp_path / "a.csv.part").rename(tmp_path / "a.csv")
        (tmp_path / "a.csv.part").touch()  # of a third run

    monkeypatch.setattr(fcntl, "flock", too_late)
    with pytest.raises(ConfigError, match="another run"):
        run(tmp_path / "a.csv")
    assert (tmp_path / "a.csv").read_text() == "whole\n"


def test_a_link_stays_one(run: Run, tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "a.csv").symlink_to(tmp_path / "there" / "b.csv")
    with pytest.raises(RuntimeError):
        run(tmp_path / "a.csv", stop=8)
    assert names(tmp_path / "there") == ["b.csv.part", "b.csv.part.json"]
    run(tmp_path / "a.csv", resume=True)
    assert (tmp_path / "a.csv").is_symlink()
    assert names(tmp_path / "there") == ["b.csv"]


@pytest.mark.parametrize("name", ["absent/a.csv", ".", "file/a.csv"])
def test_places_that_are_none(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="folder"), resumable_part(tmp_path / name, PRINT, resume=False):
        pytest.fail("there is no place for it")
