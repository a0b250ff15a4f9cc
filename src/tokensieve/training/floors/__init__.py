"""Floors: a bag of words and the mean of static vectors, fitted to the same documents and compared with the encoder."""
