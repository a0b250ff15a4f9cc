"""Classifiers on a Ray cluster: `Predictor` for Ray Data, and what `tokensieve predict --ray` runs."""

from tokensieve.ray.predictor import Predictor

__all__ = ["Predictor"]
