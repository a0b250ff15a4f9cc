"""From transformers' checkpoints to ours: name tables and sizes of the BERT family, and `compress`."""

from tokensieve.backbones.compress import compress, compress_body
from tokensieve.backbones.family import Family
from tokensieve.backbones.registry import BACKBONES

__all__ = ["BACKBONES", "Family", "compress", "compress_body"]
