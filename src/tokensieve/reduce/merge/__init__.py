"""Merging: what becomes of the tokens that leave. A way is a file."""
