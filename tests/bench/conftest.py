"""The scripts of benchmarks/ as modules. A source archive lacks them and results/: there is nothing to test then."""

import sys
from pathlib import Path

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
collect_ignore_glob = [] if (BENCHMARKS / "words").is_dir() else ["test_*.py"]
FOLDERS = ("accuracy", "frontier", "methods", "scale", "series", "serving", "speed", "versions", "vision", "words")
sys.path += [str(BENCHMARKS / name) for name in FOLDERS]
