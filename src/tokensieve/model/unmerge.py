"""Unmerge: a row for every token that the model read, from the rows that merging has left.

Source: un-merging by clones, as local merging (Götz et al., ICML 2025) and ToMe have it for outputs of full length.
"""

from __future__ import annotations

import torch
from torch import Tensor

from tokensieve.errors import InputError
from tokensieve.model.trace import Trace
from tokensieve.tokens import pack, unpack


def unmerge(rows: Tensor, trace: Trace, *, fill: float = 0.0) -> Tensor:
    """Give each token of a batch the row that it was merged into, in the order of the text; the gradient flows back.

    For decoders and for outputs of tokens: a merged row is copied to all its tokens. Without merging, a token that is
    still there has its own row.

    Args:
        rows: values of the rows that a model left, [R, d] packed (`output.tokens.values`), or [B, most rows, d] padded
            on the right (`output.last_hidden_state`). Values made of them, of any width, may take their place.
        trace: the output's.
        fill: for tokens that were dropped, which are in no row.

    Returns:
        [T, d] packed, T being all text tokens of the batch, or [B, longest document, d], padded with 0 on the right.

    Raises:
        InputError: the rows are not those of the trace, or a combining module has folded the text.
    """
    moves = trace.moves()
    if moves is None:
        raise InputError(
            "unmerge: the trace tells no row of each token, as a combining module has folded the text, or the model "
            "was not run: use settings with combine=none"
        )
    shape, left = tuple(rows.shape), moves.rows
    packed, padded = (sum(left),), (len(left), max(left))
    if shape[:-1] not in (packed, padded):
        raise InputError(
            f"unmerge: rows have the shape {shape}, and {sum(left)} rows of {len(left)} documents are left: give "
            f"[{sum(left)}, d] packed or [{len(left)}, {max(left)}, d] padded, with the trace of the same output"
        )
    is_padded = shape[:-1] == padded
    if is_padded:
        counts = torch.tensor(left, device=rows.device).unsqueeze(1)
        rows = pack(rows, torch.arange(max(left), device=rows.device) < counts)
    into = [own[: len(own) - moves.combination] for own in moves.into().to(rows.device).split(list(moves.lengths))]
    place = torch.cat(into)
    restored = rows.index_select(0, place.clamp(min=0)).masked_fill((place < 0).unsqueeze(1), fill)
    return unpack(restored, tuple(map(len, into))) if is_padded else restored
