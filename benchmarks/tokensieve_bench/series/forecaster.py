"""A patch transformer: patches of a series -> vectors -> our body with token reduction -> a linear forecast.

ModernBERT-shaped: norms first, rotary positions, a gated feed-forward, no biases. Source of the patches and the flat
head: Nie et al., "A Time Series is Worth 64 Words" (ICLR 2023).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from tokensieve import ReductionConfig, TokensieveConfig, TokensieveModel, unmerge
from tokensieve.config.assigned import with_assignments
from tokensieve.errors import ConfigError
from tokensieve.model.plan import kept_shares, make_plan
from tokensieve.model.trace import Trace
from tokensieve.settings_paths import Assignment


def reduction_of(record: Mapping[str, Any]) -> ReductionConfig:
    """The settings of a config's entry: a preset, and values at dotted paths. No patch is protected."""
    settings = {**record.get("settings", {}), "protect_special": False, "min_length": 0}
    assigned = [Assignment(tuple(path.split(".")), value) for path, value in settings.items()]
    return with_assignments(ReductionConfig.preset(record["preset"]), assigned)


def body_config(reduction: ReductionConfig, shape: Mapping[str, Any], tokens: int) -> TokensieveConfig:
    """The body's config: `shape` has hidden_size, num_hidden_layers, num_attention_heads, intermediate_size, dropout.

    It takes ready-made vectors (`inputs_embeds`), and no word.
    """
    sizes = {name: value for name, value in shape.items() if name != "dropout"}
    blocks = {
        "norm_first": True,
        "norm_bias": False,
        "attention_bias": False,
        "feed_forward_bias": False,
        "gated": True,
        "position_table": False,
        "rotary_base": 10000.0,
    }
    return TokensieveConfig(
        **sizes,
        vocab_size=1,
        type_vocab_size=0,
        max_position_embeddings=tokens,
        hidden_dropout_prob=shape["dropout"],
        attention_probs_dropout_prob=0.0,
        layer_norm_eps=1e-5,
        blocks=blocks,
        reduction=reduction,
    )


class Forecaster(nn.Module):
    """Tells the next values of a series.

    Args:
        reduction: of the tokens; parameters do not depend on it.
        shape: as `body_config` takes it.
        context: values that are read.
        patch: values of a token.
        horizon: values that are told.
        unmerges: the head reads the vectors of all patches, for which merged rows are copied back; False: it reads the
            last row that is left.
    """

    def __init__(
        self,
        reduction: ReductionConfig,
        shape: Mapping[str, Any],
        *,
        context: int,
        patch: int,
        horizon: int,
        unmerges: bool,
    ) -> None:
        super().__init__()
        if context % patch:
            raise ConfigError(f"context={context} with patch={patch}: give a multiple, so that no value is left out")
        self.patch, self.tokens, self.unmerges = patch, context // patch, unmerges
        width = shape["hidden_size"]
        self.patches = nn.Linear(patch, width)
        self.body = TokensieveModel(body_config(reduction, shape, self.tokens))
        self.head = nn.Linear(width * self.tokens if unmerges else width, horizon)

    def forward(self, past: Tensor) -> Tensor:
        """Forecasts [W, horizon] of contexts [W, context], each seen from its own mean and deviation."""
        centre, scale = past.mean(1, keepdim=True), past.std(1, keepdim=True) + 1e-3
        return self.scaled((past - centre) / scale)[0] * scale + centre

    def scaled(self, past: Tensor) -> tuple[Tensor, Trace]:
        """Forecasts of scaled contexts, and the trace of the patches."""
        output = self.body(inputs_embeds=self.patches(past.unfold(1, self.patch, self.patch)))
        tokens, trace = output.tokens, output.trace
        if self.unmerges:
            return self.head(unmerge(tokens.values, trace).view(len(past), -1)), trace
        last = torch.tensor(tokens.lengths, device=past.device).cumsum(0) - 1
        return self.head(tokens.values[last]), trace

    @torch.inference_mode()
    def flops(self, past: Tensor) -> float:
        """FLOPs of the body for a context, as a share of dense: of these contexts, where they decide."""
        plan = make_plan(self.body.config, self.tokens, special=0)
        if plan.basis != "exact":
            centre, scale = past.mean(1, keepdim=True), past.std(1, keepdim=True) + 1e-3
            kept = self.scaled((past - centre) / scale)[1].kept
            plan = make_plan(
                self.body.config, self.tokens, special=0, shares=kept_shares(kept, [self.tokens] * len(past))
            )
        return plan.ratio
