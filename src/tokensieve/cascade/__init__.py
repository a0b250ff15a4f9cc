"""Cascades: classifiers in order of cost; each defers its least confident documents to the next one."""
