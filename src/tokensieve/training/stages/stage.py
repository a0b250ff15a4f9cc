"""What a stage of a training is, and what the stages hand on to each other."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

from torch import Tensor

from tokensieve.cascade.build import EncoderClassifier
from tokensieve.cascade.words_first import WordsFirst
from tokensieve.data.tokenized import TokenizedDocuments
from tokensieve.training.fits.sample import Sample
from tokensieve.training.job import TrainingJob
from tokensieve.training.loop.options import RunOptions
from tokensieve.training.recipe import Recipe
from tokensieve.training.start import Start
from tokensieve.words import WordsClassifier

if TYPE_CHECKING:
    from tokensieve.training.floors.static import StaticVectors
    from tokensieve.training.loop.run import Trained


@dataclass
class Context:
    """What the stages of a run work on. What a stage hands on to later ones is None before it has run.

    Attributes:
        job: what was asked for.
        start: the model, which the stages change in place, and its tokenizer.
        training: the training documents.
        validation: the validation documents; may be empty.
        options: where the runs of Trainer go.
        is_main_process: whether this process writes. It alone fits what the model does not need.
        static: mean vectors of the documents, by the word vectors of the base.
        bag: a bag of words, fitted to the training documents.
        targets: a teacher's answers to the training documents, by their names in a batch.
        gates_learned: whether weights and gates were trained on the labels.
        trained: the log of the training, and the answers to the validation documents.
        best: the entry of the log whose weights were kept; None without validation.
        words_first: the bag of words that stands ahead of the model.
    """

    job: TrainingJob
    start: Start
    training: TokenizedDocuments
    validation: TokenizedDocuments
    options: RunOptions
    is_main_process: bool = True
    static: StaticVectors | None = None
    bag: WordsClassifier | None = None
    targets: dict[str, Tensor] | None = None
    gates_learned: bool = False
    trained: Trained | None = None
    best: dict[str, Any] | None = None
    words_first: WordsFirst | None = None

    @property
    def recipe(self) -> Recipe:
        """How to train."""
        return self.job.recipe

    @property
    def model(self) -> EncoderClassifier:
        """The model that is trained."""
        return self.start.model

    @property
    def tokenizer(self) -> Any:
        """Its tokenizer."""
        return self.start.tokenizer

    @cached_property
    def sample(self) -> Sample:
        """The training documents that score and head are fitted to."""
        return Sample(self.training, self.tokenizer, min(16, self.recipe.batch_size), self.recipe.seed)


class Stage:
    """A stage of a training. It decides by itself, in `run`, whether the job asks for it.

    Attributes:
        counts_as_training: whether its time and memory are those that the record of the run tells.
        reports: the keys of its record.
        record: its part of `training.json`; the values are None until it has run, and where it is left out.
    """

    counts_as_training: ClassVar[bool] = True
    reports: ClassVar[tuple[str, ...]] = ()

    def __init__(self) -> None:
        self.record: dict[str, Any] = dict.fromkeys(self.reports)

    def needs(self, job: TrainingJob) -> None:
        """Refuse a job that lacks what this stage needs, before a model is read.

        Raises:
            TokensieveError: names what is missing, and the remedy.
        """

    def needs_of_start(self, job: TrainingJob, start: Start) -> None:
        """Refuse a start that lacks what this stage needs, before anything is fitted or written.

        Raises:
            TokensieveError: names what is missing, and the remedy.
        """

    def run(self, context: Context) -> None:
        """Do the stage's work, on every process.

        Raises:
            TokensieveError: what was found only on the way, such as a training that diverges.
        """
        raise NotImplementedError
