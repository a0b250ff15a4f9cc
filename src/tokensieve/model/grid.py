"""PatchGrid: how images are cut into patches, and what stands ahead of them. A family states it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from tokensieve.checks import BOOLEAN, Check, check_values, is_whole, refuse_unknown, whole
from tokensieve.errors import ConfigError

_MOST_PIXELS = 16_384


def _is_size(value: object) -> bool:
    return (
        isinstance(value, (list, tuple)) and len(value) == 2 and all(is_whole(side, 1, _MOST_PIXELS) for side in value)
    )


SIZE = Check(_is_size, f"give height and width in pixels, each from 1 to {_MOST_PIXELS}")
_CHECKS: dict[str, Check] = {
    "image_size": SIZE,
    "patch_size": SIZE,
    "channels": whole(1, 1024),
    "bias": BOOLEAN,
    "norm": BOOLEAN,
    "distilled": BOOLEAN,
}


@dataclass(frozen=True)
class PatchGrid:
    """How an image becomes tokens: [CLS], a distillation token in DeiT, then its patches, row by row.

    Attributes:
        image_size: height and width in pixels of the images that the position table was made for.
        patch_size: height and width of a patch.
        channels: of a pixel.
        bias: whether the projection of a patch has one.
        norm: whether a norm follows the positions (CLIP).
        distilled: whether a distillation token follows [CLS] (DeiT).

    Raises:
        ConfigError: a field has a value of another type, or an image is smaller than a patch.
    """

    image_size: tuple[int, int] = (224, 224)
    patch_size: tuple[int, int] = (16, 16)
    channels: int = 3
    bias: bool = True
    norm: bool = False
    distilled: bool = False

    def __post_init__(self) -> None:
        check_values(vars(self), _CHECKS)
        for name in ("image_size", "patch_size"):  # JSON has lists
            object.__setattr__(self, name, tuple(getattr(self, name)))
        if 0 in self.cells(*self.image_size):
            raise ConfigError(
                f"image_size={list(self.image_size)} with patch_size={list(self.patch_size)}: no patch fits in; give "
                "smaller patches"
            )

    @property
    def special(self) -> int:
        """Tokens that stand ahead of the patches."""
        return 2 if self.distilled else 1

    @property
    def pixels(self) -> int:
        """Numbers in a patch."""
        return self.channels * self.patch_size[0] * self.patch_size[1]

    @property
    def positions(self) -> int:
        """Rows of the position table."""
        rows, columns = self.cells(*self.image_size)
        return self.special + rows * columns

    def cells(self, height: int, width: int) -> tuple[int, int]:
        """Rows and columns of whole patches in an image; what is left over at its right and lower edge is not read."""
        return height // self.patch_size[0], width // self.patch_size[1]

    @staticmethod
    def from_dict(record: Mapping[str, Any]) -> PatchGrid:
        """Read a record of fields.

        Raises:
            ConfigError: a field that there is none of, or a refused value.
        """
        refuse_unknown(record, [field.name for field in fields(PatchGrid)])
        return PatchGrid(**record)

    def to_dict(self) -> dict[str, Any]:
        """All fields, for JSON."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}
