"""A floor of words: TF-IDF and logistic regression."""

from __future__ import annotations

import time

from tokensieve.training.fits.bag import fit_bag, texts_of
from tokensieve.training.floors.floor import Floor
from tokensieve.training.job import TrainingJob
from tokensieve.words import WordsClassifier


def words_floor(job: TrainingJob, bag: WordsClassifier | None) -> Floor:
    """The answers of a bag of words, which is fitted if it is not there yet.

    Raises:
        DataError: no document has a word.
    """
    words, validation = bag or fit_bag(job.splits, job.recipe), texts_of(job.splits.validation)
    start = time.perf_counter()
    logits = words.logits(validation)
    seconds = time.perf_counter() - start
    facts = {"settings": words.settings.to_dict(), "terms": len(words.weights), "temperature": words.temperature}
    return Floor(logits, len(validation) / seconds, facts)
