"""bfloat16, by autocast and throughout: every variant computes float32's function, trains, and keeps as many tokens."""

from contextlib import AbstractContextManager

import pytest
import torch
from torch import Tensor

from contract.variants import UNEQUAL, batch, documents, each_counted_variant, each_variant, layer_trace, tiny_model
from tokensieve import ReductionConfig, TokensieveForSequenceClassification

LABELS = torch.arange(len(UNEQUAL)) % 3
ROUNDING = 0.25
"""How far bfloat16 moves a logit where all choices stay; logits are up to 8.4. Measured 0.10 at most."""
ALIKE = 0.7
"""Correlation with float32's logits, whatever was chosen: measured 0.81 at least."""

each_way = pytest.mark.parametrize("autocast", [True, False], ids=["autocast", "pure"])


def mixed(autocast: bool) -> AbstractContextManager[None]:
    return torch.autocast("cpu", torch.bfloat16, enabled=autocast)


def losses(model: TokensieveForSequenceClassification, autocast: bool) -> list[float]:
    """Of a few steps on one batch, without dropout."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3)
    seen = []
    for _ in range(4):
        with mixed(autocast):
            loss = model(**batch(documents(UNEQUAL)), labels=LABELS).loss
        optimizer.zero_grad()
        loss.backward()
        for name, parameter in model.named_parameters():
            assert parameter.grad is None or parameter.grad.isfinite().all(), name
        optimizer.step()
        seen.append(float(loss.detach()))
    return seen


@torch.no_grad()
def answers(model: TokensieveForSequenceClassification) -> tuple[Tensor, list[object]]:
    """Logits, and for each document all that was chosen: what each layer left, and which token went into which row."""
    inputs = batch(documents(UNEQUAL))
    output, layers = model(**inputs), layer_trace(model, inputs)
    moves, folded = output.trace.moves(), output.trace.assignments()
    chosen: list[object] = [
        (
            [layer[place] for layer in layers],
            None if moves is None else moves.picked([place]).into().tolist(),
            None if folded is None else folded[place],
        )
        for place in range(len(UNEQUAL))
    ]
    return output.logits.float(), chosen


@each_variant
@each_way
def test_bfloat16_computes_the_same_function(reduction: ReductionConfig, autocast: bool) -> None:
    """To rounding where the choices are the same; a near tie that falls otherwise moves one document's logits."""
    wanted, before = answers(tiny_model(reduction))
    model = tiny_model(reduction)
    with mixed(autocast):
        found, after = answers(model if autocast else model.to(torch.bfloat16))
    alike = torch.tensor([one == other for one, other in zip(before, after, strict=True)])
    assert alike.any(), "every document is read otherwise"
    torch.testing.assert_close(found[alike], wanted[alike], atol=ROUNDING, rtol=0)
    assert torch.corrcoef(torch.stack([found.flatten(), wanted.flatten()]))[0, 1] > ALIKE


@each_variant
@each_way
def test_training_in_bfloat16(reduction: ReductionConfig, autocast: bool) -> None:
    model = tiny_model(reduction)
    seen = losses(model if autocast else model.to(torch.bfloat16), autocast)
    assert seen[-1] < seen[0] - 0.01, "training in bfloat16 does not lower the loss"


@each_counted_variant
def test_counts_do_not_depend_on_precision(reduction: ReductionConfig) -> None:
    inputs = batch(documents(UNEQUAL))
    with torch.no_grad():
        kept = tiny_model(reduction)(**inputs).trace.kept
        pure = tiny_model(reduction).to(torch.bfloat16)(**inputs)
        with mixed(True):
            partly = tiny_model(reduction)(**inputs)
    assert kept == pure.trace.kept == partly.trace.kept
    assert pure.logits.dtype == partly.logits.dtype == torch.bfloat16
