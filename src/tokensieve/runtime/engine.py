"""The engine: documents in, results out, in the order given. predict, evaluate and `tokensieve.load` all run on it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from tokensieve.data.documents import Document
from tokensieve.data.tokenize import Encodings, encode, pairs_of
from tokensieve.errors import ConfigError
from tokensieve.model.classifier import TokensieveForSequenceClassification, TokensieveOutput
from tokensieve.model.configuration import TokensieveConfig
from tokensieve.model.probabilities import class_probabilities
from tokensieve.runtime.batching import batches_by_tokens, windows

BATCH_TOKENS = 4096
"""Default budget: on CPU larger batches win nothing and leave the cache, smaller ones pay per call."""

_WINDOW_DOCUMENTS = 1024
_WINDOW_CHARACTERS = 8_000_000  # bounds the memory of a window of very long documents


@dataclass(frozen=True, slots=True)
class Result:
    """What the model says of one document.

    Attributes:
        probabilities: of every class, in the order of the class ids, at the model's calibration temperature.
        label: class id of the highest one.
        labels: class ids given: the one; of a multi-label model all that reach their threshold, maybe none.
        logits: what the probabilities are made of, before the temperature.
        length: tokens that the model saw, special tokens included.
        kept: tokens kept at every step, see `Trace.kept`.
        tokens: text of the tokens that survived, in order; None unless asked for.
        joined: combination token (0..m-1) that each of `tokens` joined; None without a combining module.
    """

    probabilities: tuple[float, ...]
    label: int
    labels: tuple[int, ...]
    logits: tuple[float, ...]
    length: int
    kept: tuple[int, ...]
    tokens: tuple[str, ...] | None = None
    joined: tuple[int, ...] | None = None


class Engine:
    """Runs a model over documents.

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
        for window in self.stream_windows(documents, tokens=tokens):
            yield from window

    def stream_windows(
        self, documents: Iterable[Document], *, tokens: bool = False, skip: int = 0
    ) -> Iterator[list[tuple[Document, Result]]]:
        """As `stream`, with the results of a window together.

        Args:
            documents: read as far as the window needs.
            tokens: name the tokens that survived.
            skip: documents at the start that are read but have no results. The windows are those of the whole stream,
                as the last digits of a probability depend on the batch.
        """
        for window in _windows(documents):
            done, skip = min(skip, len(window)), max(skip - len(window), 0)
            if done < len(window):
                results = self.classify(window, tokens=tokens)
                yield list(zip(window, results, strict=True))[done:]

    @torch.inference_mode()
    def classify(self, documents: Sequence[Document], *, tokens: bool = False) -> list[Result]:
        """Classify documents that fit into memory together; of each one, text and second text are read.

        Raises:
            InputError: a text without any token.
            DataError: some documents have a second text and others have not.
            ConfigError: a calibration in the model's config that does not fit its labels.
        """
        self.model.config.check_calibration()
        encodings = self._encode(documents)
        results: dict[int, Result] = {}
        for batch, output in self._outputs(encodings):
            rows = self._results(output, [encodings.input_ids[i] for i in batch], tokens)
            results.update(zip(batch, rows, strict=True))
        return [results[i] for i in range(len(documents))]

    @torch.inference_mode()
    def embed(self, documents: Iterable[Document]) -> Tensor:
        """Document vectors [N, d] float32 on the CPU, which the head's last layer reads; any number of documents.

        Raises:
            InputError: a text without any token.
            DataError: some documents have a second text and others have not.
        """
        vectors = [torch.empty(0, self.model.config.hidden_size)]
        for window in _windows(documents):
            encodings = self._encode(window)
            vectors.append(torch.empty(len(window), self.model.config.hidden_size))
            for batch, output in self._outputs(encodings):
                vectors[-1][batch] = output["pooled"].float().cpu()
        return torch.cat(vectors)

    def _encode(self, documents: Sequence[Document]) -> Encodings:
        texts = [document.text for document in documents]
        encodings = encode(self.tokenizer, texts, self.max_length, pairs_of(documents))
        self.truncated += encodings.truncated
        return encodings

    def _outputs(self, encodings: Encodings) -> Iterator[tuple[list[int], TokensieveOutput]]:
        """Every batch, as indices, with what the model makes of it."""
        for batch in batches_by_tokens(encodings.lengths, self.batch_tokens):
            yield batch, self.model(**self._inputs(encodings, batch))

    def _inputs(self, encodings: Encodings, batch: list[int]) -> dict[str, Tensor]:
        device = self.model.device
        lengths = torch.tensor([len(encodings.input_ids[i]) for i in batch])
        mask = torch.arange(int(lengths.max())) < lengths.unsqueeze(1)
        inputs = {"input_ids": _padded(encodings.input_ids, batch), "attention_mask": mask}
        if encodings.token_type_ids is not None and self.model.config.type_vocab_size:
            inputs["token_type_ids"] = _padded(encodings.token_type_ids, batch)
        return {name: tensor.to(device) for name, tensor in inputs.items()}

    def _results(self, output: TokensieveOutput, ids: list[list[int]], tokens: bool) -> Iterator[Result]:
        config, trace, logits = self.model.config, output["trace"], output["logits"].float()
        probabilities = class_probabilities(logits, config.problem_type, config.calibration_temperature)
        survivors = trace.survivors() if tokens else None
        joined = trace.assignments() if tokens else None
        for i, (scores, row) in enumerate(zip(logits.tolist(), probabilities.tolist(), strict=True)):
            kept = tuple(step[i] for step in trace.kept)
            words = places = None
            if survivors is not None:
                words = tuple(self.tokenizer.convert_ids_to_tokens([ids[i][p] for p in survivors[i]]))
                places = tuple(joined[i][p] for p in survivors[i]) if joined is not None else None
            label, labels = _decide(row, config)
            yield Result(tuple(row), label, labels, tuple(scores), len(ids[i]), kept, words, places)


def _decide(probabilities: list[float], config: TokensieveConfig) -> tuple[int, tuple[int, ...]]:
    """The most probable class, and all that are given."""
    highest = max(range(len(probabilities)), key=probabilities.__getitem__)
    if not config.is_multi_label:
        return highest, (highest,)
    thresholds = config.thresholds or [0.5] * len(probabilities)
    pairs = zip(probabilities, thresholds, strict=True)
    return highest, tuple(i for i, (probability, threshold) in enumerate(pairs) if probability >= threshold)


def _windows(documents: Iterable[Document]) -> Iterator[list[Document]]:
    def size(document: Document) -> int:
        return len(document.text) + len(document.pair or "")

    return windows(documents, size, _WINDOW_DOCUMENTS, _WINDOW_CHARACTERS)


def _padded(rows: list[list[int]], batch: list[int]) -> Tensor:
    return torch.nn.utils.rnn.pad_sequence([torch.tensor(rows[i]) for i in batch], batch_first=True)
