"""results/*.json -> the tables in README.md, docs/flops.md and docs/results.md, and the pictures in docs/bench/."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from frontier import accuracy_records, frontier_plot, frontier_table, screen_table
from tables import accuracy_table, dtype_table, score_table

from tokensieve.bench.plot import plot
from tokensieve.bench.table import bars_table, conditions, figure_table, sections
from tokensieve.demo import comparison

ROOT = Path(__file__).parents[1]
TOLD = (
    "base-512",
    "base-512-bf16",
    "base-training-512",
    "base-latency",
    "end-to-end-20newsgroups",
    "mini-20newsgroups",
)
"""Benchmarks whose bars are in the README."""
HEADLINE = (
    "SDPA sorted",
    "ONNX Runtime",
    "ONNX Runtime int8",
    "dense",
    "PF keys",
    "PFC 7 keys",
    "PF hidden",
    "hidden p=.7",
    "hidden p=.7, 7",
)


def main() -> None:
    """Write every table between its markers."""
    demo = _read("demo/stdlib-128.json")
    table = "\n".join(comparison(demo["models"], "markdown"))
    _place("README.md", "demo", table)
    _place("docs/results.md", "demo", f"{table}\n\n{_conditions(demo)}")
    for name in ("bbc-256", "bbc-512"):
        if (ROOT / "results" / "accuracy" / f"{name}.json").is_file():
            _place("docs/results.md", name, accuracy_table(name))
    _place("README.md", "bbc-256", accuracy_table("bbc-256", brief=True))
    _place("docs/results.md", "screen", screen_table("screen"))
    if accuracy_records("frontier"):
        _place("docs/results.md", "frontier", frontier_table("frontier"))
        _place("README.md", "frontier", frontier_table("frontier", brief=True))
        frontier_plot("frontier", ROOT / "docs" / "bench" / "frontier.svg")
    if accuracy_records("long"):
        _place("docs/results.md", "long", frontier_table("long"))
    _place("docs/results.md", "dtype", dtype_table())
    _place("docs/results.md", "score", score_table("bbc-256"))
    _place("docs/flops.md", "flops", _flops_table(_read("flops/bert-base-512.json")))
    _place_benchmarks()


def _place_benchmarks() -> None:
    """A section and a picture for each benchmark, and all bars together."""
    records, older = _records("results/bench"), _records("results/bench/avx2")
    pages = []
    for record in records:
        picture = ROOT / "docs" / "bench" / f"{record['name']}.svg"
        picture.parent.mkdir(exist_ok=True)
        plot(record, picture)
        pages.append("\n".join([*_section(record), "", f"![{record['name']}](bench/{picture.name})"]))
    _place("docs/results.md", "bench", "\n\n".join(pages))
    _place("docs/results.md", "bench-avx2", "\n\n".join("\n".join(_section(record)) for record in older))
    told = [record for record in records if record["name"] in TOLD]
    _place("README.md", "bars", "\n".join(bars_table(told, "markdown")))
    _place("README.md", "headline", _headline(next(record for record in records if record["name"] == "base-512")))


def _headline(record: dict[str, Any]) -> str:
    """The subjects that tell most, and what the figures hold for."""
    few = record | {"subjects": {name: record["subjects"][name] for name in HEADLINE}}
    return "\n".join([*figure_table(few, "markdown"), "", *(f"- {line}" for line in conditions(few))])


def _records(folder: str) -> list[dict[str, Any]]:
    return [json.loads(file.read_text(encoding="utf-8")) for file in sorted((ROOT / folder).glob("*.json"))]


def _section(record: dict[str, Any]) -> list[str]:
    return [
        f"### {record['name']}",
        f"`tokensieve bench experiments/bench/{record['name']}.json`",
        "",
        *sections(record),
    ]


def _read(name: str) -> Any:
    return json.loads((ROOT / "results" / name).read_text(encoding="utf-8"))


def _place(name: str, marker: str, text: str) -> None:
    path = ROOT / name
    pattern = re.compile(rf"(<!-- {marker} -->\n).*?(<!-- /{marker} -->)", re.DOTALL)
    page, places = pattern.subn(lambda match: f"{match[1]}{text}\n{match[2]}", path.read_text(encoding="utf-8"))
    if places != 1:
        raise SystemExit(f"{name}: {places} places marked {marker!r}, want 1")
    path.write_text(page, encoding="utf-8")


def _conditions(demo: dict[str, Any]) -> str:
    model = next(iter(demo["models"].values()))
    environment = model["scores"]["environment"]
    lines = [f"- commit {demo['commit']}, {demo['processor']}, {demo['cores']} cores"]
    lines += [f"- {key}: {value}" for key, value in environment.items()]
    for name, own in demo["models"].items():
        lines.append(f"- {name}: `tokensieve train {' '.join([*own['settings'], *demo['recipe']])}`")
    corpus = demo["corpus"]
    lines.append(
        f"- {corpus['name']}: {corpus['train']} training and {corpus['test']} test documents, {corpus['timed']} "
        f"of them timed; seed {demo['seed']}. With so few test documents a difference of 5 points is within the noise."
    )
    return "\n".join(lines)


def _flops_table(record: dict[str, Any]) -> str:
    rows = [
        f"{record['model']}, {record['length']} tokens, m = {record['combination_tokens']}, p = {record['keep_ratio']} "
        "unless named; ratio to dense.",
        "",
        "| setting | GFLOPs | ours | paper |",
        "|---|---|---|---|",
    ]
    for row in record["rows"]:
        paper = f"{row['paper']:.3f}x" if row["paper"] else ""
        rows.append(f"| {row['name']} | {row['gflops']:.2f} | {row['ratio']:.3f}x | {paper} |")
    return "\n".join(rows)


if __name__ == "__main__":
    main()
