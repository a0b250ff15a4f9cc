"""Batch: the padded output of a tokenizer, checked before the first layer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from tokensieve.errors import InputError
from tokensieve.model.configuration import TokensieveConfig


class Batch(NamedTuple):
    """A padded batch as tokenizers deliver it, checked.

    Attributes:
        input_ids: [B, L] int64, or None where the caller embedded the words.
        embeds: [B, L, embedding_size] word vectors, or None.
        mask: [B, L] bool, real tokens; padding may stand on either side.
        token_type_ids: [B, L] int64 or None for segment 0.
        position_ids: [B, L] int64 or None for the family's own rule.
        lengths: real tokens of each document, at least 1.
        special: [B, L] bool, the special tokens that the tokenizer added, or None where the caller does not say.
        scores: [B, L] float32, ready-made scores of the tokens, or None.
    """

    input_ids: Tensor | None
    embeds: Tensor | None
    mask: Tensor
    token_type_ids: Tensor | None
    position_ids: Tensor | None
    lengths: tuple[int, ...]
    special: Tensor | None = None
    scores: Tensor | None = None

    def picked(self, documents: Sequence[int]) -> Batch:
        """Select these documents, in this order."""
        rows = torch.tensor(documents, device=self.mask.device)
        fields = {name: field[rows] for name, field in self._asdict().items() if isinstance(field, Tensor)}
        return self._replace(**fields, lengths=tuple(self.lengths[document] for document in documents))


def check_batch(
    config: TokensieveConfig,
    input_ids: Tensor | None = None,
    attention_mask: Tensor | None = None,
    token_type_ids: Tensor | None = None,
    position_ids: Tensor | None = None,
    inputs_embeds: Tensor | None = None,
    special_tokens_mask: Tensor | None = None,
    token_scores: Tensor | None = None,
) -> Batch:
    """Check the padded output of a tokenizer, or word vectors in place of its ids.

    Raises:
        InputError: both or neither of ids and vectors, not [B, L] or no document, a mask of another shape, a document
            without tokens or over the position table, positions where there is no such table, or a value that its table
            does not hold (which on CUDA would end the process).
    """
    tokens = _ids_or_vectors(config, input_ids, inputs_embeds)
    mask = torch.ones_like(tokens, dtype=torch.bool) if attention_mask is None else attention_mask.bool()
    special = None if special_tokens_mask is None else special_tokens_mask.bool()
    for name, flags in (
        ("attention_mask", mask),
        ("token_type_ids", token_type_ids),
        ("special_tokens_mask", special),
        ("token_scores", token_scores),
    ):
        if flags is not None and flags.shape != tokens.shape:
            inputs = "inputs_embeds" if input_ids is None else "input_ids"
            shapes = f"{name} has shape {tuple(flags.shape)}, {inputs} {tuple(tokens.shape)}"
            raise InputError(f"{shapes}: make them equal")
    lengths = _lengths(config, mask)
    if input_ids is not None:
        _check_values("input_ids", input_ids, config.vocab_size)
    if token_type_ids is not None and config.type_vocab_size:
        _check_values("token_type_ids", token_type_ids, config.type_vocab_size)
    if position_ids is not None:
        position_ids = _positions(config, position_ids, tokens)
    scores = None if token_scores is None else token_scores.float()
    return Batch(input_ids, inputs_embeds, mask, token_type_ids, position_ids, lengths, special, scores)


def _ids_or_vectors(config: TokensieveConfig, input_ids: Tensor | None, inputs_embeds: Tensor | None) -> Tensor:
    """A tensor with an element for each token, [B, L]: the ids, or one component of the vectors."""
    if (input_ids is None) == (inputs_embeds is None):
        number = "both" if input_ids is not None else "neither"
        raise InputError(f"{number} of input_ids and inputs_embeds given: give one of them")
    if inputs_embeds is not None:
        width = config.embedding_size
        if inputs_embeds.dim() != 3 or not len(inputs_embeds) or inputs_embeds.shape[2] != width:
            raise InputError(
                f"inputs_embeds has shape {tuple(inputs_embeds.shape)}: give [documents, tokens, {width}] of one "
                "document or more"
            )
        return inputs_embeds[:, :, 0]
    assert input_ids is not None
    if input_ids.dim() != 2 or not len(input_ids):
        raise InputError(
            f"input_ids has shape {tuple(input_ids.shape)}: give [documents, tokens] of one document or more"
        )
    return input_ids


def _lengths(config: TokensieveConfig, mask: Tensor) -> tuple[int, ...]:
    """Real tokens of each document, of which the model takes each."""
    lengths = tuple(mask.sum(1).tolist())
    for document, length in enumerate(lengths):
        if length == 0:
            raise InputError(f"document {document} of the batch has no tokens: leave empty documents out")
        if length > config.longest_document:
            raise InputError(
                f"document {document} of the batch has {length} tokens, the model takes "
                f"{config.longest_document}: tokenize with truncation=True, max_length={config.longest_document}"
            )
    return lengths


def _positions(config: TokensieveConfig, position_ids: Tensor, tokens: Tensor) -> Tensor:
    """Rows of the position table, [B, L]."""
    if not config.block.position_table:
        raise InputError(
            f"position_ids are given, and the family {config.family} has no position table: leave them out"
        )
    if position_ids.shape not in (tokens.shape, (1, tokens.shape[1]), tokens.shape[1:]):
        raise InputError(
            f"position_ids has shape {tuple(position_ids.shape)}, and the batch {tuple(tokens.shape)}: make them "
            "equal, or give one row for all documents"
        )
    position_ids = position_ids.expand_as(tokens)
    _check_values("position_ids", position_ids, config.max_position_embeddings)
    return position_ids


def _check_values(name: str, values: Tensor, size: int) -> None:
    if values.is_floating_point() or values.is_complex() or values.dtype == torch.bool:
        raise InputError(f"{name} has the type {values.dtype}: give whole numbers, such as torch.long")
    low, high = (int(bound) for bound in torch.aminmax(values))
    if low < 0 or high >= size:
        raise InputError(
            f"{name} has the value {low if low < 0 else high}, the model's table holds 0 to {size - 1}: "
            "tokenize with the model's own tokenizer"
        )
