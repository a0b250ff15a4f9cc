"""Who can take part: each kind of contender has a dataclass as its config, whose fields a JSON file may give."""

from tokensieve_bench.contenders.contender import Contender, ContenderConfig, FileClassifier, Setting
from tokensieve_bench.contenders.dense import Transformers
from tokensieve_bench.contenders.efficient import BigBird, Funnel, Longformer
from tokensieve_bench.contenders.onnx import Onnx
from tokensieve_bench.contenders.openvino import OpenVino
from tokensieve_bench.contenders.ours import Tokensieve
from tokensieve_bench.contenders.pipeline import Pipeline

__all__ = ["CONTENDER_CONFIGS", "Contender", "ContenderConfig", "FileClassifier", "Setting"]

CONTENDER_CONFIGS: dict[str, type[ContenderConfig]] = {
    "transformers": Transformers,
    "pipeline": Pipeline,
    "onnx": Onnx,
    "openvino": OpenVino,
    "tokensieve": Tokensieve,
    "longformer": Longformer,
    "bigbird": BigBird,
    "funnel": Funnel,
}
"""Classes by the name that a JSON file gives as "kind"."""
