"""The record of a run, as training.json has it, but for what the model tells: settings and labels."""

from typing import Any

from tokensieve.training.recipe import Recipe

RECORD: dict[str, Any] = {
    "base": "some/base",
    "data": "news",
    "data_digest": "d1ce" * 16,
    "recipe": Recipe().to_dict(),
    "multi_label": False,
    "documents": {"train": 400, "validation": 100},
    "processes": 1,
    "truncated": {"train": 7, "validation": 3},
    "rows": {"train": {"read": 510, "used": 500, "rejected": 10, "reasons": {"empty text": 9, "missing label": 1}}},
    "mean_length": 24.4,
    "seconds": 12.3,
    "best": {"epoch": 2.0, "eval_loss": 0.61, "eval_accuracy": 0.8125, "eval_f1_macro": 0.75, "eval_f1_micro": 0.8125},
    "calibration": {
        "temperature": 1.25,
        "thresholds": None,
        "ece_before": 0.0625,
        "ece_after": 0.03125,
        "documents": 100,
    },
    "versions": {"tokensieve": "0.1.0", "torch": "2.13.0"},
}
