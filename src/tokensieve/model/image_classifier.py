"""TokensieveForImageClassification: pixel values -> logits, in one pass: patches, the loop over layers, head.

Patches become packed tokens in `inputs/patches.py`. From there on a model is that of texts (`classifier.py`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from tokensieve.errors import ConfigError
from tokensieve.model.classifier import BodyWithHead
from tokensieve.model.configuration import TokensieveConfig
from tokensieve.model.images import check_images
from tokensieve.model.output import TokensieveOutput, output_of, refuse_padded_outputs
from tokensieve.model.plan import Plan


class TokensieveForImageClassification(BodyWithHead):
    """An image classifier with token reduction, on packed tokens.

    Build one with `tokensieve.compress`, or load one with `from_pretrained`.

    Raises:
        ConfigError: the config is of a family that reads texts.
    """

    main_input_name = "pixel_values"

    def __init__(self, config: TokensieveConfig) -> None:
        if config.grid is None:
            raise ConfigError(
                f"family={config.family!r} reads texts: load it with tokensieve.load or "
                "AutoModelForSequenceClassification"
            )
        super().__init__(config)

    def forward(
        self,
        pixel_values: Tensor | Sequence[Tensor] | None = None,
        labels: Tensor | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
    ) -> TokensieveOutput | tuple[Any, ...]:
        """Classify images, each of which has tokens of its own number.

        Args:
            pixel_values: [B, channels, height, width], or for images of different sizes a list of [channels, height,
                width]; numbers as the model's image processor makes them. Pixels beyond the last whole patch of a row
                or column are not read.
            labels: [B] class ids, [B, num_labels] floats (multi-label) or [B] floats (regression).
            output_attentions: not offered; True is refused.
            output_hidden_states: not offered; True is refused.
            return_dict: False for a plain tuple.

        Returns:
            Loss (with labels), logits [B, num_labels], image vectors and the trace of the tokens, whose position 0 is
            [CLS]; patches follow row by row.

        Raises:
            InputError: no images, or of a shape or type that the model does not take.
            ConfigError: attentions or hidden states asked for.
        """
        refuse_padded_outputs(output_attentions, output_hidden_states)
        images = check_images(self.config, pixel_values)
        return output_of(self.read(images), labels, self.config.problem_type, return_dict)

    def plan(self, length: int, *, special: int | None = None, samples: Mapping[str, Any] | None = None) -> Plan:
        """Plan an image of `length` tokens, as `TokensieveForSequenceClassification.plan`.

        Args:
            length: tokens, [CLS] included: at 224 x 224 pixels and patches of 14 x 14 they are 257.
            special: how many of them are protected; None: those that stand ahead of the patches.
            samples: pixel_values, by which shares are measured where token counts depend on the scores.

        Raises:
            ConfigError: the length is out of range.
        """
        return super().plan(length, special=self.config.special_ahead if special is None else special, samples=samples)

    def lengths_of(self, samples: Mapping[str, Any]) -> list[int]:
        """Tokens of each image."""
        return list(check_images(self.config, samples.get("pixel_values")).lengths)
