"""Gates by hand: the weights of rows, what they multiply, and the penalty."""

import pytest
import torch

from tokensieve.reduce.gate import free_rows
from tokensieve.reduce.select import skim
from tokensieve.reduce.select.learned_threshold import LearnedThreshold
from tokensieve.reduce.select.skim import Skim
from tokensieve.reduce.select.soft_extract import SoftExtract
from tokensieve.tokens import Tokens


def tokens_of(*lengths: int, protected: tuple[int, ...] = ()) -> Tokens:
    """Documents of these lengths, the rows at some places of the batch protected."""
    total = sum(lengths)
    flags = torch.tensor([row in protected for row in range(total)])
    counts = tuple(int(part.sum()) for part in flags.split(list(lengths)))
    origin = torch.cat([torch.arange(length) for length in lengths])
    return Tokens(torch.randn(total, 4), lengths, origin, flags, counts)


def test_rows_that_a_gate_may_close() -> None:
    tokens = tokens_of(2, 3, protected=(0, 4))
    assert free_rows(tokens, [False, False]).tolist() == [False, True, True, True, False]
    assert free_rows(tokens, [False, True]).tolist() == [False, True, False, False, False]


def test_a_threshold_by_hand() -> None:
    """Layer 3 of 6 at final 0.01: threshold 0.005; the temperature makes of 0.001 above it sigmoid(1)."""
    gate = LearnedThreshold(penalty=0.5).gate(3, 6).train()
    tokens = tokens_of(3, 1, protected=(0,))
    scores = torch.tensor([[0.9, 0.006, 0.003, 0.005]])
    after, weights = gate(scores, tokens, [False, False])
    expected = torch.tensor([1.0, 1 / (1 + 2.718281828**-1), 1 / (1 + 2.718281828**2), 0.5])
    torch.testing.assert_close(weights, expected, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(after.penalty, 0.5 * torch.stack([expected[:3].mean(), expected[3]]), atol=1e-5, rtol=0)
    torch.testing.assert_close(gate.behind(tokens.values, tokens.values, weights), tokens.values * weights.unsqueeze(1))
    assert gate.report() == {"threshold": pytest.approx(0.005)}
    assert after.key_weights is None, "keys are what they were"


def test_a_threshold_is_never_below_the_smallest() -> None:
    gate = LearnedThreshold().gate(1, 6)
    gate.difference.data.fill_(-1.0)
    assert float(gate.threshold.detach()) == pytest.approx(1e-5)
    assert gate.margins(torch.tensor([[0.0, 1.0]])).detach().tolist() == [pytest.approx([-1e-5, 1 - 1e-5])]


def test_weights_of_ranks_by_hand() -> None:
    """Four bins: of eight tokens two share one, two tokens have the first and third. Protected ones come first."""
    gate = SoftExtract(bins=4, penalty=0.1).gate(2, 6).train()
    gate.retention.data = torch.tensor([0.9, 0.6, 0.3, 0.1])
    tokens = tokens_of(8, 2, protected=(7,))
    scores = torch.tensor([[0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1, 0.1, 0.2]])
    after, weights = gate(scores, tokens, [False, False])
    # row 7 is rank 0 and has weight 1; row 0 rank 1, rows 1 and 2 bin 1, rows 3 and 4 bin 2, rows 5 and 6 bin 3
    expected = [0.9, 0.6, 0.6, 0.3, 0.3, 0.1, 0.1, 1.0, 0.3, 0.9]
    assert weights.tolist() == pytest.approx(expected)
    assert after.penalty.tolist() == pytest.approx([0.1 * 2 * 1.9] * 2)
    assert gate.share == pytest.approx(1.9 / 4)
    torch.testing.assert_close(gate.between(tokens.values, weights), tokens.values * weights.unsqueeze(1))


def test_weights_of_ranks_come_back_into_their_range() -> None:
    gate = SoftExtract(bins=3).gate(1, 6)
    gate.retention.data = torch.tensor([1.5, 0.5, -0.2])
    assert gate.within.tolist() == [1.0, 0.5, 0.0]
    assert torch.autograd.grad(gate.within.sum(), gate.retention)[0].tolist() == [1.0, 1.0, 1.0]
    gate.project()
    assert gate.retention.tolist() == [1.0, 0.5, 0.0]


def test_skimming_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hard weights with the sigmoid's gradient; what is gone stays gone, and weighs nothing as a key."""
    monkeypatch.setattr(skim, "logistic_noise", lambda like: torch.full_like(like, -1.0))
    gate = Skim(penalty=0.6, temperature=2.0).gate(1, 3).train()
    tokens = tokens_of(4, protected=(0,))
    scores = torch.tensor([[-9.0, 3.0, 0.5, -4.0]], requires_grad=True)
    after, weights = gate(scores, tokens, [False])
    assert weights.tolist() == [1, 1, 0, 0]
    assert after.key_weights.tolist() == after.weights.tolist() == [1, 1, 0, 0]
    assert after.penalty.tolist() == pytest.approx([0.6 / 3 * 0.5])
    (gradient,) = torch.autograd.grad(weights.sum(), scores, retain_graph=True)
    slopes = [float(torch.tensor((score - 1) / 2).sigmoid()) for score in (3.0, 0.5, -4.0)]
    assert gradient[0].tolist() == pytest.approx([0.0, *[p * (1 - p) / 2 for p in slopes]])
    again, weights = gate(torch.tensor([[1.0, -5.0, 9.0, 9.0]]), after, [False])
    assert weights.tolist() == [1, 0, 0, 0]
    assert again.penalty.tolist() == pytest.approx([0.6 / 3 * (0.5 + 0.25)])
    computed = gate.behind(torch.ones(4, 4), tokens.values, weights)
    torch.testing.assert_close(computed, torch.cat([torch.ones(1, 4), tokens.values[1:]]))


def test_documents_that_are_not_pruned_keep_all_their_weight() -> None:
    gates = [cell.gate(1, 3).train() for cell in (LearnedThreshold(), Skim(), SoftExtract())]
    for gate in gates:
        weights = gate(torch.full((1, 5), -100.0), tokens_of(2, 3), [True, True])[1]
        assert weights.tolist() == [1.0] * 5


def test_a_gate_acts_in_training_while_it_is_soft() -> None:
    gate = Skim().gate(1, 3)
    assert [gate.train(mode).acts for mode in (True, False)] == [True, False]
    gate.soft = False
    assert not gate.train().acts
