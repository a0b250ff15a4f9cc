"""Words of the original text, with what became of them: wordpieces joined, offsets into the text as it was given."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

from tokensieve.data.tokenize import Place
from tokensieve.explain.watch import Seen

_JOINERS = "\u200d\ufe0e\ufe0f"  # zero-width joiner, and the two that choose a picture of a character


@dataclass(frozen=True, slots=True)
class Word:
    """A word that the encoder read.

    Attributes:
        part: 0 for the text, 1 for the second text of a pair.
        start: first character, of the text as it was given.
        end: one past the last.
        tokens: how many tokens it has.
        left: layer in which its last token left, from 1; None: one of its tokens survived.
        score: the highest score of its tokens, each when it was last scored; None: no token was scored.
        joined: combination token that its tokens joined, the most frequent one; None without a combining module.
    """

    part: int
    start: int
    end: int
    tokens: int
    left: int | None
    score: float | None
    joined: int | None

    @property
    def survives(self) -> bool:
        """Whether one of its tokens survived the last pruning."""
        return self.left is None


def words_of(texts: Sequence[str], places: Sequence[Place], seen: Seen) -> list[Word]:
    """The words of one document, in order; spans of a part do not overlap.

    Args:
        texts: the text, and the second one of a pair.
        places: of its tokens, special ones included.
        seen: what the encoder did with them.
    """
    alive, layers = seen.alive or [list(range(len(places)))], seen.layers
    left = dict.fromkeys(range(len(places)), layers[0] if layers else 0)
    for number, positions in enumerate(alive):
        following = layers[number + 1] if number + 1 < len(alive) else 0
        left |= dict.fromkeys(positions, following)
    words: list[Word] = []
    for key, run in groupby(enumerate(places), key=lambda item: _key(*item)):
        rows = list(run)
        if key[0] is None:
            continue
        numbers = [position for position, _ in rows]
        span = _span(texts[key[0]], [place for _, place in rows])
        word = _word(key[0], span, numbers, left, seen)
        before = words[-1] if words and words[-1].part == word.part else None
        if before is not None and word.start < before.end:  # both have bytes of one character
            words[-1] = _merged(before, word)
        elif word.start < word.end:
            words.append(word)
    return words


def _key(position: int, place: Place) -> tuple[int | None, int]:
    """Equal for the tokens of one word; a tokenizer that tells no words has one a token."""
    return place.part, -1 - position if place.word is None else place.word


def _span(text: str, places: Sequence[Place]) -> tuple[int, int]:
    """First character and one past the last: without space around it, with the marks that belong to the last one."""
    start, end = min(place.start for place in places), max(place.end for place in places)
    while start < end and text[start].isspace():
        start += 1
    while start < end and text[end - 1].isspace():
        end -= 1
    while start < end < len(text) and (text[end] in _JOINERS or unicodedata.category(text[end]).startswith("M")):
        end += 1
    return start, end


def _word(part: int, span: tuple[int, int], positions: Sequence[int], left: dict[int, int], seen: Seen) -> Word:
    layers = [left[position] for position in positions]
    scores = [seen.scores[position] for position in positions if position in seen.scores]
    joined = [seen.joined[position] for position in positions if seen.joined and position in seen.joined]
    return Word(
        part,
        *span,
        len(positions),
        None if 0 in layers else max(layers),
        max(scores, default=None),
        max(joined, key=joined.count, default=None),
    )


def _merged(before: Word, word: Word) -> Word:
    """One word of two whose spans overlap."""
    survives = before.survives or word.survives
    scores = [own.score for own in (before, word) if own.score is not None]
    return replace(
        before,
        end=max(before.end, word.end),
        tokens=before.tokens + word.tokens,
        left=None if survives else max(before.left or 0, word.left or 0),
        score=max(scores, default=None),
        joined=word.joined if before.joined is None else before.joined,
    )


def pieces(text: str, words: Sequence[Word]) -> Iterator[tuple[str, Word | None]]:
    """The whole text up to the end of the last word, as words and what stands between them (None)."""
    end = 0
    for word in words:
        if word.start > end:
            yield text[end : word.start], None
        yield text[word.start : word.end], word
        end = word.end


def survivors_alone(text: str, words: Sequence[Word]) -> str:
    """The text without the words that left: words that survived, a space where something stood between two of them."""
    kept, end = [], None
    for word in words:
        if word.survives:
            kept.append(text[word.start : word.end] if end in (None, word.start) else " " + text[word.start : word.end])
            end = word.end
    return "".join(kept)
