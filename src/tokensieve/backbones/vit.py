"""ViT and DeiT, which differ in DeiT's distillation token. Head: the linear layer on [CLS]; the pooler is left out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tokensieve.backbones.vision import OWN_FIELDS, VISION_FIELDS, VISION_NAMES, VisionFamily
from tokensieve.model.grid import PatchGrid

_NAMES = (*VISION_NAMES, (r"layernorm\.(.+)", r"encoder.LayerNorm.\1"))


@dataclass(frozen=True)
class _Vit(VisionFamily):
    distilled: bool = False

    def patches(self, config: Any, **changes: Any) -> PatchGrid:
        return super().patches(config, distilled=self.distilled, **changes)


def _family(name: str, distilled: bool) -> _Vit:
    return _Vit(
        name=name,
        prefix=f"{name}.",
        names=_NAMES,
        fields=VISION_FIELDS,
        head={"classifier": "classifier"},
        own_fields=OWN_FIELDS,
        distilled=distilled,
    )


VIT, DEIT = _family("vit", False), _family("deit", True)
