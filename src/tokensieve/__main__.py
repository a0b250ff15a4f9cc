"""`python -m tokensieve`."""

from tokensieve.cli import run

run()
