"""Watching an encoder: which tokens stand after each step, and their scores, by hooks on its modules.

The model itself records nothing for this: without a `Watch`, no hook runs, and no score is kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

from torch import Tensor, nn

from tokensieve.model.classifier import TokensieveForSequenceClassification
from tokensieve.model.steps import Step
from tokensieve.tokens import COMBINATION


@dataclass
class Seen:
    """What one encoder did with one document.

    Attributes:
        stage: number of the encoder in its cascade; 0 for a model alone.
        alive: of each step up to the last one that has text tokens, the positions of the tokens that still stand: in
            the model, or as keys of at least one head.
        counts: of each entry of `alive`, the tokens that count as kept, as `Trace.kept` has them.
        layers: of each entry of `alive`, the layer of the source checkpoint, from 1.
        scores: position -> score when it was last scored, the mean over heads; higher ones stay.
        joined: position -> combination token; None without a combining module.
    """

    stage: int
    alive: list[list[int]] = field(default_factory=list)
    counts: list[int] = field(default_factory=list)
    layers: list[int] = field(default_factory=list)
    scores: dict[int, float] = field(default_factory=dict)
    joined: dict[int, int] | None = None

    def add(self, positions: list[int], count: int, layer: int) -> None:
        """Add the tokens that stand after a layer."""
        self.alive.append(positions)
        self.counts.append(count)
        self.layers.append(layer)


class Watch:
    """Watches the encoders of a model or a cascade while the context is open; one document a pass.

    Args:
        stages: the encoders, as `tokensieve.cascade.build.stages_of` gives them; none of a bag of words.

    Attributes:
        seen: of each pass of an encoder, in order, what it did.
    """

    def __init__(self, stages: Sequence[TokensieveForSequenceClassification]) -> None:
        self.stages, self.seen = stages, list[Seen]()
        self._hooks: list[Any] = []
        self._tokens: Any = None
        self._keys: Any = None
        self._exempt: Any = None

    def __enter__(self) -> Self:
        for number, stage in enumerate(self.stages):
            encoder = stage.encoder
            self._hooks.append(encoder.register_forward_pre_hook(self._starting(number)))
            for step, module in zip(encoder.steps, encoder.layer, strict=True):
                self._watch_step(step, module)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for hook in self._hooks:
            hook.remove()
        self._hooks.clear()

    def take(self) -> list[Seen]:
        """What was seen since the last call."""
        seen, self.seen = self.seen, []
        return seen

    def _starting(self, number: int) -> Any:
        def start(module: nn.Module, inputs: tuple[Any, ...]) -> None:
            self.seen.append(Seen(number))

        return start

    def _watch_step(self, step: Step, module: Any) -> None:
        if step.kind == "combine":
            self._hooks.append(module.register_forward_hook(self._after_combining))
            return
        self._hooks.append(module.register_forward_pre_hook(self._before_layer))
        self._hooks.append(module.register_forward_hook(self._after_layer(step)))
        if step.prune is None:
            return
        if module.importance is not None:
            self._hooks.append(module.importance.register_forward_hook(self._after_scorer))
        else:
            self._hooks.append(module.attention.self.register_forward_hook(self._after_attention(module)))

    def _before_layer(self, module: nn.Module, inputs: tuple[Any, ...]) -> None:
        self._tokens, self._keys, self._exempt = inputs[:3]

    def _after_layer(self, step: Step) -> Any:
        def note(module: nn.Module, inputs: tuple[Any, ...], output: tuple[Any, Any]) -> None:
            served, tokens = inputs[1], output[0]
            positions = _text((tokens.origin if served is None else tokens.origin[served.rows]).unique())
            if positions and step.source is not None:  # none where only combination tokens are left
                lengths = tokens.lengths if served is None else served.lengths
                self.seen[-1].add(positions, lengths[0] - tokens.combination, step.source + 1)

        return note

    def _after_scorer(self, module: nn.Module, inputs: tuple[Any, ...], scores: Tensor) -> None:
        self._note_scores(self._tokens.origin.expand(len(scores), -1), scores)

    def _after_attention(self, layer: Any) -> Any:
        def note(module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
            scores, origin = layer.scores_of(self._tokens, self._keys, output, self._exempt), self._tokens.origin
            if scores is None:
                return
            rows = origin.unsqueeze(0) if self._keys is None else origin[self._keys.rows]
            self._note_scores(rows.expand(len(scores), -1), scores)

        return note

    def _note_scores(self, positions: Tensor, scores: Tensor) -> None:
        """Keep the scores [S, K] of tokens at positions [S, K]."""
        found: dict[int, list[float]] = {}
        for position, score in zip(positions.flatten().tolist(), scores.flatten().tolist(), strict=True):
            if position != COMBINATION:
                found.setdefault(position, []).append(score)
        self.seen[-1].scores |= {position: sum(own) / len(own) for position, own in found.items()}

    def _after_combining(self, module: nn.Module, inputs: tuple[Any, ...], output: tuple[Any, Tensor]) -> None:
        positions = [position for position in inputs[0].origin.tolist() if position != COMBINATION]
        if not self.seen[-1].alive:  # combining is the first step: all tokens are folded
            self.seen[-1].add(positions, len(positions), 0)
        self.seen[-1].joined = dict(zip(positions, output[1].tolist(), strict=True))


def _text(positions: Tensor) -> list[int]:
    return [position for position in positions.tolist() if position != COMBINATION]
