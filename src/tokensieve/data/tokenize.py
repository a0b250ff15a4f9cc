"""Texts to token ids. The caller names the maximum length; nothing stored in the tokenizer changes it.

A special token that is written in a text, such as ``[SEP]``, is text: only the tokenizer adds special tokens.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from tokensieve.data.rows import shorten
from tokensieve.errors import ConfigError, InputError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_CHARACTERS_PER_TOKEN = 16  # of English it is about five
_LIMITS = threading.RLock()  # truncation and padding are state of a tokenizer: one call after the other may set them


def _new_lock() -> None:
    """In a child process: the thread that holds the parent's may not be there."""
    global _LIMITS
    _LIMITS = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_new_lock)


class Place(NamedTuple):
    """Where a token stands in its document.

    Attributes:
        part: 0 for the text, 1 for the second text of a pair; None for a special token, which stands nowhere.
        word: Number of its word in that part, as the tokenizer divides it; None where it does not tell.
        start: First character, of the text as it was given.
        end: One past the last character.
    """

    part: int | None
    word: int | None
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Encodings:
    """Token ids of some texts, in their order, without padding.

    Attributes:
        input_ids: Ids of each text, special tokens included; 1 to `max_length` of them.
        token_type_ids: Segment ids in the same shape, or None for a tokenizer that gives none.
        special_tokens_mask: In the same shape, 1 for each special token that the tokenizer added, 0 for text.
        is_truncated: Of each text, whether it had more tokens than `max_length`.
        places: In the same shape, where each token stands in its text; None unless asked for.
    """

    input_ids: list[list[int]]
    token_type_ids: list[list[int]] | None
    special_tokens_mask: list[list[int]]
    is_truncated: list[bool]
    places: list[list[Place]] | None = None

    def __len__(self) -> int:
        return len(self.input_ids)

    @property
    def lengths(self) -> list[int]:
        """Number of tokens of each text."""
        return [len(ids) for ids in self.input_ids]

    @property
    def truncated(self) -> int:
        """How many texts had more tokens than `max_length`."""
        return sum(self.is_truncated)


def joined(rows: Sequence[tuple[Encodings, int]]) -> Encodings:
    """The encodings of some texts, each given by the encodings that it is in and its row there.

    All are of one tokenizer. Places are left out.
    """
    segments = [own.token_type_ids for own, _ in rows]
    return Encodings(
        [own.input_ids[row] for own, row in rows],
        None if None in segments else [own[row] for own, (_, row) in zip(segments, rows, strict=True) if own],
        [own.special_tokens_mask[row] for own, row in rows],
        [own.is_truncated[row] for own, row in rows],
    )


def encode(
    tokenizer: PreTrainedTokenizerBase,
    texts: Sequence[str],
    max_length: int,
    pairs: Sequence[str] | None = None,
    side: str | None = None,
    places: bool = False,
) -> Encodings:
    """Tokenise texts with special tokens, cut to `max_length`, unpadded.

    Of a text and its pair, tokens are cut off the longer one until both are of one length, then off both.

    A special token that is written in a text is split as other text is (``[SEP]`` into ``[``, ``sep``, ``]``), so that
    no author of a document can place one.

    Truncation and padding stored in a ``tokenizer.json`` (all-MiniLM's says 128 for both) have no effect. They are
    the same before and after. Threads may encode at the same time.

    Args:
        tokenizer: Any transformers tokenizer.
        texts: The texts; may be none.
        max_length: The most tokens a text, with its pair, may have, special tokens counted. It is not checked
            against the model.
        pairs: A second text for each text, or None.
        side: On which side tokens are cut off, "left" or "right"; None: as the tokenizer says.
        places: Tell where each token stands in its text.

    Raises:
        ConfigError: `max_length` leaves no room for text beside the special tokens, or the tokenizer cannot tell the
            places that are asked for.
        InputError: A text is no string, is not valid Unicode, or has no token at all; or there are not as many pairs
            as texts.
    """
    special = tokenizer.num_special_tokens_to_add(pair=pairs is not None)
    least = special + (1 if pairs is None else 2)
    if max_length < least:
        what = "text" if pairs is None else "two texts"
        raise ConfigError(
            f"max_length {max_length} leaves no room for {what} beside {special} special tokens; "
            f"make it {least} or more"
        )
    texts = list(texts)
    pairs = None if pairs is None else list(pairs)
    if pairs is not None and len(pairs) != len(texts):
        raise InputError(f"{len(texts)} texts and {len(pairs)} pairs: give a pair for each text")
    for part in (texts, pairs or ()):
        for index, text in enumerate(part):
            check_text(index, text)
    if places and not getattr(tokenizer, "is_fast", False):
        raise ConfigError(
            f"{type(tokenizer).__name__} does not tell where a token stands in its text: give the model folder a "
            "tokenizer.json"
        )
    if not texts:
        return Encodings([], [] if "token_type_ids" in tokenizer.model_input_names else None, [], [])
    with _LIMITS, _stored_state_kept(tokenizer):
        tokenizer.truncation_side = side or tokenizer.truncation_side
        beginnings = texts if pairs or tokenizer.truncation_side == "left" else _beginnings(texts, max_length)
        batch = _tokenized(tokenizer, beginnings, pairs, max_length, places)
        if beginnings is not texts and not _all_decided(batch, texts, beginnings):
            batch = _tokenized(tokenizer, texts, pairs, max_length, places)
        is_truncated = _are_truncated(tokenizer, texts, pairs, batch, max_length)
    for index, ids in enumerate(batch["input_ids"]):
        if not ids:
            raise InputError(f"document {index} has no tokens: {shorten(texts[index])}; leave it out")
    found = [_places(batch, row) for row in range(len(texts))] if places else None
    segments, special_tokens = batch.get("token_type_ids"), batch["special_tokens_mask"]
    return Encodings(batch["input_ids"], segments, special_tokens, is_truncated, found)


def _places(batch: Any, row: int) -> list[Place]:
    """Where the tokens of one text stand; special tokens have no part."""
    rows = zip(batch.sequence_ids(row), batch.word_ids(row), batch["offset_mapping"][row], strict=True)
    return [Place(part, word, start, end) for part, word, (start, end) in rows]


def _tokenized(
    tokenizer: PreTrainedTokenizerBase, texts: list[str], pairs: list[str] | None, max_length: int, places: bool
) -> Any:
    return tokenizer(
        texts,
        pairs,
        truncation="longest_first",
        max_length=max_length,
        padding=False,
        return_attention_mask=False,
        return_special_tokens_mask=True,
        return_offsets_mapping=places,
        split_special_tokens=True,
    )


def _beginnings(texts: list[str], max_length: int) -> list[str]:
    """The texts, very long ones up to a space behind more characters than `max_length` tokens nearly ever have.

    A tokenizer reads whole texts before it truncates them, 1 MB in half a second. The list itself if none is so long.
    """
    most = _CHARACTERS_PER_TOKEN * max_length
    if all(len(text) <= 2 * most for text in texts):
        return texts
    ends = (text.find(" ", most, 2 * most) if len(text) > 2 * most else -1 for text in texts)
    return [text if end < 0 else text[:end] for text, end in zip(texts, ends, strict=True)]


def _all_decided(batch: Any, texts: list[str], beginnings: list[str]) -> bool:
    """Whether each beginning has so many more tokens than are kept that what follows it cannot change those."""
    if batch.encodings is None:
        return False
    found = zip(batch.encodings, texts, beginnings, strict=True)
    return all(text is beginning or len(encoding.overflowing) > 1 for encoding, text, beginning in found)


def prepare_for_saving(tokenizer: PreTrainedTokenizerBase) -> None:
    """Let the tokenizer's files encode as `encode` does, so that transformers' pipelines do too.

    The files store no truncation, no padding, and that a special token written in a text is text.
    """
    tokenizer.split_special_tokens = True
    tokenizer.init_kwargs["split_special_tokens"] = True  # what `save_pretrained` writes
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is not None:
        with _LIMITS:
            backend.no_truncation()
            backend.no_padding()


def check_text(index: int, text: object) -> str:
    """The text, if it is one.

    Raises:
        InputError: no string, or not valid Unicode; `index` is the place that the message names.
    """
    if not isinstance(text, str):
        raise InputError(f"document {index} is {type(text).__name__} {shorten(text)}; give a string")
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise InputError(
            f"document {index} is not valid Unicode at character {error.start}: {shorten(text)}; "
            "read it with the encoding it was written in"
        ) from error
    return text


@contextmanager
def _stored_state_kept(tokenizer: PreTrainedTokenizerBase) -> Iterator[None]:
    backend = getattr(tokenizer, "backend_tokenizer", None)
    side = tokenizer.truncation_side
    try:
        if backend is None:
            yield
        else:
            with _stored_limits_kept(backend):
                yield
    finally:
        tokenizer.truncation_side = side


@contextmanager
def _stored_limits_kept(backend: Any) -> Iterator[None]:
    truncation, padding, splits = backend.truncation, backend.padding, backend.encode_special_tokens
    try:
        yield
    finally:
        backend.encode_special_tokens = splits
        if truncation is None:
            backend.no_truncation()
        else:
            backend.enable_truncation(**truncation)
        if padding is None:
            backend.no_padding()
        else:
            backend.enable_padding(**padding)


def _are_truncated(
    tokenizer: PreTrainedTokenizerBase, texts: list[str], pairs: list[str] | None, batch: Any, max_length: int
) -> list[bool]:
    if batch.encodings is not None:
        return [bool(encoding.overflowing) for encoding in batch.encodings]
    # A tokenizer written in Python does not keep what it cuts off; only a text that fills max_length can be cut.
    whole = zip(texts, [None] * len(texts) if pairs is None else pairs, batch["input_ids"], strict=True)
    options = {"truncation": False, "verbose": False, "split_special_tokens": True}
    return [
        len(ids) == max_length and len(tokenizer(text, pair, **options)["input_ids"]) > max_length
        for text, pair, ids in whole
    ]
