"""load(): a trained folder -> something that predicts."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from transformers import AutoModelForSequenceClassification

from tokensieve.backbones.loading import first_line, load_config, load_tokenizer, load_weights
from tokensieve.cascade.build import EncoderClassifier
from tokensieve.cascade.configuration import CascadeConfig
from tokensieve.data.documents import Document
from tokensieve.data.labels import LabelRule
from tokensieve.data.rows import Columns, Defect, Row
from tokensieve.data.texts import texts_in
from tokensieve.data.usable import to_document
from tokensieve.errors import CheckpointError, ConfigError, InputError
from tokensieve.kernels.linear import lay_out_weights
from tokensieve.model.configuration import TokensieveConfig
from tokensieve.model.layer import unfitted
from tokensieve.old_names import renamed, renamed_keyword
from tokensieve.runtime.budget import BATCH_TOKENS
from tokensieve.runtime.engine import Engine
from tokensieve.runtime.offload import offload_input_embeddings
from tokensieve.runtime.precision import dtype_name, resolve_dtype
from tokensieve.runtime.results import Result

if TYPE_CHECKING:
    import numpy as np

__getattr__ = renamed(__name__)
logger = logging.getLogger(__name__)

Text = str | tuple[str, str]
"""A text, or two that are classified together."""

_PREFETCH_FROM = 1024  # from so many texts on: before, there is one window, and a thread has nothing to do beside it


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
    def model(self) -> EncoderClassifier:
        """The model, or the cascade."""
        return self.engine.model

    @property
    def dtype(self) -> str:
        """Weights and activations: "float32", "bfloat16" or "float16"."""
        return dtype_name(self.model.dtype)

    def predict(self, texts: Iterable[Text]) -> list[str] | list[list[str]]:
        """The label of each text, in order; of a multi-label model a list of its labels, maybe none, in their order.

        Args:
            texts: strings, or tuples (text, second text) for a model of text pairs; or a table with a column of them,
                as `tokensieve.data.texts.texts_in` reads it. A large collection is read in a thread beside the model.
                An iterator may belong to the thread that made it, and is read in the caller's.

        Raises:
            InputError: a text that no file may hold either: empty, of another type, binary, or not valid Unicode.
            DataError: a table that does not tell which column holds the texts, or no collection of texts.
            ConfigError: a single string in place of a list.
        """
        results = self.results(texts)
        if self.model.config.is_multi_label:
            return [[self.labels[number] for number in result.labels] for result in results]
        return [self.labels[result.label] for result in results]

    def predict_proba(self, texts: Iterable[Text]) -> np.ndarray:
        """Probabilities [N, number of labels] float32, columns in the order of `labels`."""
        import numpy as np

        rows = [result.probabilities for result in self.results(texts)]
        return np.asarray(rows, dtype=np.float32).reshape(len(rows), len(self.labels))

    def results(self, texts: Iterable[Text], *, tokens: bool = False) -> list[Result]:
        """Everything the engine tells of each text; with `tokens` also the tokens that survived."""
        found = self._texts(texts)
        stream = self.engine.stream(_documents(found), tokens=tokens, prefetch=_is_large(found))
        return [result for _, result in stream]

    def encode(self, texts: Iterable[Text], *, normalize_embeddings: bool = False) -> np.ndarray:
        """The vector of each text, [N, hidden size] float32: what the last layer of the model's head reads.

        With pooling "pretrained" that is the output of the family's own pooler on the first token. With "mean" it is
        the mean of the final tokens. The vectors are those of a classifier: near each other where the labels are.

        Args:
            texts: as in `predict`.
            normalize_embeddings: scale each vector to length 1, so that a dot product is a cosine.

        Raises:
            InputError, DataError, ConfigError: as `predict`.
        """
        found = self._texts(texts)
        vectors = self.engine.embed(_documents(found), prefetch=_is_large(found))
        return (torch.nn.functional.normalize(vectors, dim=1) if normalize_embeddings else vectors).numpy()

    def _texts(self, texts: Iterable[Text]) -> Iterable[Text]:
        if isinstance(texts, str):
            raise ConfigError("give a list of texts, not one string: [text]")
        return texts_in(texts, self.model.config.text_pairs)


def _is_large(texts: Iterable[Text]) -> bool:
    return isinstance(texts, Collection) and len(texts) > _PREFETCH_FROM


def _documents(texts: Iterable[Text]) -> Iterator[Document]:
    """Texts or pairs of texts, checked by the rule that readers of files have, each under its place in the list."""
    width = 0
    for number, text in enumerate(texts):
        parts = text if isinstance(text, tuple) else (text,)
        if isinstance(text, tuple) and len(parts) != 2:
            raise InputError(f"document {number} is a tuple of {len(parts)}: give a string, or (text, second text)")
        columns = Columns("text", pair="pair" if len(parts) == 2 else None)
        found = to_document(Row(number, *parts[:1], pair=parts[-1]), "texts", columns, LabelRule())
        if isinstance(found, Defect):
            what = f"document {number} cannot be classified: {found.reason}: {found.detail}"
            raise InputError(f"{what}; give a string with text, or leave it out")
        width = width or len(parts)
        if len(parts) != width:
            here, before = ("one text", "pairs") if width == 2 else ("a pair of texts", "single texts")
            raise InputError(f"document {number} is {here}, those before it are {before}: give all in one form")
        yield found


@renamed_keyword("words_on_disk", "offload_embeddings")
def load(
    path: str | Path,
    *,
    device: str = "auto",
    dtype: str = "float32",
    max_length: int | None = None,
    batch_tokens: int | str = BATCH_TOKENS,
    offload_embeddings: bool = False,
) -> Classifier:
    """Read a folder written by `tokensieve train` or `save_pretrained` (with its tokenizer).

    Args:
        path: the folder, or a hub name.
        device: "auto" (CUDA where there is one), "cpu", "cuda", "cuda:1".
        dtype: "float32", "bfloat16", "float16", or "auto": bfloat16 where the device has instructions for it, else
            float32.
        max_length: documents are truncated to this many tokens; None: as in training.
        batch_tokens: most tokens of a batch, or "auto": the fastest of some on the first documents, if they are many.
        offload_embeddings: leave the word vectors in their file, and read those that a batch needs
            (`OffloadedEmbeddings`): the same answers in less memory. The model is for inference alone. Its file may be
            replaced once it is loaded, but not written to.

    Raises:
        CheckpointError: no tokensieve model there, it cannot be read, or its learned importance is not fitted.
        ConfigError: an unknown device or dtype, a length that does not fit, or `offload_embeddings` on a system that
            cannot read at an offset of a file.
    """
    config = load_config(path)
    if not isinstance(config, TokensieveConfig):
        raise CheckpointError(
            f"{path}: holds a {config.model_type!r} model, not a tokensieve classifier: train one with "
            "'tokensieve train --model ...', or build one with tokensieve.compress"
        )
    if config.problem_type == "regression" or len(config.label_names) < (1 if config.is_multi_label else 2):
        found = f"problem_type={config.problem_type!r} and id2label={config.id2label!r}"
        raise CheckpointError(
            f"{path}: config.json has {found}, so the model is no classifier: train one with 2 labels or more"
        )
    place = resolve_device(device)
    kind = resolve_dtype(dtype, place)
    model: Any = load_weights(AutoModelForSequenceClassification, path, strict=True, dtype=kind)
    if unfitted(model):
        raise CheckpointError(
            f"{path}: its learned importance is not fitted, so that it would keep the first tokens whatever they are: "
            "train it with 'tokensieve train', from a dense classifier"
        )
    if isinstance(config, CascadeConfig) and config.defer_below is None:
        logger.warning(
            "%s: a cascade (defer.share=%g) whose defer_below is not fitted: no document is deferred; train it",
            path,
            config.settings.deferred,
        )
    if offload_embeddings:
        offload_input_embeddings(model, path)
    torch.nn.Module.to(model, device=place)
    lay_out_weights(model)
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
