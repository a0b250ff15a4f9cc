"""Combining: many tokens are folded into few. A file for each way."""
