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
from tokensieve.model.pretrained import ClassifierModel

Read = Callable[[TokensieveForSequenceClassification, Batch], Answers]
_LAST_LAYER = ("head.classifier.weight", "head.classifier.bias")


class TokensieveCascadeForSequenceClassification(ClassifierModel):
    """A cascade of two encoders: the first prunes, and defers its least confident documents to the second.

    The stages share their tensors, in memory and on disk. The second stage has a last layer of the head of its own and,
    with `own_norms`, norms and biases of its own. In train mode the first stage answers all documents.

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
        self._common = _common_tensors(first, second)
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
        """The attention backend of the first stage."""
        return self.first.attention_backend

    def get_input_embeddings(self) -> nn.Module:
        """The word embeddings of both stages."""
        return self.first.get_input_embeddings()

    def set_input_embeddings(self, value: nn.Module) -> None:
        """Replace the word embeddings of both stages."""
        self.first.set_input_embeddings(value)
        self.second.set_input_embeddings(value)

    def shared_names(self) -> list[str]:
        """Names of the tensors that both stages share, as they are within a stage."""
        separate = {*_LAST_LAYER, *(self._norms if self.config.own_norms else ())}
        return [name for name in self._common if name not in separate]

    def share(self) -> None:
        """Let the second stage hold the first one's tensors, except for those of its own."""
        for name in self.shared_names():
            place, _, leaf = name.rpartition(".")
            first, second = (stage.get_submodule(place) for stage in (self.first, self.second))
            for source, target in ((first._parameters, second._parameters), (first._buffers, second._buffers)):
                if leaf in source and leaf in target:  # not where an adapter wraps the module
                    target[leaf] = source[leaf]  # type: ignore[assignment]

    @torch.no_grad()
    def give_own_norms(self, own: bool) -> None:
        """Give the second stage copies of its present norms and biases as its own, or let it share the first one's."""
        self.config.own_norms = own
        self.share()
        for name in self._norms if own else ():
            place, _, leaf = name.rpartition(".")
            parameters = self.second.get_submodule(place)._parameters
            present = parameters[leaf]
            assert present is not None
            parameters[leaf] = nn.Parameter(present.detach().clone(), present.requires_grad)

    @torch.no_grad()
    def share_everything(self) -> None:
        """Let the second stage share the first one's norms and biases, and copy the last layer of its head."""
        self.give_own_norms(False)
        self.second.head.classifier.load_state_dict(self.first.head.classifier.state_dict())

    def read(self, batch: Batch, by: Read = TokensieveForSequenceClassification.read) -> Answers:
        """Answer a checked batch.

        Args:
            batch: documents.
            by: answers some of the documents by one stage.
        """
        if self.training:
            return by(self.first, batch)
        stages = [partial(_read_some, by, stage, batch) for stage in (self.first, self.second)]
        batches = list(run_cascade(stages, [self.rule], batch.lengths))
        last = {document: place for place, document in enumerate(i for _, documents, _ in batches for i in documents)}
        order = [last[document] for document in range(len(batch.lengths))]
        answers = Answers.joined([answers for *_, answers in batches])
        return answers if order == list(range(len(answers.logits))) else answers.picked(order)

    def read_alone(self, number: int, **inputs: Tensor) -> Answers:
        """Answer all documents by one stage; the first one answers short documents that the second never gets.

        Args:
            number: of the stage, counted from 0.
            inputs: a padded batch, as `forward` takes it.
        """
        batch, rule = check_batch(self.config, **inputs), self.rule
        by_first = [not number or (length < rule.shortest and not rule.skips_short) for length in batch.lengths]
        groups = [[document for document, first in enumerate(by_first) if first is wanted] for wanted in (True, False)]
        read = TokensieveForSequenceClassification.read
        pairs = zip((self.first, self.second), groups, strict=True)
        batches = [part for stage, group in pairs for part in _read_some(read, stage, batch, group)]
        answers, documents = Answers.joined([answers for _, answers in batches]), groups[0] + groups[1]
        if documents == list(range(len(documents))):
            return answers
        return answers.picked([documents.index(document) for document in range(len(documents))])

    def plan(self, length: int, *, special: int = 2, samples: Mapping[str, Tensor] | None = None) -> Plan:
        """Plan as a stage does. The steps are those of the first one; FLOPs count the deferred share too."""
        first = self.first.plan(length, special=special, samples=samples)
        return plan_of(self.config, length, special=special, first=first)

    def save_pretrained(self, *args: Any, **kwargs: Any) -> None:
        """Save as transformers does; a shared tensor is written once, under its name in the first stage."""
        self.share()
        super().save_pretrained(*args, **kwargs)

    @classmethod
    def from_pretrained(cls, *args: Any, **kwargs: Any) -> Any:
        """Load as transformers does; cascades of version 0.1.0 are read too."""
        kwargs.setdefault("key_mapping", NAMES)
        loaded = super().from_pretrained(*args, **kwargs)
        (loaded[0] if isinstance(loaded, tuple) else loaded).share()
        return loaded

    def _apply(self, *args: Any, **kwargs: Any) -> Any:
        """Move or convert both stages, and let them share again: torch replaces buffers one by one."""
        super()._apply(*args, **kwargs)  # type: ignore[no-untyped-call]
        self.share()
        return self


def _common_tensors(first: nn.Module, second: nn.Module) -> tuple[str, ...]:
    """Names of the tensors that two stages can share: those of modules of the same class, not of int8 and float32."""
    kinds = [{name: type(module) for name, module in stage.named_modules()} for stage in (first, second)]
    places = {name: name.rpartition(".")[0] for name in second.state_dict() if name in first.state_dict()}
    return tuple(name for name, place in places.items() if kinds[0][place] is kinds[1][place])


def _read_some(
    by: Read, stage: TokensieveForSequenceClassification, batch: Batch, documents: Sequence[int]
) -> Iterator[tuple[list[int], Answers]]:
    """Answer some documents of a batch by a stage, all together."""
    if documents:
        whole = list(documents) == list(range(len(batch.lengths)))
        yield list(documents), by(stage, batch if whole else batch.picked(documents))


def _leave_shared_out(model: Any, state: dict[str, Any], prefix: str, _: Any) -> None:
    """Remove the tensors that the second stage shares from a cascade's state."""
    for name in model.shared_names():
        state.pop(f"{prefix}stages.1.{name}", None)


def _complete(model: Any, state: dict[str, Any], prefix: str, *_: Any) -> None:
    """Complete a state that is to be loaded: shared tensors under both names, names of 0.1.0 by today's."""
    for name in [name for name in state if name.startswith(prefix)]:
        if (now := prefix + new_name(name.removeprefix(prefix))) != name:
            state[now] = state.pop(name)
    for name in model.shared_names():
        if f"{prefix}stages.0.{name}" in state:
            state.setdefault(f"{prefix}stages.1.{name}", state[f"{prefix}stages.0.{name}"])
