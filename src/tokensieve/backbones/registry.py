"""The families by transformers' model_type."""

from tokensieve.backbones.bert import BERT
from tokensieve.backbones.clip import CLIP_VISION
from tokensieve.backbones.dinov2 import DINOV2
from tokensieve.backbones.distilbert import DISTILBERT
from tokensieve.backbones.electra import ELECTRA
from tokensieve.backbones.eurobert import EUROBERT
from tokensieve.backbones.family import Family
from tokensieve.backbones.modernbert import MODERNBERT
from tokensieve.backbones.mpnet import MPNET
from tokensieve.backbones.roberta import ROBERTA
from tokensieve.backbones.vit import DEIT, VIT

BACKBONES: dict[str, Family] = {
    "bert": BERT,
    "roberta": ROBERTA,
    "xlm-roberta": ROBERTA,
    "camembert": ROBERTA,
    "distilbert": DISTILBERT,
    "electra": ELECTRA,
    "eurobert": EUROBERT,
    "modernbert": MODERNBERT,
    "mpnet": MPNET,
}
"""Families that read texts."""

IMAGE_BACKBONES: dict[str, Family] = {
    "vit": VIT,
    "deit": DEIT,
    "dinov2": DINOV2,
    "clip_vision_model": CLIP_VISION,
    "clip": CLIP_VISION,
}
"""Families that read images."""

ALL_BACKBONES: dict[str, Family] = {**BACKBONES, **IMAGE_BACKBONES}
