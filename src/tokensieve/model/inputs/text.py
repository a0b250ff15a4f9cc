"""Text: padded ids in, packed vectors out. Padding ends here; combination tokens begin here."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from tokensieve.kernels.linear import Linear
from tokensieve.model.batch import Batch
from tokensieve.model.configuration import TokensieveConfig
from tokensieve.model.dropout import Dropout
from tokensieve.model.inputs.contract import Inputs
from tokensieve.model.norms import norm_of
from tokensieve.model.protected import protected_tokens
from tokensieve.tokens import Tokens, pack


class Embeddings(Inputs):
    """Word, position and segment vectors, norm, projection where the family has one, then the combination tokens."""

    def __init__(self, config: TokensieveConfig) -> None:
        super().__init__(config)
        self.config = config
        width = config.embedding_size
        self.word_embeddings = nn.Embedding(config.vocab_size, width, padding_idx=config.pad_token_id)
        positions = config.max_position_embeddings if config.block.position_table else 0
        self.position_embeddings = nn.Embedding(positions, width) if positions else None
        self.token_type_embeddings = nn.Embedding(config.type_vocab_size, width) if config.type_vocab_size else None
        self.LayerNorm = norm_of(width, config) if config.block.embedding_norm else nn.Identity()
        self.dropout = Dropout(config.hidden_dropout_prob)
        self.projection = Linear(width, config.hidden_size) if width != config.hidden_size else None
        self.combination_tokens = self.joining(config)

    def forward(self, batch: Batch) -> Tokens:
        """Pack and embed: the values of the result are [T, hidden_size], T counting no padding."""
        ids = None if batch.input_ids is None else pack(batch.input_ids, batch.mask)
        origin = torch.cat([torch.arange(length) for length in batch.lengths]).to(batch.mask.device)
        nothing = torch.zeros_like(origin, dtype=torch.bool)
        protected = protected_tokens(self.config, batch, origin) if self.protects else nothing
        scores = None if batch.scores is None else pack(batch.scores, batch.mask)
        return self.packed(self.embed(ids, origin, batch), batch.lengths, origin, protected, scores)

    def embed(self, ids: Tensor | None, origin: Tensor, batch: Batch) -> Tensor:
        """Vectors [T, hidden_size] of packed ids [T], or of the batch's own word vectors, at places `origin` [T]."""
        vectors: Tensor = pack(batch.embeds, batch.mask) if batch.embeds is not None else self.word_embeddings(ids)
        if self.position_embeddings is not None:
            places = self.position_embeddings(self.positions(batch, ids, origin))
            if vectors.dtype == places.dtype and not torch.is_grad_enabled():
                vectors += places  # a copy of all rows less
            else:  # PEFT may ask for the gradient of what the table gave; the caller's vectors may be of half precision
                vectors = vectors + places
        if self.token_type_embeddings is not None:
            segments, table = batch.token_type_ids, self.token_type_embeddings
            vectors += table.weight[0] if segments is None else table(pack(segments, batch.mask))
        vectors = self.dropout(self.LayerNorm(vectors))
        if self.projection is not None:
            vectors = self.projection(vectors)
        return vectors

    def typical(self, number: int) -> Tensor:
        """Words, evenly spaced in the vocabulary and normed as the text is."""
        ids = torch.arange(1, number + 1) * self.config.vocab_size // (number + 1)
        vectors: Tensor = self.LayerNorm(self.word_embeddings(ids.to(self.word_embeddings.weight.device)))
        return vectors if self.projection is None else self.projection(vectors)

    def positions(self, batch: Batch, ids: Tensor | None, origin: Tensor) -> Tensor:
        """Rows of the position table [T]. Padding is not counted, so that its side does not matter."""
        if batch.position_ids is not None:
            return pack(batch.position_ids, batch.mask)
        if ids is None or not self.config.positions_skip_padding:
            return origin + self.config.position_offset
        # RoBERTa counts ids that are not the padding id, attended to or not.
        counts = [part.cumsum(0) for part in ids.ne(self.config.pad_token_id).split(list(batch.lengths))]
        return torch.cat(counts) * ids.ne(self.config.pad_token_id) + self.config.position_offset - 1
