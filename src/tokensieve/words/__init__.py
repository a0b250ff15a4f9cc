"""Classifiers that cost next to nothing: a bag of words, and the mean of static vectors.

They are floors for every encoder, and the first stage of a cascade.
"""

from tokensieve.words.classifier import WordsClassifier
from tokensieve.words.settings import WordsSettings

__all__ = ["WordsClassifier", "WordsSettings"]
