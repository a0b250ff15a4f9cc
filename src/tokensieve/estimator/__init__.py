"""TokensieveClassifier and TokensieveEncoder: training, prediction and vectors in scikit-learn's form.

Needs scikit-learn when imported, so that the front door loads it on first use only.
"""

from tokensieve.estimator.classifier import TokensieveClassifier
from tokensieve.estimator.encoder import TokensieveEncoder
from tokensieve.estimator.ptc import PTCClassifier

__all__ = ["PTCClassifier", "TokensieveClassifier", "TokensieveEncoder"]
