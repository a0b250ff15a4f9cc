"""ONNX Runtime gives the model's logits on batches and lengths that the exporter has not seen."""

import importlib.util
from pathlib import Path

import pytest
import torch

from contract.variants import POSITIONS, VARIANTS, batch, documents, settings, tiny_model
from support.packages import needed
from tokensieve import MissingExtraError, ReductionConfig
from tokensieve.export.onnx import check_packages, onnx_logits, to_onnx

SETTINGS = {
    "dense-mean": settings(pruning="none", pooling="mean"),
    "fastest": VARIANTS["method fastest"],
    "received-hidden": settings(pruning="ratio", site="hidden", pooling="host", min_length=12),
    "keys-of-each-head-and-combining": settings(pruning="ratio", heads="per_head", combine_layer=2),
}
"""Between them every score, site, pooling and operation that an export may hold."""


@pytest.mark.slow
@pytest.mark.parametrize("reduction", SETTINGS.values(), ids=SETTINGS.keys())
@torch.no_grad()
def test_onnx_runtime_gives_the_logits_of_the_model(reduction: ReductionConfig, tmp_path: Path) -> None:
    needed("onnxruntime")
    model = tiny_model(reduction, num_hidden_layers=2)  # the exporter takes seconds for each layer
    to_onnx(model, tmp_path / "model.onnx")
    logits = onnx_logits(tmp_path / "model.onnx")
    for lengths in [(17, 1, 40, 2), (3, 63, 62, 5, 4, 30), (POSITIONS, 1), (1,), (11,)]:
        for side in ("right", "left"):
            inputs = batch(documents(lengths), side=side)
            inputs["token_type_ids"] = torch.zeros_like(inputs["input_ids"])
            torch.testing.assert_close(logits(inputs), model(**inputs).logits, atol=1e-4, rtol=0)
    inputs["attention_mask"][:] = 0
    assert logits(inputs).shape == (1, 3), "an empty document does not end the process"


@pytest.mark.parametrize("package", ["onnx", "onnxscript", "onnxruntime"])
def test_a_missing_package_is_named(package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == package else object())
    with pytest.raises(MissingExtraError, match=rf"'{package}'.*tokensieve\[onnx\]"):
        check_packages()
