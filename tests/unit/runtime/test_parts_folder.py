"""A folder of parts: claimed by one run, complete parts are never written again, nothing of others is touched."""

import json
import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tokensieve.data.documents import Document
from tokensieve.errors import ConfigError
from tokensieve.runtime.classifier import Classifier
from tokensieve.runtime.parts_folder import MANIFEST, Manifest, PartsFolder, read_manifest

RUN = {"the model": "sha256 1", "--tokens": False}


def documents(count: int, start: int = 1) -> list[Document]:
    return [Document("a good film", None, "here", start + number) for number in range(count)]


def listing(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture
def folder(tmp_path: Path) -> PartsFolder:
    return PartsFolder(tmp_path / "out", "jsonl")


def test_the_first_claim_stays(folder: PartsFolder) -> None:
    assert folder.claim(RUN) == Manifest(RUN, "jsonl")
    assert folder.claim(RUN) == Manifest(RUN, "jsonl")
    assert listing(folder.path) == [MANIFEST]
    with pytest.raises(ConfigError, match=r"another run.*the model; --tokens \(then False, now True\)"):
        folder.claim({"the model": "sha256 2", "--tokens": True})
    assert read_manifest(folder.path).fingerprint == RUN


def _claim(path: str, number: int) -> bool:
    try:
        PartsFolder(Path(path), "jsonl").claim({"number": number})
    except ConfigError:
        return False
    return True


def test_of_many_that_claim_at_once_one_wins(tmp_path: Path) -> None:
    """Jobs of an array start together."""
    with ProcessPoolExecutor(4, mp_context=multiprocessing.get_context("spawn")) as pool:
        for number in range(10):
            place = str(tmp_path / str(number))
            won = list(pool.map(_claim, [place] * 8, range(8)))
            winner = read_manifest(Path(place)).fingerprint["number"]
            assert won == [index == winner for index in range(8)]
            assert listing(Path(place)) == [MANIFEST]


def test_a_complete_part_is_never_written_again(folder: PartsFolder, classifier: Classifier) -> None:
    folder.claim(RUN)
    folder.write(3, classifier, documents(5))
    place = folder.place(3)
    assert place.name == "part-000003.jsonl"
    assert [json.loads(line)["line"] for line in place.read_text().splitlines()] == [1, 2, 3, 4, 5]
    before = place.stat().st_mtime_ns
    folder.write(3, classifier, documents(2))
    assert place.stat().st_mtime_ns == before
    assert folder.missing(5) == [0, 1, 2, 4]
    assert listing(folder.path) == [MANIFEST, place.name]


def test_what_a_killed_process_left_is_taken_over(folder: PartsFolder, classifier: Classifier) -> None:
    folder.claim(RUN)
    (folder.path / "part-000000.jsonl.part").write_text('{"line": 1, "la')
    state = {"fingerprint": {}, "documents": 0, "size": 0}
    (folder.path / "part-000000.jsonl.part.json").write_text(json.dumps(state))
    folder.write(0, classifier, documents(2))
    assert len(folder.place(0).read_text().splitlines()) == 2
    assert listing(folder.path) == [MANIFEST, "part-000000.jsonl"]


@pytest.mark.parametrize("name", ["part-000000.jsonl", "part-000000.jsonl.part"])
def test_a_file_of_somebody_else_stays(folder: PartsFolder, classifier: Classifier, name: str) -> None:
    folder.claim(RUN)
    (folder.path / name).write_text("my own notes\n")
    with pytest.raises(ConfigError, match=f"{name}.* tokensieve"):
        folder.write(0, classifier, documents(2))
    assert (folder.path / name).read_text() == "my own notes\n"


def test_an_empty_file_is_no_part(folder: PartsFolder, classifier: Classifier) -> None:
    folder.claim(RUN)
    folder.place(0).touch()
    assert not folder.has(0)
    folder.write(0, classifier, documents(2))
    assert folder.has(0)


def test_a_folder_of_somebody_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(ConfigError, match=r"not empty and has no manifest\.json \(it has 'notes\.txt'\)"):
        PartsFolder(tmp_path, "jsonl").claim(RUN)
    assert listing(tmp_path) == ["notes.txt"]


@pytest.mark.parametrize("text", ["{}", "[1]", "not JSON", '{"fingerprint": {}, "format": "xml"}'])
def test_a_manifest_of_somebody_else_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / MANIFEST).write_text(text)
    with pytest.raises(ConfigError, match="no manifest of tokensieve"):
        PartsFolder(tmp_path, "jsonl").claim(RUN)
    assert (tmp_path / MANIFEST).read_text() == text


@pytest.mark.parametrize("changes", [{"parts": -1, "documents": 3}, {"parts": 2}, {"parts": "2", "documents": "3"}])
def test_counts_that_cannot_be(tmp_path: Path, changes: dict[str, Any]) -> None:
    (tmp_path / MANIFEST).write_text(json.dumps({"fingerprint": RUN, "format": "jsonl", **changes}))
    with pytest.raises(ConfigError, match="no manifest of tokensieve"):
        read_manifest(tmp_path)


@pytest.mark.parametrize("name", ["absent/out", "file"])
def test_places_that_are_none(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").write_text("a file")
    with pytest.raises(ConfigError, match="give a folder, existing or not"):
        PartsFolder(tmp_path / name, "jsonl").claim(RUN)


def test_counts_are_written_at_the_end(folder: PartsFolder) -> None:
    folder.claim(RUN)
    folder.finish(done := Manifest(RUN, "jsonl", 7, 28_000, {"read": 28_000}))
    assert folder.claim(RUN) == done
    assert listing(folder.path) == [MANIFEST]
