"""The forward pass of one document, in which tokens leave a list."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor

from contract.oracle.backbone import Backbone
from contract.oracle.page_rank import page_rank
from contract.oracle.pairs import band_similarity, energy, is_near, key_similarity, stepped, takers
from contract.oracle.rule import protected_places, select_positions
from flat import flat_of
from tokensieve import TokensieveForImageClassification, TokensieveForSequenceClassification


def answers(
    model: TokensieveForSequenceClassification,
    input_ids: Tensor,
    attention_mask: Tensor,
    token_type_ids: Tensor | None = None,
    special_tokens_mask: Tensor | None = None,
) -> tuple[Tensor, list[tuple[int, ...]]]:
    """Logits [B, num_labels] of a padded batch in eval mode, and the kept counts, as `Trace.kept` has them."""
    found = []
    for row, mask in enumerate(attention_mask.bool()):
        ids, segments, special = (
            None if part is None else part[row][mask].tolist()
            for part in (input_ids, token_type_ids, special_tokens_mask)
        )
        assert ids is not None
        found.append(logits(model, ids, segments, special))
    counts = zip(*(kept for _, kept in found), strict=True)
    return torch.stack([values for values, _ in found]), list(counts)


def logits(
    model: TokensieveForSequenceClassification,
    ids: Sequence[int],
    segments: Sequence[int] | None = None,
    special: Sequence[int] | None = None,
) -> tuple[Tensor, list[int]]:
    """Logits [num_labels] of one document in eval mode, and how many tokens count as kept after each step.

    Args:
        model: with its settings, sizes and parameters.
        ids: of the document, without padding.
        segments: of each token; None: 0.
        special: for each token whether the tokenizer added it; None: it is told by where the token stands.
    """
    config, backbone = model.config, Backbone(model.config, model.state_dict())
    places = protected_places(config, ids, segments) if special is None else {j for j, is_ in enumerate(special) if is_}
    return _walked(model, backbone.embed(ids, segments), places)


def image_answers(
    model: TokensieveForImageClassification, images: Sequence[Tensor]
) -> tuple[Tensor, list[tuple[int, ...]]]:
    """As `answers`, of images [channels, height, width], whose special tokens stand ahead of all patches."""
    backbone = Backbone(model.config, model.state_dict())
    special = set(range(1 + ("embeddings.distillation_token" in backbone.weights)))
    found = [_walked(model, backbone.embed_image(image), special) for image in images]
    counts = zip(*(kept for _, kept in found), strict=True)
    return torch.stack([values for values, _ in found]), list(counts)


def _walked(model: Any, states: Tensor, places: set[int]) -> tuple[Tensor, list[int]]:
    """Logits and kept counts of the vectors [t, d] that enter the first layer; special tokens stand at `places`."""
    config, settings = model.config, model.settings
    flat, depth = flat_of(settings, config.num_hidden_layers), config.num_hidden_layers
    backbone = Backbone(config, model.state_dict())
    own = backbone.weights.get("embeddings.combination_tokens.weight")
    document = Document(
        states=states,
        extra=states[:0] if own is None else own,
        where=list(range(len(states))),
        keys=[list(range(len(states)))] * config.num_attention_heads,
        sizes=[1.0] * (len(states) + (0 if own is None else len(own))),
        protected=[flat.protect_special and place in places for place in range(len(states))],
    )
    walk = Walk(backbone, flat, settings.prune, shares_of(config, flat))
    kept: list[int] = []
    for number in range(1, depth + 2):
        if number == flat.combine_layer:
            walk.combine(document, f"encoder.layer.{len(kept)}.")
            kept.append(len(document.extra))
            if flat.combine_mode == "replace":
                continue
        if number <= depth:
            served = walk.layer(document, f"encoder.layer.{len(kept)}.", number)
            counts = len(document.where) if flat.site == "hidden" else served
            kept.append(counts if document.where else len(document.extra))
    rows = backbone.norm("encoder.LayerNorm", torch.cat([document.states, document.extra]))
    return backbone.head(flat, rows, document.sizes, document.positions), kept


def shares_of(config: Any, flat: SimpleNamespace) -> list[Fraction]:
    """The share of its tokens that each layer leaves: exact, 1 from the combining module on.

    Keys that leave in the last layer would serve nobody. Attention is received from all of a document in global layers
    alone: the share of a local layer is kept in the global layer ahead of it.
    """
    depth, local = config.num_hidden_layers, config.block.local_layers
    last = (flat.combine_layer or depth + 1) - 1
    shares = [Fraction(str(share)) for share in flat.keep_ratios][:last]
    shares += [Fraction(1)] * (depth - len(shares))
    if flat.site == "keys" and last:
        shares[last - 1] = Fraction(1)
    if flat.prune is None or flat.score not in ("received", "page-rank"):
        return shares
    for number in reversed(range(1, depth)):
        if number in local:
            shares[number - 1] *= shares[number]
            shares[number] = Fraction(1)
    return shares


@dataclass
class Document:
    """What is left of a document.

    Attributes:
        states: [t, d] of the text tokens.
        extra: [m, d] of the combination tokens.
        where: position of each text token.
        keys: positions that each head may attend to.
        sizes: tokens that each row stands for.
        protected: for each position, whether it may not leave.
    """

    states: Tensor
    extra: Tensor
    where: list[int]
    keys: list[list[int]]
    sizes: list[float]
    protected: list[bool]
    length: int = field(init=False)

    def __post_init__(self) -> None:
        self.length = len(self.where)

    @property
    def positions(self) -> list[int | None]:
        """Of all rows; combination tokens have none."""
        return [*self.where, *[None] * len(self.extra)]


@dataclass(frozen=True)
class Walk:
    """The steps of a model.

    Attributes:
        backbone: its layers.
        flat: its settings.
        prune: the part of them that prunes, or None.
        shares: what each layer leaves.
    """

    backbone: Backbone
    flat: SimpleNamespace
    prune: Any
    shares: list[Fraction]

    def combine(self, document: Document, name: str) -> None:
        """Fold the text into the combination tokens."""
        document.extra = self.backbone.combine(self.flat, name, document.states, document.extra)
        document.states, document.where = document.states[:0], []
        document.keys = [[] for _ in document.keys]
        document.sizes = [1.0] * len(document.extra)

    def layer(self, document: Document, name: str, number: int) -> int:
        """Take the document through layer `number`, from 1; return how many text tokens served as keys."""
        share = self.shares[number - 1]
        prunes = self.prune is not None and share < 1 and document.where and document.length >= self.flat.min_length
        chosen, scored = None, list[float]()
        rows = torch.cat([document.states, document.extra])
        before, sizes, keys = (rows, document.positions), document.sizes, self.backbone.keys(name, rows)
        if prunes and not (self.prune.score.needs_attention or self.prune.score.needs_keys):
            scored = self._above(name, torch.tensor(self._scores(document, name))).tolist()
            chosen = self._chosen(document, share, [scored])
            if self.prune.site.ahead:
                (rows,) = self._leave(document, chosen[0], list(rows), rows, scored=scored)
        sources, served = (rows, document.positions), len(document.keys[0])
        visible = self._visible(document)
        if prunes and self.prune.site.keys_once_more:
            sources, visible = before, [list(range(len(before[0])))] * len(document.keys)
        else:
            sizes = document.sizes
        if not (self.prune is not None and self.prune.merge is not None and self.prune.merge.proportional):
            sizes = None
        asked = _queries_asked(self.flat, len(rows), len(document.extra))
        context, received, given = self.backbone.attention(
            name, number - 1, (rows, document.positions), sources, visible, asked, sizes, self.flat.score_own
        )
        alike = list(rows)
        if self.prune is not None and self.prune.merge is not None and self.prune.merge.needs_keys:
            alike = keys
        if prunes and (self.prune.score.needs_keys or self.prune.score.needs_graph):
            scored = self._layer_scores(document, name, number, rows, keys, given)
            chosen = self._chosen(document, share, [scored])
        elif prunes and chosen is None:
            scores = [column[: len(keys)] for column, keys in zip(received, document.keys, strict=True)]
            scores = [torch.stack(scores).mean(0)] if self.flat.heads == "shared" else scores
            scored = scores[0].tolist()
            chosen = self._chosen(document, share, [self._above(name, own).tolist() for own in scores])
        if chosen is not None and self.prune.site.leaves and not self.prune.site.ahead:
            rows, context = self._leave(document, chosen[0], alike, rows, context, scored=scored)
        elif chosen is not None and not self.prune.site.leaves:
            document.keys = chosen if len(chosen) > 1 else chosen * len(document.keys)
        rows = self.backbone.feed_forward(name, context, rows)
        document.states, document.extra = rows[: len(document.where)], rows[len(document.where) :]
        return served

    def _visible(self, document: Document) -> list[list[int]]:
        """For each head the rows that it may attend to: its keys, and the combination tokens."""
        extra = range(len(document.where), len(document.where) + len(document.extra))
        return [[*map(document.where.index, keys), *extra] for keys in document.keys]

    def _scores(self, document: Document, name: str) -> list[float]:
        """Scores of the keys that need no attention."""
        if self.flat.score == "first":
            return [-position for position in document.keys[0]]
        if self.flat.score == "random":
            return [random_number(position, self.prune.score.seed) for position in document.keys[0]]
        if self.flat.score == "skim-predictor":
            return [self.backbone.skim_score(name, document.states[document.where.index(p)]) for p in document.keys[0]]
        if self.flat.score == "band-similarity":
            states = [document.states[document.where.index(position)] for position in document.keys[0]]
            return band_similarity(states, [document.protected[p] for p in document.keys[0]], self.prune.score.band)
        nothing = document.states.new_zeros(1, document.states.shape[1])
        vector = self.backbone.weights.get(name + "importance.weight", nothing)[0]
        return [float(document.states[document.where.index(position)] @ vector) for position in document.keys[0]]

    def _layer_scores(
        self, document: Document, name: str, number: int, rows: Tensor, keys: list[Tensor], given: list[Tensor]
    ) -> list[float]:
        """Scores of the tokens that serve as keys, from their own keys, or from all attention between rows."""
        if self.prune.score.needs_graph:
            return self._page_ranks(document, name, number, rows, given)
        return self._key_scores(document, keys, number)

    def _key_scores(self, document: Document, keys: list[Tensor], number: int) -> list[float]:
        """Scores of the tokens that serve as keys, from their own keys."""
        places = [document.where.index(position) for position in document.keys[0]]
        own, safe = [keys[j] for j in places], [document.protected[position] for position in document.keys[0]]
        if self.flat.score == "energy":
            fallen = self.prune.score.fall * (number - 1) / self.backbone.config.num_hidden_layers
            return energy(own, self.prune.score.margin - fallen)
        if self.flat.score == "band-similarity":
            return band_similarity(own, safe, self.prune.score.band)
        return key_similarity(own, safe)

    def _page_ranks(self, document: Document, name: str, number: int, rows: Tensor, given: list[Tensor]) -> list[float]:
        """Page rank of the text, from all attention."""
        safe = [document.protected[position] for position in document.where]
        stay = self._chosen(document, self.shares[number - 1], [[0.0] * len(safe)])[0]
        leaving = 0 if self.prune.score.similar == 0 else len(safe) - len(stay)
        keys = self.backbone.turned_keys(name, number - 1, rows, document.positions)
        depth = Fraction(number - 1, self.backbone.config.num_hidden_layers)
        heads = [own.tolist() for own in given]
        return page_rank(self.prune.score, heads, keys, document.where, safe, leaving, depth)

    def _above(self, name: str, scores: Tensor) -> Tensor:
        """How far the scores are above the layer's threshold; the scores where it has none."""
        difference = self.backbone.weights.get(name + "gate.difference")
        if difference is None:
            return scores
        layer = int(name.split(".")[2]) + 1
        return scores - max(self.prune.select.final * layer / self.backbone.config.num_hidden_layers + difference, 1e-5)

    def _chosen(self, document: Document, share: Fraction, scores: list[list[float]]) -> list[list[int]]:
        """Positions that stay, for each set of scores."""
        rule = SimpleNamespace(**vars(self.flat) | {"keep_ratio": share})
        return select_positions(rule, scores, document.keys[: len(scores)], document.protected)

    def _leave(
        self, document: Document, stay: list[int], alike: list[Tensor], *values: Tensor, scored: Sequence[float] = ()
    ) -> list[Tensor]:
        """Drop the text rows at all positions but those that stay, or merge them; `values` of all rows, as they become.

        Rows are similar by the vectors `alike`, and have been `scored`.
        """
        stays = [*map(document.where.index, stay), *range(len(document.where), len(values[0]))]
        groups = [[j] for j in stays]
        if self.flat.merge_pruned:
            safe = [document.protected[position] for position in document.where]
            takes = takers(self.prune, scored, safe, stays[: len(stay)])
            band = getattr(self.prune.merge, "band", 0)
            groups = _merged(alike, stays, takes, safe if band else (), band)
        means = [_means(groups, part, document.sizes) for part in values]
        document.sizes = [sum(document.sizes[j] for j in group) for group in groups]
        document.where, document.keys = stay, [stay] * len(document.keys)
        return means


def random_number(position: int, seed: int) -> float:
    """The score of a position: two rounds of a multiplicative hash, with whole numbers."""
    mixed = (position + 1) * 2654435761 + (seed + 1) * 40503
    for shift, factor in ((15, 73244475), (13, 295559667)):
        low = mixed % 2**31
        mixed = (low ^ (low // 2**shift)) * factor
    return float(mixed % 2**31 // 2**7 / 2**24)


def _merged(
    rows: Sequence[Tensor], stays: Sequence[int], takes: Sequence[int], protected: Sequence[bool], band: int
) -> list[list[int]]:
    """For each row that stays, itself and the rows that leave and are more similar to it than to any other.

    With a band, than to any other of those near by.
    """
    groups = {j: [j] for j in stays}
    for leaving in sorted(set(range(len(rows))) - set(stays)):
        near = [j for j in takes if not band or is_near(protected, leaving, j, band)]
        if near:
            alike = [stepped(rows[leaving], rows[j]) for j in near]
            groups[near[alike.index(max(alike))]].append(leaving)
    return list(groups.values())


def _means(groups: list[list[int]], rows: Tensor, sizes: Sequence[float]) -> Tensor:
    return torch.stack([sum(sizes[j] * rows[j] for j in own) / sum(sizes[j] for j in own) for own in groups])


def _queries_asked(flat: SimpleNamespace, rows: int, combination: int) -> list[int]:
    """All rows; the first and the combination tokens; or some at equal distances, all where there are fewer."""
    if flat.score_queries == "anchors":
        return [0, *(rows - 1 - j for j in range(combination))]
    if flat.score_queries == "sample" and rows > flat.score_sample:
        return [math.floor(Fraction(rows * i, flat.score_sample)) for i in range(flat.score_sample)]
    return list(range(rows))
