"""The engine: order, budget, bounded reading, the same results alone and in company, tokens that really survived."""

import random
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
import torch

import tokensieve
from contract.variants import layer_trace
from flat import flat_of
from support.alike import correlation
from tokensieve.data import Document
from tokensieve.model.answers import Answers
from tokensieve.model.batch import Batch
from tokensieve.reduce.combine.combining_module import TokenCombiner
from tokensieve.runtime.classifier import Classifier
from tokensieve.runtime.micro_batches import run_in_micro_batches

VARIANTS: dict[str, dict[str, Any]] = {
    "dense": {"pruning": "none"},
    "keys": {"pruning": "fuzzy"},
    "per-head": {"pruning": "ratio", "heads": "per_head"},
    "hidden": {"site": "hidden"},
    "hidden-combine": {"site": "hidden", "combine_layer": 3},
    "per-head-combine": {"heads": "per_head", "combine_layer": 3},
    "insert-at-the-end": {"combine_layer": 5, "combine_mode": "insert"},
}


@pytest.fixture(scope="module", params=VARIANTS)
def variant(
    request: pytest.FixtureRequest, save_classifier: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory
) -> Classifier:
    folder = save_classifier(tmp_path_factory.mktemp("variant"), **VARIANTS[request.param])
    return tokensieve.load(folder, device="cpu")


def batch_sizes(classifier: Classifier, texts: list[str]) -> list[tuple[int, int]]:
    """Documents and tokens of every batch that the engine reads."""
    seen: list[tuple[int, int]] = []

    def read(by: Callable[[Batch], Answers], batch: Batch, rows: Sequence[int]) -> Answers:
        seen.append((len(batch.lengths), sum(batch.lengths)))
        return run_in_micro_batches(by, batch, rows)

    with patch("tokensieve.runtime.engine.run_in_micro_batches", read):
        classifier.predict(texts)
    return seen


def test_alone_and_in_any_company(variant: Classifier, some_texts: list[str]) -> None:
    together = variant.results(some_texts)
    alone = [variant.results([text])[0] for text in some_texts]
    np.testing.assert_allclose([r.probabilities for r in together], [r.probabilities for r in alone], atol=1e-5)
    assert [(r.length, r.kept, r.label) for r in together] == [(r.length, r.kept, r.label) for r in alone]


def test_order_is_that_of_the_texts(classifier: Classifier, some_texts: list[str]) -> None:
    expected = dict(zip(some_texts, classifier.predict_proba(some_texts), strict=True))
    for seed in range(3):
        shuffled = random.Random(seed).sample(some_texts, len(some_texts))
        found = classifier.predict_proba(shuffled)
        np.testing.assert_allclose(found, [expected[text] for text in shuffled], atol=1e-5)


def test_order_over_windows(classifier: Classifier, some_texts: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    expected = classifier.predict_proba(some_texts)
    monkeypatch.setattr("tokensieve.runtime.windows._WINDOW_DOCUMENTS", 7)
    np.testing.assert_allclose(classifier.predict_proba(some_texts), expected, atol=1e-5)


def test_labels_belong_to_the_highest_probability(classifier: Classifier, some_texts: list[str]) -> None:
    probabilities = classifier.predict_proba(some_texts)
    assert probabilities.shape == (40, 3)
    assert probabilities.dtype == np.float32
    np.testing.assert_allclose(probabilities.sum(1), 1, atol=1e-5)
    labels = [classifier.labels[number] for number in probabilities.argmax(1)]
    assert classifier.predict(some_texts) == labels
    assert len(set(labels)) > 1, "a classifier of one answer would prove nothing here"


def test_probabilities_are_the_models(classifier: Classifier, tiny_tokenizer: Any, some_texts: list[str]) -> None:
    inputs = tiny_tokenizer(some_texts, truncation=True, max_length=64, padding=True, return_tensors="pt")
    with torch.no_grad():
        expected = classifier.model(**inputs).logits.softmax(-1)
    np.testing.assert_allclose(classifier.predict_proba(some_texts), expected, atol=1e-5)


@pytest.mark.parametrize("budget", [1, 50, 130, 10_000])
def test_batches_stay_within_the_budget(classifier_dir: Path, some_texts: list[str], budget: int) -> None:
    classifier = tokensieve.load(classifier_dir, device="cpu", batch_tokens=budget)
    sizes = batch_sizes(classifier, some_texts)
    assert sum(documents for documents, _ in sizes) == 40
    assert all(tokens <= budget or documents == 1 for documents, tokens in sizes)
    assert len(sizes) == {1: 40, 10_000: 1}.get(budget, len(sizes))


def test_texts_that_share_a_budget_share_a_batch(classifier_dir: Path) -> None:
    classifier = tokensieve.load(classifier_dir, device="cpu", batch_tokens=40)
    assert batch_sizes(classifier, ["film"] * 20) == [(13, 39), (7, 21)]


@pytest.mark.parametrize("windows", [0, 2])
def test_prefetching_is_bounded(classifier: Classifier, windows: int) -> None:
    read = 0

    def stream() -> Iterator[Document]:
        nonlocal read
        for number in range(6000):
            read += 1
            yield Document("film", None, "counted", number)

    results = classifier.engine.stream(stream(), prefetch=windows > 0)
    assert read == 0
    next(results)
    assert read <= 1024 * (1 + windows)
    for _ in range(1500):
        next(results)
    assert read <= 1024 * (2 + windows)
    results.close()


def test_few_long_texts_fill_a_window(classifier: Classifier, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tokensieve.runtime.windows._WINDOW_CHARACTERS", 100)
    taken: list[int] = []
    documents = (taken.append(n) or Document("film " * 10, None, "counted", n) for n in range(50))
    next(classifier.engine.stream(documents, prefetch=False))
    assert len(taken) == 2


@pytest.mark.parametrize(("words", "truncated"), [(61, 0), (62, 0), (63, 1), (500, 1)])
def test_truncated_texts_are_counted(classifier: Classifier, words: int, truncated: int) -> None:
    (result,) = classifier.results(["film " * words])
    assert classifier.engine.truncated == truncated
    assert result.length == min(words + 2, 64)
    classifier.results(["film " * words, "film"])
    assert classifier.engine.truncated == 2 * truncated


@pytest.mark.parametrize(("asked", "length"), [(None, 64), (10, 10), (3, 3)])
def test_max_length(classifier_dir: Path, asked: int | None, length: int) -> None:
    classifier = tokensieve.load(classifier_dir, device="cpu", max_length=asked)
    (result,) = classifier.results(["film " * 100], tokens=True)
    assert result.length == length == classifier.engine.max_length


def test_nothing_to_classify(classifier: Classifier) -> None:
    assert classifier.predict([]) == classifier.engine.classify([]) == []
    assert classifier.predict_proba([]).shape == (0, 3)


@pytest.mark.parametrize("method", ["predict", "predict_proba", "results"])
def test_one_string_in_place_of_a_list(classifier: Classifier, method: str) -> None:
    with pytest.raises(tokensieve.ConfigError, match=r"\[text\]"):
        getattr(classifier, method)("the film was good")


@pytest.mark.parametrize("text", [None, 3, float("nan"), b"film", ["film"]], ids=repr)
def test_texts_that_are_no_strings(classifier: Classifier, text: Any) -> None:
    told = "null" if text is None else type(text).__name__
    with pytest.raises(tokensieve.InputError, match=rf"document 1 .*{told}.*leave it out"):
        classifier.predict(["film", text])


def test_a_bad_text_is_named_by_its_place_in_the_list(classifier: Classifier) -> None:
    with pytest.raises(tokensieve.InputError, match=r"\b150[01]\b"):
        classifier.predict(["film"] * 1500 + ["\ud800"])


@pytest.mark.parametrize("text", ["", " ", "\n\t", "\0film", "\x01\x02\x03", "film \ud800"], ids=repr)
@pytest.mark.parametrize("method", ["predict", "predict_proba", "results", "encode"])
def test_a_text_that_no_file_may_hold(classifier: Classifier, text: str, method: str) -> None:
    """The command refuses it; so does the library."""
    with pytest.raises(
        tokensieve.InputError, match=r"document 1 cannot be classified: (empty|binary|not valid).*leave"
    ):
        getattr(classifier, method)(["film", text])


@pytest.mark.parametrize("text", ["\u200b", "zzz", "the"])
def test_texts_of_next_to_nothing(classifier: Classifier, text: str) -> None:
    (result,) = classifier.results([text], tokens=True)
    assert 2 <= result.length <= 3
    np.testing.assert_allclose(sum(result.probabilities), 1, atol=1e-5)


def test_special_tokens_written_in_a_text(variant: Classifier) -> None:
    """They are the user's words and are split as such; padding and special tokens are told by position."""
    odd = ["[PAD]", "[PAD] film [PAD]", "[SEP] [SEP] [CLS] film " * 5, "[MASK] law"]
    texts = [*odd, "film " * 40]
    together = variant.results(texts, tokens=True)
    alone = [variant.results([text], tokens=True)[0] for text in texts]
    assert [result.length for result in together] == [5, 9, 52, 6, 42]
    assert [(r.tokens, r.kept) for r in together] == [(r.tokens, r.kept) for r in alone]
    np.testing.assert_allclose([r.probabilities for r in together], [r.probabilities for r in alone], atol=1e-5)


def kept_at_the_end(variant: Classifier, ids: list[int]) -> list[int]:
    """Positions that the last layer with text left, seen by hooks on the layers; the union over heads."""
    sets = layer_trace(variant.model, {"input_ids": torch.tensor([ids])})[-1][0]
    return sorted(set().union(*sets))


def assignments(variant: Classifier, ids: list[int]) -> dict[int, int] | None:
    """Position -> combination token as the combining module itself says, seen by a hook."""
    seen: dict[int, int] = {}

    def note(_: torch.nn.Module, inputs: Any, output: Any) -> None:
        origin = inputs[0].origin
        seen.update(zip(origin[origin >= 0].tolist(), output[1].tolist(), strict=True))

    modules = [module for module in variant.model.modules() if isinstance(module, TokenCombiner)]
    hooks = [module.register_forward_hook(note) for module in modules]
    with torch.no_grad():
        variant.model(torch.tensor([ids]))
    for hook in hooks:
        hook.remove()
    return seen if modules else None


def test_surviving_tokens_are_those_kept(variant: Classifier, tiny_tokenizer: Any, some_texts: list[str]) -> None:
    for text, result in zip(some_texts, variant.results(some_texts, tokens=True), strict=True):
        ids = tiny_tokenizer(text, truncation=True, max_length=64)["input_ids"]
        kept, joined = kept_at_the_end(variant, ids), assignments(variant, ids)
        assert list(result.tokens or ()) == [tiny_tokenizer.convert_ids_to_tokens(ids[i]) for i in kept]
        assert result.joined == (None if joined is None else tuple(joined[i] for i in kept))
        assert result.tokens is not None
        assert (result.tokens[0], result.tokens[-1]) == ("[CLS]", "[SEP]")


def test_counts_of_kept_tokens(variant: Classifier, some_texts: list[str]) -> None:
    settings = variant.model.settings
    for result in variant.results(some_texts, tokens=True):
        assert len(result.kept) == len(variant.model.encoder.layer)
        assert result.kept[0] <= result.length
        text_steps = (
            len(result.kept) if flat_of(settings).combine_layer is None else flat_of(settings).combine_layer - 1
        )
        assert set(result.kept[text_steps:]) <= {settings.combination_tokens}
        assert list(result.kept[:text_steps]) == sorted(result.kept[:text_steps], reverse=True)
        if flat_of(settings).heads == "shared":
            assert len(result.tokens or ()) == result.kept[text_steps - 1]


def test_every_text_token_is_told_where_nothing_is_pruned(save_classifier: Callable[..., Path], tmp_path: Path) -> None:
    """A module in the place of the first layer folds every token; each of them has joined a combination token."""
    classifier = tokensieve.load(save_classifier(tmp_path / "model", combine_layer=1), device="cpu")
    (result,) = classifier.results(["the film"], tokens=True)
    assert result.tokens == ("[CLS]", "the", "film", "[SEP]")
    assert len(result.joined or ()) == 4


def test_tokens_are_named_only_when_asked_for(classifier: Classifier) -> None:
    (result,) = classifier.results(["film"])
    assert result.tokens is None
    assert result.joined is None


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_half_precision_is_near_full(classifier_dir: Path, some_texts: list[str], dtype: str) -> None:
    half = tokensieve.load(classifier_dir, device="cpu", dtype=dtype)
    assert str(half.model.dtype) == f"torch.{dtype}"
    probabilities = half.predict_proba(some_texts)
    assert np.isfinite(probabilities).all()
    full = tokensieve.load(classifier_dir, device="cpu").predict_proba(some_texts)
    assert np.median(np.abs(probabilities - full)) < 0.01  # a few documents join other tokens and differ more
    assert correlation(torch.tensor(probabilities), torch.tensor(full)) > 0.9, "0.995 at least was measured"


@pytest.mark.parametrize("budget", [0, -1])
def test_a_budget_of_nothing(classifier_dir: Path, budget: int) -> None:
    with pytest.raises(tokensieve.ConfigError, match=f"batch_tokens={budget}"):
        tokensieve.load(classifier_dir, batch_tokens=budget)


@pytest.mark.parametrize("length", [0, 65, 1000])
def test_lengths_that_do_not_fit(classifier_dir: Path, length: int) -> None:
    with pytest.raises(tokensieve.ConfigError, match=f"max_length={length}.*64"):
        tokensieve.load(classifier_dir, max_length=length)


def test_a_length_without_room_for_text(classifier_dir: Path) -> None:
    with pytest.raises(tokensieve.ConfigError, match="max_length"):
        tokensieve.load(classifier_dir, max_length=2).predict(["film"])
