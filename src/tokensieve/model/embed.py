"""Embedding: padded ids in, packed vectors out. Padding ends here; combination tokens begin here."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from tokensieve.errors import InputError
from tokensieve.kernels.linear import Linear
from tokensieve.model.configuration import TokensieveConfig
from tokensieve.model.dropout import Dropout
from tokensieve.tokens import Tokens, pack


class Batch(NamedTuple):
    """A padded batch as tokenizers deliver it, checked.

    Attributes:
        input_ids: [B, L] int64, or None where the caller embedded the words.
        embeds: [B, L, embedding_size] word vectors, or None.
        mask: [B, L] bool, real tokens; padding may stand on either side.
        token_type_ids: [B, L] int64 or None for segment 0.
        position_ids: [B, L] int64 or None for the family's own rule.
        lengths: real tokens of each document, at least 1.
    """

    input_ids: Tensor | None
    embeds: Tensor | None
    mask: Tensor
    token_type_ids: Tensor | None
    position_ids: Tensor | None
    lengths: tuple[int, ...]


def check_batch(
    config: TokensieveConfig,
    input_ids: Tensor | None,
    attention_mask: Tensor | None,
    token_type_ids: Tensor | None = None,
    position_ids: Tensor | None = None,
    inputs_embeds: Tensor | None = None,
) -> Batch:
    """Check what a tokenizer delivered, or the word vectors in its place.

    Raises:
        InputError: both or neither of ids and vectors, not [B, L] or no document, a mask of another shape, a document
            without tokens or over the position table, or a value that its table does not hold (which on CUDA would end
            the process).
    """
    given = _ids_or_vectors(config, input_ids, inputs_embeds)
    mask = torch.ones_like(given, dtype=torch.bool) if attention_mask is None else attention_mask.bool()
    if mask.shape != given.shape:
        name = "inputs_embeds" if input_ids is None else "input_ids"
        shapes = f"attention_mask has shape {tuple(mask.shape)}, {name} {tuple(given.shape)}"
        raise InputError(f"{shapes}: make them equal")
    lengths = tuple(mask.sum(1).tolist())
    for document, length in enumerate(lengths):
        if length == 0:
            raise InputError(f"document {document} of the batch has no tokens: leave empty documents out")
        if length > config.longest_document:
            raise InputError(
                f"document {document} of the batch has {length} tokens, the position table holds "
                f"{config.longest_document}: tokenize with truncation=True, max_length={config.longest_document}"
            )
    if input_ids is not None:
        _check_values("input_ids", input_ids, config.vocab_size)
    if token_type_ids is not None and config.type_vocab_size:
        _check_values("token_type_ids", token_type_ids, config.type_vocab_size)
    if position_ids is not None:
        position_ids = position_ids.expand_as(given)
        _check_values("position_ids", position_ids, config.max_position_embeddings)
    return Batch(input_ids, inputs_embeds, mask, token_type_ids, position_ids, lengths)


def _ids_or_vectors(config: TokensieveConfig, input_ids: Tensor | None, inputs_embeds: Tensor | None) -> Tensor:
    """What stands for the tokens, [B, L]: the ids, or the vectors without their last dimension."""
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


def _check_values(name: str, values: Tensor, size: int) -> None:
    low, high = (int(bound) for bound in torch.aminmax(values))
    if low < 0 or high >= size:
        raise InputError(
            f"{name} has the value {low if low < 0 else high}, the model's table holds 0 to {size - 1}: "
            "tokenize with the model's own tokenizer"
        )


class CombinationTokens(nn.Module):
    """The m combination tokens; a module of their own, so that adapters can train them beside a frozen backbone."""

    def __init__(self, number: int, hidden_size: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(number, hidden_size))

    def forward(self, tokens: Tokens) -> Tokens:
        """Append them to every document."""
        return tokens.join(self.weight)


class Embeddings(nn.Module):
    """Word, position and segment vectors, norm, projection where the family has one, then the combination tokens."""

    def __init__(self, config: TokensieveConfig) -> None:
        super().__init__()
        self.config = config
        width = config.embedding_size
        self.word_embeddings = nn.Embedding(config.vocab_size, width, padding_idx=config.pad_token_id)
        self.position_embeddings = nn.Embedding(config.max_position_embeddings, width)
        self.token_type_embeddings = nn.Embedding(config.type_vocab_size, width) if config.type_vocab_size else None
        self.LayerNorm = nn.LayerNorm(width, eps=config.layer_norm_eps)
        self.dropout = Dropout(config.hidden_dropout_prob)
        self.projection = Linear(width, config.hidden_size) if width != config.hidden_size else None
        settings = config.settings
        self.protects = settings.protect_special
        self.combination_tokens: CombinationTokens | None = None
        if settings.combines:
            self.combination_tokens = CombinationTokens(settings.combination_tokens, config.hidden_size)

    def forward(self, batch: Batch) -> Tokens:
        """Pack and embed: the values of the result are [T, hidden_size], T counting no padding."""
        ids = None if batch.input_ids is None else pack(batch.input_ids, batch.mask)
        origin = torch.cat([torch.arange(length) for length in batch.lengths]).to(batch.mask.device)
        protected = self.protected(ids, origin, batch.lengths)
        tokens = Tokens(
            values=self.embed(ids, self.positions(batch, ids, origin), batch),
            lengths=batch.lengths,
            origin=origin,
            protected=protected,
            protected_counts=tuple(int(part.sum()) for part in protected.cpu().split(list(batch.lengths))),
        )
        return tokens if self.combination_tokens is None else self.combination_tokens(tokens)

    def embed(self, ids: Tensor | None, positions: Tensor, batch: Batch) -> Tensor:
        """Vectors [T, hidden_size] of packed ids [T], or of the batch's own word vectors, at positions [T]."""
        words = pack(batch.embeds, batch.mask) if batch.embeds is not None else self.word_embeddings(ids)
        vectors: Tensor = words + self.position_embeddings(positions)
        del words  # all tokens are still there: what is held here may be the peak of memory
        if self.token_type_embeddings is not None:
            given, table = batch.token_type_ids, self.token_type_embeddings
            vectors += table.weight[0] if given is None else table(pack(given, batch.mask))
        vectors = self.dropout(self.LayerNorm(vectors))
        if self.projection is not None:
            vectors = self.projection(vectors)
        return vectors

    @torch.no_grad()
    def start_from_words(self) -> None:
        """Let the combination tokens be words, evenly spaced in the vocabulary, normed as the text is."""
        assert self.combination_tokens is not None
        number = len(self.combination_tokens.weight)
        ids = torch.arange(1, number + 1) * self.config.vocab_size // (number + 1)
        vectors = self.LayerNorm(self.word_embeddings(ids.to(self.word_embeddings.weight.device)))
        self.combination_tokens.weight.copy_(vectors if self.projection is None else self.projection(vectors))

    def positions(self, batch: Batch, ids: Tensor | None, origin: Tensor) -> Tensor:
        """Rows of the position table [T]: counted over real tokens, so that the side of the padding does not matter."""
        if batch.position_ids is not None:
            return pack(batch.position_ids, batch.mask)
        if ids is None or not self.config.positions_skip_padding:
            return origin + self.config.position_offset
        # RoBERTa counts ids that are not the padding id, attended to or not.
        counts = [part.cumsum(0) for part in ids.ne(self.config.pad_token_id).split(list(batch.lengths))]
        return torch.cat(counts) * ids.ne(self.config.pad_token_id) + self.config.position_offset - 1

    def protected(self, ids: Tensor | None, origin: Tensor, lengths: tuple[int, ...]) -> Tensor:
        """Special tokens [T] bool by their ids; without known ids the first and the last token of each document."""
        if not self.protects:
            return torch.zeros_like(origin, dtype=torch.bool)
        special = self.config.special_token_ids
        if ids is not None and special is not None:
            return torch.isin(ids, torch.tensor(special, device=ids.device, dtype=ids.dtype))
        last = torch.cat([torch.full((length,), length - 1) for length in lengths]).to(origin.device)
        return (origin == 0) | (origin == last)
