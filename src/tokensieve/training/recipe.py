"""Recipe: how a classifier is trained. The defaults are the paper's, and fixed choices where it states none."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

from tokensieve.errors import ConfigError

ClassWeights = Literal["none", "balanced"]
Selection = Literal["loss", "accuracy", "f1_macro"]


@dataclass(frozen=True)
class Recipe:
    """Settings of a training run (PTC section 4.1).

    From the paper: Adam at 2e-5, linear warm-up and decay, batches of 16, the first 512 tokens, the checkpoint with the
    lowest validation loss. Fixed here: AdamW without weight decay, warm-up over 10 %, at most 5 epochs, clipping at 1.

    Attributes:
        learning_rate: peak of the schedule.
        epochs: at most this many.
        batch_size: documents of one forward pass and device.
        accumulation: forward passes of one optimizer step.
        warmup: share of the steps over which the learning rate rises.
        weight_decay: of AdamW.
        clip: largest norm of the gradient.
        max_length: tokens at which a document is truncated.
        select: what the best epoch is chosen by, on validation documents: the lowest "loss", or the highest metric.
        patience: epochs without improvement after which training stops; None: never.
        class_weights: "balanced" weighs every class by the inverse of its frequency.
        bf16: autocast to bfloat16.
        attention_dropout: in place of the checkpoint's; 0 halves training time on CPU, where fused attention with
            dropout stores every probability.
        seed: of the new parameters, the order of the documents, dropout and noise.
    """

    learning_rate: float = 2e-5
    epochs: int = 5
    batch_size: int = 16
    accumulation: int = 1
    warmup: float = 0.1
    weight_decay: float = 0.0
    clip: float = 1.0
    max_length: int = 512
    select: Selection = "loss"
    patience: int | None = None
    class_weights: ClassWeights = "none"
    bf16: bool = False
    attention_dropout: float | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size", "accumulation", "max_length"):
            self._require(name, getattr(self, name) >= 1, "1 or more")
        self._require("learning_rate", self.learning_rate > 0, "a number above 0")
        self._require("clip", self.clip > 0, "a number above 0")
        self._require("weight_decay", self.weight_decay >= 0, "0 or more")
        self._require("warmup", 0 <= self.warmup < 1, "a share in [0, 1)")
        self._require("seed", 0 <= self.seed < 2**32, "0 or more, below 2^32")
        self._require("patience", self.patience is None or self.patience >= 1, "1 or more")
        self._require("attention_dropout", self.attention_dropout is None or 0 <= self.attention_dropout < 1, "[0, 1)")
        self._require("select", self.select in get_args(Selection), ", ".join(get_args(Selection)))
        self._require("class_weights", self.class_weights in get_args(ClassWeights), ", ".join(get_args(ClassWeights)))

    def _require(self, name: str, holds: bool, remedy: str) -> None:
        if not holds:
            raise ConfigError(f"{name}={getattr(self, name)!r}: give {remedy}")

    def to_dict(self) -> dict[str, Any]:
        """For the record of the run."""
        return asdict(self)
