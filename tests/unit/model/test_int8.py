"""int8 weights: products close to float32's, the same alone and in a batch, saved and loaded as int8."""

import copy
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor, nn
from transformers import AutoModelForSequenceClassification

import tokensieve
from contract.variants import tiny_cascade, tiny_model
from flat import reduction
from support.alike import correlation
from tokensieve.errors import CheckpointError, ConfigError
from tokensieve.kernels.int8 import linear
from tokensieve.kernels.int8.embedding import Int8Embedding
from tokensieve.kernels.int8.instructions import has_int8
from tokensieve.kernels.int8.linear import Int8Linear
from tokensieve.kernels.int8.scales import quantized_range, quantized_weight
from tokensieve.kernels.linear import Linear
from tokensieve.model.int8 import WORDS, in_int8, int8_names
from tokensieve.quantize.ranges import ranges_of


def layer(rows: int = 24, columns: int = 40, bias: bool = True, reach: float = 3.0) -> tuple[Linear, Int8Linear]:
    """A linear layer, and one with int8 weights whose input reaches from -reach / 2 to reach."""
    plain = Linear(columns, rows, bias=bias)
    quantized = Int8Linear(columns, rows, bias)
    quantized.weight, quantized.weight_scale = quantized_weight(plain.weight)
    scale, zero = quantized_range(-reach / 2, reach)
    quantized.input_scale, quantized.input_zero = torch.tensor(scale), torch.tensor(zero, dtype=torch.int32)
    if bias:
        quantized.bias = plain.bias
    return plain, quantized


def exact_product(quantized: Int8Linear, rows: Tensor) -> Tensor:
    """The product of the rounded numbers, in float64."""
    scale, zero = float(quantized.input_scale), int(quantized.input_zero)
    whole = (rows.double() / scale + zero).round().clamp(-128, 127)
    weight = quantized.weight.double() * quantized.weight_scale.double()[:, None]
    return (whole - zero) * scale @ weight.T + (0 if quantized.bias is None else quantized.bias.double())


def test_a_matrix_is_rounded_to_whole_numbers_of_its_rows_scale() -> None:
    matrix = torch.tensor([[127.0, -63.5, 1.0], [0.0, 0.0, 0.0], [0.001, 0.0005, -0.001]])
    whole, scale = quantized_weight(matrix)
    assert whole.tolist() == [[127, -64, 1], [0, 0, 0], [127, 64, -127]]
    assert torch.allclose(whole * scale[:, None], matrix, atol=float(scale.max()) / 2)


@pytest.mark.parametrize("bounds", [(-1.0, 3.0), (2.0, 3.0), (-5.0, -1.0), (0.0, 0.0), (-1e-3, 1e4)])
def test_a_range_holds_its_bounds_and_nothing_exactly(bounds: tuple[float, float]) -> None:
    scale, zero = quantized_range(*bounds)
    assert -128 <= zero <= 127, "0 has a whole number of its own"
    for bound in (*bounds, 0.0):
        whole = round(bound / scale) + zero
        assert -129 <= whole <= 128
        assert (whole - zero) * scale == pytest.approx(bound, abs=scale / 2 + 1e-12)


@pytest.fixture(params=["native", "float32"])
def native(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "float32":
        monkeypatch.setattr(linear, "has_int8", lambda: False)
    elif not has_int8():
        pytest.skip("this processor has no instructions for int8")


@pytest.mark.usefixtures("native")
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("shape", [(1, 40), (7, 40), (2, 3, 40), (0, 40)])
def test_a_product_is_that_of_the_rounded_numbers(bias: bool, shape: tuple[int, ...]) -> None:
    plain, quantized = layer(bias=bias)
    rows = torch.rand(shape) * 4 - 1.4
    found = quantized(rows)
    flat = rows.flatten(0, -2)
    assert found.shape == (*shape[:-1], 24)
    assert torch.allclose(found.double(), exact_product(quantized, flat).view(found.shape), atol=1e-5)
    if len(flat):
        clamped = rows.clamp(-1.5, 3)
        far = (found - plain(clamped)).abs().mean() / plain(clamped).abs().mean()
        assert far < 0.05, "it is close to the float32 product of numbers within the range"
        assert quantized(rows, dtype=torch.bfloat16).dtype == torch.bfloat16
        assert torch.equal(quantized(quantized.ready(rows)), found), "rows may be uint8 already"


@pytest.mark.usefixtures("native")
def test_what_follows_a_product() -> None:
    _, quantized = layer()
    _, reader = layer(columns=24, reach=2.0)
    rows, residual = torch.rand(7, 40) * 4 - 1.4, torch.randn(7, 24)
    exact = exact_product(quantized, rows)
    assert torch.allclose(quantized(rows, residual).double(), exact + residual.double(), atol=1e-5)
    for approximate in ("none", "tanh"):
        wanted = F.gelu(exact, approximate=approximate)
        assert torch.allclose(quantized.gelu(rows, approximate, nn.Linear(24, 3)).double(), wanted, atol=1e-4)
        whole = quantized.gelu(rows, approximate, reader)
        assert whole.dtype == torch.uint8
        assert (whole.int() - reader.ready(wanted.float()).int()).abs().max() <= 1, (
            "but for a tie that rounding decides"
        )
    nothing = quantized.gelu(rows[:0], "none", reader)
    assert (nothing.shape, nothing.dtype) == ((0, 24), torch.uint8)


@pytest.mark.usefixtures("native")
@pytest.mark.parametrize("count", [1, 6, 17, 100, 300])
def test_rows_that_are_filled_up(count: int) -> None:
    """The rows may lie at the end of their memory, in its middle, or apart from one another."""
    _, quantized = layer()
    rows, residual = torch.rand(count, 40) * 4 - 1.4, torch.randn(count, 24)
    exact, ready = exact_product(quantized, rows), quantized.ready(rows)
    wide = ready.new_zeros(count, 80)
    wide[:, ::2] = ready
    for given in (rows, ready, ready.clone(), torch.cat([ready, ready, ready])[count : 2 * count], wide[:, ::2]):
        assert torch.allclose(quantized(given).double(), exact, atol=1e-5)
        assert torch.allclose(quantized(given, residual).double(), exact + residual.double(), atol=1e-5)


@pytest.mark.usefixtures("native")
@pytest.mark.parametrize("count", [0, 1, 40])
def test_products_beside_each_other_are_those_of_each_alone(count: int) -> None:
    layers = [Int8Linear(24, outputs, bias=outputs != 8) for outputs in (24, 8, 8)]
    for layer in layers:
        layer.weight, layer.weight_scale = quantized_weight(torch.randn(layer.out_features, 24))
        layer.input_scale = torch.tensor(0.05)
        if layer.bias is not None:
            layer.bias.data.normal_()
    rows = torch.randn(count, 24)
    for chosen in (layers, layers[1:], layers[:1]):
        first, *others = chosen
        found = first.beside(others, rows, torch.float32)
        for layer, product in zip(chosen, found, strict=True):
            torch.testing.assert_close(product, layer(rows))


@pytest.mark.usefixtures("native")
def test_products_beside_each_other_follow_their_weights() -> None:
    layers = [Int8Linear(24, 24) for _ in range(3)]
    rows = torch.randn(5, 24)
    layers[0].beside(layers[1:], rows, torch.float32)
    for layer in layers:
        layer.weight.copy_(quantized_weight(torch.randn(24, 24))[0])
    with torch.no_grad():
        layers[1].bias.fill_(3.0)  # type: ignore[union-attr]
    found = layers[0].beside(layers[1:], rows, torch.float32)
    assert torch.equal(found[1], layers[1](rows))
    assert found[1].abs().sum() > 0


def test_products_have_few_numbers_of_rows() -> None:
    sizes = {count: linear._filled_up(count) for count in range(1, 2049)}
    assert all(count <= filled <= 1.25 * count + 15 for count, filled in sizes.items())
    assert len(set(sizes.values())) <= 32
    assert all(linear._filled_up(2**power) == 2**power for power in range(4, 12))


def test_a_row_does_not_depend_on_the_others() -> None:
    _, quantized = layer()
    rows = torch.randn(9, 40) * torch.logspace(-3, 3, 9)[:, None]
    alone = torch.cat([quantized(row[None]) for row in rows])
    assert torch.allclose(alone, quantized(rows), rtol=1e-6, atol=1e-6)


def test_weights_loaded_after_the_first_product() -> None:
    (_, first), (_, second) = layer(), layer()
    rows = torch.rand(3, 40)
    assert not torch.equal(first(rows), second(rows))
    first.load_state_dict(second.state_dict())
    assert torch.equal(first(rows), second(rows))


def test_stages_share_weights_that_are_laid_out() -> None:
    _, quantized = layer()
    other = Int8Linear(40, 24)
    other._buffers["weight"] = quantized.weight
    assert quantized._operands().weight is other._operands().weight
    _, wanted = layer()
    rows = torch.rand(3, 40)
    quantized.load_state_dict(wanted.state_dict())
    for name in ("input_scale", "input_zero", "smoothing", "weight_scale"):
        other.get_buffer(name).copy_(wanted.get_buffer(name))
    other.bias = wanted.bias
    assert torch.equal(other(rows), wanted(rows)), "weights that were loaded into the other stage count here too"


def test_a_table_of_words() -> None:
    table = nn.Embedding(50, 16)
    quantized = Int8Embedding(50, 16)
    quantized.weight, quantized.weight_scale = quantized_weight(table.weight)
    ids = torch.tensor([[3, 3], [49, 0]])
    assert torch.allclose(quantized(ids), table(ids), atol=float(table.weight.detach().abs().max()) / 250)


def inputs() -> dict[str, Tensor]:
    ids = torch.randint(5, 30, (6, 40))
    ids[:, 0], mask = 2, torch.ones_like(ids)
    for row, length in enumerate((40, 12, 33, 5, 40, 21)):
        ids[row, length - 1], mask[row, length:] = 3, 0
    return {"input_ids": ids, "attention_mask": mask}


def quantized_by(plain: Any, names: list[str], batch: dict[str, Tensor] | None = None) -> Any:
    """The model in int8, with ranges of a batch, or of other `inputs` for each stage."""
    return in_int8(plain, names, ranges_of(plain, names, lambda stage: stage(**(batch or inputs()))))


def assert_near(found: Tensor, wanted: Tensor, share: float = 0.1) -> None:
    """Logits that are coarser, and tell the documents apart as before: 6.7 % at most, and 0.972 at least, was measured.

    `share` is that of the logits by which they may differ on average.
    """
    assert not torch.equal(found, wanted)
    assert (found - wanted).abs().mean() < share * wanted.abs().mean()
    assert correlation(found, wanted) > 0.93


MODELS: dict[str, Callable[[], Any]] = {
    "combined": lambda: tiny_model(reduction(combine_layer=3)),
    "dense": lambda: tiny_model(reduction(pruning="none")),
    "cascade": lambda: tiny_cascade(reduction(reread=0.3)),
}


@pytest.mark.parametrize("kind", MODELS)
def test_a_model_saved_and_loaded(kind: str, tmp_path: Path) -> None:
    plain = MODELS[kind]().eval()
    names = int8_names(plain.stages[0] if kind == "cascade" else plain)
    made = quantized_by(plain, names)
    assert plain.config.int8 is None, "the one it was made of stays"
    batch = inputs()
    with torch.no_grad():
        before, after = plain(**batch).logits, made(**batch).logits
    assert_near(after, before)
    made.save_pretrained(tmp_path)
    stored = load_file(tmp_path / "model.safetensors")
    for name in names:
        key = f"stages.0.{name}" if kind == "cascade" else name
        assert stored[f"{key}.weight"].dtype == torch.int8, name
    loaded = AutoModelForSequenceClassification.from_pretrained(tmp_path, dtype=torch.float32).eval()
    with torch.no_grad():
        assert torch.equal(loaded(**batch).logits, after)
        for copied in (copy.deepcopy(loaded), pickle.loads(pickle.dumps(loaded))):
            assert torch.equal(copied(**batch).logits, after)
        documents = zip(*batch.values(), strict=True)
        alone = torch.cat([loaded(input_ids=row[: int(own.sum())][None]).logits for row, own in documents])
    assert torch.allclose(alone, after, atol=1e-5)


def test_units_apart_are_the_largest_in_float32() -> None:
    plain = MODELS["dense"]().eval()
    made = quantized_by(plain, int8_names(plain))
    block, own = plain.encoder.layer[0], made.encoder.layer[0].intermediate.apart
    seen: list[Tensor] = []
    block.output.dense.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    with torch.no_grad():
        plain(**inputs())
        rows = torch.randn(5, plain.config.hidden_size)
        units = [int((block.intermediate.dense.weight == row).all(1).nonzero()) for row in own.up]
        widened = F.gelu(block.intermediate.dense(rows))[:, units]
        share = widened @ block.output.dense.weight[:, units].T
        torch.testing.assert_close(own(rows, "none"), rows + share, atol=1e-6, rtol=1e-5)
        assert not made.encoder.layer[0].intermediate.dense.weight[units].any()
        assert not made.encoder.layer[0].intermediate.dense.bias[units].any()
    reach = torch.cat(seen).abs().amax(0)
    assert reach[units].min() > reach.median(), "random inputs differ a little from those that the ranges were of"


def test_a_stage_with_biases_of_its_own() -> None:
    plain = MODELS["cascade"]().eval()
    plain.give_own_norms(True)
    with torch.no_grad():
        for name, bias in plain.second.named_parameters():
            if name.endswith("intermediate.dense.bias"):
                bias.normal_()
    made = quantized_by(plain, int8_names(plain.first))
    batch = inputs()
    with torch.no_grad():
        assert_near(made.read_alone(1, **batch).logits, plain.read_alone(1, **batch).logits, share=0.035)
        first, second = (stage.encoder.layer[0].intermediate.apart for stage in made.stages)
        assert torch.equal(first.up, second.up)
        assert not torch.equal(first.bias, second.bias)


@pytest.mark.parametrize("gated", [False, True], ids=["plain", "gated"])
@pytest.mark.parametrize("activation", ["relu", "silu", "gelu_new", "quick_gelu", "gelu_pytorch_tanh", "tanh"])
def test_any_activation(activation: str, gated: bool, tmp_path: Path) -> None:
    """Weights are smaller than in other tests here: a gate multiplies the errors of both of its halves."""
    sizes: dict[str, Any] = {"hidden_act": activation, "blocks": {"gated": gated}, "initializer_range": 0.1}
    plain, batch = tiny_model(reduction(pruning="none"), **sizes).eval(), inputs()
    made = quantized_by(plain, int8_names(plain), batch)
    with torch.no_grad():
        before, after = plain(**batch).logits, made(**batch).logits
        assert_near(after, before)
        documents = zip(*batch.values(), strict=True)
        alone = torch.cat([made(input_ids=row[: int(own.sum())][None]).logits for row, own in documents])
        assert torch.allclose(alone, after, atol=1e-5)
        made.save_pretrained(tmp_path)
        loaded = AutoModelForSequenceClassification.from_pretrained(tmp_path, dtype=torch.float32).eval()
        assert torch.equal(loaded(**batch).logits, after)
    layer = made.encoder.layer[0]
    assert all(isinstance(half, Int8Linear) for half in (layer.intermediate.dense, layer.output.dense))
    whole = activation.startswith("gelu") and not gated
    assert (layer.output.dense.smoothing == 1).all() == whole, "what GELU leaves in a product has one scale"
    assert (layer.intermediate.apart is not None) == whole


def test_a_model_that_answered_can_be_asked_with_gradients_on() -> None:
    made = quantized_by(plain := MODELS["dense"]().eval(), int8_names(plain))
    batch = inputs()
    with torch.inference_mode():
        before = made(**batch).logits.clone()
    assert torch.allclose(made(**batch).logits, before, atol=0.05)


@pytest.mark.parametrize("part", ["attention.self", "attention.output", "intermediate", ".output", "embeddings"])
def test_any_part_may_be_int8_alone(part: str) -> None:
    plain = MODELS["dense"]().eval()
    made = quantized_by(plain, [name for name in int8_names(plain) if part in name])
    batch = inputs()
    with torch.no_grad():
        assert_near(made(**batch).logits, plain(**batch).logits)


def test_layers_that_stay_float32(tmp_path: Path) -> None:
    plain = MODELS["dense"]().eval()
    made = quantized_by(plain, [WORDS, "encoder.layer.0.output.dense"])
    kinds = {type(module).__name__ for module in made.encoder.layer[1].modules()}
    assert "Int8Linear" not in kinds
    assert isinstance(made.encoder.layer[0].output.dense, Int8Linear)
    assert isinstance(made.get_input_embeddings(), Int8Embedding)
    assert not isinstance(made.head.classifier, Int8Linear)


def test_a_module_of_another_kind_is_refused() -> None:
    with pytest.raises(ConfigError, match="LayerNorm"):
        in_int8(MODELS["dense"](), ["embeddings.LayerNorm"], {})


def test_doors(save_classifier: Callable[..., Path], tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = save_classifier(tmp_path / "plain", combine_layer=3)
    with pytest.raises(ConfigError, match="tokensieve quantize"):
        tokensieve.load(folder, device="cpu", dtype="int8")
    made = in_int8(tokensieve.load(folder, device="cpu").model, [WORDS], {})
    small = save_classifier(tmp_path / "small", combine_layer=3)
    made.save_pretrained(small)
    for dtype in ("int8", "auto", "float32"):
        classifier = tokensieve.load(small, device="cpu", dtype=dtype)
        assert classifier.dtype == "int8"
    assert ("no instructions" in caplog.text) != has_int8()
    for refused in ({"dtype": "bfloat16"}, {"offload_embeddings": True}):
        with pytest.raises(ConfigError, match="int8 weights"):
            tokensieve.load(small, device="cpu", **refused)
    with pytest.raises(CheckpointError, match="int8"):
        tokensieve.compress(small, tokensieve.ReductionConfig(prune=None))
