"""Who can take part: each kind of contender has a dataclass as its config, whose fields a JSON file may give."""

from tokensieve.bench.contenders.contender import Contender, ContenderConfig, FileClassifier, Setting
from tokensieve.bench.contenders.dense import Transformers
from tokensieve.bench.contenders.efficient import BigBird, Funnel, Longformer
from tokensieve.bench.contenders.onnx import Onnx
from tokensieve.bench.contenders.openvino import OpenVino
from tokensieve.bench.contenders.ours import Tokensieve
from tokensieve.bench.contenders.pipeline import Pipeline

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
