"""TokensieveClassifier: training and prediction as a scikit-learn estimator.

Needs scikit-learn when imported, so that the front door loads it on first use only.
"""

from tokensieve.estimator.classifier import TokensieveClassifier
from tokensieve.estimator.ptc import PTCClassifier

__all__ = ["PTCClassifier", "TokensieveClassifier"]
