"""Scores: one number a token, by which a selection decides. A score is a file."""
