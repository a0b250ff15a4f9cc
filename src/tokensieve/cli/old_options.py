"""Options of version 0.1.0 that have other names now. They go on working for one release, and say where they went.

No command has them as parameters: they are rewritten before the arguments are parsed, and --help does not show them.
Those of the reduction settings are handed on as the flat fields that they were (`tokensieve.config.ptc.changed`), so
that they mean with any preset what they meant.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import typer
from typer.core import TyperCommand

from tokensieve.config.old import FIELDS
from tokensieve.errors import ConfigError
from tokensieve.settings_paths import parse_value, value_text


@dataclass(frozen=True)
class OldOption:
    """The new place of an old option.

    Attributes:
        new: an option that starts with --, or a path of --set.
        value: of a flag, the value that is assigned; None: the option takes a value, which stays as it is.
        instead: value -> assignments in place of `new`=value.
        first: an assignment that makes the place which `new` leads through.
        is_text: the value is a text, whatever it looks like.
        is_list: the option may be given several times, and its values are a list.
    """

    new: str
    value: str | None = None
    instead: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    first: tuple[str, ...] = ()
    is_text: bool = False
    is_list: bool = False

    @property
    def is_flag(self) -> bool:
        """Whether it takes no value."""
        return self.value is not None

    @property
    def notice(self) -> str:
        """The option's name today."""
        return self.new if self.new.startswith("--") else f"--set {self.new}"

    def assignments(self, values: list[str]) -> list[str]:
        """The values of --set that stand for the option with the values that it was given, in order."""
        value = values[-1]
        if value in self.instead:
            return list(self.instead[value])
        if self.is_list:
            return [f"{self.new}={value_text(values)}"]
        return [*self.first, f"{self.new}={value_text(value) if self.is_text else value}"]


def _pair(name: str, new: str, on: str = "true", off: str = "false") -> dict[str, OldOption]:
    """An option that is switched on by --NAME and off by --no-NAME."""
    return {f"--{name}": OldOption(new, on), f"--no-{name}": OldOption(new, off)}


_LISTED = ("prune.schedule=listed",)
_REDUCTION: dict[str, OldOption] = {
    "--keep-ratio": OldOption("--keep"),
    "--keep-ratios": OldOption("prune.schedule.shares", first=_LISTED),
    "--pruning": OldOption("prune.select", instead={"none": ("prune=none",), "ratio": ("prune.select=top-share",)}),
    "--ratio-scope": OldOption("prune.select.scope"),
    "--min-tokens": OldOption("prune.select.min_tokens"),
    "--alpha-important": OldOption("prune.select.alpha_important"),
    "--alpha-unimportant": OldOption("prune.select.alpha_unimportant"),
    "--site": OldOption("prune.site"),
    **_pair("leaving-keys", "prune.site.keys_once_more"),
    **_pair("merge-pruned", "prune.merge", "most-similar", "none"),
    "--score": OldOption("prune.score"),
    "--heads": OldOption("prune.score.heads"),
    "--score-noise": OldOption("prune.score.noise"),
    "--score-queries": OldOption("prune.score.queries"),
    "--score-sample": OldOption("prune.score.sample"),
    "--combine-layer": OldOption("combine.layer"),
    "--combine-mode": OldOption("combine.mode"),
    "--combination-tokens": OldOption("combine.tokens"),
    **_pair("combine-scale", "combine.scale"),
    **_pair("combine-noise", "combine.noise"),
    "--combine-count-offset": OldOption("combine.count_offset"),
    "--combine-init": OldOption("combine.init"),
    "--combine-assignment": OldOption("combine.assignment"),
    "--reread": OldOption("defer.share", instead={zero: ("defer=none",) for zero in ("0", "0.0", ".0", "0.")}),
    "--reread-ratios": OldOption("defer.schedule.shares", first=("defer.schedule=listed",)),
    "--pooling": OldOption("pooling", instead={"host": ("pooling=pretrained",)}),
    **_pair("protect-special", "protect_special"),
    "--min-length": OldOption("min_length"),
}
_RECIPE: dict[str, OldOption] = {
    **{
        f"--{name.replace('_', '-')}": OldOption(f"train.{name}")
        for name in (
            *("accumulation", "warmup", "weight_decay", "clip", "select", "patience", "class_weights"),
            *("attention_dropout", "lora_rank", "lora_alpha", "lora_dropout", "lora_targets"),
            *("distill_weight", "distill_temperature", "distill_pooled"),
        )
    },
    "--teacher": OldOption("train.teacher", is_text=True),
    "--tighten": OldOption("train.pruning_warmup"),
    "--new-rate": OldOption("train.head_lr_multiplier"),
    "--follow": OldOption("train.feature_epochs"),
    "--follow-rate": OldOption("train.feature_learning_rate"),
    "--reread-loss": OldOption("train.max_expected_loss"),
    **_pair("align", "train.refit_head"),
    **_pair("bf16", "train.bf16"),
    **_pair("calibrate", "train.calibrate"),
    **_pair("gradient-checkpointing", "train.gradient_checkpointing"),
}
_RUN: dict[str, OldOption] = {
    "--label-separator": OldOption("data.label_separator", is_text=True),
    "--delimiter": OldOption("data.delimiter", is_text=True),
    "--on-bad-rows": OldOption("data.on_bad_rows"),
    "--validation-fraction": OldOption("data.validation_fraction"),
    "--unlabelled": OldOption("data.unlabelled", is_text=True),
    "--checkpoint-steps": OldOption("run.checkpoint_steps"),
    "--report-to": OldOption("run.report_to", is_list=True),
    "--run-name": OldOption("run.run_name", is_text=True),
    "--threads": OldOption("run.threads"),
}
_OFFLOAD = {"--words-on-disk": OldOption("--offload-embeddings", "")}
OLD_OPTIONS: dict[str, dict[str, OldOption]] = {
    "train": _REDUCTION | _RECIPE | _RUN,
    "info": {name: _REDUCTION[name] for name in ("--keep-ratio", "--site", "--combine-layer", "--reread")},
    "predict": _OFFLOAD,
    "evaluate": _OFFLOAD,
}
"""Command -> old option -> where it has gone."""
FLAT_FIELDS = "tokensieve.flat_fields"
"""Key of the context's `meta` for the flat fields that old options of the reduction set."""
_LEARNED = ("accurate", "balanced", "fast", "fastest")  # presets of a learned score


class CommandWithOldOptions(TyperCommand):
    """A command that takes its old options, too: each use is a line on stderr that names the new one."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Rewrite the old options, then parse."""
        table = OLD_OPTIONS.get(self.name or "", {})
        taking = {name for option in self.params if not getattr(option, "is_flag", True) for name in option.opts}
        arguments, notices, ctx.meta[FLAT_FIELDS] = rewritten(args, table, taking)
        if os.environ.get("RANK", "0") == "0":  # of several processes that torchrun started
            for notice in notices:
                typer.echo(notice, err=True)
        return super().parse_args(ctx, arguments)


def rewritten(
    args: list[str], table: Mapping[str, OldOption], taking: Collection[str]
) -> tuple[list[str], list[str], dict[str, Any]]:
    """The arguments in today's options, a notice for each old one, and the flat fields of those of the reduction.

    Args:
        args: of the command.
        table: its old options.
        taking: its options of today that take a value, which may look like an option.

    Raises:
        ConfigError: an old option lacks its value.
    """
    today: list[str] = []
    old: dict[str, list[str]] = {}  # by option, all values that it was given
    words = iter(args)
    for word in words:
        if word == "--":
            today += [word, *words]
            break
        name, sign, value = word.partition("=")
        option = table.get(name)
        if option is None or (option.is_flag and sign):
            today.append(word)
            if word in taking:
                today += [after for after in [next(words, None)] if after is not None]
            continue
        if option.is_flag:
            value = str(option.value)
            old = {other: values for other, values in old.items() if table[other].new != option.new}  # the last counts
        elif not sign:
            after = next(words, None)
            if after is None:
                raise ConfigError(f"{name} needs a value; it is now {option.notice}")
            value = after
        old.setdefault(name, []).append(value)
    today_is, assigned = _renewed(old, table, _preset(today))
    options = {name: new for name, new in today_is.items() if name not in _REDUCTION}
    notices = []
    for name in old:
        new = today_is[name] if name in today_is else shlex.join(_sets(assigned[name]))
        notices.append(f"{name} is now {new}; the old name goes with the next version")
    given = [new if table[name].is_flag else f"{new}={old[name][-1]}" for name, new in options.items()]
    today = [*given, *_sets([text for name in assigned if name not in _REDUCTION for text in assigned[name]]), *today]
    return today, notices, _flat({name: values[-1] for name, values in old.items() if name in _REDUCTION})


def _flat(old: Mapping[str, str]) -> dict[str, Any]:
    """The flat fields that old options set."""
    flat: dict[str, Any] = {}
    for name, text in old.items():
        field = name.removeprefix("--").replace("-", "_")
        if _REDUCTION[name].is_flag:
            flat[field.removeprefix("no_")] = not field.startswith("no_")
            continue
        value = text if isinstance(FIELDS[field], str) else parse_value(text)
        shares = field in ("keep_ratios", "reread_ratios") and not isinstance(value, list)
        flat[field] = text if value is None else [value] if shares else value
    return flat


def _preset(args: list[str]) -> str | None:
    found = [after for word, after in pairwise(args) if word == "--preset"]
    found += [word.removeprefix("--preset=") for word in args if word.startswith("--preset=")]
    return found[-1] if found else None


def _renewed(
    old: Mapping[str, list[str]], table: Mapping[str, OldOption], preset: str | None
) -> tuple[dict[str, str], dict[str, list[str]]]:
    """Old option -> its name today, if it still is an option; else the assignments that it stands for."""
    options = {name: table[name].new for name in old if table[name].new.startswith("--")}
    assigned = {name: table[name].assignments(values) for name, values in old.items() if name not in options}
    score, sites = assigned.get("--score", []), assigned.get("--site")
    starts_learned = preset in _LEARNED
    learned = score == ["prune.score=learned"] or (starts_learned and score != ["prune.score=received"])
    if learned and sites == ["prune.site=hidden"]:  # what was one site is two: of a learned score tokens leave ahead
        assigned["--site"] = ["prune.site=ahead"]
    elif score and sites is None and (learned or starts_learned):
        assigned["--score"] = [*score, f"prune.site={'ahead' if learned else 'hidden'}"]
    return options, assigned


def _sets(assignments: list[str]) -> list[str]:
    return [word for text in assignments for word in ("--set", text)]
