"""The engine: documents in, results out, in the order given. predict, evaluate and `tokensieve.load` all run on it."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from itertools import accumulate
from typing import Any

import torch
from torch import Tensor

from tokensieve.cascade.build import EncoderClassifier, rules_of, stages_of
from tokensieve.cascade.cascade import run_cascade
from tokensieve.cascade.words_first import WordsFirst
from tokensieve.data.documents import Document
from tokensieve.data.tokenize import Encodings, joined
from tokensieve.errors import ConfigError
from tokensieve.model.answers import Answers
from tokensieve.model.classifier import TokensieveForSequenceClassification
from tokensieve.old_names import renamed_keyword
from tokensieve.runtime.batching import batches_by_tokens, padded_batch
from tokensieve.runtime.budget import BATCH_TOKENS, fastest_budget
from tokensieve.runtime.micro_batches import run_in_micro_batches
from tokensieve.runtime.results import Embedded, Result, results_of
from tokensieve.runtime.windows import cut, encode_documents, prepared_windows

STAGES = ("encoder", "second encoder")
"""Names of a model alone, or of the stages of a cascade of encoders."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """Some documents, ready for the encoder.

    Attributes:
        documents: how many there are.
        encodings: the tokens of those that the encoder reads; None: it reads none.
        waiting: the rows of these documents, in the order of the encodings.
        answered: what is known already, a row for each document; None: nothing is. The engine that made it knows its
            type, which can be sliced.
    """

    documents: int
    encodings: Encodings | None
    waiting: Sequence[int]
    answered: Any = None

    def split(self, sizes: Sequence[int]) -> list[Prepared]:
        """The same in parts of these numbers of documents, which add up to all of them."""
        ends = list(accumulate(sizes))
        return [self._between(end - size, end) for size, end in zip(sizes, ends, strict=True)]

    def _between(self, start: int, end: int) -> Prepared:
        rows = [row for row, document in enumerate(self.waiting) if start <= document < end]
        encodings = joined([(self.encodings, row) for row in rows]) if self.encodings and rows else None
        answered = None if self.answered is None else self.answered[start:end]
        return Prepared(end - start, encodings, [self.waiting[row] - start for row in rows], answered)


class Engine:
    """Runs a model over documents.

    Args:
        model: one model or a cascade, in eval mode, on its device. A body (`TokensieveModel`) has no classes: its
            engine only embeds.
        tokenizer: of the model.
        max_length: documents are truncated to this many tokens; None: what the checkpoint was trained with, or fits.
        batch_tokens: most tokens of a batch; "auto": the fastest on the first window that is large enough to tell.

    Attributes:
        batch_tokens: as given; where that is "auto", a number from the moment that it is chosen.
        truncated: documents truncated so far.
        stages: names of the stages that answer, as `Result.stage` has them.
        words_first: the bag of words ahead of the encoder; None: there is none.

    Raises:
        ConfigError: a budget below 1, or a length that the position table does not hold.
    """

    words_first: WordsFirst | None = None

    def __init__(
        self,
        model: EncoderClassifier,
        tokenizer: Any,
        *,
        max_length: int | None = None,
        batch_tokens: int | str = BATCH_TOKENS,
    ) -> None:
        if batch_tokens != "auto" and (not isinstance(batch_tokens, int) or batch_tokens < 1):
            raise ConfigError(f"batch_tokens={batch_tokens!r}: give 1 or more, or 'auto'")
        self.model, self.tokenizer, self.batch_tokens = model, tokenizer, batch_tokens
        self.max_length = model.config.truncation_length(max_length)
        self.truncated = 0
        self.stages = STAGES[: len(stages_of(model))]

    @property
    def budget(self) -> int:
        """Most tokens of a batch as of now: the default while "auto" has not chosen."""
        return self.batch_tokens if isinstance(self.batch_tokens, int) else BATCH_TOKENS

    @renamed_keyword("ahead", "prefetch")
    def stream(
        self, documents: Iterable[Document], *, tokens: bool = False, prefetch: bool = True
    ) -> Generator[tuple[Document, Result], None, None]:
        """Classify a stream of any length, a window at a time; results come in the order of the documents.

        Args:
            documents: as in `stream_windows`.
            tokens: name the tokens that survived.
            prefetch: as in `stream_windows`.
        """
        with closing(self.stream_windows(documents, tokens=tokens, prefetch=prefetch)) as windows:
            for window in windows:
                yield from window

    @renamed_keyword("ahead", "prefetch")
    def stream_windows(
        self, documents: Iterable[Document], *, tokens: bool = False, skip: int = 0, prefetch: bool = True
    ) -> Generator[list[tuple[Document, Result]], None, None]:
        """As `stream`, with the results of a window together.

        Args:
            documents: closed at the end, or when this generator is, if it is an iterator that can be.
            tokens: name the tokens that survived.
            skip: documents at the start that are read but have no results. The windows are those of the whole stream,
                as the last digits of a probability depend on the batch.
            prefetch: read and tokenize in a thread, two windows ahead of the model. False: in the caller's thread, no
                further than the window needs, for iterators that belong to a thread such as those of a database.
        """
        with closing(prepared_windows(documents, self.prepare, skip, prefetch)) as windows:
            for window in windows:
                results = self._answered(window.prepared, tokens)
                yield list(zip(window.documents, results, strict=True))[window.done :]

    @torch.inference_mode()
    def classify(self, documents: Sequence[Document], *, tokens: bool = False) -> list[Result]:
        """Classify documents that fit into memory together; of each one, text and second text are read.

        Raises:
            InputError: a text without any token.
            DataError: some documents have a second text and others have not.
            ConfigError: a calibration in the model's config that does not fit its labels.
        """
        return self._answered(self.prepare(documents), tokens) if documents else []

    @renamed_keyword("ahead", "prefetch")
    def embed(self, documents: Iterable[Document], *, prefetch: bool = True) -> Tensor:
        """Document vectors [N, d] float32 on the CPU, which the head's last layer reads; any number of documents.

        Args:
            documents: as in `stream_windows`.
            prefetch: as in `stream_windows`.

        Raises:
            InputError: a text without any token.
            DataError: some documents have a second text and others have not.
        """
        vectors = [torch.empty(0, self.model.config.hidden_size)]
        with closing(self.embed_windows(documents, prefetch=prefetch)) as windows:
            vectors += [window.vectors for window in windows]
        return torch.cat(vectors)

    def embed_windows(
        self, documents: Iterable[Document], *, prefetch: bool = True
    ) -> Generator[Embedded[Document], None, None]:
        """As `embed`, a window at a time, with the tokens that each document has and keeps."""
        with closing(prepared_windows(documents, self._encode, 0, prefetch)) as windows:
            for window in windows:
                yield self._embedded(window.documents, window.prepared)

    @torch.inference_mode()
    def _embedded(self, documents: Sequence[Document], encodings: Encodings) -> Embedded[Document]:
        vectors = torch.empty(len(documents), self.model.config.hidden_size)
        kept: list[tuple[int, ...]] = [()] * len(documents)
        for _, batch, answers in self._answers(encodings):
            vectors[batch] = answers.pooled.float().cpu()
            for document, counts in zip(batch, zip(*answers.trace.kept, strict=True), strict=True):
                kept[document] = counts
        return Embedded(tuple(documents), vectors, tuple(encodings.lengths), tuple(kept))

    @torch.inference_mode()
    def choose_budget(self, documents: Iterable[Document]) -> int:
        """Where `batch_tokens` is "auto", choose it now, on the first window of these; the budget."""
        if self.batch_tokens == "auto" and (window := next(cut(documents), None)):
            self._choose(self._encode(window))
        return self.budget

    def _choose(self, encodings: Encodings) -> None:
        def run(batch: list[int]) -> None:
            self._read_batch(encodings, stages_of(self.model)[0], batch).pooled.cpu()  # a GPU is waited for

        if self.batch_tokens == "auto":
            self.batch_tokens = fastest_budget(encodings.lengths, run) or "auto"

    def prepare(self, documents: Sequence[Document], **how: Any) -> Prepared:
        """Do what needs no encoder, such as tokenizing; it may run in another thread, ahead of the model.

        Args:
            documents: as in `classify`.
            how: `side`, `max_length` and `places`, as in `tokensieve.data.tokenize.encode`.

        Raises:
            InputError, DataError: as in `classify`.
        """
        return Prepared(len(documents), self._encode(documents, **how), range(len(documents)))

    @torch.inference_mode()
    def read(self, encodings: Encodings, *, tokens: bool = False) -> list[Result]:
        """Run the encoder, or the cascade of encoders, over tokenized documents; in their order.

        Raises:
            ConfigError: as in `classify`.
        """
        return self._classify(encodings, tokens)

    def finish(self, prepared: Prepared, read: Sequence[Result], *, tokens: bool = False) -> list[Result]:
        """The results of what `prepare` made, from the encoder's results of the rows that wait for it."""
        return list(read)

    def _answered(self, prepared: Prepared, tokens: bool) -> list[Result]:
        encodings = prepared.encodings
        read = [] if encodings is None else self.read(encodings, tokens=tokens)
        return self.finish(prepared, read, tokens=tokens)

    def _encode(self, documents: Sequence[Document], max_length: int | None = None, **how: Any) -> Encodings:
        length = self.max_length if max_length is None else max_length
        return encode_documents(self.tokenizer, documents, length, self.model.config.text_pairs, **how)

    def _classify(self, encodings: Encodings, tokens: bool) -> list[Result]:
        self.model.config.check_calibration()
        results: dict[int, Result] = {}
        for stage, batch, answers in self._answers(encodings):
            ids = [encodings.input_ids[i] for i in batch]
            named = self.tokenizer if tokens else None
            rows = results_of(answers, ids, self.model.config, named, STAGES[stage])
            results.update(zip(batch, rows, strict=True))
        return [results[i] for i in range(len(encodings))]

    def _answers(self, encodings: Encodings) -> Iterator[tuple[int, list[int], Answers]]:
        """Every batch of every stage: the number of the stage, the documents as indices, and the answers to them.

        Documents that a stage defers wait for those of all batches: the few of one batch would be slow to read.
        """
        self.truncated += encodings.truncated
        self._choose(encodings)
        stages = stages_of(self.model)
        # The budget was tried on the first stage. Later ones read more tokens, for which it may be too large.
        budgets = [self.budget, *[min(self.budget, BATCH_TOKENS)] * (len(stages) - 1)]
        readers = [partial(self._read, encodings, *own) for own in zip(stages, budgets, strict=True)]
        return run_cascade(readers, rules_of(self.model), encodings.lengths)

    def _read(
        self,
        encodings: Encodings,
        stage: TokensieveForSequenceClassification,
        budget: int,
        documents: Sequence[int],
    ) -> Iterator[tuple[list[int], Answers]]:
        """One stage's answers to some documents, a batch at a time."""
        for rows in batches_by_tokens([encodings.lengths[i] for i in documents], budget):
            batch = [documents[row] for row in rows]
            yield batch, self._read_batch(encodings, stage, batch)

    def _read_batch(
        self, encodings: Encodings, stage: TokensieveForSequenceClassification, batch: list[int]
    ) -> Answers:
        documents = padded_batch(encodings, batch, stage.config, self.model.device)
        return run_in_micro_batches(stage.read, documents, stage.encoder.rows_after_first_pruning(documents.lengths))
