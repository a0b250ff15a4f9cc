"""bfloat16, by autocast and throughout: every variant classifies and trains, close to float32."""

import pytest
import torch

from contract.variants import UNEQUAL, batch, documents, each_counted_variant, each_variant, tiny_model
from tokensieve import ReductionConfig, TokensieveForSequenceClassification

LABELS = torch.arange(len(UNEQUAL)) % 3


def losses(model: TokensieveForSequenceClassification, autocast: bool) -> list[float]:
    """Of a few steps on one batch, without dropout."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3)
    seen = []
    for _ in range(4):
        with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
            loss = model(**batch(documents(UNEQUAL)), labels=LABELS).loss
        optimizer.zero_grad()
        loss.backward()
        for name, parameter in model.named_parameters():
            assert parameter.grad is None or parameter.grad.isfinite().all(), name
        optimizer.step()
        seen.append(float(loss.detach()))
    return seen


@each_variant
@pytest.mark.parametrize("autocast", [True, False], ids=["autocast", "pure"])
def test_training_in_bfloat16(reduction: ReductionConfig, autocast: bool) -> None:
    model = tiny_model(reduction)
    start = float(model(**batch(documents(UNEQUAL)), labels=LABELS).loss.detach())
    if not autocast:
        model = model.to(torch.bfloat16)
    seen = losses(model, autocast)
    assert seen[0] == pytest.approx(start, abs=0.5 + 0.2 * start), "bfloat16 computes something else"
    assert seen[-1] < seen[0] - 0.01, "training in bfloat16 does not lower the loss"


@each_counted_variant
def test_counts_do_not_depend_on_precision(reduction: ReductionConfig) -> None:
    inputs = batch(documents(UNEQUAL))
    with torch.no_grad():
        kept = tiny_model(reduction)(**inputs).trace.kept
        pure = tiny_model(reduction).to(torch.bfloat16)(**inputs)
        with torch.autocast("cpu", torch.bfloat16):
            mixed = tiny_model(reduction)(**inputs)
    assert kept == pure.trace.kept == mixed.trace.kept
    assert pure.logits.dtype == mixed.logits.dtype == torch.bfloat16
