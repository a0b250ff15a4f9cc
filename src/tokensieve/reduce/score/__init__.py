"""Scores: one number a token, by which a selection decides. A file for each score."""
