"""A trained classifier with int8 weights: made, and passed only if its answers stay (`quantize`)."""
