"""TokensieveModel: the classifier's body, with the vectors of the tokens that are left."""

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModel, AutoModelForSequenceClassification, BertModel

from contract.variants import LABELS, UNEQUAL, batch, documents, settings, tiny_model
from parity.sources import build_source, source_batch
from tokensieve import ConfigError, ReductionConfig, TokensieveForSequenceClassification, TokensieveModel, compress
from tokensieve.model.head import MeanHead

HIDDEN = settings(pruning="ratio", site="hidden", pooling="mean")


def saved(tmp_path: Path) -> tuple[TokensieveForSequenceClassification, Any]:
    classifier = tiny_model(HIDDEN)
    classifier.save_pretrained(tmp_path)
    return classifier, AutoModel.from_pretrained(tmp_path)


@torch.no_grad()
def test_the_body_of_a_saved_classifier(tmp_path: Path) -> None:
    classifier, body = saved(tmp_path)
    assert isinstance(body, TokensieveModel)
    inputs = batch(documents(UNEQUAL))
    output, answers = body(**inputs), classifier(**inputs)
    assert isinstance(classifier.head, MeanHead)
    assert torch.equal(classifier.head(output.tokens)[0], answers.logits)
    assert output.trace.kept == answers.trace.kept
    kept = output.trace.kept[-1]
    assert output.last_hidden_state.shape == (len(UNEQUAL), max(kept), classifier.config.hidden_size)
    assert tuple(output.attention_mask.sum(1).tolist()) == kept
    assert torch.equal(output.last_hidden_state[output.attention_mask], output.tokens.values)
    assert not output.last_hidden_state[~output.attention_mask].any()


@torch.no_grad()
def test_with_nothing_reduced_the_vectors_are_those_of_transformers(tmp_path: Path) -> None:
    source = build_source("bert")
    compress(source, ReductionConfig.preset("dense")).save_pretrained(tmp_path)
    inputs = source_batch(source)
    body = source.get_submodule("bert")
    assert isinstance(body, BertModel)
    mask = inputs["attention_mask"].bool()
    ours = TokensieveModel.from_pretrained(tmp_path)(**inputs).last_hidden_state
    torch.testing.assert_close(ours[mask], body(**inputs).last_hidden_state[mask], atol=1e-4, rtol=0)


@torch.no_grad()
def test_a_saved_body_is_read_again_and_gets_a_new_head(tmp_path: Path) -> None:
    _, body = saved(tmp_path / "classifier")
    body.save_pretrained(tmp_path / "body")
    again, inputs = AutoModel.from_pretrained(tmp_path / "body"), batch(documents(UNEQUAL))
    assert torch.equal(again(**inputs).last_hidden_state, body(**inputs).last_hidden_state)
    classifier = compress(tmp_path / "body", HIDDEN, num_labels=LABELS)
    assert isinstance(classifier, TokensieveForSequenceClassification)
    assert classifier(**inputs).logits.shape == (len(UNEQUAL), LABELS)
    vectors = TokensieveModel.forward(classifier, **inputs)  # type: ignore[arg-type]  # a body with a head
    assert torch.equal(vectors.last_hidden_state, body(**inputs).last_hidden_state)  # type: ignore[union-attr]


def test_the_classifier_of_a_folder_is_still_found(tmp_path: Path) -> None:
    saved(tmp_path)
    assert type(AutoModelForSequenceClassification.from_pretrained(tmp_path)) is TokensieveForSequenceClassification


def test_tuple_and_refused_outputs(tmp_path: Path) -> None:
    _, body = saved(tmp_path)
    inputs = batch(documents((5, 3)))
    (vectors,) = body(**inputs, return_dict=False)
    assert torch.equal(vectors, body(**inputs).last_hidden_state)
    with pytest.raises(ConfigError, match="output_attentions=True"):
        body(**inputs, output_attentions=True)
