"""TokensieveCascadeForSequenceClassification: two encoder stages that share tensors, as one model of transformers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from tokensieve.cascade.cascade import run_cascade
from tokensieve.cascade.configuration import CascadeConfig
from tokensieve.cascade.defer import Defer
from tokensieve.cascade.old import NAMES, new_name
from tokensieve.cascade.plan import plan_of
from tokensieve.model.answers import Answers
from tokensieve.model.batch import Batch, check_batch
from tokensieve.model.classifier import TokensieveForSequenceClassification
from tokensieve.model.norms import norms_and_biases
from tokensieve.model.plan import Plan
from tokensieve.model.pretrained import TokensievePreTrainedModel

Read = Callable[[TokensieveForSequenceClassification, Batch], Answers]
_LAST_LAYER = ("head.classifier.weight", "head.classifier.bias")


class TokensieveCascadeForSequenceClassification(TokensievePreTrainedModel):
    """A cascade of two encoders: the first prunes, and defers the documents that it is unsure of to the second.

    The second stage has the tensors of the first one, in memory and on disk, but for its head's last layer and, with
    `own_norms`, the norms and biases of its layers. In train mode the first stage answers all documents.

    Attributes:
        stages: both stages, each a plain `TokensieveForSequenceClassification`.
    """

    config_class = CascadeConfig
    config: CascadeConfig

    def __init__(self, config: CascadeConfig) -> None:
        super().__init__(config)
        self.num_labels = config.num_labels
        first, second = (TokensieveForSequenceClassification(config.stage(number)) for number in (0, 1))
        settings = config.settings
        self._shortest, self._skips_short = settings.min_length, settings.second_reads_all
        norms = norms_and_biases(second.encoder.layer)
        self._norms = tuple(f"encoder.layer.{name}" for name in norms)
        self._common = tuple(name for name in second.state_dict() if name in first.state_dict())
        self.stages = nn.ModuleList([first, second])
        self.share()
        self.register_state_dict_post_hook(_leave_shared_out)  # type: ignore[no-untyped-call]
        self.register_load_state_dict_pre_hook(_complete)  # type: ignore[no-untyped-call]
        self.post_init()  # type: ignore[no-untyped-call]

    @property
    def first(self) -> TokensieveForSequenceClassification:
        """The first stage."""
        return self.stages[0]  # type: ignore[return-value]

    @property
    def second(self) -> TokensieveForSequenceClassification:
        """The second stage."""
        return self.stages[1]  # type: ignore[return-value]

    @property
    def rule(self) -> Defer:
        """When the first stage defers a document."""
        return Defer(self.config.defer_below, self._shortest, self._skips_short, self.config.problem_type)

    @property
    def attention_backend(self) -> str:
        """As of the first stage."""
        return self.first.attention_backend

    def get_input_embeddings(self) -> nn.Module:
        """The word embeddings of both stages."""
        return self.first.get_input_embeddings()

    def set_input_embeddings(self, value: nn.Module) -> None:
        """Replace the word embeddings of both stages."""
        self.first.set_input_embeddings(value)
        self.second.set_input_embeddings(value)

    def shared_names(self) -> list[str]:
        """Names of the tensors that both stages have together, as they are in a stage."""
        own = {*_LAST_LAYER, *(self._norms if self.config.own_norms else ())}
        return [name for name in self._common if name not in own]

    def share(self) -> None:
        """Let the second stage have the very tensors of the first one, where they are not its own."""
        for name in self.shared_names():
            place, _, leaf = name.rpartition(".")
            given, taken = (stage.get_submodule(place) for stage in (self.first, self.second))
            for source, target in ((given._parameters, taken._parameters), (given._buffers, taken._buffers)):
                if leaf in source and leaf in target:  # not where an adapter wraps the module
                    target[leaf] = source[leaf]  # type: ignore[assignment]

    @torch.no_grad()
    def give_own_norms(self, own: bool) -> None:
        """Let the second stage keep as its own the norms and biases that the layers have now; or share the first's."""
        self.config.own_norms = own
        self.share()
        for name in self._norms if own else ():
            place, _, leaf = name.rpartition(".")
            parameters = self.second.get_submodule(place)._parameters
            given = parameters[leaf]
            assert given is not None
            parameters[leaf] = nn.Parameter(given.detach().clone(), given.requires_grad)

    @torch.no_grad()
    def share_everything(self) -> None:
        """Give the second stage the norms, the biases and a copy of the last layer of the first one."""
        self.give_own_norms(False)
        self.second.head.classifier.load_state_dict(self.first.head.classifier.state_dict())

    def read(self, batch: Batch, by: Read = TokensieveForSequenceClassification.read) -> Answers:
        """The answers to a checked batch.

        Args:
            batch: documents.
            by: reads some of the documents by one stage.
        """
        if self.training:
            return by(self.first, batch)
        stages = [partial(_read_some, by, stage, batch) for stage in (self.first, self.second)]
        found = list(run_cascade(stages, [self.rule], batch.lengths))
        last = {document: place for place, document in enumerate(i for documents, _ in found for i in documents)}
        order = [last[document] for document in range(len(batch.lengths))]
        answers = Answers.joined([own for _, own in found])
        return answers if order == list(range(len(answers.logits))) else answers.picked(order)

    def read_alone(self, number: int, **inputs: Tensor) -> Answers:
        """The answers of one stage to all documents. The first one answers documents that the second never gets.

        Args:
            number: of the stage, counted from 0.
            inputs: a padded batch, as `forward` takes it.
        """
        batch, rule = check_batch(self.config, **inputs), self.rule
        kept = [not number or (length < rule.shortest and not rule.skips_short) for length in batch.lengths]
        groups = [[document for document, own in enumerate(kept) if own is which] for which in (True, False)]
        read = TokensieveForSequenceClassification.read
        pairs = zip((self.first, self.second), groups, strict=True)
        found = [own for stage, group in pairs for own in _read_some(read, stage, batch, group)]
        answers, documents = Answers.joined([own for _, own in found]), groups[0] + groups[1]
        if documents == list(range(len(documents))):
            return answers
        return answers.picked([documents.index(document) for document in range(len(documents))])

    def plan(self, length: int, *, special: int = 2, samples: Mapping[str, Tensor] | None = None) -> Plan:
        """As of a stage: the steps are those of the first one; the FLOPs count the share that goes to the second."""
        first = self.first.plan(length, special=special, samples=samples)
        return plan_of(self.config, length, special=special, first=first)

    def save_pretrained(self, *args: Any, **kwargs: Any) -> None:
        """As in transformers; what the stages share is written once, under the name that it has in the first."""
        self.share()
        super().save_pretrained(*args, **kwargs)

    @classmethod
    def from_pretrained(cls, *args: Any, **kwargs: Any) -> Any:
        """As in transformers; it reads the cascades of version 0.1.0 as well."""
        kwargs.setdefault("key_mapping", NAMES)
        loaded = super().from_pretrained(*args, **kwargs)
        (loaded[0] if isinstance(loaded, tuple) else loaded).share()
        return loaded

    def _apply(self, *args: Any, **kwargs: Any) -> Any:
        """Moved or converted, the stages share again: torch replaces buffers one by one."""
        super()._apply(*args, **kwargs)  # type: ignore[no-untyped-call]
        self.share()
        return self


def _read_some(
    by: Read, stage: TokensieveForSequenceClassification, batch: Batch, documents: Sequence[int]
) -> Iterator[tuple[list[int], Answers]]:
    """A stage of one batch, whose documents it reads all together."""
    if documents:
        whole = list(documents) == list(range(len(batch.lengths)))
        yield list(documents), by(stage, batch if whole else batch.picked(documents))


def _leave_shared_out(model: Any, state: dict[str, Any], prefix: str, _: Any) -> None:
    """Of a cascade's state the tensors that the second stage shares."""
    for name in model.shared_names():
        state.pop(f"{prefix}stages.1.{name}", None)


def _complete(model: Any, state: dict[str, Any], prefix: str, *_: Any) -> None:
    """A state that is to be loaded, with the shared tensors under both names; one of 0.1.0 under new names."""
    for name in [name for name in state if name.startswith(prefix)]:
        if (now := prefix + new_name(name.removeprefix(prefix))) != name:
            state[now] = state.pop(name)
    for name in model.shared_names():
        if f"{prefix}stages.0.{name}" in state:
            state.setdefault(f"{prefix}stages.1.{name}", state[f"{prefix}stages.0.{name}"])
