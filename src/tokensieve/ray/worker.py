"""A worker: a Ray actor that holds a classifier and writes parts."""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass
from typing import Any

from tokensieve.data.documents import Document
from tokensieve.errors import CheckpointError, TokensieveError
from tokensieve.runtime.classifier import Classifier
from tokensieve.runtime.fingerprint import hash_of_model
from tokensieve.runtime.load import load
from tokensieve.runtime.parts_folder import PartsFolder
from tokensieve.runtime.threads import set_threads


@dataclass(frozen=True, slots=True)
class Setup:
    """What every worker of a run needs.

    Attributes:
        model: folder or hub name, the same on all machines.
        options: of `load`.
        model_hash: `hash_of_model` of what the run was begun with.
        folder: takes the parts; all machines see it.
        threads: of torch and the tokenizer.
    """

    model: str
    options: dict[str, Any]
    model_hash: str
    folder: PartsFolder
    threads: int


@dataclass(frozen=True, slots=True)
class Done:
    """What a worker tells of a part.

    Attributes:
        part: its number.
        documents: of the part.
        truncated: how many of them were truncated.
        host: the worker's machine.
        process: its process there.
        problem: why the part could not be made; None: it is complete.
    """

    part: int
    documents: int
    truncated: int
    host: str
    process: int
    problem: str | None = None


class Worker:
    """Writes parts, one after the other.

    Args:
        setup: of the run.
    """

    def __init__(self, setup: Setup) -> None:
        set_threads(setup.threads)
        self._setup = setup
        self._loaded: Classifier | None = None

    def write(self, part: int, documents: list[Document]) -> Done:
        """Write a part, unless it is complete.

        A problem that has a message for the user is told and not raised: so no traceback of another machine is shown.
        """
        truncated, problem = 0, None
        try:
            classifier = self._classifier()
            before = classifier.engine.truncated
            self._setup.folder.write(part, classifier, documents)
            truncated = classifier.engine.truncated - before
        except TokensieveError as error:
            problem = str(error)
        return Done(part, len(documents), truncated, socket.gethostname(), os.getpid(), problem)

    def _classifier(self) -> Classifier:
        """The classifier, loaded for the first part.

        Raises:
            CheckpointError: it is another one than the run was begun with.
        """
        if self._loaded is None:
            found = load(self._setup.model, **self._setup.options)
            if hash_of_model(found) != self._setup.model_hash:
                raise CheckpointError(
                    f"{self._setup.model} on {socket.gethostname()} is another model than on the machine that started "
                    "the run: put the same folder on all machines"
                )
            self._loaded = found
        return self._loaded
