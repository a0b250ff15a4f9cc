"""A model of ours as it is measured: read by the engine's code, its FLOPs counted, a cascade by both stages."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor

from tokensieve.cascade.build import EncoderClassifier
from tokensieve.cascade.classifier import TokensieveCascadeForSequenceClassification
from tokensieve.cascade.fit import fit_defer
from tokensieve.kernels.linear import lay_out_weights
from tokensieve.model.answers import Answers
from tokensieve.model.batch import Batch as CheckedBatch
from tokensieve.model.batch import check_batch
from tokensieve.model.classifier import TokensieveForSequenceClassification
from tokensieve.model.configuration import TokensieveConfig
from tokensieve.runtime.micro_batches import read_batch, read_in_micro_batches
from tokensieve_bench.contenders.contender import ModuleContender
from tokensieve_bench.flops import Flops, reduced_cost
from tokensieve_bench.work import Batch, Order, Work


class TokensieveContender(ModuleContender):
    """A model of ours, which counts its FLOPs.

    Args:
        module: the model, in eval mode.
        dense: what it is compared with, the backbone with nothing reduced.
        order: of the documents in its batches.
        dtype: of the module, by name.
        facts: what a record says of it besides.
    """

    def __init__(
        self,
        module: EncoderClassifier,
        dense: TokensieveConfig,
        order: Order,
        dtype: str,
        facts: dict[str, Any],
    ) -> None:
        super().__init__(module, order, dtype, facts)
        self.model, self.dense = module, dense

    def outputs(self, batch: Batch) -> Answers:
        """Answers to a batch as the engine gives them; a cascade reads it by both stages, one right after the other."""
        return read_batch(self.model, checked(self.model, batch))

    def calls(self, work: Work) -> list[Callable[[], object]]:
        """Calls like those of all contenders, with weights as `load` lays them out.

        A cascade defers as many documents as the settings say. Where a batch is one document it does so at once, else
        at the end, in batches as large as the first ones, as the engine does.
        """
        lay_out_weights(self.model)
        if not isinstance(self.model, TokensieveCascadeForSequenceClassification):
            return super().calls(work)
        batches = work.batches(self.order)
        deferred = self._fit(self.model, work, batches)
        if work.batch == 1:
            return super().calls(work)
        first = [partial(self._deferred_of, self.model, batch) for batch in batches]
        return [*first, *(partial(self._read, self.model.second, batch) for batch in work.batches_of(deferred))]

    def _fit(self, model: TokensieveCascadeForSequenceClassification, work: Work, batches: list[Batch]) -> list[int]:
        """Let the share of the documents that the settings say be deferred: which these are."""
        places = [place for batch in batches for place in batch.documents]
        lengths = [work.lengths[place] for place in places]
        logits = torch.cat([self._read(model.first, batch) for batch in batches])
        fit_defer(model, logits, lengths, trained=True)
        return [places[row] for row in model.rule.deferred(logits, lengths)]

    def _deferred_of(self, model: TokensieveCascadeForSequenceClassification, batch: Batch) -> list[int]:
        """Which documents of a batch the first stage defers."""
        return model.rule.deferred(self._read(model.first, batch), batch.attention_mask.sum(1).tolist())

    @torch.inference_mode()
    def _read(self, stage: TokensieveForSequenceClassification, batch: Batch) -> Tensor:
        return read_in_micro_batches(stage, checked(stage, batch)).logits

    def cost(self, work: Work) -> Flops:
        """FLOPs by plan or trace."""
        return reduced_cost(self.model, self.dense, work)


def checked(model: EncoderClassifier, batch: Batch) -> CheckedBatch:
    """A batch of the work as a model takes it."""
    return check_batch(model.config, batch.input_ids, batch.attention_mask)
