"""The body of a model: embeddings, and the layers with the combining module among them; `TokensieveModel` is it alone.

`layers.py` has the loop over the layers. Tokens leave in `layer.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers import initialization as init
from transformers.modeling_outputs import BaseModelOutput

from tokensieve.kernels.backends import resolve_backend
from tokensieve.kernels.ragged import document_means
from tokensieve.model.answers import Answers
from tokensieve.model.attention import SelfAttention
from tokensieve.model.batch import Batch, check_batch
from tokensieve.model.configuration import TokensieveConfig
from tokensieve.model.images import Images, check_images, refuse_text
from tokensieve.model.inputs.combination import CombinationTokens
from tokensieve.model.inputs.patches import PatchEmbeddings
from tokensieve.model.inputs.text import Embeddings
from tokensieve.model.int8 import put_int8
from tokensieve.model.layers import Encoder
from tokensieve.model.output import refuse_padded_outputs
from tokensieve.model.pretrained import TokensievePreTrainedModel
from tokensieve.model.residual import ResidualOutput
from tokensieve.model.trace import Trace
from tokensieve.reduce.starts import Starts
from tokensieve.tokens import Tokens, unpack


class Body(TokensievePreTrainedModel):
    """What the models with one backbone share: embeddings and encoder, under the same names in each."""

    embeddings: Any
    """`Embeddings` of texts, or `PatchEmbeddings` of images."""

    def __init__(self, config: TokensieveConfig) -> None:
        super().__init__(config)
        self.embeddings = Embeddings(config) if config.grid is None else PatchEmbeddings(config)
        self.encoder = Encoder(config)

    @property
    def attention_backend(self) -> str:
        """The key of `tokensieve.kernels.backends.BACKENDS` that was chosen when the model was built."""
        backends = (module.backend for module in self.modules() if isinstance(module, SelfAttention))
        return next(backends, resolve_backend(self.config.attention_backend))

    def get_input_embeddings(self) -> nn.Module:
        """The word embeddings, or the projection of patches."""
        return self.embeddings.word_embeddings if self.config.grid is None else self.embeddings.projection  # type: ignore[no-any-return]

    def set_input_embeddings(self, value: nn.Module) -> None:
        """Replace the word embeddings, or the projection of patches."""
        setattr(self.embeddings, "word_embeddings" if self.config.grid is None else "projection", value)

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)  # type: ignore[no-untyped-call]
        if isinstance(module, CombinationTokens):
            init.normal_(module.weight, mean=0.0, std=self.config.initializer_range)
        if isinstance(module, PatchEmbeddings):
            for token in module.parameters(recurse=False):  # the special ones
                init.normal_(token, mean=0.0, std=self.config.initializer_range)
        if isinstance(module, ResidualOutput) and module.scale is not None:
            init.ones_(module.scale)
        if isinstance(module, Starts):
            for parameter, value in module.first_values():
                init.copy_(parameter, value)


@dataclass
class TokensieveModelOutput(BaseModelOutput):
    """The vectors of the tokens that are left, in transformers' form and packed.

    Attributes:
        last_hidden_state: [B, R, d], right-padded with zeros; R is the most rows that any document has left.
        attention_mask: [B, R] bool, the rows that are no padding.
        tokens: the same vectors packed, with the position of each in its document.
        trace: which tokens were kept in each step; ragged.
    """

    attention_mask: Tensor | None = None
    tokens: Tokens | None = None
    trace: Trace | None = None


class TokensieveModel(Body):
    """A backbone with token reduction and without a head: the vectors of the tokens that are left.

    `from_pretrained` (or `AutoModel`) reads it from a classifier's folder, too, and leaves the head out.
    """

    _keys_to_ignore_on_load_unexpected = [r"^head\."]  # noqa: RUF012 - transformers reads a list

    def __init__(self, config: TokensieveConfig) -> None:
        super().__init__(config)
        if config.grid is not None:
            self.main_input_name = "pixel_values"
        put_int8(self, [name for name in config.int8 or () if not name.startswith("head.")])
        self.post_init()  # type: ignore[no-untyped-call]

    def read(self, batch: Batch | Images) -> Answers:
        """Read a checked batch: logits [B, 0], as there is no head, and the mean of each document's tokens [B, d].

        A token weighs as many as it stands for.
        """
        tokens, trace = self.encoder(self.embeddings(batch))
        means = document_means(tokens.values, tokens.lengths, tokens.shares)
        return Answers(means.new_empty(len(means), 0), means, trace)

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        position_ids: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        special_tokens_mask: Tensor | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
        token_scores: Tensor | None = None,
        pixel_values: Tensor | Sequence[Tensor] | None = None,
    ) -> TokensieveModelOutput | tuple[Any, ...]:
        """Read a padded batch of texts, or images; padding on either side is left out before the first layer.

        Args:
            input_ids: [B, L].
            attention_mask: [B, L], non-zero for real tokens; None: all are real.
            token_type_ids: [B, L]; None: segment 0.
            position_ids: [B, L]; None: the family's own rule.
            inputs_embeds: [B, L, embedding_size] word vectors in place of ids.
            special_tokens_mask: [B, L], non-zero for special tokens that the tokenizer added; None: found by position.
            output_attentions: not offered; True is refused.
            output_hidden_states: not offered; True is refused.
            return_dict: False for a tuple of the last hidden state alone.
            token_scores: [B, L], ready-made scores of the tokens, which prune.score=gradient reads.
            pixel_values: of a family that reads images, and then alone: as `TokensieveForImageClassification` takes
                them.

        Raises:
            InputError: a document without tokens, or longer than the model takes; or images that it does not take.
            ConfigError: attentions or hidden states asked for.
        """
        refuse_padded_outputs(output_attentions, output_hidden_states)
        inputs = (input_ids, attention_mask, token_type_ids, position_ids, inputs_embeds, special_tokens_mask)
        if pixel_values is None and self.config.grid is None:
            batch: Batch | Images = check_batch(self.config, *inputs, token_scores=token_scores)
        else:
            refuse_text(self.config, *inputs, token_scores)
            batch = check_images(self.config, pixel_values)
        tokens, trace = self.encoder(self.embeddings(batch))
        padded = unpack(tokens.values, tokens.lengths)
        if return_dict is False:
            return (padded,)
        lengths = torch.tensor(tokens.lengths, device=padded.device).unsqueeze(1)
        mask = torch.arange(padded.shape[1], device=padded.device) < lengths
        return TokensieveModelOutput(last_hidden_state=padded, attention_mask=mask, tokens=tokens, trace=trace)
