"""The result of reading: documents, the records that could not be used, and the count of both."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

MAX_EXAMPLES = 20
"""Rejections kept in full by a `Tally`; the rest are only counted, so that a stream of any length fits in memory."""


@dataclass(frozen=True, slots=True)
class Document:
    """One text to learn from or to classify.

    Attributes:
        text: The document as it stands in the file.
        label: Its class; a tuple of all its labels, possibly none, in multi-label data; None when it was read
            without labels.
        source: The file it comes from, as it was named by the caller (``<stdin>`` for standard input).
        line: 1-based line on which the record begins; in Parquet and data sets the 1-based row, in a JSON array the
            1-based place.
        pair: A second text that the first is classified together with, or None.
        weight: How much it counts where something is fitted to labelled documents, a finite number: 0 is as if it was
            not there, 2 as if it was there twice.
    """

    text: str
    label: str | tuple[str, ...] | None
    source: str
    line: int
    pair: str | None = None
    weight: float = 1.0

    @property
    def content(self) -> str | tuple[str, str]:
        """The text, or both texts of a pair."""
        return self.text if self.pair is None else (self.text, self.pair)


@dataclass(frozen=True, slots=True)
class Rejection:
    """A record that was read and could not be used.

    Attributes:
        source: The file.
        line: As in `Document`.
        reason: One of a fixed set of phrases, see `tokensieve.data.rows.Reason`; what a `Tally` counts by.
        detail: What is wrong in this very record, with the value shortened.
        unit: What `line` counts: ``line``, or ``row`` (Parquet, data sets) or ``record`` (a JSON array).
    """

    source: str
    line: int
    reason: str
    detail: str = ""
    unit: str = "line"

    def __str__(self) -> str:
        detail = f": {self.detail}" if self.detail else ""
        return f"{self.source}, {self.unit} {self.line}: {self.reason}{detail}"

    def to_dict(self) -> dict[str, Any]:
        """The rejection as JSON-ready values."""
        return {"source": self.source, self.unit: self.line, "reason": self.reason, "detail": self.detail}


@dataclass(slots=True)
class Tally:
    """Counts what became of every record read; nothing vanishes: ``read == used + rejected``.

    Attributes:
        used: Records that became documents.
        reasons: Rejected records by reason.
        examples: The first `MAX_EXAMPLES` rejections.
    """

    used: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    examples: list[Rejection] = field(default_factory=list)

    @property
    def rejected(self) -> int:
        """Records that could not be used."""
        return self.reasons.total()

    @property
    def read(self) -> int:
        """Records met, used or not."""
        return self.used + self.rejected

    def accept(self) -> None:
        """Count one record that became a document."""
        self.used += 1

    def reject(self, rejection: Rejection) -> None:
        """Count one record that could not be used, and keep it while there is room."""
        self.reasons[rejection.reason] += 1
        if len(self.examples) < MAX_EXAMPLES:
            self.examples.append(rejection)

    def add(self, other: Tally) -> None:
        """Add the counts of `other`, such as those of a second file, to these."""
        self.used += other.used
        self.reasons.update(other.reasons)
        self.examples.extend(other.examples[: MAX_EXAMPLES - len(self.examples)])

    def summary(self, examples: int = 5) -> list[str]:
        """Lines of text for people: the counts, then the reasons, then the first few rejected records."""
        lines = [f"{self.read} records read, {self.used} used, {self.rejected} rejected"]
        lines += [f"  {count} x {reason}" for reason, count in self.reasons.most_common()]
        lines += [f"  e.g. {rejection}" for rejection in self.examples[:examples]]
        return lines

    def to_dict(self) -> dict[str, Any]:
        """The counts and the examples as JSON-ready values."""
        return {
            "read": self.read,
            "used": self.used,
            "rejected": self.rejected,
            "reasons": dict(self.reasons),
            "examples": [rejection.to_dict() for rejection in self.examples],
        }
