"""The body of a model: embeddings, and the layers with the combining module among them; `TokensieveModel` is it alone.

`Encoder` runs the layers. Tokens leave in `layer.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers import initialization as init
from transformers.modeling_outputs import BaseModelOutput

from tokensieve.kernels.backends import resolve_backend
from tokensieve.model.attention import SelfAttention
from tokensieve.model.batch import check_batch
from tokensieve.model.configuration import TokensieveConfig
from tokensieve.model.embed import CombinationTokens, Embeddings
from tokensieve.model.int8 import put_int8
from tokensieve.model.layer import Choice, Layer
from tokensieve.model.norms import norm_of
from tokensieve.model.output import refuse_padded_outputs
from tokensieve.model.positions import Positions
from tokensieve.model.pretrained import TokensievePreTrainedModel
from tokensieve.model.steps import Step, encoder_steps
from tokensieve.model.trace import Trace
from tokensieve.reduce.score.learned import Importance
from tokensieve.tokens import Tokens, unpack


class Body(TokensievePreTrainedModel):
    """What the models with one backbone share: embeddings and encoder, under the same names in each."""

    def __init__(self, config: TokensieveConfig) -> None:
        super().__init__(config)
        self.embeddings = Embeddings(config)
        self.encoder = Encoder(config)

    @property
    def attention_backend(self) -> str:
        """The key of `tokensieve.kernels.backends.BACKENDS` that was chosen when the model was built."""
        backends = (module.backend for module in self.modules() if isinstance(module, SelfAttention))
        return next(backends, resolve_backend(self.config.attention_backend))

    def get_input_embeddings(self) -> nn.Module:
        """The word embeddings."""
        return self.embeddings.word_embeddings

    def set_input_embeddings(self, value: nn.Module) -> None:
        """Replace the word embeddings."""
        self.embeddings.word_embeddings = value  # type: ignore[assignment]

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)  # type: ignore[no-untyped-call]
        if isinstance(module, CombinationTokens):
            init.normal_(module.weight, mean=0.0, std=self.config.initializer_range)
        if isinstance(module, Importance):
            init.zeros_(module.weight)


@dataclass
class TokensieveModelOutput(BaseModelOutput):
    """The vectors of the tokens that are left, in transformers' form and packed.

    Attributes:
        last_hidden_state: [B, R, d], right-padded with zeros; R is the most rows that any document has left.
        attention_mask: [B, R] bool, the rows that are no padding.
        tokens: the same vectors packed, with the position of each in its document.
        trace: which tokens were kept in each step; ragged.
    """

    attention_mask: Tensor | None = None
    tokens: Tokens | None = None
    trace: Trace | None = None


class TokensieveModel(Body):
    """A backbone with token reduction and without a head: the vectors of the tokens that are left.

    `from_pretrained` (or `AutoModel`) reads it from a classifier's folder, too, and leaves the head out.
    """

    _keys_to_ignore_on_load_unexpected = [r"^head\."]  # noqa: RUF012 - transformers reads a list

    def __init__(self, config: TokensieveConfig) -> None:
        super().__init__(config)
        put_int8(self, [name for name in config.int8 or () if not name.startswith("head.")])
        self.post_init()  # type: ignore[no-untyped-call]

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        position_ids: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        special_tokens_mask: Tensor | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
    ) -> TokensieveModelOutput | tuple[Any, ...]:
        """Read a padded batch; padding on either side is left out before the first layer.

        Args:
            input_ids: [B, L].
            attention_mask: [B, L], non-zero for real tokens; None: all are real.
            token_type_ids: [B, L]; None: segment 0. position_ids: [B, L]; None: the family's own rule.
            inputs_embeds: [B, L, embedding_size] word vectors in place of ids.
            special_tokens_mask: [B, L], non-zero for special tokens that the tokenizer added; None: found by position.
            output_attentions, output_hidden_states: not offered; True is refused.
            return_dict: False for a tuple of the last hidden state alone.

        Raises:
            InputError: a document without tokens, or longer than the model takes.
            ConfigError: attentions or hidden states asked for.
        """
        refuse_padded_outputs(output_attentions, output_hidden_states)
        batch = check_batch(
            self.config, input_ids, attention_mask, token_type_ids, position_ids, inputs_embeds, special_tokens_mask
        )
        tokens, trace = self.encoder(self.embeddings(batch))
        padded = unpack(tokens.values, tokens.lengths)
        if return_dict is False:
            return (padded,)
        lengths = torch.tensor(tokens.lengths, device=padded.device).unsqueeze(1)
        mask = torch.arange(padded.shape[1], device=padded.device) < lengths
        return TokensieveModelOutput(last_hidden_state=padded, attention_mask=mask, tokens=tokens, trace=trace)


class Encoder(nn.Module):
    """The layers of the model in order, with the combining module among them.

    Attributes:
        steps: what each step does.
        layer: the module of each step. A layer that the combining module replaces has none.
        positions: what positions mean to attention.
        LayerNorm: the norm behind the last layer, in backbones whose norms come first; else None.
    """

    def __init__(self, config: TokensieveConfig) -> None:
        super().__init__()
        settings = config.settings
        self.min_length = settings.min_length
        self.min_tokens = 1 if settings.prune is None else settings.prune.select.min_tokens
        self.steps = encoder_steps(settings, config.num_hidden_layers, config.block.local_layers)
        self.layer = nn.ModuleList(
            Layer(config, step.source, step.prune, step.share) if step.source is not None else combining_module(config)
            for step in self.steps
        )
        self.positions = Positions(config)
        self.LayerNorm = norm_of(config.hidden_size, config) if config.block.norm_first else None
        self.first_share = _first_share(self.steps[0])

    def forward(self, tokens: Tokens) -> tuple[Tokens, Trace]:
        """Run all steps; return the tokens that reach the end, and the trace of all tokens."""
        trace, keys, places = Trace(), None, self.positions(tokens)
        exempt = [not pruned for pruned in self.pruned(tokens.text_lengths)]
        everyone = [True] * len(tokens.lengths)
        for step, module in zip(self.steps, self.layer, strict=True):
            if step.kind == "combine":  # by kind: an adapter may wrap the module
                before, keys = tokens, None
                tokens, joined = module(tokens)
                trace.record_combining(before, joined)
            else:
                served = keys
                tokens, keys = module(tokens, keys, exempt if step.prune else everyone, Choice(), places)
                trace.record_layer(tokens, served)
        if self.LayerNorm is not None:
            tokens = tokens.with_values(self.LayerNorm(tokens.values))
        return tokens, trace

    def pruned(self, lengths: Sequence[int]) -> list[bool]:
        """For each length of a document, whether it is long enough to be pruned."""
        return [length >= self.min_length for length in lengths]

    def rows_after_first_pruning(self, lengths: Sequence[int]) -> list[int]:
        """For each length of a document, how many tokens enter the first layer: a measure of its work."""
        share, fewest = self.first_share, self.min_tokens
        return [
            max(min(length, fewest), round(length * share)) if pruned else length
            for length, pruned in zip(lengths, self.pruned(lengths), strict=True)
        ]


def combining_module(config: TokensieveConfig) -> nn.Module:
    """The combining module of a config whose settings have one."""
    combine = config.settings.combine
    assert combine is not None
    return combine.module(config.hidden_size, config.layer_norm_eps)


def _first_share(step: Step) -> float:
    """The share of a document's tokens that enters the first layer: below 1 if tokens leave ahead of it."""
    return float(step.share) if step.prune is not None and step.prune.site.ahead else 1.0
