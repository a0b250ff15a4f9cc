"""The training loop: one run of transformers' Trainer by a recipe, on one process or several."""
