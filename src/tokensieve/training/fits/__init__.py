"""Fits in closed form, to a sample or to validation documents: score, head, cascade, temperature, bag of words."""
