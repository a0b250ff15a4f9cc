"""Where this checkout is; what a measurement in it was made with."""

from pathlib import Path

from tokensieve.bench.machine import commit, machine, processor

__all__ = ["ROOT", "commit", "machine", "processor"]

ROOT = Path(__file__).parents[1]
