"""Documents that count where several workers begin: those that were made while the clock ran."""

import pytest

import speed
from tokensieve_bench.report.scale import speed_table

SIZE = 4096


def parts(workers: int, number: int, stagger: float) -> list[tuple[float, int]]:
    """Parts of workers that take 10 seconds for each; every next worker begins later by a share of that."""
    ends = [(10 * (1 + row) + 10 * stagger * own, SIZE) for own in range(workers) for row in range(number // workers)]
    return sorted(ends)


@pytest.mark.parametrize("stagger", [0.0, 0.1, 0.25])
@pytest.mark.parametrize("workers", [1, 2, 3, 4])
def test_workers_of_the_same_speed_count_as_many_times(workers: int, stagger: float) -> None:
    """Whether they end their parts together or one after the other."""
    found = speed.counted(parts(workers, 12, stagger), workers)
    assert found["documents"] / found["seconds"] == pytest.approx(workers * SIZE / 10)


def test_too_few_parts() -> None:
    with pytest.raises(SystemExit, match="2 parts for 2 workers: give more rows"):
        speed.counted(parts(2, 2, 0.0), 2)


def test_the_page_has_the_note_of_a_corrected_record() -> None:
    rounds = [{str(count): {"documents": 9, "seconds": 3 / count, "command_seconds": 5} for count in (1, 2)}]
    record = {
        "config": {"workers": 2, "data": "sst2", "speed_rows": 12},
        "model": "fast",
        "rounds": rounds,
        "machine": {"threads": 1, "processor": "a chip", "commit": "0123456789abcdef"},
    }
    assert "2 workers, times one: 2.00 [2.00, 2.00]" in speed_table(record)
    assert speed_table({**record, "note": "Corrected."}) == [*speed_table(record), "", "Corrected."]
