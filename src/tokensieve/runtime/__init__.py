"""Inference: sort by length, batch by a budget of tokens, run, restore the order; in bounded memory over a stream."""
