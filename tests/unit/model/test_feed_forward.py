"""The feed-forward block in parts: at inference alone, no part larger than it may be, and the same numbers."""

import pytest
import torch

from contract.variants import batch, documents, settings, tiny_model
from tokensieve.model import layer as module


@pytest.mark.parametrize("changes", [{"site": "hidden"}, {"combine_layer": 3}], ids=str)
def test_parts_change_nothing(changes: dict[str, object], monkeypatch: pytest.MonkeyPatch) -> None:
    model, inputs = tiny_model(settings(**changes)), batch(documents((40, 17, 30)))
    with torch.no_grad():
        whole = model(**inputs)
    rows: list[int] = []
    for layer in model.encoder.layer:
        if hasattr(layer, "intermediate"):
            layer.intermediate.register_forward_pre_hook(lambda _, given: rows.append(len(given[0])))
    monkeypatch.setattr(module, "_FEED_FORWARD_ROWS", 16)
    with torch.no_grad():
        parts = model(**inputs)
    assert max(rows) == 16
    torch.testing.assert_close(parts.logits, whole.logits, atol=1e-5, rtol=0)
    assert parts.trace.kept == whole.trace.kept
    rows.clear()
    model(**inputs).logits.sum().backward()
    assert max(rows) > 16
