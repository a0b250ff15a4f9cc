"""The padded reference forward: every variant, short and slow, nothing removed, only masked.

It is the oracle of the tests, and its fixed-ratio variants are the graph that an exporter can trace: masks in place of
gathers, tensor operations in place of loops over documents. It shares the model's parameters and none of its ragged
code: selection counts for every token the ones that rank before it, where the model sorts.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import torch
from torch import Tensor

from tokensieve.config import Prune
from tokensieve.model.classifier import TokensieveForSequenceClassification
from tokensieve.model.head import MeanHead, PretrainedHead
from tokensieve.model.layer import Layer
from tokensieve.reduce.combine.combining_module import TokenCombiner
from tokensieve.reduce.contract import Score, Select
from tokensieve.reduce.score.learned import Learned
from tokensieve.reduce.score.random import Random
from tokensieve.reduce.score.received import Received
from tokensieve.reduce.select.fuzzy import Fuzzy
from tokensieve.reduce.select.quantile import Quantile
from tokensieve.reduce.select.top_share import TopShare


def reference_forward(
    model: TokensieveForSequenceClassification,
    input_ids: Tensor,
    attention_mask: Tensor,
    token_type_ids: Tensor | None = None,
    special_tokens_mask: Tensor | None = None,
) -> tuple[Tensor, list[Tensor]]:
    """Logits [B, num_labels] of a right-padded batch in eval mode, and per step the mask of what is kept.

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
        context, received = attention(module, values, attended, scored_rows(prune, rows, m), columns)
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
    values: Tensor = table.word_embeddings(ids) + table.position_embeddings(positions)
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
    """Positions [B, L] of the special tokens that the tokenizer added: marked by it, or told by where they stand."""
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
    """Of the flags [B, L] only the first one that is set in each document."""
    return flags & (flags.cumsum(1) == 1)


def scored_rows(prune: Prune | None, rows: Tensor, m: int) -> Tensor:
    """Of the rows [B, R] that are there, the last m combination tokens, those whose attention makes the score."""
    place, number = rows.cumsum(1) - 1, rows.sum(1, keepdim=True)
    score = None if prune is None else prune.score
    if not isinstance(score, Received) or score.queries == "all":
        return rows
    if score.queries == "anchors":
        return rows & ((place == 0) | (place >= number - m))
    wanted = torch.arange(score.sample, device=rows.device) * number // score.sample  # [B, s]
    return rows & ((place.unsqueeze(2) == wanted.unsqueeze(1)).any(2) | (number <= score.sample))


def attention(
    module: Layer, values: Tensor, attended: Tensor, scored: Tensor, columns: Tensor
) -> tuple[Tensor, Tensor]:
    """Context [B, R, d] of all rows over the `attended` ones, [B, R, d] too, and received attention [B, H, R]: the mean
    over the rows scored, [B, R] bool.
    """
    own = module.attention.self
    query, key, value = (
        projection(rows).unflatten(-1, (own.heads, -1)).transpose(1, 2)
        for projection, rows in ((own.query, values), (own.key, attended), (own.value, attended))
    )
    exact = torch.promote_types(query.dtype, torch.float32)
    logits = query.to(exact) @ key.to(exact).transpose(2, 3) * query.shape[-1] ** -0.5
    probabilities = logits.masked_fill(~columns.unsqueeze(2), -torch.inf).softmax(-1)
    context = (probabilities.to(value.dtype) @ value).transpose(1, 2).flatten(2)
    weights = scored.to(probabilities.dtype).unsqueeze(1).unsqueeze(-1)
    return context, (probabilities * weights).sum(2) / weights.sum(2)


def learned_scores(score: Score, module: Layer, text: Tensor) -> Tensor:
    """Scores [B, 1, L] of the hidden states [B, L, d] by the fitted map."""
    assert module.importance is not None
    return (text @ module.importance.get_buffer("weight")[0]).unsqueeze(1)


def random_scores(score: Random, module: Layer, text: Tensor) -> Tensor:
    """Scores [B, 1, L] of the positions, whole numbers in plain Python."""
    numbers = []
    for position in range(text.shape[1]):
        mixed = (position + 1) * 2654435761 + (score.seed + 1) * 40503
        for shift, factor in ((15, 73244475), (13, 295559667)):
            low = mixed % 2**31
            mixed = (low ^ (low // 2**shift)) * factor
        numbers.append(mixed % 2**31 // 2**7 / 2**24)
    return torch.tensor(numbers, device=text.device).expand(len(text), 1, -1)


SCORES: dict[type[Score], Any] = {Learned: learned_scores, Random: random_scores}
"""Scores that need no attention: (cell, layer, hidden states [B, L, d]) -> [B, 1, L]."""


def select(prune: Prune, share: Fraction, scores: Tensor, alive: Tensor, protected: Tensor) -> Tensor:
    """Tokens that stay, [B, S, L]: the protected ones, and of the free ones those that rank before the count."""
    protected = protected & alive
    free, total = alive & ~protected, alive.sum(-1, keepdim=True)
    spared, count = SELECTIONS[type(prune.select)](prune.select, share, scores, free, total)
    count = torch.maximum(count.clamp(min=1), protected.sum(-1, keepdim=True))
    count = torch.maximum(count, total.clamp(max=prune.select.min_tokens))
    before = ranks_before(scores, free, spared)
    return protected | (free & (before < count - protected.sum(-1, keepdim=True)))


def top_share(cell: Select, share: Fraction, scores: Tensor, free: Tensor, total: Tensor) -> tuple[Tensor, Tensor]:
    """Nothing is spared, and floor(t p) stay."""
    return ~free, total * share.numerator // share.denominator


def fuzzy(cell: Fuzzy, share: Fraction, scores: Tensor, free: Tensor, total: Tensor) -> tuple[Tensor, Tensor]:
    """What is no candidate is spared, by the two-stage rule as it is written."""
    candidate = candidates(cell, scores, free)
    if cell.scope == "all":
        return ~candidate, total * share.numerator // share.denominator
    number = candidate.sum(-1, keepdim=True)
    count = total - number + number * share.numerator // share.denominator
    return ~candidate, count.amax(1, keepdim=True)


def quantile(cell: Select, share: Fraction, scores: Tensor, free: Tensor, total: Tensor) -> tuple[Tensor, Tensor]:
    """What scores at least as high as the free token that a share of 1 - p of the others score below."""
    number = free.sum(-1, keepdim=True)
    place = (number - 1).clamp(min=0) * (share.denominator - share.numerator) // share.denominator
    up_to = ((scores.unsqueeze(-1) >= scores.unsqueeze(-2)) & free.unsqueeze(-2)).sum(-1)  # with itself
    leaves = free & (up_to <= place)
    return ~free, (total - leaves.sum(-1, keepdim=True)).amax(1, keepdim=True)


SELECTIONS: dict[type[Select], Any] = {TopShare: top_share, Fuzzy: fuzzy, Quantile: quantile}
"""(cell, share, scores [B, S, L], free [B, S, L], total [B, S, 1]) -> what is spared [B, S, L], and how many stay."""


def ranks_before(scores: Tensor, free: Tensor, spared: Tensor) -> Tensor:
    """For every token the number of free ones that stay before it.

    Those are the spared ones before the others, then the higher scores, and of equals the lower position.
    """
    mine, other = scores.unsqueeze(-1), scores.unsqueeze(-2)
    mine_spared, other_spared = spared.unsqueeze(-1), spared.unsqueeze(-2)
    place = torch.arange(scores.shape[-1], device=scores.device)
    first = (other > mine) | ((other == mine) & (place.unsqueeze(0) < place.unsqueeze(1)))
    first = (other_spared & ~mine_spared) | ((other_spared == mine_spared) & first)
    return (first & free.unsqueeze(-2)).sum(-1)


def merge(
    both: list[Tensor], sizes: Tensor, leaves: Tensor, takes: Tensor, m: int, prune: Prune
) -> tuple[list[Tensor], Tensor]:
    """Values [B, R, d], the first of which tell what is similar, and sizes [B, R] with what leaves merged in."""
    if prune.merge is None:
        return both, sizes
    into = merging(both[0], leaves[:, 0], takes[:, 0], m)
    merged = into @ sizes.unsqueeze(2)
    return [into @ (own * sizes.unsqueeze(2)) / merged for own in both], merged.squeeze(2)


def merging(values: Tensor, leaves: Tensor, takes: Tensor, m: int) -> Tensor:
    """[B, R, R]: row i of the result takes row j of values [B, R, d], itself or what leaves and is most similar to it.

    `leaves` and `takes` are [B, L], text alone; what leaves, and finds nothing that takes it, goes nowhere but itself.
    """
    leaves, takes = (torch.nn.functional.pad(own, (0, m)) for own in (leaves, takes))
    unit = torch.nn.functional.normalize(values.float(), dim=-1)
    alike = (unit @ unit.transpose(1, 2)).masked_fill(~takes.unsqueeze(1), -torch.inf)
    target = torch.nn.functional.one_hot(alike.argmax(2), values.shape[1]) * takes.any(1).view(-1, 1, 1)
    own = torch.eye(values.shape[1], device=values.device, dtype=torch.long)
    into = torch.where(leaves.unsqueeze(2), target, own).transpose(1, 2).to(values.dtype)
    return into + torch.diag_embed((into.sum(2) == 0).to(values.dtype))  # no division by zero in rows that are gone


def candidates(cell: Fuzzy, scores: Tensor, free: Tensor) -> Tensor:
    """The complement of I minus U among free tokens (PTC section 3.3); none where the quartiles agree."""
    pooled = scores.masked_fill(~free, torch.nan).flatten(1)
    a, b = (pooled.nanquantile(q, dim=1).view(-1, 1, 1) for q in (0.25, 0.75))
    important = ((scores - a) / (b - a)).clamp(0, 1) >= cell.alpha_important
    unimportant = ((b - scores) / (b - a)).clamp(0, 1) >= cell.alpha_unimportant
    return free & ~(important & ~unimportant) & (b > a)


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


def head(module: PretrainedHead | MeanHead, values: Tensor, rows: Tensor) -> Tensor:
    """Logits from the padded values [B, R, d] and the tokens [B, R] that every row stands for, 0 where it is gone."""
    if isinstance(module, PretrainedHead):
        first = (rows > 0).int().argmax(1)
        pooled = module.activation(module.dense(values[torch.arange(len(values)), first]))
    else:
        pooled = (values * rows.unsqueeze(-1)).sum(1) / rows.sum(1, keepdim=True)
    logits: Tensor = module.classifier(pooled)
    return logits
