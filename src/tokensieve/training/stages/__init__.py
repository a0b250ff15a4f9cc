"""The stages of a training, a file each; `STAGES` has their order."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tokensieve.old_names import renamed
from tokensieve.training.job import TrainingJob
from tokensieve.training.stages.ask_teacher import AskTeacher
from tokensieve.training.stages.calibrate import Calibrate
from tokensieve.training.stages.compare_floors import CompareFloors
from tokensieve.training.stages.distil_features import DistilFeatures
from tokensieve.training.stages.fine_tune import FineTune
from tokensieve.training.stages.fit_bag import FitBag
from tokensieve.training.stages.fit_cascade import FitCascade
from tokensieve.training.stages.fit_projection import FitProjection
from tokensieve.training.stages.fit_score import FitScore
from tokensieve.training.stages.fit_threshold import FitThreshold
from tokensieve.training.stages.learn_gates import LearnGates
from tokensieve.training.stages.put_words_first import PutWordsFirst
from tokensieve.training.stages.read_static_vectors import ReadStaticVectors
from tokensieve.training.stages.refit_head import RefitHead
from tokensieve.training.stages.stage import Context, Stage

if not TYPE_CHECKING:
    __getattr__ = renamed(__name__)

__all__ = ["STAGES", "Context", "Stage", "stages_for"]

STAGES: tuple[type[Stage], ...] = (
    # what has to come before the weights change
    ReadStaticVectors,
    FitBag,
    # what is fitted to the classifier that the run starts from
    FitScore,
    FitThreshold,
    FitProjection,
    DistilFeatures,
    RefitHead,
    # training on labels
    AskTeacher,
    LearnGates,
    FineTune,
    # what is fitted to the validation documents
    FitCascade,
    Calibrate,
    CompareFloors,
    PutWordsFirst,
)


def stages_for(job: TrainingJob) -> list[Stage]:
    """The stages of a run, in their order.

    Raises:
        TokensieveError: the job lacks something that a stage needs.
    """
    stages = [stage() for stage in STAGES]
    for stage in stages:
        stage.needs(job)
    return stages
