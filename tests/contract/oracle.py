"""The method once more, document by document: plain loops, exact fractions, no batch, nothing taken from the package.

Follows the description of the method and of its settings sentence by sentence; only the names of the parameters are the
model's. The importance scores are float32, the arithmetic of the selection on them is exact.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from decimal import Decimal
from fractions import Fraction
from types import SimpleNamespace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from flat import flat_of
from tokensieve import TokensieveForSequenceClassification

Scores = Sequence[float | Fraction]


def floor_share(ratio: float, count: int) -> int:
    """floor(count * ratio) with the ratio as the decimal that is written down."""
    return int((Decimal(repr(ratio)) * count).to_integral_value(rounding="ROUND_FLOOR"))


def quartile(values: Scores, share: Fraction) -> Fraction:
    """Linear quantile, exactly."""
    ordered = sorted(values)
    place = share * (len(ordered) - 1)
    low, high = Fraction(ordered[math.floor(place)]), Fraction(ordered[math.ceil(place)])
    return low + (high - low) * (place - math.floor(place))


def quartiles(scores: Sequence[Scores], protected: Sequence[bool]) -> tuple[Fraction, Fraction] | None:
    """Quartiles of the unprotected tokens' scores, pooled over the sets; None where there is no such token."""
    pooled = [score for own in scores for score, safe in zip(own, protected, strict=True) if not safe]
    return (quartile(pooled, Fraction(1, 4)), quartile(pooled, Fraction(3, 4))) if pooled else None


def is_candidate(config: SimpleNamespace, score: float | Fraction, a: Fraction, b: Fraction) -> bool:
    """Outside I minus U, by the two membership functions."""
    if a == b:
        return False
    importance, unimportance = (min(max(x / (b - a), 0), 1) for x in (Fraction(score) - a, b - Fraction(score)))
    important = importance >= Decimal(repr(config.alpha_important))
    unimportant = unimportance >= Decimal(repr(config.alpha_unimportant))
    return not (important and not unimportant)


def select(config: SimpleNamespace, scores: Sequence[Scores], protected: Sequence[bool]) -> list[list[int]]:
    """Indices that stay, for each of the S sets of scores of one document (S = 1: shared by the heads)."""
    t, safe = len(protected), sum(protected)
    places = range(t)
    bounds = quartiles(scores, protected) if config.pruning == "fuzzy" else None
    candidates = [
        {j for j in places if bounds and not protected[j] and is_candidate(config, own[j], *bounds)} for own in scores
    ]
    if config.ratio_scope == "candidates":
        # Every head keeps as many as the one that keeps most, so that none loses a token it should keep.
        count = max(1, *(t - len(c) + floor_share(config.keep_ratio, len(c)) for c in candidates))
    else:
        count = max(1, safe, floor_share(config.keep_ratio, t))
    count = max(count, min(t, config.min_tokens))
    kept = []
    for own, marked in zip(scores, candidates, strict=True):
        # Candidates leave first, lowest score first, of equals the higher position; then others the same way.
        leaving = sorted((j for j in places if not protected[j]), key=lambda j: (j not in marked, own[j], -j))
        gone = set(leaving[: t - count])
        kept.append([j for j in places if j not in gone])
    return kept


def select_positions(
    config: SimpleNamespace, scores: Sequence[Scores], alive: Sequence[Sequence[int]], protected: Sequence[bool]
) -> list[list[int]]:
    """Positions that stay of those `alive` in each set; earlier steps may have left the sets different."""
    # With the protected ones, which all sets share, moved to the end, they stand at the same places everywhere.
    order = [sorted(range(len(own)), key=lambda j, own=own: (protected[own[j]], j)) for own in alive]
    moved = [[own[j] for j in places] for own, places in zip(scores, order, strict=True)]
    stay = select(config, moved, [protected[alive[0][j]] for j in order[0]])
    return [sorted(own[places[j]] for j in kept) for own, places, kept in zip(alive, order, stay, strict=True)]


def margin(config: SimpleNamespace, scores: Sequence[Scores], protected: Sequence[bool]) -> float:
    """Distance of the score nearest to the candidates' threshold, as a share of the scores' spread."""
    bounds = quartiles(scores, protected)
    if config.ratio_scope != "candidates" or bounds is None or bounds[0] == bounds[1]:
        return math.inf
    a, b = bounds
    share = max(1 - Fraction(repr(config.alpha_unimportant)), Fraction(repr(config.alpha_important)))
    free = [score for own in scores for score, safe in zip(own, protected, strict=True) if not safe]
    return float(min(abs(score - (a + share * (b - a))) for score in free) / (b - a))


def protected_places(config: Any, ids: Sequence[int], segments: Sequence[int] | None = None) -> set[int]:
    """Positions of the special tokens that the tokenizer added, of one document without padding."""
    places = {0, len(ids) - 1}
    inner = range(1, len(ids) - 1)
    special = config.special_token_ids
    separators = [j for j in inner if special is None or (ids[j] == ids[-1] and ids[j] in special)]
    if segments is not None and config.type_vocab_size > 1:
        return places | set([j for j in separators if segments[j] != segments[j + 1]][:1])
    pairs = config.text_pairs if config.text_pairs is not None else config.type_vocab_size < 2
    if special is None or not pairs:
        return places
    if config.family != "roberta":
        return places | set(separators[:1])
    double = [j for j in separators if j + 1 in separators][:1]
    return places | set(double) | {j + 1 for j in double}


def logits(model: TokensieveForSequenceClassification, ids: Sequence[int]) -> tuple[Tensor, list[list[list[int]]]]:
    """Logits [num_labels] of one document in eval mode, and what each pruning layer kept, by head set."""
    config, weights = model.config, model.state_dict()
    settings = flat_of(model.settings, config.num_hidden_layers)
    states, where = _embed(config, weights, ids), list(range(len(ids)))
    protected = [settings.protect_special and place in protected_places(config, ids) for place in range(len(ids))]
    own = weights.get("embeddings.combination_tokens.weight")
    extra = states.new_zeros(0, states.shape[1]) if own is None else own
    heads = config.num_attention_heads
    keys = [where] * heads  # positions that each head may attend to
    kept = []
    sizes = [1.0] * (len(ids) + len(extra))  # tokens that each row stands for
    step, host_layers = 0, list(range(1, config.num_hidden_layers + 1))
    for number in [*host_layers, config.num_hidden_layers + 1]:
        if number == settings.combine_layer:
            extra = _combine(settings, config, weights, f"encoder.layer.{step}.", states, extra)
            states, where, keys = states[:0], [], [[]] * heads
            step += 1
            if settings.combine_mode == "replace":
                continue
        if number not in host_layers:
            break
        name, size = f"encoder.layer.{step}.", len(where)
        rows = sources = torch.cat([states, extra])  # the keys and values are made of `sources`
        last = number == (settings.combine_layer or config.num_hidden_layers + 1) - 1
        prunes = (
            settings.prune is not None
            and where
            and len(ids) >= settings.min_length
            and not (settings.site == "keys" and last)
        )
        rule = SimpleNamespace(**vars(settings) | {"keep_ratio": settings.keep_ratios[number - 1] if prunes else 1.0})
        if prunes and settings.score == "learned":
            vector = weights.get(name + "importance.weight", states.new_zeros(1, states.shape[1]))[0]
            foretold = [float(row @ vector) for row in states]
            chosen = select_positions(rule, [foretold], keys[:1], protected)
            kept.append(chosen)
            groups = _leaving(settings, rows, where, chosen[0], protected)
            rows, sizes = _means(groups, rows, sizes), _sums(groups, sizes)
            where, keys, size = chosen[0], chosen * heads, len(chosen[0])
            sources = sources if settings.leaving_keys else rows
        if settings.leaving_keys:
            visible = [list(range(len(sources)))] * heads
        else:
            visible = [[where.index(p) for p in own_keys] + list(range(size, len(rows))) for own_keys in keys]
        asked = _queries_asked(settings, len(rows), len(extra))
        context, received = _attention(config, weights, name, rows, sources, visible, asked)
        if prunes and settings.score == "received":
            scores = [column[: len(own_keys)] for column, own_keys in zip(received, keys, strict=True)]
            if settings.heads == "shared":
                scores = [torch.stack(scores).mean(0)]
            chosen = select_positions(rule, [own.tolist() for own in scores], keys[: len(scores)], protected)
            kept.append(chosen)
            keys = chosen if len(chosen) == heads else chosen * heads
            if settings.site == "hidden":
                groups = _leaving(settings, rows, where, keys[0], protected)
                context, rows, sizes = _means(groups, context, sizes), _means(groups, rows, sizes), _sums(groups, sizes)
                where = keys[0]
        attended = _norm(config, weights, name + "attention.output.LayerNorm", context + rows)
        wide = _gelu(_linear(weights, name + "intermediate.dense", attended))
        rows = _norm(
            config, weights, name + "output.LayerNorm", _linear(weights, name + "output.dense", wide) + attended
        )
        states, extra = rows[: len(where)], rows[len(where) :]
        step += 1
    rows = torch.cat([states, extra])
    return _head(settings, weights, rows, sizes if where else [1.0] * len(rows)), kept


def _leaving(
    settings: SimpleNamespace, rows: Tensor, where: Sequence[int], stay: Sequence[int], protected: Sequence[bool]
) -> list[list[int]]:
    """The rows that go on, of the text those at the positions that stay; each with the rows that it takes up."""
    stays = [where.index(p) for p in stay] + list(range(len(where), len(rows)))
    if not settings.merge_pruned:
        return [[j] for j in stays]
    return _merged(rows, stays, [j for j in stays if j < len(where) and not protected[where[j]]])


def _merged(rows: Tensor, stays: Sequence[int], takes: Sequence[int]) -> list[list[int]]:
    """For each row that stays, itself and the rows that leave and are more similar to it than to any other."""
    groups = {j: [j] for j in stays}
    for leaving in set(range(len(rows))) - set(stays):
        if takes:
            groups[max(takes, key=lambda j, i=leaving: float(torch.cosine_similarity(rows[i], rows[j], dim=0)))] += [
                leaving
            ]
    return list(groups.values())


def _means(groups: list[list[int]], rows: Tensor, sizes: Sequence[float]) -> Tensor:
    return torch.stack([sum(sizes[j] * rows[j] for j in own) / sum(sizes[j] for j in own) for own in groups])


def _sums(groups: list[list[int]], sizes: Sequence[float]) -> list[float]:
    return [sum(sizes[j] for j in own) for own in groups]


def _embed(config: Any, weights: dict[str, Tensor], ids: Sequence[int]) -> Tensor:
    table = {kind: weights[f"embeddings.{kind}_embeddings.weight"] for kind in ("word", "position", "token_type")}
    vectors = [
        table["word"][token] + table["position"][place] + table["token_type"][0] for place, token in enumerate(ids)
    ]
    return _norm(config, weights, "embeddings.LayerNorm", torch.stack(vectors))


def _queries_asked(settings: SimpleNamespace, rows: int, combination: int) -> list[int]:
    """All rows; the first and the combination tokens; or some at equal distances, all where there are fewer."""
    if settings.score_queries == "anchors":
        return [0, *(rows - 1 - j for j in range(combination))]
    if settings.score_queries == "sample" and rows > settings.score_sample:
        return [math.floor(Fraction(rows * i, settings.score_sample)) for i in range(settings.score_sample)]
    return list(range(rows))


def _attention(
    config: Any,
    weights: dict[str, Tensor],
    name: str,
    rows: Tensor,
    sources: Tensor,
    visible: list[list[int]],
    asked: list[int],
) -> tuple[Tensor, list[Tensor]]:
    """Output projection of all heads' contexts; for each head the mean attention its keys receive of the `asked`.

    Queries are of `rows`, keys and values of `sources`, of which each head sees the `visible` ones.
    """
    query = _linear(weights, f"{name}attention.self.query", rows)
    key, value = (_linear(weights, f"{name}attention.self.{part}", sources) for part in ("key", "value"))
    size = rows.shape[1] // config.num_attention_heads
    contexts, received = [], []
    for head, alive in enumerate(visible):
        part = slice(head * size, (head + 1) * size)
        probabilities = torch.softmax(query[:, part] @ key[alive, part].T / math.sqrt(size), dim=1)
        contexts.append(probabilities @ value[alive, part])
        received.append(torch.stack([probabilities[row] for row in asked]).mean(0))
    return _linear(weights, name + "attention.output.dense", torch.cat(contexts, dim=1)), received


def _combine(
    settings: SimpleNamespace, config: Any, weights: dict[str, Tensor], name: str, text: Tensor, own: Tensor
) -> Tensor:
    query = _linear(weights, name + "query", _norm(config, weights, name + "combination_norm", own))
    key = _linear(weights, name + "key", _norm(config, weights, name + "text_norm", text))
    value = _linear(weights, name + "value", text)
    if settings.combine_assignment == "soft":
        scale = math.sqrt(own.shape[1]) if settings.combine_scale else 1.0
        taken = [torch.softmax(key @ one / scale, 0) @ value / (1 + settings.combine_count_offset) for one in query]
        return torch.stack(
            [token + _linear(weights, name + "dense", mean) for token, mean in zip(own, taken, strict=True)]
        )
    groups: list[list[int]] = [[] for _ in own]
    for j in range(len(text)):
        similarity = [float(query[i] @ key[j]) for i in range(len(own))]
        groups[similarity.index(max(similarity))].append(j)
    folded = []
    for token, group in zip(own, groups, strict=True):
        if not group:
            folded.append(token)
            continue
        mean = value[group].sum(0) / (len(group) + settings.combine_count_offset)
        folded.append(token + _linear(weights, name + "dense", mean))
    return torch.stack(folded)


def _head(settings: SimpleNamespace, weights: dict[str, Tensor], rows: Tensor, sizes: Sequence[float]) -> Tensor:
    if settings.pooling == "host" or (settings.pooling == "auto" and settings.combine_layer is None):
        pooled = torch.tanh(_linear(weights, "head.dense", rows[0]))
    else:
        pooled = _means([[*range(len(rows))]], rows, sizes)[0]
    return _linear(weights, "head.classifier", pooled)


def _linear(weights: dict[str, Tensor], name: str, values: Tensor) -> Tensor:
    return F.linear(values, weights[name + ".weight"], weights[name + ".bias"])


def _norm(config: Any, weights: dict[str, Tensor], name: str, values: Tensor) -> Tensor:
    return F.layer_norm(
        values, values.shape[-1:], weights[name + ".weight"], weights[name + ".bias"], config.layer_norm_eps
    )


def _gelu(values: Tensor) -> Tensor:
    return values * 0.5 * (1 + torch.erf(values / math.sqrt(2)))
