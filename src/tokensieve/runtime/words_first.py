"""The engine of a cascade that begins with a bag of words: an encoder reads only what that defers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from tokensieve.cascade.build import EncoderClassifier
from tokensieve.cascade.words_first import WordsFirst
from tokensieve.data.documents import Document
from tokensieve.model.probabilities import class_probabilities
from tokensieve.runtime.engine import Engine, Prepared
from tokensieve.runtime.results import Result, decide
from tokensieve.runtime.windows import check_forms

WORDS = "words"
"""Name of the first stage."""


def engine_of(model: EncoderClassifier, tokenizer: Any, words_first: WordsFirst | None, **options: Any) -> Engine:
    """The engine of an encoder, behind a bag of words if there is one; `options` as `Engine` takes them."""
    if words_first is None:
        return Engine(model, tokenizer, **options)
    return WordsFirstEngine(model, tokenizer, words_first, **options)


def engine_like(engine: Engine, model: EncoderClassifier, words_first: WordsFirst | None) -> Engine:
    """An engine with the tokenizer, length and budget of another one."""
    options: dict[str, Any] = {"max_length": engine.max_length, "batch_tokens": engine.batch_tokens}
    return engine_of(model, engine.tokenizer, words_first, **options)


class WordsFirstEngine(Engine):
    """As `Engine`, behind a bag of words.

    The bag of words answers in the thread that tokenizes, beside the encoder. Document vectors (`embed`) are the
    encoder's, of all documents.

    Args:
        model: the encoder, one model or a cascade.
        tokenizer: of the encoder.
        words_first: the first stage.
        options: as `Engine` takes them.
    """

    def __init__(self, model: EncoderClassifier, tokenizer: Any, words_first: WordsFirst, **options: Any) -> None:
        super().__init__(model, tokenizer, **options)
        self.words_first: WordsFirst = words_first
        self.stages = (WORDS, *self.stages)

    def prepare(self, documents: Sequence[Document], **how: Any) -> Prepared:
        """As `Engine.prepare`: the bag of words answers, and what it defers is tokenized."""
        check_forms(documents, self.words_first.words.pairs)
        words = self.words_first.answer([document.content for document in documents])
        left = [documents[row] for row in words.deferred]
        return Prepared(len(documents), self._encode(left, **how) if left else None, words.deferred, words.logits)

    @torch.inference_mode()
    def finish(self, prepared: Prepared, read: Sequence[Result], *, tokens: bool = False) -> list[Result]:
        """As `Engine.finish`; the answer to a deferred document combines both."""
        first: WordsFirst = self.words_first
        words: Tensor = prepared.answered
        deferred = list(prepared.waiting)
        heat = self.model.config.calibration_temperature  # by which whoever reads the logits divides them
        logits = words.clone()
        if read:
            encoder = torch.tensor([result.logits for result in read]) / heat
            logits[deferred] = first.settings.combined(words[deferred], encoder)
        probabilities = class_probabilities(logits, first.problem_type).tolist()
        answered = Result((), 0, (), (), 0, (), () if tokens else None, None, WORDS)
        by_row = {row: answered for row in range(len(logits))} | dict(zip(deferred, read, strict=True))
        return [
            replace(by_row[row], probabilities=tuple(own), label=label, labels=labels, logits=tuple(scores))
            for row, (own, scores) in enumerate(zip(probabilities, (heat * logits).tolist(), strict=True))
            for label, labels in [decide(own, first)]
        ]
