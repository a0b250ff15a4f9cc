"""Protected tokens: the special tokens that the tokenizer added, which no selection may remove.

They are found by their position, never by their id alone. A document may hold the text ``[SEP]`` many times; if each
were protected, they would take the places of the words.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from tokensieve.model.batch import Batch
from tokensieve.model.configuration import TokensieveConfig
from tokensieve.tokens import pack


def protected_tokens(config: TokensieveConfig, batch: Batch, origin: Tensor) -> Tensor:
    """Mark the packed tokens that no selection may remove, [T] bool, for settings that protect special tokens.

    With the tokenizer's `special_tokens_mask` they are the tokens that it marks. Without it they are the first and the
    last real token of each document, and the separators where its second text begins.

    Args:
        config: the model's config.
        batch: the padded batch.
        origin: [T] position of each packed token in its document.
    """
    if batch.special is not None:
        return pack(batch.special, batch.mask)
    last = torch.cat([torch.full((length,), length - 1) for length in batch.lengths]).to(origin.device)
    inner = (origin > 0) & (origin < last)
    return ~inner | _boundary(config, batch, inner)


def _boundary(config: TokensieveConfig, batch: Batch, inner: Tensor) -> Tensor:
    """Mark the separators between a text and its second text, [T]; `inner` marks all but the first and last token."""
    special = config.special_token_ids
    ids = None if batch.input_ids is None else pack(batch.input_ids, batch.mask)
    separators = inner
    if ids is not None and special is not None:
        lasts = torch.tensor(batch.lengths).cumsum(0).to(ids.device) - 1
        closing = ids[lasts].repeat_interleave(torch.tensor(batch.lengths, device=ids.device))
        known = torch.isin(ids, torch.tensor(special, device=ids.device, dtype=ids.dtype))
        separators = inner & known & (ids == closing)
    if batch.token_type_ids is not None and config.type_vocab_size > 1:
        segments = pack(batch.token_type_ids, batch.mask)
        return _first(separators & _next(segments != segments.roll(1)), batch.lengths)
    if ids is None or special is None or not config.may_be_pairs:
        return torch.zeros_like(inner)
    if config.pair_separators == 1:
        return _first(separators, batch.lengths)
    both = _first(separators & _next(separators), batch.lengths)  # two side by side, as RoBERTa has them
    return both | both.roll(1)


def _next(flags: Tensor) -> Tensor:
    """For each token [T] whether the next one has the flag."""
    return flags.roll(-1)


def _first(flags: Tensor, lengths: Sequence[int]) -> Tensor:
    """Keep only the first flag [T] that is set in each document."""
    counts = torch.cat([part.cumsum(0) for part in flags.split(list(lengths))])
    return flags & (counts == 1)
