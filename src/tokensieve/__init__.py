"""tokensieve: document classifiers that let unimportant tokens go, for real.

Importing it registers the config and model types with transformers and does nothing else.
"""

from transformers import AutoConfig, AutoModelForSequenceClassification

from tokensieve.backbones import compress
from tokensieve.config import PTCConfig
from tokensieve.errors import (
    CheckpointError,
    ConfigError,
    DataError,
    InputError,
    MissingExtraError,
    TokensieveError,
    TrainingError,
)
from tokensieve.model.classifier import TokensieveForSequenceClassification
from tokensieve.model.configuration import TokensieveConfig
from tokensieve.runtime.load import load
from tokensieve.version import __version__

__all__ = [
    "CheckpointError",
    "ConfigError",
    "DataError",
    "InputError",
    "MissingExtraError",
    "PTCConfig",
    "TokensieveConfig",
    "TokensieveError",
    "TokensieveForSequenceClassification",
    "TrainingError",
    "__version__",
    "compress",
    "load",
]

AutoConfig.register(TokensieveConfig.model_type, TokensieveConfig, exist_ok=True)
AutoModelForSequenceClassification.register(TokensieveConfig, TokensieveForSequenceClassification, exist_ok=True)
