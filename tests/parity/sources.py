"""Tiny random models of transformers, one of every family and shape that `compress` takes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    CamembertConfig,
    CamembertForSequenceClassification,
    DistilBertConfig,
    DistilBertForSequenceClassification,
    ElectraConfig,
    ElectraForSequenceClassification,
    EuroBertConfig,
    EuroBertForSequenceClassification,
    ModernBertConfig,
    ModernBertForSequenceClassification,
    MPNetConfig,
    MPNetForSequenceClassification,
    PreTrainedModel,
    RobertaConfig,
    RobertaForSequenceClassification,
    XLMRobertaConfig,
    XLMRobertaForSequenceClassification,
)

LAYERS, LABELS, VOCABULARY, LONGEST = 3, 3, 100, 50

SIZES: dict[str, Any] = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": 4,
    "intermediate_size": 48,
    "initializer_range": 0.2,
    "num_labels": LABELS,
}
# RoBERTa's first position is pad_token_id + 1, so its table is longer than its documents.
FROM_IDS = {"pad_token_id": 1, "max_position_embeddings": LONGEST + 2, "type_vocab_size": 1}
DISTIL: dict[str, Any] = {
    "vocab_size": VOCABULARY,
    "dim": 32,
    "n_layers": LAYERS,
    "n_heads": 4,
    "hidden_dim": 48,
    "initializer_range": 0.2,
    "num_labels": LABELS,
    "max_position_embeddings": LONGEST,
}


def bert(**changes: Any) -> PreTrainedModel:
    """BERT, the family whose names are ours."""
    return BertForSequenceClassification(BertConfig(**SIZES | {"max_position_embeddings": LONGEST} | changes))


def roberta() -> PreTrainedModel:
    """RoBERTa."""
    return RobertaForSequenceClassification(RobertaConfig(**SIZES | FROM_IDS))


def distilbert(**changes: Any) -> PreTrainedModel:
    """DistilBERT."""
    return DistilBertForSequenceClassification(DistilBertConfig(**DISTIL | changes))


def modernbert(**changes: Any) -> PreTrainedModel:
    """ModernBERT with windows that are short enough to matter; layers 0 and 3 are global."""
    sizes = SIZES | {"num_hidden_layers": 4, "local_attention": 8, "pad_token_id": 0, "cls_token_id": 1}
    special = {"bos_token_id": 1, "eos_token_id": 2, "sep_token_id": 2, "max_position_embeddings": LONGEST}
    return ModernBertForSequenceClassification(ModernBertConfig(**sizes | special | changes))


def eurobert(**changes: Any) -> PreTrainedModel:
    """EuroBERT with heads of keys that two heads of queries share, and the head that reads all tokens."""
    sizes = SIZES | {"num_key_value_heads": 2, "pad_token_id": 0, "max_position_embeddings": LONGEST}
    return EuroBertForSequenceClassification(
        EuroBertConfig(**sizes | {"bos_token_id": 1, "eos_token_id": 2, "mask_token_id": 3} | changes)
    )


def electra(embedding_size: int) -> PreTrainedModel:
    """ELECTRA; embeddings of another width than the layers are projected."""
    sizes = SIZES | {"max_position_embeddings": LONGEST, "embedding_size": embedding_size}
    return ElectraForSequenceClassification(ElectraConfig(**sizes))


SOURCES: dict[str, Callable[[], PreTrainedModel]] = {
    "bert": bert,
    "bert-relu-wide-eps": lambda: bert(hidden_act="relu", layer_norm_eps=1e-3),
    "roberta": roberta,
    "xlm-roberta": lambda: XLMRobertaForSequenceClassification(XLMRobertaConfig(**SIZES | FROM_IDS)),
    "camembert": lambda: CamembertForSequenceClassification(CamembertConfig(**SIZES | FROM_IDS)),
    "distilbert": distilbert,
    "distilbert-sinusoidal": lambda: distilbert(sinusoidal_pos_embds=True, activation="relu"),
    "electra-projected": lambda: electra(16),
    "electra": lambda: electra(32),
    "eurobert": eurobert,
    "eurobert-first": lambda: eurobert(classifier_pooling="bos", num_key_value_heads=1),
    "eurobert-mean": lambda: eurobert(
        classifier_pooling="mean", num_key_value_heads=4, attention_bias=True, mlp_bias=True
    ),
    "modernbert": modernbert,
    "modernbert-mean": lambda: modernbert(
        classifier_pooling="mean", norm_bias=True, attention_bias=True, mlp_bias=True, classifier_bias=True
    ),
    "modernbert-global": lambda: modernbert(layer_types=["full_attention"] * 4),
    "mpnet": lambda: MPNetForSequenceClassification(MPNetConfig(**SIZES | {"max_position_embeddings": LONGEST + 2})),
}


def build_source(name: str) -> PreTrainedModel:
    """The model in eval mode, with random biases and norms too: one that is lost or swapped must show."""
    torch.manual_seed(2)
    source = SOURCES[name]().eval()
    with torch.no_grad():
        for parameter in source.parameters():
            if parameter.dim() == 1:
                parameter += 0.2 * torch.randn_like(parameter)
    return source


def source_batch(source: PreTrainedModel) -> dict[str, Tensor]:
    """A right-padded batch of very unequal documents."""
    lengths = torch.tensor([7, 1, LONGEST, 2, 20])
    mask = torch.arange(LONGEST) < lengths.unsqueeze(1)
    ids = torch.randint(5, VOCABULARY, mask.shape).where(mask, torch.tensor(source.config.pad_token_id))
    return {"input_ids": ids, "attention_mask": mask.long()}
