"""Documents of random words, on which an export is made and compared with the model."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from tokensieve.model.configuration import TokensieveConfig

COMPARED = (40, 3, 128, 64, 17, 97, 5, 512)
"""Tokens of the documents of the comparison; each is also asked alone."""


def sample_batch(config: TokensieveConfig, lengths: Sequence[int], segments: bool = True) -> dict[str, Tensor]:
    """A right-padded batch of documents of random words, always the same.

    Args:
        config: sizes and the special tokens.
        lengths: tokens of each document, special tokens included.
        segments: whether the tokenizer gives them; left out if the family has none.

    Returns:
        input_ids and attention_mask [B, L]; with segments, token_type_ids [B, L] too.
    """
    generator = torch.Generator().manual_seed(0)
    mask = torch.arange(max(lengths)) < torch.tensor(lengths).unsqueeze(1)
    special = {*(config.special_token_ids or ()), config.pad_token_id}
    words = torch.tensor([number for number in range(config.vocab_size) if number not in special] or [0])
    ids = words[torch.randint(len(words), mask.shape, generator=generator)]
    if config.special_token_ids:  # the first and the last token of a document
        ids[:, 0], last = min(config.special_token_ids), max(config.special_token_ids)
        ids[torch.arange(len(lengths)), torch.tensor(lengths) - 1] = last
    ids = ids.where(mask, torch.tensor(config.pad_token_id or 0))
    batch = {"input_ids": ids, "attention_mask": mask.long()}
    if segments and config.type_vocab_size:  # the second half of a document is of another one, if there is another
        second = mask & (torch.arange(max(lengths)) >= torch.tensor(lengths).unsqueeze(1) // 2)
        batch["token_type_ids"] = second.long().clamp(max=config.type_vocab_size - 1)
    return batch
