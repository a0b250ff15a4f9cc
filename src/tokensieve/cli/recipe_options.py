"""Options of the training recipe beside the usual ones: weights of classes, memory, LoRA, a teacher, tightening."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from tokensieve.cli.options import RECIPE


def recipe_option(*names: str, help: str) -> Any:
    """An option under the recipe's heading."""
    return typer.Option(*names, help=help, rich_help_panel=RECIPE)


LoraRank = Annotated[
    int | None, recipe_option("--lora-rank", help="Train low-rank updates of attention of this rank (needs PEFT).")
]
LoraAlpha = Annotated[
    float | None, recipe_option("--lora-alpha", help="Scale of the updates times the rank (default: twice it).")
]
LoraDropout = Annotated[float, recipe_option("--lora-dropout", help="Before the updates.")]
LoraTargets = Annotated[str, recipe_option("--lora-targets", help="Linear maps to update, separated by commas.")]
Teacher = Annotated[
    str | None, recipe_option("--teacher", help="Folder of a trained classifier whose answers are learned, too.")
]
DistillWeight = Annotated[float, recipe_option("--distill-weight", help="Share of the teacher's answers in the loss.")]
DistillTemperature = Annotated[
    float, recipe_option("--distill-temperature", help="At which its probabilities are followed.")
]
DistillPooled = Annotated[float, recipe_option("--distill-pooled", help="Weight of following its document vectors.")]
Tighten = Annotated[
    float, recipe_option("--tighten", help="Share of the steps over which pruning tightens to its ratio.")
]
NewRate = Annotated[
    float, recipe_option("--new-rate", help="Learning rate of head and combining parts, as a multiple.")
]
GradientCheckpointing = Annotated[
    bool,
    recipe_option("--gradient-checkpointing/--no-gradient-checkpointing", help="Less memory, more time."),
]
AttentionDropout = Annotated[
    float | None,
    recipe_option("--attention-dropout", help="In place of the checkpoint's; 0 halves training time on CPU."),
]
ClassWeights = Annotated[str, recipe_option("--class-weights", help="none, or balanced: inverse class frequency.")]
Patience = Annotated[int | None, recipe_option("--patience", help="Stop after so many epochs without improvement.")]
Follow = Annotated[
    int, recipe_option("--follow", help="Epochs in which norms and biases first learn a classifier's document vectors.")
]
Unlabelled = Annotated[
    str | None, recipe_option("--unlabelled", help="Documents without labels, for --follow and --reread-loss.")
]
RereadLoss = Annotated[
    float | None, recipe_option("--reread-loss", help="Most points that a cascade is expected to lose; sets --reread.")
]
FollowRate = Annotated[float, recipe_option("--follow-rate", help="Peak learning rate of these.")]
Align = Annotated[
    bool,
    recipe_option("--align/--no-align", help="Fit the head of a trained classifier to its new settings first."),
]
Calibrate = Annotated[
    bool,
    recipe_option("--calibrate/--no-calibrate", help="Fit temperature, and thresholds of labels, to validation."),
]
