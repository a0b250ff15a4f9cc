"""Random classifiers of 0.1.0 for the fixtures, and one batch of all documents through them; for `make.py` alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from tokensieve.model.second_norms import norms_and_biases
from tokensieve.reducers import Importance
from torch import Tensor
from transformers import (
    DistilBertConfig,
    DistilBertForSequenceClassification,
    ElectraConfig,
    ElectraForSequenceClassification,
    PreTrainedModel,
    RobertaConfig,
    RobertaForSequenceClassification,
    XLMRobertaConfig,
    XLMRobertaForSequenceClassification,
)

from compat import documents, recipes
from tokensieve import TokensieveConfig, TokensieveForSequenceClassification, compress
from tokensieve.data.tokenize import encode
from tokensieve.model.probabilities import confidence

LABELS = dict(enumerate(documents.TOPICS))
SIZES: dict[str, Any] = {
    "hidden_size": recipes.WIDTH,
    "num_hidden_layers": recipes.LAYERS,
    "num_attention_heads": 2,
    "intermediate_size": recipes.WIDTH,
    "initializer_range": 0.25,
}


def build(recipe: dict[str, Any], tokenizer: Any) -> TokensieveForSequenceClassification:
    """A random classifier in eval mode; norms, biases, learned importances and a second reading are random too."""
    family, settings, more = recipe.get("family", "bert"), recipe["settings"], recipe.get("config", {})
    if family == "bert":
        special = [tokenizer.cls_token_id, tokenizer.sep_token_id]
        sizes = {"vocab_size": len(tokenizer), "max_position_embeddings": documents.POSITIONS, **SIZES}
        config = TokensieveConfig(ptc=settings, special_token_ids=special, **{"id2label": LABELS} | sizes | more)
        model = TokensieveForSequenceClassification(config)
    else:
        labels = {"id2label": LABELS, **more}
        model = compress(host(family, len(tokenizer)), settings, tokenizer=tokenizer, **labels)
    model.eval()
    with torch.no_grad():
        for own in norms_and_biases(model).values():
            own.add_(torch.randn_like(own), alpha=0.2)
        model.head.classifier.weight.mul_(0.5)  # small logits have small rounding errors
        for module in model.modules():
            if isinstance(module, Importance):
                module.weight.normal_()
        if settings.reread:
            give_second_reading(model, tokenizer, recipe.get("second_norms", False))
        if model.config.is_multi_label:
            scaled = forward(model, tokenizer).logits / model.config.calibration_temperature
            places = zip(recipe["given"], scaled.sigmoid().T, strict=True)
            model.config.thresholds = [between(own, share) for share, own in places]
    return model


def between(figures: Tensor, share: float) -> float:
    """A number that so large a share of the figures lies above."""
    ordered = figures.sort(descending=True).values
    place = round(share * len(ordered))
    return round(float(ordered[place - 1 : place + 1].mean()), 6)


def host(family: str, words: int) -> PreTrainedModel:
    """A random classifier of another family of transformers."""
    own = {"vocab_size": words, "num_labels": len(LABELS), "max_position_embeddings": documents.POSITIONS}
    if family == "electra":
        return ElectraForSequenceClassification(ElectraConfig(embedding_size=8, **SIZES | own))
    if family == "distilbert":
        sizes = {"dim": recipes.WIDTH, "n_layers": recipes.LAYERS, "n_heads": 2, "hidden_dim": recipes.WIDTH}
        return DistilBertForSequenceClassification(DistilBertConfig(initializer_range=0.25, **sizes | own))
    ids = {"pad_token_id": 1, "bos_token_id": 0, "eos_token_id": 2, "type_vocab_size": 1}
    own["max_position_embeddings"] = documents.POSITIONS + 2  # the first position is pad_token_id + 1
    if family == "roberta":
        return RobertaForSequenceClassification(RobertaConfig(**SIZES | own | ids))
    return XLMRobertaForSequenceClassification(XLMRobertaConfig(**SIZES | own | ids))


def give_second_reading(model: TokensieveForSequenceClassification, tokenizer: Any, norms: bool) -> None:
    """A last layer of its own, norms of its own if asked for, and a confidence below which two in five are reread."""
    model.head.whole.weight.normal_(std=0.15)
    model.head.whole.bias.normal_(std=0.2)
    if norms:
        model.give_second_norms(True)
        for own in norms_and_biases(model.encoder.layer).values():
            own.add_(torch.randn_like(own), alpha=0.2)
    first = forward(model, tokenizer, reading="first")
    pruned = [len(ids) >= model.settings.min_length for ids in batch(tokenizer)[1]]
    model.config.reread_below = between(confidence(first.logits, None)[torch.tensor(pruned)], 0.6)


def batch(tokenizer: Any, paired: bool = False) -> tuple[dict[str, Tensor], list[list[int]]]:
    """All documents, padded on the right; and their ids."""
    texts = documents.pairs() if paired else [(text, None) for text in documents.texts()]
    seconds = [second for _, second in texts] if paired else None
    found = encode(tokenizer, [first for first, _ in texts], documents.POSITIONS, seconds)
    width = max(map(len, found.input_ids))

    def padded(rows: Sequence[Sequence[int]], fill: int) -> Tensor:
        return torch.tensor([[*row, *[fill] * (width - len(row))] for row in rows])

    inputs = {
        "input_ids": padded(found.input_ids, tokenizer.pad_token_id),
        "attention_mask": padded([[1] * len(row) for row in found.input_ids], 0),
    }
    if paired:
        inputs["token_type_ids"] = padded(found.token_type_ids, 0)
    return inputs, found.input_ids


@torch.no_grad()
def forward(model: Any, tokenizer: Any, paired: bool = False, **options: Any) -> Any:
    return model(**batch(tokenizer, paired)[0], **options)
