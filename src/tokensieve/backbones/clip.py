"""CLIP's vision tower: a norm ahead of the first layer, none behind the last. Head: a linear layer on the mean patch.

`post_layernorm` and `visual_projection`, which make CLIP's joint embedding of [CLS], belong to no classifier and are
left out.
"""

from __future__ import annotations

from typing import Any

from tokensieve.backbones.vision import OWN_FIELDS, VISION_FIELDS, VISION_NAMES, VisionFamily
from tokensieve.model.block import Blocks
from tokensieve.model.grid import PatchGrid

_FIELDS = {ours: theirs for ours, theirs in VISION_FIELDS.items() if ours != "hidden_dropout_prob"}


class _ClipVision(VisionFamily):
    def sizes(self, config: Any) -> dict[str, Any]:
        sizes = super().sizes(getattr(config, "vision_config", config))
        return {**sizes, "hidden_dropout_prob": 0.0, "head_pooling": "others"}

    def patches(self, config: Any, **changes: Any) -> PatchGrid:
        return super().patches(config, bias=False, norm=True, **changes)

    def blocks(self, config: Any) -> Blocks:
        return Blocks(norm_first=True, last_norm=False)


CLIP_VISION = _ClipVision(
    name="clip",
    prefix="vision_model.",
    names=(*VISION_NAMES, (r"pre_layrnorm\.(.+)", r"embeddings.LayerNorm.\1")),
    fields={**_FIELDS, "attention_probs_dropout_prob": "attention_dropout"},
    head={"classifier": "classifier"},
    own_fields=OWN_FIELDS,
)
"""Of a `CLIPVisionModel`; of a `CLIPModel` or `CLIPForImageClassification` its vision tower."""
