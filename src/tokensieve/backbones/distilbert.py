"""DistilBERT: no segments, its own names for everything in a layer; head with ReLU."""

from typing import Any

from tokensieve.backbones.family import EMBEDDINGS, Family

_LAYER = r"transformer\.layer\.(\d+)\."
_OURS = r"encoder.layer.\1."


def _sizes(host: Any) -> dict[str, Any]:
    return {
        "vocab_size": host.vocab_size,
        "hidden_size": host.dim,
        "num_hidden_layers": host.n_layers,
        "num_attention_heads": host.n_heads,
        "intermediate_size": host.hidden_dim,
        "hidden_act": host.activation,
        "hidden_dropout_prob": host.dropout,
        "attention_probs_dropout_prob": host.attention_dropout,
        "classifier_dropout": host.seq_classif_dropout,
        "max_position_embeddings": host.max_position_embeddings,
        "type_vocab_size": 0,
        "initializer_range": host.initializer_range,
        "layer_norm_eps": 1e-12,
        "pad_token_id": host.pad_token_id,
        "head_activation": "relu",
    }


DISTILBERT = Family(
    name="distilbert",
    prefix="distilbert.",
    names=(
        EMBEDDINGS,
        (_LAYER + r"attention\.q_lin\.(.+)", _OURS + r"attention.self.query.\2"),
        (_LAYER + r"attention\.k_lin\.(.+)", _OURS + r"attention.self.key.\2"),
        (_LAYER + r"attention\.v_lin\.(.+)", _OURS + r"attention.self.value.\2"),
        (_LAYER + r"attention\.out_lin\.(.+)", _OURS + r"attention.output.dense.\2"),
        (_LAYER + r"sa_layer_norm\.(.+)", _OURS + r"attention.output.LayerNorm.\2"),
        (_LAYER + r"ffn\.lin1\.(.+)", _OURS + r"intermediate.dense.\2"),
        (_LAYER + r"ffn\.lin2\.(.+)", _OURS + r"output.dense.\2"),
        (_LAYER + r"output_layer_norm\.(.+)", _OURS + r"output.LayerNorm.\2"),
    ),
    sizes=_sizes,
    head={"pre_classifier": "dense", "classifier": "classifier"},
)
