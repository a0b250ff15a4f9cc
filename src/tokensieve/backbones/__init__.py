"""From transformers' checkpoints to ours: name tables and sizes of the families, and `compress`."""

from tokensieve.backbones.compress import compress, compress_body
from tokensieve.backbones.family import Family
from tokensieve.backbones.registry import BACKBONES, IMAGE_BACKBONES

__all__ = ["BACKBONES", "IMAGE_BACKBONES", "Family", "compress", "compress_body"]
