"""TokensieveForSequenceClassification: input ids -> logits, saved and loaded in the hub's format."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from transformers import initialization as init

from tokensieve.kernels.backends import resolve_backend
from tokensieve.model.answers import Answers
from tokensieve.model.attention import SelfAttention
from tokensieve.model.batch import Batch
from tokensieve.model.configuration import TokensieveConfig
from tokensieve.model.embed import CombinationTokens, Embeddings
from tokensieve.model.encoder import Encoder
from tokensieve.model.head import HEADS
from tokensieve.model.plan import Plan, kept_shares, make_plan
from tokensieve.model.pretrained import TokensievePreTrainedModel
from tokensieve.reduce.score.learned import Importance


class TokensieveForSequenceClassification(TokensievePreTrainedModel):
    """A BERT-family document classifier with Pruned Token Compression, on packed tokens.

    Build one with `tokensieve.compress`, or read one with `from_pretrained`.
    """

    def __init__(self, config: TokensieveConfig) -> None:
        super().__init__(config)
        self.num_labels = config.num_labels
        self.embeddings = Embeddings(config)
        self.encoder = Encoder(config)
        self.head = HEADS[config.settings.resolved_pooling](config)
        self.post_init()  # type: ignore[no-untyped-call]

    @property
    def attention_backend(self) -> str:
        """The key of `tokensieve.kernels.backends.BACKENDS` that was chosen when the model was built."""
        own = (module.backend for module in self.modules() if isinstance(module, SelfAttention))
        return next(own, resolve_backend(self.config.attention_backend))

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
        """The answers to a checked batch, in one pass."""
        tokens, trace = self.encoder(self.embeddings(batch))
        logits, pooled = self.head(tokens)
        return Answers(logits, pooled, trace)

    def plan(self, length: int, *, special: int = 2, samples: Mapping[str, Tensor] | None = None) -> Plan:
        """What happens to the tokens of a document of `length` tokens, and what it costs.

        Args:
            length: text tokens, special tokens included.
            special: how many of them are protected special tokens.
            samples: a tokenized batch (input_ids, attention_mask); where the counts depend on the scores, the plan has
                the mean shares measured on it in place of upper bounds.

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
