"""tokensieve: document classifiers that let unimportant tokens go, for real.

Importing it registers the config and model types with transformers, lets old module names be imported (`old_names`),
and does nothing else.
"""

from typing import TYPE_CHECKING, Any

from transformers import AutoConfig, AutoModel, AutoModelForImageClassification, AutoModelForSequenceClassification

from tokensieve.cascade.build import compress
from tokensieve.cascade.classifier import TokensieveCascadeForSequenceClassification
from tokensieve.cascade.configuration import CascadeConfig, TokensieveConfigReader
from tokensieve.config import Deferral, Prune, ReductionConfig
from tokensieve.errors import (
    CheckpointError,
    ConfigError,
    DataError,
    HubError,
    InputError,
    MissingExtraError,
    TokensieveError,
    TrainingError,
)
from tokensieve.methods import METHODS
from tokensieve.model.body import TokensieveModel
from tokensieve.model.classifier import TokensieveForSequenceClassification
from tokensieve.model.configuration import TokensieveConfig
from tokensieve.model.image_classifier import TokensieveForImageClassification
from tokensieve.model.unmerge import unmerge
from tokensieve.old_names import install
from tokensieve.runtime.load import load
from tokensieve.runtime.sentences import SentenceEncoder, load_encoder
from tokensieve.training.lora import lora_config
from tokensieve.training.recipe import Recipe
from tokensieve.version import __version__

if TYPE_CHECKING:
    from tokensieve.estimator import TokensieveClassifier, TokensieveEncoder

__all__ = [
    "METHODS",
    "CascadeConfig",
    "CheckpointError",
    "ConfigError",
    "DataError",
    "Deferral",
    "HubError",
    "InputError",
    "MissingExtraError",
    "Prune",
    "Recipe",
    "ReductionConfig",
    "SentenceEncoder",
    "TokensieveCascadeForSequenceClassification",
    "TokensieveClassifier",
    "TokensieveConfig",
    "TokensieveEncoder",
    "TokensieveError",
    "TokensieveForImageClassification",
    "TokensieveForSequenceClassification",
    "TokensieveModel",
    "TrainingError",
    "__version__",
    "compress",
    "load",
    "load_encoder",
    "lora_config",
    "unmerge",
]

install()
AutoConfig.register(TokensieveConfig.model_type, TokensieveConfigReader, exist_ok=True)
AutoConfig.register(CascadeConfig.model_type, CascadeConfig, exist_ok=True)
AutoModel.register(TokensieveConfig, TokensieveModel, exist_ok=True)
AutoModelForSequenceClassification.register(TokensieveConfig, TokensieveForSequenceClassification, exist_ok=True)
AutoModelForImageClassification.register(TokensieveConfig, TokensieveForImageClassification, exist_ok=True)
AutoModelForSequenceClassification.register(CascadeConfig, TokensieveCascadeForSequenceClassification, exist_ok=True)


def __getattr__(name: str) -> Any:
    """Import on first use: what brings scikit-learn, and the names of version 0.1.0."""
    if name == "PTCConfig":
        from tokensieve.config.ptc import PTCConfig

        return PTCConfig
    if name in ("TokensieveClassifier", "TokensieveEncoder", "PTCClassifier"):
        import tokensieve.estimator

        return getattr(tokensieve.estimator, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
