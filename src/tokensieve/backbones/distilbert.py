"""DistilBERT: no segments, its own names for everything in a layer; head with ReLU."""

from tokensieve.backbones.family import EMBEDDINGS, Family

_LAYER = r"transformer\.layer\.(\d+)\."
_OURS = r"encoder.layer.\1."

_FIELDS = {
    "vocab_size": "vocab_size",
    "hidden_size": "dim",
    "num_hidden_layers": "n_layers",
    "num_attention_heads": "n_heads",
    "intermediate_size": "hidden_dim",
    "hidden_act": "activation",
    "hidden_dropout_prob": "dropout",
    "attention_probs_dropout_prob": "attention_dropout",
    "classifier_dropout": "seq_classif_dropout",
    "max_position_embeddings": "max_position_embeddings",
    "initializer_range": "initializer_range",
    "pad_token_id": "pad_token_id",
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
    fields=_FIELDS,
    head={"pre_classifier": "dense", "classifier": "classifier"},
    fixed={"type_vocab_size": 0, "layer_norm_eps": 1e-12, "head_activation": "relu"},
)
