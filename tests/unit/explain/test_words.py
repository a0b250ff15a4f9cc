"""Words of the original text: wordpieces joined, every span a substring of the text as it was given."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
from transformers import AutoTokenizer
from transformers import PreTrainedTokenizerFast as Fast

from tokensieve.data.tokenize import Place, encode
from tokensieve.errors import ConfigError
from tokensieve.explain.watch import Seen
from tokensieve.explain.words import Word, pieces, survivors_alone, words_of

HARD = [
    "Café naïve résumé",
    "cafe\u0301 at the end e\u0301",
    "unbelievably UNBELIEVABLY",
    "東京 and 北京市",
    "👩‍👩‍👧 family 👍🏽 thumbs ❤️",
    "don't [CLS] [SEP] [UNK]",
    "\u202eabc\u202c right \u200fto left שלום مرحبا",
    "İstanbul straße ﬁne",
    "  spaces\t and\n\nlines  ",
    "a\x08b \x1b[31mred",
    "x" * 300 + " tail",
]


@pytest.fixture(scope="session")
def uncased(default_model_dir: Path) -> Fast:
    found: Fast = AutoTokenizer.from_pretrained(default_model_dir)
    return found


@pytest.fixture(scope="session")
def bytes_of_text() -> Fast:
    """A tokenizer as RoBERTa's, without merges: a token a byte."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocab = {token: number for number, token in enumerate(["<s>", "</s>", "<unk>", "<pad>", *alphabet])}
    tokenizer = Tokenizer(models.BPE(vocab, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.post_processor = processors.RobertaProcessing(("</s>", 1), ("<s>", 0), trim_offsets=True)
    tokenizer.decoder = decoders.ByteLevel()
    names = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>", "pad_token": "<pad>"}
    return Fast(tokenizer_object=tokenizer, **names)


def read(tokenizer: Fast, text: str, left: int = 0) -> list[Word]:
    """Words of a text of which the tokens at even positions leave in layer `left` (0: none leaves)."""
    (places,) = encode(tokenizer, [text], 4096, places=True).places or ()
    everything = list(range(len(places)))
    seen = Seen(0, [everything, everything[:: 2 if left else 1]], [9, 9], [1, left or 2])
    return words_of([text], places, seen)


def check_spans(text: str, words: list[Word]) -> None:
    ends = [0, *(word.end for word in words)]
    assert all(word.start >= end for word, end in zip(words, ends, strict=False)), "spans do not overlap"
    assert all(word.start < word.end <= len(text) for word in words)
    assert not any(text[word.start].isspace() or text[word.end - 1].isspace() for word in words)
    shown = "".join(piece for piece, _ in pieces(text, words))
    assert shown + text[ends[-1] :] == text
    for piece, word in pieces(text, words):
        assert word is None or piece == text[word.start : word.end]


@pytest.mark.parametrize("text", HARD)
def test_spans_are_substrings(uncased: Fast, bytes_of_text: Fast, text: str) -> None:
    for tokenizer in (uncased, bytes_of_text):
        check_spans(text, read(tokenizer, text, left=2))


@given(st.text(min_size=1).filter(lambda text: bool(text.strip())))
def test_any_text(uncased: Fast, bytes_of_text: Fast, text: str) -> None:
    for tokenizer in (uncased, bytes_of_text):
        check_spans(text, read(tokenizer, text, left=2))


def test_wordpieces_are_joined_with_their_case_and_accents(uncased: Fast) -> None:
    text = "UNBELIEVABLY Café cafe\u0301, 東京 👍🏽"
    words = read(uncased, text)
    assert [text[word.start : word.end] for word in words] == [
        "UNBELIEVABLY",
        "Café",
        "cafe\u0301",
        ",",
        "東",
        "京",
        "👍🏽",
    ]
    assert words[0].tokens > 1


def test_bytes_of_one_character_are_one_word(bytes_of_text: Fast) -> None:
    text = "a 👩‍👩‍👧 東京"
    assert "👩‍👩‍👧" in [text[word.start : word.end] for word in read(bytes_of_text, text)]


def test_a_word_survives_by_one_of_its_tokens() -> None:
    places = [Place(None, None, 0, 0), Place(0, 0, 0, 2), Place(0, 0, 2, 4), Place(0, 1, 5, 6), Place(0, 2, 7, 8)]
    seen = Seen(0, [[0, 1, 2, 3], [0, 2]], [4, 2], [1, 2], {1: 0.5, 2: 0.25, 3: -1.0}, {0: 0, 2: 3})
    words = words_of(["abcd e f"], places, seen)
    assert words == [Word(0, 0, 4, 2, None, 0.5, 3), Word(0, 5, 6, 1, 2, -1.0, None), Word(0, 7, 8, 1, 1, None, None)]
    assert survivors_alone("abcd e f", words) == "abcd"


def test_both_texts_of_a_pair(uncased: Fast) -> None:
    (places,) = encode(uncased, ["one two"], 64, ["three, four"], places=True).places or ()
    words = words_of(["one two", "three, four"], places, Seen(0))
    assert [(word.part, word.start, word.end) for word in words] == [
        *((0, 0, 3), (0, 4, 7)),
        *((1, 0, 5), (1, 5, 6), (1, 7, 11)),
    ]


def test_words_that_survive_are_joined_as_they_stood() -> None:
    text = "don't  go, now"
    spans = [(0, 3), (3, 4), (4, 5), (7, 9), (9, 10), (11, 14)]
    words = [
        Word(0, *span, 1, left, None, None) for span, left in zip(spans, (None, None, None, 1, None, None), strict=True)
    ]
    assert survivors_alone(text, words) == "don't , now"


def test_a_tokenizer_that_tells_no_places() -> None:
    class Slow:
        model_input_names: tuple[str, ...] = ()

        def num_special_tokens_to_add(self, pair: bool) -> int:
            return 2

    with pytest.raises(ConfigError, match=r"tokenizer\.json"):
        encode(Slow(), ["text"], 8, places=True)  # type: ignore[arg-type]


def test_a_very_long_text_has_the_places_of_its_beginning(uncased: Fast) -> None:
    text = "Unbelievably, words  " * 20_000
    (places,) = encode(uncased, [text], 16, places=True).places or ()
    words = words_of([text], places, Seen(0))
    check_spans(text, words)
    assert text[words[0].start : words[0].end] == "Unbelievably"
    assert len(places) == 16
