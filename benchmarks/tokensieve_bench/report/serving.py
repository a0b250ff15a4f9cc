"""The tables of results/serving: loads, ratios of paired rounds, and faults."""

from __future__ import annotations

from statistics import median
from typing import Any

from tokensieve_bench.records import Results
from tokensieve_bench.table import Form, made_with, render, threads_of

_RATIOS = (
    ("documents per CPU second, of offline's", "server", "offline", "cpu_seconds"),
    ("documents per second, of offline's", "server", "offline", "seconds"),
    ("requests per second, times the naive server's", "server", "naive", "seconds"),
)


def serving_tables(results: Results) -> str:
    """Every record of a server under load, then that of its faults."""
    records = results.read_all("serving/*")
    faults = records.pop("faults", None)
    parts = ["\n".join([f"### {name}", "", *table(record, "markdown")]) for name, record in records.items()]
    return "\n\n".join(parts + ([] if faults is None else [_faults(faults)]))


def table(record: dict[str, Any], form: Form = "plain") -> list[str]:
    """Loads, then ratios of the rounds."""
    rows = [["clients", "requests", "requests/s", "p50, ms", "p95, ms", "p99, ms", "lost", "wrong"]]
    for own in record["loads"].values():
        times = [f"{1e3 * own[name]:.1f}" for name in ("p50", "p95", "p99")]
        counts = [str(own["clients"]), str(own["requests"])]
        rows.append([*counts, f"{_speed(own, 'seconds'):.1f}", *times, str(own["lost"]), str(own["wrong"])])
    ratios = [["64 clients, paired rounds", "median", "lowest to highest"]]
    for what, ours, theirs, of in _RATIOS:
        found = sorted(_speed(own[ours], of) / _speed(own[theirs], of) for own in record["rounds"])
        ratios.append([what, f"{median(found):.2f}", f"{found[0]:.2f} to {found[-1]:.2f}"])
    model = record["model"]
    facts = f"{record['config']['data']}, {model['dtype']}; stages: {', '.join(model['stages'])}"
    return [*render(rows, form), "", *render(ratios, form), "", f"{facts}; {_machine(record)}"]


def _faults(record: dict[str, Any]) -> str:
    killed, replaced = record["killed"], record["replaced"]
    rows = [
        ["under load", "requests", "lost", "wrong", ""],
        [
            "killed, and started again",
            str(killed["requests"]),
            str(killed["lost"]),
            str(killed["wrong"]),
            f"healthy after {killed['seconds_until_healthy']:.1f} s",
        ],
        [
            "model replaced",
            str(replaced["requests"]),
            str(replaced["lost"]),
            str(replaced["wrong"]),
            f"afterwards {replaced['by_the_old_model_afterwards']} answers by the old model",
        ],
    ]
    head = f"### Faults\n\n{record['clients']} clients. Lost are requests in flight, or refused with 503.\n"
    return "\n".join([head, *render(rows, "markdown"), "", _machine(record)])


def _machine(record: dict[str, Any]) -> str:
    return f"{threads_of([record['machine']])}; {made_with([record['machine']])}"


def _speed(own: dict[str, Any], of: str) -> float:
    return float(own["requests"] / own[of])
