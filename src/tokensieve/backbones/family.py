"""What a family of backbones differs in: a name table for its parameters, and a few settings."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor


@dataclass(frozen=True)
class Family:
    """A BERT-like architecture of transformers.

    Attributes:
        name: the family's name in `TokensieveConfig.family`.
        prefix: of the body's parameters in a model with a head ("bert.").
        names: (pattern, replacement) from the family's parameter names, without prefix, to ours; first match wins.
        sizes: TokensieveConfig fields from the host's config.
        head: parameter name in the host -> in our host head; checkpoints without head lack them.
    """

    name: str
    prefix: str
    names: tuple[tuple[str, str], ...]
    sizes: Callable[[Any], dict[str, Any]]
    head: Mapping[str, str]

    def rename(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The host's parameters under our names, layers numbered as in the host; what we do not use is left out."""
        renamed = {}
        for name, tensor in state.items():
            ours = self._head_name(name) or self._body_name(name.removeprefix(self.prefix))
            if ours is not None:
                renamed[ours] = tensor
        return renamed

    def _head_name(self, name: str) -> str | None:
        module, _, kind = name.rpartition(".")
        target = self.head.get(module, self.head.get(module.removeprefix(self.prefix)))
        return f"head.{target}.{kind}" if target else None

    def _body_name(self, name: str) -> str | None:
        for pattern, replacement in self.names:
            if re.fullmatch(pattern, name):
                return re.sub(pattern, replacement, name)
        return None


def shared_sizes(host: Any) -> dict[str, Any]:
    """Fields that BERT, RoBERTa and ELECTRA name alike."""
    return {
        "vocab_size": host.vocab_size,
        "hidden_size": host.hidden_size,
        "num_hidden_layers": host.num_hidden_layers,
        "num_attention_heads": host.num_attention_heads,
        "intermediate_size": host.intermediate_size,
        "hidden_act": host.hidden_act,
        "hidden_dropout_prob": host.hidden_dropout_prob,
        "attention_probs_dropout_prob": host.attention_probs_dropout_prob,
        "classifier_dropout": getattr(host, "classifier_dropout", None),
        "max_position_embeddings": host.max_position_embeddings,
        "type_vocab_size": host.type_vocab_size,
        "initializer_range": host.initializer_range,
        "layer_norm_eps": host.layer_norm_eps,
        "pad_token_id": host.pad_token_id,
    }


EMBEDDINGS = (r"embeddings\.((?:word|position|token_type)_embeddings|LayerNorm)\.(weight|bias)", r"embeddings.\1.\2")
BERT_LAYERS = (r"encoder\.layer\.(\d+)\.(.+)", r"encoder.layer.\1.\2")
