"""Sets derived from others, and the tables of where an encoder is needed."""

import gzip
import json
from argparse import Namespace
from collections import Counter
from pathlib import Path
from statistics import median
from types import SimpleNamespace
from typing import Any

import pytest
import worth
import worth_sets

from tokensieve.data import DataSplits, Document
from tokensieve_bench import runs
from tokensieve_bench.records import Results
from tokensieve_bench.report.worth import accuracy_rows, better, front, speed_rows, worth_tables

SPLITS = {"train": 60, "validation": 20, "test": 40}


def clauses_of(split: str, number: int) -> list[dict[str, str]]:
    """Clauses of three labels, of which the first has half."""
    labels = ("Taxes", "Notices", "Taxes", "Terms")
    return [{"text": f"{split} clause {place}", "label": labels[place % 4]} for place in range(number)]


def written(folder: Path, rows: list[dict[str, str]]) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    with gzip.open(folder, "wt", encoding="utf-8") as file:
        file.writelines(json.dumps(row) + "\n" for row in rows)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    for split in SPLITS:
        written(folder / "legal_clauses" / f"{split}.jsonl.gz", clauses_of(split, 4000))
    for split, number in {"train_5shot": 20, "train": 400, "test": 40}.items():
        written(folder / "banking77" / f"{split}.jsonl.gz", clauses_of(split, number))
    return folder


def texts_of(pairs: list[dict[str, str]]) -> set[str]:
    return {pair[side] for pair in pairs for side in ("text", "pair")}


def test_pairs_are_of_clauses_of_their_split_alone() -> None:
    """Even where the test split repeats training clauses."""
    clauses = {split: clauses_of(split, 100) for split in SPLITS}
    clauses["test"] = clauses["train"][:50] + clauses["test"]
    made = worth_sets.clause_pairs(clauses, SPLITS)
    for split, pairs in made.items():
        assert len(pairs) == SPLITS[split]
        assert all(text.startswith(split) for text in texts_of(pairs))
    assert not texts_of(made["train"]) & texts_of(made["test"])


def test_half_of_the_pairs_have_the_same_label() -> None:
    clauses = {split: clauses_of(split, 100) for split in SPLITS}
    labels = {row["text"]: row["label"] for rows in clauses.values() for row in rows}
    for split, pairs in worth_sets.clause_pairs(clauses, SPLITS).items():
        for pair in pairs:
            assert pair["text"] != pair["pair"]
            assert (labels[pair["text"]] == labels[pair["pair"]]) == (pair["label"] == "same")
        assert Counter(pair["label"] for pair in pairs) == {"same": SPLITS[split] / 2, "different": SPLITS[split] / 2}


def test_a_clause_is_on_either_side_once() -> None:
    pairs = worth_sets.clause_pairs({"train": clauses_of("train", 100)}, {"train": 60})["train"]
    for side in ("text", "pair"):
        assert len({pair[side] for pair in pairs}) == len(pairs)


def test_second_texts_do_not_tell_the_answer() -> None:
    """Their labels are spread alike in both kinds of pairs, so that a rare label says nothing."""
    clauses = clauses_of("train", 4000)
    labels = {row["text"]: row["label"] for row in clauses}
    pairs = worth_sets.clause_pairs({"train": clauses}, {"train": 2000})["train"]
    for kind in ("same", "different"):
        spread = Counter(labels[pair["pair"]] for pair in pairs if pair["label"] == kind)
        assert spread["Taxes"] / spread.total() == pytest.approx(0.5, abs=0.1)


def test_the_same_clauses_give_the_same_pairs() -> None:
    clauses = {split: clauses_of(split, 100) for split in SPLITS}
    made = [worth_sets.clause_pairs(clauses, SPLITS, seed) for seed in (0, 0, 1)]
    assert made[0] == made[1] != made[2]


def test_too_few_clauses() -> None:
    with pytest.raises(SystemExit, match=r"10 clauses give .* pairs, and 40 are asked for"):
        worth_sets.clause_pairs({"train": clauses_of("train", 10)}, {"train": 40})


def test_few_shot_sets_have_no_validation_file(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that the validation documents are carved off the few, and the other training documents are not read."""
    monkeypatch.setattr(runs, "DERIVED", tmp_path / "derived")
    name = "banking77-5shot"
    worth_sets.write_set(runs.DERIVED / name, worth_sets.derived(name, data))
    splits = runs.splits_of({"data": name}, data)
    assert len(splits.train) + len(splits.validation) == 20
    assert splits.validation
    assert {document.text.split()[0] for document in (*splits.train, *splits.validation)} == {"train_5shot"}
    assert len(splits.test) == 40


def test_pairs_are_read_by_their_column(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs, "DERIVED", tmp_path / "derived")
    worth_sets.write_set(runs.DERIVED / worth_sets.PAIRS, worth_sets.derived(worth_sets.PAIRS, data))
    splits = runs.splits_of({"data": worth_sets.PAIRS, "pair_column": "pair"}, data)
    sizes = {split: len(getattr(splits, split)) for split in worth_sets.SIZES}
    assert sizes == worth_sets.SIZES
    assert all(isinstance(document.content, tuple) for document in splits.test)


def test_files_are_made_anew_alike(data: Path, tmp_path: Path) -> None:
    """Byte for byte."""
    folder, found = tmp_path / "pairs", []
    for _ in range(2):
        worth_sets.write_set(folder, worth_sets.derived(worth_sets.PAIRS, data))
        found.append({file.name: file.read_bytes() for file in folder.iterdir()})
    assert found[0] == found[1]
    assert set(found[0]) == {"train.jsonl", "validation.jsonl", "test.jsonl", worth_sets.MARK}


def test_a_foreign_folder_is_left_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "train.jsonl").write_text("mine\n", encoding="utf-8")
    with pytest.raises(SystemExit, match=r"has no derived\.json"):
        worth_sets.write_set(tmp_path, {"train": []})
    assert (tmp_path / "train.jsonl").read_text(encoding="utf-8") == "mine\n"


def test_a_set_changes_recipe_and_variants(tmp_path: Path) -> None:
    own = {"train": 9, "recipe": {"epochs": 7}, "variants": ["dense"], "pair_column": "pair"}
    config = {
        "sets": {"some": own, "other": {"test": 5}},
        "recipe": {"epochs": 3, "max_length": 8},
        "variants": {"dense": {"pruning": "none"}, "fast": {"preset": "fast"}},
    }
    file = tmp_path / "some.json"
    file.write_text(json.dumps(config), encoding="utf-8")
    found = runs.configs_of(Namespace(config=file, set=None))
    some, other = found["some-some"], found["some-other"]
    assert (some["data"], some["documents"], some["pair_column"]) == ("some", {"train": 9}, "pair")
    assert some["recipe"] == {"epochs": 7, "max_length": 8}
    assert some["variants"] == {"dense": {"pruning": "none"}}
    assert (other["documents"], other["recipe"]) == ({"test": 5}, config["recipe"])
    assert list(other["variants"]) == ["dense", "fast"]


def record(short: float, **accuracies: tuple[float, float]) -> dict[str, Any]:
    """A record of 200 test documents; of each contender accuracy and documents per second."""
    truth = [place % 2 for place in range(200)]
    contenders = {
        name: {
            "accuracy": score,
            "documents_per_second": speed,
            "predicted": [own if place < 200 * score else 1 - own for place, own in enumerate(truth)],
        }
        for name, (score, speed) in accuracies.items()
    }
    facts = {"labels": 2, "epochs": 3, "seed": 0, "max_length": 64, "mean_length": 12.0, "short": short}
    return facts | {
        "documents": {"train": 1234, "validation": 20, "test": 200},
        "cascade": {"encoder": "dense", "deferred": 0.4},
        "timed": {"documents": 128, "rounds": 5},
        "machine": {"commit": "ab" * 20 + "+", "processor": "Some processor", "threads": 2, "load": 1.5},
        "truth": truth,
        "contenders": contenders,
    }


def test_the_record_has_the_seconds_of_every_round(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """With everything taken out that fits or reads something."""
    label, class_id = "mail", 0
    document = Document("a text", label, "here", 1)
    splits = DataSplits((document,), (document,), (document,) * 4)
    answers: Any = SimpleNamespace(
        predict=lambda texts: [label] * len(texts),
        results=lambda texts: [SimpleNamespace(label=class_id, stage="words")] * len(texts),
        engine=SimpleNamespace(tokenizer=None),
    )
    for name in ("logits.safetensors", "run.json"):
        (tmp_path / name).write_text(json.dumps({"predicted": [class_id] * 4}), encoding="utf-8")
    monkeypatch.setattr("tokensieve_bench.rounds.LEAST", 0.0)
    monkeypatch.setattr(worth, "splits_of", lambda *_: splits)
    monkeypatch.setattr(worth, "run_folder", lambda *_: tmp_path)
    monkeypatch.setattr(worth, "cascade_folder", lambda *_: tmp_path)
    monkeypatch.setattr(worth, "load", lambda *_, **__: answers)
    monkeypatch.setattr(worth, "floors_of", lambda *_: dict.fromkeys(worth.FLOORS, answers.predict))
    monkeypatch.setattr(worth, "lengths", lambda *_: {})
    config = {"seeds": [0], "variants": {"dense": {}}, "recipe": {"max_length": 8, "epochs": 1}}
    found = worth.measured(config, "some", Namespace(data=tmp_path, documents=4, rounds=3))
    assert {name: len(own) for name, own in found["seconds"].items()} == dict.fromkeys(found["contenders"], 3)
    for name, own in found["contenders"].items():
        assert own["documents_per_second"] == 4 / median(found["seconds"][name])


def test_what_is_better_follows_from_the_interval() -> None:
    assert better(0.1, 2.0) == "`dense`"
    assert better(-2.0, -0.1) == "bag of words"
    assert better(-1.0, 1.0) == "not told apart"
    far = record(0.5, words=(0.5, 900), static=(0.5, 800), dense=(0.9, 20))
    near = record(0.5, words=(0.9, 900), static=(0.5, 800), dense=(0.9, 20))
    behind = record(0.5, words=(0.9, 900), static=(0.5, 800), dense=(0.6, 20))
    head, *rows = accuracy_rows({"far": far, "near": near, "behind": behind})
    assert [row[-1] for row in rows] == ["`dense`", "not told apart", "bag of words"]
    assert rows[0][0] == "far (1,234)"
    assert rows[0][-2].startswith("+40.00 [+3")
    assert {len(row) for row in rows} == {len(head)}


def test_the_front_has_what_no_faster_one_equals() -> None:
    own = {"words": (0.8, 900), "static": (0.7, 800), "words -> encoder": (0.85, 100), "fast": (0.85, 50)}
    assert front(record(0, dense=(0.9, 20), **own)["contenders"]) == ["words", "words -> encoder", "dense"]
    assert front({"a": {"accuracy": 0.9, "documents_per_second": 9}}) == ["a"]


def test_fast_is_as_dense_where_texts_are_short() -> None:
    own = {"words": (0.5, 12345.6), "static": (0.5, 800.0), "dense": (0.9, 4.44)}
    rows = speed_rows({"short": record(1.0, **own), "long": record(0.2, **own)})
    assert rows[0][1:5] == ["bag of words", "static vectors", "`dense`", "`fast`"]
    assert rows[1][1:5] == ["12,346", "800", "4.4", "as `dense`"]
    assert rows[2][1:5] == ["12,346", "800", "4.4", "-"]


def test_tables_are_of_the_records_that_are_there(tmp_path: Path) -> None:
    """In the order of the config; a record of no set of it is left out."""
    (tmp_path / "worth").mkdir()
    own = record(1.0, words=(0.5, 900), static=(0.5, 800), dense=(0.9, 20), **{"words -> encoder": (0.8, 90)})
    for name in ("sst2", "clinc150-5shot", "unknown"):
        (tmp_path / "worth" / f"{name}.json").write_text(json.dumps(own), encoding="utf-8")
    page = worth_tables(Results(tmp_path))
    assert [line.split()[1] for line in page.splitlines() if line.startswith(("| sst2", "| clinc"))] == [
        "clinc150-5shot",
        "sst2",
        "clinc150-5shot",
        "sst2",
    ]
    assert "unknown" not in page
    assert "The cascade defers 40 % to `dense`." in page
    assert "- Speed: medians of 5 rounds by turns over the first 128 test documents, 2 threads, at a load" in page
    assert "1.5 to 1.5" in page
    assert "- commit ababababab+; Some processor" in page
    quiet = own | {"machine": own["machine"] | {"load": None, "threads": 1}, "timed": {"documents": 64, "rounds": 3}}
    (tmp_path / "worth" / "sst2.json").write_text(json.dumps(quiet), encoding="utf-8")
    page = worth_tables(Results(tmp_path))
    assert "medians of 5 or 3 rounds by turns over the first 128 or 64 test documents, 1 or 2 threads" in page
