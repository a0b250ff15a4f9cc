"""Two versions side by side: the same source agrees with itself, and a changed one is found out."""

import json
import shutil
from pathlib import Path
from statistics import median
from typing import Any

import compare_versions
import pytest
from compare_versions import differences, main, median_interval
from transformers import AutoTokenizer

from compat import doors

ROOT = Path(__file__).parents[3]
FAST, PAIRS = doors.folder_of("fast"), doors.folder_of("pairs")


@pytest.fixture
def documents(tmp_path: Path) -> Path:
    file = tmp_path / "documents.jsonl"
    file.write_text("".join(json.dumps({"text": text}) + "\n" for text in doors.TEXTS), encoding="utf-8")
    return file


def compared(tmp_path: Path, *given: object) -> dict[str, Any]:
    """The record of a comparison of this checkout with another one."""
    main([*map(str, given), "--rounds", "3", "--threads", "1", "--output", str(tmp_path / "out.json")])
    record: dict[str, Any] = json.loads((tmp_path / "out.json").read_text(encoding="utf-8"))
    return record


def test_a_version_agrees_with_itself(documents: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    balanced = doors.folder_of("multi-label")
    record = compared(tmp_path, FAST, balanced, "--old", ROOT, "--data", documents, "--timed", 8)
    assert record["old"] == record["new"]
    assert (record["documents"], record["timed"], record["machine"]["threads"]) == (32, 8, 1)
    for own in record["models"].values():
        assert own["labels_changed"] == own["kept_changed"] == own["tokens_changed"] == []
        assert own["largest_difference"] == 0
        assert [len(own["seconds"][side]) for side in ("old", "new")] == [3, 3]
        assert 0 < own["ratio"]["low"] <= own["ratio"]["median"] <= own["ratio"]["high"]
    printed = capsys.readouterr().out
    assert "multi-label" in printed and "32 documents compared, 8 timed" in printed


def test_a_changed_version_is_found_out(documents: Path, tmp_path: Path) -> None:
    """An old version that keeps fewer tokens, and takes some milliseconds more for each batch."""
    source = shutil.copytree(ROOT / "src", tmp_path / "old" / "src")
    (source / "tokensieve" / "version.py").write_text(
        '"""A changed version."""\nimport os, time\n__version__ = "0.0.9"\n', encoding="utf-8"
    )
    (source / "tokensieve" / "__init__.py").open("a", encoding="utf-8").write(
        "\n_load = load\n\n\ndef load(*arguments, **options):\n"
        "    classifier = _load(*arguments, **options)\n"
        "    results = classifier.results\n"
        "    from dataclasses import replace\n"
        "    def slow(texts, **given):\n"
        "        import time; time.sleep(0.3)\n"
        "        first, *others = results(texts, **given)\n"
        "        other = (first.label + 1) % 3\n"
        "        changed = replace(first, labels=(other,), kept=(1, 2), probabilities=first.probabilities[::-1])\n"
        "        return [changed, *others]\n"
        "    classifier.results = slow\n"
        "    return classifier\n"
    )
    record = compared(tmp_path, FAST, "--old", tmp_path / "old", "--data", documents)
    own = record["models"]["fast"]
    assert (record["old"]["tokensieve"], record["old"]["commit"]) == ("0.0.9", None)
    assert [(one["document"], len(one["margin"])) for one in own["labels_changed"]] == [(0, 2)]
    assert own["labels_changed"][0]["old"] != own["labels_changed"][0]["new"]
    assert own["labels_changed_clearly"] == 1
    assert [one["document"] for one in own["kept_changed"]] == [0]
    assert own["tokens_changed"] == []
    assert own["largest_difference"] > 0.01
    pairs = zip(own["seconds"]["old"], own["seconds"]["new"], strict=True)
    assert own["ratio"]["median"] == pytest.approx(median(old / new for old, new in pairs))
    assert min(own["seconds"]["old"]) >= 0.3, "the old one sleeps"


def test_pairs_and_random_texts(documents: Path, tmp_path: Path) -> None:
    """A process that fails says why: a classifier of pairs takes no single texts."""
    with pytest.raises(SystemExit, match=r"failed at 'answers': .*single text"):
        compared(tmp_path, PAIRS, "--old", ROOT, "--data", documents)
    record = compared(tmp_path, FAST, "--old", ROOT, "--length", 50, "--batch", 2)
    assert (record["documents"], record["batch"], record["data"]) == (8, 2, None)
    assert record["models"]["fast"]["largest_difference"] == 0


def test_random_texts_have_the_length_that_is_asked_for() -> None:
    tokenizer = AutoTokenizer.from_pretrained(FAST)
    texts = compare_versions.random_texts(FAST, 60, 3)
    assert len(set(texts)) == 3
    for text in texts:
        ids = tokenizer(text)["input_ids"]
        assert len(ids) == 60
        assert not set(ids[1:-1]) & set(tokenizer.all_special_ids)


@pytest.mark.parametrize(
    ("given", "named"),
    [
        (["--data", "x", "--length", "5"], "either --data"),
        ([], "either --data"),
        (["--length", "2"], "--length 2: give 3 or more"),
        (["--length", "5", "--rounds", "0"], "--rounds 0"),
        (["--length", "5", "--old", "{empty}"], "no src/tokensieve in it"),
        (["{empty}", "--length", "5"], "no config.json in it"),
        ([str(FAST), "--length", "5"], "the same folder name"),
    ],
)
def test_refused(given: list[str], named: str, tmp_path: Path) -> None:
    given = [own.replace("{empty}", str(tmp_path)) for own in given]
    with pytest.raises(SystemExit, match=named):
        main(["--old", str(ROOT), "--output", str(tmp_path / "out.json"), str(FAST), *given])
    assert not (tmp_path / "out.json").exists()


def test_differences() -> None:
    old = [{"labels": [0], "probabilities": [0.7, 0.3], "margin": 0.4, "kept": [5, 3], "tokens": ["a"]}] * 3
    near = {"labels": [1], "probabilities": [0.49999, 0.50001], "margin": 2e-5}
    new = [old[0], old[1] | near, old[2] | {"kept": [5, 2], "tokens": ["b"]}]
    found = differences(old, new, ["film", "law"])
    assert found["labels_changed"] == [{"document": 1, "old": ["film"], "new": ["law"], "margin": [0.4, 2e-5]}]
    assert found["labels_changed_clearly"] == 1
    assert found["kept_changed"] == [{"document": 2, "old": [5, 3], "new": [5, 2]}]
    assert found["tokens_changed"] == [2]
    assert found["largest_difference"] == pytest.approx(0.20001)
    old[1] = old[1] | {"margin": 3e-5}
    assert differences(old, new, ["film", "law"])["labels_changed_clearly"] == 0


@pytest.mark.parametrize(("count", "rank"), [(1, 1), (5, 1), (6, 1), (9, 2), (15, 4), (25, 8)])
def test_the_interval_of_the_median(count: int, rank: int) -> None:
    """Ranks as in tables of the sign test."""
    figures = [float(number) for number in range(count, 0, -1)]
    assert median_interval(figures) == (rank, count + 1 - rank)
