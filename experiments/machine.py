"""Where this checkout is; what a measurement in it was made with."""

from pathlib import Path

from tokensieve.bench.machine import commit, machine
from tokensieve.processor import processor_name

__all__ = ["ROOT", "commit", "machine", "processor_name"]

ROOT = Path(__file__).parents[1]
