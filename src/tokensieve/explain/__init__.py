"""What a classifier read of each document: in which layer each word left, what is made of it, as a page or as text."""

from tokensieve.explain.page import write_page
from tokensieve.explain.reading import Check, Explained, Reading, explain
from tokensieve.explain.words import Word

__all__ = ["Check", "Explained", "Reading", "Word", "explain", "write_page"]
