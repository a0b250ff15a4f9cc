"""Recipe: how a classifier is trained. The defaults are the paper's, and fixed choices where it states none."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal

from tokensieve.checks import check_boolean, check_choice, check_integer, check_number
from tokensieve.errors import ConfigError
from tokensieve.old_names import renamed_arguments
from tokensieve.training.old import RECIPE_FIELDS, recipe_today

ClassWeights = Literal["none", "balanced"]
Floors = Literal["all", "words", "none"]
Selection = Literal["loss", "accuracy", "f1_macro", "f1_micro"]


@renamed_arguments(RECIPE_FIELDS)
@dataclass(frozen=True)
class Recipe:
    """Settings of a training run (PTC section 4.1).

    From the paper: Adam at 2e-5, linear warm-up and decay, batches of 16, the first 512 tokens, the checkpoint with the
    lowest validation loss. Fixed here: AdamW without weight decay, warm-up over 10 %, at most 5 epochs, clipping at 1.

    Attributes:
        learning_rate: peak of the schedule.
        epochs: at most this many. 0 trains nothing: a trained classifier gets other settings, and only what has a
            solution in closed form is fitted (importance, head, temperature).
        batch_size: documents of one forward pass and device.
        accumulation: forward passes of one optimizer step.
        warmup: share of the steps over which the learning rate rises.
        weight_decay: of AdamW.
        clip: largest norm of the gradient.
        max_length: tokens at which a document is truncated.
        select: what the best epoch is chosen by, on validation documents: the lowest "loss", or the highest metric. A
            trained classifier that the run starts from counts as epoch 0.
        patience: epochs without improvement on the first or a later one, after which training stops; None: never.
        class_weights: "balanced" weighs every class by the inverse of its frequency. With several labels a document,
            it weighs the positive documents of a label as much as its negative ones.
        bf16: autocast to bfloat16.
        attention_dropout: in place of the checkpoint's. 0 halves training time on CPU, where fused attention with
            dropout stores every probability.
        gradient_checkpointing: keep no activations within layers and compute them again in the backward pass. It takes
            less memory and more time.
        lora_rank: train low-rank updates of the attention of this rank, and in full what starts at random. The updates
            are folded into the weights at the end. They need a learning rate of 1e-4 and more. None: all weights.
        lora_alpha: scale of the updates times the rank; None: twice the rank.
        lora_dropout: before the updates.
        lora_targets: linear maps that are updated, see `tokensieve.training.lora.lora_config`.
        teacher: folder of a trained classifier with the same labels, from whose answers the model learns beside the
            labels; None: the labels alone.
        distill_weight: w in [0, 1], the share of the teacher's answers in the loss.
        distill_temperature: T > 0 of teacher and student in this part of the loss.
        distill_pooled: weight of the cosine distance to the teacher's document vectors, which have the same width.
        pruning_warmup: share of the steps over which every layer's keep share falls from 1 to its final value; 0: the
            final value from the first step on.
        length_drop: largest share of its tokens, in [0, 1), that a layer drops in the sub-models that each step trains
            beside the model with all tokens (`training.loop.sandwich`). So one classifier answers at any keep share of
            1 - `length_drop` or more. 0: a step trains at the shares of the settings alone.
        length_samples: how many of these sub-models have random shares, beside the one with the smallest.
        head_lr_multiplier: learning rate of what starts at random (head, combination tokens, combining module), as a
            multiple of `learning_rate`.
        feature_epochs: epochs of feature distillation ahead of training, where a trained classifier gets other
            settings: norms and biases learn to reproduce its document vectors from fewer tokens, without labels
            (`training.stages.distil_features`).
        feature_learning_rate: peak learning rate of these epochs.
        gate_epochs: epochs ahead of training in which a selection that learns has soft gates
            (`training.stages.learn_gates`). In the `epochs` that follow tokens leave. 0: gates stay as they are.
        gate_learning_rate: peak learning rate of the gates in these epochs; the weights have `learning_rate`.
        max_expected_loss: points of accuracy that a cascade may be expected to lose (`cascade.fit`). It defers as few
            documents as that takes, in place of the settings' `defer.share`; None: the settings' share.
        refit_head: refit the head's last layer first, where a trained classifier gets other settings. It is not
            refitted where training begins with the classifier's document vectors (`pruning_warmup`), or is to end with
            them (`distill_pooled`).
        calibrate: fit a temperature to the validation documents, and with several labels a document their thresholds.
        words_first: points of accuracy that a bag of words as the first stage may be expected to lose
            (`cascade.fit_words`). It answers the documents that it is sure of, the model reads the others. None: the
            model reads all.
        floors: what is fitted to the same documents and compared on the validation documents (`training.floors`):
            "words" (a bag of words), "all" (the mean of static vectors, too) or "none". The model is the same with any.
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
    gradient_checkpointing: bool = False
    lora_rank: int | None = None
    lora_alpha: float | None = None
    lora_dropout: float = 0.0
    lora_targets: tuple[str, ...] = ("query", "value")
    teacher: str | None = None
    distill_weight: float = 0.5
    distill_temperature: float = 2.0
    distill_pooled: float = 0.0
    pruning_warmup: float = 0.0
    length_drop: float = 0.0
    length_samples: int = 2
    head_lr_multiplier: float = 1.0
    feature_epochs: int = 0
    feature_learning_rate: float = 1e-3
    gate_epochs: int = 0
    gate_learning_rate: float = 1e-3
    max_expected_loss: float | None = None
    refit_head: bool = True
    calibrate: bool = True
    words_first: float | None = None
    floors: Floors = "all"
    seed: int = 0

    def __post_init__(self) -> None:
        check_integer(self, "epochs", 0)
        check_integer(self, "feature_epochs", 0)
        check_integer(self, "gate_epochs", 0)
        for name in ("learning_rate", "feature_learning_rate", "gate_learning_rate"):
            check_number(self, name, lambda rate: rate > 0, "a number above 0")
        for name in ("batch_size", "accumulation", "max_length"):
            check_integer(self, name, 1)
        check_integer(self, "seed", 0, 2**32 - 1)
        if self.patience is not None:
            check_integer(self, "patience", 1)
        if self.max_expected_loss is not None:
            check_number(self, "max_expected_loss", lambda points: points >= 0, "points of accuracy, 0 or more")
        if self.words_first is not None:
            check_number(self, "words_first", lambda points: points >= 0, "points of accuracy, 0 or more")
        if self.attention_dropout is not None:
            check_number(self, "attention_dropout", lambda p: 0 <= p < 1, "a number in [0, 1)")
        check_number(self, "clip", lambda norm: norm > 0, "a number above 0")
        check_number(self, "weight_decay", lambda decay: decay >= 0, "a number of 0 or more")
        check_number(self, "warmup", lambda share: 0 <= share < 1, "a number in [0, 1)")
        check_choice(self, "select", Selection)
        check_choice(self, "class_weights", ClassWeights)
        check_choice(self, "floors", Floors)
        for name in ("bf16", "gradient_checkpointing", "refit_head", "calibrate"):
            check_boolean(self, name)
        self._check_lora()
        self._check_teacher()
        self._check_feature_distillation()
        check_number(self, "pruning_warmup", lambda share: 0 <= share <= 1, "a number in [0, 1]")
        self._check_lengths()
        check_number(self, "head_lr_multiplier", lambda rate: rate > 0, "a number above 0")

    def _check_lengths(self) -> None:
        check_number(self, "length_drop", lambda share: 0 <= share < 1, "a number in [0, 1)")
        check_integer(self, "length_samples", 0)
        if self.length_drop and self.pruning_warmup:
            raise ConfigError(
                f"length_drop={self.length_drop:g} with pruning_warmup={self.pruning_warmup:g}: both set the keep "
                "shares of a step: give one of them"
            )

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Recipe:
        """The recipe that `to_dict` wrote, now or in version 0.1.0.

        Args:
            record: fields by their names of today or of 0.1.0; those that are not in it get their defaults.

        Raises:
            ConfigError: an unknown field, or a value out of range.
        """
        named = recipe_today(record)
        if unknown := sorted(set(named) - {field.name for field in fields(cls)}):
            raise ConfigError(f"recipe has no field {unknown[0]!r}: read it with the tokensieve that wrote it")
        return cls(**named)

    @property
    def refits_head(self) -> bool:
        """Whether the head's last layer is refitted ahead of training."""
        away = self.epochs and (self.pruning_warmup or self.distill_pooled)
        return bool(self.feature_epochs) or (self.refit_head and not away)

    @property
    def compared_by(self) -> str:
        """The score that classifiers are compared by: the one that chooses the epoch; accuracy where a loss does."""
        return self.select if self.select.startswith("f1") else "accuracy"

    def _check_feature_distillation(self) -> None:
        if self.feature_epochs and not self.refit_head:
            raise ConfigError(
                f"feature_epochs={self.feature_epochs} with refit_head=False: document vectors are distilled up to a "
                "shift, which refitting the head takes back; leave refit_head at True"
            )
        if self.feature_epochs and self.batch_size == 1:
            raise ConfigError(
                f"feature_epochs={self.feature_epochs} with batch_size=1: vectors are compared within a batch; give 2 "
                "or more"
            )

    def _check_teacher(self) -> None:
        teacher: Any = self.teacher
        if teacher is not None and (not isinstance(teacher, str) or not teacher):
            raise ConfigError(f"teacher={self.teacher!r}: give the folder of a trained classifier, or None")
        check_number(self, "distill_weight", lambda share: 0 <= share <= 1, "a number in [0, 1]")
        check_number(self, "distill_temperature", lambda heat: heat > 0, "a number above 0")
        check_number(self, "distill_pooled", lambda weight: weight >= 0, "a number of 0 or more")

    def _check_lora(self) -> None:
        if self.lora_rank is not None:
            check_integer(self, "lora_rank", 1)
        if self.lora_alpha is not None:
            check_number(self, "lora_alpha", lambda alpha: alpha > 0, "a number above 0")
        check_number(self, "lora_dropout", lambda p: 0 <= p < 1, "a number in [0, 1)")
        targets: Any = self.lora_targets
        if isinstance(targets, str) or not targets or not all(isinstance(name, str) for name in targets):
            raise ConfigError(f"lora_targets={targets!r}: give names of linear maps, such as ('query', 'value')")
        object.__setattr__(self, "lora_targets", tuple(targets))
        changed = [name for name in ("lora_alpha", "lora_dropout") if getattr(self, name)]
        if self.lora_rank is None and changed:
            raise ConfigError(f"{changed[0]}={getattr(self, changed[0])!r} without lora_rank: give a rank, such as 8")

    def to_dict(self) -> dict[str, Any]:
        """For the record of the run."""
        return asdict(self) | {"lora_targets": list(self.lora_targets)}
