"""What `compress` takes over, what it makes anew, what it leaves alone, and what it refuses."""

import copy
from typing import Any

import pytest
import torch
from torch import nn
from transformers import (
    BertForMaskedLM,
    BertForTokenClassification,
    BertModel,
    DistilBertModel,
    ElectraForPreTraining,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    RobertaModel,
)

from flat import flat_of, reduction, with_flat
from parity.sources import LABELS, LAYERS, SOURCES, bert, build_source, source_batch
from tokensieve import CheckpointError, ConfigError, ReductionConfig, TokensieveForSequenceClassification, compress

PFC = reduction(combine_layer=2, combination_tokens=4)
MEAN = reduction(pruning="none", pooling="mean")


def storages(model: nn.Module) -> set[int]:
    return {tensor.untyped_storage().data_ptr() for tensor in (*model.parameters(), *model.buffers())}


def weights(model: nn.Module, prefix: str) -> dict[str, torch.Tensor]:
    return {name.removeprefix(prefix): value for name, value in model.state_dict().items() if name.startswith(prefix)}


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("name", SOURCES)
@pytest.mark.parametrize("training", [True, False])
def test_the_given_model_is_left_as_it_was(name: str, training: bool) -> None:
    source = build_source(name).train(training)
    source.config.problem_type = "multi_label_classification"
    state, config = copy.deepcopy(source.state_dict()), copy.deepcopy(source.config.to_dict())
    model = compress(source, PFC, num_labels=5)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
    assert same(source.state_dict(), state)
    assert source.config.to_dict() == config
    assert source.training == training
    assert not storages(source) & storages(model)


def test_ours_is_left_as_it_was_too() -> None:
    first = compress(build_source("bert"), PFC)
    config = copy.deepcopy(first.config.to_dict())
    second = compress(first, reduction(combine_layer=2, combination_tokens=4, keep_ratio=0.5), num_labels=7)
    assert first.config.to_dict() == config
    assert not storages(first) & storages(second)
    assert (first.num_labels, second.num_labels) == (LABELS, 7)


@pytest.mark.parametrize(
    ("mode", "combine_layer", "source_layers"),
    [
        ("replace", 1, [None, 1, 2]),
        ("replace", 2, [0, None, 2]),
        ("replace", 3, [0, 1, None]),
        ("insert", 2, [0, None, 1, 2]),
        ("insert", 4, [0, 1, 2, None]),
    ],
)
def test_layers_take_their_places(mode: Any, combine_layer: int, source_layers: list[int | None]) -> None:
    source = build_source("bert")
    model = compress(source, reduction(combine_layer=combine_layer, combine_mode=mode))
    assert len(model.encoder.layer) == len(source_layers)
    for place, source_layer in enumerate(source_layers):
        ours = weights(model, f"encoder.layer.{place}.")
        if source_layer is None:
            assert "attention.self.query.weight" not in ours
        else:
            assert same(ours, weights(source, f"bert.encoder.layer.{source_layer}."))


def test_no_parameter_is_there_for_nothing() -> None:
    """Neither the replaced layer, nor the pooler where the mean is taken, nor segments that the family has not."""
    module = 4 * (32 * 32 + 32) + 2 * 2 * 32 + 4 * 32  # four linear layers, two norms, four combination tokens
    source = build_source("distilbert")
    layer = sum(parameter.numel() for parameter in source.distilbert.transformer.layer[1].parameters())
    pooler = 32 * 32 + 32
    expected = source.num_parameters() - layer - pooler + module
    assert compress(source, PFC).num_parameters() == expected


@pytest.mark.parametrize(
    ("headless", "source"), [(BertModel, "bert"), (RobertaModel, "roberta"), (DistilBertModel, "distilbert")]
)
@torch.no_grad()
def test_a_headless_checkpoint_keeps_its_body(headless: type[PreTrainedModel], source: str) -> None:
    body = headless(build_source(source).config).eval()
    model = compress(body, MEAN, num_labels=6)
    assert not model.training
    inputs = source_batch(body)
    hidden, mask = body(**inputs).last_hidden_state, inputs["attention_mask"].unsqueeze(-1)
    mean = (hidden * mask).sum(1) / mask.sum(1)
    torch.testing.assert_close(model(**inputs).logits, model.head.classifier(mean), atol=1e-4, rtol=0)
    assert model.head.classifier.weight.std() > 0


@pytest.mark.parametrize("pooler", [True, False])
def test_a_headless_pooler_is_kept(pooler: bool) -> None:
    body = BertModel(build_source("bert").config, add_pooling_layer=pooler)
    model = compress(body, ReductionConfig.preset("dense"))
    assert model.num_labels == 2
    if pooler:
        assert torch.equal(model.head.dense.weight, body.pooler.dense.weight)
    assert model.head.dense.weight.std() > 0


@pytest.mark.parametrize("other", [BertForMaskedLM, BertForTokenClassification, ElectraForPreTraining])
def test_the_head_of_another_task_is_not_taken(other: type[PreTrainedModel]) -> None:
    torch.manual_seed(0)
    model = other(build_source("electra-projected" if other is ElectraForPreTraining else "bert").config)
    ours = compress(model, MEAN, num_labels=LABELS)
    taken = [value for value in model.state_dict().values() if value.shape == ours.head.classifier.weight.shape]
    assert not any(torch.equal(value, ours.head.classifier.weight) for value in taken)
    prefix = model.base_model_prefix + ".encoder.layer.1."
    assert same(weights(ours, "encoder.layer.1."), weights(model, prefix))


def test_labels_are_the_checkpoints() -> None:
    source = bert(id2label={0: "no", 1: "yes", 2: "maybe"}, label2id={"no": 0, "yes": 1, "maybe": 2})
    source.config.problem_type = "multi_label_classification"
    model = compress(source, reduction())
    assert model.config.id2label == {0: "no", 1: "yes", 2: "maybe"}
    assert model.config.label2id == {"no": 0, "yes": 1, "maybe": 2}
    assert model.config.problem_type == "multi_label_classification"
    assert torch.equal(model.head.classifier.weight, source.classifier.weight)
    same_number = compress(source, reduction(), num_labels=3, problem_type="single_label_classification")
    assert same_number.config.id2label == model.config.id2label
    assert same_number.config.problem_type == "single_label_classification"


@pytest.mark.parametrize("labels", [{"num_labels": 2}, {"id2label": {0: "a", 1: "b"}}], ids=str)
def test_other_labels_get_a_new_classifier(labels: dict[str, Any]) -> None:
    source = build_source("bert")
    model = compress(source, reduction(), **labels)
    names = labels.get("id2label", {0: "LABEL_0", 1: "LABEL_1"})
    assert model.config.id2label == names
    assert model.config.label2id == {name: number for number, name in names.items()}
    assert model.num_labels == model.config.num_labels == 2
    assert model.head.classifier.weight.shape == (2, 32)
    assert torch.equal(model.head.dense.weight, source.bert.pooler.dense.weight)


@pytest.mark.parametrize(
    ("labels", "named"),
    [
        ({"num_labels": 2, "id2label": {0: "a", 1: "b", 2: "c"}}, "num_labels=2"),
        ({"id2label": {1: "a", 2: "b"}}, "id2label"),
        ({"id2label": {}}, "id2label"),
        ({"id2label": {0: "a", 1: "a"}}, "id2label"),
        ({"num_labels": 0}, "num_labels=0"),
        ({"num_labels": -1}, "num_labels=-1"),
        ({"problem_type": "guessing"}, "guessing"),
    ],
    ids=str,
)
def test_labels_that_cannot_be(labels: dict[str, Any], named: str) -> None:
    with pytest.raises(ConfigError, match=named):
        compress(build_source("bert"), reduction(), **labels)


def test_special_tokens_come_from_the_tokenizer(tiny_tokenizer: PreTrainedTokenizerFast) -> None:
    source = build_source("bert")
    expected = sorted(tiny_tokenizer.convert_tokens_to_ids(["[CLS]", "[SEP]"]))
    assert compress(source, reduction(), tokenizer=tiny_tokenizer).config.special_token_ids == expected
    assert compress(source, reduction()).config.special_token_ids is None
    other = copy.deepcopy(tiny_tokenizer)
    other.cls_token = other.sep_token = None
    other.bos_token, other.eos_token = "the", "."
    expected = sorted(other.convert_tokens_to_ids(["the", "."]))
    assert compress(source, reduction(), tokenizer=other).config.special_token_ids == expected


@pytest.mark.parametrize("combine_layer", [LAYERS + 1, 99])
def test_a_layer_that_is_not_there(combine_layer: int) -> None:
    with pytest.raises(ConfigError, match=rf"combine\.layer={combine_layer}.*1 to {LAYERS}\b"):
        compress(build_source("bert"), reduction(combine_layer=combine_layer))
    with pytest.raises(ConfigError, match=r"combine\.layer=5"):
        compress(build_source("bert"), reduction(combine_layer=5, combine_mode="insert"))


def test_a_replaced_layer_cannot_come_back() -> None:
    once = compress(build_source("bert"), PFC)
    for elsewhere in (reduction(), reduction(combine_layer=3), reduction(combine_layer=2, combine_mode="insert")):
        with pytest.raises(CheckpointError, match="cannot come back"):
            compress(once, elsewhere)


def test_without_the_inserted_module_the_source_checkpoint_is_whole() -> None:
    source = build_source("bert")
    inserted = compress(source, reduction(combine_layer=2, combine_mode="insert"))
    back = compress(inserted, ReductionConfig.preset("dense"), num_labels=LABELS)
    assert same(weights(back, "encoder."), weights(source, "bert.encoder."))
    assert same(weights(back, "embeddings."), weights(compress(source, reduction()), "embeddings."))


def test_the_dial_on_one_checkpoint_keeps_what_was_learned() -> None:
    once = compress(build_source("bert"), PFC)
    again = compress(once, reduction(combine_layer=2, combination_tokens=4, keep_ratio=0.5, site="hidden"))
    assert same(again.state_dict(), once.state_dict())
    assert flat_of(again.settings).site == "hidden"


def test_combination_tokens_that_begin_as_words() -> None:
    """Those of the vocabulary at equal distances, normed as text is; what was learned since is not begun anew."""
    source = build_source("bert")
    config = reduction(combine_layer=2, combination_tokens=3, combine_init="identity")
    model = compress(source, config)
    table, size = model.embeddings, model.config.vocab_size
    words = table.LayerNorm(table.word_embeddings.weight[[size // 4, size // 2, size * 3 // 4]])
    torch.testing.assert_close(model.embeddings.combination_tokens.weight, words)
    module = model.encoder.layer[1]
    assert all(
        torch.equal(own.weight, torch.eye(len(own.weight))) for own in (module.query, module.value, module.dense)
    )
    with torch.no_grad():
        model.embeddings.combination_tokens.weight.add_(1)
    again = compress(model, with_flat(config, keep_ratio=0.5))
    torch.testing.assert_close(again.embeddings.combination_tokens.weight, words + 1)


def test_modes_and_types_are_those_of_the_source_checkpoint() -> None:
    source = build_source("bert").train().double()
    model = compress(source, PFC)
    assert model.training
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float64}
    assert isinstance(compress(source.eval(), PFC), TokensieveForSequenceClassification)
    assert not compress(source.eval(), PFC).training
