"""Wrong values for the fields of a JSON record: of other types, out of range, and hardly thinkable."""

from typing import Any

from hypothesis import strategies as st

WRONG: tuple[Any, ...] = (
    *(None, True, False, "", "x", "1", "relu", "regression", "float64", "int8", "\ud800"),
    *(0, 1, -1, 2, 3, 7, 64, 5000, 2**31, 2**63, 10**30, -(10**30), 10**400),
    *(0.5, -0.5, 1.0, 2.0, 1e-30, 5e-324, 1e30, 1e308, -1e308, float("nan"), float("inf"), float("-inf")),
    *([], [0], [-1], [1.5], ["x"], [[]], [None], [2**70], [0.5, 0.5, 0.5]),
    *({}, {"a": 1}, {"0": "x"}, {"0": "x", "1": "x", "2": "y"}, {"1": "a", "2": "b"}, {"0": None, "1": [], "2": 3}),
)
OF_TRANSFORMERS = (
    *("architectures", "dtype", "torch_dtype", "id2label", "label2id", "num_labels", "problem_type", "pad_token_id"),
    *("return_dict", "use_return_dict", "output_hidden_states", "output_attentions", "chunk_size_feed_forward"),
    *("is_decoder", "is_encoder_decoder", "add_cross_attention", "tie_word_embeddings", "transformers_version"),
    *("cls_token_id", "sep_token_id", "bos_token_id", "eos_token_id", "use_cache", "gradient_checkpointing"),
    *("attn_implementation", "_attn_implementation", "experts_implementation", "quantization_config"),
    *("per_layer_config", "fusion_config", "transformers_weights", "layer_types", "rope_parameters", "rope_scaling"),
    *("attribute_map", "sub_configs", "base_model_tp_plan", "extra_files", "keys_to_ignore_at_inference"),
    *("to_dict", "get_text_config", "validate", "update", "is_heterogeneous", "self", "__class__", "unknown"),
)
"""Fields that a config may have beside those that are saved: transformers' own, and names of its class."""

json_values: st.SearchStrategy[Any] = st.one_of(
    st.sampled_from(WRONG),
    st.integers(),
    st.floats(),
    st.text(max_size=5),
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
        max_leaves=4,
    ),
)
"""Anything that a JSON file may hold."""
