"""Tensor work on ragged batches: attention over packed documents, and moves between packed and padded rows."""
