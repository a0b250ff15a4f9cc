"""Dotted paths: what a value is read as, and where it goes."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokensieve.errors import ConfigError
from tokensieve.settings_paths import (
    Assignment,
    apply,
    assignments_of,
    parse_assignment,
    parse_value,
    read_settings,
    unknown_name,
    value_text,
)

RECORD: dict[str, Any] = {
    "prune": {
        "select": {"name": "fuzzy", "alpha": 0.1},
        "schedule": {"name": "taper", "first": 0.9, "last": 0.3},
        "merge": None,
    },
    "combine": None,
    "pooling": "auto",
}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("3", 3),
        ("0.5", 0.5),
        (".5", 0.5),
        ("-1.", -1.0),
        ("1e-3", 0.001),
        ("true", True),
        ("False", False),
        ("none", None),
        ("None", None),
        ("null", None),
        ("1,0.7,.5", [1, 0.7, 0.5]),
        ("query, value", ["query", "value"]),
        ("[1, 0.7]", [1, 0.7]),
        ('{"name": "taper"}', {"name": "taper"}),
        ('"3"', "3"),
        ('"a,b"', "a,b"),
        ("top-share", "top-share"),
        ("a folder", "a folder"),
        ("", ""),
        (" ", " "),
        (",", ","),
        ("a,", "a,"),
        (";", ";"),
        ("[1", "[1"),
        ("[a,b", "[a,b"),
        ("1" * 5000, float("inf")),
        ("[" * 100_000, "[" * 100_000),
    ],
    ids=lambda value: repr(value)[:20],
)
def test_values(text: str, value: Any) -> None:
    found = parse_value(text)
    assert (found, type(found)) == (value, type(value))


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4),
    max_leaves=8,
)


@given(JSON)
def test_a_value_that_is_written_is_read_again(value: Any) -> None:
    assert parse_value(value_text(value)) == value


@pytest.mark.parametrize("text", ["prune", "=1", "prune..keep=1", ".keep=1", "prune.=1", ""])
def test_what_is_no_assignment(text: str) -> None:
    with pytest.raises(ConfigError, match=r"^--set .*: give a dotted path and a value, such as "):
        parse_assignment(text)


def changed(*texts: str) -> dict[str, Any]:
    """The record with the assignments, which leave their argument alone."""
    before = json.dumps(RECORD)
    record = apply(RECORD, map(parse_assignment, texts))
    assert json.dumps(RECORD) == before
    return record


def test_a_field_is_assigned() -> None:
    assert changed("prune.schedule.first=.5")["prune"]["schedule"] == {"name": "taper", "first": 0.5, "last": 0.3}
    assert changed("pooling=mean")["pooling"] == "mean"
    assert changed("prune=none")["prune"] is None


def test_the_name_of_a_cell_is_assigned_as_the_cell_is() -> None:
    assert changed("prune.schedule.name=constant") == changed("prune.schedule=constant")
    assert changed("prune.schedule.name=taper") == changed()


def test_the_last_assignment_counts() -> None:
    assert changed("pooling=mean", "pooling=auto", "pooling=pretrained")["pooling"] == "pretrained"
    assert changed("prune.schedule.first=.5", "prune.schedule=constant")["prune"]["schedule"] == {"name": "constant"}


def test_a_name_makes_a_cell() -> None:
    assert changed("prune.select=top-share")["prune"]["select"] == {"name": "top-share"}
    assert changed("prune.merge=most-similar")["prune"]["merge"] == {"name": "most-similar"}
    listed = changed("prune.schedule=listed", "prune.schedule.shares=1,0.5")["prune"]["schedule"]
    assert listed == {"name": "listed", "shares": [1, 0.5]}


def test_the_name_that_a_cell_has_changes_nothing() -> None:
    assert changed("prune.select=fuzzy") == RECORD


def test_a_path_through_null_makes_an_object() -> None:
    assert changed("combine.layer=3", "combine.mode=insert")["combine"] == {"layer": 3, "mode": "insert"}
    assert changed("prune=none", "prune.select=top-share", "prune.select.min_tokens=4")["prune"] == {
        "select": {"name": "top-share", "min_tokens": 4}
    }


def test_a_path_through_a_number() -> None:
    with pytest.raises(
        ConfigError, match=r"^--set prune\.schedule\.first\.more: prune\.schedule\.first is 0\.9, which"
    ):
        changed("prune.schedule.first.more=1")


def test_names_are_not_checked() -> None:
    assert changed("no.such=1")["no"] == {"such": 1}


def test_a_record_as_assignments() -> None:
    wanted = {"prune": {"schedule": {"shares": [1.0], "name": "listed"}, "merge": None}, "combine": {"layer": 2}}
    assert [(one.name, one.value) for one in assignments_of(wanted)] == [
        ("prune.schedule", "listed"),
        ("prune.schedule.shares", [1.0]),
        ("prune.merge", None),
        ("combine.layer", 2),
    ]
    assert apply({}, assignments_of(RECORD)) == RECORD
    assert apply({"combine": {"layer": 1}}, assignments_of(wanted))["combine"] == {"layer": 2}


def test_a_file_of_settings(tmp_path: Path) -> None:
    file = tmp_path / "settings.json"
    file.write_text('{"keep": 0.5, "train": {"epochs": 3}}', encoding="utf-8")
    assert read_settings(file) == [Assignment(("keep",), 0.5), Assignment(("train", "epochs"), 3)]


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"{", "no JSON object"),
        (b"[1]", "in place of an object"),
        (b"\xff\xfe", "no JSON object"),
        (b"[" * 100_000, "nested too deeply"),
        (None, "No such file"),
    ],
)
def test_a_file_that_holds_none(tmp_path: Path, content: bytes | None, why: str) -> None:
    file = tmp_path / "settings.json"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(ConfigError, match=why) as caught:
        read_settings(file)
    assert str(file) in str(caught.value)


def test_names_that_are_not_known() -> None:
    assert str(unknown_name("train", "warm_up", ("warmup", "clip"))) == (
        "unknown setting 'train.warm_up': did you mean train.warmup? known are warmup, clip"
    )
    assert str(unknown_name("", "xyz", ("prune",))) == "unknown setting 'xyz': known are prune"
