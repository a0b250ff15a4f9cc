"""Token ids: the length asked for and no other, nothing left behind in the tokenizer, features that Trainer takes."""

import logging
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from torch.utils.data import DataLoader
from transformers import (
    AutoTokenizer,
    CanineTokenizer,
    DataCollatorWithPadding,
    PreTrainedTokenizerBase,
    PreTrainedTokenizerFast,
)

import tokensieve.data.tokenize as module
from tokensieve.data import Document
from tokensieve.data.tokenize import Encodings, encode, prepare_for_saving
from tokensieve.data.tokenized import TokenizedDocuments
from tokensieve.errors import ConfigError, DataError, InputError

VOCAB = {token: index for index, token in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "a", "b", "c"])}
PAD, UNK, CLS, SEP, A, B, C = range(7)
TEXTS = st.lists(st.lists(st.sampled_from(["a", "b", "c", "d"]), max_size=30).map(" ".join), max_size=8)


def _tokenizer(*, special: bool = True, limits: int | None = None, types: bool = True) -> PreTrainedTokenizerFast:
    """A word tokenizer; with `limits`, it stores truncation and padding to so many tokens, as all-MiniLM's does."""
    backend = Tokenizer(models.WordLevel(VOCAB, unk_token="[UNK]"))
    backend.normalizer = normalizers.BertNormalizer()
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    if special:
        backend.post_processor = processors.BertProcessing(("[SEP]", SEP), ("[CLS]", CLS))
    if limits is not None:
        backend.enable_truncation(limits, stride=1)
        backend.enable_padding(length=limits, pad_id=PAD, pad_token="[PAD]")
    names = ["input_ids", "token_type_ids", "attention_mask"] if types else ["input_ids", "attention_mask"]
    return PreTrainedTokenizerFast(
        tokenizer_object=backend, pad_token="[PAD]", unk_token="[UNK]", model_input_names=names, model_max_length=8
    )


def _state(tokenizer: PreTrainedTokenizerFast) -> tuple[object, object]:
    return tokenizer.backend_tokenizer.truncation, tokenizer.backend_tokenizer.padding


def test_ids_types_and_truncation() -> None:
    encodings = encode(_tokenizer(), ["a", "a b c a b", "a b d"], max_length=5)
    assert encodings == Encodings(
        input_ids=[[CLS, A, SEP], [CLS, A, B, C, SEP], [CLS, A, B, UNK, SEP]],
        token_type_ids=[[0] * 3, [0] * 5, [0] * 5],
        special_tokens_mask=[[1, 0, 1], [1, 0, 0, 0, 1], [1, 0, 0, 0, 1]],
        is_truncated=[False, True, False],
    )
    assert (len(encodings), encodings.lengths) == (3, [3, 5, 5])


@given(texts=TEXTS, max_length=st.integers(3, 40), limits=st.sampled_from([None, 4, 64]))
def test_stored_limits_have_no_effect_and_stay(texts: list[str], max_length: int, limits: int | None) -> None:
    tokenizer = _tokenizer(limits=limits)
    before = _state(tokenizer)
    encodings = encode(tokenizer, texts, max_length)
    assert _state(tokenizer) == before
    lengths = [len(text.split()) + 2 for text in texts]
    assert encodings.lengths == [min(length, max_length) for length in lengths]
    assert encodings.truncated == sum(length > max_length for length in lengths)
    assert all(ids[0] == CLS and ids[-1] == SEP and PAD not in ids for ids in encodings.input_ids)


def test_limits_stay_when_encoding_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    tokenizer = _tokenizer(limits=4)
    before = _state(tokenizer)
    monkeypatch.setattr(type(tokenizer), "_convert_encoding", lambda *args, **kwargs: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        encode(tokenizer, ["a"], 5)
    assert _state(tokenizer) == before


def test_threads_do_not_meet_in_the_tokenizer() -> None:
    """Its limits are state that a call sets and takes back, while another thread may be at work with its own."""
    tokenizer = _tokenizer(limits=4)
    before, texts = _state(tokenizer), ["a b c " * 500] * 50

    def lengths(max_length: int) -> set[int]:
        return {length for _ in range(5) for length in encode(tokenizer, texts, max_length).lengths}

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(lengths, [5, 50, 500, 1000])) == [{5}, {50}, {500}, {1000}]
    assert _state(tokenizer) == before


SPECIAL = st.sampled_from(["[CLS]", "[SEP]", "[PAD]", "[MASK]", "[UNK]", "word", "a[SEP]b", "[sep]"])


@given(words=st.lists(SPECIAL, max_size=20), pair=st.lists(SPECIAL, max_size=5))
def test_special_tokens_written_in_a_text_are_text(words: list[str], pair: list[str], default_model_dir: Path) -> None:
    """As the default model's tokenizer has them: the tokenizer alone adds special tokens, and only it marks them."""
    tokenizer = PreTrainedTokenizerFast.from_pretrained(default_model_dir)
    special = set(tokenizer.all_special_ids)
    one = encode(tokenizer, [" ".join(words)], 64)
    assert not special & set(one.input_ids[0][1:-1])
    assert one.special_tokens_mask == [[1, *[0] * (one.lengths[0] - 2), 1]]
    both = encode(tokenizer, [" ".join(words)], 128, [" ".join(pair)])
    assert [token in special for token in both.input_ids[0]] == [flag == 1 for flag in both.special_tokens_mask[0]]
    assert sum(both.special_tokens_mask[0]) == 3
    assert tokenizer.backend_tokenizer.encode_special_tokens is False, "as it was"


def test_limits_forgotten_are_not_saved(tmp_path: Path) -> None:
    tokenizer = _tokenizer(limits=4)
    prepare_for_saving(tokenizer)
    tokenizer.save_pretrained(tmp_path)
    saved = AutoTokenizer.from_pretrained(tmp_path)
    assert _state(saved) == (None, None)
    assert saved.split_special_tokens, "a pipeline splits special tokens that are written in a text"
    prepare_for_saving(CanineTokenizer())


def test_a_length_beyond_the_models_is_no_cause_for_warnings(caplog: pytest.LogCaptureFixture) -> None:
    transformers_logger = logging.getLogger("transformers")
    transformers_logger.addHandler(caplog.handler)
    try:
        for tokenizer in (_tokenizer(), CanineTokenizer(model_max_length=8)):
            encode(tokenizer, ["a " * 100, "a"], max_length=50)
    finally:
        transformers_logger.removeHandler(caplog.handler)
    assert not caplog.records


def test_truncation_side_is_the_tokenizers() -> None:
    tokenizer = _tokenizer()
    tokenizer.truncation_side = "left"
    assert encode(tokenizer, ["a b c"], 4).input_ids == [[CLS, B, C, SEP]]


def test_a_tokenizer_written_in_python() -> None:
    encodings = encode(CanineTokenizer(), ["abcdef", "abcd", "ab"], max_length=6)
    assert encodings.lengths == [6, 6, 4]
    assert encodings.truncated == 1
    assert encodings.input_ids[1][1:-1] == [ord(letter) for letter in "abcd"]


def test_no_texts() -> None:
    assert encode(_tokenizer(), [], 5) == Encodings([], [], [], [])
    assert encode(_tokenizer(types=False), [], 5) == Encodings([], None, [], [])


def test_a_document_of_special_tokens_alone_is_one() -> None:
    assert encode(_tokenizer(), [""], 5).input_ids == [[CLS, SEP]]


def test_a_document_without_any_token_is_refused() -> None:
    with pytest.raises(InputError, match=r"document 1 has no tokens: '\\u200b'; leave it out"):
        encode(_tokenizer(special=False), ["a", "\u200b"], 5)


@pytest.mark.parametrize(("special", "max_length"), [(True, 2), (True, 0), (False, 0), (True, -1)])
def test_a_length_without_room_for_text(special: bool, max_length: int) -> None:
    with pytest.raises(
        ConfigError, match=f"max_length {max_length} leaves no room .* make it {3 if special else 1} or"
    ):
        encode(_tokenizer(special=special), ["a"], max_length)


@pytest.mark.parametrize("text", [None, 5, ["a"], b"a"])
def test_texts_that_are_no_strings(text: object) -> None:
    with pytest.raises(InputError, match=f"document 1 is {type(text).__name__} .*; give a string"):
        encode(_tokenizer(), ["a", text], 5)  # type: ignore[list-item]


def test_texts_that_are_no_unicode() -> None:
    with pytest.raises(InputError, match=r"document 0 is not valid Unicode at character 2: 'a \\ud83d'"):
        encode(_tokenizer(), ["a \ud83d"], 5)


def test_the_default_models_tokenizer(default_model_dir: Path) -> None:
    # transformers 5.0's AutoTokenizer leaves out the stored limits; this class always reads them.
    tokenizer = PreTrainedTokenizerFast.from_pretrained(default_model_dir)
    before = _state(tokenizer)
    encodings = encode(tokenizer, ["word " * 300, "word " * 600, "word"], max_length=512)
    assert encodings.lengths == [302, 512, 3]
    assert encodings.truncated == 1
    assert _state(tokenizer) == before
    assert before[0]["max_length"] == 128  # type: ignore[index]


def _documents(*texts: str) -> list[Document]:
    return [Document(text, "xy"[n % 2], "a.csv", n + 2) for n, text in enumerate(texts)]


def test_items() -> None:
    dataset = TokenizedDocuments(_documents("a b", "c", "a b c a b c"), _tokenizer(limits=4), 5, ["x", "y"])
    assert len(dataset) == 3
    assert dataset[1] == {
        "input_ids": [CLS, C, SEP],
        "attention_mask": [1] * 3,
        "special_tokens_mask": [1, 0, 1],
        "token_type_ids": [0] * 3,
        "labels": 1,
    }
    assert dataset[-1]["input_ids"] == [CLS, A, B, C, SEP]
    assert dataset.truncated == 1
    assert dataset.lengths.tolist() == [4, 3, 5]
    for index in (3, -4):
        with pytest.raises(IndexError):
            dataset[index]


def test_items_without_labels_or_types() -> None:
    dataset = TokenizedDocuments([Document("a", None, "a.txt", 1)], _tokenizer(types=False), 5)
    assert dataset[0] == {"input_ids": [CLS, A, SEP], "attention_mask": [1] * 3, "special_tokens_mask": [1, 0, 1]}


@given(texts=TEXTS, types=st.booleans())
def test_a_data_set_is_its_encodings(texts: list[str], types: bool) -> None:
    tokenizer = _tokenizer(types=types)
    documents = _documents(*texts)
    dataset = TokenizedDocuments(documents, tokenizer, 12, ["y", "x"])
    encodings = encode(tokenizer, texts, 12)
    items = [dataset[index] for index in range(len(dataset))]
    assert [item["input_ids"] for item in items] == encodings.input_ids
    assert [item.get("token_type_ids") for item in items] == (encodings.token_type_ids or [None] * len(texts))
    assert [item["labels"] for item in items] == [int(document.label == "x") for document in documents]
    assert dataset.truncated == encodings.truncated


def test_chunks_join_without_seam() -> None:
    documents = _documents(*("a " * (n % 7) for n in range(2500)))
    dataset = TokenizedDocuments(documents, _tokenizer(), 5, ["x", "y"])
    assert [len(dataset[n]["input_ids"]) for n in range(2500)] == [min(n % 7 + 2, 5) for n in range(2500)]
    assert dataset.truncated == sum(n % 7 > 3 for n in range(2500))


def test_a_label_that_is_no_class() -> None:
    with pytest.raises(DataError, match=r"a\.csv, line 3: the label 'y' is none of 'x'"):
        TokenizedDocuments(_documents("a", "b"), _tokenizer(), 5, ["x"])


def test_the_collator_of_trainer_pads_a_batch() -> None:
    tokenizer: PreTrainedTokenizerBase = _tokenizer(limits=4)
    dataset = TokenizedDocuments(_documents("a b c", "c"), tokenizer, 8, ["x", "y"])
    (batch,) = DataLoader(dataset, batch_size=2, collate_fn=DataCollatorWithPadding(tokenizer))
    assert batch["input_ids"].tolist() == [[CLS, A, B, C, SEP], [CLS, C, SEP, PAD, PAD]]
    assert batch["attention_mask"].tolist() == [[1] * 5, [1, 1, 1, 0, 0]]
    assert batch["token_type_ids"].shape == (2, 5)
    assert torch.equal(batch["labels"], torch.tensor([0, 1]))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
@pytest.mark.filterwarnings("ignore:.*fork")
def test_a_forked_process_may_encode(tiny_tokenizer: PreTrainedTokenizerFast) -> None:
    """While a thread of the parent is at it, which the child does not have."""
    encode(tiny_tokenizer, ["good film"], 8)
    with module._LIMITS:
        child = os.fork()
        if child == 0:
            free = []
            thread = threading.Thread(target=lambda: free.append(module._LIMITS.acquire(timeout=60)))
            thread.start()
            thread.join()
            os._exit(0 if free == [True] else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


@pytest.mark.parametrize(
    "text",
    [
        "a word and 1 more, " * 900,
        "word" + " " * 9000 + "again",
        "x" * 9000 + " end",
        "短い文 " * 2000,
        "é́\u200f " * 4000,
    ],
    ids=["words", "spaces", "no space", "cjk", "marks"],
)
def test_very_long_texts_have_the_tokens_of_the_whole(
    text: str, default_model_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokenizer = AutoTokenizer.from_pretrained(default_model_dir)
    read: list[int] = []
    beginnings = module._beginnings
    monkeypatch.setattr(module, "_beginnings", lambda texts, most: read.append(1) or beginnings(texts, most))
    found = [encode(tokenizer, ["short", text], 32, side=side) for side in (None, "left")]
    assert read == [1], "of the left side the whole text counts"
    monkeypatch.setattr(module, "_beginnings", lambda texts, _: texts)
    assert found == [encode(tokenizer, ["short", text], 32, side=side) for side in (None, "left")]


def test_a_very_long_text_is_not_read_to_its_end(default_model_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tokenizer = AutoTokenizer.from_pretrained(default_model_dir)
    asked: list[list[str]] = []
    whole = module._tokenized
    monkeypatch.setattr(module, "_tokenized", lambda own, texts, *rest: asked.append(texts) or whole(own, texts, *rest))
    encode(tokenizer, ["word " * 100_000], 32)
    assert [len(texts[0]) for texts in asked] == [514]
