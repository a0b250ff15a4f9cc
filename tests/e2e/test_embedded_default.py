"""The embedded default model on the embedded corpus: a short real training, and what the trained folder then tells."""

import json
from collections import Counter
from pathlib import Path

import pytest
from safetensors import safe_open
from transformers import pipeline

import tokensieve
from e2e.conftest import Cli
from flat import reduction
from tokensieve.data import DataSplits, standard_library_corpus
from tokensieve.training.recipe import Recipe
from tokensieve.training.train import train

pytestmark = pytest.mark.slow
TEST_DOCUMENTS = 200


@pytest.fixture(scope="module")
def corpus() -> DataSplits:
    return standard_library_corpus().limited(train=200, validation=40, test=TEST_DOCUMENTS)


@pytest.fixture(scope="module")
def trained(corpus: DataSplits, default_model_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tokens leave at every layer, what is left is folded into eight; an eighth of the corpus, 64 tokens of each."""
    settings = reduction(site="hidden", keep_ratio=0.8, combine_layer=7, combine_mode="insert")
    recipe = Recipe(learning_rate=3e-4, epochs=2, batch_size=8, max_length=64, attention_dropout=0.0)
    output = tmp_path_factory.mktemp("embedded") / "trained"
    record = train(default_model_dir, settings, corpus, output, recipe)
    losses = [entry["loss"] for entry in record["history"] if "loss" in entry]
    assert losses[-1] < losses[0]
    return output


def test_it_beats_chance_by_a_wide_margin(cli: Cli, trained: Path, corpus: DataSplits) -> None:
    """0.56 to 0.60 over five seeds; always answering the largest package gives 0.19."""
    limit = ("--max-documents", str(TEST_DOCUMENTS))
    scores = cli("evaluate", "--model", str(trained), "--device", "cpu", *limit, "--json").json()
    majority = Counter(document.label for document in corpus.test).most_common(1)[0][1] / TEST_DOCUMENTS
    assert scores["accuracy"] > 0.45 > 2 * majority
    assert scores["f1_macro"] > 0.35
    assert scores["documents"] == TEST_DOCUMENTS
    assert scores["kept_tokens"][-1] == 8
    assert scores["kept_tokens"][5] < 0.3 * scores["mean_length"]


def test_the_limits_of_the_default_tokenizer_are_not_handed_on(trained: Path) -> None:
    record = json.loads((trained / "tokenizer.json").read_text(encoding="utf-8"))
    assert record["truncation"] is None
    assert record["padding"] is None
    assert json.loads((trained / "tokenizer_config.json").read_text(encoding="utf-8"))["model_max_length"] == 512
    assert json.loads((trained / "config.json").read_text(encoding="utf-8"))["tokenize_length"] == 64


def test_nothing_of_the_old_head_is_kept(trained: Path) -> None:
    with safe_open(trained / "model.safetensors", framework="pt") as weights:
        names = set(weights.keys())
    assert not [name for name in names if "pooler" in name]
    assert "embeddings.combination_tokens.weight" in names


def test_prediction_from_the_trained_folder(cli: Cli, trained: Path, corpus: DataSplits) -> None:
    """The command line, the library and transformers' own pipeline say the same."""
    texts = [document.text for document in corpus.test[:20]]
    texts += ["[SEP] [CLS] " * 30 + text for text in texts[:5]]  # special tokens that an author writes are text
    lines = "".join(json.dumps({"text": text}) + "\n" for text in texts)
    outcome = cli("predict", "--model", str(trained), "--device", "cpu", "--tokens", stdin=lines)
    found = [json.loads(line) for line in outcome.out.splitlines()]
    labels = [record["label"] for record in found]
    assert labels == tokensieve.load(trained, device="cpu").predict(texts)
    assert all(record["tokens"][0] == "[CLS]" and len(record["tokens"]) == len(record["joined"]) for record in found)
    classify = pipeline("text-classification", str(trained), device="cpu")
    assert [entry["label"] for entry in classify(texts, truncation=True, max_length=64)] == labels
