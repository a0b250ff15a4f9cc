"""How fast an encoder reads documents."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from tokensieve.cascade.build import EncoderClassifier
from tokensieve.data.documents import Document
from tokensieve.data.tokenized import TokenizedDocuments
from tokensieve.training.fits.sample import padded

TIMED = 128
"""Documents on which the encoder's speed is measured."""
_BATCH = 32


@torch.no_grad()
def encoder_speed(model: EncoderClassifier, tokenizer: Any, documents: Sequence[Document], max_length: int) -> float:
    """Documents per second of the model, from texts to labels: of some of the documents, in batches of equal lengths.

    The first batch runs once before, to warm up.
    """
    chosen = [documents[row] for row in np.linspace(0, len(documents) - 1, min(TIMED, len(documents))).astype(int)]
    training = model.training
    model.train(False)
    for some in (chosen[:4], chosen):
        start = time.perf_counter()
        tokens = TokenizedDocuments(some, tokenizer, max_length)
        order = tokens.lengths.argsort().tolist()
        for first in range(0, len(order), _BATCH):
            batch = padded([tokens[row] for row in order[first : first + _BATCH]], tokenizer, model.device)
            model(**batch).logits.argmax(1).cpu()
        seconds = time.perf_counter() - start
    model.train(training)
    return len(chosen) / seconds
