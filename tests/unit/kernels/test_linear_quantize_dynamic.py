"""torch's dynamic quantization finds all linear layers of a model, or says that it does not."""

import copy
import warnings

import pytest
import torch
from torch import nn
from torch.ao.nn.quantized.dynamic import Linear as QuantizedLinear

from contract.variants import CASCADES, VARIANTS, batch, documents, settings, tiny_cascade, tiny_model
from tokensieve import ConfigError
from tokensieve.kernels import linear as module
from tokensieve.kernels.linear import Linear, lay_out_weights, make_plain

MODELS = {
    "dense": lambda: tiny_model(settings(pruning="none", pooling="host")),
    "fastest": lambda: tiny_model(VARIANTS["method fastest"]),
    "cascade": lambda: tiny_cascade(next(iter(CASCADES.values()))),
}
each_model = pytest.mark.parametrize("build", MODELS.values(), ids=MODELS.keys())
needs_engine = pytest.mark.skipif(
    set(torch.backends.quantized.supported_engines) <= {"none"}, reason="this build of torch multiplies no int8"
)


def quantized(model: nn.Module) -> nn.Module:
    """As users call it; torch warns that this way is deprecated."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        result: nn.Module = torch.ao.quantization.quantize_dynamic(model, {nn.Linear})
    return result


def count(model: nn.Module, kind: type[nn.Module]) -> int:
    return sum(isinstance(layer, kind) for layer in model.modules())


@needs_engine
@each_model
@pytest.mark.parametrize("laid_out", [False, True])
@torch.no_grad()
def test_every_linear_layer_is_quantized(build, laid_out: bool, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore[no-untyped-def]
    model, inputs = build(), batch(documents((9, 20, 31)))
    if laid_out:
        with monkeypatch.context() as patch:
            patch.setattr(module, "onednn_pays", lambda: True)
            lay_out_weights(model)
    before, layers = model(**inputs).logits, count(model, Linear)
    small = quantized(model)
    assert count(small, QuantizedLinear) == layers >= 24
    assert count(small, Linear) == 0
    difference = (small(**inputs).logits - before).abs().max()
    assert 0 < difference < 0.5 * before.abs().max()
    assert count(model, Linear) == layers, "the model itself is left as it was"
    torch.testing.assert_close(model(**inputs).logits, before, atol=0, rtol=0)


@needs_engine
@torch.no_grad()
def test_it_is_the_quantization_of_torchs_own_layers() -> None:
    model, inputs = MODELS["dense"](), batch(documents((9, 20, 31)))
    plain = copy.deepcopy(model)
    make_plain(plain)
    torch.testing.assert_close(plain(**inputs).logits, model(**inputs).logits, atol=1e-6, rtol=0)
    small, other = quantized(nn.Sequential(model))[0], quantized(plain)
    torch.testing.assert_close(small(**inputs).logits, other(**inputs).logits, atol=0, rtol=0)


def test_a_part_of_a_model_is_refused_and_not_left_as_it_is() -> None:
    model = MODELS["dense"]()
    with pytest.raises(ConfigError, match="whole model"):
        quantized(model.encoder)
    make_plain(model.encoder)
    assert count(quantized(model.encoder), QuantizedLinear) == 24
