"""TokensieveConfig: one record for backbones of every family, with the reduction settings nested as `reduction`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from transformers import PreTrainedConfig

from tokensieve.checks import SHARE, check_value, check_values, shown
from tokensieve.config import ReductionConfig
from tokensieve.errors import ConfigError
from tokensieve.model.block import Blocks
from tokensieve.model.config_fields import FIELDS, MOST_POSITIONS, TEMPERATURE, check_base_fields, check_sizes
from tokensieve.model.config_parts import pop_old, read_part, refuse_misplaced
from tokensieve.model.grid import PatchGrid

_NAMED_ALONE: dict[str, Any] = {
    "head_activation": "tanh",
    "head_input_dropout": False,
    "head_bias": True,
    "head_norm": False,
    "head_pooling": "cls",
    "head_dense": True,
    "patches": None,
    "calibration_temperature": 1.0,
    "thresholds": None,
}
"""Defaults of the fields that are no parameters by themselves, as a signature of more than 25 is hard to read."""


class TokensieveConfig(PreTrainedConfig):
    """Sizes of the backbone under BERT's names, the peculiarities of its family, and the reduction settings.

    Args:
        family: the backbone's family, the name of one in `tokensieve.backbones.BACKBONES`.
        blocks: how its layers are made: a `Blocks`, or its record as `to_dict` writes it; None: as BERT's.
        num_hidden_layers: D, layers of the source checkpoint; a replaced layer counts.
        embedding_size: width of the embeddings; where it differs from hidden_size they are projected (ELECTRA).
        position_offset: position of a document's first token in the position table (RoBERTa: pad_token_id + 1).
        positions_skip_padding: ids equal to pad_token_id take no position, even where they are attended to (RoBERTa).
        type_vocab_size: segments; 0 for a family without (DistilBERT).
        head_activation: activation between the two linear layers of the family's head.
        head_input_dropout: whether the family's head has dropout on its input, too.
        head_bias: whether the first of its linear layers has a bias.
        head_norm: whether its activation is normed.
        head_pooling: what it reads: the first token ("cls"), the mean of the tokens that are left ("mean"), each of
            them, with the mean ahead of its last linear layer ("late"), the mean of those behind the special tokens at
            the beginning ("others"), or the first token and that mean, one vector behind the other ("cls+others"). The
            last two are without head_dense; "late" needs it.
        head_dense: whether a linear layer and its activation stand ahead of the last one.
        patches: of a family that reads images, how they become tokens: a `PatchGrid`, or its record; None: it reads
            texts.
        special_token_ids: ids of the tokens that begin and end a text. They tell where the second text of a pair begins
            if a caller gives bare ids, see `tokensieve.model.protected`. None: not known.
        reduction: a `ReductionConfig`, or its record as `to_dict` writes it. The flat record of version 0.1.0, which
            called the field `ptc`, is read too.
        tokenize_length: tokens at which documents are truncated before they reach the model; None: what fits.
        pair_separators: separators between the two texts of a pair, 1 or 2; None: 2 if the family is "roberta", else 1.
        text_pairs: whether it was trained on pairs of texts, and takes these alone; None: not known.
        calibration_temperature: the engine, not the model, divides logits by it before they become probabilities.
            (transformers takes a field named `temperature` for one of text generation, and does not save the config.)
        attention_backend: how attention is computed: "auto", or a key of `tokensieve.kernels.backends.BACKENDS`; read
            when the model is built.
        int8: names of the modules whose weights are int8 (`model.int8`); None: none are.
        thresholds: multi-label: the probability from which each label is given, in [0, 1]; None: 0.5 for all.

    Raises:
        ConfigError: a field, of ours or of transformers, has a value of another type or out of range, or two fields do
            not go together (`model.config_fields`); reduction settings stand outside `reduction`; or `reduction` has
            unknown keys, refused values or another format version.
    """

    model_type = "tokensieve"
    # Trainer would gather both over all batches; the trace is ragged, and nobody scores the vectors.
    keys_to_ignore_at_inference = ["pooled", "trace"]  # noqa: RUF012 - transformers reads a list

    def __init__(
        self,
        /,  # a field of that name in a config.json is refused like any other
        family: str = "bert",
        blocks: dict[str, Any] | Blocks | None = None,
        vocab_size: int = 30522,
        hidden_size: int = 768,
        num_hidden_layers: int = 12,
        num_attention_heads: int = 12,
        intermediate_size: int = 3072,
        hidden_act: str = "gelu",
        hidden_dropout_prob: float = 0.1,
        attention_probs_dropout_prob: float = 0.1,
        classifier_dropout: float | None = None,
        max_position_embeddings: int = 512,
        type_vocab_size: int = 2,
        embedding_size: int | None = None,
        position_offset: int = 0,
        positions_skip_padding: bool = False,
        pair_separators: int | None = None,
        initializer_range: float = 0.02,
        layer_norm_eps: float = 1e-12,
        special_token_ids: list[int] | None = None,
        reduction: dict[str, Any] | ReductionConfig | None = None,
        tokenize_length: int | None = None,
        text_pairs: bool | None = None,
        attention_backend: str = "auto",
        int8: list[str] | None = None,
        **kwargs: Any,
    ) -> None:
        refuse_misplaced(kwargs)
        old, named = pop_old(kwargs), {name: kwargs.pop(name, default) for name, default in _NAMED_ALONE.items()}
        check_base_fields(kwargs, type(self))
        super().__init__(**{"pad_token_id": 0, **kwargs})
        self.pad_token_id = kwargs.get("pad_token_id", 0)
        self.blocks: dict[str, Any] = read_part(
            Blocks, {} if blocks is None else blocks, "blocks", "backbone"
        ).to_dict()
        self.family, self.vocab_size, self.hidden_size = family, vocab_size, hidden_size
        self.num_hidden_layers, self.num_attention_heads = num_hidden_layers, num_attention_heads
        self.intermediate_size, self.hidden_act = intermediate_size, hidden_act
        self.hidden_dropout_prob, self.attention_probs_dropout_prob = hidden_dropout_prob, attention_probs_dropout_prob
        self.classifier_dropout = hidden_dropout_prob if classifier_dropout is None else classifier_dropout
        self.max_position_embeddings, self.type_vocab_size = max_position_embeddings, type_vocab_size
        self.embedding_size: int = hidden_size if embedding_size is None else embedding_size
        self.position_offset, self.positions_skip_padding = position_offset, positions_skip_padding
        self._take_head(named)
        self.pair_separators = pair_separators or (2 if family == "roberta" else 1)
        self.initializer_range, self.layer_norm_eps = initializer_range, layer_norm_eps
        self.special_token_ids, self.tokenize_length, self.text_pairs = special_token_ids, tokenize_length, text_pairs
        self.calibration_temperature: float = named["calibration_temperature"]
        self.thresholds: list[float] | None = named["thresholds"]
        self.attention_backend, self.int8 = attention_backend, int8
        self._check()
        self.reduction: dict[str, Any] = self._read_reduction(reduction, old).to_dict()

    def _take_head(self, named: Mapping[str, Any]) -> None:
        """Set the fields of the pretrained head, and those of patches."""
        given = named["patches"]
        self.patches: dict[str, Any] | None = (
            None if given is None else read_part(PatchGrid, given, "patches", "family").to_dict()
        )
        self.head_dense: bool = named["head_dense"]
        self.head_activation: str = named["head_activation"]
        self.head_input_dropout: bool = named["head_input_dropout"]
        self.head_bias: bool = named["head_bias"]
        self.head_norm: bool = named["head_norm"]
        self.head_pooling: str = named["head_pooling"]

    def _check(self) -> None:
        """Raise ConfigError unless all fields but the reduction settings are in range and go together."""
        check_values(vars(self), FIELDS)
        check_sizes(self)
        poolings = ("cls", "mean", "late") if self.head_dense else ("cls", "mean", "others", "cls+others")
        if self.head_pooling not in poolings:
            raise ConfigError(
                f"head_pooling={self.head_pooling!r} with head_dense={self.head_dense}: no family has such a head; "
                f"choose one of {', '.join(poolings)}"
            )
        self.check_calibration()

    def _read_reduction(self, reduction: Any, old: Any) -> ReductionConfig:
        """The reduction settings, from the field of that name or, in a record of version 0.1.0, from `ptc`.

        Raises:
            ConfigError: names the field; both are given, or the settings are refused or do not fit the depth.
        """
        if reduction is not None and old is not None:
            raise ConfigError("ptc and reduction are both given: ptc is the old name of reduction, so give one of them")
        place, value = ("reduction", reduction) if old is None else ("ptc", old)
        if value is not None and not isinstance(value, (ReductionConfig, Mapping)):
            raise ConfigError(f"{place}={shown(value)}: give a ReductionConfig or the record of one")
        try:
            settings = value if isinstance(value, ReductionConfig) else ReductionConfig.from_dict(value or {})
            settings.check_depth(self.num_hidden_layers)
            self._check_stages(settings)
        except ConfigError as error:
            raise ConfigError(f"{place}: {error}") from error
        return settings

    @classmethod
    def _check_stages(cls, settings: ReductionConfig) -> None:
        """Raise ConfigError if the settings ask for more stages than this kind of config describes."""
        if settings.defer is not None:
            raise ConfigError(
                f"defer.share={settings.deferred:g} asks for a cascade, and this is the config of one model: read the "
                "folder with tokensieve.load or AutoModelForSequenceClassification, build a cascade with "
                "tokensieve.compress, or leave defer out"
            )

    @property
    def block(self) -> Blocks:
        """How the layers are made."""
        return Blocks.from_dict(self.blocks)

    @property
    def key_value_heads(self) -> int:
        """Heads of keys and values: as many as of queries, or fewer that these share."""
        return self.block.key_value_heads or self.num_attention_heads

    @property
    def grid(self) -> PatchGrid | None:
        """How images become tokens; None: the family reads texts."""
        return None if self.patches is None else PatchGrid.from_dict(self.patches)

    @property
    def special_ahead(self) -> int:
        """Special tokens at the beginning of every document."""
        return 1 if self.grid is None else self.grid.special

    @property
    def settings(self) -> ReductionConfig:
        """The reduction settings, checked."""
        return ReductionConfig.from_dict(self.reduction)

    @property
    def label_names(self) -> tuple[str, ...]:
        """Names of the classes in the order of their ids."""
        names: Any = self.id2label or {}
        return tuple(str(names[number]) for number in sorted(names))

    @property
    def is_multi_label(self) -> bool:
        """Whether a document may have several labels, or none."""
        return self.problem_type == "multi_label_classification"

    def check_calibration(self) -> None:
        """Raise ConfigError unless `calibration_temperature` and `thresholds` are in range and fit the labels."""
        check_value("calibration_temperature", self.calibration_temperature, TEMPERATURE)
        thresholds: object = self.thresholds  # of whatever kind config.json has it
        if thresholds is None:
            return
        if not self.is_multi_label:
            raise ConfigError(
                f"thresholds={shown(thresholds)} with problem_type={self.problem_type!r}: only multi-label models have "
                "them; give None, or problem_type='multi_label_classification'"
            )
        values = thresholds if isinstance(thresholds, (list, tuple)) else ()
        if len(values) != self.num_labels or not all(map(SHARE.fits, values)):
            raise ConfigError(
                f"thresholds={shown(thresholds)}: give a number in [0, 1] for each of the {self.num_labels} labels "
                "(id2label, num_labels), or None"
            )

    @property
    def may_be_pairs(self) -> bool:
        """Whether a document may hold two texts that no segment ids tell apart."""
        return self.type_vocab_size < 2 if self.text_pairs is None else self.text_pairs

    @property
    def longest_document(self) -> int:
        """Text tokens that the position table takes, special tokens included; that of images is interpolated."""
        return MOST_POSITIONS if self.patches is not None else int(self.max_position_embeddings - self.position_offset)

    def truncation_length(self, asked: int | None = None) -> int:
        """Tokens that documents are truncated to: `asked`, else the checkpoint's own length, else what fits.

        Raises:
            ConfigError: it is more than the model takes.
        """
        if asked is None:
            return min(self.tokenize_length or self.longest_document, self.longest_document)
        if not 1 <= asked <= self.longest_document:
            raise ConfigError(f"max_length={asked}: this model takes 1 to {self.longest_document} tokens")
        return asked
