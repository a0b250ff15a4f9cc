"""The layers of a backbone, on the rows of one document: norms, positions, attention, feed-forward, combining, head.

A row has the position that its token had in the whole document; a combination token has None.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from types import SimpleNamespace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

Positions = Sequence[int | None]


def gelu(values: Tensor) -> Tensor:
    """The values times the share of the normal distribution below them."""
    return values * 0.5 * (1 + torch.erf(values / math.sqrt(2)))


ACTIVATIONS = {
    "gelu": gelu,
    "quick_gelu": lambda values: values * torch.sigmoid(1.702 * values),
    "relu": lambda values: values.clamp(min=0),
    "silu": lambda values: values * torch.sigmoid(values),
    "tanh": torch.tanh,
}


@dataclass(frozen=True)
class Backbone:
    """Sizes and parameters of a model.

    Attributes:
        config: the model's.
        weights: its parameters by name.
    """

    config: Any
    weights: dict[str, Tensor]

    def linear(self, name: str, values: Tensor) -> Tensor:
        """A linear map, with its bias where it has one."""
        return F.linear(values, self.weights[name + ".weight"], self.weights.get(name + ".bias"))

    def norm(self, name: str, values: Tensor) -> Tensor:
        """The norm of a name; the values as they are where a family has none there."""
        weight, bias = (self.weights.get(f"{name}.{part}") for part in ("weight", "bias"))
        if weight is None:
            return values
        if self.config.block.norm == "layer" or name.endswith(("combination_norm", "text_norm")):
            return F.layer_norm(values, values.shape[-1:], weight, bias, self.config.layer_norm_eps)
        return values / (values.square().mean(-1, keepdim=True) + self.config.layer_norm_eps).sqrt() * weight

    def embed(self, ids: Sequence[int], segments: Sequence[int] | None) -> Tensor:
        """Vectors [t, d]: word, position and segment where the family has them, normed and projected."""
        tables = {kind: f"embeddings.{kind}_embeddings.weight" for kind in ("word", "position", "token_type")}
        table = {kind: self.weights[name] for kind, name in tables.items() if name in self.weights}
        vectors = []
        for place, token in enumerate(ids):
            vector = table["word"][token]
            if "position" in table:
                vector = vector + table["position"][self._row(ids, place)]
            if "token_type" in table:
                vector = vector + table["token_type"][segments[place] if segments else 0]
            vectors.append(vector)
        normed = self.norm("embeddings.LayerNorm", torch.stack(vectors))
        projects = "embeddings.projection.weight" in self.weights
        return self.linear("embeddings.projection", normed) if projects else normed

    def _row(self, ids: Sequence[int], place: int) -> int:
        """The row of the position table; RoBERTa counts the ids that are not the padding id."""
        offset, pad = self.config.position_offset, self.config.pad_token_id
        if not self.config.positions_skip_padding:
            return place + offset
        return offset - 1 + (sum(other != pad for other in ids[: place + 1]) if ids[place] != pad else 0)

    def attention(
        self,
        name: str,
        number: int,
        rows: tuple[Tensor, Positions],
        sources: tuple[Tensor, Positions],
        visible: list[list[int]],
        asked: list[int],
        sizes: Sequence[float] | None = None,
        own: bool = True,
    ) -> tuple[Tensor, list[Tensor], list[Tensor]]:
        """Output projection of all heads' contexts; for each head the mean attention its keys receive of the `asked`.

        And for each head the attention of all rows.

        Queries are of `rows`, keys and values of `sources`, of which each head sees the `visible` ones. `number` is
        that of the layer in the source checkpoint, from 0. Each of `sources` is as many equal ones as its size says.
        Without `own` no key receives anything from its own query.
        """
        (values, at), (others, others_at) = rows, sources
        values, others = (self.norm(name + "attention.self.LayerNorm", part) for part in (values, others))
        query = self.linear(name + "attention.self.query", values)
        key, value = (self.linear(f"{name}attention.self.{part}", others) for part in ("key", "value"))
        heads = self.config.num_attention_heads
        size = query.shape[1] // heads
        contexts, received, given = [], [], []
        for head, alive in enumerate(visible):
            part = slice(head * size, (head + 1) * size)
            read = head * key.shape[1] // query.shape[1]  # a head of keys serves as many heads of queries
            of_keys = slice(read * size, (read + 1) * size)
            turned = self._turned(number, query[:, part], at) @ self._turned(number, key[:, of_keys], others_at).T
            logits = turned / math.sqrt(size) + self._bias(number, head, at, others_at).to(turned)
            logits = logits + torch.tensor([math.log(size) for size in sizes or [1.0] * len(others)]).to(logits)
            probabilities = torch.softmax(logits[:, alive], dim=1).nan_to_num(0)  # a window may have no key
            given.append(probabilities)
            contexts.append(probabilities @ value[alive, of_keys])
            counts = [[own or j != row for j in alive] for row in asked]
            counted = [probabilities[row] * torch.tensor(told) for row, told in zip(asked, counts, strict=True)]
            received.append(torch.stack(counted).mean(0))
        return self.linear(name + "attention.output.dense", torch.cat(contexts, dim=1)), received, given

    def embed_image(self, pixels: Tensor) -> Tensor:
        """Vectors [t, d] of an image [channels, height, width]: special tokens, then its patches row by row."""
        grid, table = self.config.grid, self.weights["embeddings.position_embeddings.weight"]
        special = [self.weights[f"embeddings.{name}_token"] for name in ("cls", "distillation")[: self._special]]
        (high, wide), kernel = grid.patch_size, self.weights["embeddings.projection.weight"]
        bias = self.weights.get("embeddings.projection.bias", torch.tensor(0.0))
        rows, columns = pixels.shape[1] // high, pixels.shape[2] // wide
        patches = [
            (kernel * pixels[:, r * high : (r + 1) * high, c * wide : (c + 1) * wide]).sum((1, 2, 3)) + bias
            for r in range(rows)
            for c in range(columns)
        ]
        known = (grid.image_size[0] // high, grid.image_size[1] // wide)
        places = table[self._special :]
        if known != (rows, columns):
            picture = places.reshape(*known, -1).permute(2, 0, 1)[None]
            picture = F.interpolate(picture, size=(rows, columns), mode="bicubic", align_corners=False)
            places = picture[0].permute(1, 2, 0).reshape(rows * columns, -1)
        vectors = torch.stack([*special, *patches]) + torch.cat([table[: self._special], places])
        return self.norm("embeddings.LayerNorm", vectors)

    @property
    def _special(self) -> int:
        return 1 + ("embeddings.distillation_token" in self.weights)

    def _of_image(self, rows: Tensor, sizes: Sequence[float], at: Positions) -> Tensor:
        """What an image's head reads: the first row, the mean of the rows that are no special tokens, or both."""
        others = [j for j, place in enumerate(at) if place is None or place >= self._special]
        mean = mean_of(rows[others], [sizes[j] for j in others]) if others else mean_of(rows, sizes)
        return {"cls": rows[0], "others": mean, "cls+others": torch.cat([rows[0], mean])}[self.config.head_pooling]

    def keys(self, name: str, rows: Tensor) -> list[Tensor]:
        """The mean over the heads of each row's key, before it is turned."""
        key = self.linear(name + "attention.self.key", self.norm(name + "attention.self.LayerNorm", rows))
        heads = [one.split(self._head_size) for one in key]
        return [sum(own) / len(own) for own in heads]

    def turned_keys(self, name: str, number: int, rows: Tensor, at: Positions) -> list[Tensor]:
        """Each row's keys of all heads, one behind the other, as attention takes them."""
        key = self.linear(name + "attention.self.key", self.norm(name + "attention.self.LayerNorm", rows))
        heads = key.split(self._head_size, dim=1)
        return list(torch.cat([self._turned(number, own, at) for own in heads], dim=1))

    @property
    def _head_size(self) -> int:
        return self.config.hidden_size // self.config.num_attention_heads

    def _bias(self, number: int, head: int, at: Positions, others_at: Positions) -> Tensor:
        """What is added to a head's logits: the bias of the distance, and minus infinity beyond the window."""
        table, blocks = self.weights.get("encoder.positions.relative.weight"), self.config.block
        window = blocks.window if number in blocks.local_layers else None
        bias = torch.zeros(len(at), len(others_at))
        if table is None and window is None:
            return bias
        for i, query in enumerate(at):
            for j, key in enumerate(others_at):
                if query is None or key is None:
                    continue
                if window is not None and abs(key - query) > window:
                    bias[i, j] = -torch.inf
                elif table is not None:
                    bias[i, j] = table[bucket(key - query, len(table)), head]
        return bias

    def _turned(self, number: int, projected: Tensor, at: Positions) -> Tensor:
        """Queries or keys of a head, whose halves are complex numbers that turn with the position of their row."""
        blocks, width = self.config.block, projected.shape[1]
        is_local = number in blocks.local_layers and blocks.local_rotary_base is not None
        base = blocks.local_rotary_base if is_local else blocks.rotary_base
        if base is None:
            return projected
        position = torch.tensor([[float(place or 0)] for place in at], dtype=projected.dtype)
        angle = position * base ** (-torch.arange(0, width, 2) / width)
        first, second = projected.chunk(2, dim=-1)
        product = torch.complex(first, second) * torch.polar(torch.ones_like(angle), angle)
        return torch.cat([product.real, product.imag], -1)

    def feed_forward(self, name: str, context: Tensor, rows: Tensor, scale: Sequence[float] | None = None) -> Tensor:
        """The end of a layer: residual and norm around attention, then the feed-forward block with its own.

        Between them each row is multiplied by its number of the `scale`, if there is one.
        """
        weights = [
            self.weights.get(f"{name}{block}.scale", torch.tensor(1.0)) for block in ("attention.output", "output")
        ]
        attended = self.norm(name + "attention.output.LayerNorm", context * weights[0] + rows)
        if scale is not None:
            attended = torch.stack([factor * row for factor, row in zip(scale, attended, strict=True)])
        wide = self.linear(name + "intermediate.dense", self.norm(name + "intermediate.LayerNorm", attended))
        activation = ACTIVATIONS[self.config.hidden_act]
        if self.config.block.gated:
            first, second = wide.chunk(2, dim=-1)
            wide = activation(first) * second
        else:
            wide = activation(wide)
        added = self.linear(name + "output.dense", wide) * weights[1]
        return self.norm(name + "output.LayerNorm", added + attended)

    def skim_score(self, name: str, row: Tensor) -> float:
        """The logit of staying less that of leaving: norm, linear map, norm, GELU, linear map of one row [d]."""
        for norm, linear in (("norm", "dense"), ("dense_norm", "logits")):
            weight, bias = (self.weights[f"{name}importance.{norm}.{part}"] for part in ("weight", "bias"))
            row = (row - row.mean()) / (row.var(correction=0) + 1e-5).sqrt() * weight + bias
            row = self.linear(f"{name}importance.{linear}", row if norm == "norm" else gelu(row))
        return float(row[1] - row[0])

    def combine(self, settings: SimpleNamespace, name: str, text: Tensor, combination: Tensor) -> Tensor:
        """The combination tokens [m, d] after each text token joined the most similar one, or gave to all."""
        if settings.combine == "projection":
            return self.project(settings, self.weights[name + "weight"], text)
        query = self.linear(name + "query", self.norm(name + "combination_norm", combination))
        key = self.linear(name + "key", self.norm(name + "text_norm", text))
        value = self.linear(name + "value", text)
        if settings.combine_assignment == "soft":
            scale = math.sqrt(combination.shape[1]) if settings.combine_scale else 1.0
            taken = [torch.softmax(key @ one / scale, 0) @ value / (1 + settings.combine_count_offset) for one in query]
            return combination + self.linear(name + "dense", torch.stack(taken))
        groups: list[list[int]] = [[] for _ in combination]
        for j in range(len(text)):
            similarity = [float(query[i] @ key[j]) for i in range(len(combination))]
            groups[similarity.index(max(similarity))].append(j)
        folded = list(combination)
        for number, group in enumerate(groups):
            if group:
                mean = value[group].sum(0) / (len(group) + settings.combine_count_offset)
                folded[number] = folded[number] + self.linear(name + "dense", mean)
        return torch.stack(folded)

    def project(self, settings: SimpleNamespace, weight: Tensor, text: Tensor) -> Tensor:
        """The tokens [m, d] that are weighted means of the text, by what a token holds or by where it stands."""
        made = []
        for own in weight:
            if settings.projects_by == "content":
                centred = [row - row.mean() for row in text]
                normed = [row / (row.square().mean() + 1e-5).sqrt() for row in centred]
                logits = [float(own @ row) / math.sqrt(len(row)) for row in normed]
            else:
                logits = [float(own[math.floor(Fraction(j * len(own), len(text)))]) for j in range(len(text))]
            parts = torch.tensor(logits, dtype=torch.float64).softmax(0).tolist()
            made.append(sum(part * row for part, row in zip(parts, text, strict=True)))
        return torch.stack(made)

    def head(self, settings: SimpleNamespace, rows: Tensor, sizes: Sequence[float], at: Positions = ()) -> Tensor:
        """Logits from the rows that are left, each of which stands for as many tokens as its size; `at` of images."""
        mean = mean_of(rows, sizes)
        if settings.pooling == "mean":
            return self.linear("head.classifier", mean)
        if not self.config.head_dense:
            return self.linear("head.classifier", self._of_image(rows, sizes, at))
        if self.config.head_pooling == "late":
            return mean_of([self._read(row) for row in rows], sizes)
        return self._read(mean if self.config.head_pooling == "mean" else rows[0])

    def _read(self, vector: Tensor) -> Tensor:
        """The logits of one vector [d], by both linear layers of a head."""
        pooled = ACTIVATIONS[self.config.head_activation](self.linear("head.dense", vector))
        return self.linear("head.classifier", self.norm("head.LayerNorm", pooled))


def mean_of(rows: Tensor, sizes: Sequence[float]) -> Tensor:
    """The mean of rows, each of which counts as many times as its size says."""
    return sum(size * row for size, row in zip(sizes, rows, strict=True)) / sum(sizes)


def bucket(distance: int, buckets: int) -> int:
    """The bucket of a distance, key less query.

    Distances below a quarter of the buckets have one each, up to 128 tokens they have logarithmic ones; the second half
    of the buckets is for keys behind the query in the text.
    """
    side, far = buckets // 2, abs(distance)
    if far >= side // 2:
        share = torch.log(torch.tensor(far / (side // 2))) / math.log(128 / (side // 2))
        far = min(side - 1, side // 2 + int(share * (side - side // 2)))
    return far + (side if distance > 0 else 0)
