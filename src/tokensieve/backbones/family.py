"""Family: how a family of backbones differs from BERT, by a name table for its parameters and a few settings."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from tokensieve.checks import Check, is_number


@dataclass(frozen=True)
class Family:
    """A BERT-like architecture of transformers.

    Attributes:
        name: the family's name in `TokensieveConfig.family`.
        prefix: prefix of the body's parameter names in a model with a head ("bert.").
        names: (pattern, replacement) from the family's parameter names, without prefix, to ours; first match wins.
            A tensor that holds several of ours, one below the other, has a replacement for each.
        joined: parts of the family's names by which tensors differ that are one of ours, one below the other; `names`
            has it under the first.
        fields: our field of `TokensieveConfig` -> the family's own name for it.
        attention: how transformers' own code computes attention, "sdpa", or "eager" where it knows nothing else.
        fixed: fields of `TokensieveConfig` that have one value in the whole family.
        own_fields: checks of fields in the family's config.json that mean something else in other families, or nothing.
        head: parameter name in the source -> in our pretrained head; checkpoints without head lack them.
    """

    name: str
    prefix: str
    names: tuple[tuple[str, str | tuple[str, ...]], ...]
    fields: Mapping[str, str]
    head: Mapping[str, str]
    fixed: Mapping[str, Any] = field(default_factory=dict)
    attention: str = "sdpa"
    own_fields: Mapping[str, Check] = field(default_factory=dict)
    joined: tuple[str, ...] = ()

    def sizes(self, config: Any) -> dict[str, Any]:
        """Fields of `TokensieveConfig` from the family's config."""
        sizes = {ours: getattr(config, theirs, None) for ours, theirs in self.fields.items()}
        return {"family": self.name, **sizes, **self.fixed}

    def theirs(self, config: Any) -> dict[str, Any]:
        """The sizes of a `TokensieveConfig` under the names of the family's config."""
        return {theirs: getattr(config, ours) for ours, theirs in self.fields.items()}

    def rename(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The source's parameters, or views of them, under our names, with its layer numbers.

        What we do not use is left out.
        """
        renamed: dict[str, Tensor] = {}
        for name in state:
            place, number = self._whole(name)
            ours = self._our_names(place)
            if number or not ours:
                continue
            parts = [state[own] for own in self._parts(place) if own in state]
            tensor = parts[0] if len(parts) == 1 else torch.cat(parts)
            renamed |= dict(zip(ours, tensor.chunk(len(ours)) if len(ours) > 1 else (tensor,), strict=False))
        return renamed

    def original(self, name: str, ours: Mapping[str, Tensor]) -> Tensor | None:
        """The source's parameter of a name, made of ours; None: we do not use it. The inverse of `rename`."""
        place, number = self._whole(name)
        parts = [ours[own] for own in self._our_names(place) if own in ours]
        if not parts:
            return None
        whole = parts[0] if len(parts) == 1 else torch.cat(parts)
        return whole.chunk(len(self._parts(place)))[number]

    def _whole(self, name: str) -> tuple[str, int]:
        """The name that stands for all tensors that are joined with this one, and its number among them."""
        for number, part in enumerate(self.joined):
            if part in name:
                return name.replace(part, self.joined[0]), number
        return name, 0

    def _parts(self, place: str) -> tuple[str, ...]:
        """The names of the tensors that are one of ours, the first of which is given."""
        if not self.joined or self.joined[0] not in place:
            return (place,)
        return tuple(place.replace(self.joined[0], part) for part in self.joined)

    def _our_names(self, name: str) -> tuple[str, ...]:
        head = self._head_name(name)
        return (head,) if head else self._body_names(name.removeprefix(self.prefix))

    def _head_name(self, name: str) -> str | None:
        module, _, kind = name.rpartition(".")
        target = self.head.get(module, self.head.get(module.removeprefix(self.prefix)))
        return f"head.{target}.{kind}" if target else None

    def _body_names(self, name: str) -> tuple[str, ...]:
        for pattern, replacement in self.names:
            if re.fullmatch(pattern, name):
                several = (replacement,) if isinstance(replacement, str) else replacement
                return tuple(re.sub(pattern, own, name) for own in several)
        return ()


SHARED_FIELDS = {
    name: name
    for name in (
        "vocab_size",
        "hidden_size",
        "num_hidden_layers",
        "num_attention_heads",
        "intermediate_size",
        "hidden_act",
        "hidden_dropout_prob",
        "attention_probs_dropout_prob",
        "classifier_dropout",
        "max_position_embeddings",
        "type_vocab_size",
        "initializer_range",
        "layer_norm_eps",
        "pad_token_id",
    )
}
"""BERT, RoBERTa and ELECTRA name these alike, as we do."""


def shared_fields(*without: str, **renamed: str) -> dict[str, str]:
    """`SHARED_FIELDS` without those that a family lacks, and with the family's own names for others."""
    return {name: renamed.get(name, name) for name in SHARED_FIELDS if name not in without}


def is_plain_rotation(parameters: object) -> bool:
    """Whether they are those of a plain rotation (`rope_parameters` of transformers), as far as they describe one."""
    return (
        isinstance(parameters, Mapping)
        and parameters.keys() <= {"rope_type", "rope_theta"}
        and parameters.get("rope_type", "default") == "default"
        and is_number(parameters.get("rope_theta", 2.0))
    )


EMBEDDINGS = (r"embeddings\.((?:word|position|token_type)_embeddings|LayerNorm)\.(weight|bias)", r"embeddings.\1.\2")
BERT_LAYERS = (r"encoder\.layer\.(\d+)\.(.+)", r"encoder.layer.\1.\2")
