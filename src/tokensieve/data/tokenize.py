"""Texts to token ids, at one maximum length that the caller names and nothing stored in the tokenizer changes."""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.utils.data import Dataset

from tokensieve.data.documents import Document
from tokensieve.data.rows import shorten
from tokensieve.data.targets import class_ids, label_matrix
from tokensieve.errors import ConfigError, DataError, InputError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_CHUNK = 1000
_LIMITS = threading.RLock()  # truncation and padding are state of a tokenizer: one call after the other may set them


def _new_lock() -> None:
    """In a child process: the thread that holds the parent's may not be there."""
    global _LIMITS
    _LIMITS = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_new_lock)


@dataclass(frozen=True, slots=True)
class Encodings:
    """Token ids of some texts, in their order, without padding.

    Attributes:
        input_ids: Ids of each text, special tokens included; 1 to `max_length` of them.
        token_type_ids: Segment ids in the same shape, or None for a tokenizer that gives none.
        truncated: How many texts had more tokens than `max_length`.
    """

    input_ids: list[list[int]]
    token_type_ids: list[list[int]] | None
    truncated: int

    def __len__(self) -> int:
        return len(self.input_ids)

    @property
    def lengths(self) -> list[int]:
        """Number of tokens of each text."""
        return [len(ids) for ids in self.input_ids]


def encode(
    tokenizer: PreTrainedTokenizerBase, texts: Sequence[str], max_length: int, pairs: Sequence[str] | None = None
) -> Encodings:
    """Tokenise texts with special tokens, cut to `max_length`, unpadded.

    Of a text and its pair, tokens are cut off the longer one until both are of one length, then off both.

    Truncation and padding stored in a ``tokenizer.json`` (all-MiniLM's says 128 for both) have no effect, and are
    found there afterwards as they were before. Threads may encode at the same time.

    Args:
        tokenizer: Any transformers tokenizer.
        texts: The texts; may be none.
        max_length: The most tokens a text, with its pair, may have, special tokens counted. It is not checked
            against the model.
        pairs: A second text for each text, or None.

    Raises:
        ConfigError: `max_length` leaves no room for text beside the special tokens.
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
    if not texts:
        return Encodings([], [] if "token_type_ids" in tokenizer.model_input_names else None, 0)
    with _LIMITS, _stored_limits_kept(tokenizer):
        batch = tokenizer(
            texts, pairs, truncation="longest_first", max_length=max_length, padding=False, return_attention_mask=False
        )
        encodings = Encodings(batch["input_ids"], batch.get("token_type_ids"), 0)
        truncated = _count_truncated(tokenizer, texts, pairs, batch, max_length)
    for index, ids in enumerate(encodings.input_ids):
        if not ids:
            raise InputError(f"document {index} has no tokens: {shorten(texts[index])}; leave it out")
    return Encodings(encodings.input_ids, encodings.token_type_ids, truncated)


def forget_stored_limits(tokenizer: PreTrainedTokenizerBase) -> None:
    """Take truncation and padding out of the tokenizer, so that its next ``tokenizer.json`` stores neither."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is not None:
        with _LIMITS:
            backend.no_truncation()
            backend.no_padding()


class TokenizedDocuments(Dataset[dict[str, Any]]):
    """Documents as features for transformers' Trainer, to be padded by its ``DataCollatorWithPadding``.

    An item has ``input_ids`` and ``attention_mask``, ``token_type_ids`` if the tokenizer gives them, as lists of ints
    of the document's own length, and ``labels`` if label names are given: the class id, or in multi-label data a
    list of a 0.0 or 1.0 for each class. All ids lie in one flat int32 tensor: lists of Python ints would take some ten
    times the memory.

    Args:
        documents: The documents, kept in their order.
        tokenizer: Any transformers tokenizer.
        max_length: As in `encode`.
        label_names: Label names, each at the place of its class id; None leaves ``labels`` out.

    Attributes:
        lengths: Tokens of each document, ``(documents,)``, int64.
        truncated: Number of documents that were cut to `max_length`.

    Raises:
        ConfigError: As `encode`.
        InputError: As `encode`.
        DataError: A document has a label that is not among `label_names`; or some documents have a pair, or a list
            of labels, and others have not.
    """

    def __init__(
        self,
        documents: Sequence[Document],
        tokenizer: PreTrainedTokenizerBase,
        max_length: int,
        label_names: Sequence[str] | None = None,
    ) -> None:
        self._labels: Tensor | None = None
        if label_names is not None:
            multi_label = any(isinstance(document.label, tuple) for document in documents)
            targets = label_matrix if multi_label else class_ids
            self._labels = torch.as_tensor(targets(documents, label_names))
        chunks = [documents[start : start + _CHUNK] for start in range(0, len(documents), _CHUNK)]
        ids: list[Tensor] = []
        types: list[Tensor] = []
        lengths: list[int] = []
        self.truncated = 0
        for chunk in chunks:
            encodings = encode(tokenizer, [document.text for document in chunk], max_length, pairs_of(chunk))
            ids.append(_flat(encodings.input_ids, torch.int32))
            if encodings.token_type_ids is not None:
                types.append(_flat(encodings.token_type_ids, torch.uint8))
            lengths += encodings.lengths
            self.truncated += encodings.truncated
        self._ids = torch.cat(ids) if ids else torch.empty(0, dtype=torch.int32)
        self._types = torch.cat(types) if types else None
        self.lengths = torch.tensor(lengths, dtype=torch.int64)
        self._ends = self.lengths.cumsum(0)

    @property
    def class_ids(self) -> list[int]:
        """Class id of each document; empty without label names and in multi-label data."""
        return [] if self._labels is None or self._labels.dim() == 2 else self._labels.tolist()

    @property
    def label_matrix(self) -> Tensor | None:
        """Multi-label data: 0 and 1 by document and class, ``(documents, classes)``, float32; else None."""
        return self._labels if self._labels is not None and self._labels.dim() == 2 else None

    def digest(self) -> str:
        """A hash of all tokens and labels in their order; the same for the same documents, tokenizer and length."""
        found = hashlib.sha256()
        for tensor in (self._ids, self._types, self.lengths, self._labels):
            found.update(b"none" if tensor is None else tensor.numpy().tobytes())
        return found.hexdigest()

    def __len__(self) -> int:
        return len(self.lengths)

    def __getitem__(self, index: int) -> dict[str, Any]:
        if not -len(self) <= index < len(self):
            raise IndexError(f"document {index} of {len(self)}")
        end = int(self._ends[index])
        length = int(self.lengths[index])
        item: dict[str, Any] = {
            "input_ids": self._ids[end - length : end].tolist(),
            "attention_mask": [1] * length,
        }
        if self._types is not None:
            item["token_type_ids"] = self._types[end - length : end].tolist()
        if self._labels is not None:
            item["labels"] = self._labels[index].tolist()
        return item


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
def _stored_limits_kept(tokenizer: PreTrainedTokenizerBase) -> Iterator[None]:
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        yield
        return
    truncation, padding = backend.truncation, backend.padding
    try:
        yield
    finally:
        if truncation is None:
            backend.no_truncation()
        else:
            backend.enable_truncation(**truncation)
        if padding is None:
            backend.no_padding()
        else:
            backend.enable_padding(**padding)


def _count_truncated(
    tokenizer: PreTrainedTokenizerBase, texts: list[str], pairs: list[str] | None, batch: Any, max_length: int
) -> int:
    if batch.encodings is not None:
        return sum(bool(encoding.overflowing) for encoding in batch.encodings)
    # A tokenizer written in Python does not keep what it cuts off; only a text that fills max_length can be cut.
    whole = zip(texts, [None] * len(texts) if pairs is None else pairs, batch["input_ids"], strict=True)
    full = [(text, pair) for text, pair, ids in whole if len(ids) == max_length]
    return sum(len(tokenizer(*both, truncation=False, verbose=False)["input_ids"]) > max_length for both in full)


def pairs_of(documents: Sequence[Document]) -> list[str] | None:
    """The second text of each document, or None where they have none.

    Raises:
        DataError: some have one and others have not.
    """
    pairs = [document.pair for document in documents if document.pair is not None]
    if not pairs:
        return None
    if len(pairs) < len(documents):
        single = next(document for document in documents if document.pair is None)
        raise DataError(
            f"{single.source}, line {single.line}: the document has no second text, which others have; "
            "read all documents with the same pair_column"
        )
    return pairs


def _flat(rows: list[list[int]], dtype: torch.dtype) -> Tensor:
    return torch.tensor([value for row in rows for value in row], dtype=dtype)
