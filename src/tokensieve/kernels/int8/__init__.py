"""int8 for inference: modules that take the places of float ones, and the numbers that their weights become."""
