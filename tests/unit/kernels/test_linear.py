"""The linear layers give what torch's gives, forward and backward, and use other products where these pay alone."""

import copy
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from contract.variants import batch, documents, tiny_model
from flat import reduction
from tokensieve.kernels import linear as module
from tokensieve.kernels.linear import Linear, ShortLinear, lay_out_weights, linear_backend, onednn_pays

COUNTS = [0, 1, 2, 3, 6, 7, 8, 9, 31, 64, 127, 128, 129, 300]
LAYERS = [Linear, ShortLinear]

needs_onednn = pytest.mark.skipif(
    not (torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")),
    reason="this build of torch has no oneDNN",
)


@pytest.fixture(params=[False, pytest.param(True, marks=needs_onednn)], ids=["torch", "onednn"])
def onednn(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[bool]:
    """Whether oneDNN multiplies, whatever the processor."""
    monkeypatch.setattr(module, "onednn_pays", lambda: request.param)
    yield request.param


def of_both(
    rows: torch.Tensor, width: int = 512, kind: type[Linear] = ShortLinear
) -> tuple[torch.Tensor, torch.Tensor]:
    """The product of ours and of torch's layer, with the same weights."""
    torch.manual_seed(0)
    ours = kind(rows.shape[-1], width).to(rows.dtype)
    torchs = nn.Linear(rows.shape[-1], width).to(rows.dtype)
    torchs.load_state_dict(ours.state_dict())
    return ours(rows), torchs(rows)


@pytest.mark.usefixtures("onednn")
@pytest.mark.parametrize("kind", LAYERS)
@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.parametrize("layout", ["row", "column", "sliced"])
@torch.inference_mode()
def test_any_number_of_rows(kind: type[Linear], count: int, layout: str) -> None:
    wide = torch.randn(count, 900)
    rows = {"row": wide[:, :768].contiguous(), "column": torch.randn(768, count).t(), "sliced": wide[:, 7:775]}[layout]
    ours, torchs = of_both(rows, kind=kind)
    assert ours.shape == (count, 512)
    torch.testing.assert_close(ours, torchs, atol=1e-5, rtol=1e-5)


@pytest.mark.usefixtures("onednn")
@pytest.mark.parametrize("shape", [(2, 5, 768), (2, 3, 1, 768), (768,)])
@torch.inference_mode()
def test_other_dimensions(shape: tuple[int, ...]) -> None:
    ours, torchs = of_both(torch.randn(shape), kind=Linear)
    torch.testing.assert_close(ours, torchs, atol=1e-5, rtol=1e-5)


@torch.inference_mode()
def test_few_rows_are_laid_out_by_column(onednn: bool) -> None:
    assert of_both(torch.randn(30, 768))[0].stride() == ((512, 1) if onednn else (1, 32))
    assert of_both(torch.randn(200, 768))[0].is_contiguous()
    assert of_both(torch.randn(30, 384))[0].is_contiguous()  # a narrow model
    assert of_both(torch.randn(30, 768), kind=Linear)[0].is_contiguous()


@pytest.mark.usefixtures("onednn")
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
@torch.inference_mode()
def test_other_types_are_torchs(dtype: torch.dtype) -> None:
    ours, torchs = of_both(torch.randn(30, 768, dtype=dtype))
    assert ours.is_contiguous()
    assert torch.equal(ours, torchs)


@pytest.mark.usefixtures("onednn")
@torch.inference_mode()
def test_autocast_is_torchs() -> None:
    with torch.autocast("cpu", torch.bfloat16):
        ours, torchs = of_both(torch.randn(30, 768))
    assert ours.dtype == torch.bfloat16
    assert torch.equal(ours, torchs)


@pytest.mark.parametrize("frozen", [(), ("weight", "bias"), ("rows",)], ids=str)
@pytest.mark.parametrize("count", [0, 1, 30, 256, 300, 2900])
def test_gradients(onednn: bool, count: int, frozen: tuple[str, ...]) -> None:
    torch.manual_seed(0)
    found = []
    start, upstream = torch.randn(count, 48), torch.randn(count, 20)
    for kind in (Linear, nn.Linear):
        torch.manual_seed(1)
        layer, rows = kind(48, 20), start.clone().requires_grad_("rows" not in frozen)
        for name, parameter in layer.named_parameters():
            parameter.requires_grad_(name not in frozen)
        result = layer(rows)
        named = [(name, own) for name, own in (("rows", rows), *layer.named_parameters()) if own.requires_grad]
        found.append([result, *torch.autograd.grad(result, [own for _, own in named], upstream)])
        assert ("_Product" in type(result.grad_fn).__name__) == (onednn and kind is Linear)
    for ours, torchs in zip(*found, strict=True):
        torch.testing.assert_close(ours, torchs, atol=1e-4, rtol=1e-5)


@needs_onednn
@pytest.mark.parametrize("count", [4, 600])
def test_gradients_of_gradients(monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    """As penalties on gradients take them."""
    monkeypatch.setattr(module, "onednn_pays", lambda: True)
    found = []
    for kind in (Linear, nn.Linear):
        torch.manual_seed(1)
        layer, rows = kind(6, 5), torch.randn(count, 6, requires_grad=True)
        (first,) = torch.autograd.grad(layer(rows).pow(2).sum(), rows, create_graph=True)
        found.append(torch.autograd.grad(first.pow(2).sum(), layer.weight)[0])
    torch.testing.assert_close(*found, atol=1e-4, rtol=1e-4)


@pytest.mark.usefixtures("onednn")
def test_torchs_counter_sees_the_product() -> None:
    layer = Linear(48, 32)
    with FlopCounterMode(display=False) as counter:
        layer(torch.randn(32, 48)).sum().backward()
    assert counter.get_total_flops() == 2 * 2 * 32 * 48 * 32  # the product, and the gradient of the weights


@needs_onednn
def test_shapes_are_few(monkeypatch: pytest.MonkeyPatch) -> None:
    """oneDNN keeps memory for every shape that it has met."""
    shapes: set[tuple[torch.Size, ...]] = set()

    def note(rows: torch.Tensor, weight: torch.Tensor, *_: object) -> torch.Tensor:
        shapes.add((rows.shape, weight.shape))
        return rows @ weight.t()

    monkeypatch.setattr(module, "onednn_pays", lambda: True)
    monkeypatch.setattr(module, "_onednn", lambda: note)
    layer = Linear(48, 32)
    for count in range(1, 600):
        layer(torch.randn(count, 48, requires_grad=True)).sum().backward()
    assert len(shapes) < 60


@pytest.mark.parametrize(
    ("vectors", "vendor", "wanted"),
    [("AVX512", "AuthenticAMD", True), ("AVX2", "AuthenticAMD", False), ("AVX512", "GenuineIntel", False)],
)
@needs_onednn
def test_onednn_pays_where_mkl_leaves_half_unused(
    monkeypatch: pytest.MonkeyPatch, vectors: str, vendor: str, wanted: bool
) -> None:
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: vectors)
    monkeypatch.setattr(module, "processor_vendor", lambda: vendor)
    onednn_pays.cache_clear()
    try:
        assert onednn_pays() is wanted
        assert linear_backend() == ("onednn" if wanted else "torch")
    finally:
        onednn_pays.cache_clear()


@needs_onednn
def test_shapes_are_fewer_at_inference(monkeypatch: pytest.MonkeyPatch, use_threads: Callable[[int], None]) -> None:
    use_threads(1)
    shapes: set[tuple[torch.Size, ...]] = set()

    def note(rows: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor, *_: object) -> torch.Tensor:
        shapes.add((rows.shape, weight.shape))
        return nn.functional.linear(rows, weight, bias)

    monkeypatch.setattr(module, "onednn_pays", lambda: True)
    monkeypatch.setattr(module, "_onednn", lambda: note)
    layer = Linear(48, 32)
    for count in range(1, 600):
        rows = torch.randn(count, 48)
        with torch.no_grad():
            torch.testing.assert_close(layer(rows), nn.functional.linear(rows, layer.weight, layer.bias))
    assert len(shapes) == 12 and max(rows[0] for rows, _ in shapes) == 256


def test_weights_laid_out_for_inference(onednn: bool, tmp_path: Path) -> None:
    """The same weights and answers, columns first where oneDNN multiplies; they are saved and copied as ever."""
    model, inputs = tiny_model(reduction(pruning="none")), batch(documents((5, 30)))
    before = {name: weight.clone() for name, weight in model.state_dict().items()}
    with torch.no_grad():
        wanted = model(**inputs).logits
        lay_out_weights(model)
        torch.testing.assert_close(model(**inputs).logits, wanted)
    copied = copy.deepcopy(model)
    for own in (model, copied):
        query = own.encoder.layer[0].attention.self.query.weight
        assert query.stride() == ((1, len(query)) if onednn else (len(query), 1))
    model.save_pretrained(tmp_path)
    saved = load_file(tmp_path / "model.safetensors")
    for name, weight in copied.state_dict().items():
        assert torch.equal(weight, before[name])
        assert torch.equal(saved[name], before[name])
