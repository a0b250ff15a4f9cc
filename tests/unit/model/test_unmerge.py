"""Unmerge: every token has the row that it went into, packed and padded, and after any joining of batches."""

import pytest
import torch

from contract.variants import LOCAL, METHODS_TRIED, UNEQUAL, batch, documents, model_config, settings, tiny_model
from tokensieve import InputError, ReductionConfig, TokensieveModel, unmerge
from tokensieve.model.trace import Trace

MERGING = {"local-merge": METHODS_TRIED["method local-merge"], "tome": METHODS_TRIED["method tome"], **LOCAL}
TEXTS = documents(UNEQUAL)


def body(reduction: ReductionConfig) -> TokensieveModel:
    torch.manual_seed(1)
    return TokensieveModel(model_config(reduction)).eval()


@pytest.mark.parametrize("name", MERGING)
@torch.no_grad()
def test_sizes_come_back_as_tokens(name: str) -> None:
    """Each row is copied to as many tokens as it stands for, its own among them; what was dropped gets the fill."""
    output = body(MERGING[name])(**batch(TEXTS))
    tokens = output.tokens
    rows = torch.arange(len(tokens.values)).float().unsqueeze(1)
    places = unmerge(rows, output.trace, fill=-1)[:, 0].long()
    assert len(places) == sum(UNEQUAL)
    copies = torch.bincount(places[places >= 0], minlength=len(tokens.values)).float()
    sizes = torch.ones(len(copies)) if tokens.sizes is None else tokens.sizes
    assert torch.equal(copies, sizes)
    starts = torch.tensor([0, *UNEQUAL]).cumsum(0)
    for document, positions in enumerate(tokens.origin.split(list(tokens.lengths))):
        first = sum(tokens.lengths[:document])
        assert places[starts[document] + positions].tolist() == list(range(first, first + len(positions)))


@torch.no_grad()
def test_padded_as_packed() -> None:
    output = body(MERGING["local-merge"])(**batch(TEXTS, "left"))
    packed, padded = unmerge(output.tokens.values, output.trace), unmerge(output.last_hidden_state, output.trace)
    assert padded.shape[:2] == (len(UNEQUAL), max(UNEQUAL))
    mask = torch.arange(max(UNEQUAL)) < torch.tensor(UNEQUAL).unsqueeze(1)
    assert torch.equal(padded[mask], packed)
    assert not padded[~mask].any()


@torch.no_grad()
def test_nothing_reduced_is_nothing_changed() -> None:
    output = body(ReductionConfig(prune=None))(**batch(TEXTS))
    assert torch.equal(unmerge(output.tokens.values, output.trace), output.tokens.values)


@torch.no_grad()
def test_dropped_tokens_get_the_fill() -> None:
    """Without merging a token that is still there has its own row; keys that leave are rows still."""
    output = body(settings(pruning="ratio", site="hidden", pooling="mean"))(**batch(TEXTS[:1]))
    restored, left = unmerge(output.tokens.values, output.trace, fill=7.0), output.tokens.origin
    assert torch.equal(restored[left], output.tokens.values)
    gone = torch.ones(len(restored), dtype=torch.bool).index_fill(0, left, False)
    assert gone.any() and (restored[gone] == 7).all()
    keys = body(settings(pruning="ratio", pooling="host"))(**batch(TEXTS))
    assert torch.equal(unmerge(keys.tokens.values, keys.trace), keys.tokens.values)


@torch.no_grad()
def test_traces_that_are_joined_and_picked() -> None:
    """Documents in two batches, put together in another order, as the runtime and a cascade do it."""
    model = body(MERGING["local-3"])
    parts = [model(**batch(TEXTS[:1])), model(**batch(TEXTS[1:]))]
    order = [2, 0, 3, 1]
    trace = Trace.joined([part.trace for part in parts]).picked(order)
    own = [rows for part in parts for rows in part.tokens.values.split(list(part.tokens.lengths))]
    restored = unmerge(torch.cat([own[document] for document in order]), trace)
    whole = model(**batch([TEXTS[document] for document in order]))
    torch.testing.assert_close(restored, unmerge(whole.tokens.values, whole.trace), atol=1e-5, rtol=0)


def test_the_gradient_flows_back() -> None:
    output = body(MERGING["local-merge"]).train()(**batch(TEXTS))
    rows = output.tokens.values.detach().requires_grad_()
    unmerge(rows, output.trace).sum().backward()
    assert rows.grad is not None
    assert torch.equal(rows.grad[:, 0], output.tokens.sizes)


@torch.no_grad()
def test_refused() -> None:
    output = body(MERGING["local-merge"])(**batch(TEXTS))
    with pytest.raises(
        InputError, match=r"unmerge: rows have the shape \(3, 2\), and \d+ rows of 4 documents are left"
    ):
        unmerge(torch.zeros(3, 2), output.trace)
    folded = tiny_model(settings(combine_layer=3))(**batch(TEXTS))
    with pytest.raises(InputError, match=r"a combining module has folded the text.*use settings with combine=none"):
        unmerge(torch.zeros(3, 2), folded.trace)
