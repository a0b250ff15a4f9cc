"""Documents without labels: what reads them, and warnings about validation and test documents."""

from __future__ import annotations

import hashlib
import logging

from tokensieve.data.doubts import unjudged_labels
from tokensieve.data.sampling import digest
from tokensieve.data.splits import DataSplits
from tokensieve.errors import ConfigError
from tokensieve.training.recipe import Recipe

logger = logging.getLogger(__name__)


def check_unlabelled(recipe: Recipe, splits: DataSplits) -> None:
    """Raise ConfigError if documents without labels are given, and nothing reads them."""
    if splits.unlabelled and not recipe.feature_epochs and recipe.max_expected_loss is None:
        raise ConfigError(
            f"unlabelled: {len(splits.unlabelled)} documents without labels, which only feature distillation and "
            "max_expected_loss read: give one of them (feature_epochs=1, max_expected_loss=0.5), or leave them out"
        )


def unlabelled_digest(splits: DataSplits) -> str | None:
    """A hash of the texts in their order; None without any."""
    texts = [digest(document) for document in splits.unlabelled]
    return hashlib.sha256(b"".join(texts)).hexdigest() if texts else None


def warn_of_evaluation_documents(splits: DataSplits) -> None:
    """Warn if validation or test documents are among those without labels, or if a label has no validation document."""
    if missing := unjudged_labels(splits.label_names, splits.validation, "validation", splits.multi_label):
        logger.warning("%s", missing)
    texts = {(document.text, document.pair) for document in splits.unlabelled}
    for name, documents in (("validation", splits.validation), ("test", splits.test)):
        if known := sum((document.text, document.pair) in texts for document in documents):
            logger.warning(
                "unlabelled: %d of the %d %s documents are among them, so the model suits these better than new "
                "ones, and their scores are too good: leave them out",
                known,
                len(documents),
                name,
            )
