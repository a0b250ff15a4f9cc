"""TokensieveEncoder: frozen vectors of texts, as a scikit-learn transformer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin

from tokensieve.config import ReductionConfig
from tokensieve.estimator.inputs import read_documents
from tokensieve.estimator.state import quiet
from tokensieve.runtime.sentences import SentenceEncoder, load_encoder


class TokensieveEncoder(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Vectors of texts by an encoder that nothing is trained of; for a pipeline with any classifier behind it.

    The encoder is read when vectors are first asked for. A pickle holds the parameters alone, so the checkpoint has to
    be where it is unpickled, too.

    Args:
        model: as `load_encoder` takes it.
        settings: as `load_encoder` takes them, such as the file of `tokensieve tune --tasks`.
        max_length: texts are truncated to this many tokens; None: what fits.
        normalize: scale each vector to length 1.
        device: as `load_encoder` takes it.
    """

    def __init__(
        self,
        model: str | Path | None = None,
        settings: ReductionConfig | str | Path | None = None,
        max_length: int | None = None,
        normalize: bool = True,
        device: str = "auto",
    ) -> None:
        self.model = model
        self.settings = settings
        self.max_length = max_length
        self.normalize = normalize
        self.device = device

    def fit(self, X: Any, y: Any = None) -> TokensieveEncoder:  # noqa: N803
        """Read the encoder by the parameters of now; X and y are not looked at.

        Raises:
            CheckpointError, ConfigError, MissingExtraError: as `load_encoder`.
        """
        with quiet():
            self._loaded = load_encoder(self.model, self.settings, device=self.device, max_length=self.max_length)
        return self

    def transform(self, X: Any) -> np.ndarray:  # noqa: N803
        """Vectors [N, d] float32 of texts, or of (text, second text) tuples: a list, array, Series or table.

        Raises:
            DataError: X cannot be used.
            CheckpointError, ConfigError, MissingExtraError: as `fit`, where the encoder is not read yet.
        """
        encoder = self._encoder()
        documents = read_documents(X, paired=encoder.model.config.text_pairs)
        return encoder.encode((document.content for document in documents), normalize=bool(self.normalize))

    def _encoder(self) -> SentenceEncoder:
        if not hasattr(self, "_loaded"):
            self.fit(None)
        return self._loaded

    @property
    def _n_features_out(self) -> int:
        """Read by scikit-learn for the names of the columns."""
        return int(self._encoder().model.config.hidden_size)

    def __sklearn_is_fitted__(self) -> bool:
        return True

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.requires_fit = False
        tags.input_tags.two_d_array = False
        tags.input_tags.one_d_array = True
        tags.input_tags.string = True
        return tags

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in super().__getstate__().items() if name != "_loaded"}
