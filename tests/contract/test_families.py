"""Every family of backbones with three methods; with `--all`, with every variant of the settings."""

from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode
from transformers import AutoModelForSequenceClassification

from contract.families import FAMILIES
from contract.test_oracle import agrees_with_the_oracle
from contract.variants import (
    CASCADES,
    DEPTH,
    LABELS,
    UNEQUAL,
    batch,
    documents,
    each_variant,
    settings,
    tiny_cascade,
    tiny_model,
)
from support.alike import correlation
from support.packages import needed
from tokensieve import ConfigError, ReductionConfig
from tokensieve.backbones import BACKBONES
from tokensieve.kernels import linear
from tokensieve.methods import METHODS as ROWS
from tokensieve.model.batch import check_batch
from tokensieve.model.int8 import in_int8, int8_names
from tokensieve.model.steps import encoder_steps
from tokensieve.quantize.ranges import ranges_of
from tokensieve.training.lora import adapted, lora_config, merged

LEARNED = settings(site="hidden", score="learned", keep_ratios=(0.5, 0.8, 1.0, 0.4), pooling="mean", leaving_keys=True)
METHODS: dict[str, ReductionConfig] = {
    "keys": settings(pruning="ratio", pooling="host"),
    "hidden, then combined": settings(pruning="ratio", site="hidden", combine_layer=4),
    "learned": LEARNED,
    "tome": ROWS["tome"].settings,
    "local-merge": ROWS["local-merge"].settings,
}
DENSE = settings(pruning="none", pooling="host")
TARGETS = torch.arange(len(UNEQUAL)) % LABELS

each_family = pytest.mark.parametrize("sizes", FAMILIES.values(), ids=FAMILIES)
each_method = pytest.mark.parametrize("reduction", METHODS.values(), ids=METHODS)


@each_family
@each_method
def test_packed_rows_are_the_method(sizes: dict[str, Any], reduction: ReductionConfig) -> None:
    agrees_with_the_oracle(reduction, atol=1e-4, rtol=1e-4, **sizes)


@pytest.mark.product
@each_family
@each_variant
def test_packed_rows_are_the_method_in_every_variant(sizes: dict[str, Any], reduction: ReductionConfig) -> None:
    agrees_with_the_oracle(reduction, atol=1e-4, rtol=1e-4, **sizes)


@each_family
@each_method
@torch.no_grad()
def test_a_document_alone_answers_as_in_any_batch(sizes: dict[str, Any], reduction: ReductionConfig) -> None:
    model, texts = tiny_model(reduction, **sizes), documents((33, 1, 33, 20, 2))
    alone = torch.cat([model(**batch([text])).logits for text in texts])
    for side in ("left", "right"):
        logits = model(**batch(texts, side, width=45)).logits
        torch.testing.assert_close(logits, alone, atol=1e-5, rtol=1e-5)


@each_family
@torch.no_grad()
def test_nothing_reduced_is_the_plain_model(sizes: dict[str, Any]) -> None:
    plain, kept = (
        tiny_model(DENSE, **sizes),
        tiny_model(settings(pruning="ratio", keep_ratio=1.0, pooling="host"), **sizes),
    )
    inputs = batch(documents(UNEQUAL))
    assert torch.equal(kept(**inputs).logits, plain(**inputs).logits)


@each_family
@each_method
def test_tokens_are_really_gone(sizes: dict[str, Any], reduction: ReductionConfig) -> None:
    """The rows that each layer's widest product gets, and the protected tokens among the last ones."""
    model = tiny_model(reduction, **sizes)
    rows: list[int] = []
    for module in model.modules():
        if hasattr(module, "intermediate"):
            module.intermediate.register_forward_pre_hook(lambda _, given: rows.append(len(given[0])))
    with torch.no_grad():
        trace = model(**batch(documents((40, 30)))).trace
    plan = [sum(model.plan(length).steps[step].rows_out for length in (40, 30)) for step in range(DEPTH)]
    kinds = [step.kind for step in model.encoder.steps]
    assert rows == [count for count, kind in zip(plan, kinds, strict=True) if kind == "layer"]
    assert rows[-1] < 70 or reduction is METHODS["keys"]
    assert trace.kept[-1] == tuple(int(model.plan(length).steps[-1].kept) for length in (40, 30))


@each_family
@each_method
def test_every_parameter_learns(sizes: dict[str, Any], reduction: ReductionConfig) -> None:
    model = tiny_model(reduction, **sizes).train()
    model.gradient_checkpointing_enable()
    model(**batch(documents(UNEQUAL)), labels=TARGETS).loss.backward()
    still = [name for name, parameter in model.named_parameters() if parameter.grad is None]
    assert still == []


@each_family
@each_method
def test_saved_and_loaded(sizes: dict[str, Any], reduction: ReductionConfig, tmp_path: Path) -> None:
    model, inputs = tiny_model(reduction, **sizes), batch(documents(UNEQUAL))
    model.save_pretrained(tmp_path)
    again = AutoModelForSequenceClassification.from_pretrained(tmp_path)
    assert torch.equal(again(**inputs).logits, model(**inputs).logits)


@each_family
@torch.no_grad()
def test_a_cascade(sizes: dict[str, Any], tmp_path: Path) -> None:
    """The second stage answers as it does alone, and both share the backbone when they are loaded."""
    cascade = tiny_cascade(next(own for own in CASCADES.values() if own.prune and own.prune.site.ahead), **sizes)
    cascade.config.defer_below = 1.0
    inputs = batch(documents((40, 17, 30)))
    logits = cascade(**inputs).logits
    assert torch.equal(logits, cascade.second(**inputs).logits)
    assert (logits - cascade.first(**inputs).logits).abs().max() > 1e-3
    cascade.save_pretrained(tmp_path)
    again = AutoModelForSequenceClassification.from_pretrained(tmp_path)
    assert torch.equal(again(**inputs).logits, logits)
    shared = {id(parameter) for parameter in again.first.parameters()}
    assert sum(id(parameter) in shared for parameter in again.second.parameters()) > len(shared) / 3


@each_family
@each_method
def test_adapters(sizes: dict[str, Any], reduction: ReductionConfig) -> None:
    needed("peft")
    model = tiny_model(reduction, **sizes).double()
    wrapped = adapted(model, lora_config(model, 2))
    optimizer = torch.optim.SGD([own for own in wrapped.parameters() if own.requires_grad], lr=0.02)
    inputs = batch(documents(UNEQUAL))
    before = wrapped.eval()(**inputs).logits.detach()
    for _ in range(2):
        optimizer.zero_grad()
        wrapped.train()(**inputs, labels=TARGETS).loss.backward()
        optimizer.step()
    with torch.no_grad():
        expected = wrapped.eval()(**inputs).logits
        assert (expected - before).abs().max() > 1e-4
        torch.testing.assert_close(merged(wrapped)(**inputs).logits, expected, atol=1e-8, rtol=1e-8)


@each_family
@torch.no_grad()
def test_int8(sizes: dict[str, Any]) -> None:
    """All linear maps but the last are int8, and the answers stay near; weights here are larger than real ones."""
    model, inputs = tiny_model(LEARNED, **sizes, initializer_range=0.1), batch(documents((40, 30, 25, 9)))
    names = int8_names(model)
    quantized = in_int8(model, names, ranges_of(model, names, lambda stage: stage(**inputs)))
    ours, theirs = quantized(**inputs).logits, model(**inputs).logits
    assert not torch.equal(ours, theirs)
    assert (ours - theirs).abs().max() < 0.15, "of logits up to 1; 0.06 at most was measured"
    assert correlation(ours, theirs) > 0.98, "0.996 at least was measured"


@each_family
@pytest.mark.parametrize("name", ["keys", "learned", "tome"])
def test_flops_are_torchs_count(sizes: dict[str, Any], name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(linear, "onednn_pays", lambda: False)
    model, inputs = tiny_model(METHODS[name], **sizes), batch(documents((40,)))
    if model.config.block.window:
        pytest.skip("blocks of queries are filled up: tests/unit/kernels/test_window.py counts them")
    with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        model(**inputs)
    assert counter.get_total_flops() == pytest.approx(model.plan(40).flops, rel=0.02)


def test_received_attention_chooses_in_global_layers_and_holds() -> None:
    """Shares of local layers are kept in the global layer ahead of them; at site "keys" the last layer's by none."""
    local = (1, 2, 4, 5)
    steps = encoder_steps(settings(pruning="ratio", site="hidden", keep_ratio=0.5), 6, local)
    assert [step.share for step in steps] == [Fraction(1, 8), 1, 1, Fraction(1, 8), 1, 1]
    assert [step.prune is None for step in steps] == [False, True, True, False, True, True]
    steps = encoder_steps(settings(pruning="ratio", keep_ratio=0.5), 6, local)
    assert [step.share for step in steps] == [Fraction(1, 8), 1, 1, Fraction(1, 4), 1, 1]
    learned = encoder_steps(settings(site="hidden", score="learned", keep_ratio=0.5), 6, local)
    assert [step.share for step in learned] == [Fraction(1, 2)] * 6
    with pytest.raises(ConfigError, match=r"received with a share of 0\.5 ahead of the first global layer"):
        encoder_steps(settings(pruning="ratio", site="hidden", keep_ratio=0.5), 2, (0,))


@torch.no_grad()
def test_local_layers_score_nothing() -> None:
    model = tiny_model(METHODS["keys"], **FAMILIES["modernbert"])
    kept = model(**batch(documents((40,)))).trace.kept
    assert [own for (own,) in kept] == [40, *[40 * 27 // 125] * 3]
    assert [layer.prune is None for layer in model.encoder.layer] == [False, True, True, True]


def test_a_window_is_felt_where_tokens_stood_in_the_document() -> None:
    """Two words 20 apart do not see each other in a local layer, though nothing is left between them."""
    sizes = FAMILIES["modernbert"] | {"blocks": FAMILIES["modernbert"]["blocks"] | {"local_layers": [0, 1, 2, 3]}}
    model = tiny_model(settings(site="hidden", score="learned", keep_ratios=(0.05, 1, 1, 1), pooling="mean"), **sizes)
    (text,) = documents((40,))
    vectors = model.embeddings.word_embeddings(torch.tensor([text])).detach().requires_grad_()
    tokens, _ = model.encoder(model.embeddings(check_batch(model.config, inputs_embeds=vectors)))
    first, last = 0, len(tokens.values) - 1
    assert int(tokens.origin[last] - tokens.origin[first]) > 4 * 5, "out of reach of four layers"
    (gradient,) = torch.autograd.grad(tokens.values[first, 0], vectors)
    assert gradient[0, 0].any()
    assert not gradient[0, -1].any()


def test_every_family_is_tested() -> None:
    assert {"bert", *FAMILIES} == set(BACKBONES)
