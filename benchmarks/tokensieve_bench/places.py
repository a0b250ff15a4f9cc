"""Folders of the checkout that the benchmarks read and write."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
"""The checkout; this package is in no wheel, so that it always lies in one."""
RESULTS = ROOT / "results"
"""Records of raw figures; scripts write theirs here."""
SHOWN = RESULTS / "0.1.0"
"""The records that most tables of README.md and docs/ are made from."""
CONFIGS = ROOT / "benchmarks" / "configs" / "accuracy"
"""What is trained, and with which settings."""
METHOD_CONFIGS = ROOT / "benchmarks" / "configs" / "methods"
"""How methods are compared."""
RUNS = ROOT / "build" / "accuracy"
"""Trained classifiers, a folder a config."""
DERIVED = ROOT / "build" / "data"
"""Data sets that benchmarks/words/worth_sets.py makes of others."""

FIVE_SETS = "cascade"
"""The config of the five sets, by its name."""
COMPOSED = (FIVE_SETS, "mpnet")
"""Configs whose classifiers are composed into cascades; each has a folder of its name in RESULTS."""


def frontier_of(config: str) -> str:
    """The folder in RESULTS with the contenders of a config's classifiers, by the config's name."""
    return "frontier" if config == FIVE_SETS else f"frontier-{config}"
