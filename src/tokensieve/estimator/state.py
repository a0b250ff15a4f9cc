"""Manners in a process that is not ours: random states and logs as they were, and pickles that need no GPU."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from transformers.utils import logging as transformers_logging

from tokensieve.errors import ConfigError
from tokensieve.kernels.linear import lay_out_weights
from tokensieve.runtime.load import resolve_device


@contextmanager
def quiet(verbose: bool = False) -> Iterator[None]:
    """Without transformers' bars over weights, which take no time worth one; and unless `verbose`, errors alone."""
    bars, verbosity = transformers_logging.is_progress_bar_enabled(), transformers_logging.get_verbosity()
    transformers_logging.disable_progress_bar()
    if not verbose:
        transformers_logging.set_verbosity_error()
    try:
        yield
    finally:
        transformers_logging.set_verbosity(verbosity)
        if bars:
            transformers_logging.enable_progress_bar()


def off_its_device(state: dict[str, Any]) -> dict[str, Any]:
    """An estimator's state to pickle: with the model on the CPU, as the reader may have no GPU."""
    classifier = state.get("classifier_")
    if classifier is None or classifier.model.device.type == "cpu":
        return state
    classifier = copy.copy(classifier)
    classifier.engine = copy.copy(classifier.engine)
    classifier.engine.model = torch.nn.Module.to(copy.deepcopy(classifier.model), device="cpu")
    return {**state, "classifier_": classifier}


def on_its_device(state: dict[str, Any]) -> dict[str, Any]:
    """A state that was pickled: with the model on the device that the estimator asks for, where there is one."""
    classifier = state.get("classifier_")
    if classifier is not None:
        try:
            torch.nn.Module.to(classifier.model, device=resolve_device(state["device"]))
            lay_out_weights(classifier.model)
        except ConfigError as error:
            warnings.warn(f"{error}; the estimator that was pickled there predicts on the CPU here", stacklevel=2)
    return state
