"""PruMerge in models of the shape of LLaVA: vision tower, fewer tokens, projector, language model."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from tokensieve.errors import InputError
from tokensieve.multimodal.prompt import place_visual_tokens
from tokensieve.multimodal.signals import Heads, vision_signals
from tokensieve.multimodal.visual_tokens import reduce_visual_tokens


@torch.no_grad()
def llava_inputs(
    model: Any,
    input_ids: Tensor,
    pixel_values: Tensor,
    attention_mask: Tensor | None = None,
    *,
    heads: Heads = "one",
    **settings: Any,
) -> dict[str, Tensor]:
    """The inputs of `model.generate` or `model.forward` with few visual tokens: `inputs_embeds` in place of ids.

    Args:
        model: `LlavaForConditionalGeneration` of transformers, whose tower has a [CLS] token.
        input_ids: [B, L], as the processor makes them: a placeholder for each patch.
        pixel_values: [images, C, height, width], in the order of the prompts.
        attention_mask: [B, L]; None: no padding.
        heads: as in `vision_signals`.
        settings: as in `reduce_visual_tokens`.

    Raises:
        InputError: the tower has no [CLS] token, the model reads features of several layers or keeps [CLS] among them,
            or the placeholders are not those of the images.
        ConfigError: a setting out of range.
    """
    config, inner = model.config, model.model
    if config.vision_feature_select_strategy != "default" or not isinstance(config.vision_feature_layer, int):
        raise InputError(
            f"vision_feature_layer={config.vision_feature_layer!r}, vision_feature_select_strategy="
            f"{config.vision_feature_select_strategy!r}: the features of patches of one layer are needed; use "
            "reduce_visual_tokens and place_visual_tokens"
        )
    tower = inner.vision_tower
    signals = vision_signals(tower, pixel_values.to(tower.dtype), config.vision_feature_layer, heads)
    tokens = reduce_visual_tokens(*signals, **settings)
    features = inner.multi_modal_projector(tokens.values)
    return place_visual_tokens(
        model.get_input_embeddings()(input_ids),
        input_ids,
        features.split(list(tokens.lengths)),
        image_token_id=config.image_token_id,
        placeholders=signals.hidden.shape[1],
        attention_mask=attention_mask,
    )
