"""CascadeConfig: the config of two encoder stages that share a backbone."""

from __future__ import annotations

from typing import Any

from tokensieve.cascade import old
from tokensieve.checks import BOOLEAN, SHARE, check_value, list_of, whole
from tokensieve.config import Deferral, ReductionConfig
from tokensieve.errors import ConfigError
from tokensieve.model.configuration import TokensieveConfig

_OWN_FIELDS = ("defer_below", "own_norms", "int8_stages")

_STAGES = list_of(whole(0, 1), "stages, 0 or 1")


class CascadeConfig(TokensieveConfig):
    """The config of a cascade: its backbone and labels, the settings of both stages, and when the first defers.

    `reduction` holds the settings of the first stage, and under `defer` the share of the documents that it defers and
    the shares of tokens that the second stage keeps.

    Args:
        defer_below: confidence below which the first stage defers a document, in [0, 1]; None: it is not fitted yet,
            and no document is deferred.
        own_norms: whether the second stage has norms and biases of its own. Its head's last layer always is its own.
        int8_stages: numbers of the stages, from 0, whose modules named by `int8` have int8 weights; None: all stages.
        fields: as `TokensieveConfig` takes them.

    Raises:
        ConfigError: as `TokensieveConfig`; or settings that defer nothing.
    """

    model_type = "tokensieve_cascade"

    def __init__(
        self,
        /,
        defer_below: float | None = None,
        own_norms: bool = False,
        int8_stages: list[int] | None = None,
        **fields: Any,
    ) -> None:
        if "ptc" not in fields:
            fields.setdefault("reduction", ReductionConfig(defer=Deferral()))
        super().__init__(**fields)
        check_value("defer_below", defer_below, SHARE.or_none())
        check_value("own_norms", own_norms, BOOLEAN)
        check_value("int8_stages", int8_stages, _STAGES.or_none())
        self.defer_below, self.own_norms, self.int8_stages = defer_below, own_norms, int8_stages
        if self.settings.defer is None:
            raise ConfigError("reduction: defer=None in the config of a cascade: give the share that is deferred")

    @classmethod
    def _check_stages(cls, settings: ReductionConfig) -> None:
        """Accept settings of any number of stages."""

    @classmethod
    def from_dict(cls, config_dict: dict[str, Any], **options: Any) -> Any:
        """Build the config from a record, as in transformers; the record of a cascade of 0.1.0 is read too."""
        record = old.converted(config_dict) if old.is_cascade(config_dict) else config_dict
        return super().from_dict(record, **options)

    def stage(self, number: int) -> TokensieveConfig:
        """The config of a stage (`number` from 0), as that of a model alone."""
        record = {name: value for name, value in self.to_dict().items() if name not in _OWN_FIELDS}
        stages = self.settings.stages(self.num_hidden_layers)
        if self.int8_stages is not None and number not in self.int8_stages:
            record["int8"] = None
        record |= {"reduction": stages[number].to_dict(), "model_type": TokensieveConfig.model_type}
        config = TokensieveConfig.from_dict(record)
        config._attn_implementation = self._attn_implementation
        return config


class TokensieveConfigReader(TokensieveConfig):
    """The class by which AutoConfig reads `model_type: tokensieve`, which in 0.1.0 was a cascade's type, too."""

    @classmethod
    def from_dict(cls, config_dict: dict[str, Any], **options: Any) -> Any:
        """Build a model's config or, from the record of a cascade of 0.1.0, a cascade's."""
        kind = CascadeConfig if old.is_cascade(config_dict) else TokensieveConfig
        return kind.from_dict(config_dict, **options)
