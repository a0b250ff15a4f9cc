"""PruMerge: the patches that [CLS] attends to unusually much stay, and take from their most similar neighbours.

Source: LLaVA-PruMerge (Shang et al., ICCV 2025): adaptive selection by the interquartile range, spatial samples
(PruMerge+), and the supplement of kept tokens by their nearest neighbours. Every image is decided by itself; the code
of the authors takes the quartiles of a batch. What else differs stands in docs/methods/prumerge.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor

from tokensieve.checks import check_value, number, one_of, whole
from tokensieve.errors import InputError
from tokensieve.kernels.cosines import cosines
from tokensieve.tokens import COMBINATION, Tokens

Supplement = Literal["sum", "mean", "none"]
Images = Tensor | Sequence[Tensor]
"""[B, N, ...], or a tensor [N, ...] for each image."""

_CHECKS = {
    "count": whole(1).or_none(),
    "spatial": number(lambda spatial: 0 <= spatial <= 1000, "a number of 0 or more, at most 1000"),
    "neighbours": whole(0),
    "supplement": one_of(get_args(Supplement)),
    "fence": number(lambda fence: fence >= 0, "a number of 0 or more"),
}


@torch.no_grad()
def reduce_visual_tokens(
    hidden: Images,
    attention: Images,
    keys: Images,
    *,
    count: int | None = None,
    spatial: float = 0.0,
    neighbours: int = 32,
    supplement: Supplement = "sum",
    rest: bool = False,
    fence: float = 1.5,
) -> Tokens:
    """Keep few visual tokens of each image, as many as its attention asks for.

    Args:
        hidden: [B, N, d] or a tensor [N, d] for each image: the visual tokens, without [CLS].
        attention: [B, N] or [N] each: what [CLS] gives to each of them.
        keys: [B, N, e] or [N, e] each: the keys by which they are compared.
        count: how many of the highest attention are kept in place of the outliers; None: the outliers, 1 at least.
        spatial: tokens at equal distances that are kept besides, as a multiple of the outliers: 0 is PruMerge, 1 is
            PruMerge+ as the paper has it, 3 as the code of the authors does it.
        neighbours: from how many of the most similar other tokens a kept one takes, by the cosine of keys.
        supplement: "sum" adds the neighbours, each times its attention (the code of the authors); "mean" takes the
            mean of token and neighbours, by attention; "none" leaves kept tokens as they are.
        rest: whether one more token is added, the sum of all that left, each times its attention.
        fence: how many interquartile ranges above the third quartile an outlier begins.

    Returns:
        The kept tokens of all images, packed, in the order of the image. `origin` has their places. The token of the
        `rest` stands behind those of its image, as its one combination token. `values.split(list(lengths))` has a
        tensor for each image.

    Raises:
        InputError: shapes that do not belong together, an image without tokens, or numbers that are not finite.
        ConfigError: a setting out of range.
    """
    given = {"count": count, "spatial": spatial, "neighbours": neighbours, "supplement": supplement, "fence": fence}
    for name, value in given.items():
        check_value(name, value, _CHECKS[name])
    values, places = [], []
    for image, (own, given_to, key) in enumerate(zip(*_same_images(hidden, attention, keys), strict=True)):
        _check_image(image, own, given_to, key)
        kept = outliers(given_to, fence) if count is None else _highest(given_to, count)
        kept = torch.cat([kept, spatial_sample(len(given_to), round(spatial * len(kept)), kept)]).sort().values
        values.append(_supplemented(own, given_to, key, kept, neighbours, supplement))
        places.append(kept)
        if rest:
            gone = torch.ones(len(own), dtype=torch.bool, device=own.device).index_fill(0, kept, False)
            values.append((given_to[gone].unsqueeze(1).to(own.dtype) * own[gone]).sum(0, keepdim=True))
            places.append(kept.new_full((1,), COMBINATION))
    return _packed(values, places, int(rest))


def outliers(attention: Tensor, fence: float = 1.5) -> Tensor:
    """The places of the patches whose attention [N] is more than `fence` interquartile ranges above the third quartile.

    Quartiles are linear. Where there is no outlier, the patch of the highest attention stands for all.
    """
    precise = attention.double()
    first, third = torch.quantile(precise, torch.tensor([0.25, 0.75], dtype=precise.dtype, device=precise.device))
    places = (precise > third + fence * (third - first)).nonzero().squeeze(1)
    return places if len(places) else _highest(attention, 1)


def spatial_sample(tokens: int, number: int, kept: Tensor) -> Tensor:
    """Of `number` places at equal distances, from 0, in `tokens` places, those that are not among the `kept` ones."""
    number = min(number, tokens)
    places = torch.arange(number, device=kept.device) * tokens // max(1, number)
    return places[~torch.isin(places, kept)]


def _highest(attention: Tensor, count: int) -> Tensor:
    """The places of the highest attention; of equals the lower place comes first."""
    return attention.sort(descending=True, stable=True).indices[:count].sort().values


def _supplemented(
    hidden: Tensor, attention: Tensor, keys: Tensor, kept: Tensor, neighbours: int, supplement: Supplement
) -> Tensor:
    """The kept tokens [m, d] with what they take from their neighbours."""
    own, number = hidden[kept], min(neighbours, len(hidden) - 1)
    if supplement == "none" or number == 0:
        return own
    unit = F.normalize(keys.float(), dim=1)
    alike = cosines(unit[kept], unit).scatter_(1, kept.unsqueeze(1), -torch.inf)  # nothing is its own neighbour
    near = alike.sort(dim=1, descending=True, stable=True).indices[:, :number]
    precise = torch.promote_types(hidden.dtype, torch.float32)
    weights, values = attention.to(precise)[near], hidden.to(precise)[near]
    taken = (weights.unsqueeze(2) * values).sum(1)
    if supplement == "sum":
        return (own.to(precise) + taken).to(hidden.dtype)
    weight = attention.to(precise)[kept].unsqueeze(1)
    total = weight + weights.sum(1, keepdim=True)
    mean = (own.to(precise) * weight + taken) / total
    return torch.where(total > 0, mean, own.to(precise)).to(hidden.dtype)


def _same_images(*images: Images) -> list[list[Tensor]]:
    lists = [list(own) for own in images]
    if len({len(own) for own in lists}) > 1:
        counts = ", ".join(str(len(own)) for own in lists)
        raise InputError(f"hidden, attention and keys are of {counts} images: give the three of the same images")
    if not lists[0]:
        raise InputError("there is no image: give one or more")
    return lists


def _check_image(image: int, hidden: Tensor, attention: Tensor, keys: Tensor) -> None:
    if hidden.dim() != 2 or keys.dim() != 2 or attention.shape != hidden.shape[:1] or len(keys) != len(hidden):
        raise InputError(
            f"image {image}: hidden {list(hidden.shape)}, attention {list(attention.shape)}, keys {list(keys.shape)}: "
            "give [N, d], [N] and [N, e] of the same N tokens, without [CLS]"
        )
    if len(hidden) == 0:
        raise InputError(f"image {image} has no token: leave it out")
    if not (attention.isfinite().all() and keys.isfinite().all()):
        raise InputError(f"image {image}: attention or keys are not finite: check the vision tower and its input")


def _packed(values: Sequence[Tensor], places: Sequence[Tensor], rest: int) -> Tokens:
    origin = torch.cat(list(places))
    each = 1 + rest
    images = range(len(values) // each)
    lengths = tuple(sum(len(part) for part in places[image * each : (image + 1) * each]) for image in images)
    return Tokens(
        values=torch.cat(list(values)),
        lengths=lengths,
        origin=origin,
        protected=torch.zeros_like(origin, dtype=torch.bool),
        protected_counts=(0,) * len(lengths),
        combination=rest,
    )
