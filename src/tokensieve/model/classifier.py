"""TokensieveForSequenceClassification: input ids -> logits, in one pass: embeddings, the loop over layers, head.

Embeddings and the loop over layers are the body (`body.py`). Tokens leave in `layer.py`. `BodyWithHead` is what
classifiers of texts and of images (`image_classifier.py`) share.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from tokensieve.errors import ConfigError
from tokensieve.model.answers import Answers
from tokensieve.model.batch import Batch
from tokensieve.model.body import Body
from tokensieve.model.configuration import TokensieveConfig
from tokensieve.model.head import head_of
from tokensieve.model.images import Images
from tokensieve.model.int8 import put_int8
from tokensieve.model.plan import Plan, kept_shares, make_plan
from tokensieve.model.pretrained import ClassifierModel
from tokensieve.model.steps import encoder_steps
from tokensieve.reduce.schedule import Constant, Listed


class BodyWithHead(Body):
    """A body with a head. A subclass has `forward`, which checks what it is given."""

    def __init__(self, config: TokensieveConfig) -> None:
        super().__init__(config)
        self.num_labels = config.num_labels
        self.head = head_of(config)
        put_int8(self, config.int8 or ())
        self.post_init()  # type: ignore[no-untyped-call]

    def read(self, batch: Batch | Images) -> Answers:
        """Answer a checked batch in one pass."""
        tokens, trace = self.encoder(self.embeddings(batch))
        logits, pooled = self.head(tokens)
        return Answers(logits, pooled, trace, tokens.penalty)

    def plan(self, length: int, *, special: int | None = None, samples: Mapping[str, Any] | None = None) -> Plan:
        """Plan a document of `length` tokens: the tokens kept at each step, and the FLOPs.

        Args:
            length: text tokens, special tokens included.
            special: how many of them are protected special tokens; None: 2.
            samples: a tokenized batch (input_ids, attention_mask). If token counts depend on the scores, the plan has
                mean shares that are measured on it in place of upper bounds.

        Raises:
            ConfigError: the length is outside 1..the position table.
        """
        shares = None if samples is None else self._measure_shares(samples)
        return make_plan(self.config, length, special=2 if special is None else special, shares=shares)

    def set_keep(self, keep: float) -> None:
        """Keep another share of the tokens, with the same weights; settings and plan tell it from then on.

        Args:
            keep: in (0, 1], the share of its tokens that a document keeps in each layer that was built to prune.

        Raises:
            ConfigError: the share is out of range, the model was built to prune in no layer, or its selection does not
                follow the share.
        """
        settings, depth = self.settings, self.config.num_hidden_layers
        if settings.prune is None or not any(self.encoder.may_prune):
            raise ConfigError(f"keep={keep!r}: the model prunes in no layer: train one that does, or leave keep out")
        if not settings.prune.select.follows_share:
            raise ConfigError(
                f"keep={keep!r} with prune.select={settings.prune.select.name}: how many tokens stay depends on their "
                "scores and not on a share: leave keep out"
            )
        share = Constant(keep).keep  # checks it
        shares = Listed(tuple(share if may else 1.0 for may in self.encoder.may_prune))
        changed = replace(settings, prune=replace(settings.prune, schedule=shares))
        self.encoder.take_shares(encoder_steps(changed, depth, self.config.block.local_layers))
        self.config.reduction = changed.to_dict()

    @torch.no_grad()
    def _measure_shares(self, samples: Mapping[str, Any]) -> list[float]:
        training, batch = self.training, {name: _moved(values, self.device) for name, values in samples.items()}
        try:
            self.train(False)
            trace = self(**batch).trace
        finally:
            self.train(training)
        return kept_shares(trace.kept, self.lengths_of(batch))

    def lengths_of(self, samples: Mapping[str, Any]) -> list[int]:
        """Tokens of each document of a batch that forward takes."""
        raise NotImplementedError


def _moved(values: Any, device: torch.device) -> Any:
    return values.to(device) if isinstance(values, Tensor) else [own.to(device) for own in values]


class TokensieveForSequenceClassification(BodyWithHead, ClassifierModel):
    """A document classifier with token reduction, on packed tokens.

    Build one with `tokensieve.compress`, or load one with `from_pretrained`.

    Raises:
        ConfigError: the config is of a family that reads images.
    """

    def __init__(self, config: TokensieveConfig) -> None:
        if config.grid is not None:
            raise ConfigError(
                f"family={config.family!r} reads images: load it with AutoModelForImageClassification, or with "
                "AutoModel for vectors"
            )
        super().__init__(config)

    def lengths_of(self, samples: Mapping[str, Any]) -> list[int]:
        """Tokens of each document, padding left out."""
        mask = samples.get("attention_mask", torch.ones_like(samples["input_ids"]))
        return mask.sum(1).tolist()  # type: ignore[no-any-return]
