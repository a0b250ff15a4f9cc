"""Pruning warm-up, and the learning rate of what starts at random."""

from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from contract.variants import settings, tiny_model
from tokensieve.training.loop.pruning_warmup import PruningWarmup
from tokensieve.training.loop.trainer import TokensieveTrainer
from unit.training.keyword_documents import Train


def ratios(model: Any) -> list[Fraction]:
    return [layer.share for layer in model.encoder.layer if layer.prune is not None]


def test_keep_shares_fall_to_their_final_values() -> None:
    model = tiny_model(settings(pruning="ratio", site="hidden", keep_ratios=(1.0, 0.5, 0.8, 0.5)))
    callback = PruningWarmup(model, share=0.5)
    seen = []
    for step in (0, 10, 20, 40):
        callback.on_step_begin(None, SimpleNamespace(global_step=step, max_steps=40), None)
        seen.append(list(map(float, ratios(model))))
    assert seen == [[1, 1, 1], pytest.approx([0.75, 0.9, 0.75]), [0.5, 0.8, 0.5], [0.5, 0.8, 0.5]]
    callback.on_step_begin(None, SimpleNamespace(global_step=0, max_steps=40), None)
    callback.on_epoch_end(None, None, None)
    assert ratios(model) == [Fraction(1, 2), Fraction(4, 5), Fraction(1, 2)]


def test_in_a_run(run: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three steps an epoch: training begins with everything, validation never does."""
    from tokensieve.model.layer import Layer

    seen: list[tuple[bool, float]] = []
    forward = Layer.forward

    def noted(self: Layer, *inputs: Any) -> Any:
        if self.prune is not None:
            seen.append((self.training, float(self.share)))
        return forward(self, *inputs)

    monkeypatch.setattr(Layer, "forward", noted)
    run(settings={"pruning": "ratio", "site": "hidden", "keep_ratio": 0.4}, pruning_warmup=1.0, epochs=2)
    training = sorted({ratio for trained, ratio in seen if trained}, reverse=True)
    assert training == pytest.approx([1 - 0.6 * step / 6 for step in range(6)])
    assert {ratio for trained, ratio in seen if not trained} == {0.4}


def test_new_parameters_have_a_rate_of_their_own(run: Train, monkeypatch: pytest.MonkeyPatch) -> None:
    groups: list[dict[str, Any]] = []
    made = TokensieveTrainer.create_optimizer

    def noted(self: TokensieveTrainer, *arguments: Any) -> Any:
        optimizer = made(self, *arguments)
        names = {id(parameter): name for name, parameter in self.model.named_parameters()}
        for group in optimizer.param_groups:
            groups.append({"lr": group["lr"], "names": [names[id(parameter)] for parameter in group["params"]]})
        total = sum(len(group["params"]) for group in optimizer.param_groups)
        assert total == len(names)
        return optimizer

    monkeypatch.setattr(TokensieveTrainer, "create_optimizer", noted)
    run(head_lr_multiplier=5.0, learning_rate=1e-3)
    new = {name for group in groups if group["lr"] == pytest.approx(5e-3) for name in group["names"]}
    old = {name for group in groups if group["lr"] == pytest.approx(1e-3) for name in group["names"]}
    assert {"embeddings.combination_tokens.weight", "head.classifier.weight", "encoder.layer.2.query.bias"} <= new
    assert {"embeddings.word_embeddings.weight", "encoder.layer.0.output.dense.bias"} <= old
    assert not new & old
