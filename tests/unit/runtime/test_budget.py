"""The budget of tokens that is measured: on which documents, within what time, and what is chosen."""

import random
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

import tokensieve
from tokensieve.data import Document
from tokensieve.runtime.budget import BATCH_TOKENS, CANDIDATES, LEAST_TOKENS, fastest_budget
from tokensieve.runtime.classifier import Classifier
from tokensieve.runtime.evaluate import evaluate

LENGTHS = [random.Random(3).randint(10, 512) for _ in range(1024)]
Cost = Callable[[int], float]


class Machine:
    """Runs batches in no time, on a clock of its own that a batch of n tokens puts forward by `cost(n)` seconds."""

    def __init__(self, lengths: Sequence[int], cost: Cost) -> None:
        self.lengths, self.cost = lengths, cost
        self.now = 100.0
        self.batches: list[list[int]] = []

    def run(self, batch: list[int]) -> None:
        self.batches.append(batch)
        self.now += self.cost(self.tokens(batch))

    def tokens(self, batch: list[int]) -> int:
        return sum(self.lengths[i] for i in batch)

    def choose(self) -> int | None:
        return fastest_budget(self.lengths, self.run, lambda: self.now)


def fastest_at(best: int) -> Cost:
    """A cost whose tokens per second are highest in batches of about `best` tokens."""
    return lambda tokens: tokens * 1e-5 * (1 + abs(np.log2(tokens / best)))


@pytest.mark.parametrize("best", CANDIDATES)
def test_the_fastest_is_chosen(best: int) -> None:
    machine = Machine(LENGTHS, fastest_at(best))
    assert machine.choose() == best
    largest = [machine.tokens(batch) for batch in machine.batches]
    assert all(any(0.8 * budget < tokens <= budget for tokens in largest) for budget in CANDIDATES)


@pytest.mark.parametrize(("gain", "chosen"), [(1.03, BATCH_TOKENS), (1.10, 16384)])
def test_the_default_is_left_for_a_gain_alone(gain: float, chosen: int) -> None:
    machine = Machine(LENGTHS, lambda tokens: tokens * 1e-5 / (gain if tokens > 10_000 else 1))
    assert machine.choose() == chosen


def test_noise_of_one_round_does_not_count() -> None:
    slow = iter([1, 50, *[1] * 1000])  # the first batch with the default budget meets another process
    machine = Machine(LENGTHS, lambda tokens: tokens * 1e-5 * next(slow))
    assert machine.choose() == BATCH_TOKENS


@pytest.mark.parametrize("lengths", [[], [5], [512] * 15, [LEAST_TOKENS - 1]], ids=len)
def test_few_documents_say_nothing(lengths: list[int]) -> None:
    machine = Machine(lengths, fastest_at(1024))
    assert machine.choose() is None
    assert machine.batches == []


@pytest.mark.parametrize("lengths", [[512] * 16, [1] * LEAST_TOKENS, [LEAST_TOKENS], [9000, 1, 1]], ids=len)
def test_budgets_that_the_documents_do_not_fill_are_not_tried(lengths: list[int]) -> None:
    machine = Machine(lengths, lambda tokens: tokens * 1e-5 / tokens**2)
    assert machine.choose() in CANDIDATES[:4]
    assert all(len(batch) == len(set(batch)) > 0 for batch in machine.batches)


@pytest.mark.parametrize(
    ("per_second", "tokens"), [(100, 6000), (900, 9000), (3000, 30_000), (10_000, 67_000), (1e6, 67_000)]
)
def test_the_cost_is_bounded(per_second: float, tokens: int) -> None:
    """Ten seconds beside the first batch, or the default budget's run where that alone takes longer."""
    machine = Machine(LENGTHS, lambda tokens: tokens / per_second)
    assert machine.choose() == BATCH_TOKENS
    first, second = (machine.tokens(batch) / per_second for batch in machine.batches[:2])
    assert machine.now - 100 - first <= max(10.5, second + 0.5)
    assert sum(map(machine.tokens, machine.batches)) <= tokens


def test_documents_are_of_middling_length() -> None:
    machine = Machine(LENGTHS, fastest_at(4096))
    machine.choose()
    by_token = sorted(length for length in LENGTHS for _ in range(length))
    low, high = by_token[len(by_token) // 4], by_token[3 * len(by_token) // 4]
    assert all(low <= LENGTHS[i] <= high for batch in machine.batches for i in batch)


def test_a_budget_for_which_memory_does_not_suffice() -> None:
    machine = Machine(LENGTHS, fastest_at(16384))
    failed = []

    def run(batch: list[int]) -> None:
        if machine.tokens(batch) > 8192:
            failed.append(batch)
            raise torch.OutOfMemoryError("as if")
        machine.run(batch)

    assert fastest_budget(LENGTHS, run, lambda: machine.now) == 8192
    assert len(failed) == 1, "once is enough"


@pytest.fixture
def auto(classifier_dir: Path) -> Classifier:
    return tokensieve.load(classifier_dir, device="cpu", batch_tokens="auto")


MANY = ["film law " * 30] * 140  # 62 tokens each


def test_the_engine_chooses_once_and_answers_the_same(auto: Classifier, classifier: Classifier) -> None:
    few = auto.predict_proba(MANY[:9])
    assert (auto.engine.batch_tokens, auto.engine.budget) == ("auto", BATCH_TOKENS)
    found = auto.predict_proba(MANY)
    chosen = auto.engine.batch_tokens
    assert chosen in CANDIDATES
    assert chosen == auto.engine.budget
    np.testing.assert_allclose(found, classifier.predict_proba(MANY), atol=1e-5)
    np.testing.assert_allclose(found[:9], few, atol=1e-5)
    auto.predict(MANY * 2)
    assert auto.engine.batch_tokens == chosen


def test_the_engine_uses_what_was_chosen(auto: Classifier, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tokensieve.runtime.engine.fastest_budget", lambda lengths, run: 124 if lengths else None)
    sizes: list[int] = []
    auto.model.head.register_forward_hook(lambda _, __, output: sizes.append(len(output[0])))
    auto.predict(MANY)
    assert set(sizes) == {2}


def test_trial_runs_count_nowhere(auto: Classifier) -> None:
    auto.results(["film " * 100] * 200)
    assert auto.engine.truncated == 200


def test_an_evaluation_chooses_before_it_is_timed(auto: Classifier, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []

    def choose(lengths: Sequence[int], _: object) -> int | None:
        if len(lengths) < 30:
            return None
        seen.append("choice")
        return 777

    def clock() -> float:
        seen.append("clock")
        return float(len(seen))

    monkeypatch.setattr("tokensieve.runtime.engine.fastest_budget", choose)
    monkeypatch.setattr("tokensieve.runtime.evaluate.time", SimpleNamespace(perf_counter=clock))
    scores = evaluate(auto, [Document(text, "film", "here", 1) for text in MANY[:30]])
    assert seen == ["choice", "clock", "clock"]
    assert (scores["batch_tokens"], scores["dtype"]) == (777, "float32")


@pytest.mark.parametrize("budget", ["", "Auto", "many", 1.5, None])
def test_budgets_that_are_none(classifier_dir: Path, budget: object) -> None:
    with pytest.raises(tokensieve.ConfigError, match=r"batch_tokens=.*'auto'"):
        tokensieve.load(classifier_dir, batch_tokens=budget)  # type: ignore[arg-type]
