"""torch.compile: the graph that dynamo takes, in pieces between the ragged moves, computes what the model computes."""

import pytest
import torch

from contract.variants import batch, documents, settings, tiny_model
from tokensieve import ReductionConfig
from tokensieve.kernels import linear

FORMS = {
    "dense": (settings(pruning="none"), "eager"),
    "ratio-hidden": (settings(pruning="ratio", site="hidden"), "eager"),
    "ratio-keys-combining": (settings(pruning="ratio", combine_layer=3, site="keys"), "aot_eager"),
}
"""Settings, and how far the graph is taken: to operations, or (which takes long) to those of the backward pass."""


@pytest.mark.filterwarnings("ignore")
def test_one_graph_is_refused() -> None:
    """The number of rows depends on the mask: torch says so, and computes nothing wrong."""
    torch._dynamo.reset()
    compiled = torch.compile(tiny_model(settings(pruning="none")), backend="eager", fullgraph=True)
    with torch.no_grad(), pytest.raises((torch._dynamo.exc.Unsupported, torch._dynamo.exc.UserError)):
        compiled(**batch(documents((17, 9))))


@pytest.mark.filterwarnings("ignore")
def test_a_compiled_product_is_torchs(monkeypatch: pytest.MonkeyPatch) -> None:
    """oneDNN's would break the graph at every linear layer."""
    torch._dynamo.reset()
    monkeypatch.setattr(linear, "onednn_pays", lambda: True)
    layer, rows = linear.Linear(8, 4), torch.randn(5, 8)
    with torch.no_grad():
        found = torch.compile(layer, backend="eager", fullgraph=True)(rows)
        torch.testing.assert_close(found, layer(rows))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("reduction", "backend"), FORMS.values(), ids=FORMS.keys())
def test_compiled_is_uncompiled(reduction: ReductionConfig, backend: str) -> None:
    """Lengths that come again and lengths that are new, in inference and in training."""
    torch._dynamo.reset()
    model, uncompiled = tiny_model(reduction), tiny_model(reduction)
    compiled = torch.compile(model, backend=backend)
    for lengths in ((17, 9), (12, 12), (17, 9)):
        inputs = batch(documents(lengths))
        with torch.no_grad():
            output, expected = compiled(**inputs), uncompiled(**inputs)
        torch.testing.assert_close(output.logits, expected.logits, atol=1e-5, rtol=1e-5)
        assert output.trace.kept == expected.trace.kept
        assert output.trace.survivors() == expected.trace.survivors()
    inputs, labels = batch(documents((17, 9))), torch.tensor([0, 2])
    for own in (compiled, uncompiled):
        own(**inputs, labels=labels).loss.backward()
    expected_gradients = dict(uncompiled.named_parameters())
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(parameter.grad, expected_gradients[name].grad, atol=1e-5, rtol=1e-4, msg=name)
