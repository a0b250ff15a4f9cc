"""Merging: what becomes of the tokens that leave. A file for each way."""
