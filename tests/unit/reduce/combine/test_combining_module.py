"""The token combining module against its equations, a token and a document at a time."""

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from tokensieve.reduce.combine.combining_module import CombiningModule, TokenCombiner
from tokensieve.tokens import COMBINATION, Tokens

WIDTH, M = 16, 4
LENGTHS = (1, 9, 30, 30, 2)


def make_module(spread: float = 0.5, **changes: Any) -> TokenCombiner:
    """Random, biases and norms included."""
    settings = CombiningModule(tokens=M, **{name.removeprefix("combine_"): value for name, value in changes.items()})
    module = settings.module(WIDTH, 1e-12).eval()
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.normal_(std=spread)
    return module


def make_tokens(lengths: tuple[int, ...] = LENGTHS) -> Tokens:
    """Text of `lengths` tokens and the M combination tokens of each document, different by document."""
    total = sum(lengths) + M * len(lengths)
    origin = torch.cat([torch.tensor([*range(length), *[COMBINATION] * M]) for length in lengths])
    return Tokens(
        values=torch.randn(total, WIDTH),
        lengths=tuple(length + M for length in lengths),
        origin=origin,
        protected=torch.zeros(total, dtype=torch.bool),
        protected_counts=(0,) * len(lengths),
        combination=M,
    )


def split(tokens: Tokens) -> list[tuple[Tensor, Tensor]]:
    """Text and combination tokens of each document."""
    return [(rows[:-M], rows[-M:]) for rows in tokens.values.split(list(tokens.lengths))]


def fold(module: TokenCombiner, text: Tensor, own: Tensor, offset: float = 0.0) -> tuple[Tensor, list[int]]:
    """c_i + W_o(sum of W_v e_j over those that join c_i / their number), by loops."""
    queries, keys = module.query(module.combination_norm(own)), module.key(module.text_norm(text))
    joined = [max(range(M), key=lambda i: float(queries[i] @ keys[j])) for j in range(len(text))]
    folded = []
    for i in range(M):
        members = [module.value(text[j]) for j in range(len(text)) if joined[j] == i]
        update = module.dense(sum(members) / (len(members) + offset)) if members else torch.zeros(WIDTH)
        folded.append(own[i] + update)
    return torch.stack(folded), joined


@pytest.mark.parametrize("scale", [True, False])
@pytest.mark.parametrize("offset", [0.0, 1.0, 0.5])
@torch.no_grad()
def test_module_is_its_equations(scale: bool, offset: float) -> None:
    module, tokens = make_module(combine_scale=scale, combine_count_offset=offset), make_tokens()
    after, joined = module(tokens)
    expected, members = zip(*(fold(module, text, own, offset) for text, own in split(tokens)), strict=True)
    torch.testing.assert_close(after.values, torch.cat(expected), atol=1e-5, rtol=1e-5)
    assert joined.tolist() == [i for part in members for i in part]
    assert len(set(joined.tolist())) == M, "all join the same: a poor test"
    assert after.lengths == (M,) * len(LENGTHS)
    assert after.text_lengths == (0,) * len(LENGTHS)


@pytest.mark.parametrize("offset", [0.0, 1.0])
@pytest.mark.parametrize("grad", [True, False])
def test_a_combination_token_that_nothing_joins_stays(offset: float, grad: bool) -> None:
    module, tokens = make_module(combine_count_offset=offset), make_tokens((1,))
    with torch.set_grad_enabled(grad):
        after, joined = module(tokens)
    before = split(tokens)[0][1]
    for i in range(M):
        assert torch.equal(after.values[i], before[i]) == (i != int(joined[0]))


def test_each_token_joins_exactly_one() -> None:
    for training in (True, False):
        module = make_module().train(training)
        assigned = module.assign(torch.randn(2, M, 50) * 3).detach()
        torch.testing.assert_close(assigned.sum(1), torch.ones(2, 50))
        torch.testing.assert_close(assigned.max(1).values, torch.ones(2, 50))


def test_of_equals_one_is_joined() -> None:
    assert make_module().assign(torch.zeros(1, M, 5)).sum(1).tolist() == [[1] * 5]


def test_assignment_is_straight_through() -> None:
    """Forward one-hot, backward as if softmax over the combination tokens had been taken."""
    module, logits, direction = make_module(), torch.randn(2, M, 7, requires_grad=True), torch.randn(2, M, 7)
    hard = module.assign(logits)
    assert torch.equal(hard.detach().round(), F.one_hot(logits.argmax(1), M).transpose(1, 2).float())
    gradient = torch.autograd.grad((hard * direction).sum(), logits)
    torch.testing.assert_close(gradient, torch.autograd.grad((logits.softmax(1) * direction).sum(), logits))


def test_gradient_of_the_module_is_that_of_the_soft_sums() -> None:
    """d/dHA of (HA V) / sum HA: the straight-through gradient flows through sum and count alike."""
    module, tokens = make_module(), make_tokens((12,))
    text, own = split(tokens)[0]
    direction = torch.randn(M, WIDTH)
    query = module.query(module.combination_norm(own))
    soft = (query @ module.key(module.text_norm(text)).T * WIDTH**-0.5).softmax(0)
    hard = F.one_hot(soft.argmax(0), M).T.float() + soft - soft.detach()
    number = hard.sum(1, keepdim=True)
    joined = number.detach() > 0.5
    mean = hard @ module.value(text) / number.where(joined, torch.ones(()))
    expected = own + module.dense(mean).where(joined, torch.zeros(()))
    weight = module.key.weight
    theirs = torch.autograd.grad((expected * direction).sum(), weight)[0]
    ours = torch.autograd.grad((module(tokens)[0].values * direction).sum(), weight)[0]
    assert theirs.abs().max() > 1e-3
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-4)


def joined_by(module: TokenCombiner, tokens: Tokens, draws: int) -> set[tuple[int, ...]]:
    return {tuple(module(tokens)[1].tolist()) for _ in range(draws)}


def test_noise_in_training_alone() -> None:
    tokens = make_tokens()
    assert len(joined_by(make_module(spread=0.1), tokens, 5)) == 1
    assert len(joined_by(make_module(spread=0.1).train(), tokens, 5)) == 5
    assert len(joined_by(make_module(spread=0.1, combine_noise=False).train(), tokens, 5)) == 1


def test_noise_is_gumbels_for_every_pair() -> None:
    """The winner of logits and Gumbel noise is distributed as their softmax, independently by token."""
    module = make_module().train()
    logits = torch.tensor([0.0, 1.0, -1.0, 0.5]).view(1, M, 1).expand(1, M, 40_000)
    shares = module.assign(logits).detach().mean((0, 2))
    torch.testing.assert_close(shares, torch.tensor([0.0, 1.0, -1.0, 0.5]).softmax(0), atol=0.01, rtol=0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_noise_is_finite(dtype: torch.dtype) -> None:
    assigned = make_module().train().assign(torch.zeros(50, M, 5000, dtype=dtype, requires_grad=True))
    assert assigned.isfinite().all()


def test_documents_do_not_meet() -> None:
    module, tokens = make_module(), make_tokens((6, 6, 3))
    changed = tokens.values.clone()
    changed[: 6 + M] = torch.randn(6 + M, WIDTH)
    with torch.no_grad():
        before, after = module(tokens)[0].values, module(tokens.with_values(changed))[0].values
    assert torch.equal(before[M:], after[M:])
    assert not torch.equal(before[:M], after[:M])


def test_parameters_are_its_own() -> None:
    """Two norms (c and e), four linear layers with biases, and no others."""
    names = {name for name, _ in make_module().named_parameters()}
    modules = ("query", "key", "value", "dense", "combination_norm", "text_norm")
    assert names == {f"{module}.{kind}" for module in modules for kind in ("weight", "bias")}


@torch.no_grad()
def test_soft_assignment_takes_from_all() -> None:
    """c + W_o(softmax over the tokens of the similarity, times W_v e), by loops; no noise in training."""
    module, tokens = make_module(combine_assignment="soft").train(), make_tokens()
    after, joined = module(tokens)
    expected, most = [], []
    for text, own in split(tokens):
        query, key = module.query(module.combination_norm(own)), module.key(module.text_norm(text))
        shares = torch.stack([(key @ one / WIDTH**0.5).softmax(0) for one in query])
        expected += [one + module.dense(share @ module.value(text)) for one, share in zip(own, shares, strict=True)]
        most += shares.argmax(0).tolist()
    torch.testing.assert_close(after.values, torch.stack(expected), atol=1e-5, rtol=1e-5)
    assert joined.tolist() == most


@torch.no_grad()
def test_started_as_identity() -> None:
    """Two groups of tokens, and a combination token like each: each becomes itself and the mean of its group."""
    module = make_module()
    for norm in (module.combination_norm, module.text_norm):
        norm.reset_parameters()
    module.start_as_identity()
    tokens, one = make_tokens((4,)), torch.randn(WIDTH)
    text = torch.stack([one, one + 0.1, -one, -one - 0.1])
    own = torch.stack([one, -one, *torch.randn(M - 2, WIDTH) * 1e-3])
    after, joined = module(tokens.with_values(torch.cat([text, own])))
    assert joined.tolist() == [0, 0, 1, 1]
    torch.testing.assert_close(after.values[:2], torch.stack([2 * one + 0.05, -2 * one - 0.05]))
