"""Figures by hand: medians and spread, ratios of the same round, efficiency, percentiles, bars, and their tables."""

from pathlib import Path
from typing import Any

import pytest

from bench.tokensieve_bench.bench_records import CONTENDERS, cell, config, record
from support.packages import needed
from tokensieve import MissingExtraError
from tokensieve_bench.figures import (
    Spread,
    best_cells,
    best_rival,
    documents_per_second,
    efficiency,
    latency,
    memory_ratio,
    our_dense,
    peak_bytes,
    pruning_efficiency,
    reduction,
    round_seconds,
    speedup,
    verdicts,
    working_memory_ratio,
)
from tokensieve_bench.plot import plot
from tokensieve_bench.table import bars_table, best_table, conditions, figure_table, sections

SECONDS = {"sdpa": [4.0, 8.0, 4.0], "unsorted": [8.0, 8.0, 8.0], "ours": [2.0, 2.0, 1.0]}
PEAKS = {"sdpa": [100e6, 200e6, 100e6], "unsorted": [100e6] * 3, "ours": [50e6, 150e6, 60e6]}
LOADED = {name: [40e6] * 3 for name in PEAKS}


def bar(**own: Any) -> dict[str, Any]:
    return {"contender": "ours", "metric": "speedup", "at_least": 4, **own}


def test_ratios_are_of_the_same_round() -> None:
    timed = cell(seconds=SECONDS)
    assert speedup(timed, "ours", "sdpa") == Spread(4.0, 2.0, 4.0), "2, 4 and 4; of the medians it would be 2"
    assert speedup(timed, "sdpa", "sdpa") == Spread(1, 1, 1)
    assert documents_per_second(timed, "ours") == Spread(2.0, 2.0, 4.0)


def test_efficiency_is_speed_up_by_flop_reduction() -> None:
    timed = cell(seconds=SECONDS)
    whole = record([timed])
    assert reduction(timed, "ours") == 2
    assert efficiency(whole, timed, "ours") == Spread(2.0, 1.0, 2.0)
    assert efficiency(whole, timed, "sdpa") == Spread(1, 1, 1)


@pytest.mark.parametrize("baseline", ["unsorted", "ours"])
def test_efficiency_wants_the_fair_baseline(baseline: str) -> None:
    timed = cell(seconds=SECONDS)
    assert efficiency(record([timed], baseline=baseline), timed, "ours") is None
    half = CONTENDERS | {"sdpa": {"kind": "transformers", "dtype": "bfloat16"}}
    assert efficiency(record([timed], contenders=half), timed, "ours") is None


@pytest.mark.parametrize("of_type", [{"dtype": "bfloat16"}, {"kind": "onnx", "precision": "int8"}])
def test_efficiency_is_not_that_of_another_type(of_type: dict[str, str]) -> None:
    timed = cell(seconds=SECONDS)
    other = CONTENDERS | {"ours": CONTENDERS["ours"] | of_type}
    assert efficiency(record([timed], contenders=other), timed, "ours") is None


def test_memory_above_the_loaded_model() -> None:
    measured = cell(peak_bytes=PEAKS, loaded_bytes=LOADED)
    assert memory_ratio(measured, "ours", "sdpa") == Spread(0.6, 0.5, 0.75)
    assert working_memory_ratio(measured, "ours", "sdpa") == Spread(20 / 60, 10 / 60, 110 / 160)
    measured = cell(peak_bytes=PEAKS, loaded_bytes=PEAKS)
    assert working_memory_ratio(measured, "ours", "sdpa") == Spread(1, 1, 1), "and no division by zero"


def test_efficiency_wants_flops_and_time() -> None:
    uncounted = cell(seconds=SECONDS, flops={"ours": None})
    assert reduction(uncounted, "ours") is None
    assert efficiency(record([uncounted]), uncounted, "ours") is None
    untimed = cell(peak_bytes=PEAKS, loaded_bytes=LOADED)
    assert efficiency(record([untimed]), untimed, "ours") is None


def test_pruning_alone_is_told_against_our_dense_model() -> None:
    contenders = CONTENDERS | {"packed": {"kind": "tokensieve", "preset": "dense"}}
    timed = cell(seconds=SECONDS | {"packed": [3.0, 3.0, 3.0]})
    whole = record([timed], contenders=contenders)
    assert our_dense(whole) == "packed"
    assert pruning_efficiency(whole, timed, "ours") == Spread(0.75, 0.75, 1.5)
    assert pruning_efficiency(whole, timed, "packed") is None
    assert pruning_efficiency(whole, timed, "sdpa") is None
    timed["flops"]["packed"] = timed["flops"]["sdpa"]
    head, _, *rows = figure_table(whole, "markdown")
    assert head.endswith("| efficiency | of pruning alone |")
    assert next(row for row in rows if "| ours |" in row).endswith("| 2.00 | 0.75 |")


@pytest.mark.parametrize("options", [{"order": "given"}, {"dtype": "bfloat16"}, {"settings": {"min_length": 3}}])
def test_another_dense_model_is_not_the_one(options: dict[str, Any]) -> None:
    timed = cell(seconds=SECONDS | {"packed": [3.0, 3.0, 3.0]})
    contenders = CONTENDERS | {"packed": {"kind": "tokensieve", "preset": "dense", **options}}
    assert pruning_efficiency(record([timed], contenders=contenders), timed, "ours") is None


def test_latency_is_told_by_percentiles_of_documents() -> None:
    calls = {"sdpa": [[float(n) for n in range(1, 102)]] * 3, "ours": [[2.0] * 90 + [20.0] * 10] * 3}
    timed = cell(batch=1, call_seconds=calls)
    assert round_seconds(timed, "sdpa") == [51.0] * 3
    assert round_seconds(timed, "sdpa", 95) == [96.0] * 3
    assert speedup(timed, "ours", "sdpa").median == 25.5
    assert speedup(timed, "ours", "sdpa", 95).median == 4.8
    assert documents_per_second(timed, "ours").median == 0.5


def test_latency_is_of_all_rounds_together() -> None:
    timed = cell(batch=1, call_seconds={"ours": [[1.0, 1.0, 1.0], [5.0, 6.0]]})
    assert latency(timed, "ours", 50) == 1.0
    assert latency(timed, "ours", 100) == 6.0


def test_a_training_step_is_the_mean_of_a_process() -> None:
    timed = cell(step_seconds={"sdpa": [[4.0, 6.0], [5.0, 5.0]], "ours": [[1.0, 3.0], [5.0, 5.0]]})
    assert round_seconds(timed, "ours") == [2.0, 5.0]
    assert speedup(timed, "ours", "sdpa") == Spread(1.75, 1.0, 2.5)
    assert documents_per_second(timed, "sdpa").median == 0.4, "two documents in five seconds"


def test_memory_is_a_share() -> None:
    measured = cell(peak_bytes=PEAKS)
    assert memory_ratio(measured, "ours", "sdpa") == Spread(0.6, 0.5, 0.75)
    assert peak_bytes(measured, "ours") == Spread(60e6, 50e6, 150e6)
    assert peak_bytes(cell(seconds=SECONDS), "ours") is None


def test_a_bar_is_held_to_the_worst_cell() -> None:
    slow = SECONDS | {"ours": [4.0, 8.0, 8.0]}
    cells = [cell(8, seconds=SECONDS), cell(16, seconds=slow)]
    bars = [bar(), bar(length=8), bar(at_least=0.5, length=16), bar(against="unsorted", length=8), bar(batch=4)]
    found = verdicts(record(cells, lengths=[8, 16], bars=bars))
    assert [(one.figure.median, one.cell["length"], one.met) for one in found] == [
        (1.0, 16, False),
        (4.0, 8, True),
        (1.0, 16, True),
        (4.0, 8, True),
    ], "the last bar has no cell"


def test_each_at_its_best_batch() -> None:
    small = cell(8, 2, seconds=SECONDS)
    large = cell(8, 4, seconds={"sdpa": [2.0, 2.0, 2.0], "unsorted": [9.0, 9.0, 9.0], "ours": [4.0, 4.0, 4.0]})
    other = cell(16, 4, seconds=SECONDS)
    bars = [bar(batch="best", length=8, at_least=1), bar(batch="best", against="unsorted", length=8)]
    whole = record([small, large, other], lengths=[8, 16], batches=[2, 4], bars=bars)
    eight, sixteen = best_cells(whole)
    assert eight["batches"] == {"sdpa": 4, "unsorted": 2, "ours": 2}
    assert sixteen["seconds"] == SECONDS
    assert (best_rival(whole, eight), best_rival(whole, sixteen)) == ("sdpa", "sdpa")
    assert [(one.figure, one.met) for one in verdicts(whole)] == [(Spread(1, 1, 2), True), (Spread(4, 4, 8), True)]
    assert best_table(whole, "markdown")[2:5] == [
        "| 8 | sdpa | 4 | 2 | 1.00x | 1 (the fastest rival) |",
        "| 8 | unsorted | 2 | 0.5 | 0.25x | 0.25x |",
        "| 8 | ours | 2 | 2 | 1.00x | 1.00x |",
    ]
    assert best_table(record([small, large], batches=[2, 4])) == [], "no bar asks for it"
    assert set(best_table(whole, "markdown")) < set(sections(whole))
    assert best_cells(record([cell(peak_bytes=PEAKS)])) == []


def test_bars_from_above_and_by_other_metrics() -> None:
    calls = {"sdpa": [[1.0] * 9 + [9.0]] * 3, "ours": [[1.0] * 10] * 3}
    cells = [
        cell(seconds=SECONDS, peak_bytes=PEAKS, loaded_bytes=LOADED),
        cell(16, call_seconds=calls, peak_bytes=PEAKS, loaded_bytes=LOADED),
    ]
    bars = [
        bar(metric="memory_ratio", at_least=None, at_most=0.6),
        bar(metric="memory_ratio", at_least=None, at_most=0.59),
        bar(metric="efficiency", at_least=2, length=8),
        bar(metric="p95_speedup", at_least=2, length=16),
    ]
    assert [one.met for one in verdicts(record(cells, lengths=[8, 16], bars=bars))] == [True, False, True, True]


UNJUDGED: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "int8": ({"dtype": "int8"}, {"metric": "efficiency"}, "ours is not float32"),
    "unfair": ({}, {"metric": "efficiency", "against": "unsorted"}, "unsorted is not transformers' model in float32"),
    "no memory": ({}, {"metric": "memory_ratio"}, "memory was not measured"),
    "no single documents": ({}, {"metric": "p95_speedup"}, "single documents were not timed"),
}


@pytest.mark.parametrize(("options", "asked", "why"), UNJUDGED.values(), ids=UNJUDGED)
def test_a_bar_that_cannot_be_judged_says_why(options: dict[str, Any], asked: dict[str, Any], why: str) -> None:
    contenders = CONTENDERS | {"ours": CONTENDERS["ours"] | options}
    whole = record([cell(seconds=SECONDS)], contenders=contenders, bars=[bar(at_least=1, **asked)])
    (found,) = verdicts(whole)
    assert found.figure is None and not found.met
    assert found.told.startswith(f"not judged: {why}")
    assert f"|  | not judged: {why}" in bars_table([whole], "markdown")[2]


@pytest.mark.parametrize(("at_least", "told"), [(2, "not judged: FLOPs were not counted"), (3, "missed")])
def test_a_bar_for_every_cell_wants_a_figure_of_every_cell(at_least: float, told: str) -> None:
    """Unless one of them misses it."""
    cells = [cell(8, seconds=SECONDS), cell(16, seconds=SECONDS, flops={"ours": None})]
    (found,) = verdicts(record(cells, lengths=[8, 16], bars=[bar(metric="efficiency", at_least=at_least)]))
    assert found.told == told
    assert found.cell["length"] == (8 if told == "missed" else 16)


def test_time_that_was_not_measured() -> None:
    measured = cell(peak_bytes=PEAKS, loaded_bytes=LOADED)
    whole = record([measured], bars=[bar(), bar(metric="efficiency")])
    assert [one.told for one in verdicts(whole)] == ["not judged: time was not measured"] * 2


def test_a_bar_without_its_contenders_is_left_out() -> None:
    part = record([cell(seconds=SECONDS)], bars=[bar(), bar(against="unsorted")])
    part["contenders"] = {"sdpa": {}, "ours": {}}
    assert [one.bar.get("against") for one in verdicts(part)] == [None]


def test_the_table_of_a_record() -> None:
    whole = record([cell(seconds=SECONDS), cell(None, 4, seconds=SECONDS)])
    lines = figure_table(whole, "markdown")
    assert len(lines) == 2 + 2 * 3
    assert lines[0].split(" | ")[2:5] == ["contender", "documents/s", "speed-up"]
    (row,) = [line for line in lines if line.startswith("| 2 | 8 | ours |")]
    assert row == "| 2 | 8 | ours | 2 | 4.00x [2.00 to 4.00] | 2.00 | 2.00 |"
    assert lines[2].startswith("| 2 | 8 | sdpa | 1 | 1 | 1.00 | 1.00 |")
    assert sum(line.startswith("| 4 | own |") for line in lines) == 3
    plain = figure_table(whole)
    assert [line.split()[0] for line in plain] == ["batch", *["2"] * 3, *["4"] * 3]


def test_columns_are_those_that_were_measured() -> None:
    steps = {name: [[s] for s in own] for name, own in SECONDS.items()}
    measured = cell(peak_bytes=PEAKS, loaded_bytes=LOADED, step_seconds=steps)
    head = figure_table(record([measured]), "markdown")[0]
    for column in ("s a step", "speed-up", "efficiency", "peak, MB", "share of memory", "above the loaded model"):
        assert f"| {column} |" in head
    del measured["step_seconds"]
    assert "speed-up" not in figure_table(record([measured]), "markdown")[0]


def test_the_tables_of_bars() -> None:
    whole = record([cell(seconds=SECONDS)], bars=[bar(what="four times"), bar(at_least=5)])
    lines = bars_table([whole], "markdown")
    assert lines[2] == (
        "| four times | at least 4x of sdpa | 4.00x [2.00 to 4.00] | met | by-hand: batch 2, tokens 8 |"
    )
    assert "| missed |" in lines[3]
    assert "ours, speedup" in lines[3]
    assert bars_table([record([cell(seconds=SECONDS)])]) == []


def test_sections_say_what_figures_hold_for() -> None:
    whole = record([cell(None, seconds=SECONDS)], lengths=..., data={"set": "bbc", "max_length": 64})
    text = "\n".join([*sections(whole), *conditions(whole)])
    for part in ("bbc (test", "2 threads", "a chip", "3 interleaved rounds", "torch 2", "commit abc", "'sdpa'"):
        assert part in text, part
    whole["machine"]["commit"] = "ab" * 20 + "+"
    assert "commit ababababab+" in "\n".join(conditions(whole)), "the package was changed since"
    trained = record([cell(seconds=SECONDS)], training={"attention_dropout": 0.1})
    assert "attention dropout 0.1" in "\n".join(conditions(trained))
    assert config()["lengths"] == [8], "the helper's own record is as it was"


@pytest.mark.parametrize("figures", [{"seconds": SECONDS}, {"peak_bytes": PEAKS, "loaded_bytes": LOADED}])
def test_a_plot_is_the_same_each_time(tmp_path: Path, figures: dict[str, Any]) -> None:
    needed("matplotlib")
    whole = record([cell(length, batch, **figures) for batch in (2, 4) for length in (8, 16)])
    plot(whole, tmp_path / "one.svg")
    plot(whole, tmp_path / "two.svg")
    text = (tmp_path / "one.svg").read_text(encoding="utf-8")
    assert text == (tmp_path / "two.svg").read_text(encoding="utf-8")
    for part in ("by-hand", "batch 4, 16 tokens", "unsorted", "ours"):
        assert part in text
    assert ("times fewer FLOPs" in text) == ("seconds" in figures)


def test_a_plot_without_matplotlib(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "matplotlib", None)
    with pytest.raises(MissingExtraError, match=r"tokensieve\[bench\]"):
        plot(record([cell(seconds=SECONDS)]), tmp_path / "one.svg")
    assert not list(tmp_path.iterdir())
