"""The engine: texts in, results out, in the order given. predict, evaluate and `tokensieve.load` all run on it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from tokensieve.data.documents import Document
from tokensieve.data.tokenize import Encodings, encode
from tokensieve.errors import ConfigError
from tokensieve.model.classifier import TokensieveForSequenceClassification
from tokensieve.model.trace import Trace
from tokensieve.runtime.batching import batches_by_tokens, windows

BATCH_TOKENS = 4096
"""Default budget: on CPU larger batches win nothing and leave the cache, smaller ones pay per call."""

_WINDOW_DOCUMENTS = 1024
_WINDOW_CHARACTERS = 8_000_000  # bounds the memory of a window of very long documents


@dataclass(frozen=True, slots=True)
class Result:
    """What the model says of one document.

    Attributes:
        probabilities: of every class, in the order of the class ids.
        label: class id of the highest one.
        length: tokens that the model saw, special tokens included.
        kept: tokens kept at every step, see `Trace.kept`.
        tokens: text of the tokens that survived, in order; None unless asked for.
        joined: combination token (0..m-1) that each of `tokens` joined; None without a combining module.
    """

    probabilities: tuple[float, ...]
    label: int
    length: int
    kept: tuple[int, ...]
    tokens: tuple[str, ...] | None = None
    joined: tuple[int, ...] | None = None


class Engine:
    """Runs a model over texts.

    Args:
        model: in eval mode, on its device.
        tokenizer: of the model.
        max_length: documents are truncated to this many tokens; None: what the checkpoint was trained with, or fits.
        batch_tokens: most tokens of a batch.

    Attributes:
        truncated: documents truncated so far.

    Raises:
        ConfigError: a budget below 1, or a length that the position table does not hold.
    """

    def __init__(
        self,
        model: TokensieveForSequenceClassification,
        tokenizer: Any,
        *,
        max_length: int | None = None,
        batch_tokens: int = BATCH_TOKENS,
    ) -> None:
        if batch_tokens < 1:
            raise ConfigError(f"batch_tokens={batch_tokens}: give 1 or more")
        self.model, self.tokenizer, self.batch_tokens = model, tokenizer, batch_tokens
        self.max_length = model.config.truncation_length(max_length)
        self.truncated = 0

    def stream(self, documents: Iterable[Document], *, tokens: bool = False) -> Iterator[tuple[Document, Result]]:
        """Classify a stream of any length, a window at a time; results come in the order of the documents.

        Args:
            documents: read as far as the window needs.
            tokens: name the tokens that survived.
        """
        for window in windows(documents, lambda d: len(d.text), _WINDOW_DOCUMENTS, _WINDOW_CHARACTERS):
            results = self.classify([document.text for document in window], tokens=tokens)
            yield from zip(window, results, strict=True)

    @torch.inference_mode()
    def classify(self, texts: Sequence[str], *, tokens: bool = False) -> list[Result]:
        """Classify texts that fit into memory together.

        Raises:
            InputError: a text without any token.
        """
        encodings = encode(self.tokenizer, texts, self.max_length)
        self.truncated += encodings.truncated
        results: dict[int, Result] = {}
        for batch in batches_by_tokens(encodings.lengths, self.batch_tokens):
            output = self.model(**self._inputs(encodings, batch))
            rows = self._results(output.logits, output.trace, [encodings.input_ids[i] for i in batch], tokens)
            results.update(zip(batch, rows, strict=True))
        return [results[i] for i in range(len(texts))]

    def _inputs(self, encodings: Encodings, batch: list[int]) -> dict[str, Tensor]:
        device = self.model.device
        lengths = torch.tensor([len(encodings.input_ids[i]) for i in batch])
        mask = torch.arange(int(lengths.max())) < lengths.unsqueeze(1)
        inputs = {"input_ids": _padded(encodings.input_ids, batch), "attention_mask": mask}
        if encodings.token_type_ids is not None and self.model.config.type_vocab_size:
            inputs["token_type_ids"] = _padded(encodings.token_type_ids, batch)
        return {name: tensor.to(device) for name, tensor in inputs.items()}

    def _results(self, logits: Tensor, trace: Trace, ids: list[list[int]], tokens: bool) -> Iterator[Result]:
        probabilities = class_probabilities(logits, self.model.config.problem_type)
        survivors = trace.survivors() if tokens else None
        joined = trace.assignments() if tokens else None
        for i, row in enumerate(probabilities.tolist()):
            kept = tuple(step[i] for step in trace.kept)
            words = places = None
            if survivors is not None:
                words = tuple(self.tokenizer.convert_ids_to_tokens([ids[i][p] for p in survivors[i]]))
                places = tuple(joined[i][p] for p in survivors[i]) if joined is not None else None
            yield Result(tuple(row), max(range(len(row)), key=row.__getitem__), len(ids[i]), kept, words, places)


def class_probabilities(logits: Tensor, problem_type: str | None) -> Tensor:
    """Probabilities [B, C] float32: softmax over the classes, or a sigmoid each for multi-label models."""
    logits = logits.float()
    return logits.sigmoid() if problem_type == "multi_label_classification" else logits.softmax(-1)


def _padded(rows: list[list[int]], batch: list[int]) -> Tensor:
    return torch.nn.utils.rnn.pad_sequence([torch.tensor(rows[i]) for i in batch], batch_first=True)
