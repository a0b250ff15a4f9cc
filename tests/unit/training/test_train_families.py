"""A training on backbones of other families: dense, then a score fitted to the dense classifier, then int8 weights."""

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForSequenceClassification, PreTrainedTokenizerFast
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

import tokensieve
from contract.families import SHORT
from flat import reduction
from support.alike import correlation
from tokensieve.backbones import BACKBONES
from tokensieve.data import DataSplits
from tokensieve.export import export
from tokensieve.model.layer import unfitted
from tokensieve.quantize.gate import Gate
from tokensieve.quantize.quantize import quantize
from tokensieve.training.recipe import Recipe
from tokensieve.training.train import train
from unit.training.keyword_documents import labelled_documents

RECIPE = Recipe(epochs=2, batch_size=8, max_length=32, learning_rate=3e-3)


def checkpoint(kind: str, tokenizer: PreTrainedTokenizerFast, folder: Path) -> Path:
    """A random checkpoint of transformers with a tokenizer; of MPNet transformers fixes the padding's id at 1."""
    shared = {"vocab_size": len(tokenizer), "hidden_size": 32, "num_hidden_layers": 4, "num_attention_heads": 4}
    shared |= {"intermediate_size": 64, "max_position_embeddings": 66}
    sizes: dict[str, Any] = {theirs: shared[ours] for ours, theirs in BACKBONES[kind].fields.items() if ours in shared}
    config = CONFIG_MAPPING[kind](**sizes, **SHORT.get(kind, {}), pad_token_id=1 if kind == "mpnet" else 0)
    AutoModelForSequenceClassification.from_config(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.mark.parametrize("kind", ["mpnet", "modernbert", "eurobert"])
def test_dense_then_learned_then_int8(kind: str, tiny_tokenizer: PreTrainedTokenizerFast, tmp_path: Path) -> None:
    base = checkpoint(kind, tiny_tokenizer, tmp_path / "base")
    data = DataSplits(labelled_documents(80), labelled_documents(16, seed=1))
    train(base, reduction(pruning="none", pooling="mean"), data, tmp_path / "dense", RECIPE, progress=False)
    learned = reduction(pruning="ratio", site="hidden", score="learned", keep_ratio=0.6, pooling="mean")
    train(tmp_path / "dense", learned, data, tmp_path / "learned", RECIPE, progress=False)
    classifier = tokensieve.load(tmp_path / "learned", device="cpu")
    assert unfitted(classifier.model) == []
    texts = [document.text for document in labelled_documents(24, seed=2)]
    quantize(tmp_path / "learned", tmp_path / "int8", labelled_documents(40, seed=3), gate=Gate(1.0, 1.0))
    exact = torch.tensor(classifier.predict_proba(texts))
    rounded = torch.tensor(tokensieve.load(tmp_path / "int8", device="cpu").predict_proba(texts))
    assert not torch.equal(exact, rounded)
    assert (exact - rounded).abs().mean() < 0.02, "0.003 at most was measured"
    assert correlation(rounded, exact) > 0.85, "0.973 at least was measured"


@pytest.mark.parametrize("kind", ["mpnet", "modernbert", "eurobert", "camembert"])
def test_a_dense_classifier_goes_back_to_transformers(
    kind: str, tiny_tokenizer: PreTrainedTokenizerFast, tmp_path: Path
) -> None:
    base = checkpoint(kind, tiny_tokenizer, tmp_path / "base")
    tokensieve.compress(base, tokensieve.ReductionConfig.preset("dense")).save_pretrained(tmp_path / "ours")
    tiny_tokenizer.save_pretrained(tmp_path / "ours")
    found = export(tmp_path / "ours", tmp_path / "theirs", "transformers")
    assert found.difference < 1e-5
    back = AutoModelForSequenceClassification.from_pretrained(tmp_path / "theirs")
    assert back.config.model_type == ("roberta" if kind == "camembert" else kind)
