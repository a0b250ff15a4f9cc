"""Tokens: the ragged batch keeps rows, origins and protection together."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tokensieve.tokens import COMBINATION, Tokens, pack, unpack


def batch(*lengths: int) -> Tokens:
    """Documents whose rows say which they are: value 100 * document + position; the first token is protected."""
    rows = [(100 * document + place, place) for document, length in enumerate(lengths) for place in range(length)]
    origin = torch.tensor([place for _, place in rows])
    return Tokens(
        values=torch.tensor([[float(value)] for value, _ in rows]),
        lengths=lengths,
        origin=origin,
        protected=origin == 0,
        protected_counts=(1,) * len(lengths),
    )


def test_keep_moves_everything_together() -> None:
    kept = batch(3, 1, 2).keep(torch.tensor([0, 2, 3, 4]), (2, 1, 1))
    assert kept.values.flatten().tolist() == [0, 2, 100, 200]
    assert kept.origin.tolist() == [0, 2, 0, 0]
    assert kept.protected.tolist() == [True, False, True, True]
    assert (kept.lengths, kept.text_lengths, kept.protected_counts) == ((2, 1, 1), (2, 1, 1), (1, 1, 1))


def test_keep_keeps_no_rows_beside() -> None:
    """What is left out is really gone: the new tensor has storage for the kept rows alone."""
    kept = batch(500, 500).keep(torch.tensor([0, 500]), (1, 1))
    assert kept.values.untyped_storage().nbytes() == 2 * kept.values.element_size()


def test_join_puts_combination_tokens_last_in_every_document() -> None:
    joined = batch(2, 1).join(torch.tensor([[-1.0], [-2.0]]))
    assert joined.values.flatten().tolist() == [0, 1, -1, -2, 100, -1, -2]
    assert joined.origin.tolist() == [0, 1, COMBINATION, COMBINATION, 0, COMBINATION, COMBINATION]
    assert joined.protected.tolist() == [True, False, False, False, True, False, False]
    assert (joined.lengths, joined.text_lengths, joined.combination) == ((4, 3), (2, 1), 2)


def test_join_takes_the_dtype_of_the_text_and_carries_gradients() -> None:
    tokens = batch(2, 3)
    own = torch.randn(4, 1, requires_grad=True)
    assert tokens.with_values(tokens.values.bfloat16()).join(own).values.dtype == torch.bfloat16
    tokens.join(own).values.sum().backward()
    assert own.grad.flatten().tolist() == [2, 2, 2, 2]  # once for each document


def test_only_combination_leaves_no_text() -> None:
    folded = batch(2, 1).join(torch.zeros(2, 1)).only_combination(torch.ones(4, 1))
    assert (folded.lengths, folded.text_lengths) == ((2, 2), (0, 0))
    assert (folded.origin == COMBINATION).all()
    assert not folded.protected.any()


def test_tokens_do_not_change() -> None:
    with pytest.raises(AttributeError):
        batch(2).lengths = (1,)  # type: ignore[misc]


@given(
    masks=st.integers(1, 40).flatmap(
        lambda width: st.lists(
            st.lists(st.booleans(), min_size=width, max_size=width).filter(any), min_size=1, max_size=5
        )
    )
)
def test_pack_and_unpack(masks: list[list[bool]]) -> None:
    mask = torch.tensor(masks)
    padded = torch.arange(mask.numel()).view_as(mask)
    packed = pack(padded, mask)
    rows = [
        [value for value, real in zip(*row, strict=True) if real] for row in zip(padded.tolist(), masks, strict=True)
    ]
    assert packed.tolist() == [value for row in rows for value in row]
    lengths = tuple(map(len, rows))
    unpacked = unpack(packed, lengths, fill=-7)
    assert unpacked.tolist() == [row + [-7] * (max(lengths) - len(row)) for row in rows]
