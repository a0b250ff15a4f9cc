"""What `explain` found, as lines of text: readable without colour, and without a browser."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tokensieve.explain.corpus import in_order, is_right, judge, truth_of
from tokensieve.explain.page import LONGEST_REST, LONGEST_WORD, check_sentence, operations, overlap_sentence, visible
from tokensieve.explain.reading import Explained, Reading
from tokensieve.explain.words import Word, pieces
from tokensieve.runtime.results import Result

_ORDERS = re.compile("[\x80-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")
_BOLD, _FAINT, _PLAIN = "\x1b[1;4m", "\x1b[2m", "\x1b[0m"


def safe(text: str) -> str:
    """The text without what a terminal obeys: control characters as pictures, orders of direction as their codes."""
    return _ORDERS.sub(lambda found: f"<U+{ord(found[0]):04X}>", visible(text.replace("\r", "")))


def lines(found: Sequence[Explained], about: Mapping[str, Any], *, styled: bool) -> Iterator[str]:
    """The documents in the order of the page, after a line on all of them.

    Args:
        found: as `explain` gives them.
        about: as `write_page` takes it.
        styled: survivors are bold and underlined, other words faint. Without, survivors stand in brackets.
    """
    labels = about["labels"]
    yield "A word that survived stands in [brackets]; other words have the number of the layer in which they left."
    yield "Kept is not a cause: --check tells whether the label stands without the words that left."
    yield from _summary(found, about)
    for one in in_order(found, labels):
        yield ""
        yield from _document(one, about, styled)


def _summary(found: Sequence[Explained], about: Mapping[str, Any]) -> Iterator[str]:
    judged = judge(found, about["labels"], about["dense_labels"])
    told = [f"{len(found)} documents"]
    if any(one.deferred for one in found):
        told.append(f"{sum(one.deferred for one in found)} deferred")
    if judged is not None:
        told.append(f"{judged.right} right")
    if about["dense"] is not None:
        told.append(f"dense disagrees on {sum(not one.dense_agrees for one in found)}")
    checked = [one.check for one in found if one.check is not None and one.check.result is not None]
    if checked:
        told.append(f"the label stands for {sum(check.stands for check in checked)} of {len(checked)} checked")
    yield "; ".join(told)


def _document(one: Explained, about: Mapping[str, Any], styled: bool) -> Iterator[str]:
    labels, truth = about["labels"], truth_of(one)
    yield f"{one.number}. {_given(one.result, labels)}"
    if truth is not None:
        right = "right" if is_right(one, labels) else "the answer is wrong"
        yield f"   true: {safe(', '.join(sorted(truth))) or 'no label'} ({right})"
    if one.dense is not None:
        yield f"   dense: {_given(one.dense, about['dense_labels'])}{'' if one.dense_agrees else ' (disagrees)'}"
    reading = one.readings[-1] if one.readings else None
    yield f"   {_facts(one, reading)}"
    if one.check is not None:
        yield f"   check: {safe(check_sentence(one.check, labels))}"
    for part, text in enumerate([one.document.text, one.document.pair]):
        if text is not None:
            yield _marked(text, [] if reading is None else [own for own in reading.words if own.part == part], styled)


def _given(result: Result, labels: Sequence[str]) -> str:
    return ", ".join(f"{safe(labels[one])} {result.probabilities[one]:.3f}" for one in result.labels) or "no label"


def _facts(one: Explained, reading: Reading | None) -> str:
    """What answered, tokens, FLOPs and time."""
    if reading is None:
        return f"answered by a bag of words: no word is kept or dropped; {one.milliseconds:.1f} ms"
    tokens = " ".join(str(count) for count in (reading.length, *reading.kept))
    folded = f", folded into {reading.combination}" if reading.combination else ""
    deferred = ", after an earlier stage deferred it" if one.deferred else ""
    share = reading.flops / reading.dense_flops
    gradient = "" if reading.overlap is None else f"; {overlap_sentence(reading.overlap)}"
    return (
        f"answered by the {reading.stage}{deferred}; tokens, layer by layer: {tokens}{folded}; "
        f"{operations(reading.flops)} ({share:.2f} of dense); {one.milliseconds:.1f} ms{gradient}"
    )


def _marked(text: str, words: Sequence[Word], styled: bool) -> str:
    """The text with its words marked; what was not read, and what is very long, is cut."""
    if not words:
        return safe(text[: 4 * LONGEST_REST])
    found = []
    for piece, word in pieces(text, words):
        own = safe(piece[:LONGEST_WORD])
        if word is not None:
            own = f"[{own}]" if word.survives else f"{own}\u00b7{word.left}"
            own = f"{_BOLD if word.survives else _FAINT}{own}{_PLAIN}" if styled else own
        found.append(own)
    rest = text[words[-1].end :]
    more = f" ... {len(rest)} more characters, not read" if rest.strip() else ""
    return "".join(found) + more
