"""Losses: on labels, on a teacher's answers, on document vectors; and what travels with a batch for them."""
