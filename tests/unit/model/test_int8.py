"""int8 weights: products close to float32's, the same alone and in a batch, saved and loaded as int8."""

import copy
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from transformers import AutoModelForSequenceClassification

import tokensieve
from contract.variants import tiny_cascade, tiny_model
from flat import reduction
from tokensieve.errors import CheckpointError, ConfigError
from tokensieve.kernels import int8
from tokensieve.kernels.int8 import Int8Embedding, Int8Linear, has_int8, quantized_rows, quantized_weight
from tokensieve.kernels.linear import Linear
from tokensieve.model.int8 import WORDS, in_int8, int8_names


def layer(rows: int = 24, columns: int = 40, bias: bool = True) -> tuple[Linear, Int8Linear]:
    plain = Linear(columns, rows, bias=bias)
    quantized = Int8Linear(columns, rows, bias)
    quantized.weight, quantized.weight_scale = quantized_weight(plain.weight)
    if bias:
        quantized.bias = plain.bias
    return plain, quantized


def test_a_matrix_is_rounded_to_whole_numbers_of_its_rows_scale() -> None:
    matrix = torch.tensor([[127.0, -63.5, 1.0], [0.0, 0.0, 0.0], [0.001, 0.0005, -0.001]])
    whole, scale = quantized_rows(matrix)
    assert whole.tolist() == [[127, -64, 1], [0, 0, 0], [127, 64, -127]]
    assert torch.allclose(whole * scale, matrix, atol=float(scale.max()) / 2)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("shape", [(1, 40), (7, 40), (2, 3, 40), (0, 40)])
def test_a_product_is_that_of_the_rounded_numbers(bias: bool, shape: tuple[int, ...]) -> None:
    plain, quantized = layer(bias=bias)
    rows = torch.randn(shape)
    found = quantized(rows)
    flat = rows.flatten(0, -2).double()
    scale = flat.abs().amax(1, keepdim=True) / 127
    weight = quantized.weight.double() * quantized.weight_scale.double()[:, None]
    exact = ((flat / scale).round() * scale) @ weight.T + (plain.bias.double() if bias else 0)
    assert found.shape == (*shape[:-1], 24)
    assert torch.allclose(found.double(), exact.unflatten(0, shape[:-1]), atol=1e-5)
    if len(flat):
        far = (found - plain(rows)).abs().mean() / plain(rows).abs().mean()
        assert far < 0.03, "it is close to the float32 product"


def test_a_row_does_not_depend_on_the_others() -> None:
    _, quantized = layer()
    rows = torch.randn(9, 40) * torch.logspace(-3, 3, 9)[:, None]
    alone = torch.cat([quantized(row[None]) for row in rows])
    assert torch.allclose(alone, quantized(rows), rtol=1e-6, atol=1e-6)


@pytest.mark.skipif(not has_int8(), reason="this processor has no instructions for int8")
def test_the_processors_product_is_that_of_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    _, quantized = layer(64, 384)
    rows = torch.randn(50, 384)
    native = quantized(rows)
    monkeypatch.setattr(int8, "has_int8", lambda: False)
    quantized._ready = None
    assert torch.allclose(native, quantized(rows), atol=1e-5)


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


MODELS: dict[str, Callable[[], Any]] = {
    "combined": lambda: tiny_model(reduction(combine_layer=3)),
    "dense": lambda: tiny_model(reduction(pruning="none")),
    "cascade": lambda: tiny_cascade(reduction(reread=0.3)),
}


@pytest.mark.parametrize("kind", MODELS)
def test_a_model_saved_and_loaded(kind: str, tmp_path: Path) -> None:
    plain = MODELS[kind]().eval()
    names = int8_names(plain.stages[0] if kind == "cascade" else plain)
    made = in_int8(plain, names)
    assert plain.config.int8 is None, "the one it was made of stays"
    batch = inputs()
    with torch.no_grad():
        before, after = plain(**batch).logits, made(**batch).logits
    assert (before - after).abs().mean() < 0.2
    assert not torch.equal(before, after)
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
    alone = torch.cat(
        [loaded(input_ids=row[: int(own.sum())][None]).logits for row, own in zip(*batch.values(), strict=True)]
    )
    assert torch.allclose(alone, after, atol=1e-5)


def test_layers_that_stay_float32(tmp_path: Path) -> None:
    plain = MODELS["dense"]().eval()
    made = in_int8(plain, [WORDS, "encoder.layer.0.output.dense"])
    kinds = {type(module).__name__ for module in made.encoder.layer[1].modules()}
    assert "Int8Linear" not in kinds
    assert isinstance(made.encoder.layer[0].output.dense, Int8Linear)
    assert isinstance(made.get_input_embeddings(), Int8Embedding)
    assert not isinstance(made.head.classifier, Int8Linear)


def test_a_module_of_another_kind_is_refused() -> None:
    with pytest.raises(ConfigError, match="LayerNorm"):
        in_int8(MODELS["dense"](), ["embeddings.LayerNorm"])


def test_doors(save_classifier: Callable[..., Path], tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = save_classifier(tmp_path / "plain", combine_layer=3)
    with pytest.raises(ConfigError, match="tokensieve quantize"):
        tokensieve.load(folder, device="cpu", dtype="int8")
    made = in_int8(tokensieve.load(folder, device="cpu").model, [WORDS])
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
