"""Rules of the method on a padded block, by masks and tensor operations alone: those that an exporter can trace."""

from __future__ import annotations

import torch
from torch import Tensor

from tokensieve.config import Prune
from tokensieve.model.classifier import TokensieveForSequenceClassification
from tokensieve.model.layer import Layer
from tokensieve.reduce.combine.combining_module import TokenCombiner
from tokensieve.reduce.score.received import Received


def protected_positions(
    model: TokensieveForSequenceClassification,
    ids: Tensor,
    mask: Tensor,
    segments: Tensor | None,
) -> Tensor:
    """Mark the special tokens that the tokenizer added, [B, L] bool: by where they stand (`model.protected`)."""
    config = model.config
    if not config.settings.protect_special:
        return torch.zeros_like(mask)
    place, number = mask.cumsum(1), mask.sum(1, keepdim=True)
    inner = mask & (place > 1) & (place < number)
    separators = inner
    if config.special_token_ids is not None:
        known = (ids.unsqueeze(-1) == torch.tensor(config.special_token_ids, device=ids.device)).any(-1)
        separators = inner & known & (ids == ids.gather(1, number - 1))
    nothing, pad = torch.zeros_like(mask), torch.nn.functional.pad
    if segments is not None and config.type_vocab_size > 1:
        boundary = _first(separators & (segments != pad(segments[:, 1:], (0, 1))))
    elif config.may_be_pairs and config.special_token_ids is not None:
        boundary = _first(separators & (pad(separators[:, 1:], (0, 1)) if config.pair_separators == 2 else ~nothing))
        boundary = boundary | (pad(boundary[:, :-1], (1, 0)) if config.pair_separators == 2 else nothing)
    else:
        boundary = nothing
    return (mask & ~inner) | boundary


def _first(flags: Tensor) -> Tensor:
    """Keep only the first flag [B, L] that is set in each document."""
    return flags & (flags.cumsum(1) == 1)


def scored_rows(prune: Prune | None, rows: Tensor, m: int) -> Tensor:
    """Mark those of `rows` [B, R] whose attention makes the score; the last m rows are combination tokens."""
    place, number = rows.cumsum(1) - 1, rows.sum(1, keepdim=True)
    score = None if prune is None else prune.score
    if not isinstance(score, Received) or score.queries == "all":
        return rows
    if score.queries == "anchors":
        return rows & ((place == 0) | (place >= number - m))
    wanted = torch.arange(score.sample, device=rows.device) * number // score.sample  # [B, s]
    return rows & ((place.unsqueeze(2) == wanted.unsqueeze(1)).any(2) | (number <= score.sample))


def learned_scores(module: Layer, text: Tensor) -> Tensor:
    """Scores [B, 1, L] of the hidden states [B, L, d] by the fitted map."""
    assert module.importance is not None
    return (text @ module.importance.get_buffer("weight")[0]).unsqueeze(1)


def combine(module: TokenCombiner, text: Tensor, combination: Tensor, mask: Tensor) -> Tensor:
    """Combination tokens [B, m, d] after every masked-in text token joined the most similar one, or gave to all."""
    if module.soft:
        takes = module.similarity(text, combination).masked_fill(~mask.unsqueeze(1), -torch.inf).softmax(2)
        update: Tensor = module.dense(takes @ module.value(text) / (1 + module.count_offset))
        return combination + update
    joins = torch.nn.functional.one_hot(module.similarity(text, combination).argmax(1), combination.shape[1])
    joins = joins.transpose(1, 2).to(text.dtype) * mask.unsqueeze(1)
    number = joins.sum(-1, keepdim=True)
    mean = joins @ module.value(text) / (number + module.count_offset).clamp(min=1e-9)
    return torch.where(number > 0, combination + module.dense(mean), combination)
