"""Our models: any settings of the token reduction, made of the backbone by `compress`."""

from __future__ import annotations

import copy
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from transformers import AutoModelForSequenceClassification

from tokensieve.backbones.loading import load_weights
from tokensieve.cascade.build import EncoderClassifier, compress
from tokensieve.checks import check_boolean, check_integer
from tokensieve.config import ReductionConfig
from tokensieve.config.assigned import with_assignments
from tokensieve.config.old import is_flat
from tokensieve.config.ptc import changed
from tokensieve.data import read_documents
from tokensieve.errors import ConfigError
from tokensieve.kernels.backends import resolve_backend
from tokensieve.kernels.linear import linear_backend
from tokensieve.model.classifier import TokensieveForSequenceClassification
from tokensieve.model.layer import unfitted
from tokensieve.runtime.load import load
from tokensieve.runtime.offload import offload_input_embeddings
from tokensieve.runtime.part import part_file
from tokensieve.runtime.precision import resolve_dtype
from tokensieve.runtime.predict import is_prediction, write_predictions
from tokensieve.settings_paths import Assignment
from tokensieve_bench.backbone import Backbone
from tokensieve_bench.contenders.contender import (
    CPU,
    RUNNING,
    Contender,
    ContenderConfig,
    FileClassifier,
    Setting,
    check_dtype,
    check_order,
)
from tokensieve_bench.contenders.int8 import INT8, quantized
from tokensieve_bench.contenders.our_model import TokensieveContender
from tokensieve_bench.work import Order


def with_settings(start: ReductionConfig, settings: Mapping[str, Any], depth: int) -> ReductionConfig:
    """Settings for a model of `depth` layers, with values at dotted paths.

    Configs of version 0.1.0 have flat fields in place of paths.

    Raises:
        ConfigError: an unknown path, or values out of range.
    """
    if is_flat(settings):
        return changed(start, settings, depth)
    return with_assignments(start, [Assignment(tuple(path.split(".")), value) for path, value in settings.items()])


@dataclass(frozen=True)
class Tokensieve(ContenderConfig):
    """A model of ours.

    Attributes:
        preset: a named setting; None: the defaults of `ReductionConfig`.
        settings: values by dotted path of `ReductionConfig`'s record, in place of the preset's; the flat fields of
            version 0.1.0 are read, too.
        layers: the first so many layers of the backbone alone, as of a smaller model; None: all.
        order: of documents in batches.
        dtype: of weights and activations; "int8" with ranges of the benchmark's own documents.
        attention: backend of attention, as `TokensieveConfig.attention_backend`.
        batch_tokens: the engine's budget or "auto", for the measure "end_to_end"; None: the engine's own.
        offload_embeddings: as of `load`.
    """

    preset: str | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    layers: int | None = None
    order: Order = "sorted"
    dtype: str = "float32"
    attention: str = "auto"
    batch_tokens: int | str | None = None
    offload_embeddings: bool = False

    measures: ClassVar[frozenset[str]] = RUNNING | {"training", "end_to_end"}
    modules: ClassVar[tuple[str, ...]] = ("transformers.models.bert.modeling_bert",)

    def __post_init__(self) -> None:
        check_order(self)
        check_dtype(self, (INT8,))
        if not isinstance(self.settings, Mapping):
            raise ConfigError(f"settings={self.settings!r}: give an object with dotted paths of ReductionConfig")
        if self.layers is not None:
            check_integer(self, "layers", 1)
        if not isinstance(self.attention, str):
            raise ConfigError(f"attention={self.attention!r}: give the name of a backend")
        resolve_backend(self.attention)
        check_boolean(self, "offload_embeddings")
        if self.batch_tokens not in (None, "auto") and (type(self.batch_tokens) is not int or self.batch_tokens < 1):
            raise ConfigError(f"batch_tokens={self.batch_tokens!r}: give 1 or more, or 'auto'")

    def check(self, backbone: Backbone, measure: str) -> None:
        """Refuse settings that do not fit the backbone's depth, and from file to file those that need a trained head.

        Raises:
            ConfigError: such settings; "end_to_end" with a cascade, as no confidence is fitted for it;
                "training" with offloaded embeddings, which do not learn.
        """
        if self.reduction(backbone).defer is not None and measure == "end_to_end":
            raise ConfigError(
                "a cascade (defer) with the measure 'end_to_end': its head is not trained; use 'throughput'"
            )
        if self.offload_embeddings and measure == "training":
            raise ConfigError("offload_embeddings with the measure 'training': these do not learn; leave it out")
        if self.dtype == INT8 and (measure in ("training", "end_to_end") or self.offload_embeddings):
            raise ConfigError(
                f"dtype='int8' with the measure {measure!r}: use 'throughput', 'latency' or 'memory', without "
                "offload_embeddings"
            )

    def reduction(self, backbone: Backbone) -> ReductionConfig:
        """The settings for a backbone.

        Raises:
            ConfigError: an unknown preset or setting, values out of range, or more layers than there are.
        """
        layers = backbone.ours.num_hidden_layers
        if self.layers is not None and self.layers > layers:
            raise ConfigError(f"layers={self.layers}: the backbone has {layers}")
        layers = self.layers or layers
        start = ReductionConfig() if self.preset is None else ReductionConfig.preset(self.preset)
        settings = with_settings(start, self.settings, layers)
        settings.check_depth(layers)
        return settings

    def prepare(self, setting: Setting) -> None:
        """Quantise once for all processes: in one whose memory is measured, what that leaves behind would count."""
        if self.dtype == INT8 and not (folder := self._int8_folder(setting)).is_dir():
            quantized(self._model(setting), setting).save_pretrained(folder)

    def load(self, setting: Setting) -> Contender:
        """The model; in company it shares the backbone's tensors, until `calls` lays some out; alone it has its own."""
        model = self._read_int8(setting) if self.dtype == INT8 else self._model(setting)
        dtype = torch.float32 if self.dtype == INT8 else resolve_dtype(self.dtype, CPU)
        if self.offload_embeddings:
            offload_input_embeddings(model, _saved(model, setting))
        if setting.alone:
            setting.backbone.forget()
        elif dtype == torch.float32:
            share_tensors(model, setting.backbone.model)
        nn.Module.to(model, dtype=dtype)
        return TokensieveContender(model, setting.backbone.ours, self.order, self.dtype, self._facts(model))

    def load_for_files(self, setting: Setting) -> tuple[FileClassifier, dict[str, Any]]:
        """What `tokensieve predict` does once the model is loaded."""
        model = self._model(setting)
        folder = _saved(model, setting)
        setting.backbone.tokenizer.save_pretrained(folder)
        options: dict[str, Any] = {"max_length": setting.max_length, "offload_embeddings": self.offload_embeddings}
        if self.batch_tokens is not None:
            options["batch_tokens"] = self.batch_tokens
        classifier = load(folder, device="cpu", dtype=self.dtype, **options)
        facts = {"dtype": self.dtype, **self._facts(model)}

        def classify(source: Path, target: Path) -> None:
            with part_file(target, is_prediction) as out:
                write_predictions(classifier, read_documents(source, label_column=None), out, "jsonl")
            facts["batch_tokens"] = classifier.engine.budget  # of "auto" it is known from now on

        return classify, facts

    def _read_int8(self, setting: Setting) -> EncoderClassifier:
        self.prepare(setting)
        kind: Any = AutoModelForSequenceClassification
        model: Any = load_weights(kind, self._int8_folder(setting), strict=True, dtype=torch.float32)
        return model.eval()  # type: ignore[no-any-return]

    def _int8_folder(self, setting: Setting) -> Path:
        return setting.folder / f"int8-{sha256(repr(self).encode()).hexdigest()[:12]}"

    def _model(self, setting: Setting) -> EncoderClassifier:
        torch.manual_seed(setting.backbone.seed)  # a head of its own, combination tokens and module start at random
        tokenizer = setting.backbone.tokenizer if setting.texts else None
        # in eval mode, as the backbone is
        source: Any = setting.backbone.model
        if self.layers is not None:
            source = first_layers(compress(source, ReductionConfig(prune=None), tokenizer=tokenizer), self.layers)
        model: EncoderClassifier = compress(source, self.reduction(setting.backbone), tokenizer=tokenizer)
        for layer in unfitted(model):  # which tokens stay does not matter here, only how many
            assert layer.importance is not None
            layer.importance.get_buffer("weight").normal_()
        if self.attention == "auto":
            return model
        model.config.attention_backend = self.attention
        rebuilt: EncoderClassifier = compress(model, model.settings)  # with this backend
        return rebuilt

    def _facts(self, model: EncoderClassifier) -> dict[str, Any]:
        return {
            "attention": model.attention_backend,
            "linear": linear_backend(),
            "settings": model.settings.to_dict(),
            "offload_embeddings": self.offload_embeddings,
        }


def first_layers(model: TokensieveForSequenceClassification, layers: int) -> TokensieveForSequenceClassification:
    """The dense model without the layers that come later."""
    config = copy.deepcopy(model.config)
    config.num_hidden_layers = layers
    shallow = TokensieveForSequenceClassification(config)
    given = model.state_dict()
    shallow.load_state_dict({name: given[name] for name in shallow.state_dict()})
    shallow.train(False)
    return shallow


def _saved(model: EncoderClassifier, setting: Setting) -> str:
    """The folder of its own that the model is saved in."""
    folder = tempfile.mkdtemp(dir=setting.folder)
    model.save_pretrained(folder)
    return folder


def share_tensors(model: nn.Module, source: nn.Module) -> None:
    """Let parameters of `model` that equal one of `source` be the very same memory, so that many models fit into it."""
    known: dict[tuple[Any, ...], Tensor] = {_mark(tensor): tensor for tensor in source.parameters()}
    for parameter in model.parameters():
        same = known.get(_mark(parameter))
        if same is not None and torch.equal(same, parameter):
            parameter.data = same.data


def _mark(tensor: Tensor) -> tuple[Any, ...]:
    """What equal tensors have in common, and few others."""
    return tensor.shape, tensor.dtype, *tensor.detach().flatten()[:8].tolist()
