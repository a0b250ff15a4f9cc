"""The records of a results folder -> the tables in README.md and docs/, and the pictures in docs/bench/.

python -m tokensieve_bench.report                    # of results/0.1.0
python -m tokensieve_bench.report --results results --into build/report
"""

from __future__ import annotations

import argparse
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tokensieve_bench.demo import comparison
from tokensieve_bench.places import RESULTS, ROOT, SHOWN
from tokensieve_bench.plot import plot
from tokensieve_bench.records import Results, command_of_today
from tokensieve_bench.report.accuracy import accuracy_table, dtype_table, score_table
from tokensieve_bench.report.assistants import assistants_tables
from tokensieve_bench.report.cascades import cascade_table
from tokensieve_bench.report.contenders import contender_plot, contender_tables, promise_table
from tokensieve_bench.report.frontier import accuracy_records, frontier_plot, frontier_table, preset_table, screen_table
from tokensieve_bench.report.int8 import int8_tables
from tokensieve_bench.report.leaderboard import leaderboard, set_tables
from tokensieve_bench.report.methods import methods_table
from tokensieve_bench.report.result_pages import ALL_PAGES, AVX2, BENCHMARKS, BENCHMARKS_SINCE, PAGES, columns
from tokensieve_bench.report.scale import scale_tables
from tokensieve_bench.report.series import series_tables
from tokensieve_bench.report.serving import serving_tables
from tokensieve_bench.report.thresholds import threshold_plot, threshold_records, threshold_tables
from tokensieve_bench.report.tuned import tuned_tables
from tokensieve_bench.report.vision import prumerge_table, vision_tables
from tokensieve_bench.report.worth import worth_tables
from tokensieve_bench.table import bars_table, conditions, figure_table, made_with, sections

IN_SUMMARY = (
    "base-512",
    "base-512-bf16",
    "base-training-512",
    "base-latency",
    "end-to-end-20newsgroups",
    "mini-20newsgroups",
)
"""Benchmarks whose bars are shown together."""
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
    parser = argparse.ArgumentParser()
    parser.add_argument("--results", type=Path, default=SHOWN, help="folder of records (default: results/0.1.0)")
    parser.add_argument("--into", type=Path, default=ROOT, help="folder of the pages (default: this checkout)")
    parser.add_argument("--leaderboard", action="store_true", help="the comparison of the methods alone")
    arguments = parser.parse_args()
    if arguments.leaderboard:
        place_leaderboard({name: arguments.into / path for name, path in PAGES.items()})
        return
    report(Results(arguments.results.resolve()), arguments.into)


def report(results: Results, root: Path) -> None:
    """Every table and picture, in the pages below `root`; pages that are not there are copied from this checkout."""
    for name in ALL_PAGES:
        if not (root / name).is_file():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, root / name)
    page = {name: root / path for name, path in PAGES.items()}
    _place(page["methods"], "methods", methods_table())
    place_leaderboard(page)
    _place(page["cascade"], "cascades", cascade_table(Results(RESULTS)))
    _place(page["bag-of-words"], "worth", worth_tables(Results(RESULTS)))  # 0.1.0 measured none of it
    _place(page["few-shot"], "assistants", assistants_tables(Results(RESULTS)))
    _place(page["int8"], "int8", int8_tables(Results(RESULTS)))
    _place(page["tuning"], "tune", tuned_tables(Results(RESULTS)))
    for title, patterns in BENCHMARKS_SINCE.items():
        found = [own for pattern in patterns for own in Results(RESULTS).read_all(f"bench/{pattern}").items()]
        _place(page[title], title, "\n\n".join("\n".join(_section(own, name)) for name, own in found))
    _place(page["serving"], "serving", serving_tables(Results(RESULTS)))
    _place(page["series"], "series", series_tables(Results(RESULTS)))
    _place(page["machines"], "scale", scale_tables(Results(RESULTS)))
    pictures = root / "docs" / "bench"
    pictures.mkdir(exist_ok=True)
    _place(page["frontier"], "contenders", _contenders(pictures / "contenders.svg"))
    _place(page["frontier"], "mpnet", contender_tables(Results(RESULTS), "mpnet"))
    _place(page["frontier"], "promises", promise_table(Results(RESULTS)))
    _place(page["account"], "thresholds", _thresholds(pictures / "thresholds.svg"))
    _place_accuracy(results, page, pictures)
    _place_benchmarks(results, root, page["speed"], pictures)


def place_leaderboard(page: Mapping[str, Path]) -> None:
    """The comparison of the methods: all sets together, a section a set; and on images, a section a host."""
    _place(page["methods"], "leaderboard", leaderboard(RESULTS / "methods"))
    _place(page["methods-compared"], "leaderboard", set_tables(RESULTS / "methods"))
    _place(page["images"], "vision", vision_tables(RESULTS / "vision"))
    _place(page["prumerge"], "prumerge", prumerge_table(RESULTS / "vision" / "prumerge.json"))


def _contenders(picture: Path) -> str:
    """The tables of all that could do the job, and the place of their picture."""
    results = Results(RESULTS)
    tables = contender_tables(results)
    if "|" not in tables:
        return tables
    contender_plot(results, picture)
    return f"![Accuracy against speed](../bench/{picture.name})\n\n{tables}"


def _thresholds(picture: Path) -> str:
    """The tables of the thresholds, and the place of their picture; 0.1.0 had no thresholds."""
    results = Results(RESULTS)
    if not threshold_records(results):
        return threshold_tables(results)
    threshold_plot(results, picture)
    return f"{threshold_tables(results)}\n\n![thresholds](../bench/{picture.name})"


def _place_accuracy(results: Results, page: Mapping[str, Path], pictures: Path) -> None:
    """The tables of trainings, and of what is counted."""
    demo = results.read("demo/stdlib-128")
    table = "\n".join(comparison(demo["models"], "markdown"))
    _place(page["demonstration"], "demo", f"{table}\n\n{_conditions(demo)}")
    for name in ("bbc-256", "bbc-512"):
        if results.has(f"accuracy/{name}"):
            _place(page["trained-to-prune"], f"{name}-brief", accuracy_table(results, name, brief=True))
            table = accuracy_table(results, name)
            _place(page["trained-to-prune"], name, columns(table, [0, 1, 2, 3, 4, 5], notes=True))
            _place(page["trained-to-prune"], f"{name}-cost", columns(table, [0, -4, -3, -2, -1]))
    _place(page["testbed"], "screen", screen_table(results, "screen"))
    if accuracy_records(results, "frontier"):
        table = frontier_table(results, "frontier", brief=True)
        _place(page["five-sets"], "frontier-brief", columns(table, [0, 1, 2, 3, 4, 5, 6]))
        table = frontier_table(results, "frontier")
        _place(page["five-sets"], "frontier", columns(table, [0, 7, 8, 9, 10, 11, 12], notes=True))
        _place(page["five-sets"], "frontier-accuracy", columns(table, [0, 1, 2, 3, 4, 5, 6]))
        _place(page["memory"], "frontier-memory", columns(table, [0, -4, -3, -2, -1]))
        for name in ("readme", "choose"):
            _place(page[name], "presets", preset_table(results, "frontier"))
        frontier_plot(results, "frontier", pictures / "frontier.svg")
    if accuracy_records(results, "long"):
        table = frontier_table(results, "long")
        _place(page["long-documents"], "long", columns(table, [0, 4, 5, 6, 7, 8, 9], notes=True))
        _place(page["long-documents"], "long-accuracy", columns(table, [0, 1, 2, 3]))
    _place(page["bfloat16"], "dtype", dtype_table(results))
    _place(page["scores"], "score", score_table(results, "bbc-256"))
    _place(page["flops"], "flops", _flops_table(results.read("flops/bert-base-512")))


def _place_benchmarks(results: Results, root: Path, speed: Path, pictures: Path) -> None:
    """A section and a picture for each benchmark, and all bars together."""
    records, older = results.read_all("bench/*"), results.read_all("bench/avx2/*")
    for page, names in BENCHMARKS.items():
        sections_of_page = []
        for name in names:
            if name in records:
                picture = pictures / f"{name}.svg"
                plot(records[name], picture)
                shown = ["", f"![{name}](../../bench/{picture.name})"]
                sections_of_page.append("\n".join([*_section(records[name]), *shown]))
        _place(root / f"docs/results/benchmarks/{page}.md", "bench", "\n\n".join(sections_of_page))
    _place(root / AVX2, "bench", "\n\n".join("\n".join(_section(record)) for record in older.values()))
    summary = [record for record in records.values() if record["name"] in IN_SUMMARY]
    _place(speed, "bars", "\n".join(bars_table(summary, "markdown")))
    _place(speed, "headline", _headline(next(record for record in records.values() if record["name"] == "base-512")))


def _headline(record: dict[str, Any]) -> str:
    """The contenders that tell most, and what the figures hold for."""
    few = record | {"contenders": {name: record["contenders"][name] for name in HEADLINE}}
    return "\n".join([*figure_table(few, "markdown"), "", *(f"- {line}" for line in conditions(few))])


def _section(record: dict[str, Any], heading: str = "") -> list[str]:
    return [
        f"## {heading or record['name']}",
        f"`tokensieve bench benchmarks/configs/bench/{record['name']}.json`",
        "",
        *sections(record),
    ]


def _place(path: Path, marker: str, text: str) -> None:
    pattern = re.compile(rf"(<!-- {marker} -->\n).*?(<!-- /{marker} -->)", re.DOTALL)
    page, places = pattern.subn(lambda match: f"{match[1]}{text}\n{match[2]}", path.read_text(encoding="utf-8"))
    if places != 1:
        raise SystemExit(f"{path}: {places} places marked {marker!r}, want 1")
    path.write_text(page, encoding="utf-8")


def _conditions(demo: dict[str, Any]) -> str:
    model = next(iter(demo["models"].values()))
    environment = model["scores"]["environment"]
    lines = [f"- {made_with([demo])}, {demo['cores']} cores"]
    lines += [f"- {key}: {value}" for key, value in environment.items()]
    for name, own in demo["models"].items():
        lines.append(f"- {name}: `tokensieve train {' '.join(command_of_today([*own['settings'], *demo['recipe']]))}`")
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
