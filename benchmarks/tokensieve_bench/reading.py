"""Reading a benchmark's config from its JSON file, strictly: nothing unknown, nothing twice, nothing left out."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from tokensieve.errors import ConfigError
from tokensieve_bench.config import Bar, BenchConfig, DataSet, Training
from tokensieve_bench.contenders import CONTENDER_CONFIGS, ContenderConfig

T = TypeVar("T")

_RENAMED = {"subjects": "contenders", "subject": "contender", "words_on_disk": "offload_embeddings"}
"""Keys of configs of version 0.1.0, which are read as well, and what they are called today."""
_RENAMED_METRICS = {"realisation": "efficiency"}


def read_config(path: Path) -> tuple[BenchConfig, dict[str, Any]]:
    """A config and the record it was read from.

    Raises:
        ConfigError: no such file, no JSON object, keys unknown, missing or twice, values that cannot be.
    """
    try:
        record = json.loads(path.read_text(encoding="utf-8"), object_pairs_hook=_no_key_twice)
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read ({error}); give the JSON file of a benchmark") from error
    except (RecursionError, ValueError) as error:
        raise ConfigError(f"{path}: not JSON as it should be ({error})") from error
    config = parse_config(record, str(path))
    return config, _today(record)


def parse_config(record: Any, name: str) -> BenchConfig:
    """A config from its record; messages begin with `name`."""
    try:
        values = _today(_object(record, "the config"))
        if not isinstance(values.get("contenders"), dict) or not values["contenders"]:
            raise ConfigError("contenders: give an object that names at least one, each with its kind")
        values["contenders"] = {own: _contender(own, given) for own, given in values["contenders"].items()}
        for key, cls in (("data", DataSet), ("training", Training)):
            if values.get(key) is not None:
                values[key] = _build(cls, values[key], key)
        if not isinstance(bars := values.get("bars", []), list):
            raise ConfigError("bars: give a list of objects")
        values["bars"] = [_build(Bar, bar, f"bar {number}") for number, bar in enumerate(bars, 1)]
        return _build(BenchConfig, values, "the config")
    except ConfigError as error:
        raise ConfigError(f"{name}: {error}") from error


def _contender(name: str, record: Any) -> ContenderConfig:
    values = dict(_object(record, f"contender {name!r}"))
    kind = values.pop("kind", None)
    if not isinstance(kind, str) or kind not in CONTENDER_CONFIGS:
        raise ConfigError(
            f"contender {name!r} has kind={kind!r}: choose one of {', '.join(map(repr, CONTENDER_CONFIGS))}"
        )
    return _build(CONTENDER_CONFIGS[kind], values, f"contender {name!r}")


def _build(cls: type[T], record: Any, where: str) -> T:
    """A dataclass from an object whose keys are its fields; lists become tuples."""
    values = _object(record, where)
    known = {each.name: each for each in dataclasses.fields(cls)}  # type: ignore[arg-type]  # every caller gives one
    if unknown := [key for key in values if key not in known]:
        raise ConfigError(f"{where}: unknown key {unknown[0]!r}; known are {', '.join(known) or 'none'}")
    required = [
        name
        for name, each in known.items()
        if each.default is dataclasses.MISSING and each.default_factory is dataclasses.MISSING
    ]
    if missing := [name for name in required if name not in values]:
        raise ConfigError(f"{where}: {missing[0]!r} is missing")
    try:
        return cls(**{key: tuple(value) if isinstance(value, list) else value for key, value in values.items()})
    except ConfigError as error:
        raise ConfigError(str(error) if where == "the config" else f"{where}: {error}") from error


def _today(record: Mapping[str, Any]) -> dict[str, Any]:
    """A config under the keys of today; what is no config stays as it is, for others to refuse.

    Raises:
        ConfigError: a key under both its names.
    """
    values: dict[str, Any] = _renamed(record)
    if isinstance(contenders := values.get("contenders"), Mapping):
        values["contenders"] = {name: _renamed(own) for name, own in contenders.items()}
    if isinstance(values.get("bars"), list):
        values["bars"] = [_renamed(bar) for bar in values["bars"]]
    return values


def _renamed(record: Any) -> Any:
    if not isinstance(record, Mapping):
        return record
    for old, new in _RENAMED.items():
        if old in record and new in record:
            raise ConfigError(f"{new!r} and {old!r} are the same key: give {new!r} alone")
    values = {_RENAMED.get(key, key): value for key, value in record.items()}
    if isinstance(metric := values.get("metric"), str):
        values["metric"] = _RENAMED_METRICS.get(metric, metric)
    return values


def _object(record: Any, where: str) -> Mapping[str, Any]:
    if not isinstance(record, Mapping):
        raise ConfigError(f"{where} is {record!r:.100}: give an object")
    return record


def _no_key_twice(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    record = dict(pairs)
    if len(record) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"the key {next(name for name in names if names.count(name) > 1)!r} is there twice")
    return record
