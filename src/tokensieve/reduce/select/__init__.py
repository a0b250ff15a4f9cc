"""Selections: which of the scored tokens stay. A file for each selection."""
