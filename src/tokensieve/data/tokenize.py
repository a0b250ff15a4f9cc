"""Texts to token ids, at one maximum length that the caller names and nothing stored in the tokenizer changes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.utils.data import Dataset

from tokensieve.data.documents import Document
from tokensieve.data.rows import list_names, shorten
from tokensieve.errors import ConfigError, DataError, InputError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_CHUNK = 1000


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


def encode(tokenizer: PreTrainedTokenizerBase, texts: Sequence[str], max_length: int) -> Encodings:
    """Tokenise texts with special tokens, cut to `max_length`, unpadded.

    Truncation and padding stored in a ``tokenizer.json`` (all-MiniLM's says 128 for both) have no effect, and are
    found there afterwards as they were before.

    Args:
        tokenizer: Any transformers tokenizer.
        texts: The texts; may be none.
        max_length: The most tokens a text may have, special tokens counted. It is not checked against the model.

    Raises:
        ConfigError: `max_length` leaves no room for text beside the special tokens.
        InputError: A text is no string, is not valid Unicode, or has no token at all.
    """
    special = tokenizer.num_special_tokens_to_add()
    if max_length <= special:
        raise ConfigError(
            f"max_length {max_length} leaves no room for text beside {special} special tokens; "
            f"make it {special + 1} or more"
        )
    texts = list(texts)
    for index, text in enumerate(texts):
        check_text(index, text)
    if not texts:
        return Encodings([], [] if "token_type_ids" in tokenizer.model_input_names else None, 0)
    with _stored_limits_kept(tokenizer):
        batch = tokenizer(texts, truncation=True, max_length=max_length, padding=False, return_attention_mask=False)
        encodings = Encodings(batch["input_ids"], batch.get("token_type_ids"), 0)
        truncated = _count_truncated(tokenizer, texts, batch, max_length)
    for index, ids in enumerate(encodings.input_ids):
        if not ids:
            raise InputError(f"document {index} has no tokens: {shorten(texts[index])}; leave it out")
    return Encodings(encodings.input_ids, encodings.token_type_ids, truncated)


def forget_stored_limits(tokenizer: PreTrainedTokenizerBase) -> None:
    """Take truncation and padding out of the tokenizer, so that its next ``tokenizer.json`` stores neither."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is not None:
        backend.no_truncation()
        backend.no_padding()


class TokenizedDocuments(Dataset[dict[str, Any]]):
    """Documents as features for transformers' Trainer, to be padded by its ``DataCollatorWithPadding``.

    An item has ``input_ids`` and ``attention_mask``, ``token_type_ids`` if the tokenizer gives them, as lists of ints
    of the document's own length, and ``labels``, the class id, if label names are given. All ids lie in one flat
    int32 tensor: lists of Python ints would take some ten times the memory.

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
        DataError: A document has a label that is not among `label_names`.
    """

    def __init__(
        self,
        documents: Sequence[Document],
        tokenizer: PreTrainedTokenizerBase,
        max_length: int,
        label_names: Sequence[str] | None = None,
    ) -> None:
        self._labels = None if label_names is None else class_ids(documents, label_names)
        chunks = [documents[start : start + _CHUNK] for start in range(0, len(documents), _CHUNK)]
        ids: list[Tensor] = []
        types: list[Tensor] = []
        lengths: list[int] = []
        self.truncated = 0
        for chunk in chunks:
            encodings = encode(tokenizer, [document.text for document in chunk], max_length)
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
        """Class id of each document; empty without label names."""
        return list(self._labels or ())

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
            item["labels"] = self._labels[index]
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


def _count_truncated(tokenizer: PreTrainedTokenizerBase, texts: list[str], batch: Any, max_length: int) -> int:
    if batch.encodings is not None:
        return sum(bool(encoding.overflowing) for encoding in batch.encodings)
    # A tokenizer written in Python does not keep what it cuts off; only a text that fills max_length can be cut.
    full = [text for text, ids in zip(texts, batch["input_ids"], strict=True) if len(ids) == max_length]
    return sum(len(tokenizer(text, truncation=False, verbose=False)["input_ids"]) > max_length for text in full)


def class_ids(documents: Sequence[Document], label_names: Sequence[str]) -> list[int]:
    """The place of each document's label among the names.

    Raises:
        DataError: a label that is none of them.
    """
    ids = {name: index for index, name in enumerate(label_names)}
    for document in documents:
        if document.label not in ids:
            raise DataError(
                f"{document.source}, line {document.line}: the label {document.label!r} is none of "
                f"{list_names(label_names)}; correct it or leave the document out"
            )
    return [ids[str(document.label)] for document in documents]


def _flat(rows: list[list[int]], dtype: torch.dtype) -> Tensor:
    return torch.tensor([value for row in rows for value in row], dtype=dtype)
