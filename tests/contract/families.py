"""The families of backbones as sizes of the contract tests' tiny models, as far as they differ from BERT's."""

from typing import Any

from transformers.models.auto.configuration_auto import CONFIG_MAPPING

from contract.variants import PAD
from tokensieve.backbones import BACKBONES

SHORT: dict[str, dict[str, Any]] = {"modernbert": {"local_attention": 10}, "eurobert": {"num_key_value_heads": 2}}
"""Windows that are short beside the tests' documents, and fewer heads of keys than of queries."""
_OF_THE_TESTS = (
    *("vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size"),
    *("max_position_embeddings", "initializer_range", "pad_token_id", "embedding_size"),
)


def sizes_of(kind: str, depth: int = 4) -> dict[str, Any]:
    """What `tiny_model` is to be given for a tiny model of a family, in which padding has the tests' own id."""
    layers = {BACKBONES[kind].fields["num_hidden_layers"]: depth}
    sizes = BACKBONES[kind].sizes(CONFIG_MAPPING[kind](**layers, **SHORT.get(kind, {})))
    kept = {name: value for name, value in sizes.items() if name not in _OF_THE_TESTS}
    narrow = {"embedding_size": 16} if kind == "electra" else {}
    return {**kept, **narrow, "pad_token_id": PAD}


FAMILIES = {kind: sizes_of(kind) for kind in BACKBONES if kind != "bert"}
"""All but BERT, which every other contract test is of."""
