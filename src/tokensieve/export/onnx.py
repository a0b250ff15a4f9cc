"""A model as a file of ONNX, for any batch and length."""

from __future__ import annotations

import contextlib
import copy
import importlib.util
import logging
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import torch
from torch import Tensor

from tokensieve.errors import ConfigError, MissingExtraError, first_line
from tokensieve.export.padded import PaddedClassifier
from tokensieve.export.samples import sample_batch
from tokensieve.kernels.linear import make_plain
from tokensieve.model.classifier import TokensieveForSequenceClassification
from tokensieve.reduce.combine.combining_module import CombiningModule
from tokensieve.reduce.score.learned import Learned
from tokensieve.reduce.score.received import Received
from tokensieve.reduce.select.fuzzy import Fuzzy
from tokensieve.reduce.select.top_share import TopShare
from tokensieve.system import refuse

_PACKAGES = ("onnx", "onnxscript", "onnxruntime")
_MOST_BYTES = 1_900_000_000  # one file of ONNX holds 2 GB; larger weights go into a file beside it
_TRACED_LENGTHS = (9, 6, 13, 5, 7)  # unlike the model's sizes, so that none of them is taken for a constant


def check_packages() -> None:
    """Raise MissingExtraError unless the packages of ONNX are installed."""
    for package in _PACKAGES:
        if importlib.util.find_spec(package) is None:
            raise MissingExtraError("export to ONNX", package, "onnx")


def check_settings(model: TokensieveForSequenceClassification) -> None:
    """Raise ConfigError, which names family or setting, unless the padded forward pass computes them."""
    if model.config.blocks:
        raise ConfigError(
            f"the family {model.config.family} cannot be exported to ONNX yet, only those with BERT's layers: export "
            "a dense model to transformers (--format transformers), or train from a BERT"
        )
    prune, combine = model.settings.prune, model.settings.combine
    if combine is not None and not isinstance(combine, CombiningModule):
        raise ConfigError(f"combine={combine.name} cannot be exported to ONNX: train with combine=combining-module")
    if prune is None or all(step.prune is None for step in model.encoder.steps):
        return
    if prune.merge is not None:
        raise ConfigError(f"prune.merge={prune.merge.name} cannot be exported to ONNX: train with prune.merge=none")
    if not isinstance(prune.score, (Received, Learned)):
        raise ConfigError(
            f"prune.score={prune.score.name} cannot be exported to ONNX: train with prune.score=learned or received"
        )
    counted = isinstance(prune.select, TopShare) and getattr(prune.select, "scope", "all") == "all"
    if not counted:
        scope = ", prune.select.scope=candidates" if isinstance(prune.select, Fuzzy) else ""
        raise ConfigError(
            f"prune.select={prune.select.name}{scope} cannot be exported to ONNX: a graph needs from the length how "
            "many tokens stay, and has that of the top share alone; train with prune.select=top-share"
        )


def to_onnx(model: TokensieveForSequenceClassification, file: Path, segments: bool = True) -> None:
    """Write the model's logits as ONNX, for any number of documents and any length up to the position table.

    Inputs are `input_ids`, `attention_mask` and, with segments, `token_type_ids`, all int64 [batch, length]; the output
    is `logits` float32 [batch, labels].

    Args:
        model: in float32 on the CPU, in eval mode; it is left as it is.
        file: to write.
        segments: whether the tokenizer gives them. Without, and in families that have none, they are no input.

    Raises:
        MissingExtraError: the packages of ONNX are not installed.
        ConfigError: the settings cannot be exported, or torch's exporter fails.
        OperatingSystemError: the disk is full, or the system refuses something else.
    """
    check_packages()
    check_settings(model)
    plain = copy.deepcopy(model)
    make_plain(plain)
    config = plain.config
    longest = config.longest_document
    inputs = sample_batch(config, [min(length, longest) for length in _TRACED_LENGTHS], segments)
    free = {0: torch.export.Dim("batch"), 1: torch.export.Dim("length", max=longest)}
    size = sum(tensor.numel() * tensor.element_size() for tensor in plain.state_dict().values())
    with quiet_exporter(), torch.no_grad():
        try:
            torch.onnx.export(
                PaddedClassifier(plain).eval(),
                (),
                file,
                kwargs=inputs,
                input_names=list(inputs),
                output_names=["logits"],
                dynamic_shapes=dict.fromkeys(inputs, free),
                dynamo=True,
                external_data=size > _MOST_BYTES,
                verbose=False,
            )
        except Exception as error:
            refuse(error, file)
            raise ConfigError(
                f"torch {torch.__version__} cannot export this model to ONNX ({first_line(error)}): install torch 2.11 "
                "or newer, or export to transformers (--format transformers)"
            ) from error


def onnx_logits(file: Path) -> Callable[[Mapping[str, Tensor]], Tensor]:
    """A function from the graph's inputs to its logits, by ONNX Runtime on the CPU."""
    import onnxruntime

    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])

    def logits(inputs: Mapping[str, Tensor]) -> Tensor:
        given = {name: tensor.numpy() for name, tensor in inputs.items()}
        return torch.from_numpy(session.run(["logits"], given)[0])

    return logits


@contextlib.contextmanager
def quiet_exporter() -> Iterator[None]:
    """Keep what exporters say of their progress off the terminal, and off stdout above all."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(sys.stderr):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
