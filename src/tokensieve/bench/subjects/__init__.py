"""Who can take part: a kind of subject is a dataclass, and its fields are the settings that a config may give."""

from tokensieve.bench.subjects.dense import Transformers
from tokensieve.bench.subjects.efficient import BigBird, Funnel, Longformer
from tokensieve.bench.subjects.kind import FileClassifier, Kind, Setting, Subject
from tokensieve.bench.subjects.onnx import Onnx
from tokensieve.bench.subjects.ours import Tokensieve
from tokensieve.bench.subjects.pipeline import Pipeline

__all__ = ["KINDS", "FileClassifier", "Kind", "Setting", "Subject"]

KINDS: dict[str, type[Kind]] = {
    "transformers": Transformers,
    "pipeline": Pipeline,
    "onnx": Onnx,
    "tokensieve": Tokensieve,
    "longformer": Longformer,
    "bigbird": BigBird,
    "funnel": Funnel,
}
