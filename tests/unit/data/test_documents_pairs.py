"""Text pairs: read beside the text, told apart by both, tokenised together."""

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoTokenizer, CanineTokenizer, PreTrainedTokenizerFast

from support.data_files import LABELLED_KINDS
from support.packages import needed
from tokensieve.data import Document, Tally, load_splits, read_documents
from tokensieve.data.sampling import carve_validation, digest
from tokensieve.data.tokenize import encode
from tokensieve.data.tokenized import TokenizedDocuments, pairs_of
from tokensieve.errors import ConfigError, DataError, InputError

Put = Callable[..., Path]


@pytest.fixture(scope="module")
def tokenizer(tiny_tokenizer: PreTrainedTokenizerFast) -> PreTrainedTokenizerFast:
    """The tiny tokenizer, with the segment ids that BERT's gives."""
    names = ["input_ids", "token_type_ids", "attention_mask"]
    special = {name: token for name, token in tiny_tokenizer.special_tokens_map.items() if isinstance(token, str)}
    return PreTrainedTokenizerFast(
        tokenizer_object=tiny_tokenizer.backend_tokenizer, model_input_names=names, **special
    )


def _documents(*pairs: tuple[str, str | None]) -> list[Document]:
    return [Document(text, "xy"[n % 2], "a.csv", n + 2, pair) for n, (text, pair) in enumerate(pairs)]


@pytest.mark.parametrize("kind", LABELLED_KINDS)
def test_every_format(put: Put, kind: str) -> None:
    path = put(f"a.{kind}", [{"b": "zwölf, 12", "label": "x", "a": "one"}, {"b": "two", "label": "y", "a": "two"}])
    documents = list(read_documents(path, text_column="a", pair_column="b"))
    assert [(d.text, d.pair, d.label) for d in documents] == [("one", "zwölf, 12", "x"), ("two", "two", "y")]
    unlabelled = list(read_documents(path, text_column="a", pair_column="b", label_column=None))
    assert [(d.pair, d.label) for d in unlabelled] == [("zwölf, 12", None), ("two", None)]
    assert [d.pair for d in read_documents(path, text_column="a")] == [None, None]


BAD_PAIRS = [
    ("empty text", b'" "', "pair ' '"),
    ("missing text", b"null", "pair the value is null"),
    ("text of the wrong type", b"5", "pair int 5 where a string is wanted"),
    ("binary data in place of text", b'"a\\u0000b"', "pair 'a"),
    ("not valid UTF-8", b'"caf\xe9"', "pair 'caf"),
]


@pytest.mark.parametrize(("reason", "value", "detail"), BAD_PAIRS)
def test_bad_pairs(put: Put, reason: str, value: bytes, detail: str) -> None:
    good = b'{"text": "one", "pair": "two", "label": "x"}\n'
    path = put("a.jsonl", good + b'{"text": "one", "label": "x", "pair": ' + value + b"}\n" + good)
    with pytest.raises(DataError, match=f"line 2: {reason}: {detail}"):
        list(read_documents(path, pair_column="pair"))
    tally = Tally()
    documents = list(read_documents(path, pair_column="pair", policy="skip", tally=tally))
    assert ([d.line for d in documents], tally.reasons) == ([1, 3], {reason: 1})
    assert len(list(read_documents(path))) == 3, "a pair that was not asked for is not looked at"


def test_a_column_that_is_not_there(put: Put) -> None:
    with pytest.raises(
        DataError, match=r"has no column 'b'; .*name the pair column with --pair-column \(pair_column=\)"
    ):
        list(read_documents(put("a.csv", "text,label\none,x\n"), pair_column="b"))
    with pytest.raises(DataError, match="line 1: missing text: no field 'b'; the fields are 'text', 'label'"):
        list(read_documents(put("a.jsonl", '{"text": "one", "label": "x"}\n'), pair_column="b"))
    needed("pyarrow")
    with pytest.raises(DataError, match="the pair column 'label' is of type int64; strings are wanted"):
        list(read_documents(put("a.parquet", [{"text": "one", "label": 1}]), pair_column="label"))


def test_plain_text_has_no_pairs(put: Put) -> None:
    with pytest.raises(DataError, match="plain text holds no text pairs"):
        read_documents(put("a.txt", "one\n"), label_column=None, pair_column="b")


def test_the_same_text_with_another_pair_is_another_document(put: Put) -> None:
    """Ten texts, each with two pairs of different labels: contradictions, did the pairs not count."""
    rows = [{"text": f"text {n // 2}", "b": f"pair {n}", "label": "xy"[n % 2]} for n in range(20)]
    splits = load_splits(put("a.jsonl", rows), pair_column="b", validation_fraction=0.2)
    assert sorted(str(d.label) for d in splits.validation) == ["x", "x", "y", "y"]
    documents = _documents(("one", "two"), ("one", "three"), ("one", None), ("onetwo", None), ("on", "etwo"))
    assert len({digest(d) for d in documents}) == 5
    with pytest.raises(DataError, match="no validation split"):
        load_splits(put("b.jsonl", rows), validation_fraction=0.2)


def test_the_same_pair_of_texts_stays_together() -> None:
    documents = _documents(*[(f"text {n % 3}", f"pair {n % 4}") for n in range(48)])
    train, validation = carve_validation(documents, 0.5, seed=0)
    assert not {(d.text, d.pair) for d in train} & {(d.text, d.pair) for d in validation}
    assert {d.text for d in train} & {d.text for d in validation}


def test_ids_and_types(tokenizer: PreTrainedTokenizerFast) -> None:
    names = tokenizer.get_vocab()
    encodings = encode(tokenizer, ["good film", "law"], 8, ["bad", "court team"])
    expected = ["[CLS] good film [SEP] bad [SEP]", "[CLS] law [SEP] court team [SEP]"]
    assert encodings.input_ids == [[names[token] for token in row.split()] for row in expected]
    assert encodings.token_type_ids == [[0, 0, 0, 0, 1, 1], [0, 0, 0, 1, 1, 1]]
    assert encodings.truncated == 0


@given(
    lengths=st.lists(st.tuples(st.integers(1, 12), st.integers(1, 12)), min_size=1, max_size=5),
    max_length=st.integers(5, 30),
)
def test_the_longer_of_two_texts_is_cut_first(
    tokenizer: PreTrainedTokenizerFast, lengths: list[tuple[int, int]], max_length: int
) -> None:
    """No text loses a token while the other one, after cutting, is longer than it by more than one."""
    texts, pairs = (["film " * length for length in side] for side in zip(*lengths, strict=True))
    encodings = encode(tokenizer, texts, max_length, pairs)
    film, room = tokenizer.get_vocab()["film"], max_length - 3
    for ids, types, (first, second) in zip(encodings.input_ids, encodings.token_type_ids or [], lengths, strict=True):
        kept = [sum(i == film and kind == side for i, kind in zip(ids, types, strict=True)) for side in (0, 1)]
        assert sum(kept) == min(first + second, room)
        for mine, other, whole in ((kept[0], kept[1], first), (kept[1], kept[0], second)):
            assert mine == whole or other - mine <= 1
    assert encodings.truncated == sum(first + second > room for first, second in lengths)


def test_a_tokenizer_written_in_python() -> None:
    encodings = encode(CanineTokenizer(), ["abcdef", "a"], 8, ["xy", "z"])
    assert encodings.lengths == [8, 5]
    assert encodings.truncated == 1


def test_the_default_models_tokenizer(default_model_dir: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(default_model_dir)
    encodings = encode(tokenizer, ["word " * 300, "word"], 512, ["other " * 300, "other"])
    assert encodings.lengths == [512, 5]
    assert encodings.truncated == 1
    assert encodings.token_type_ids is not None
    assert abs(sum(encodings.token_type_ids[0]) - 256) <= 1


def test_pairs_that_cannot_be(tokenizer: PreTrainedTokenizerFast) -> None:
    with pytest.raises(
        ConfigError, match="max_length 4 leaves no room for two texts beside 3 special tokens; make it 5"
    ):
        encode(tokenizer, ["film"], 4, ["law"])
    with pytest.raises(InputError, match="2 texts and 1 pairs: give a pair for each text"):
        encode(tokenizer, ["film", "law"], 8, ["law"])
    with pytest.raises(InputError, match="document 1 is NoneType None; give a string"):
        encode(tokenizer, ["film", "law"], 8, ["law", None])  # type: ignore[list-item]


def test_a_data_set_of_pairs(tokenizer: PreTrainedTokenizerFast) -> None:
    documents = _documents(("good film", "bad"), ("law", "court team"))
    dataset = TokenizedDocuments(documents, tokenizer, 5, ["x", "y"])
    encodings = encode(tokenizer, ["good film", "law"], 5, ["bad", "court team"])
    for index in range(2):
        assert dataset[index]["input_ids"] == encodings.input_ids[index]
        assert dataset[index]["token_type_ids"] == [0, 0, 0, 1, 1]
    assert (dataset.truncated, dataset.class_ids) == (2, [0, 1])


def test_pairs_for_some_documents_only(tokenizer: PreTrainedTokenizerFast) -> None:
    assert pairs_of(_documents(("one", None))) is None
    with pytest.raises(DataError, match=r"a\.csv, line 3: the document has no second text, which others have"):
        TokenizedDocuments(_documents(("one", "two"), ("one", None)), tokenizer, 8, ["x", "y"])
