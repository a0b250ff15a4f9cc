"""Training over transformers' Trainer: the recipe, the run, and the folder it leaves."""
