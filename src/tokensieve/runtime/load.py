"""load(): a trained folder -> something that predicts."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from tokensieve.backbones.loading import first_line, load_config, load_tokenizer, load_weights
from tokensieve.data.documents import Document
from tokensieve.data.tokenize import check_text
from tokensieve.errors import CheckpointError, ConfigError
from tokensieve.model.classifier import TokensieveForSequenceClassification
from tokensieve.model.configuration import TokensieveConfig
from tokensieve.runtime.engine import BATCH_TOKENS, Engine, Result

if TYPE_CHECKING:
    import numpy as np

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


class Classifier:
    """A trained classifier, ready to predict; made by `load`.

    Attributes:
        engine: runs the model.
        labels: class names in the order of the class ids.
    """

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.labels = engine.model.config.label_names

    @property
    def model(self) -> TokensieveForSequenceClassification:
        """The model."""
        return self.engine.model

    def predict(self, texts: Iterable[str]) -> list[str]:
        """The label of each text, in order.

        Raises:
            InputError: a text without any token.
            ConfigError: a single string in place of a list.
        """
        return [self.labels[result.label] for result in self.results(texts)]

    def predict_proba(self, texts: Iterable[str]) -> np.ndarray:
        """Probabilities [N, number of labels] float32, columns in the order of `labels`."""
        import numpy as np

        rows = [result.probabilities for result in self.results(texts)]
        return np.asarray(rows, dtype=np.float32).reshape(len(rows), len(self.labels))

    def results(self, texts: Iterable[str], *, tokens: bool = False) -> list[Result]:
        """Everything the engine tells of each text; with `tokens` also the tokens that survived."""
        if isinstance(texts, str):
            raise ConfigError("predict takes a list of texts, not one string: give [text]")
        documents = (Document(check_text(number, text), None, "texts", number) for number, text in enumerate(texts))
        return [result for _, result in self.engine.stream(documents, tokens=tokens)]


def load(
    path: str | Path,
    *,
    device: str = "auto",
    dtype: str = "float32",
    max_length: int | None = None,
    batch_tokens: int = BATCH_TOKENS,
) -> Classifier:
    """Read a folder written by `tokensieve train` or `save_pretrained` (with its tokenizer).

    Args:
        path: the folder, or a hub name.
        device: "auto" (CUDA where there is one), "cpu", "cuda", "cuda:1".
        dtype: "float32", "bfloat16" or "float16".
        max_length: documents are truncated to this many tokens; None: as in training.
        batch_tokens: most tokens of a batch.

    Raises:
        CheckpointError: no tokensieve model there, or it cannot be read.
        ConfigError: an unknown device or dtype, or a length that does not fit.
    """
    config = load_config(path)
    if not isinstance(config, TokensieveConfig):
        raise CheckpointError(
            f"{path}: holds a {config.model_type!r} model, not a tokensieve classifier: train one with "
            "'tokensieve train --model ...', or build one with tokensieve.compress"
        )
    if config.problem_type == "regression" or len(config.label_names) < 2:
        raise CheckpointError(
            f"{path}: a regression model with one output, not a classifier: train one with 2 labels or more"
        )
    place, kind = resolve_device(device), resolve_dtype(dtype)
    model = load_weights(TokensieveForSequenceClassification, path, strict=True, dtype=kind)
    torch.nn.Module.to(model, device=place)
    engine = Engine(model.eval(), load_tokenizer(path, config), max_length=max_length, batch_tokens=batch_tokens)
    return Classifier(engine)


def resolve_device(name: str) -> torch.device:
    """A device by name.

    Raises:
        ConfigError: no such device on this machine.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        if device.type not in ("cpu", "cuda", "mps"):
            raise RuntimeError("no device to compute on")
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise ConfigError(f"device={name!r} cannot be used ({first_line(error)}): give auto, cpu or cuda") from error
    return device


def resolve_dtype(name: str) -> torch.dtype:
    """A floating point type by name.

    Raises:
        ConfigError: none of the three.
    """
    if name not in DTYPES:
        raise ConfigError(f"dtype={name!r}: choose one of {', '.join(DTYPES)}")
    return DTYPES[name]
