"""What the families that read images share: names of their layers, patches, norms that come first.

transformers has named these layers in two ways since 5.0, in memory and in files; both are read.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from tokensieve.backbones.family import Family, shared_fields
from tokensieve.checks import BOOLEAN, Check, is_whole, number, whole
from tokensieve.errors import ConfigError
from tokensieve.model.block import Blocks
from tokensieve.model.grid import PatchGrid

_LAYER = r"(?:encoder\.)?layers?\.(\d+)\."
_ATTENTION = _LAYER + r"(?:attention|self_attn)\."
_OURS = r"encoder.layer.\1."
_PROJECTIONS = {"query": r"(?:q_proj|attention\.query)", "key": r"(?:k_proj|attention\.key)"}
_PROJECTIONS |= {"value": r"(?:v_proj|attention\.value)"}

VISION_NAMES = (
    (r"embeddings\.(?:cls_token|class_embedding)", r"embeddings.cls_token"),
    (r"embeddings\.distillation_token", r"embeddings.distillation_token"),
    (r"embeddings\.(?:position_embeddings|position_embedding\.weight)", r"embeddings.position_embeddings.weight"),
    (r"embeddings\.(?:patch_embeddings\.projection|patch_embedding)\.(.+)", r"embeddings.projection.\1"),
    *((_ATTENTION + their + r"\.(.+)", _OURS + rf"attention.self.{own}.\2") for own, their in _PROJECTIONS.items()),
    (_ATTENTION + r"(?:o_proj|out_proj|output\.dense)\.(.+)", _OURS + r"attention.output.dense.\2"),
    (_LAYER + r"(?:layernorm_before|norm1|layer_norm1)\.(.+)", _OURS + r"attention.self.LayerNorm.\2"),
    (_LAYER + r"(?:layernorm_after|norm2|layer_norm2)\.(.+)", _OURS + r"intermediate.LayerNorm.\2"),
    (_LAYER + r"(?:mlp\.fc1|intermediate\.dense)\.(.+)", _OURS + r"intermediate.dense.\2"),
    (_LAYER + r"(?:mlp\.fc2|output\.dense)\.(.+)", _OURS + r"output.dense.\2"),
)
_OF_TEXTS = ("vocab_size", "classifier_dropout", "max_position_embeddings", "type_vocab_size", "pad_token_id")
VISION_FIELDS = shared_fields(*_OF_TEXTS)
"""ViT and DeiT name these as we do."""
_SIDE = Check(
    lambda side: is_whole(side, 1) or (isinstance(side, (list, tuple)) and len(side) == 2 and all(map(is_whole, side))),
    "give a number of pixels, or height and width",
)
OWN_FIELDS: dict[str, Check] = {
    "image_size": _SIDE,
    "patch_size": _SIDE,
    "num_channels": whole(1, 1024),
    "qkv_bias": BOOLEAN,
    "mlp_ratio": number(lambda ratio: 0 < ratio <= 64, "a number above 0, at most 64"),
    "use_swiglu_ffn": BOOLEAN,
}
_OF_ONE_ROW = ("embeddings.cls_token", "embeddings.distillation_token")


class VisionFamily(Family):
    """A family whose tokens are patches of an image."""

    def sizes(self, config: Any) -> dict[str, Any]:
        """Fields of `TokensieveConfig` from the family's config.

        Raises:
            ConfigError: projections of queries, keys and values without biases, or sizes that do not go together.
        """
        if not getattr(config, "qkv_bias", True):
            raise ConfigError(
                "qkv_bias=False: attention without these biases is not computed; give a checkpoint with them"
            )
        patches, blocks = self.patches(config), self.blocks(config)
        return {
            **super().sizes(config),
            "vocab_size": 1,
            "pad_token_id": None,
            "type_vocab_size": 0,
            "classifier_dropout": 0.0,
            "max_position_embeddings": patches.positions,
            "patches": patches.to_dict(),
            "blocks": blocks.to_dict(),
            "head_dense": False,
        }

    def patches(self, config: Any, **changes: Any) -> PatchGrid:
        """How its images become tokens."""
        sides = (_pair(config.image_size), _pair(config.patch_size))
        return PatchGrid(*sides, channels=config.num_channels, **changes)

    def blocks(self, config: Any) -> Blocks:
        """How its layers are made."""
        return Blocks(norm_first=True)

    def rename(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """As `Family.rename`; the tables of one image, which have a dimension for the batch, lose it."""
        renamed = super().rename(state)
        for name in _OF_ONE_ROW:
            if name in renamed:
                renamed[name] = renamed[name].flatten()
        table = renamed.get("embeddings.position_embeddings.weight")
        if table is not None:
            renamed["embeddings.position_embeddings.weight"] = table.flatten(0, -2)
        return renamed


def _pair(side: Any) -> tuple[int, int]:
    return (side, side) if isinstance(side, int) else tuple(side)
