"""Cascades: classifiers in order of cost, each of which defers the documents that it is unsure of to the next one."""
