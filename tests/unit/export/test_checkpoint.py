"""A dense model back as a checkpoint of its family: the same class, the same weights, the same logits."""

from pathlib import Path

import pytest
import torch
from transformers import AutoModelForSequenceClassification

from contract.variants import settings, tiny_model
from parity.sources import SOURCES, build_source, source_batch
from tokensieve import CheckpointError, ConfigError, ReductionConfig, compress
from tokensieve.export.checkpoint import family_config, to_transformers

DENSE = ReductionConfig.preset("dense")


@pytest.mark.parametrize("name", SOURCES)
@torch.no_grad()
def test_there_and_back(name: str, tmp_path: Path) -> None:
    source = build_source(name)
    source.config.id2label = {0: "film", 1: "law", 2: "sport"}
    source.config.problem_type = "multi_label_classification"
    model = compress(source, DENSE).eval()
    tokenizers = {"xlm-roberta": "XLMRobertaTokenizer", "camembert": "CamembertTokenizer"}
    kind = type(tokenizers.get(name, ""), (), {"bos_token_id": 0, "eos_token_id": 2})() if name in tokenizers else None
    to_transformers(model, kind).save_pretrained(tmp_path)
    back = AutoModelForSequenceClassification.from_pretrained(tmp_path).eval()
    assert type(back) is type(source)
    assert back.config.id2label == {0: "film", 1: "law", 2: "sport"}
    assert back.config.label2id == {"film": 0, "law": 1, "sport": 2}
    assert back.config.problem_type == "multi_label_classification"
    inputs = source_batch(source)
    torch.testing.assert_close(back(**inputs).logits, source(**inputs).logits, atol=0, rtol=0)
    torch.testing.assert_close(back(**inputs).logits, model(**inputs).logits, atol=1e-5, rtol=0)


def test_weights_are_copies() -> None:
    model = compress(build_source("bert"), DENSE).eval()
    theirs, before = to_transformers(model), model.head.classifier.weight.clone()
    torch.nn.init.zeros_(theirs.classifier.weight)
    torch.testing.assert_close(model.head.classifier.weight, before, atol=0, rtol=0)


@pytest.mark.parametrize(
    ("changes", "hints"),
    [
        ({"pruning": "none", "pooling": "mean"}, ("pooling=mean", "bert", "--set pooling=pretrained", "onnx")),
        ({"pruning": "ratio", "pooling": "host"}, ("prune.schedule=", "--preset dense", "onnx")),
        ({"pruning": "none", "combine_layer": 3}, ("combine=combining-module", "--preset dense", "onnx")),
    ],
    ids=str,
)
def test_what_transformers_has_no_class_for_is_refused(changes: dict[str, object], hints: tuple[str, ...]) -> None:
    with pytest.raises(ConfigError, match="cannot be exported to transformers") as caught:
        to_transformers(tiny_model(settings(**changes)))
    assert [hint for hint in hints if hint not in str(caught.value)] == []


def test_pruning_that_keeps_everything_is_dense() -> None:
    to_transformers(tiny_model(settings(pruning="ratio", keep_ratio=1.0, pooling="host")))


@pytest.mark.parametrize("field", [{"head_activation": "relu"}, {"position_offset": 2}])
def test_a_model_that_the_family_does_not_have_is_refused(field: dict[str, object]) -> None:
    model = tiny_model(settings(pruning="none", pooling="host"), **field)
    with pytest.raises(CheckpointError, match=next(iter(field))):
        to_transformers(model)


def test_the_tokenizer_tells_xlm_roberta() -> None:
    config = compress(build_source("roberta"), DENSE).config
    assert family_config(config).model_type == "roberta"
    assert family_config(config, type("XLMRobertaTokenizerFast", (), {})()).model_type == "xlm-roberta"
