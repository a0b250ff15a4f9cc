"""DINOv2: layer scale; SwiGLU in its largest model. Head: a linear layer on [CLS] and the mean of the patches.

Stochastic depth (`drop_path_rate`), which acts in training alone, is left out.
"""

from __future__ import annotations

from typing import Any

from tokensieve.backbones.vision import OWN_FIELDS, VISION_FIELDS, VISION_NAMES, VisionFamily
from tokensieve.model.block import Blocks

_LAYER = r"encoder\.layer\.(\d+)\."


class _Dinov2(VisionFamily):
    def sizes(self, config: Any) -> dict[str, Any]:
        wide = int(config.hidden_size * config.mlp_ratio)
        sizes = {**super().sizes(config), "intermediate_size": wide, "head_pooling": "cls+others"}
        if config.use_swiglu_ffn:
            sizes |= {"intermediate_size": (int(wide * 2 / 3) + 7) // 8 * 8, "hidden_act": "silu"}
        return {**sizes, "hidden_dropout_prob": 0.0}  # its own acts on the embeddings alone

    def blocks(self, config: Any) -> Blocks:
        return Blocks(norm_first=True, layer_scale=True, gated=config.use_swiglu_ffn)


DINOV2 = _Dinov2(
    name="dinov2",
    prefix="dinov2.",
    names=(
        *VISION_NAMES,
        (_LAYER + r"layer_scale1\.lambda1", r"encoder.layer.\1.attention.output.scale"),
        (_LAYER + r"layer_scale2\.lambda1", r"encoder.layer.\1.output.scale"),
        (_LAYER + r"mlp\.(?:gate_proj|weights_in)\.(.+)", r"encoder.layer.\1.intermediate.dense.\2"),
        (_LAYER + r"mlp\.(?:down_proj|weights_out)\.(.+)", r"encoder.layer.\1.output.dense.\2"),
        (r"layernorm\.(.+)", r"encoder.LayerNorm.\1"),
    ),
    fields={ours: theirs for ours, theirs in VISION_FIELDS.items() if ours != "intermediate_size"},
    head={"classifier": "classifier"},
    own_fields=OWN_FIELDS,
    joined=("mlp.gate_proj.", "mlp.up_proj."),  # `weights_in` has both, in older versions of transformers
)
