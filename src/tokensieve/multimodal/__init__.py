"""Fewer visual tokens for a language model: PruMerge on a vision tower, CATP on a Q-Former. Nothing is trained."""

from tokensieve.multimodal.llava import llava_inputs
from tokensieve.multimodal.prompt import place_visual_tokens
from tokensieve.multimodal.qformer import reduce_query_tokens
from tokensieve.multimodal.rank_votes import image_weights, keep_best, rank_votes
from tokensieve.multimodal.signals import VisionSignals, vision_signals
from tokensieve.multimodal.visual_tokens import outliers, reduce_visual_tokens, spatial_sample

__all__ = [
    "VisionSignals",
    "image_weights",
    "keep_best",
    "llava_inputs",
    "outliers",
    "place_visual_tokens",
    "rank_votes",
    "reduce_query_tokens",
    "reduce_visual_tokens",
    "spatial_sample",
    "vision_signals",
]
