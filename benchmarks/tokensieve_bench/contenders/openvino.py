"""The dense backbone in OpenVINO: float32, bfloat16, or quantised to int8 by NNCF after training (static)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from torch import Tensor

from tokensieve.errors import ConfigError
from tokensieve.export.onnx import quiet_exporter
from tokensieve_bench.contenders.calibration import calibration_ids
from tokensieve_bench.contenders.contender import Contender, ContenderConfig, Setting, check_order
from tokensieve_bench.contenders.onnx import INPUTS, exported
from tokensieve_bench.flops import Flops, dense_cost
from tokensieve_bench.work import Batch, Order, Work

Precision = Literal["float32", "bfloat16", "int8"]

_HINTS: Mapping[str, Mapping[str, str]] = {
    "float32": {"INFERENCE_PRECISION_HINT": "f32"},
    "bfloat16": {"INFERENCE_PRECISION_HINT": "bf16"},
    "int8": {},  # OpenVINO's default: what is not int8 is bfloat16 where the processor has it
}


@dataclass(frozen=True)
class OpenVino(ContenderConfig):
    """OpenVINO.

    Attributes:
        precision: "float32", "bfloat16", or "int8": weights and activations, whose ranges come from calibration.
        order: of the documents in batches.
    """

    precision: Precision = "float32"
    order: Order = "sorted"

    packages: ClassVar[tuple[str, ...]] = ("openvino", "nncf", "onnx", "onnxscript")
    modules: ClassVar[tuple[str, ...]] = ("openvino",)
    extra: ClassVar[str] = "rivals"

    def __post_init__(self) -> None:
        check_order(self)
        if self.precision not in _HINTS:
            raise ConfigError(f"precision={self.precision!r}: choose one of {', '.join(map(repr, _HINTS))}")

    def prepare(self, setting: Setting) -> None:
        """Export, and quantise."""
        plain, target = exported(setting), self._file(setting)
        if not target.is_file():
            quantize(plain, target, calibration(setting))

    def load(self, setting: Setting) -> Contender:
        """A compiled model with as many threads as the others have."""
        self.prepare(setting)
        return OpenVinoContender(self._file(setting), setting, self)

    def _file(self, setting: Setting) -> Path:
        return setting.folder / "dense-int8.xml" if self.precision == "int8" else exported(setting)


class OpenVinoContender(Contender):
    """A compiled model, one request at a time."""

    def __init__(self, file: Path, setting: Setting, config: OpenVino) -> None:
        import openvino

        options = {
            "INFERENCE_NUM_THREADS": setting.threads,
            "NUM_STREAMS": 1,
            "PERFORMANCE_HINT": "LATENCY",  # a batch at a time, by all threads
            **_HINTS[config.precision],
        }
        core = openvino.Core()
        compiled = core.compile_model(core.read_model(file), "CPU", options)
        self.request = compiled.create_infer_request()
        self.order, self.backbone = config.order, setting.backbone
        self.facts = {
            "order": config.order,
            "dtype": config.precision,
            "runtime": openvino.__version__,
            "hint": compiled.get_property("INFERENCE_PRECISION_HINT").to_string(),
            "threads": compiled.get_property("INFERENCE_NUM_THREADS"),
        }

    def forward(self, batch: Batch) -> Tensor:
        """Logits [B, C] of a batch."""
        given = {name: getattr(batch, name).numpy() for name in INPUTS}
        return torch.from_numpy(self.request.infer(given, share_inputs=True)["logits"])

    def cost(self, work: Work) -> Flops:
        """The backbone's own; operations on int8 count as others do."""
        return dense_cost(self.backbone.ours, work)


def calibration(setting: Setting) -> list[dict[str, np.ndarray[Any, Any]]]:
    """Inputs of single documents, unpadded."""
    rows = calibration_ids(setting)
    return [{"input_ids": np.array([row]), "attention_mask": np.ones((1, len(row)), np.int64)} for row in rows]


def quantize(source: Path, target: Path, documents: list[dict[str, np.ndarray[Any, Any]]]) -> None:
    """Weights and activations in int8, by NNCF's post-training quantisation for transformers."""
    with quiet_exporter():
        import nncf
        import openvino

        model = openvino.Core().read_model(source)
        quantized = nncf.quantize(
            model, nncf.Dataset(documents), model_type=nncf.ModelType.TRANSFORMER, subset_size=len(documents)
        )
        openvino.save_model(quantized, target, compress_to_fp16=False)
