"""The settings of `train` and `info`: those of options, --set and --config, put together and checked.

Options and --set win over the file. An option and a --set that name the same setting are refused.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

import typer

from tokensieve.checks import BOOLEAN, SHARE, TEXT, Check, check_value, is_number, list_of, one_of, whole
from tokensieve.cli.old_options import FLAT_FIELDS
from tokensieve.config import ReductionConfig
from tokensieve.data.readers import Policy
from tokensieve.errors import ConfigError
from tokensieve.methods import METHODS
from tokensieve.model.configuration import TokensieveConfig
from tokensieve.settings_paths import Assignment, parse_assignment, read_settings, unknown_name
from tokensieve.training.recipe import Recipe
from tokensieve.training.settings import REDUCTION_NAMES, keep_share, reduction_settings

TRAIN_HEADS = ("preset", "keep", "train", "data", "run")
"""Names beside the reduction settings in a --config file of `train`, and at the head of a path of --set."""
INFO_HEADS = ("preset", "keep")
_SUCH_AS = {"preset": "fast", "keep": "0.7"}


@dataclass(frozen=True)
class _Field:
    """A setting that is a plain value: its type, with None where that may be given, its default and its check."""

    type: Any
    default: Any
    check: Check


_CHECKED_BY_RECIPE = Check(lambda _: True, "")
DATA_FIELDS: dict[str, _Field] = {
    "text_column": _Field(str, "text", TEXT),
    "label_column": _Field(str, "label", TEXT),
    "pair_column": _Field(str | None, None, TEXT.or_none()),
    "multi_label": _Field(bool, False, BOOLEAN),
    "label_separator": _Field(str, "|", TEXT),
    "delimiter": _Field(str | None, None, TEXT.or_none()),
    "on_bad_rows": _Field(str, "error", one_of(get_args(Policy))),
    "validation_fraction": _Field(float, 0.2, SHARE),
    "max_documents": _Field(int | None, None, whole(0).or_none()),
    "unlabelled": _Field(str | None, None, TEXT.or_none()),
}
RUN_FIELDS: dict[str, _Field] = {
    "device": _Field(str, "auto", TEXT),
    "threads": _Field(int | None, None, whole(0).or_none()),
    "checkpoint_steps": _Field(int | None, None, whole(1).or_none()),
    "report_to": _Field(tuple[str, ...], (), list_of(TEXT, "names of trackers")),
    "run_name": _Field(str | None, None, TEXT.or_none()),
}


@dataclass(frozen=True)
class Reduction:
    """Reduction settings as they were asked for.

    Attributes:
        preset: where they start; None: at the checkpoint's settings.
        assignments: what is changed, in order.
        of_file: what is changed ahead of that, and
        flat: then by fields of version 0.1.0.
    """

    preset: str | None
    assignments: list[Assignment]
    of_file: list[Assignment] = field(default_factory=list)
    flat: Mapping[str, Any] = field(default_factory=dict)

    def __bool__(self) -> bool:
        """Whether anything was asked for."""
        return self.preset is not None or bool(self.assignments or self.of_file or self.flat)

    def settings(self, config: TokensieveConfig) -> ReductionConfig:
        """The settings for a checkpoint of this config.

        Raises:
            ConfigError: as `reduction_settings`.
        """
        return reduction_settings(config, self.preset, self.assignments, of_file=self.of_file, flat=self.flat)


@dataclass(frozen=True)
class TrainSettings:
    """All that `train` is asked for, beside checkpoint and output.

    Attributes:
        reduction: which tokens stay.
        recipe: how the classifier is trained.
        data: how documents are read, a value for each of DATA_FIELDS.
        run: a value for each of RUN_FIELDS.
    """

    reduction: Reduction
    recipe: Recipe
    data: dict[str, Any]
    run: dict[str, Any]


def given_options(context: typer.Context) -> dict[str, Any]:
    """The parameters of a command that its user gave, and what old options set.

    Parameters that stand at their defaults are left out.
    """
    sources = {name: context.get_parameter_source(name) for name in context.params}
    given = {name: context.params[name] for name, source in sources.items() if source and source.name != "DEFAULT"}
    return given | {FLAT_FIELDS: context.meta.get(FLAT_FIELDS, {})}


def train_settings(options: Mapping[str, Any], assigned: Sequence[str] | None, file: Path | None) -> TrainSettings:
    """Put together what `train` is asked for.

    Args:
        options: those given, by name of the parameter.
        assigned: the values of --set.
        file: the value of --config.

    Raises:
        ConfigError: an unknown name, a value of the wrong type or range, or two values for one setting.
    """
    sources = _sources(assigned, file, TRAIN_HEADS)
    types = get_type_hints(Recipe)
    reduction = _reduction(options, sources)
    preset = METHODS.get(reduction.preset or "")
    start = Recipe() if preset is None else Recipe(**preset.recipe)
    recipe = {own.name: _Field(types[own.name], getattr(start, own.name), _CHECKED_BY_RECIPE) for own in fields(Recipe)}
    return TrainSettings(
        reduction,
        Recipe(**_values("train", recipe, options, sources)),
        _values("data", DATA_FIELDS, options, sources),
        _values("run", RUN_FIELDS, options, sources),
    )


def info_settings(options: Mapping[str, Any], assigned: Sequence[str] | None, file: Path | None = None) -> Reduction:
    """Put together the reduction settings that `info` or `encode` is asked for.

    Raises:
        ConfigError: as `train_settings`.
    """
    return _reduction(options, _sources(assigned, file, INFO_HEADS))


@dataclass(frozen=True)
class _Source:
    """The source of assignments.

    Attributes:
        name: as errors name it.
        assignments: in order.
        yields: an option for the same setting wins; otherwise it is refused.
    """

    name: str
    assignments: list[Assignment]
    yields: bool = False


def _sources(assigned: Sequence[str] | None, file: Path | None, heads: tuple[str, ...]) -> list[_Source]:
    """The file, then --set; the names at the heads of their paths are known."""
    sources = [] if file is None else [_Source(f"--config {file}", read_settings(file), yields=True)]
    sources.append(_Source("--set", [parse_assignment(text) for text in assigned or ()]))
    known = (*heads, *REDUCTION_NAMES)
    for source in sources:
        for assignment in source.assignments:
            head, *names = assignment.path
            if head not in known:
                raise ConfigError(f"{source.name}: {unknown_name('', head, known)}")
            if names and head in _SUCH_AS:
                raise ConfigError(f"{source.name} {assignment.name}: {head} is a plain value, such as {_SUCH_AS[head]}")
    return sources


def _reduction(options: Mapping[str, Any], sources: list[_Source]) -> Reduction:
    """The preset, and in order: what the file says, what old options say, --keep, what --set says."""
    changes: dict[bool, list[Assignment]] = {True: [], False: []}
    preset = None
    for source in sources:
        plain = {assignment.name: assignment.value for assignment in source.assignments}
        if not source.yields:
            if twice := [name for name in _SUCH_AS if name in options and name in plain]:
                raise ConfigError(f"--{twice[0]} and --set {twice[0]} are the same setting: give one of them")
            plain |= {name: options[name] for name in _SUCH_AS if name in options}
        preset = plain.get("preset", preset)
        check_value("preset", preset, TEXT.or_none())
        if plain.get("keep") is not None:
            changes[source.yields] += keep_share(plain["keep"])
        changes[source.yields] += [each for each in source.assignments if each.path[0] in REDUCTION_NAMES]
    return Reduction(preset, changes[False], changes[True], options.get(FLAT_FIELDS, {}))


def _values(
    head: str, known: Mapping[str, _Field], options: Mapping[str, Any], sources: list[_Source]
) -> dict[str, Any]:
    """A value for each field of a head: what is given, else the default."""
    values = {name: field.default for name, field in known.items()}
    asked = {name: value for name, value in options.items() if name in known}
    for source in sources:
        for assignment in source.assignments:
            if assignment.path[0] != head:
                continue
            name = _field_name(source.name, assignment, known)
            if name in asked and not source.yields:
                option = name.replace("_", "-")
                raise ConfigError(f"--{option} and --set {assignment.name} are the same setting: give one of them")
            values[name] = _of_type(known[name].type, assignment)
            check_value(f"{source.name} {assignment.name}", values[name], known[name].check)
    return values | asked


def _field_name(source: str, assignment: Assignment, known: Mapping[str, _Field]) -> str:
    head, *names = assignment.path
    if len(names) != 1:
        raise ConfigError(f"{source} {assignment.name}: give a field of {head}, such as {head}.{next(iter(known))}")
    if names[0] not in known:
        raise ConfigError(f"{source}: {unknown_name(head, names[0], list(known))}")
    return names[0]


def _of_type(wanted: Any, assignment: Assignment) -> Any:
    """The value of an assignment, a text where the field takes texts, a float or a list where it takes such."""
    value, types = assignment.value, _choices(wanted)
    if is_number(value) and float in types and int not in types:
        return float(value)
    if tuple in types:
        return tuple(value) if isinstance(value, list) else (value,)
    is_text = str in types and assignment.text is not None and not isinstance(value, str)
    return assignment.text if is_text and not (value is None and type(None) in types) else value


def _choices(wanted: Any) -> set[Any]:
    """The plain types that a type hint admits."""
    if isinstance(wanted, type) and get_origin(wanted) is None:
        return {wanted}
    if get_origin(wanted) is tuple:
        return {tuple}
    return set().union(
        *(_choices(one) if isinstance(one, type) or get_args(one) else {type(one)} for one in get_args(wanted))
    )
