"""Protected tokens are those that the tokenizer added, wherever a document's author writes special tokens."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from contract import oracle
from contract.variants import CLS, SEP, batch, documents, layer_trace, settings, tiny_model
from tokensieve import TokensieveForSequenceClassification
from tokensieve.errors import InputError
from tokensieve.export.masks import protected_positions
from tokensieve.model.batch import check_batch
from tokensieve.model.protected import protected_tokens

BERT: dict[str, Any] = {}
DISTILBERT = {"family": "distilbert", "type_vocab_size": 0}
ROBERTA = {"family": "roberta", "type_vocab_size": 1}
FAMILIES = pytest.mark.parametrize("sizes", [BERT, DISTILBERT, ROBERTA], ids=["bert", "distilbert", "roberta"])
TOKENS = st.lists(st.sampled_from([CLS, SEP, SEP, 7, 8, 9]), min_size=1, max_size=12)


def protected(model: TokensieveForSequenceClassification, **inputs: torch.Tensor) -> list[list[int]]:
    """Protected positions of each document."""
    given = check_batch(model.config, inputs.pop("input_ids"), inputs.pop("attention_mask"), **inputs)
    origin = torch.cat([torch.arange(length) for length in given.lengths])
    flags = protected_tokens(model.config, given, origin).split(list(given.lengths))
    return [part.nonzero().flatten().tolist() for part in flags]


def test_separators_written_in_a_text_protect_nothing() -> None:
    """20 words, then 20 separators: before, all separators stayed and every word left."""
    text = [CLS, *range(10, 30), *[SEP] * 20, SEP]
    model = tiny_model(settings(pruning="ratio", keep_ratio=0.4, site="hidden"))
    assert protected(model, **batch([text])) == [[0, 41]]
    first = layer_trace(model, batch([text]))[0][0][0]
    assert {0, 41} < first and len(first) == 16  # floor(42 * 0.4)
    assert not set(range(21, 41)) <= first


@FAMILIES
def test_a_pairs_separators_are_protected(sizes: dict[str, Any]) -> None:
    between = [SEP, SEP] if sizes is ROBERTA else [SEP]
    text, second = [CLS, 11, 12, 13], [14, 15, SEP]
    ids, middle = [*text, *between, *second], [4, 5] if sizes is ROBERTA else [4]
    inputs = batch([ids])
    if sizes is BERT:
        inputs["token_type_ids"] = torch.tensor([[0] * 5 + [1] * 3])
    places = [0, *middle, len(ids) - 1]
    assert protected(tiny_model(settings(), **sizes), **inputs) == [places]
    single = tiny_model(settings(), **sizes, text_pairs=False)
    assert protected(single, **batch([ids])) == [[0, len(ids) - 1]]


@FAMILIES
@given(texts=st.lists(TOKENS, min_size=1, max_size=4), pairs=st.sampled_from([None, True, False]), data=st.data())
def test_bare_ids_are_told_as_the_oracle_tells_them(
    sizes: dict[str, Any], texts: list[list[int]], pairs: bool | None, data: st.DataObject
) -> None:
    """In any batch, with either padding, packed and padded, with segments and without."""
    model = tiny_model(settings(), **sizes, text_pairs=pairs)
    cuts = [data.draw(st.integers(0, len(ids))) for ids in texts] if data.draw(st.booleans()) else None
    segments = cuts and [[0] * cut + [1] * (len(ids) - cut) for ids, cut in zip(texts, cuts, strict=True)]
    expected = [
        sorted(oracle.protected_places(model.config, ids, own))
        for ids, own in zip(texts, segments or [None] * len(texts), strict=True)
    ]
    for side in ("left", "right"):
        inputs = batch(texts, side)
        if segments and sizes is BERT:
            inputs["token_type_ids"] = batch(segments, side)["input_ids"]
        elif segments:  # of no use to the family
            expected = [sorted(oracle.protected_places(model.config, ids)) for ids in texts]
        assert protected(model, **inputs) == expected
    ids, mask = inputs["input_ids"], inputs["attention_mask"].bool()
    padded = protected_positions(model, ids, mask, inputs.get("token_type_ids"))
    assert [row.nonzero().flatten().tolist() for row in padded] == expected


def test_the_tokenizers_mask_decides() -> None:
    model, inputs = tiny_model(settings(keep_ratio=0.3, site="hidden")), batch(documents((9, 17)))
    special = torch.zeros_like(inputs["input_ids"])
    special[0, [0, 4, 8]], special[1, [0, 3, 5, 16]] = 1, 1
    assert protected(model, **inputs, special_tokens_mask=special) == [[0, 4, 8], [0, 3, 5, 16]]
    with torch.no_grad():
        output = model(**inputs, special_tokens_mask=special)
        logits, _ = oracle.answers(model, **inputs, special_tokens_mask=special)
    torch.testing.assert_close(output.logits, logits, atol=1e-5, rtol=0)
    assert {3, 5, 16} < set(output.trace.survivors()[1])


def test_a_mask_of_another_shape_is_refused() -> None:
    model, inputs = tiny_model(settings()), batch(documents((9, 17)))
    with pytest.raises(InputError, match=r"special_tokens_mask has shape \(2, 3\), input_ids \(2, 17\)"):
        model(**inputs, special_tokens_mask=torch.zeros(2, 3))
