"""Images: pixel values in, packed vectors out: [CLS], then patches with their positions.

Source: ViT (Dosovitskiy et al., ICLR 2021); DeiT's distillation token (Touvron et al., ICML 2021). For images of
another size than the position table was made for, the table is interpolated, as DINOv2 does it (bicubic, in float32).
Each image has tokens of its own number; nothing is padded.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tokensieve.model.configuration import TokensieveConfig
from tokensieve.model.dropout import Dropout
from tokensieve.model.images import Images
from tokensieve.model.inputs.contract import Inputs
from tokensieve.model.norms import norm_of
from tokensieve.tokens import Tokens


class PatchEmbeddings(Inputs):
    """Patch projection, special tokens, position vectors, and the norm where the family has one."""

    def __init__(self, config: TokensieveConfig) -> None:
        super().__init__(config)
        grid = config.grid
        assert grid is not None
        self.grid, width = grid, config.hidden_size
        self.cls_token = nn.Parameter(torch.zeros(width))
        self.distillation_token = nn.Parameter(torch.zeros(width)) if grid.distilled else None
        self.projection = nn.Conv2d(grid.channels, width, grid.patch_size, grid.patch_size, bias=grid.bias)
        self.position_embeddings = nn.Embedding(grid.positions, width)
        self.LayerNorm = norm_of(width, config) if grid.norm else None
        self.dropout = Dropout(config.hidden_dropout_prob)
        self.combination_tokens = self.joining(config)

    def forward(self, images: Images) -> Tokens:
        """Pack and embed: the values of the result are [T, d], image by image in the order of the batch."""
        vectors: list[Tensor] = [torch.empty(0)] * len(images.lengths)
        for stack, places in zip(images.stacks, images.places, strict=True):
            for place, image in zip(places, self.embed(stack), strict=True):
                vectors[place] = image
        values = torch.cat(vectors)
        origin = torch.cat([torch.arange(length) for length in images.lengths]).to(values.device)
        protected = origin < (self.grid.special if self.protects else 0)
        return self.packed(values, images.lengths, origin, protected)

    def embed(self, pixels: Tensor) -> Tensor:
        """Vectors [n, tokens, d] of images of one size, [n, channels, height, width]."""
        patches = self.projection(pixels.to(self.projection.weight.dtype)).flatten(2).transpose(1, 2)
        ahead = self.cls_token.unsqueeze(0)
        if self.distillation_token is not None:
            ahead = torch.stack([self.cls_token, self.distillation_token])
        vectors = torch.cat([ahead.expand(len(pixels), -1, -1), patches], 1)
        vectors = vectors + self.positions(*pixels.shape[2:])
        return self.dropout(vectors if self.LayerNorm is None else self.LayerNorm(vectors))  # type: ignore[no-any-return]

    def positions(self, height: int, width: int) -> Tensor:
        """The position vectors [tokens, d] of an image of this size."""
        table, special = self.position_embeddings.weight, self.grid.special
        own, asked = self.grid.cells(*self.grid.image_size), self.grid.cells(height, width)
        if own == asked:
            return table
        known = table[special:].float().t().unflatten(1, own).unsqueeze(0)
        other = F.interpolate(known, size=asked, mode="bicubic", align_corners=False)
        return torch.cat([table[:special], other[0].flatten(1).t().to(table.dtype)])

    def typical(self, number: int) -> Tensor:
        """Evenly spaced positions of an image without content."""
        special, cells = self.grid.special, self.grid.positions - self.grid.special
        rows = special + torch.arange(number, device=self.cls_token.device) * cells // number
        vectors = self.position_embeddings.weight[rows]
        if self.projection.bias is not None:
            vectors = vectors + self.projection.bias
        return vectors if self.LayerNorm is None else self.LayerNorm(vectors)
