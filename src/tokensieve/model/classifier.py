"""TokensieveForSequenceClassification: input ids -> logits, saved and loaded in the hub's format."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain
from typing import Any, Literal, NamedTuple, get_args

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
from tokensieve.memory import return_piled_up_pages
from tokensieve.model.attention import SelfAttention
from tokensieve.model.batch import Batch, check_batch
from tokensieve.model.configuration import TokensieveConfig
from tokensieve.model.embed import CombinationTokens, Embeddings
from tokensieve.model.encoder import Encoder
from tokensieve.model.head import HEADS
from tokensieve.model.parts import documents_of, parts_of
from tokensieve.model.plan import Plan, kept_shares, make_plan
from tokensieve.model.probabilities import confidence
from tokensieve.model.side_by_side import side_by_side
from tokensieve.model.trace import Trace
from tokensieve.reducers import Importance

Reading = Literal["both", "first", "second"]
"""Of documents that may be read again (`reread`): both readings, the second where the first is unsure; the first of all
of them; or the second of all that are pruned.
"""


@dataclass
class TokensieveOutput(SequenceClassifierOutput):
    """transformers' classifier output and two things that Trainer ignores.

    Attributes:
        pooled: [B, d] document vectors, which the head's last layer reads.
        trace: what became of the tokens; ragged.
    """

    pooled: Tensor | None = None
    trace: Trace | None = None


class _Answers(NamedTuple):
    """Of some documents: logits [B, C], document vectors [B, d], and what became of their tokens."""

    logits: Tensor
    pooled: Tensor
    trace: Trace

    @staticmethod
    def joined(parts: Sequence[_Answers]) -> _Answers:
        """Of all documents, from those of parts of a batch."""
        if len(parts) == 1:
            return parts[0]
        logits, pooled = torch.cat([part.logits for part in parts]), torch.cat([part.pooled for part in parts])
        return _Answers(logits, pooled, Trace.joined([part.trace for part in parts]))

    def picked(self, documents: Sequence[int]) -> _Answers:
        """Of these documents, in this order."""
        rows = torch.tensor(documents, device=self.logits.device)
        return _Answers(self.logits[rows], self.pooled[rows], self.trace.picked(documents))

    def replaced(self, documents: Sequence[int], again: _Answers) -> _Answers:
        """With others in the place of these documents' own."""
        places = {document: len(self.logits) + place for place, document in enumerate(documents)}
        return _Answers.joined([self, again]).picked([places.get(i, i) for i in range(len(self.logits))])


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
        reading: Reading = "both",
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
            reading: "first" or "second" for one of them alone; a caller who has the first one of many documents can let
                those that are `unsure` be read again together. In train mode, and of settings without `reread`, there
                is the first one only.

        Returns:
            Loss (with labels), logits [B, num_labels], document vectors and the trace of the tokens; all of them of the
            second reading where a document is read again (`reread`, in eval mode).

        Raises:
            InputError: a document without tokens, or longer than the position table.
            ConfigError: attentions or hidden states asked for, or an unknown reading.
        """
        _refuse_padded_outputs(output_attentions, output_hidden_states)
        if reading not in (known := get_args(Reading)):
            raise ConfigError(f"reading={reading!r}: choose one of {', '.join(map(repr, known))}")
        batch = check_batch(
            self.config, input_ids, attention_mask, token_type_ids, position_ids, inputs_embeds, special_tokens_mask
        )
        logits, pooled, trace = self._classify(batch, reading)
        loss = None if labels is None else classification_loss(logits, labels, self.config.problem_type)
        if return_dict is False:
            return (logits,) if loss is None else (loss, logits)
        return TokensieveOutput(loss=loss, logits=logits, pooled=pooled, trace=trace)

    def give_second_norms(self, own: bool) -> None:
        """Let the second reading keep as its own the norms and biases that the layers have now; or share theirs."""
        self.config.second_norms = own
        self.encoder.give_second_norms(own)

    def unsure(self, logits: Tensor, lengths: Sequence[int]) -> list[int]:
        """Which documents are to be read again, by their number.

        Args:
            logits: [B, num_labels] of the first reading.
            lengths: tokens of each document, special tokens included.
        """
        if self.head.whole is None or self.config.reread_below is None:
            return []
        below = confidence(logits, self.config.problem_type) < self.config.reread_below
        pruned = self.encoder.pruned(lengths)
        return [document for document, both in enumerate(zip(below.tolist(), pruned, strict=True)) if all(both)]

    def _classify(self, batch: Batch, reading: Reading) -> _Answers:
        """What the documents get by one reading or both."""
        if self.head.whole is None or self.training:
            return self._read(batch)
        answers = self._read_once(batch, reading)
        again = self.unsure(answers.logits, batch.lengths) if reading == "both" else []
        return answers.replaced(again, self._read(documents_of(batch, again), again=True)) if again else answers

    def _read_once(self, batch: Batch, reading: Reading) -> _Answers:
        """One reading of each document. Those that are too short to be pruned have all of their tokens read in any:
        where that is what the second reading does with the others, it is theirs at once.
        """
        pruned, all_tokens = self.encoder.pruned(batch.lengths), self.settings.reread_ratios is None
        if reading == "second":
            again = [all_tokens or own for own in pruned]
        else:
            again = [all_tokens and self.config.reread_below is not None and not own for own in pruned]
        if len({*again}) == 1:
            return self._read(batch, again[0])
        groups = [[document for document, own in enumerate(again) if own is which] for which in (False, True)]
        found = [self._read(documents_of(batch, group), bool(which)) for which, group in enumerate(groups)]
        places = {document: place for place, document in enumerate(chain(*groups))}
        return _Answers.joined(found).picked([places[document] for document in range(len(again))])

    def _read(self, batch: Batch, again: bool = False) -> _Answers:
        """One pass through the model, `again` as the second reading."""
        parts = parts_of(batch, self.encoder.going_on(batch.lengths, again))
        found = side_by_side(partial(self._read_part, again=again), parts)
        if len(parts) > 1:
            return_piled_up_pages()  # blocks of ever new sizes, which glibc would pile up from batch to batch
        return _Answers.joined(found)

    def _read_part(self, part: Batch, again: bool) -> _Answers:
        tokens, trace = self.encoder(self.embeddings(part), again)
        logits, pooled = self.head(tokens, again)
        return _Answers(logits, pooled, trace)

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
            trace = self(**batch, reading="first").trace  # the plan counts the second one
        finally:
            self.train(training)
        mask = batch.get("attention_mask", torch.ones_like(batch["input_ids"]))
        return kept_shares(trace.kept, mask.sum(1).tolist())


def _refuse_padded_outputs(attentions: bool | None, hidden_states: bool | None) -> None:
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
