"""Selections: which of the scored tokens stay. A selection is a file."""
