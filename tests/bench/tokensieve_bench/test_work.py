"""Documents and batches: the same for all, in the order asked for, and refused where they cannot be."""

from pathlib import Path

import pytest
import torch
from transformers import PreTrainedTokenizerFast

from tokensieve import CheckpointError, ConfigError, DataError, TokensieveError
from tokensieve_bench.backbone import Backbone
from tokensieve_bench.work import Work, pad_batch

TOY = {"set": "toy", "max_length": 16}


def test_batches_hold_the_same_documents_in_any_order() -> None:
    ids = tuple(tuple(range(1, length + 1)) for length in (3, 9, 2, 5, 9))
    work = Work(2, None, ids, (), 16, 0)
    for order in ("given", "sorted"):
        batches = work.batches(order)
        assert [len(batch.documents) for batch in batches] == [2, 2, 1]
        for batch in batches:
            for row, mask, place in zip(batch.input_ids, batch.attention_mask, batch.documents, strict=True):
                assert tuple(row[mask.bool()].tolist()) == ids[place]
            assert batch.input_ids.shape[1] == max(len(ids[place]) for place in batch.documents), (
                "padded to the longest"
            )
        assert sorted(place for batch in batches for place in batch.documents) == [0, 1, 2, 3, 4]
    assert [batch.documents for batch in work.batches("given")] == [(0, 1), (2, 3), (4,)]
    assert [batch.documents for batch in work.batches("sorted")] == [(1, 4), (3, 0), (2,)]


def test_padding_is_on_the_right() -> None:
    batch = pad_batch([[5, 6], [7]], [3, 1], 9)
    assert batch.input_ids.tolist() == [[5, 6], [7, 9]]
    assert batch.attention_mask.tolist() == [[1, 1], [1, 0]]


def test_fixed_lengths_are_random_ids_of_the_seed(prepare, tiny_tokenizer: PreTrainedTokenizerFast) -> None:
    _, _, works = prepare(lengths=[8, 20], batches=[1, 2])
    assert [(work.length, work.batch) for work in works] == [(8, 1), (8, 2), (20, 1), (20, 2)]
    assert works[0].ids == works[1].ids, "every batch size has the same documents"
    special = {tiny_tokenizer.cls_token_id, tiny_tokenizer.sep_token_id, tiny_tokenizer.pad_token_id}
    for row in works[2].ids:
        assert (len(row), row[0], row[-1]) == (20, tiny_tokenizer.cls_token_id, tiny_tokenizer.sep_token_id)
        assert not special & set(row[1:-1])
    assert prepare(lengths=[8])[2][0].ids == works[0].ids
    assert prepare(lengths=[8], seed=1)[2][0].ids != works[0].ids


def test_a_data_set_gives_its_first_documents(prepare, data: Path) -> None:
    _, _, (work,) = prepare(data, lengths=..., data=TOY)
    assert work.lengths == (5, 16, 3, 9), "with special tokens, cut to 16"
    assert work.length is None
    assert work.texts[2] == "film"


def test_documents_that_are_not_there(prepare, data: Path) -> None:
    with pytest.raises(DataError, match="6 documents, the config wants 7"):
        prepare(data, lengths=..., data=TOY, documents=7)
    with pytest.raises(ConfigError, match="--data"):
        prepare(lengths=..., data=TOY)
    with pytest.raises(TokensieveError, match="absent"):
        prepare(data, lengths=..., data=TOY | {"set": "absent"})


@pytest.mark.parametrize("changes", [{"lengths": [65]}, {"lengths": ..., "data": TOY | {"max_length": 65}}])
def test_lengths_that_the_backbone_has_no_positions_for(prepare, data: Path, changes: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match="64"):
        prepare(data, **changes)


def test_backbones_of_a_name(tiny_bert_dir: Path) -> None:
    tiny = Backbone("tiny", seed=0, num_labels=3)
    assert (tiny.ours.num_hidden_layers, tiny.ours.hidden_size, tiny.ours.num_labels) == (2, 32, 3)
    first = tiny.model.state_dict()
    again = Backbone("tiny", seed=0, num_labels=3).model.state_dict()
    assert all(torch.equal(first[name], again[name]) for name in first)
    other = Backbone("tiny", seed=1, num_labels=3).model.state_dict()
    assert not torch.equal(first["classifier.weight"], other["classifier.weight"])
    for family in ("mpnet", "modernbert"):
        other = Backbone(f"{family}-tiny", seed=0, num_labels=3)
        assert other.model.config.model_type == other.ours.family == family
        assert other.attention == ("eager" if family == "mpnet" else "sdpa")
    base = Backbone("bert-base", seed=0, num_labels=2).config
    assert (base.num_hidden_layers, base.hidden_size, base.intermediate_size) == (12, 768, 3072)


def test_a_checkpoint_keeps_its_weights(tiny_bert_dir: Path) -> None:
    from transformers import BertForSequenceClassification

    saved = BertForSequenceClassification.from_pretrained(tiny_bert_dir).state_dict()
    same = Backbone(str(tiny_bert_dir), seed=0, num_labels=2)
    assert all(torch.equal(saved[name], tensor) for name, tensor in same.model.state_dict().items())
    assert not same.model.training
    assert same.model.config._attn_implementation == "sdpa"
    wider = Backbone(str(tiny_bert_dir), seed=0, num_labels=5).model.state_dict()
    assert wider["classifier.weight"].shape[0] == 5
    assert torch.equal(wider["bert.pooler.dense.weight"], saved["bert.pooler.dense.weight"])


def test_the_default_model_gets_a_head(default_model_dir: Path) -> None:
    from transformers import BertModel

    backbone = Backbone("default", seed=0, num_labels=4)
    body = BertModel.from_pretrained(default_model_dir).state_dict()
    found = backbone.model.state_dict()
    assert torch.equal(found["bert.encoder.layer.5.output.dense.weight"], body["encoder.layer.5.output.dense.weight"])
    assert found["classifier.weight"].shape == (4, 384)


def test_dropout_is_set_by_name(tiny_bert_dir: Path) -> None:
    backbone = Backbone(str(tiny_bert_dir), seed=0, num_labels=2, dropout=0.3, attention_dropout=0.2)
    assert (backbone.ours.hidden_dropout_prob, backbone.ours.attention_probs_dropout_prob) == (0.3, 0.2)
    assert backbone.model.bert.encoder.layer[0].attention.output.dropout.p == 0.3
    assert Backbone(str(tiny_bert_dir), seed=0, num_labels=2).ours.attention_probs_dropout_prob == 0.1


def test_backbones_that_are_refused(tmp_path: Path, save_classifier) -> None:
    with pytest.raises(CheckpointError, match="absent"):
        Backbone(str(tmp_path / "absent"), seed=0, num_labels=2)
    with pytest.raises(ConfigError, match="tokensieve classifier"):
        Backbone(str(save_classifier(tmp_path / "ours")), seed=0, num_labels=2)
