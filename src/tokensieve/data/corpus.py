"""The embedded corpus: the source code of Python's own standard library, which every installation brings.

A document is the source of one function or class, its label the top-level package it is from. It stands in for the
user's own documents where none are given: real text of very unequal length, at no cost in downloads or licences.
"""

from __future__ import annotations

import ast
import hashlib
import logging
import sys
import sysconfig
import tokenize
import warnings
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tokensieve.data.documents import Document, Rejection, Tally
from tokensieve.data.rows import shorten
from tokensieve.data.sampling import digest
from tokensieve.data.splits import DataSplits
from tokensieve.errors import ConfigError, DataError

logger = logging.getLogger(__name__)

MIN_WORDS = 40
MAX_CLASS_WORDS = 150
"""A class of more words hardly fits into 512 tokens (code has some 3.5 a word), so its methods stand for it."""

SHARES = {"train": 0.7, "validation": 0.15, "test": 0.15}
_MIN_PACKAGES = 5
_MIN_DOCUMENTS = 20
_SKIPPED_FOLDERS = frozenset({"test", "tests", "idle_test", "__pycache__", "site-packages", "dist-packages"})
_Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


def standard_library_corpus(
    *, packages: int = 10, min_words: int = MIN_WORDS, limit: int | None = None, root: Path | None = None
) -> DataSplits:
    """Documents of the largest packages of the standard library, in a fixed split with no file in two parts.

    No text is in two documents: a class is either a document as a whole, or, when it has more than `MAX_CLASS_WORDS`
    words, left to its methods; and of equal sources only the first is taken. Tests are left out.

    Args:
        packages: How many packages, by number of documents, those with too few to split left out.
        min_words: Words, divided by whitespace, that a function or class needs to be a document.
        limit: At most so many documents in each split, see `DataSplits.limited`.
        root: The library's folder; where this Python has it unless given.

    Returns:
        The splits, about 70 : 15 : 15 within each package, each document with its path below `root` and its first
        line, in a fixed order that mixes the packages. The same Python version gives the same splits.
        ``tallies["corpus"]`` counts the copies left out.

    Raises:
        ConfigError: `packages` is below 2, or `limit` below the number of packages.
        DataError: This Python does not bring enough of its source.
    """
    if packages < 2:
        raise ConfigError(f"packages is {packages}; a classifier needs 2 or more")
    root = Path(sysconfig.get_path("stdlib")) if root is None else root
    found = _packages(root, min_words)
    chosen = sorted(found, key=lambda package: (-len(package.documents), package.name))[:packages]
    if len(chosen) < min(packages, _MIN_PACKAGES):
        raise DataError(
            f"the standard library in {root} has the source code of {len(chosen)} large packages only, as in a "
            "stripped or zipped Python; give your own documents with --data, or use a Python that brings its source"
        )
    tally = Tally()
    parts: dict[str, list[Document]] = {split: [] for split in SHARES}
    for package in chosen:
        assignment = assign_files(package.documents)
        for document in package.documents:
            parts[assignment[document.source]].append(document)
            tally.accept()
        for rejection in package.rejections:
            tally.reject(rejection)
    logger.info("standard library: %s", ", ".join(f"{len(part)} {split}" for split, part in parts.items()))
    train, validation, test = (tuple(sorted(part, key=digest)) for part in parts.values())
    splits = DataSplits(train, validation, test, tallies={"corpus": tally})
    return splits.limited(train=limit, validation=limit, test=limit)


def assign_files(documents: Sequence[Document]) -> dict[str, str]:
    """The split of each source file of one package, by the number of documents and the file's name alone.

    The largest file comes first and goes where most is missing, so no seed and no library version has a say. Files
    that are left when splits are empty go to these: with three files or more, no split is without the package.
    """
    sizes: dict[str, int] = defaultdict(int)
    for document in documents:
        sizes[document.source] += 1
    missing = {split: share * len(documents) for split, share in SHARES.items()}
    empty = set(SHARES)
    assignment: dict[str, str] = {}
    files = sorted(sizes, key=lambda file: (-sizes[file], hashlib.sha256(file.encode()).digest()))
    for index, file in enumerate(files):
        open_splits = [split for split in SHARES if split in empty or len(files) - index > len(empty)]
        split = max(open_splits, key=lambda split: missing[split])
        assignment[file] = split
        missing[split] -= sizes[file]
        empty.discard(split)
    return assignment


@dataclass(slots=True)
class _Package:
    name: str
    documents: list[Document] = field(default_factory=list)
    rejections: list[Rejection] = field(default_factory=list)

    def can_be_split(self) -> bool:
        files = {document.source for document in self.documents}
        return len(self.documents) >= _MIN_DOCUMENTS and len(files) >= len(SHARES)


def _packages(root: Path, min_words: int) -> list[_Package]:
    """The packages that have documents enough, by name."""
    # A folder of a user's own beside the library's would make another corpus of it.
    folders = sorted(init.parent for init in root.glob("*/__init__.py") if init.parent.name in sys.stdlib_module_names)
    seen: set[str] = set()
    packages = [_read_package(folder, root, min_words, seen) for folder in folders if not _is_skipped(folder, root)]
    return [package for package in packages if package.can_be_split()]


def _is_skipped(path: Path, root: Path) -> bool:
    return not _SKIPPED_FOLDERS.isdisjoint(path.relative_to(root).parts)


def _read_package(folder: Path, root: Path, min_words: int, seen: set[str]) -> _Package:
    package = _Package(folder.name)
    for file in sorted(folder.rglob("*.py")):
        if _is_skipped(file, root):
            continue
        source = file.relative_to(root).as_posix()
        try:
            pieces = list(_pieces(_read_source(file), min_words))
        except (SyntaxError, ValueError, RecursionError, OSError) as error:
            package.rejections.append(Rejection(source, 1, "not Python source", str(error)))
            continue
        for line, text in pieces:
            words = " ".join(text.split())
            if words in seen:
                package.rejections.append(Rejection(source, line, "copy of an earlier document", shorten(text)))
            else:
                seen.add(words)
                package.documents.append(Document(text, folder.name, source, line))
    return package


def _read_source(file: Path) -> str:
    # Honours the encoding that a source file may declare, and reads every line end as a newline.
    with tokenize.open(file) as stream:
        return stream.read()


def _pieces(source: str, min_words: int) -> Iterator[tuple[int, str]]:
    """First line and text, decorators included, of each function and class that makes a document."""
    # Not splitlines(): it also divides at form feeds, which Python's line numbers do not count.
    lines = source.split("\n")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # invalid escapes in the library's source are none of the user's business
        tree = ast.parse(source)
    definitions = _definitions(tree)
    while definitions:
        node = definitions.pop(0)
        first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
        text = "\n".join(lines[first - 1 : node.end_lineno]) + "\n"
        words = len(text.split())
        if isinstance(node, ast.ClassDef) and words > MAX_CLASS_WORDS:
            definitions = _definitions(node) + definitions
        elif words >= min_words:
            yield first, text


def _definitions(node: ast.Module | ast.ClassDef) -> list[_Definition]:
    return [child for child in node.body if isinstance(child, _Definition)]
