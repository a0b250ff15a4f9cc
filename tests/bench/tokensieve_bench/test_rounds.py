"""How long a call takes: a short one is repeated within its round, so that its figure rests on enough time."""

import pytest

from tokensieve_bench import rounds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time, in a list that a test moves on."""
    now = [0.0]
    monkeypatch.setattr(rounds.time, "perf_counter", lambda: now[0])
    return now


@pytest.mark.parametrize(("taken", "calls"), [(0.125, 4), (0.2, 3), (0.5, 1), (7.0, 1)])
def test_a_short_call_is_repeated_and_its_mean_counts(clock: list[float], taken: float, calls: int) -> None:
    found = []

    def call() -> None:
        found.append(1)
        clock[0] += taken

    assert rounds.seconds(call, 0.5) == pytest.approx(taken)
    assert len(found) == calls
    assert rounds.seconds(call) == pytest.approx(taken)
    assert len(found) == calls + 1


def test_rounds_of_seconds_repeat_what_is_short_and_leave_out_the_warm_up(clock: list[float]) -> None:
    calls: list[str] = []

    def call(name: str, took: float) -> None:
        calls.append(name)
        clock[0] += took + 100 * (len(calls) <= 2)  # the first call of each is slow

    works = {"short": lambda: call("short", 0.25), "long": lambda: call("long", 2.0)}
    assert rounds.time_interleaved(works, 3) == {"short": [0.25] * 3, "long": [2.0] * 3}
    assert calls.count("long") == 4
    assert calls.count("short") == 1 + 3 * 2
