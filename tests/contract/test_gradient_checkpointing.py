"""Gradient checkpointing runs every layer twice, chooses tokens once, and changes no gradient."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest
import torch

from contract.variants import UNEQUAL, batch, documents, each_pruning_variant, each_variant, settings, tiny_model
from flat import flat_of
from tokensieve import ConfigError, ReductionConfig, TokensieveForSequenceClassification
from tokensieve.kernels import backends as kernel
from tokensieve.model import layer as layer_module
from tokensieve.model.gates import set_soft


def enable(model: TokensieveForSequenceClassification, **options: Any) -> None:
    """Under its name of either version of transformers."""
    switch = getattr(model, "activation_checkpointing_enable", model.gradient_checkpointing_enable)
    switch(options or None)


def gradients(model: TokensieveForSequenceClassification) -> dict[str, torch.Tensor]:
    """Of one training step with dropout and noise, from the same seed."""
    model.zero_grad()
    torch.manual_seed(3)
    model.train()(**batch(documents(UNEQUAL)), labels=torch.arange(len(UNEQUAL)) % 3).loss.backward()
    return {name: parameter.grad.clone() for name, parameter in model.named_parameters() if parameter.requires_grad}


@contextmanager
def counted_selections() -> Iterator[list[int]]:
    """Selections made inside."""
    calls, original = [], layer_module.select_rows

    def count(*arguments: Any) -> Any:
        calls.append(1)
        return original(*arguments)

    layer_module.select_rows = count
    try:
        yield calls
    finally:
        layer_module.select_rows = original


@each_variant
def test_gradients_are_those_without(reduction: ReductionConfig) -> None:
    model = tiny_model(reduction)
    plain = gradients(model)
    enable(model)
    assert any(getattr(layer, "gradient_checkpointing", False) for layer in model.encoder.layer)
    for name, gradient in gradients(model).items():
        torch.testing.assert_close(gradient, plain[name], atol=1e-6, rtol=1e-5, msg=name)


@each_pruning_variant
def test_tokens_are_chosen_once(reduction: ReductionConfig) -> None:
    model = tiny_model(reduction)
    set_soft(model, False)  # while gates are soft, no token leaves
    with counted_selections() as plain:
        gradients(model)
    enable(model)
    with counted_selections() as checkpointed:
        gradients(model)
    # none where the module is the first step
    assert len(checkpointed) == len(plain)
    assert (
        plain
        or flat_of(reduction).combine_layer == 1
        or (flat_of(reduction).combine_layer == 2 and flat_of(reduction).site == "keys")
    )


def test_layers_run_twice_and_are_scored_once(monkeypatch: pytest.MonkeyPatch) -> None:
    runs, original = [], kernel.BACKENDS["blocked"]

    def note(q: Any, k: Any, v: Any, dropout: float, rows: Any, bias: Any) -> Any:
        runs.append(rows is not None)
        return original(q, k, v, dropout, rows, bias)

    monkeypatch.setitem(kernel.BACKENDS, "blocked", note)
    model = tiny_model(settings(site="hidden"))
    gradients(model)
    plain = list(runs)
    runs.clear()
    enable(model)
    gradients(model)
    assert len(runs) == 2 * len(plain)
    assert sum(runs) == sum(plain) > 0


def test_a_second_run_follows_the_choice_of_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a GPU scores may come out differently the second time; a layer that chose anew would then break down."""
    model = tiny_model(settings(site="hidden"))
    plain = gradients(model)
    enable(model)
    original, seen = kernel.received_attention, []

    def unsteady(q: torch.Tensor, k: torch.Tensor, rows: Sequence[int], *rest: Any) -> torch.Tensor:
        seen.append(1)
        scores = original(q, k, rows, *rest)
        return scores if len(seen) <= first else -scores

    first = 10**6
    monkeypatch.setattr(kernel, "received_attention", unsteady)
    gradients(model)
    first = len(seen)
    seen.clear()
    for name, gradient in gradients(model).items():
        torch.testing.assert_close(gradient, plain[name], atol=1e-6, rtol=1e-5, msg=name)


def test_reentrant_checkpointing_is_refused() -> None:
    model = tiny_model(settings())
    with pytest.raises(ConfigError, match="use_reentrant"):
        enable(model, use_reentrant=True)


def test_evaluation_is_untouched() -> None:
    model = tiny_model(settings(site="hidden"))
    inputs = batch(documents(UNEQUAL))
    with torch.no_grad():
        before = model(**inputs).logits
        enable(model)
        assert torch.equal(model(**inputs).logits, before)
