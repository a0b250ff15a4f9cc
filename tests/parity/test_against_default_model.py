"""The same on real weights and real text: the embedded model, through its own tokenizer."""

import inspect
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModel, AutoTokenizer, BertForSequenceClassification

from contract import oracle
from flat import reduction
from tokensieve import ReductionConfig, compress, load_encoder

TEXTS = [inspect.getsource(json.JSONDecoder), json.__doc__, "token", inspect.getsource(json.loads)]
REDUCED: dict[str, dict[str, Any]] = {
    "pfc": {"combine_layer": 4},
    "per-head": {"heads": "per_head", "combine_layer": 5},
    "candidates": {"ratio_scope": "candidates", "combine_layer": 6},
    "hidden": {"site": "hidden", "keep_ratio": 0.7},
}


@pytest.fixture(scope="module")
def inputs(default_model_dir: Path) -> dict[str, torch.Tensor]:
    """Documents of 512, three and a few hundred tokens, right-padded."""
    tokenizer = AutoTokenizer.from_pretrained(default_model_dir)
    return dict(tokenizer(TEXTS, truncation=True, max_length=512, padding=True, return_tensors="pt"))


@torch.no_grad()
def test_logits_are_transformers(default_model_dir: Path, inputs: dict[str, torch.Tensor]) -> None:
    source = BertForSequenceClassification.from_pretrained(default_model_dir, num_labels=4).eval()
    assert inputs["input_ids"].shape == (4, 512)
    ours = compress(source, ReductionConfig.preset("dense"))(**inputs).logits
    torch.testing.assert_close(ours, source(**inputs).logits, atol=1e-4, rtol=0)


def test_the_folder_brings_tokenizer_and_pooler(default_model_dir: Path) -> None:
    model = compress(default_model_dir, reduction(), num_labels=4)
    tokenizer = AutoTokenizer.from_pretrained(default_model_dir)
    assert model.config.special_token_ids == sorted([tokenizer.cls_token_id, tokenizer.sep_token_id])
    source = BertForSequenceClassification.from_pretrained(default_model_dir)
    assert torch.equal(model.head.dense.weight, source.bert.pooler.dense.weight)


@pytest.mark.parametrize("changes", REDUCED.values(), ids=REDUCED)
@torch.no_grad()
def test_reduced_is_the_method_and_minds_no_batch(
    changes: dict[str, Any], default_model_dir: Path, inputs: dict[str, torch.Tensor]
) -> None:
    model = compress(default_model_dir, reduction(**changes), num_labels=4)
    inputs = {name: value[:3, :160] for name, value in inputs.items()}
    output = model(**inputs)
    torch.testing.assert_close(output.logits, oracle.answers(model, **inputs)[0], atol=1e-5, rtol=0)
    short = {name: value[2:3, :3] for name, value in inputs.items()}
    torch.testing.assert_close(output.logits[2:3], model(**short).logits, atol=1e-5, rtol=0)
    assert sum(output.trace.kept[-1]) < sum(inputs["attention_mask"].sum(1).tolist())


def test_vectors_of_texts_are_mean_pooling_by_transformers(default_model_dir: Path) -> None:
    """As sentence-transformers pools this model: the mean of all tokens, then length 1."""
    tokenizer, model = AutoTokenizer.from_pretrained(default_model_dir), AutoModel.from_pretrained(default_model_dir)
    padded = tokenizer(TEXTS, truncation=True, max_length=256, padding=True, return_tensors="pt")
    mask = padded["attention_mask"].unsqueeze(-1)
    with torch.no_grad():
        hidden = model.eval()(**padded).last_hidden_state
    means = (hidden * mask).sum(1) / mask.sum(1)
    encoder = load_encoder(device="cpu", max_length=256)
    plain = torch.from_numpy(encoder.encode(TEXTS, normalize=False))
    torch.testing.assert_close(plain, means, atol=1e-4, rtol=0)
    assert means.abs().max() > 0.1
    vectors = torch.from_numpy(encoder.encode(TEXTS))
    torch.testing.assert_close(vectors, torch.nn.functional.normalize(means, dim=1), atol=1e-4, rtol=0)
