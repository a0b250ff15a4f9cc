"""The parts of a folder become the file of one process."""

import csv
import io
from pathlib import Path

import pytest

from tokensieve.errors import ConfigError
from tokensieve.runtime.merge import complete_parts, merge
from tokensieve.runtime.parts_folder import Manifest, PartsFolder

HEADER = ["line", "label", "probability:a\nlabel, with a break", "probability:film"]


def csv_text(rows: list[list[str]]) -> str:
    out = io.StringIO(newline="")
    csv.writer(out, lineterminator="\n").writerows(rows)
    return out.getvalue()


def folder_of(path: Path, texts: list[str], count: int | None, kind: str = "csv") -> PartsFolder:
    folder = PartsFolder(path, kind)  # type: ignore[arg-type]
    folder.claim({})
    for number, text in enumerate(texts):
        folder.place(number).write_text(text, encoding="utf-8", newline="")
    folder.finish(Manifest({}, folder.format, count, None if count is None else 3))
    return folder


def test_csv_has_one_header(tmp_path: Path) -> None:
    rows = [["2", "film", ".1", ".9"], ["3", "a\nlabel, with a break", ".8", ".2"], ["5", "film", ".1", ".9"]]
    texts = [csv_text([HEADER, *rows[:2]]), csv_text([HEADER, rows[2]])]
    out = io.StringIO(newline="")
    folder_of(tmp_path / "out", texts, 2)
    assert merge(complete_parts(tmp_path / "out"), out) == 3
    assert out.getvalue() == csv_text([HEADER, *rows])


def test_a_folder_that_lacks_parts(tmp_path: Path) -> None:
    text = csv_text([HEADER, ["2", "film", ".1", ".9"]])
    folder_of(tmp_path / "lacks", [text, text], 4)
    with pytest.raises(ConfigError, match=r"2 of 4 parts are missing, the first is part-000002\.csv"):
        complete_parts(tmp_path / "lacks")
    folder_of(tmp_path / "begun", [text], None)
    with pytest.raises(ConfigError, match="no process has come to the end"):
        complete_parts(tmp_path / "begun")
    with pytest.raises(ConfigError, match=r"no manifest\.json: name a folder that 'tokensieve predict' wrote"):
        complete_parts(tmp_path)
