"""The embedded corpus: real source code, no text twice, no file in two splits, the same every time."""

import sysconfig
from collections import Counter, defaultdict
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokensieve.data import DataSplits, Document, standard_library_corpus
from tokensieve.data.corpus import MAX_CLASS_WORDS, MIN_WORDS, SHARES, assign_files
from tokensieve.errors import ConfigError, DataError

Put = Callable[..., Path]
PACKAGES = ["asyncio", "email", "http", "json", "logging", "xml"]


@pytest.fixture(scope="module")
def corpus() -> DataSplits:
    return standard_library_corpus()


def _all(splits: DataSplits) -> list[Document]:
    return [*splits.train, *splits.validation, *splits.test]


def test_size_and_shares(corpus: DataSplits) -> None:
    documents = _all(corpus)
    assert len(documents) > 1500
    assert len(corpus.label_names) == 10
    assert len(corpus.train) / len(documents) == pytest.approx(0.7, abs=0.05)
    for split in (corpus.train, corpus.validation, corpus.test):
        assert {document.label for document in split} == set(corpus.label_names)
        assert min(Counter(document.label for document in split).values()) >= 5


def test_documents_are_the_source_they_name(corpus: DataSplits) -> None:
    root = Path(sysconfig.get_path("stdlib"))
    for document in _all(corpus)[::7]:
        lines = (root / document.source).read_text(encoding="utf-8").split("\n")
        text = document.text.removesuffix("\n").split("\n")
        assert lines[document.line - 1 : document.line - 1 + len(text)] == text
        assert document.text.lstrip().startswith(("def ", "async def ", "class ", "@"))
        assert document.source.split("/")[0] == document.label
        assert len(document.text.split()) >= MIN_WORDS


def test_no_file_in_two_splits(corpus: DataSplits) -> None:
    splits_of = defaultdict(set)
    for name in SHARES:
        for document in getattr(corpus, name):
            splits_of[document.source].add(name)
    assert {len(names) for names in splits_of.values()} == {1}


def test_no_text_is_in_two_documents(corpus: DataSplits) -> None:
    documents = _all(corpus)
    assert len({" ".join(document.text.split()) for document in documents}) == len(documents)
    spans = defaultdict(list)
    for document in documents:
        spans[document.source].append((document.line, document.line + document.text.count("\n")))
    for spans_of_file in spans.values():
        ordered = sorted(spans_of_file)
        assert all(end <= start for (_, end), (start, _) in pairwise(ordered))


def test_no_tests_in_it(corpus: DataSplits) -> None:
    for document in _all(corpus):
        assert not {"test", "tests", "idle_test", "site-packages"} & set(document.source.split("/"))


def test_counts_add_up(corpus: DataSplits) -> None:
    tally = corpus.tallies["corpus"]
    assert tally.used == len(_all(corpus))
    assert tally.read == tally.used + tally.rejected
    assert set(tally.reasons) <= {"copy of an earlier document"}


def test_the_same_every_time_and_mixed(corpus: DataSplits) -> None:
    again = standard_library_corpus(limit=40)
    assert again == corpus.limited(train=40, validation=40, test=40)
    assert {len(again.train), len(again.validation), len(again.test)} == {40}
    assert len({document.label for document in corpus.test[:30]}) >= 5


@given(st.lists(st.integers(1, 60), min_size=3, max_size=30))
def test_files_are_assigned_near_the_shares(sizes: list[int]) -> None:
    documents = [
        Document(f"{index} {n}", "x", f"x/{index}.py", n) for index, size in enumerate(sizes) for n in range(size)
    ]
    assignment = assign_files(documents)
    assert assignment == assign_files(documents[::-1])
    assert len(assignment) == len(sizes)
    assert set(assignment.values()) == set(SHARES)
    counts = Counter(assignment[document.source] for document in documents)
    for split, share in SHARES.items():
        assert abs(counts[split] - share * len(documents)) <= 2 * max(sizes)


def _function(name: str, words: int = 50, indent: str = "") -> str:
    body = "\n".join(f"{indent}    {name}_{n} = {n}" for n in range(words // 3))
    return f"{indent}def {name}():\n{body}\n"


def _library(put: Put, packages: list[str], files: int = 4, functions: int = 6) -> Path:
    """A small library of functions of its own."""
    for package in packages:
        put(f"lib/{package}/__init__.py", "")
        for file in range(files):
            source = "\n\n".join(_function(f"{package}_{file}_{n}") for n in range(functions))
            path = put(f"lib/{package}/part{file}.py", source)
    return path.parents[1]


def test_what_becomes_a_document(put: Put, tmp_path: Path) -> None:
    root = _library(put, PACKAGES)
    methods = _function("long_method", 120, "    ") + "\n    @property\n" + _function("large", 80, "    ")
    source = (
        "# -*- coding: latin-1 -*-\n# \xe9\n\x0c\n"
        + _function("short", 20)
        + "\n@decorated\n@twice(\n    1)\n"
        + _function("wanted", 60)
        + "\nclass Small:\n"
        + _function("inner", 60, "    ")
        + "\nclass Large:\n    first = 1\n"
        + methods
        + _function("tiny", 10, "    ")
        + "\nif True:\n"
        + _function("nested", 60, "    ")
    )
    put("lib/json/zoo.py", source.encode("latin-1"))
    put("lib/json/tests/zoo.py", _function("test", 60))
    put("lib/json/broken.py", "def broken(:\n")
    put("lib/json/copy.py", _function("wanted", 60) + _function("json_0_0"))
    _library(put, ["mypackage"], functions=50)
    splits = standard_library_corpus(root=root)
    found = sorted((d.line, d.text.split("\n")[0].strip()) for d in _all(splits) if d.source == "json/zoo.py")
    assert [name for _, name in found] == ["@decorated", "class Small:", "def long_method():", "@property"]
    lines = source.split("\n")
    assert [lines[line - 1].strip() for line, _ in found] == [name for _, name in found]
    assert set(splits.label_names) == set(PACKAGES)
    tally = splits.tallies["corpus"]
    assert tally.reasons == {"copy of an earlier document": 1, "not Python source": 1}
    assert {Path(example.source).name for example in tally.examples} == {"part0.py", "broken.py"}
    assert len(methods.split()) > MAX_CLASS_WORDS


def test_the_largest_packages_that_can_be_split(put: Put) -> None:
    root = _library(put, PACKAGES)
    _library(put, ["ctypes"], files=2, functions=50)
    _library(put, ["curses"], files=5, functions=3)
    _library(put, ["urllib"], files=4, functions=9)
    splits = standard_library_corpus(root=root, packages=5)
    assert splits.label_names == ("asyncio", "email", "http", "json", "urllib")


@pytest.mark.parametrize("content", [None, "empty", "few"])
def test_a_python_without_its_source(put: Put, tmp_path: Path, content: str | None) -> None:
    root = tmp_path / "python311.zip"
    if content == "empty":
        root.mkdir()
    elif content == "few":
        root = _library(put, PACKAGES[:4])
    else:
        root.write_bytes(b"PK")
    found = 4 if content == "few" else 0
    with pytest.raises(DataError, match=f"source code of {found} large packages only.*--data, or use a Python that"):
        standard_library_corpus(root=root)


def test_settings_out_of_range(put: Put) -> None:
    root = _library(put, PACKAGES)
    with pytest.raises(ConfigError, match="packages is 1; a classifier needs 2"):
        standard_library_corpus(root=root, packages=1)
    with pytest.raises(ConfigError, match="limit of 5 training documents leaves out some of the 6 labels"):
        standard_library_corpus(root=root, limit=5)
