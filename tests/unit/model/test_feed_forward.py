"""The feed-forward block in parts: at inference alone, no part larger than it may be, and the same numbers.

And its activation in place.
"""

import pytest
import torch
from torch import nn

from contract.variants import batch, documents, settings, tiny_model
from tokensieve.model import feed_forward as module
from tokensieve.model.configuration import TokensieveConfig
from tokensieve.model.residual import ResidualOutput


@pytest.mark.parametrize("changes", [{"site": "hidden"}, {"combine_layer": 3}], ids=str)
def test_parts_change_nothing(changes: dict[str, object], monkeypatch: pytest.MonkeyPatch) -> None:
    model, inputs = tiny_model(settings(**changes)), batch(documents((40, 17, 30)))
    with torch.no_grad():
        whole = model(**inputs)
    rows: list[int] = []
    for layer in model.encoder.layer:
        if hasattr(layer, "intermediate"):
            layer.intermediate.register_forward_pre_hook(lambda _, given: rows.append(len(given[0])))
    monkeypatch.setattr(module, "ROWS_AT_INFERENCE", 16)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)
    with torch.no_grad():
        parts = model(**inputs)
    assert max(rows) == 16
    torch.testing.assert_close(parts.logits, whole.logits, atol=1e-5, rtol=0)
    assert parts.trace.kept == whole.trace.kept
    rows.clear()
    model(**inputs).logits.sum().backward()
    assert max(rows) > 16


@pytest.mark.parametrize("activation", ["gelu", "gelu_new", "relu"])
def test_exact_gelu_is_in_place_where_nothing_has_gradients(activation: str) -> None:
    half = module.Intermediate(TokensieveConfig(hidden_size=24, intermediate_size=32, hidden_act=activation))
    values, products = torch.randn(5, 24), []
    half.dense.register_forward_hook(lambda _, __, product: products.append((product, product.clone())))
    trained = half(values, nn.Identity())
    trained.sum().backward()
    with torch.no_grad():
        inferred = half(values, nn.Identity())
    torch.testing.assert_close(inferred, trained, atol=1e-6, rtol=0)
    (own, before), (reused, _) = products
    assert torch.equal(own, before)
    assert (inferred.data_ptr() == reused.data_ptr()) == (activation == "gelu")


def test_every_thread_has_its_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: 3)
    seen: list[int] = []
    config = TokensieveConfig(hidden_size=8, intermediate_size=16, num_attention_heads=2)
    widen, narrow = module.Intermediate(config), ResidualOutput(16, config, bias=True).eval()
    widen.register_forward_pre_hook(lambda _, given: seen.append(len(given[0])))
    with torch.no_grad():
        found = module.feed_forward(torch.randn(1000, 8), widen, narrow)
    assert (seen, found.shape) == ([768, 232], (1000, 8))
