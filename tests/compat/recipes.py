"""What the fixtures of 0.1.0 are: settings and sizes of each model folder, and settings that some are given anew."""

from __future__ import annotations

from typing import Any

from tokensieve.presets import PRESET_NAMES

from tokensieve.config import PTCConfig

LAYERS, WIDTH = 4, 12
REREADING = PTCConfig.preset("fast", LAYERS)

MODELS: dict[str, dict[str, Any]] = {
    **{name: {"settings": PTCConfig.preset(name, LAYERS)} for name in PRESET_NAMES},
    "fast-second-norms": {"settings": REREADING, "second_norms": True},
    "fast-reread-ratios": {"settings": REREADING.changed(reread_ratios=(0.9, 0.8, 0.8, 0.8))},
    "roberta": {"family": "roberta", "settings": PTCConfig(keep_ratio=0.7, site="hidden", pooling="host")},
    "xlm-roberta": {
        "family": "xlm-roberta",
        "settings": PTCConfig(
            pruning="ratio", site="hidden", score="learned", keep_ratios=(0.5, 1.0, 0.6, 0.7), pooling="host"
        ),
    },
    "distilbert": {
        "family": "distilbert",
        "settings": PTCConfig(pruning="ratio", keep_ratio=0.6, heads="per_head", min_tokens=9, pooling="host"),
    },
    "electra": {
        "family": "electra",
        "settings": PTCConfig(pruning="ratio", keep_ratio=0.7, site="hidden", merge_pruned=True, pooling="host"),
    },
    "candidates-sample": {
        "settings": PTCConfig(
            keep_ratio=0.6,
            ratio_scope="candidates",
            score_queries="sample",
            score_sample=7,
            protect_special=False,
            pooling="mean",
        )
    },
    "insert-soft": {
        "settings": PTCConfig(
            keep_ratio=0.8,
            combine_layer=3,
            combine_mode="insert",
            combination_tokens=3,
            combine_assignment="soft",
            combine_count_offset=1.0,
            score_queries="anchors",
        )
    },
    "multi-label": {
        "settings": PTCConfig.preset("balanced", LAYERS),
        "config": {
            "problem_type": "multi_label_classification",
            "id2label": {0: "film", 1: "law", 2: "sport", 3: "money"},
            "calibration_temperature": 1.7,
        },
        "given": (0.35, 0.5, 0.6, 0.2),
    },
    "pairs": {
        "settings": PTCConfig.preset("accurate", LAYERS),
        "config": {"text_pairs": True, "calibration_temperature": 0.8},
    },
}
"""By the name of the folder: `settings`; the `family` where it is not BERT; further fields of the `config`; whether a
second reading has its own `second_norms`; and with several labels a document, the share of documents `given` each.
"""

SETTINGS_ANEW: dict[str, tuple[str, dict[str, Any]]] = {
    "dense-to-hidden": ("dense", {"pruning": "ratio", "site": "hidden", "keep_ratio": 0.7, "pooling": "host"}),
    "paper-p-to-dense": ("paper-p", {"pruning": "none"}),
    "paper-pfc-7-to-hidden": ("paper-pfc-7", {"site": "hidden", "keep_ratio": 0.7}),
    "paper-c-11-to-pfc": ("paper-c-11", {"pruning": "fuzzy", "keep_ratio": 0.6}),
    "balanced-to-more": ("balanced", {"keep_ratio": 0.9, "leaving_keys": True}),
    "fast-to-dense": ("fast", {"pruning": "none"}),
    "fast-second-norms-to-dense": ("fast-second-norms", {"pruning": "none"}),
    "fast-second-norms-to-the-same": ("fast-second-norms", {}),
    "fast-to-less": ("fast", {"keep_ratio": 0.5}),
    "roberta-to-keys": ("roberta", {"site": "keys"}),
    "electra-to-dense": ("electra", {"pruning": "none", "site": "keys", "merge_pruned": False}),
    "multi-label-to-more": ("multi-label", {"keep_ratio": 0.9}),
}
"""By the name of the answers: a model folder, and what `compress` changes of its settings."""
