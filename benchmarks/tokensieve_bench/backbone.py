"""The backbone: a classifier of transformers whose weights all contenders share where they can."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import torch
from transformers import AutoModelForSequenceClassification, PreTrainedModel
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

from tokensieve.backbones.default_model import default_model_dir
from tokensieve.backbones.loading import load_config, load_tokenizer
from tokensieve.backbones.registry import BACKBONES
from tokensieve.backbones.source import load_source_model, source_config
from tokensieve.errors import ConfigError
from tokensieve.model.configuration import TokensieveConfig

DEFAULT = "default"
_TINY = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}
SHAPES: dict[str, tuple[str, dict[str, Any]]] = {
    "bert-base": ("bert", {}),  # what BertConfig says
    "tiny": ("bert", _TINY),
    "mpnet-base": ("mpnet", {"max_position_embeddings": 514}),
    "mpnet-tiny": ("mpnet", _TINY | {"max_position_embeddings": 514}),
    "modernbert-base": ("modernbert", {}),
    "modernbert-small": (  # Ettin's of 32 million parameters
        "modernbert",
        {"hidden_size": 384, "num_hidden_layers": 10, "num_attention_heads": 6, "intermediate_size": 576},
    ),
    "modernbert-tiny": ("modernbert", _TINY),
}
"""Families and sizes of backbones with random weights; of texts they read the ids of the default model's tokenizer."""

_BERTS = (101, 102)  # [CLS] and [SEP] in the vocabulary of BERT, whose config does not tell them

# Where the families of transformers keep them.
_DROPOUT = ("hidden_dropout_prob", "dropout", "embedding_dropout", "mlp_dropout")
_ATTENTION_DROPOUT = ("attention_probs_dropout_prob", "attention_dropout")


def shape_config(name: str) -> Any:
    """The config of transformers for one of `SHAPES`."""
    family, sizes = SHAPES[name]
    return CONFIG_MAPPING[family](**sizes)


class Backbone:
    """A classifier by name; what is random in it (a head, or everything) follows from the seed.

    Args:
        name: "default", one of `SHAPES`, or the folder of a checkpoint of transformers.
        seed: of random weights.
        num_labels: classes.
        dropout: outside attention; None: the checkpoint's.
        attention_dropout: on the attention weights; None: the checkpoint's.

    Attributes:
        config: of transformers.
        attention: how transformers computes it, "sdpa" or "eager".

    Raises:
        ConfigError: a folder with a model of ours, which transformers' own code cannot run.
        CheckpointError: a folder that cannot be read, or of a family that is not supported.
        MissingExtraError: the default model is not installed.
    """

    def __init__(
        self,
        name: str,
        *,
        seed: int,
        num_labels: int,
        dropout: float | None = None,
        attention_dropout: float | None = None,
    ) -> None:
        self.name, self.seed = name, seed
        self._folder = None if name in SHAPES else str(default_model_dir("a benchmark") if name == DEFAULT else name)
        self.config: Any = shape_config(name) if self._folder is None else load_config(self._folder)
        if isinstance(self.config, TokensieveConfig):
            raise ConfigError(f"backbone {name!r} is a tokensieve classifier: give the checkpoint that it came from")
        self.config.num_labels = num_labels
        for names, value in ((_DROPOUT, dropout), (_ATTENTION_DROPOUT, attention_dropout)):
            for own in names:
                if value is not None and hasattr(self.config, own):
                    setattr(self.config, own, value)
        self.ours: TokensieveConfig = source_config(self.config, name)
        self.ours.num_labels = num_labels
        self.attention = BACKBONES[self.config.model_type].attention

    @cached_property
    def model(self) -> PreTrainedModel:
        """The classifier, float32, fused attention (SDPA) where transformers has it for the family, in eval mode."""
        torch.manual_seed(self.seed)
        model: PreTrainedModel = AutoModelForSequenceClassification.from_config(
            self.config, attn_implementation=self.attention
        )
        if self._folder is not None:
            self._fill(model, load_source_model(self._folder))
        model.eval()
        return model

    @cached_property
    def tokenizer(self) -> Any:
        """The checkpoint's; of a shape the default model's."""
        return load_tokenizer(self._folder or default_model_dir("a benchmark on texts"), self.ours)

    @cached_property
    def special_ids(self) -> tuple[int, int]:
        """First and last id of a document; of a shape those of the family's own vocabulary."""
        if self._folder is None:
            return self.config.bos_token_id or _BERTS[0], self.config.eos_token_id or _BERTS[1]
        return self.tokenizer.cls_token_id, self.tokenizer.sep_token_id

    def forget(self) -> None:
        """Let go of the weights."""
        self.__dict__.pop("model", None)

    @staticmethod
    def _fill(model: PreTrainedModel, source: PreTrainedModel) -> None:
        """Copy what the checkpoint has; a head for other labels stays random."""
        prefix = "" if type(source) is type(model) else f"{model.base_model_prefix}."
        wanted = model.state_dict()
        given = {f"{prefix}{name}": tensor for name, tensor in source.state_dict().items()}
        model.load_state_dict(
            {name: tensor for name, tensor in given.items() if name in wanted and wanted[name].shape == tensor.shape},
            strict=False,
        )
