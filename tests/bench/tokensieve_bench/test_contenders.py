"""Contenders: the same function where they claim it, the same weights where they can, FLOPs by plan or trace."""

import importlib.util
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from bench.tokensieve_bench.bench_records import CONTENDERS
from flat import flat_of
from support.packages import needed
from tokensieve import ConfigError, MissingExtraError, TokensieveError
from tokensieve.kernels.linear import Linear
from tokensieve.model.plan import make_plan
from tokensieve.runtime.precision import is_native
from tokensieve_bench import measure
from tokensieve_bench.contenders.onnx import export
from tokensieve_bench.contenders.openvino import calibration
from tokensieve_bench.rounds import run_interleaved

RATIO = {"pruning": "ratio", "site": "hidden", "keep_ratio": 0.7}


def one(prepare: Any, own: dict[str, Any], **changes: Any) -> Any:
    """A contender, its setting and the work: eight-token documents in batches of two."""
    config, setting, (work,) = prepare(contenders=CONTENDERS | {"x": own}, **changes)
    return config.contenders["x"].load(setting), setting, work


def logits_of(setting: Any, work: Any) -> torch.Tensor:
    batch = work.batches("sorted")[0]
    with torch.no_grad():
        return setting.backbone.model(input_ids=batch.input_ids, attention_mask=batch.attention_mask).logits


@pytest.mark.parametrize(
    ("own", "tolerance"),
    [
        ({"kind": "transformers"}, 0.0),
        ({"kind": "transformers", "linear": "tokensieve"}, 1e-5),
        ({"kind": "transformers", "dtype": "bfloat16"}, 3e-2),
        ({"kind": "tokensieve", "preset": "dense"}, 1e-5),
        ({"kind": "tokensieve", "preset": "dense", "dtype": "bfloat16"}, 3e-2),
    ],
)
def test_dense_contenders_compute_the_same_function(prepare: Any, own: dict[str, Any], tolerance: float) -> None:
    contender, setting, work = one(prepare, own)
    found = contender.forward(work.batches("sorted")[0])
    assert found.dtype == getattr(torch, own.get("dtype", "float32"))
    assert (found.float() - logits_of(setting, work)).abs().max() <= tolerance
    cost = contender.cost(work)
    assert (cost.own, cost.basis) == (cost.dense, "exact")


def test_a_smaller_model(prepare: Any) -> None:
    """The backbone's first layer of four: fewer FLOPs than the backbone, by what the plan says of one layer."""
    contender, setting, work = one(prepare, {"kind": "tokensieve", "preset": "dense", "layers": 1})
    whole = one(prepare, {"kind": "tokensieve", "preset": "dense"})[0].cost(work)
    assert len(contender.module.encoder.layer) == 1
    assert contender.forward(work.batches("sorted")[0]).shape == (2, setting.backbone.ours.num_labels)
    cost = contender.cost(work)
    assert cost.dense == whole.own
    assert cost.own == make_plan(contender.module.config, 8).flops < whole.own
    name = "encoder.layer.0.attention.self.query.weight"
    assert torch.equal(contender.module.state_dict()[name], setting.backbone.model.state_dict()[f"bert.{name}"])


def test_documents_that_are_deferred(prepare: Any) -> None:
    """As many as the settings say, of a head that is not trained; their FLOPs count."""
    own = {"kind": "tokensieve", "settings": RATIO | {"pooling": "mean", "reread": 0.5}}
    contender, _, work = one(prepare, own)
    read: list[Any] = []
    calls = contender.calls(work)
    for stage in contender.module.stages:
        stage.embeddings.register_forward_pre_hook(lambda _, given: read.append(given[0]))
    found = [call() for call in calls]
    documents, rows = len(work.ids), [len(batch.lengths) for batch in read]
    deferred = [
        work.ids[batch.documents[row]]
        for batch, rows_of_it in zip(work.batches("sorted"), found, strict=False)
        for row in rows_of_it
    ]
    read_by_second = [
        tuple(ids[mask.bool()].tolist())
        for batch in read[documents // work.batch :]
        for ids, mask in zip(batch.input_ids, batch.mask, strict=True)
    ]
    assert read_by_second == deferred
    assert sum(rows[: -(documents // 2 // work.batch)]) == documents, "the second stage comes last"
    assert rows[documents // work.batch :] == [work.batch] * (documents // 2 // work.batch)
    once = one(prepare, own | {"settings": RATIO | {"pooling": "mean"}})[0]
    cost = contender.cost(work)
    assert cost.own == pytest.approx(once.cost(work).own + 0.5 * once.cost(work).dense, rel=0.01)
    assert cost.basis == "exact"


def test_a_cascade_from_file_to_file(prepare: Any, data: Path) -> None:
    contenders = {"x": {"kind": "tokensieve", "settings": RATIO | {"reread": 0.5}}}
    with pytest.raises(ConfigError, match=r"a cascade \(defer\) with the measure 'end_to_end'"):
        toy = {"set": "toy", "max_length": 16}
        prepare(
            data,
            contenders=contenders,
            baseline="x",
            measure="end_to_end",
            batches=...,
            lengths=...,
            bars=...,
            data=toy,
        )


@pytest.mark.parametrize("alone", [False, True])
def test_offloaded_embeddings(prepare: Any, alone: bool) -> None:
    """The same logits; the table is not in memory."""
    own = {"kind": "tokensieve", "settings": RATIO}
    whole, _, work = one(prepare, own)
    lean = one(prepare, own | {"offload_embeddings": True}, alone=alone)[0]
    batch = work.batches("sorted")[0]
    assert torch.equal(lean.forward(batch), whole.forward(batch))
    assert "embeddings.word_embeddings.weight" not in dict(lean.module.named_parameters())
    assert lean.facts["offload_embeddings"]
    assert not whole.facts["offload_embeddings"]
    assert lean.cost(work) == whole.cost(work)


def test_offloaded_embeddings_from_file_to_file(prepare: Any, data: Path, tmp_path: Path) -> None:
    contenders = {"x": {"kind": "tokensieve", "settings": RATIO, "offload_embeddings": True}}
    changes = {"measure": "end_to_end", "batches": ..., "lengths": ..., "bars": ..., "baseline": "x"}
    config, setting, _ = prepare(data, contenders=contenders, data={"set": "toy", "max_length": 16}, **changes)
    classify, facts = config.contenders["x"].load_for_files(setting)
    classify(data / "toy" / "test.jsonl", tmp_path / "out.jsonl")
    assert len((tmp_path / "out.jsonl").read_text(encoding="utf-8").splitlines()) == 6
    assert facts["offload_embeddings"]


def test_offloaded_embeddings_do_not_learn(prepare: Any) -> None:
    contenders = CONTENDERS | {"x": {"kind": "tokensieve", "settings": RATIO, "offload_embeddings": True}}
    with pytest.raises(ConfigError, match="offload_embeddings with the measure 'training'"):
        prepare(contenders=contenders, measure="training", training={"attention_dropout": 0.0})


def test_more_layers_than_there_are(prepare: Any) -> None:
    with pytest.raises(ConfigError, match="layers=5: the backbone has 4"):
        one(prepare, {"kind": "tokensieve", "preset": "dense", "layers": 5})


@pytest.mark.parametrize("way", ["export", "trace"])
def test_onnx_computes_the_same_function(prepare: Any, way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    needed("onnxruntime")
    plain = torch.onnx.export

    def by_tracing_alone(*arguments: Any, dynamo: bool, **options: Any) -> Any:
        if dynamo:
            raise RuntimeError("no graph")
        return plain(*arguments, dynamo=dynamo, **options)

    if way == "trace":
        monkeypatch.setattr(torch.onnx, "export", by_tracing_alone)
    contender, setting, work = one(prepare, {"kind": "onnx"}, lengths=[9])
    for batch in work.batches("given"):
        with torch.no_grad():
            wanted = setting.backbone.model(input_ids=batch.input_ids, attention_mask=batch.attention_mask).logits
        assert (contender.forward(batch) - wanted).abs().max() < 1e-5
    eight = one(prepare, {"kind": "onnx", "precision": "int8"})[0]
    difference = (eight.forward(work.batches("sorted")[0]) - logits_of(setting, work)).abs().max()
    assert 0 < difference < 0.1, "coarser, and not another function"
    assert sorted(file.name for file in setting.folder.glob("*.onnx")) == ["dense-float32.onnx", "dense-int8.onnx"]


@pytest.mark.parametrize(("precision", "tolerance"), [("float32", 1e-4), ("bfloat16", 3e-2), ("int8", 0.1)])
def test_openvino_computes_the_same_function(prepare: Any, precision: str, tolerance: float, data: Path) -> None:
    pytest.importorskip("openvino")
    pytest.importorskip("nncf")
    toy = {"lengths": ..., "data": {"set": "toy", "max_length": 16}}
    config, setting, (work,) = prepare(
        data, contenders=CONTENDERS | {"x": {"kind": "openvino", "precision": precision}}, **toy
    )
    contender = config.contenders["x"].load(setting)
    for batch in work.batches("sorted"):
        with torch.no_grad():
            wanted = setting.backbone.model(input_ids=batch.input_ids, attention_mask=batch.attention_mask).logits
        assert (contender.forward(batch) - wanted).abs().max() < tolerance
    cost = contender.cost(work)
    assert (cost.own, cost.basis) == (cost.dense, "exact")
    assert (contender.facts["dtype"], contender.facts["order"], contender.facts["threads"]) == (precision, "sorted", 1)
    narrow = precision != "float32" and is_native(torch.bfloat16, torch.device("cpu"))
    assert contender.facts["hint"] == ("bf16" if narrow else "f32")
    assert (setting.folder / "dense-float32.onnx").is_file()
    assert (setting.folder / "dense-int8.xml").is_file() == (precision == "int8")


@pytest.mark.parametrize("preset", ["dense", "fast"])
@pytest.mark.parametrize("texts", [True, False])
def test_ours_in_int8(preset: str, texts: bool, prepare: Any, data: Path) -> None:
    toy = {"lengths": ..., "data": {"set": "toy", "max_length": 16}} if texts else {}
    own = {"x": {"kind": "tokensieve", "preset": preset, "dtype": "int8"}}
    config, setting, (work,) = prepare(data, contenders=CONTENDERS | own, **toy)
    contender = config.contenders["x"].load(setting)
    assert contender.facts["dtype"] == "int8"
    assert contender.model.config.int8
    for call in contender.calls(work):
        call()
    if preset == "dense":
        batch = work.batches("sorted")[0]
        far = (contender.forward(batch) - logits_of(setting, work)).abs().max()
        assert 0 < far < 0.1


def test_int8_is_for_inference(prepare: Any) -> None:
    own = {"x": {"kind": "tokensieve", "preset": "dense", "dtype": "int8", "offload_embeddings": True}}
    with pytest.raises(ConfigError, match=r"dtype='int8'.*use 'throughput'"):
        prepare(contenders=CONTENDERS | own)


def test_openvino_is_calibrated_on_texts_or_else_on_random_ids(prepare: Any, data: Path) -> None:
    _, setting, (work,) = prepare(data, lengths=..., data={"set": "toy", "max_length": 16})
    found = calibration(setting)
    assert [tuple(one["input_ids"][0].tolist()) for one in found] == list(work.ids)
    assert [int(one["attention_mask"].sum()) for one in found] == list(work.lengths)
    random = calibration(prepare(lengths=[20, 9])[1])
    assert {one["input_ids"].shape for one in random} == {(1, 20)}
    assert len({one["input_ids"].tobytes() for one in random}) == len(random) <= 300


def test_a_backbone_that_cannot_be_exported(prepare: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: Any, **options: Any) -> None:
        tmp_path.joinpath("model.onnx").write_bytes(b"half")
        raise RuntimeError("no operator for it")

    monkeypatch.setattr(torch.onnx, "export", fail)
    _, setting, _ = prepare()
    with pytest.raises(ConfigError, match="no operator for it"):
        export(setting.backbone, tmp_path / "model.onnx")
    assert not (tmp_path / "model.onnx").exists()


def test_in_company_models_share_the_backbones_tensors(prepare: Any) -> None:
    own = {"kind": "tokensieve", "preset": "paper-c-7"}
    contender, setting, _ = one(prepare, own)
    shared = {tensor.data_ptr() for tensor in setting.backbone.model.parameters()}
    names = [name for name, tensor in contender.module.named_parameters() if tensor.data_ptr() in shared]
    assert "embeddings.word_embeddings.weight" in names
    assert "encoder.layer.3.output.dense.weight" in names
    fresh = [name for name, tensor in contender.module.named_parameters() if tensor.data_ptr() not in shared]
    assert "embeddings.combination_tokens.weight" in fresh
    alone = one(prepare, own, alone=True)[0]
    assert not shared & {tensor.data_ptr() for tensor in alone.module.parameters()}


def test_settings_take_the_place_of_the_presets(prepare: Any) -> None:
    settings = {"site": "hidden", "keep_ratio": 0.5, "combine_layer": 2}
    contender, _, _ = one(prepare, {"kind": "tokensieve", "preset": "paper-pfc-7", "settings": settings})
    found = contender.module.settings
    flat = flat_of(found, found.before(12) + 1)
    assert (flat.pruning, flat.site, flat.keep_ratio, flat.combine_layer) == ("fuzzy", "hidden", 0.5, 2)
    assert contender.facts["settings"]["pooling"] == "mean"


def test_the_backend_of_attention_is_as_given(prepare: Any) -> None:
    settings = {"keep_ratio": 0.5, "score_queries": "all"}
    own = {"kind": "tokensieve", "preset": "paper-pfc-7", "settings": settings}
    found = {}
    for name in ("auto", "fused", "eager"):
        contender, _, work = one(prepare, own | {"attention": name})
        found[name] = contender.forward(work.batches("sorted")[0])
        assert contender.facts["attention"] == contender.module.encoder.layer[0].attention.self.backend
        assert name in ("auto", contender.facts["attention"])
        assert flat_of(contender.module.settings).keep_ratio == 0.5
    assert (found["fused"] - found["eager"]).abs().max() < 1e-5, "with the same random weights"


@pytest.mark.parametrize(
    ("own", "hint"),
    [
        ({"preset": "paper-x"}, "paper-x"),
        ({"settings": {"prune.sight": "keys"}}, "prune.sight"),
        ({"settings": {"keep_ratio": 2}}, "keep_ratio=2"),
        ({"settings": {"combine.layer": 9}}, r"combine\.layer=9"),
    ],
)
def test_settings_that_do_not_fit_are_refused_before_weights_are_read(
    prepare: Any, own: dict[str, Any], hint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tokensieve_bench.backbone.load_source_model", lambda path: pytest.fail("weights were read"))
    with pytest.raises(ConfigError, match=hint):
        prepare(contenders=CONTENDERS | {"x": {"kind": "tokensieve", **own}})


def test_flops_are_those_of_the_plan(prepare: Any, data: Path) -> None:
    own = {"kind": "tokensieve", "settings": RATIO}
    config, setting, (work,) = prepare(
        data, contenders=CONTENDERS | {"x": own}, lengths=..., data={"set": "toy", "max_length": 30}
    )
    contender = config.contenders["x"].load(setting)
    plans = [make_plan(contender.module.config, length) for length in work.lengths]
    cost = contender.cost(work)
    assert len(set(work.lengths)) > 1
    assert cost.basis == "exact"
    assert cost.own == pytest.approx(sum(plan.flops for plan in plans) / len(plans))
    assert cost.dense == pytest.approx(sum(plan.dense_flops for plan in plans) / len(plans))


def test_flops_that_depend_on_scores_are_measured(prepare: Any) -> None:
    own = {"kind": "tokensieve", "settings": {"ratio_scope": "candidates", "site": "hidden", "keep_ratio": 0.1}}
    contender, _, work = one(prepare, own, lengths=[40])
    cost = contender.cost(work)
    assert cost.basis == "measured"
    kept = []
    for batch in work.batches("given"):
        with torch.no_grad():
            trace = contender.module(input_ids=batch.input_ids, attention_mask=batch.attention_mask).trace
        for row in range(2):
            shares = [step[row] / 40 for step in trace.kept]
            kept.append(make_plan(contender.module.config, 40, shares=shares).flops)
    assert cost.own == pytest.approx(sum(kept) / 4)
    assert cost.own < make_plan(contender.module.config, 40).flops, "the upper bound"


@pytest.mark.parametrize("own", [{"kind": "longformer", "attention_window": 8}, {"kind": "funnel"}])
def test_efficient_transformers_run_at_the_backbones_size(prepare: Any, own: dict[str, Any]) -> None:
    contender, setting, work = one(prepare, own, lengths=[64])
    assert contender.forward(work.batches("sorted")[0]).shape == (2, 2)
    assert contender.cost(work) is None
    config, size = contender.module.config, setting.backbone.ours
    assert (config.hidden_size, config.num_attention_heads) == (size.hidden_size, size.num_attention_heads)
    layers = sum(config.block_sizes) if own["kind"] == "funnel" else config.num_hidden_layers
    assert layers == size.num_hidden_layers


def test_bigbird_goes_back_to_sparse_attention_after_a_short_batch(prepare: Any) -> None:
    contender, _, long = one(prepare, {"kind": "bigbird", "block_size": 4, "num_random_blocks": 1}, lengths=[64])
    short = prepare(lengths=[8])[2][0]
    kinds = []
    for work in (long, short, long):
        assert contender.forward(work.batches("sorted")[0]).shape == (2, 2)
        kinds.append(contender.module.base_model.attention_type)
    assert kinds == ["block_sparse", "original_full", "block_sparse"]


def test_the_pipeline_takes_its_best_batch_size(prepare: Any, data: Path) -> None:
    config, setting, (work,) = prepare(
        data,
        contenders=CONTENDERS | {"x": {"kind": "pipeline", "batch_sizes": [1, 3]}},
        lengths=...,
        data={"set": "toy", "max_length": 16},
    )
    contender = config.contenders["x"].load(setting)
    tried = contender.facts["tried_seconds"]
    assert set(tried) == {1, 3}
    assert tried[contender.facts["batch_size"]] == min(tried.values())
    (call,) = contender.calls(work)
    assert [set(found) for found in call()] == [{"label", "score"}] * 4


@pytest.mark.parametrize(
    ("kind", "package", "extra"),
    [
        *(("onnx", package, "bench") for package in ("onnx", "onnxscript", "onnxruntime")),
        *(("openvino", package, "rivals") for package in ("openvino", "nncf", "onnx", "onnxscript")),
    ],
)
def test_runtimes_without_their_packages(
    prepare: Any, kind: str, package: str, extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain, rivals = importlib.util.find_spec, {"openvino", "nncf"}

    def find(name: str) -> Any:
        return None if name == package else sys if name in rivals else plain(name)

    monkeypatch.setattr(importlib.util, "find_spec", find)
    with pytest.raises(MissingExtraError, match=rf"'{kind}'.*{package}'.*pip install 'tokensieve\[{extra}\]'"):
        prepare(contenders=CONTENDERS | {"x": {"kind": kind}})


def test_parity_is_checked(prepare: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    _, setting, (work,) = prepare()
    assert 0 <= measure.check_parity(setting.backbone, work) < 1e-5
    plain = measure.compress

    def off(*arguments: Any) -> Any:
        model = plain(*arguments)
        with torch.no_grad():
            model.head.classifier.bias += 0.01
        return model

    monkeypatch.setattr(measure, "compress", off)
    with pytest.raises(TokensieveError, match=r"differ from those of transformers by 0\.01"):
        measure.check_parity(setting.backbone, work)
    with pytest.raises(TokensieveError, match="nan"):
        measure.compare(setting.backbone, work.batches("given")[0], "x", lambda: torch.tensor(torch.nan))


def test_contenders_take_turns() -> None:
    seen: list[str] = []
    works = {name: (lambda name=name: seen.append(name) or name.upper()) for name in "abcdef"}
    found = run_interleaved(works, 4, seen.append)
    said, rounds = seen[::7], [seen[start + 1 : start + 7] for start in range(0, 35, 7)]
    assert said == ["warming up", *(f"round {number} of 4" for number in range(1, 5))]
    assert all(sorted(own) == list("abcdef") for own in rounds)
    assert found == {name: [name.upper()] * 4 for name in "abcdef"}
    before_f = {own[own.index("f") - 1] if own.index("f") else "" for own in rounds}
    assert len(before_f) > 2  # none always follows the same
    seen.clear()
    run_interleaved({"a": lambda: None}, 1, seen.append, warm_up=False)
    assert seen == ["round 1 of 1"]


def test_transformers_with_our_products_leaves_the_backbone_as_it_is(prepare: Any) -> None:
    """The modules are copies of another class, and the tensors are the same."""
    contender, setting, _ = one(prepare, {"kind": "transformers", "linear": "tokensieve"})
    theirs = dict(setting.backbone.model.named_modules())
    linear = {name: module for name, module in contender.module.named_modules() if isinstance(module, torch.nn.Linear)}
    assert {type(module) for module in linear.values()} == {Linear}
    assert {type(theirs[name]) for name in linear} == {torch.nn.Linear}
    assert all(module.weight is theirs[name].weight for name, module in linear.items())
