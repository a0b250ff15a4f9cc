"""The dense backbone in ONNX Runtime: exported by torch, in float32 or with weights quantised to int8 (dynamic)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from tokensieve.errors import ConfigError, first_line
from tokensieve.export.onnx import quiet_exporter
from tokensieve_bench.backbone import Backbone
from tokensieve_bench.contenders.contender import Contender, ContenderConfig, Setting, check_order
from tokensieve_bench.flops import Flops, dense_cost
from tokensieve_bench.work import Batch, Order, Work

INPUTS = ("input_ids", "attention_mask")
"""Names of the graph's inputs; its output is "logits"."""


@dataclass(frozen=True)
class Onnx(ContenderConfig):
    """ONNX Runtime.

    Attributes:
        precision: "float32", or "int8": weights in int8, activations quantised as they come.
        order: of the documents in batches.
    """

    precision: Literal["float32", "int8"] = "float32"
    order: Order = "sorted"

    packages: ClassVar[tuple[str, ...]] = ("onnx", "onnxscript", "onnxruntime")
    modules: ClassVar[tuple[str, ...]] = ("onnxruntime",)

    def __post_init__(self) -> None:
        check_order(self)
        if self.precision not in ("float32", "int8"):
            raise ConfigError(f"precision={self.precision!r}: choose 'float32' or 'int8'")

    def prepare(self, setting: Setting) -> None:
        """Export, and quantise."""
        plain, target = exported(setting), self._file(setting)
        if not target.is_file():
            quantize(plain, target)

    def load(self, setting: Setting) -> Contender:
        """A session with as many threads as the others have."""
        self.prepare(setting)
        return OnnxContender(self._file(setting), setting, self)

    def _file(self, setting: Setting) -> Path:
        return setting.folder / "dense-int8.onnx" if self.precision == "int8" else exported(setting)


class OnnxContender(Contender):
    """A session."""

    def __init__(self, file: Path, setting: Setting, config: Onnx) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = setting.threads, 1
        # Its threads would go on spinning after a run, on the cores of the next contender.
        options.add_session_config_entry("session.force_spinning_stop", "1")
        self.session = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
        self.order, self.backbone = config.order, setting.backbone
        self.facts = {"order": config.order, "dtype": config.precision, "runtime": onnxruntime.__version__}

    def forward(self, batch: Batch) -> Tensor:
        """Logits [B, C] of a batch."""
        given = {name: getattr(batch, name).numpy() for name in INPUTS}
        return torch.from_numpy(self.session.run(["logits"], given)[0])

    def cost(self, work: Work) -> Flops:
        """Those of the backbone; operations on int8 count as others do."""
        return dense_cost(self.backbone.ours, work)


def exported(setting: Setting) -> Path:
    """The backbone's file in float32, which all runtimes share; exported if it is not there yet.

    Raises:
        ConfigError: as `export`.
    """
    file = setting.folder / "dense-float32.onnx"
    if not file.is_file():
        export(setting.backbone, file)
    return file


def export(backbone: Backbone, file: Path) -> None:
    """The backbone as an ONNX file for any batch and length, by torch.export; where that fails, by tracing.

    Raises:
        ConfigError: neither works.
    """
    first, last = backbone.special_ids
    words = torch.tensor([[first, 7, 8, last]] * 2)
    mask = torch.tensor([[1, 1, 1, 1], [1, 1, 1, 0]])
    names: dict[str, Any] = {"input_names": list(INPUTS), "output_names": ["logits"], "verbose": False}
    free = {0: torch.export.Dim("batch"), 1: torch.export.Dim("length", max=backbone.ours.longest_document)}
    by_export: dict[str, Any] = {"dynamic_shapes": dict.fromkeys(INPUTS, free), "dynamo": True}
    axes = {name: {0: "batch", 1: "length"} for name in INPUTS} | {"logits": {0: "batch"}}
    by_tracing: dict[str, Any] = {"dynamic_axes": axes, "dynamo": False}
    with quiet_exporter(), torch.inference_mode():
        for number, way in enumerate((by_export, by_tracing)):
            try:
                inputs = {"input_ids": words, "attention_mask": mask}
                torch.onnx.export(backbone.model, (), file, kwargs=inputs, external_data=False, **names, **way)
                return
            except Exception as error:
                file.unlink(missing_ok=True)
                if number:
                    raise ConfigError(
                        f"backbone {backbone.name!r} cannot be exported to ONNX ({first_line(error)}): leave the kinds "
                        "'onnx' and 'openvino' out"
                    ) from error


def quantize(source: Path, target: Path) -> None:
    """Weights of matrix products in int8, activations quantised at run time."""
    from onnxruntime.quantization import QuantType, quantize_dynamic

    with quiet_exporter():
        quantize_dynamic(source, target, weight_type=QuantType.QInt8)
