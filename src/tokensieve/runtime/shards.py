"""Parts of an input: runs of whole windows, numbered from 0, and the share of them that a process makes.

A window is sorted and batched on its own, so the records of a part do not depend on who makes it. All parts one after
the other are what one process writes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, islice

from tokensieve.data.documents import Document
from tokensieve.errors import ConfigError
from tokensieve.runtime.windows import cut

PART_WINDOWS = 4
"""Windows of a part, so 4,096 documents at most: what is lost when its process dies, and what waits in memory."""


@dataclass(frozen=True, slots=True)
class Shard:
    """Which parts a process makes: those whose number leaves `index` when it is divided by `count`.

    Attributes:
        index: from 0.
        count: processes that share the work.
    """

    index: int = 0
    count: int = 1

    @classmethod
    def parse(cls, text: str) -> Shard:
        """Read `I/N`, with I from 1 to N.

        Raises:
            ConfigError: the text says something else.
        """
        found = re.fullmatch(r"(\d{1,9})/(\d{1,9})", text, re.ASCII)
        index, count = map(int, found.groups()) if found else (0, 0)
        if not 1 <= index <= count:
            raise ConfigError(
                f"--shard {text}: give I/N with I from 1 to N, such as 1/4 for the first of four processes"
            )
        return cls(index - 1, count)

    def has(self, part: int) -> bool:
        """Whether the part with this number belongs to it."""
        return part % self.count == self.index


def numbered_parts(documents: Iterable[Document]) -> Iterator[tuple[int, list[Document]]]:
    """The parts of a stream with their numbers; at most one is held in memory.

    Args:
        documents: all of the input, in its order.
    """
    windows = cut(documents)
    number = 0
    while part := list(chain.from_iterable(islice(windows, PART_WINDOWS))):
        yield number, part
        number += 1


class Unfinished:
    """The parts of a shard that are still to be made, in order; iterated once.

    Args:
        documents: all of the input, in its order.
        shard: whose parts.
        has: whether the part with this number is complete.

    Attributes:
        parts: parts of the whole input met so far.
        documents: documents of the whole input met so far.
    """

    def __init__(self, documents: Iterable[Document], shard: Shard, has: Callable[[int], bool]) -> None:
        self.parts = self.documents = 0
        self._source, self._shard, self._has = documents, shard, has

    def __iter__(self) -> Iterator[tuple[int, list[Document]]]:
        for number, documents in numbered_parts(self._source):
            self.parts += 1
            self.documents += len(documents)
            if self._shard.has(number) and not self._has(number):
                yield number, documents
