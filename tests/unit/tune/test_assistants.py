"""The offline search: its figures are those of the encoder that it chooses, and the choice is the one asked for."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tokensieve import ConfigError
from tokensieve.runtime.sentences import load_encoder
from tokensieve.tune import assistants
from tokensieve.tune.assistants import Row, choose, row_of, search, timed, trials
from tokensieve.tune.configurations import Configuration, Encoders, Grid
from unit.tune.few_shot_tasks import task

TASKS = [task("one", 0), task("two", 1)]
GRID = Grid((1, 10), (0.5,), (1, 2), (False, True))


@pytest.fixture(scope="module")
def encoders(tiny_bert_dir: Path) -> Encoders:
    return Encoders(tiny_bert_dir)


def test_every_s_is_what_an_encoder_with_this_s_gives(encoders: Encoders, tiny_bert_dir: Path) -> None:
    """The search encodes once for all s; here each is encoded by the settings that it would write."""
    made = list(trials(encoders, TASKS, GRID.without_length(), GRID.min_lengths, (2, 4)))
    assert [trial.configuration for trial in made] == [
        None,
        *[own._replace(min_length=least) for own in GRID.without_length() for least in GRID.min_lengths],
    ]
    for trial in made:
        settings = None if trial.configuration is None else trial.configuration.settings
        encoder = load_encoder(tiny_bert_dir, settings, device="cpu")
        for one in TASKS:
            vectors = encoder.encode([document.text for document in one.documents])
            for shots in (2, 4):
                assert trial.right[shots][one.name].tolist() == one.right(vectors, shots).tolist()
    whole, *rest = made
    assert all(trial.flops[name] < whole.flops[name] for trial in rest for name in ("one", "two"))
    by_s = {trial.configuration: trial.flops["one"] for trial in made}
    assert by_s[Configuration(1, 0.5, 2)] < by_s[Configuration(10, 0.5, 2)]
    assert by_s[Configuration(10, 0.5, 1)] < by_s[Configuration(10, 0.5, 2)]
    changed = [row_of(trial, whole, 4, TASKS).change for trial in made]
    assert changed[0] == 0
    assert len(set(changed)) > 2, "figures that are all the same would prove nothing here"


def test_a_row_is_the_mean_over_draws_and_documents(encoders: Encoders) -> None:
    dense, trial = list(trials(encoders, TASKS, [Configuration(0, 0.5, 1)], [1], (4,)))
    row = row_of(trial, dense, 4, TASKS[1:])
    right = [own.right[4]["two"].sum() / (3 * 45) for own in (dense, trial)]
    assert row.changes == {"two": pytest.approx(100 * (right[1] - right[0]))}
    assert row.flops == pytest.approx(trial.flops["two"] / dense.flops["two"])


def rows() -> list[Row]:
    """The unpruned encoder, then cheaper and cheaper ones."""
    return [
        Row(None, {"one": 0.0, "two": 0.0}, 1.0, 1.0),
        Row(Configuration(1, 0.2, 3), {"one": 0.5, "two": -0.5}, 0.9, 0.95),
        Row(Configuration(1, 0.3, 3), {"one": 1.0, "two": -2.5}, 0.8, 0.97),
        Row(Configuration(1, 0.4, 3), {"one": -2.0, "two": -2.0}, 0.7, None),
    ]


@pytest.mark.parametrize(
    ("tolerance", "by", "every_task", "place"),
    [
        (0.0, "flops", False, 1),
        (0.0, "flops", True, 0),
        (0.5, "flops", True, 1),
        (0.75, "flops", False, 2),
        (0.75, "seconds", False, 1),
        (2.0, "flops", False, 3),
        (2.0, "seconds", False, 1),
        (2.4, "flops", True, 3),
    ],
)
def test_the_cheapest_within_the_tolerance(tolerance: float, by: str, every_task: bool, place: int) -> None:
    made = rows()
    assert choose(made, tolerance, by, every_task) is made[place]  # type: ignore[arg-type]


def test_search_by_flops_times_nothing(encoders: Encoders, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(assistants, "timed", lambda *_: pytest.fail("timed"))
    found, chosen = search(encoders, TASKS, GRID, shots=4, tolerance=100, by="flops")
    assert len(found) == 9
    assert chosen.flops == min(row.flops for row in found)
    _, unpruned = search(encoders, TASKS, Grid((1,), (0.9,), (1,), (False,)), shots=4, tolerance=0, by="flops")
    assert unpruned.configuration is None or unpruned.change >= 0


def test_search_by_seconds_takes_the_fastest_that_was_timed(
    encoders: Encoders, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With seconds that fall as FLOPs grow, so that the choice cannot be that of FLOPs."""
    told = {}

    def ratios(encoder: object, dense: object, texts: list[str], rounds: int) -> list[float]:
        told["texts"], told["rounds"] = len(texts), rounds
        told["number"] = told.get("number", 0) + 1
        return [0.9, 0.5 - 0.01 * told["number"], 0.1]

    monkeypatch.setattr(assistants, "paired_ratios", ratios)
    monkeypatch.setattr(assistants, "MOST_TIMED", 3)
    found, chosen = search(encoders, TASKS, GRID, shots=4, tolerance=100)
    in_time = [row for row in found if row.seconds is not None and row.configuration is not None]
    assert len(in_time) == 3
    assert chosen is min(in_time, key=lambda row: row.seconds or 1)
    assert max(row.flops for row in in_time) <= min(row.flops for row in found if row.seconds is None)
    assert chosen.flops == max(row.flops for row in in_time)
    assert found[0].seconds == 1
    assert told == {"texts": 90, "rounds": assistants.ROUNDS, "number": 3}


def test_time_is_a_share_of_the_unpruned_encoders(encoders: Encoders, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[Any, ...]] = []
    monkeypatch.setattr(assistants, "paired_ratios", lambda *given: asked.append(given) or [0.7, 9.0, 0.6])
    own = Configuration(1, 0.9, 1)
    assert timed(encoders, [Row(own, {}, 0.5)], TASKS) == [Row(own, {}, 0.5, seconds=0.7)]
    ((encoder, dense, texts, rounds),) = asked
    assert [one.settings for one in (encoder, dense)] == [encoders.by(each).settings for each in (own, None)]
    assert encoder.settings != dense.settings
    assert rounds == assistants.ROUNDS
    assert {*texts} <= {document.text for one in TASKS for document in one.documents}


def test_tasks_have_names_of_their_own(encoders: Encoders) -> None:
    for tasks in ([TASKS[0], TASKS[0]], []):
        with pytest.raises(ConfigError, match="a name of its own"):
            search(encoders, tasks, GRID, shots=4, tolerance=1)


def test_a_layer_that_the_encoder_has_not(encoders: Encoders) -> None:
    with pytest.raises(ConfigError, match="layer=9"):
        search(encoders, TASKS, Grid((1,), (0.5,), (9,)), shots=4, tolerance=1)


def test_flops_are_those_of_the_test_documents(encoders: Encoders) -> None:
    (dense,) = trials(encoders, TASKS, [], [], (4,))
    encoder = encoders.by(None)
    for one in TASKS:
        (window,) = encoder.engine.embed_windows([one.documents[place] for place in one.test])
        assert dense.flops[one.name] == pytest.approx(np.sum(encoder.flops(window.lengths, window.kept)))
