"""Training over transformers' Trainer: the recipe, the stages of a run, and the folder that it leaves."""
