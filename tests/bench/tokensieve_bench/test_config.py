"""Configs: what is read, and every way in which one is refused, by one clear error before anything runs."""

import json
from pathlib import Path
from typing import Any

import pytest

from bench.tokensieve_bench.bench_records import CONTENDERS, config
from flat import reduction
from tokensieve import ConfigError, ReductionConfig
from tokensieve_bench.backbone import shape_config
from tokensieve_bench.config import BenchConfig
from tokensieve_bench.contenders import CONTENDER_CONFIGS
from tokensieve_bench.contenders.ours import Tokensieve, with_settings
from tokensieve_bench.reading import parse_config, read_config

ROOT = Path(__file__).resolve().parents[3]
COMMITTED = sorted((ROOT / "benchmarks" / "configs" / "bench").glob("*.json"))
TRAINING = {"measure": "training", "training": {"attention_dropout": 0.0}}
OFFLOADED = "words_on_disk", "offload_embeddings"
DATA = {"set": "bbc", "max_length": 64}


def contenders(**own: Any) -> dict[str, Any]:
    return {"contenders": CONTENDERS | {"x": own}}


def bars(**own: Any) -> dict[str, Any]:
    return {"bars": [{"contender": "ours", "metric": "speedup", "at_least": 2} | own]}


REFUSED: dict[str, tuple[dict[str, Any], tuple[str, ...]]] = {
    "unknown key": ({"batch": 1}, ("'batch'", "batches")),
    "missing": ({"baseline": ...}, ("'baseline' is missing",)),
    "backbone": ({"backbone": 7}, ("backbone=7",)),
    "measure": ({"measure": "speed"}, ("measure='speed'", "'throughput'")),
    "no contender": ({"contenders": {}}, ("contenders", "at least one")),
    "contenders in a list": ({"contenders": ["sdpa"]}, ("contenders", "an object")),
    "contender is no object": ({"contenders": CONTENDERS | {"x": "onnx"}}, ("'x'", "'onnx'", "an object")),
    "kind": (contenders(kind="vllm"), ("'x'", "kind='vllm'", "'tokensieve'")),
    "no kind": (contenders(preset="dense"), ("'x'", "kind=None")),
    "option": (contenders(kind="onnx", dtype="float32"), ("'x'", "'dtype'", "precision, order")),
    "order": (contenders(kind="transformers", order="random"), ("'x'", "order='random'", "'given'")),
    "dtype": (contenders(kind="transformers", dtype="int8"), ("'x'", "dtype='int8'", "bfloat16")),
    "dtype is no text": (contenders(kind="transformers", dtype=8), ("dtype=8",)),
    "precision": (contenders(kind="onnx", precision="int4"), ("precision='int4'", "'int8'")),
    "rival's precision": (contenders(kind="openvino", precision="int4"), ("precision='int4'", "'bfloat16'", "'int8'")),
    "rival's option": (contenders(kind="openvino", streams=2), ("'x'", "'streams'", "precision, order")),
    "rival cannot train": (TRAINING | contenders(kind="openvino"), ("'x'", "training", "'tokensieve'")),
    "settings": (contenders(kind="tokensieve", settings=["dense"]), ("settings=", "an object")),
    "attention": (contenders(kind="tokensieve", attention="flash"), ("attention_backend='flash'", "fused")),
    "attention is no text": (contenders(kind="tokensieve", attention=1), ("attention=1",)),
    "budget": (contenders(kind="tokensieve", batch_tokens=0), ("batch_tokens=0", "'auto'")),
    "words": (contenders(kind="tokensieve", offload_embeddings="yes"), ("offload_embeddings='yes'", "True or False")),
    "batch sizes": (contenders(kind="pipeline", batch_sizes=[0]), ("batch_sizes=(0,)", "1 or more")),
    "window": (contenders(kind="longformer", attention_window=3), ("attention_window=3", "even")),
    "blocks": (contenders(kind="bigbird", block_size=0), ("block_size=0",)),
    "baseline of a list": ({"baseline": ["sdpa"]}, ("baseline=", "a text")),
    "baseline": ({"baseline": "dense"}, ("baseline='dense'", "'sdpa'")),
    "batches": ({"batches": [0]}, ("batches=[0]", "1 or more")),
    "batches twice": ({"batches": [2, 2]}, ("batches=[2, 2]", "different")),
    "one batch": ({"batches": 2}, ("batches=2", "a list")),
    "no batches": ({"batches": []}, ("batches=[]",)),
    "lengths": ({"lengths": [2]}, ("lengths=[2]", "3 or more")),
    "lengths in words": ({"lengths": ["long"]}, ("lengths=['long']",)),
    "neither": ({"lengths": ...}, ("lengths", "data")),
    "both": ({"data": DATA}, ("lengths", "data")),
    "few documents": ({"documents": 1}, ("documents=1", "batch of 2")),
    "documents": ({"documents": "all"}, ("documents='all'",)),
    "rounds": ({"rounds": 0}, ("rounds=0", "1 or more")),
    "seed": ({"seed": -1}, ("seed=-1",)),
    "labels": ({"num_labels": 1}, ("num_labels=1", "2 or more")),
    "data": ({"lengths": ..., "data": {"set": "bbc"}}, ("data", "'max_length' is missing")),
    "data key": ({"lengths": ..., "data": DATA | {"name": 1}}, ("data", "'name'", "split")),
    "data is no object": ({"lengths": ..., "data": "bbc"}, ("data", "'bbc'", "an object")),
    "max_length": ({"lengths": ..., "data": DATA | {"max_length": 2}}, ("data", "max_length=2")),
    "latency": ({"measure": "latency"}, ("batches=[2]", "'latency'")),
    "end to end, batches": ({"measure": "end_to_end", "lengths": ..., "data": DATA}, ("batches=[2]", "'end_to_end'")),
    "end to end, no data": ({"measure": "end_to_end", "batches": ...}, ("end_to_end", "data")),
    "training without": ({"measure": "training"}, ("training", "neither")),
    "training besides": ({"training": {"attention_dropout": 0.0}}, ("training", "neither")),
    "training key": (TRAINING | {"training": {"dropout": 0.1}}, ("training", "'attention_dropout' is missing")),
    "dropout": (TRAINING | {"training": {"attention_dropout": 1}}, ("attention_dropout=1", "[0, 1)")),
    "steps": (TRAINING | {"training": {"attention_dropout": 0, "steps": 0}}, ("training", "steps=0")),
    "kind cannot train": (TRAINING | contenders(kind="onnx"), ("'x'", "training", "'tokensieve'")),
    "kind reads texts": (contenders(kind="pipeline"), ("'x'", "texts", "data")),
    "bars": ({"bars": {}}, ("bars", "a list")),
    "metric": (bars(metric="speed"), ("bar 1", "metric='speed'", "'efficiency'")),
    "no limit": (bars(at_least=None), ("bar 1", "at_least", "at_most")),
    "two limits": (bars(at_most=3), ("bar 1", "at_least", "at_most")),
    "limit": (bars(at_least=0), ("bar 1", "at_least=0")),
    "bar's contender": (bars(contender="dense"), ("'dense'", "unsorted")),
    "bar's rival": (bars(against="dense"), ("'dense'", "unsorted")),
    "bar's batch": (bars(batch=8), ("8", "[2]")),
    "bar's batch in words": (bars(batch="all"), ("bar 1", "batch='all'", "'best'")),
    "bar's best batch": ({"measure": "latency", "batches": ..., **bars(batch="best")}, ("'best'", "'throughput'")),
    "bar's length": (bars(length=512), ("512", "[8]")),
}


def test_a_config_that_is_right() -> None:
    found = parse_config(config(**bars()), "here")
    assert isinstance(found, BenchConfig)
    assert (found.lengths, found.batches, found.rounds) == ((8,), (2,), 3)
    assert found.bars[0].at_least == 2
    assert isinstance(found.contenders["ours"], Tokensieve)


def test_a_config_of_0_1_0(tmp_path: Path) -> None:
    """Read as one of today, whose keys the records have; those of 0.1.0 have their configs in them."""
    contender = {"kind": "tokensieve", "preset": "dense"}
    today = config(**contenders(**contender, offload_embeddings=True), **bars(metric="efficiency"))
    old = config(**contenders(**contender, words_on_disk=True))
    old["subjects"] = old.pop("contenders")
    old["bars"] = [{"subject": "ours", "metric": "realisation", "at_least": 2}]
    (tmp_path / "old.json").write_text(json.dumps(old), encoding="utf-8")
    assert read_config(tmp_path / "old.json") == (parse_config(today, "here"), today)


@pytest.mark.parametrize("old", [{"subjects": {}}, contenders(kind="tokensieve", **dict.fromkeys(OFFLOADED, True))])
def test_a_key_under_both_its_names(old: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="are the same key"):
        parse_config(config(**old), "here")


@pytest.mark.parametrize(("changes", "hints"), REFUSED.values(), ids=REFUSED)
def test_refused(changes: dict[str, Any], hints: tuple[str, ...]) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_config(config(**changes), "mine.json")
    assert str(caught.value).startswith("mine.json: ")
    assert [hint for hint in hints if hint not in str(caught.value)] == [], str(caught.value)


@pytest.mark.parametrize(
    ("text", "hint"),
    [("{", "not JSON"), ("[]", "give an object"), ('{"seed": 1, "seed": 2}', "'seed' is there twice"), (None, "read")],
)
def test_files_that_are_no_config(tmp_path: Path, text: str | None, hint: str) -> None:
    path = tmp_path / "mine.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(ConfigError, match=hint) as caught:
        read_config(path)
    assert str(path) in str(caught.value)


def test_only_keeps_the_baseline_and_the_bars_that_can_be_told() -> None:
    given = config(bars=[*bars()["bars"], *bars(against="unsorted")["bars"]])
    less = parse_config(given, "here").only(("ours",))
    assert list(less.contenders) == ["sdpa", "ours"]
    assert [bar.against for bar in less.bars] == [None]
    with pytest.raises(ConfigError, match="'dense'"):
        less.only(("dense",))


@pytest.mark.parametrize("path", COMMITTED, ids=lambda path: path.stem)
def test_committed_configs_fit_their_backbones(path: Path) -> None:
    found, record = read_config(path)
    depth = 6 if found.backbone == "default" else shape_config(found.backbone).num_hidden_layers
    for contender in found.contenders.values():
        if isinstance(contender, Tokensieve):
            start = reduction() if contender.preset is None else ReductionConfig.preset(contender.preset)
            with_settings(start, contender.settings, depth).check_depth(depth)
    assert json.loads(json.dumps(record)) == record


def test_committed_configs_name_every_kind_and_measure() -> None:
    found = [read_config(path)[0] for path in COMMITTED]
    assert {config.measure for config in found} == {"throughput", "latency", "training", "memory", "end_to_end"}
    assert {type(own) for config in found for own in config.contenders.values()} == set(CONTENDER_CONFIGS.values())
