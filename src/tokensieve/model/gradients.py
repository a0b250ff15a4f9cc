"""The exact gradient importance of tokens: how much the answer moves with a token's input vector.

Source: a widely read account of PTC, which names "the gradient of the logits with respect to the input tokens" and says
no more; saliency maps are older (Simonyan et al., 2014). It does not say of which logit, nor how a vector becomes a
number. Here it is the logit of the predicted class, and the number is a setting: the norm of the gradient, or the size
of its product with the input vector. The input vector is what enters the first layer: word, position and segment.

It takes a forward and a backward pass with all tokens. A score that is known ahead of the first layer predicts it
(`reduce.score.learned`, with target "gradient").
"""

from __future__ import annotations

import torch
from torch import Tensor

from tokensieve.errors import ConfigError
from tokensieve.model.batch import check_batch
from tokensieve.model.classifier import TokensieveForSequenceClassification
from tokensieve.reduce.score.gradient import Kind


def token_gradients(
    model: TokensieveForSequenceClassification,
    input_ids: Tensor,
    attention_mask: Tensor | None = None,
    *,
    kind: Kind = "norm",
    **inputs: Tensor,
) -> Tensor:
    """Importance of each token, [B, L] float32, 0 or more; 0 at padding.

    Args:
        model: prunes nothing; it runs as in evaluation and is left as it was.
        input_ids: [B, L].
        attention_mask: [B, L]; None: all are real.
        kind: how the gradient of a token becomes a number.
        inputs: more of what the model's `forward` takes.

    Raises:
        ConfigError: the model prunes, or has int8 weights, through which there is no gradient.
        InputError: as `forward`.
    """
    if model.settings.prune is not None:
        raise ConfigError(
            "the exact gradient is that of all tokens, and this model prunes: build one that does not with "
            "compress(model, replace(model.settings, prune=None))"
        )
    if model.config.int8:
        raise ConfigError("there is no gradient through int8 weights: give the classifier that they were made of")
    training = model.training
    model.train(False)
    try:
        with torch.inference_mode(False), torch.enable_grad():
            batch = check_batch(model.config, input_ids, attention_mask, **inputs)
            tokens = model.embeddings(batch)
            vectors = tokens.values.detach().clone().requires_grad_()
            logits, _ = model.head(model.encoder(tokens.with_values(vectors))[0])
            value = predicted_value(logits, model.config.problem_type)
            (gradient,) = torch.autograd.grad(value.sum(), vectors)
    finally:
        model.train(training)
    found = importance_of(vectors.detach(), gradient, kind)
    padded = found.new_zeros(batch.mask.shape)
    padded[batch.mask] = found[tokens.origin >= 0]
    return padded


def predicted_value(logits: Tensor, problem_type: str | None) -> Tensor:
    """What is differentiated, [B]: the predicted class's logit; for several labels the sum of their absolute logits."""
    return logits.abs().sum(1) if problem_type == "multi_label_classification" else logits.amax(1)


def importance_of(vectors: Tensor, gradients: Tensor, kind: Kind) -> Tensor:
    """The number of each token, [T], of its input vector and its gradient, both [T, d]."""
    return gradients.norm(dim=1) if kind == "norm" else (vectors * gradients).sum(1).abs()
