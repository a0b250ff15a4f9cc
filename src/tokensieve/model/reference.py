"""The padded reference forward of every variant: short and slow, and tokens are masked, never removed.

It is the oracle of the tests; `reference_cells` has the line of each cell, and `reference_positions` what positions do.
Its fixed-ratio variants are the graph that an exporter can trace: masks in place of gathers, tensor operations in place
of loops over documents. It shares the model's parameters and none of its ragged code: selection counts for every token
the ones that rank before it, where the model sorts.
"""

from __future__ import annotations

import torch
from torch import Tensor

from tokensieve.model.attention import SelfAttention
from tokensieve.model.classifier import TokensieveForSequenceClassification
from tokensieve.model.head import MeanHead, PretrainedHead
from tokensieve.model.layer import Layer
from tokensieve.model.reference_cells import SCORES, combine, merge, scored_rows, select
from tokensieve.model.reference_positions import position_bias, turned
from tokensieve.model.steps import Step
from tokensieve.reduce.combine.combining_module import TokenCombiner


def reference_forward(
    model: TokensieveForSequenceClassification,
    input_ids: Tensor,
    attention_mask: Tensor,
    token_type_ids: Tensor | None = None,
    special_tokens_mask: Tensor | None = None,
) -> tuple[Tensor, list[Tensor]]:
    """Logits [B, num_labels] of a right-padded batch in eval mode, and for each step the mask of kept tokens.

    The masks are [B, S, L] over text positions, as `Trace.kept` counts them; [B, 1, m] from the combining module on.
    """
    settings, mask = model.settings, attention_mask.bool()
    values = embed(model, input_ids, token_type_ids)
    protected = protected_positions(model, input_ids, mask, token_type_ids, special_tokens_mask).unsqueeze(1)
    m = settings.combination_tokens
    if model.embeddings.combination_tokens is not None:
        values = torch.cat([values, model.embeddings.combination_tokens.weight.expand(len(values), -1, -1)], dim=1)
    prunable = (mask.sum(1) >= settings.min_length).view(-1, 1, 1)
    sizes = torch.ones_like(values[..., 0])  # [B, R] tokens that a row stands for
    keys = hidden = mask.unsqueeze(1)  # [B, S, L] text tokens that serve as keys; that are still in the model
    leaves = settings.prune is not None and settings.prune.site.leaves
    kept: list[Tensor] = []
    for step, module in zip(model.encoder.steps, model.encoder.layer, strict=True):
        ones = torch.ones_like(values[:, :m, 0], dtype=torch.bool).unsqueeze(1)  # [B, 1, m]
        if isinstance(module, TokenCombiner):
            values = combine(module, values[:, :-m], values[:, -m:], hidden[:, 0])
            keys = hidden = ones[..., :0]  # no text is left
            sizes = torch.ones_like(values[..., 0])
            kept.append(ones)
            continue
        assert isinstance(module, Layer)
        prune, stay = step.prune, keys
        if prune is not None and not prune.score.needs_attention:
            scores = SCORES[type(prune.score)](prune.score, module, values[:, : input_ids.shape[1]])
            stay = torch.where(prunable, select(prune, step.share, scores, keys, protected), keys)
        served, attended = keys, values
        if prune is not None and prune.site.ahead:
            before = values
            (values,), sizes = merge([values], sizes, hidden & ~stay, stay & ~protected, m, prune)
            attended, served = (before, served) if prune.site.keys_once_more else (values, stay)
            keys = hidden = stay
        rows = torch.cat([hidden, ones], dim=2)[:, 0]
        columns = torch.cat([served, ones.expand(-1, served.shape[1], -1)], dim=2)
        scored, block = scored_rows(prune, rows, m), module.attention.self
        context, received = attention(model, step, block, (values, attended), scored, columns)
        if prune is not None and not prune.site.ahead:
            if prune.score.needs_attention:
                scores = received[..., : input_ids.shape[1]]
                scores = scores if prune.score.per_head else scores.mean(1, keepdim=True)
                stay = select(prune, step.share, scores, keys.expand_as(scores), protected.expand_as(scores))
                stay = torch.where(prunable, stay, keys)
            both = [values, context]
            both, sizes = merge(both, sizes, hidden & ~stay, stay & ~protected, m, prune)
            values, context = both
            keys, hidden = stay, stay if prune.site.leaves else hidden
        mixed = module.attention.output(context, values)
        values = module.output(module.intermediate(mixed), mixed)
        kept.append(ones if not keys.shape[-1] else hidden if leaves else served)
    if model.encoder.LayerNorm is not None:
        values = model.encoder.LayerNorm(values)
    rows = torch.cat([hidden[:, 0], torch.ones_like(values[:, :m, 0], dtype=torch.bool)], dim=1)
    return head(model.head, values, rows * sizes), kept


def embed(model: TokensieveForSequenceClassification, ids: Tensor, segments: Tensor | None) -> Tensor:
    """Padded embeddings [B, L, d]."""
    config, table = model.config, model.embeddings
    positions = torch.arange(ids.shape[1], device=ids.device).expand_as(ids) + config.position_offset
    if config.positions_skip_padding:
        real = ids.ne(config.pad_token_id)
        positions = real.cumsum(1) * real + config.position_offset - 1
    positions = positions.clamp(max=config.max_position_embeddings - 1)  # of padding beyond the table
    values: Tensor = table.word_embeddings(ids)
    if table.position_embeddings is not None:
        values = values + table.position_embeddings(positions)
    if table.token_type_embeddings is not None:
        values = values + table.token_type_embeddings(torch.zeros_like(ids) if segments is None else segments)
    values = table.LayerNorm(values)
    return table.projection(values) if table.projection is not None else values


def protected_positions(
    model: TokensieveForSequenceClassification,
    ids: Tensor,
    mask: Tensor,
    segments: Tensor | None,
    special: Tensor | None,
) -> Tensor:
    """Mark the special tokens that the tokenizer added, [B, L] bool: by its mask, or by where they stand."""
    config = model.config
    if not config.settings.protect_special:
        return torch.zeros_like(mask)
    if special is not None:
        return special.bool() & mask
    place, number = mask.cumsum(1), mask.sum(1, keepdim=True)
    inner = mask & (place > 1) & (place < number)
    separators = inner
    if config.special_token_ids is not None:
        known = (ids.unsqueeze(-1) == torch.tensor(config.special_token_ids, device=ids.device)).any(-1)
        separators = inner & known & (ids == ids.gather(1, number - 1))
    nothing, pad = torch.zeros_like(mask), torch.nn.functional.pad
    if segments is not None and config.type_vocab_size > 1:
        boundary = first(separators & (segments != pad(segments[:, 1:], (0, 1))))
    elif config.may_be_pairs and config.special_token_ids is not None:
        boundary = first(separators & (pad(separators[:, 1:], (0, 1)) if config.pair_separators == 2 else ~nothing))
        boundary = boundary | (pad(boundary[:, :-1], (1, 0)) if config.pair_separators == 2 else nothing)
    else:
        boundary = nothing
    return (mask & ~inner) | boundary


def first(flags: Tensor) -> Tensor:
    """Keep only the first flag [B, L] that is set in each document."""
    return flags & (flags.cumsum(1) == 1)


def attention(
    model: TokensieveForSequenceClassification,
    step: Step,
    block: SelfAttention,
    both: tuple[Tensor, Tensor],
    scored: Tensor,
    columns: Tensor,
) -> tuple[Tensor, Tensor]:
    """Context [B, R, d] of all rows over the attended rows, `both` [B, R, d]; and received attention [B, H, R], which
    is the mean over the `scored` rows [B, R] bool.
    """
    config, m = model.config, model.settings.combination_tokens
    values, attended = both if block.LayerNorm is None else (block.LayerNorm(rows) for rows in both)
    query, key, value = (
        projection(rows).unflatten(-1, (block.heads, -1)).transpose(1, 2)
        for projection, rows in ((block.query, values), (block.key, attended), (block.value, attended))
    )
    assert step.source is not None
    query, key = (turned(config.block, step.source, rows, m) for rows in (query, key))
    relative = model.encoder.positions.relative
    bias = position_bias(config, None if relative is None else relative.weight, step.source, values.shape[1], m)
    exact = torch.promote_types(query.dtype, torch.float32)
    logits = query.to(exact) @ key.to(exact).transpose(2, 3) * query.shape[-1] ** -0.5 + bias.to(exact)
    probabilities = logits.masked_fill(~columns.unsqueeze(2), -torch.inf).softmax(-1)
    probabilities = probabilities.nan_to_num(0.0)  # of rows whose window has no key
    context = (probabilities.to(value.dtype) @ value).transpose(1, 2).flatten(2)
    weights = scored.to(probabilities.dtype).unsqueeze(1).unsqueeze(-1)
    return context, (probabilities * weights).sum(2) / weights.sum(2)


def head(module: PretrainedHead | MeanHead, values: Tensor, rows: Tensor) -> Tensor:
    """Logits from the padded values [B, R, d] and the tokens [B, R] that every row stands for, 0 where it is gone."""
    mean = (values * rows.unsqueeze(-1)).sum(1) / rows.sum(1, keepdim=True)
    if isinstance(module, PretrainedHead):
        first = values[torch.arange(len(values)), (rows > 0).int().argmax(1)]
        pooled = module.document_vectors(mean if module.reads_mean else first)
    else:
        pooled = mean
    logits: Tensor = module.classifier(pooled)
    return logits
