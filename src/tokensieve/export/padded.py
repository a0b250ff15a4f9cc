"""The padded forward pass that is exported: a block of rows in place of packed tokens, and pruned tokens really leave.

The model runs on packed tokens whose lengths are Python numbers, which no graph for any length has. Here a batch is a
block [B, W, d]. Each pruning narrows it to a bound that follows from its width alone, so that the graph has no shape
that depends on data. A document that keeps fewer tokens than the bound is padded up to it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import accumulate
from operator import mul
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tokensieve.config import Prune
from tokensieve.export.masks import combine, learned_scores, protected_positions, scored_rows
from tokensieve.model.classifier import TokensieveForSequenceClassification
from tokensieve.model.head import PretrainedHead
from tokensieve.model.layer import Layer
from tokensieve.reduce.combine.combining_module import TokenCombiner

_WHOLE = 2**20
"""Shares of the tokens that are left are whole numbers of this, rounded up: exact ones overflow after a few layers."""


@dataclass(frozen=True)
class Block:
    """The rows of a padded batch.

    Attributes:
        text: [B, W, d] rows of text.
        alive: [B, W] bool, the rows that are no padding.
        protected: [B, W] bool, the rows that may not leave.
        combination: [B, m, d] combination tokens; m is 0 without a combining module.
    """

    text: Tensor
    alive: Tensor
    protected: Tensor
    combination: Tensor

    @property
    def values(self) -> Tensor:
        """All rows, [B, W + m, d]."""
        return torch.cat([self.text, self.combination], dim=1) if self.combination.shape[1] else self.text

    @property
    def rows(self) -> Tensor:
        """Which of all rows are no padding, [B, W + m] bool."""
        return self.with_combination(self.alive)

    def with_combination(self, flags: Tensor) -> Tensor:
        """Flags [..., W] of text, and True for the combination tokens."""
        m = self.combination.shape[1]
        return F.pad(flags, (0, m), value=True) if m else flags

    def split(self, values: Tensor) -> Block:
        """The same rows with other values [B, W + m, d]."""
        width = self.text.shape[1]
        return replace(self, text=values[:, :width], combination=values[:, width:])


@dataclass(frozen=True)
class Kept:
    """The text rows that a selection keeps, in order.

    Attributes:
        places: [B, S, K] rows of the block's text; S is 1 or the number of heads.
        alive: [B, 1, K] bool, the places that are no padding.
    """

    places: Tensor
    alive: Tensor

    def of(self, values: Tensor) -> Tensor:
        """The values [B, K, ...] at the places of the one set, from [B, W, ...]."""
        places = self.places[:, 0]
        if values.dim() == 3:
            return values.gather(1, places.unsqueeze(-1).expand(-1, -1, values.shape[-1]))
        return values.gather(1, places)


@dataclass(frozen=True)
class Documents:
    """What a layer has to know of the documents.

    Attributes:
        lengths: [B] tokens of each before anything left.
        width: most text tokens that the layer leaves of any.
    """

    lengths: Tensor
    width: int


class PaddedClassifier(nn.Module):
    """A model's logits by the padded forward pass.

    Args:
        model: in eval mode, of settings that `onnx.check_settings` passes.
    """

    def __init__(self, model: TokensieveForSequenceClassification) -> None:
        super().__init__()
        self.model, self.settings = model, model.settings
        steps = model.encoder.steps
        self.drops = any(step.prune is not None or step.kind == "combine" for step in steps)
        left = list(accumulate((step.share for step in steps), mul))
        self.left = [-(-share.numerator * _WHOLE // share.denominator) for share in left]

    def forward(self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor | None = None) -> Tensor:
        """Logits [B, num_labels] of a padded batch [B, L], padded on either side."""
        mask, ids, segments = attention_mask.bool(), input_ids, token_type_ids
        if self.drops:  # places of tokens are counted from the left
            place = torch.arange(mask.shape[1], device=mask.device).expand(mask.shape)
            order = torch.where(mask, place, place + mask.shape[1]).sort(1).indices
            mask, ids = mask.gather(1, order), ids.gather(1, order)
            segments = None if segments is None else segments.gather(1, order)
        lengths = mask.sum(1)
        protected = protected_positions(self.model, ids, mask, segments) if self.drops else ~mask
        table = self.model.embeddings.combination_tokens
        text = self._embed(ids, mask, segments)
        combination = text[:, :0] if table is None else table.weight.expand(text.shape[0], -1, -1)
        block, keys = Block(text, mask, protected, combination), None
        for number, module in enumerate(self.model.encoder.layer):
            if isinstance(module, TokenCombiner):
                folded = combine(module, block.text, block.combination, block.alive)
                block, keys = Block(folded[:, :0], block.alive[:, :0], block.protected[:, :0], folded), None
            else:
                block, keys = self._layer(module, block, keys, Documents(lengths, self._bound(number, mask.shape[1])))
        return self._head(block)

    def _embed(self, ids: Tensor, mask: Tensor, segments: Tensor | None) -> Tensor:
        config, table = self.model.config, self.model.embeddings
        counted = mask & ids.ne(config.pad_token_id) if config.positions_skip_padding else mask
        positions = counted.long().cumsum(1) * counted + config.position_offset - 1
        if not config.positions_skip_padding:
            positions = positions.clamp(min=0)
        assert table.position_embeddings is not None  # `onnx.check_settings` refuses families without
        values: Tensor = table.word_embeddings(ids) + table.position_embeddings(positions)
        if table.token_type_embeddings is not None:
            values = values + table.token_type_embeddings(torch.zeros_like(ids) if segments is None else segments)
        values = table.LayerNorm(values)
        return table.projection(values) if table.projection is not None else values

    def _layer(self, module: Any, block: Block, keys: Kept | None, documents: Documents) -> tuple[Block, Kept | None]:
        """As `model.layer.Layer` does it: the rows that stay, and the keys of the next layer."""
        kept, before, prune = None, block, module.prune
        if prune is not None and not prune.score.needs_attention:
            scores = learned_scores(module, block.text)
            scores = scores if keys is None else scores.gather(2, keys.places)
            kept = self._select(module, scores, block, keys, documents)
            if prune.site.ahead:
                block = _picked(block, kept)
        attended = before if prune is not None and prune.site.keys_once_more else block
        context, received = _attention(module, block, attended, keys, prune if kept is None else None)
        residual = block.values
        if prune is not None and received is not None:
            kept = self._select(module, received, block, keys, documents)
        if prune is not None and kept is not None and not prune.site.ahead:
            if prune.site.leaves:
                block, context = _picked(block, kept), _picked(block.split(context), kept).values
                residual = block.values
            else:
                keys = kept
        mixed = module.attention.output(context, residual)
        widened = module.intermediate.activation(module.intermediate.dense(mixed))
        return block.split(module.output(widened, mixed)), keys

    def _select(self, module: Any, scores: Tensor, block: Block, keys: Kept | None, documents: Documents) -> Kept:
        """The best of `keys`, or (None) of all text rows, by scores [B, S, K]: as many as the selection counts."""
        share, fewest = module.share, module.prune.select.min_tokens
        alive = block.alive.unsqueeze(1) if keys is None else keys.alive
        protected = block.protected.unsqueeze(1)
        if keys is not None:
            protected = protected.expand(-1, keys.places.shape[1], -1).gather(2, keys.places)
        protected = protected & alive
        number = alive.sum(-1)  # [B, 1]
        counts = torch.maximum(number * share.numerator // share.denominator, protected.sum(-1)[:, :1].clamp(min=1))
        counts = torch.maximum(counts, number.clamp(max=fewest))
        counts = torch.where(documents.lengths.unsqueeze(1) < self.settings.min_length, number, counts)
        order = scores.masked_fill(~alive, -torch.inf).masked_fill(protected, torch.inf)
        # In the graph this is TopK, by whose definition the lower place goes first where scores are equal.
        place = torch.arange(documents.width, device=order.device)
        best = order.sort(dim=-1, descending=True).indices.index_select(-1, place)
        # Rows beyond a document's count go to the end, and what is left of them is padding.
        counted = place < counts.unsqueeze(-1)
        best = torch.where(counted, best, scores.shape[-1] + place).sort(-1).values
        best = best.clamp(max=scores.shape[-1] - 1)
        return Kept(best if keys is None else keys.places.gather(2, best), counted)

    def _bound(self, number: int, length: int) -> int:
        """Most text tokens that a step leaves of a document of `length` or fewer; special tokens, short documents stay.

        It follows from `length` and not from the bound before: the exporter reasons about each shape, and for formulas
        that are nested a few layers deep it takes forever.
        """
        fewest = 1 if self.settings.prune is None else self.settings.prune.select.min_tokens
        special = 2 + self.model.config.pair_separators if self.settings.protect_special else 1
        floor = max(special, fewest, self.settings.min_length - 1)
        bound: int = torch.sym_min(length, torch.sym_max(floor, length * self.left[number] // _WHOLE))
        return bound

    def _head(self, block: Block) -> Tensor:
        head, values, rows = self.model.head, block.values, block.rows
        if isinstance(head, PretrainedHead):
            first = rows.long().argmax(1).view(-1, 1, 1).expand(-1, 1, values.shape[-1])
            pooled = head.activation(head.dense(values.gather(1, first).squeeze(1)))
        else:
            weights = rows.to(values.dtype).unsqueeze(-1)
            pooled = (values * weights).sum(1) / weights.sum(1)
        logits: Tensor = head.classifier(pooled)
        return logits


def _picked(block: Block, kept: Kept) -> Block:
    """The rows that stay."""
    return replace(
        block, text=kept.of(block.text), alive=kept.alive[:, 0], protected=kept.of(block.protected) & kept.alive[:, 0]
    )


def _attention(
    module: Layer, block: Block, attended: Block, keys: Kept | None, prune: Prune | None
) -> tuple[Tensor, Tensor | None]:
    """Context [B, R, d]; and, if the score needs it, the attention that text keys receive, [B, S, K]."""
    attention, width = module.attention.self, attended.text.shape[1]
    query = _heads(attention.query(block.values), attention.heads)
    if keys is not None and keys.places.shape[1] == 1:  # pruned rows are not even projected
        attended = replace(attended, text=keys.of(attended.text), alive=keys.alive[:, 0])
        width, keys = keys.places.shape[2], None
    key, value = (
        _heads(projection(attended.values), attention.heads) for projection in (attention.key, attention.value)
    )
    alive = attended.rows
    if keys is not None:  # each head has its own
        key, value = (_of_heads(own, keys, width) for own in (key, value))
        alive, width = attended.with_combination(keys.alive[:, 0]), keys.places.shape[2]
    columns = alive[:, None, None]
    if prune is None or not prune.score.needs_attention:
        context = F.scaled_dot_product_attention(query, key, value, attn_mask=columns)
        return context.transpose(1, 2).flatten(2), None
    logits = query @ key.transpose(2, 3) * query.shape[-1] ** -0.5
    probabilities = logits.masked_fill(~columns, -torch.inf).softmax(-1)
    context = (probabilities @ value).transpose(1, 2).flatten(2)
    weights = scored_rows(prune, block.rows, block.combination.shape[1])[:, None, :, None].to(probabilities.dtype)
    if not prune.score.own:  # queries and keys are the same rows
        place = torch.arange(probabilities.shape[3], device=probabilities.device)
        probabilities = probabilities.masked_fill(place.unsqueeze(1) == place, 0.0)
    received = (probabilities * weights).sum(2)[..., :width] / weights.sum(2)
    return context, received if prune.score.per_head else received.mean(1, keepdim=True)


def _heads(projected: Tensor, heads: int) -> Tensor:
    """[B, H, R, d / H] from [B, R, d]."""
    return torch.unflatten(projected, -1, (heads, -1)).transpose(1, 2)


def _of_heads(projected: Tensor, keys: Kept, width: int) -> Tensor:
    """The text rows that each head keeps, and the combination tokens: [B, H, K + m, e] from [B, H, W + m, e]."""
    places = keys.places.unsqueeze(-1).expand(-1, -1, -1, projected.shape[-1])
    return torch.cat([projected.gather(2, places), projected[:, :, width:]], dim=2)
