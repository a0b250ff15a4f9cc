"""Any field of a config.json with any value: the folder is read and its model answers, or one error names the field."""

import inspect
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from transformers import AutoModel, AutoModelForSequenceClassification, PreTrainedConfig, PreTrainedTokenizerFast
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

import tokensieve
from contract.variants import settings, tiny_cascade, tiny_model
from flat import reduction
from mutations import OF_TRANSFORMERS, WRONG, json_values
from tokensieve import (
    CascadeConfig,
    CheckpointError,
    ConfigError,
    ReductionConfig,
    TokensieveConfig,
    TokensieveError,
    compress,
)
from tokensieve.backbones import BACKBONES
from tokensieve.backbones.record import check_record
from tokensieve.methods import METHODS
from tokensieve.model.config_fields import BASE_FIELDS, FIELDS
from tokensieve.reduce.score.learned import Importance

TEXTS = ["good film", "the law of the court is not a share price . " * 4, "market"]
LABELS = {0: "film", 1: "law", 2: "sport"}
NOT_OF_ONE_MODEL = ("model.safetensors", "the tokenizer has")
"""What errors say where sizes are well formed, and are not those of the weights or the tokenizer beside them."""
SAVED: dict[str, tuple[ReductionConfig, dict[str, Any]]] = {
    **{name: (ReductionConfig.preset(name), {}) for name in METHODS},
    "combining": (settings(combine_layer=3), {"text_pairs": True}),
    "multi-label": (
        ReductionConfig.preset("fast"),
        {
            "problem_type": "multi_label_classification",
            "thresholds": [0.5, 0.2, 0.9],
        },
    ),
    "of RoBERTa": (settings(), {"family": "roberta", "position_offset": 1, "positions_skip_padding": True}),
    "of ELECTRA": (settings(site="hidden", merge_pruned=True), {"family": "electra", "embedding_size": 16}),
}
any_field = hypothesis_settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])


@pytest.fixture(scope="module")
def saved(tiny_tokenizer: PreTrainedTokenizerFast, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """`saved(name)` is the folder of a classifier of `SAVED`."""
    root, size = tmp_path_factory.mktemp("saved"), len(tiny_tokenizer)

    def save(name: str) -> Path:
        folder = root / name
        if not folder.exists():
            variant, fields = SAVED[name]
            model: Any = (tiny_cascade if variant.deferred else tiny_model)(
                variant, vocab_size=size, id2label=LABELS, **fields
            )
            if variant.deferred:
                model.config.defer_below = 0.7
            for module in model.modules():
                if isinstance(module, Importance):
                    torch.nn.init.normal_(module.weight)
            model.save_pretrained(folder)
            tiny_tokenizer.save_pretrained(folder)
        return folder

    return save


HEADLESS = ("xlm-roberta", "electra")


@pytest.fixture(scope="module")
def sources(tiny_tokenizer: PreTrainedTokenizerFast, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Folders of random checkpoints by their model_type; the tokenizer is the test's own."""
    root, size = tmp_path_factory.mktemp("sources"), len(tiny_tokenizer)
    shared = {"vocab_size": size, "hidden_size": 32, "num_hidden_layers": 4, "num_attention_heads": 4}
    shared |= {"intermediate_size": 64, "max_position_embeddings": 66}
    for kind, family in BACKBONES.items():
        sizes: dict[str, Any] = {theirs: shared[ours] for ours, theirs in family.fields.items() if ours in shared}
        padding = CONFIG_MAPPING[kind]().pad_token_id
        config = CONFIG_MAPPING[kind](**sizes, pad_token_id=padding if padding < size else 0, id2label=LABELS)
        loader: Any = AutoModel if kind in HEADLESS else AutoModelForSequenceClassification
        loader.from_config(config).save_pretrained(root / kind)
    return {kind: root / kind for kind in BACKBONES}


def mutated(folder: Path, copy: Path, path: tuple[str, ...], value: object) -> dict[str, Any]:
    """Copy a folder with another value in one place of its config.json; the record."""
    record: dict[str, Any] = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    place = record
    for name in path[:-1]:
        place = place[name]
    place[path[-1]] = value
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(folder, copy)
    (copy / "config.json").write_text(json.dumps(record), encoding="utf-8")
    return record


def places(record: dict[str, Any], path: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    """Paths of all values of a nested record, and of the records in it."""
    for name, value in record.items():
        yield (*path, name)
        if isinstance(value, dict):
            yield from places(value, (*path, name))


def named(error: TokensieveError, name: str) -> bool:
    return name in str(error) or any(words in str(error) for words in NOT_OF_ONE_MODEL)


@pytest.mark.parametrize("name", SAVED)
@any_field
@given(data=st.data())
def test_a_classifier_answers_or_one_error_names_the_field(
    saved: Callable[[str], Path], tmp_path: Path, name: str, data: st.DataObject
) -> None:
    folder, copy = saved(name), tmp_path / "copy"
    record = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    fields = [(own,) for own in (*record, *OF_TRANSFORMERS) if own != "model_type"]
    path = data.draw(st.sampled_from([*fields, *places(record["reduction"], ("reduction",))]))
    mutated(folder, copy, path, data.draw(json_values))
    try:
        classifier = tokensieve.load(copy)
        texts = [(text, text) for text in TEXTS] if classifier.model.config.text_pairs else TEXTS
        assert np.isfinite(classifier.predict_proba(texts)).all()
        assert len(classifier.predict(texts)) == len(TEXTS)
    except TokensieveError as error:
        assert any(named(error, part) for part in path[-2:]), f"{path}: {error}"


@pytest.mark.parametrize("kind", BACKBONES)
@any_field
@given(data=st.data())
def test_a_source_is_compressed_or_one_error_names_the_field(
    sources: dict[str, Path], tiny_tokenizer: PreTrainedTokenizerFast, tmp_path: Path, kind: str, data: st.DataObject
) -> None:
    folder, copy = sources[kind], tmp_path / "copy"
    record = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    name = data.draw(st.sampled_from([*record, *OF_TRANSFORMERS, "position_embedding_type"]))
    try:
        check_record(mutated(folder, copy, (name,), data.draw(json_values)))
        model = compress(copy, ReductionConfig.preset("paper-pfc-7"), tokenizer=tiny_tokenizer).eval()
        inputs = tiny_tokenizer(TEXTS, padding=True, return_token_type_ids=False, return_tensors="pt")
        with torch.no_grad():
            assert model(**inputs).logits.isfinite().all()
    except TokensieveError as error:
        assert named(error, name) or (name == "is_decoder" and "decoder" in str(error)), f"{name}: {error}"


@pytest.mark.parametrize("kind", [TokensieveConfig, CascadeConfig])
def test_every_field_of_a_config_takes_or_refuses_every_wrong_value(kind: type[TokensieveConfig]) -> None:
    """Thousands of configs, none of which is built into a model."""
    variant, fields = SAVED["multi-label"]
    fields = {**fields, "vocab_size": 30, "hidden_size": 32, "num_attention_heads": 4}
    if kind is CascadeConfig:
        fields |= {"defer_below": 0.7, "own_norms": True}
    else:
        variant = variant.stages(4)[0]
    config = kind(reduction=variant, num_hidden_layers=4, id2label=LABELS, **fields)
    record = config.to_dict()
    taken = 0
    for name in (*record, *OF_TRANSFORMERS):
        for value in WRONG:
            try:
                built = kind.from_dict({**record, name: value})
            except ConfigError as error:
                assert name in str(error), f"{name}={value!r}: {error}"
            else:
                taken += 1
                assert built.longest_document >= built.truncation_length() > 0
    assert taken > len(WRONG)


def test_every_field_has_a_check() -> None:
    parameters = set(inspect.signature(TokensieveConfig.__init__).parameters) - {"self", "kwargs"}
    own = set(TokensieveConfig().to_dict()) - set(PreTrainedConfig().to_dict()) - set(BASE_FIELDS)
    elsewhere = {"reduction", "thresholds", "calibration_temperature"}
    assert parameters < own == set(FIELDS) | elsewhere
    for family in BACKBONES.values():
        assert {*family.fields, *family.fixed} <= {*FIELDS, *BASE_FIELDS}


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("position_offset", "x", "position_offset='x': give a whole number of 0 or more"),
        ("layer_norm_eps", None, "layer_norm_eps=None: give a number"),
        ("num_attention_heads", 0.5, r"num_attention_heads=0\.5: give a whole number of 1 or more"),
        ("num_attention_heads", True, "num_attention_heads=True"),
        ("hidden_dropout_prob", float("nan"), "hidden_dropout_prob=nan: give a number"),
        ("text_pairs", 3, "text_pairs=3: give True or False, or None"),
        ("special_token_ids", 1e308, r"special_token_ids=1e\+308: give a list of ids"),
        ("special_token_ids", [1, 5000], r"special_token_ids=\[1, 5000\] with vocab_size="),
        ("calibration_temperature", 1e30, r"calibration_temperature=1e\+30: give a number from 0.001 to 1000"),
        ("pad_token_id", 10**9, "pad_token_id=1000000000 with vocab_size="),
        ("position_offset", 62, "max_position_embeddings=64, position_offset=62: fewer than 3 positions"),
        ("hidden_act", "prelu", "hidden_act='prelu': choose one of"),
        ("id2label", {"0": "a", "1": "a", "2": "b"}, "id2label=.*a name that no other label has"),
        ("id2label", {"1": "a", "2": "b", "3": "c"}, "id2label=.*counted from 0"),
        ("dtype", "int8", "dtype='int8': give the name of a floating point type"),
        ("transformers_weights", "pytorch_model.bin", "transformers_weights='pytorch_model.bin': .*safetensors"),
        ("attn_implementation", "someone/kernel", "attn_implementation='someone/kernel': choose one of"),
        ("to_dict", 1, "to_dict is a name that TokensieveConfig uses itself: leave this field out"),
        ("vocab_size", 10**12, "vocab_size=1000000000000: give a whole number"),
    ],
)
def test_messages(saved: Callable[[str], Path], tmp_path: Path, field: str, value: object, message: str) -> None:
    mutated(saved("combining"), tmp_path / "copy", (field,), value)
    with pytest.raises(CheckpointError, match=f"copy: .*{message}"):
        tokensieve.load(tmp_path / "copy")


@pytest.mark.parametrize(
    ("kind", "field", "value", "message"),
    [
        ("distilbert", "n_heads", 5, "dim=32 cannot be divided among n_heads=5"),
        ("distilbert", "dropout", 1.5, r"dropout=1\.5: give a number"),
        ("distilbert", "hidden_size", "x", "hidden_size='x': give a whole number"),
        ("roberta", "pad_token_id", None, "pad_token_id=None"),
        ("roberta", "pad_token_id", 262_144, "pad_token_id=262144 with max_position_embeddings="),
        ("camembert", "pad_token_id", 63, "pad_token_id=63 with max_position_embeddings=66"),
        ("bert", "dtype", "x", "dtype='x': give the name"),
        ("bert", "id2label", [1], r"id2label=\[1\]: give each label's id"),
        ("bert", "position_embedding_type", "relative_key", "position_embedding_type='relative_key'"),
        ("bert", "model_type", "zzz", "model_type='zzz': .*give one of tokensieve, bert, "),
        ("bert", "model_type", 3, "model_type=3: give a text"),
        ("bert", "configuration_files", ["other.json"], "configuration_files="),
    ],
)
def test_messages_about_sources_have_their_names(
    sources: dict[str, Path], tmp_path: Path, kind: str, field: str, value: object, message: str
) -> None:
    record = mutated(sources[kind], tmp_path / "copy", (field,), value)
    with pytest.raises(TokensieveError, match=message):
        check_record(record)
        compress(tmp_path / "copy", reduction())


def test_what_calibration_and_training_write_passes() -> None:
    for temperature in (0.01, 100.0):
        TokensieveConfig(calibration_temperature=temperature)
    TokensieveConfig(classifier_dropout=0, hidden_dropout_prob=0, attention_probs_dropout_prob=0.0, tokenize_length=3)
    TokensieveConfig(pad_token_id=None, special_token_ids=[], text_pairs=None, id2label={0: 0, 1: 1})
