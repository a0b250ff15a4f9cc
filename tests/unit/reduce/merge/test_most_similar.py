"""Merging what leaves into what stays: by hand, and what it must never do."""

import pytest
import torch

from contract.variants import batch, documents, settings, tiny_model
from tokensieve import ConfigError, Prune
from tokensieve.reduce.merge.most_similar import MostSimilar, most_similar
from tokensieve.tokens import COMBINATION, Tokens


def tokens(values: list[list[float]], lengths: tuple[int, ...], protected: list[int], m: int = 0) -> Tokens:
    """Rows as given; the last m of each document are combination tokens."""
    origin = torch.cat([torch.tensor([*range(length - m), *[COMBINATION] * m]) for length in lengths])
    safe = torch.zeros(len(values), dtype=torch.bool)
    safe[protected] = True
    return Tokens(torch.tensor(values), lengths, origin, safe, tuple(0 for _ in lengths), m)


def test_by_hand() -> None:
    """Rows 1 and 4 leave: 1 is like 2, 4 like 3 (and most like 0, which is protected and takes nothing)."""
    rows = [[1.0, 0.0], [0.1, 2.0], [0.0, 1.0], [0.2, -2.0], [2.0, -1.0]]
    before = tokens(rows, (5,), protected=[0])
    merging = most_similar(before, torch.tensor([0, 2, 3]), (3,))
    assert merging.into.tolist() == [0, 1, 1, 2, 2]
    means = merging.means(before.values, None, merging.sizes(None))
    torch.testing.assert_close(means, torch.tensor([[1.0, 0.0], [0.05, 1.5], [1.1, -1.5]]))
    assert merging.sizes(None).tolist() == [1, 2, 2]


def test_weighs_by_tokens() -> None:
    """A row that stands for three tokens counts three times."""
    before = tokens([[4.0, 0.0], [0.0, 4.0]], (2,), protected=[])
    merging, sizes = most_similar(before, torch.tensor([1]), (1,)), torch.tensor([3.0, 1.0])
    assert merging.means(before.values, sizes, merging.sizes(sizes)).tolist() == [[3.0, 1.0]]
    assert merging.sizes(sizes).tolist() == [4.0]


def test_stays_within_the_document_and_out_of_combination_tokens() -> None:
    rows = [[1.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 0.0], [0.0, -1.0], [1.0, 0.0]]
    before = tokens(rows, (3, 3), protected=[], m=1)  # the last row of each document is a combination token
    merging = most_similar(before, torch.tensor([1, 2, 4, 5]), (2, 2))
    assert merging.into.tolist() == [0, 0, 1, 2, 2, 3]


def test_nowhere_to_go() -> None:
    """Only a protected token stays: it takes nothing, and what leaves is lost."""
    before = tokens([[1.0, 0.0], [1.0, 0.0]], (2,), protected=[0])
    merging = most_similar(before, torch.tensor([0]), (1,))
    assert merging.into.tolist() == [0, -1]
    assert merging.means(before.values, None, merging.sizes(None)).tolist() == [[1.0, 0.0]]


@torch.no_grad()
def test_documents_of_different_lengths_in_one_batch() -> None:
    """The tokens of a document go the same way alone and among others."""
    texts = documents((17, 40, 40, 5))
    model = tiny_model(settings(pruning="ratio", site="hidden", merge_pruned=True))
    together = model(**batch(texts)).logits
    alone = torch.cat([model(**batch([text])).logits for text in texts])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=0)


def test_what_leaves_has_a_gradient() -> None:
    """Dropped, the last token of a layer that keeps one has none from later layers; merged, it has."""
    before = tokens([[1.0, 2.0], [3.0, 4.0]], (2,), protected=[])
    values = before.values.requires_grad_()
    merging = most_similar(before, torch.tensor([0]), (1,))
    merging.means(values, None, merging.sizes(None)).sum().backward()
    assert values.grad is not None
    assert values.grad.tolist() == [[0.5, 0.5], [0.5, 0.5]]


def test_keys_are_not_merged() -> None:
    with pytest.raises(ConfigError, match=r"merge=most-similar with site=keys.*use site=hidden"):
        Prune(merge=MostSimilar())


def test_similarity_is_in_the_plan() -> None:
    """10 tokens, 6 stay: 2 d (10 - 6) 6 more FLOPs in the first layer."""
    dropped, merged = (
        tiny_model(settings(pruning="ratio", site="hidden", merge_pruned=own)).plan(10).steps[0].flops
        for own in (False, True)
    )
    assert merged - dropped == 2 * 32 * 4 * 6
