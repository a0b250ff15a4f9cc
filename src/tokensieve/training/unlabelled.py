"""Documents without labels: what reads them, and warnings about the documents by which the model is judged."""

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
    """Raise ConfigError where documents without labels are given, and nothing reads them."""
    if splits.unlabelled and not recipe.follow and recipe.reread_loss is None:
        raise ConfigError(
            f"unlabelled: {len(splits.unlabelled)} documents without labels, which only following reads, and what "
            "fits reread_loss: give one of them (--follow 1, --reread-loss 0.5), or leave them out"
        )


def unlabelled_digest(splits: DataSplits) -> str | None:
    """A hash of the texts in their order; None without any."""
    texts = [digest(document) for document in splits.unlabelled]
    return hashlib.sha256(b"".join(texts)).hexdigest() if texts else None


def warn_of_judges(splits: DataSplits) -> None:
    """Where the documents by which the model is judged are among those without labels, or lack a label."""
    if missing := unjudged_labels(splits.label_names, splits.validation, "validation", splits.multi_label):
        logger.warning("%s", missing)
    texts = {(document.text, document.pair) for document in splits.unlabelled}
    for name, judges in (("validation", splits.validation), ("test", splits.test)):
        if known := sum((document.text, document.pair) in texts for document in judges):
            logger.warning(
                "unlabelled: %d of the %d %s documents are among them, so what is learned of them, and fitted to them, "
                "suits these better than others: leave them out",
                known,
                len(judges),
                name,
            )
