"""Base classes of our models: saving and gradient checkpointing as in transformers; and forward of the classifiers."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from torch import Tensor
from torch.utils.checkpoint import checkpoint
from transformers import PreTrainedModel

from tokensieve.config import ReductionConfig
from tokensieve.errors import ConfigError
from tokensieve.kernels.linear import make_plain
from tokensieve.model.answers import Answers
from tokensieve.model.batch import Batch, check_batch
from tokensieve.model.configuration import TokensieveConfig
from tokensieve.model.output import TokensieveOutput, output_of, refuse_padded_outputs

logger = logging.getLogger(__name__)

WORDS_FIRST = "words_first.json"
"""Of a folder whose classifier begins with a bag of words (`cascade.words_first`): it tells so."""
_encoder_alone_is_meant = ContextVar("_encoder_alone_is_meant", default=False)


@contextmanager
def encoder_alone() -> Iterator[None]:
    """Within the block, the encoder of a folder that has a bag of words, too, is loaded without a warning."""
    token = _encoder_alone_is_meant.set(True)
    try:
        yield
    finally:
        _encoder_alone_is_meant.reset(token)


class TokensievePreTrainedModel(PreTrainedModel):
    """Base of the models on packed tokens."""

    config_class: type[TokensieveConfig] = TokensieveConfig
    config: TokensieveConfig
    base_model_prefix = ""
    main_input_name = "input_ids"
    # forward normalises its own loss, so Trainer has to divide it by the accumulation steps.
    accepts_loss_kwargs = False
    supports_gradient_checkpointing = True
    _supports_sdpa = True
    _no_split_modules = ["Layer", "TokenCombiner", "SequenceProjection"]  # noqa: RUF012 - transformers reads a list

    def __setattr__(self, name: str, value: Any) -> None:
        """As in `nn.Module`; a `qconfig` makes the linear layers plain.

        torch.ao.quantization marks the model by its `qconfig` before it looks at the layers, and knows layers that are
        exactly `nn.Linear`: they become so. `quantize_dynamic` does it to a copy.
        """
        if name == "qconfig":
            make_plain(self)
        super().__setattr__(name, value)

    @property
    def settings(self) -> ReductionConfig:
        """The reduction settings. A cascade's are those of its first stage, with `defer` for the second one."""
        return self.config.settings

    @classmethod
    def from_pretrained(cls, *args: Any, **kwargs: Any) -> Any:
        """Load as transformers does.

        Of a folder whose classifier begins with a bag of words, that is the encoder alone, and a warning says so.
        """
        path = kwargs.get("pretrained_model_name_or_path", args[0] if args else None)
        is_folder = isinstance(path, (str, Path)) and (Path(path) / WORDS_FIRST).is_file()
        if is_folder and not _encoder_alone_is_meant.get():
            logger.warning(
                "%s: this is the encoder alone; the bag of words ahead of it is served by tokensieve.load", path
            )
        return super().from_pretrained(*args, **kwargs)

    def save_pretrained(self, *args: Any, **kwargs: Any) -> None:
        """Save as transformers does, with the weights always under the names that they have here."""
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


class ClassifierModel(TokensievePreTrainedModel):
    """Base of the classifiers. A subclass writes `read`."""

    def read(self, batch: Batch) -> Answers:
        """Answer a checked batch."""
        raise NotImplementedError

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
        token_scores: Tensor | None = None,
    ) -> TokensieveOutput | tuple[Any, ...]:
        """Classify a padded batch; padding on either side is left out before the first layer.

        Args:
            input_ids: [B, L].
            attention_mask: [B, L], non-zero for real tokens; None: all are real.
            token_type_ids: [B, L]; None: segment 0.
            position_ids: [B, L]; None: the family's own rule.
            inputs_embeds: [B, L, embedding_size] word vectors in place of ids.
            special_tokens_mask: [B, L], non-zero for special tokens that the tokenizer added; None: found by position.
            labels: [B] class ids, [B, num_labels] floats (multi-label) or [B] floats (regression).
            output_attentions: not offered; True is refused.
            output_hidden_states: not offered; True is refused.
            return_dict: False for a plain tuple.
            token_scores: [B, L], ready-made scores of the tokens, which prune.score=gradient reads.

        Returns:
            Loss (with labels), logits [B, num_labels], document vectors and the trace of the tokens.

        Raises:
            InputError: a document without tokens, or longer than the position table.
            ConfigError: attentions or hidden states asked for.
        """
        refuse_padded_outputs(output_attentions, output_hidden_states)
        inputs = (input_ids, attention_mask, token_type_ids, position_ids, inputs_embeds, special_tokens_mask)
        batch = check_batch(self.config, *inputs, token_scores=token_scores)
        return output_of(self.read(batch), labels, self.config.problem_type, return_dict)
