"""Which page has which table: a page a question, and small tables."""

from __future__ import annotations

PAGES = {
    "readme": "README.md",
    "choose": "docs/choose.md",
    "flops": "docs/explanation/flops.md",
    "methods": "docs/methods/index.md",
    "account": "docs/methods/account.md",
    "prumerge": "docs/methods/prumerge.md",
    **{
        name: f"docs/results/{name}.md"
        for name in (
            *("five-sets", "long-documents", "memory", "trained-to-prune", "testbed", "demonstration", "speed"),
            *(
                "bfloat16",
                "int8",
                "tuning",
                "scores",
                "cascade",
                "frontier",
                "bag-of-words",
                "rivals",
                "backbones",
                "serving",
                "methods-compared",
                "images",
                "few-shot",
                "series",
                "machines",
            ),
        )
    },
}
"""The pages with a question of their own."""
BENCHMARKS = {
    "bert-base": (
        *("base-512", "base-512-bf16", "base-batch-32", "base-lengths"),
        *("base-20newsgroups", "base-bbc", "base-imdb"),
    ),
    "default-model": ("mini-20newsgroups", "mini-bbc", "mini-imdb", "mini-lengths", "mini-score"),
    "presets": (
        *(f"frontier-{name}" for name in ("20newsgroups", "arxiv11_abstracts", "bbc", "imdb", "legal_clauses")),
        *("long-20newsgroups", "long-imdb"),
    ),
    "latency": ("base-latency", "mini-latency"),
    "training": ("base-training-512", "base-training-512-dropout", "mini-training"),
    "memory": (
        "base-memory-512",
        *(f"memory-{name}" for name in ("20newsgroups", "arxiv11_abstracts", "bbc", "imdb", "legal_clauses")),
    ),
    "end-to-end": ("end-to-end-20newsgroups",),
    "efficient-transformers": ("efficient-transformers",),
}
"""Benchmarks of the records that are shown, by the page that has their full tables."""
BENCHMARKS_SINCE = {"rivals": ("rivals-*",), "backbones": ("mpnet-*", "modernbert-*")}
"""Benchmarks that 0.1.0 had not, as patterns of names in `results/bench`, by the page that has their full tables."""
AVX2 = "docs/results/benchmarks/avx2.md"
ALL_PAGES = (*PAGES.values(), *(f"docs/results/benchmarks/{name}.md" for name in BENCHMARKS), AVX2)
"""What the tables are in."""


def columns(table: str, picked: list[int], *, notes: bool = False) -> str:
    """Some columns of a Markdown table, without rows that are empty in all but the first of them.

    Args:
        table: the table, and below an empty line its notes.
        picked: places of the columns, from 0; negative ones count from the last.
        notes: keep what stands below the table.
    """
    rows, _, below = table.partition("\n\n")
    shown = []
    for line in rows.splitlines():
        cells = [cell.strip() for cell in line.strip().strip("|").split(" | " if "---" not in line else "|")]
        few = [cells[place] for place in picked]
        if any(few[1:]):
            shown.append("|" + "|".join(few) + "|" if "---" in line else f"| {' | '.join(few)} |")
    return "\n".join([*shown, *(("", below) if notes else ())])
