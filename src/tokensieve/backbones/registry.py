"""The families by transformers' model_type."""

from tokensieve.backbones.bert import BERT
from tokensieve.backbones.distilbert import DISTILBERT
from tokensieve.backbones.electra import ELECTRA
from tokensieve.backbones.family import Family
from tokensieve.backbones.modernbert import MODERNBERT
from tokensieve.backbones.mpnet import MPNET
from tokensieve.backbones.roberta import ROBERTA

BACKBONES: dict[str, Family] = {
    "bert": BERT,
    "roberta": ROBERTA,
    "xlm-roberta": ROBERTA,
    "camembert": ROBERTA,
    "distilbert": DISTILBERT,
    "electra": ELECTRA,
    "modernbert": MODERNBERT,
    "mpnet": MPNET,
}
