"""TokensieveForSequenceClassification: input ids -> logits, in one pass: embeddings, the loop over layers, head.

`Encoder` runs the layers, with the combining module among them. Tokens leave in `layer.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from transformers import initialization as init

from tokensieve.kernels.backends import resolve_backend
from tokensieve.model.answers import Answers
from tokensieve.model.attention import SelfAttention
from tokensieve.model.batch import Batch
from tokensieve.model.configuration import TokensieveConfig
from tokensieve.model.embed import CombinationTokens, Embeddings
from tokensieve.model.head import HEADS
from tokensieve.model.int8 import put_int8
from tokensieve.model.layer import Choice, Layer
from tokensieve.model.plan import Plan, kept_shares, make_plan
from tokensieve.model.pretrained import TokensievePreTrainedModel
from tokensieve.model.steps import Step, encoder_steps
from tokensieve.model.trace import Trace
from tokensieve.reduce.score.learned import Importance
from tokensieve.tokens import Tokens


class TokensieveForSequenceClassification(TokensievePreTrainedModel):
    """A BERT-family document classifier with token reduction, on packed tokens.

    Build one with `tokensieve.compress`, or load one with `from_pretrained`.
    """

    def __init__(self, config: TokensieveConfig) -> None:
        super().__init__(config)
        self.num_labels = config.num_labels
        self.embeddings = Embeddings(config)
        self.encoder = Encoder(config)
        self.head = HEADS[config.settings.resolved_pooling](config)
        put_int8(self, config.int8 or ())
        self.post_init()  # type: ignore[no-untyped-call]

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

    def read(self, batch: Batch) -> Answers:
        """Answer a checked batch in one pass."""
        tokens, trace = self.encoder(self.embeddings(batch))
        logits, pooled = self.head(tokens)
        return Answers(logits, pooled, trace)

    def plan(self, length: int, *, special: int = 2, samples: Mapping[str, Tensor] | None = None) -> Plan:
        """Plan a document of `length` tokens: the tokens kept at each step, and the FLOPs.

        Args:
            length: text tokens, special tokens included.
            special: how many of them are protected special tokens.
            samples: a tokenized batch (input_ids, attention_mask). If token counts depend on the scores, the plan has
                mean shares that are measured on it in place of upper bounds.

        Raises:
            ConfigError: the length is outside 1..the position table.
        """
        shares = None if samples is None else self._measure_shares(samples)
        return make_plan(self.config, length, special=special, shares=shares)

    @torch.no_grad()
    def _measure_shares(self, samples: Mapping[str, Tensor]) -> list[float]:
        training, batch = self.training, {name: tensor.to(self.device) for name, tensor in samples.items()}
        try:
            self.train(False)
            trace = self(**batch).trace
        finally:
            self.train(training)
        mask = batch.get("attention_mask", torch.ones_like(batch["input_ids"]))
        return kept_shares(trace.kept, mask.sum(1).tolist())


class Encoder(nn.Module):
    """The layers of the model in order, with the combining module among them.

    Attributes:
        steps: what each step does.
        layer: the module of each step. A layer that the combining module replaces has none.
    """

    def __init__(self, config: TokensieveConfig) -> None:
        super().__init__()
        settings = config.settings
        self.min_length = settings.min_length
        self.min_tokens = 1 if settings.prune is None else settings.prune.select.min_tokens
        self.steps = encoder_steps(settings, config.num_hidden_layers)
        self.layer = nn.ModuleList(
            Layer(config, step.prune, step.share)
            if step.kind == "layer" or settings.combine is None
            else settings.combine.module(config.hidden_size, config.layer_norm_eps)
            for step in self.steps
        )
        self.first_share = _first_share(self.steps[0])

    def forward(self, tokens: Tokens) -> tuple[Tokens, Trace]:
        """Run all steps; return the tokens that reach the end, and the trace of all tokens."""
        trace, keys = Trace(), None
        exempt = [not pruned for pruned in self.pruned(tokens.text_lengths)]
        everyone = [True] * len(tokens.lengths)
        for step, module in zip(self.steps, self.layer, strict=True):
            if step.kind == "combine":  # by kind: an adapter may wrap the module
                before, keys = tokens, None
                tokens, joined = module(tokens)
                trace.record_combining(before, joined)
            else:
                served = keys
                tokens, keys = module(tokens, keys, exempt if step.prune else everyone, Choice())
                trace.record_layer(tokens, served)
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


def _first_share(step: Step) -> float:
    """The share of a document's tokens that enters the first layer: below 1 if tokens leave ahead of it."""
    return float(step.share) if step.prune is not None and step.prune.site.ahead else 1.0
