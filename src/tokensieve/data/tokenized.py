"""Documents as token ids in memory: what transformers' Trainer draws its batches from."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.utils.data import Dataset

from tokensieve.data.documents import Document
from tokensieve.data.targets import class_ids, label_matrix
from tokensieve.data.tokenize import encode
from tokensieve.data.weights import weights_of
from tokensieve.errors import DataError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_CHUNK = 1000

WEIGHT = "sample_weight"
"""The name of a document's weight among its features."""


class TokenizedDocuments(Dataset[dict[str, Any]]):
    """Documents as features for transformers' Trainer, to be padded by its ``DataCollatorWithPadding``.

    An item has ``input_ids``, ``attention_mask``, ``special_tokens_mask``, and ``token_type_ids`` if the tokenizer
    gives them: lists of ints of the document's own length. It has ``labels`` if label names are given: the class id,
    or in multi-label data a list of a 0.0 or 1.0 for each class. It has its weight as `WEIGHT`, unless all weights are
    1. All ids lie in one flat int32 tensor, because lists of Python ints would take some ten times the memory.

    Args:
        documents: The documents, kept in their order.
        tokenizer: Any transformers tokenizer.
        max_length: As in `encode`.
        label_names: Label names, each at the place of its class id; None leaves ``labels`` out.

    Attributes:
        lengths: Tokens of each document, ``(documents,)``, int64.
        truncated: Number of documents that were cut to `max_length`.
        weights: Weight of each document, ``(documents,)``, float64; None where each is 1.

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
        weights = weights_of(documents)
        self.weights = None if weights is None else torch.from_numpy(weights)
        self._labels: Tensor | None = None
        if label_names is not None:
            multi_label = any(isinstance(document.label, tuple) for document in documents)
            targets = label_matrix if multi_label else class_ids
            self._labels = torch.as_tensor(targets(documents, label_names))
        chunks = [documents[start : start + _CHUNK] for start in range(0, len(documents), _CHUNK)]
        ids: list[Tensor] = []
        types: list[Tensor] = []
        special: list[Tensor] = []
        lengths: list[int] = []
        self.truncated = 0
        for chunk in chunks:
            encodings = encode(tokenizer, [document.text for document in chunk], max_length, pairs_of(chunk))
            ids.append(_flat(encodings.input_ids, torch.int32))
            if encodings.token_type_ids is not None:
                types.append(_flat(encodings.token_type_ids, torch.uint8))
            special.append(_flat(encodings.special_tokens_mask, torch.uint8))
            lengths += encodings.lengths
            self.truncated += encodings.truncated
        self._ids = torch.cat(ids) if ids else torch.empty(0, dtype=torch.int32)
        self._types = torch.cat(types) if types else None
        self._special = torch.cat(special) if special else torch.empty(0, dtype=torch.uint8)
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
        """A hash of all tokens, labels and weights in their order.

        It is the same for the same documents, tokenizer and length. Weights of 1 are left out.
        """
        found = hashlib.sha256()
        for tensor in (self._ids, self._types, self.lengths, self._labels):
            found.update(b"none" if tensor is None else tensor.numpy().tobytes())
        if self.weights is not None:
            found.update(self.weights.numpy().tobytes())
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
            "special_tokens_mask": self._special[end - length : end].tolist(),
        }
        if self._types is not None:
            item["token_type_ids"] = self._types[end - length : end].tolist()
        if self._labels is not None:
            item["labels"] = self._labels[index].tolist()
        if self.weights is not None:
            item[WEIGHT] = float(self.weights[index])
        return item


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
