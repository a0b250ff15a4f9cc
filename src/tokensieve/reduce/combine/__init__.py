"""Combining: many tokens are folded into few. A way is a file."""
