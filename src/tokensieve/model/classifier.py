"""TokensieveForSequenceClassification: input ids -> logits, saved and loaded in the hub's format."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint
from transformers import PreTrainedModel
from transformers import initialization as init
from transformers.modeling_outputs import SequenceClassifierOutput

from tokensieve.config import PTCConfig
from tokensieve.errors import ConfigError
from tokensieve.kernels.backends import resolve_backend
from tokensieve.model.answers import Answers
from tokensieve.model.attention import SelfAttention
from tokensieve.model.batch import Batch, check_batch
from tokensieve.model.configuration import TokensieveConfig
from tokensieve.model.embed import CombinationTokens, Embeddings
from tokensieve.model.encoder import Encoder
from tokensieve.model.head import HEADS
from tokensieve.model.plan import Plan, kept_shares, make_plan
from tokensieve.model.trace import Trace
from tokensieve.reducers import Importance


@dataclass
class TokensieveOutput(SequenceClassifierOutput):
    """transformers' classifier output and two things that Trainer ignores.

    Attributes:
        pooled: [B, d] document vectors, which the head's last layer reads.
        trace: what became of the tokens; ragged.
    """

    pooled: Tensor | None = None
    trace: Trace | None = None


class TokensieveForSequenceClassification(PreTrainedModel):
    """A BERT-family document classifier with Pruned Token Compression, on packed tokens.

    Build one with `tokensieve.compress`, or read one with `from_pretrained`.
    """

    config_class = TokensieveConfig
    config: TokensieveConfig
    base_model_prefix = ""
    main_input_name = "input_ids"
    # forward normalises its own loss, so Trainer has to divide it by the accumulation steps.
    accepts_loss_kwargs = False
    supports_gradient_checkpointing = True
    _supports_sdpa = True
    _no_split_modules = ["Layer", "TokenCombiner"]  # noqa: RUF012 - transformers reads a list

    def __init__(self, config: TokensieveConfig) -> None:
        super().__init__(config)
        self.num_labels = config.num_labels
        self.embeddings = Embeddings(config)
        self.encoder = Encoder(config)
        self.head = HEADS[config.settings.resolved_pooling](config)
        self.post_init()  # type: ignore[no-untyped-call]

    @property
    def settings(self) -> PTCConfig:
        """The reduction settings."""
        return self.config.settings

    @property
    def attention_backend(self) -> str:
        """The key of `tokensieve.kernels.backends.BACKENDS` that was chosen when the model was built."""
        own = (module.backend for module in self.modules() if isinstance(module, SelfAttention))
        return next(own, resolve_backend(self.config.attention_backend))

    def get_input_embeddings(self) -> nn.Module:
        """The word embeddings."""
        return self.embeddings.word_embeddings

    def set_input_embeddings(self, value: nn.Module) -> None:
        """Replace the word embeddings."""
        self.embeddings.word_embeddings = value  # type: ignore[assignment]

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)  # type: ignore[no-untyped-call]
        if isinstance(module, CombinationTokens):
            init.normal_(module.weight, mean=0.0, std=self.config.initializer_range)
        if isinstance(module, Importance):
            init.zeros_(module.weight)

    def save_pretrained(self, *args: Any, **kwargs: Any) -> None:
        """As in transformers, with the weights always under the names that they have here."""
        # A loaded model remembers the names in its file, and saving brings them back: in transformers 5.0 to 5.5 always
        # LayerNorm.gamma and beta, later if the file had them. Trainer, on resume and for the best weights, warns that
        # it finds none of these, and leaves the norms as they are.
        self._weight_conversions = None
        super().save_pretrained(*args, **kwargs)

    def _set_gradient_checkpointing(  # type: ignore[override]  # its options differ between versions
        self, enable: bool = True, gradient_checkpointing_func: Callable[..., Any] = checkpoint, **options: Any
    ) -> None:
        if enable and getattr(gradient_checkpointing_func, "keywords", {}).get("use_reentrant"):
            raise ConfigError(
                "gradient checkpointing with use_reentrant=True: it loses the gradient of packed tokens; "
                "use gradient_checkpointing_kwargs={'use_reentrant': False}, which is the default"
            )
        super()._set_gradient_checkpointing(enable, gradient_checkpointing_func, **options)

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        position_ids: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        special_tokens_mask: Tensor | None = None,
        labels: Tensor | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
    ) -> TokensieveOutput | tuple[Any, ...]:
        """Classify a padded batch; padding on either side is left out before the first layer.

        Args:
            input_ids: [B, L].
            attention_mask: [B, L], non-zero for real tokens; None: all are real.
            token_type_ids: [B, L]; None: segment 0. position_ids: [B, L]; None: the family's own rule.
            inputs_embeds: [B, L, embedding_size] word vectors in place of ids.
            special_tokens_mask: [B, L], non-zero for special tokens that the tokenizer added; None: told by position.
            labels: [B] class ids, [B, num_labels] floats (multi-label) or [B] floats (regression).
            output_attentions, output_hidden_states: not offered; True is refused.
            return_dict: False for a plain tuple.

        Returns:
            Loss (with labels), logits [B, num_labels], document vectors and the trace of the tokens.

        Raises:
            InputError: a document without tokens, or longer than the position table.
            ConfigError: attentions or hidden states asked for.
        """
        refuse_padded_outputs(output_attentions, output_hidden_states)
        batch = check_batch(
            self.config, input_ids, attention_mask, token_type_ids, position_ids, inputs_embeds, special_tokens_mask
        )
        return output_of(self.read(batch), labels, self.config.problem_type, return_dict)

    def read(self, batch: Batch) -> Answers:
        """The answers to a checked batch, in one pass."""
        tokens, trace = self.encoder(self.embeddings(batch))
        logits, pooled = self.head(tokens)
        return Answers(logits, pooled, trace)

    def plan(self, length: int, *, special: int = 2, samples: Mapping[str, Tensor] | None = None) -> Plan:
        """What happens to the tokens of a document of `length` tokens, and what it costs.

        Args:
            length: text tokens, special tokens included.
            special: how many of them are protected special tokens.
            samples: a tokenized batch (input_ids, attention_mask); where the counts depend on the scores, the plan has
                the mean shares measured on it in place of upper bounds.

        Raises:
            ConfigError: the length is outside 1..the position table.
        """
        shares = None if samples is None else self._measure_shares(samples)
        return make_plan(self.config, length, special=special, shares=shares)

    @torch.no_grad()
    def _measure_shares(self, samples: Mapping[str, Tensor]) -> list[float]:
        training, batch = self.training, {name: tensor.to(self.device) for name, tensor in samples.items()}
        try:
            self.train(False)
            trace = self(**batch).trace
        finally:
            self.train(training)
        mask = batch.get("attention_mask", torch.ones_like(batch["input_ids"]))
        return kept_shares(trace.kept, mask.sum(1).tolist())


def output_of(
    answers: Answers, labels: Tensor | None, problem_type: str | None, return_dict: bool | None
) -> TokensieveOutput | tuple[Any, ...]:
    """The answers in transformers' form, with the loss where there are labels; as a plain tuple if asked for."""
    logits, pooled, trace = answers
    loss = None if labels is None else classification_loss(logits, labels, problem_type)
    if return_dict is False:
        return (logits,) if loss is None else (loss, logits)
    return TokensieveOutput(loss=loss, logits=logits, pooled=pooled, trace=trace)


def refuse_padded_outputs(attentions: bool | None, hidden_states: bool | None) -> None:
    """Raise ConfigError where a caller asks for padded attentions or hidden states."""
    for name, asked in (("output_attentions", attentions), ("output_hidden_states", hidden_states)):
        if asked:
            raise ConfigError(
                f"{name}=True: fused attention over packed tokens keeps no such tensors; output.trace tells which "
                "tokens survived, output.pooled holds the document vectors"
            )


def classification_loss(logits: Tensor, labels: Tensor, problem_type: str | None) -> Tensor:
    """Mean loss of a batch, chosen as transformers does: by `problem_type`, else by the labels' type and shape."""
    if problem_type is None:
        several = labels.is_floating_point()
        problem_type = "multi_label_classification" if several else "single_label_classification"
        problem_type = "regression" if logits.shape[1] == 1 else problem_type
    if problem_type == "regression":
        return F.mse_loss(logits.squeeze(-1), labels.to(logits.dtype).view_as(logits.squeeze(-1)))
    if problem_type == "multi_label_classification":
        return F.binary_cross_entropy_with_logits(logits, labels.to(logits.dtype))
    return F.cross_entropy(logits, labels.view(-1))
