"""Cascades: the second stage answers the least confident documents, and nothing else does."""

from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor

from contract.variants import UNEQUAL, VARIANTS, batch, documents, settings, tiny_cascade, tiny_model
from flat import flat_of, reduction, with_flat
from tokensieve import (
    ConfigError,
    Deferral,
    ReductionConfig,
    TokensieveConfig,
    TokensieveForSequenceClassification,
    compress,
)
from tokensieve.cascade.cascade import run_cascade
from tokensieve.cascade.configuration import CascadeConfig
from tokensieve.cascade.defer import Defer
from tokensieve.cascade.plan import plan_of
from tokensieve.model.batch import check_batch
from tokensieve.model.plan import make_plan
from tokensieve.model.probabilities import confidence
from tokensieve.reduce.schedule import Constant, Listed
from tokensieve.runtime import micro_batches
from tokensieve.runtime.micro_batches import read_batch

LENGTHS = (*UNEQUAL, 9, 40)
PRUNING = {
    name: variant
    for name, variant in VARIANTS.items()
    if flat_of(variant).pruning == "ratio"
    and not flat_of(variant).score_noise
    and flat_of(variant).score_queries == "all"
    and not variant.min_length  # short documents go by the first stage
}
ALL_TOKENS = {name: replace(variant, defer=Deferral(0.4)) for name, variant in PRUNING.items()}
MORE_TOKENS = {
    f"{name}, then more": replace(variant, defer=Deferral(0.4, Listed((0.9,) * variant.before(4))))
    for name, variant in PRUNING.items()
    if variant.prune is not None
    and isinstance(variant.prune.schedule, Constant)
    and flat_of(variant).combine_layer != 1
}


@pytest.mark.parametrize("variant", [*ALL_TOKENS.values(), *MORE_TOKENS.values()], ids=[*ALL_TOKENS, *MORE_TOKENS])
@pytest.mark.parametrize(("part", "norms"), [(4096, False), (20, False), (20, True)])
def test_deferred_documents_are_answered_by_the_second_stage(
    variant: ReductionConfig, part: int, norms: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(micro_batches, "MICRO_BATCH_TOKENS", part)
    model = tiny_cascade(variant)
    if not norms:
        model.give_own_norms(False)
    whole = check_batch(model.config, **batch(documents(LENGTHS), side="left"))
    with torch.no_grad():
        first, more = (stage.read(whole) for stage in (model.first, model.second))
        sure = confidence(first.logits, None)
        model.config.defer_below = float(sure.sort().values[2:4].mean())
        found = read_batch(model, whole)
    deferred = (sure < model.config.defer_below).tolist()
    assert sum(deferred) == 3
    for row, second_time in enumerate(deferred):
        wanted = more if second_time else first
        for name in ("logits", "pooled"):
            torch.testing.assert_close(getattr(found, name)[row], getattr(wanted, name)[row], atol=1e-5, rtol=1e-5)
        assert found.trace[row].kept == wanted.trace[row].kept
        assert found.trace[row].survivors == wanted.trace[row].survivors
        assert found.trace[row].assignment == wanted.trace[row].assignment


@pytest.mark.parametrize("second_shares", [None, (0.9, 0.9, 0.9, 0.9)], ids=["all tokens", "more tokens"])
def test_documents_that_are_not_pruned_are_read_once(second_shares: tuple[float, ...] | None) -> None:
    """And by the second stage, if that is of all tokens."""
    deferring = settings(pruning="ratio", site="hidden", min_length=12, reread_ratios=second_shares, reread=0.4)
    model, inputs = tiny_cascade(deferring), batch(documents((40, 5, 9)))
    seen: list[tuple[int, int]] = []
    with torch.no_grad():
        first, whole = model(**inputs), model.second(**inputs)
        model.config.defer_below = 1.0
        for number, stage in enumerate(model.stages):
            stage.embeddings.register_forward_pre_hook(
                lambda _, given, number=number: seen.append((number, len(given[0].lengths)))
            )
        found = model(**inputs)
    assert seen == ([(0, 3), (1, 1)] if second_shares else [(0, 1), (1, 3)])
    torch.testing.assert_close(found.logits[0], whole.logits[0])
    torch.testing.assert_close(found.logits[1:], (first if second_shares else whole).logits[1:])
    assert [len(survivors) for survivors in found.trace.survivors()][1:] == [5, 9]
    assert not torch.allclose(first.logits, whole.logits)


@pytest.mark.parametrize("second_shares", [None, (0.9, 0.9, 0.9, 0.9)], ids=["all tokens", "more tokens"])
def test_one_stage_alone(second_shares: tuple[float, ...] | None) -> None:
    deferring = settings(pruning="ratio", site="hidden", min_length=12, reread_ratios=second_shares, reread=0.4)
    model, inputs = tiny_cascade(deferring), batch(documents((30, 5, 40)))
    with torch.no_grad():
        first, second = (stage(**inputs).logits for stage in model.stages)
        if second_shares:  # it never gets the short one
            second[1] = first[1]
        for number, wanted in enumerate((first, second)):
            torch.testing.assert_close(model.read_alone(number, **inputs).logits, wanted)


@pytest.mark.parametrize("autocast", [True, False], ids=["autocast", "pure"])
def test_in_bfloat16(autocast: bool) -> None:
    """The second stage's answers are of the type of the first's, and those of its own model in that type."""
    model, inputs = tiny_cascade(settings(pruning="ratio", site="hidden", reread=0.4)), batch(documents(LENGTHS))
    model.config.defer_below = 1.0
    if not autocast:
        model = model.to(torch.bfloat16)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        found, wanted = model(**inputs), model.second(**inputs)
    assert found.logits.dtype == torch.bfloat16
    torch.testing.assert_close(found.logits, wanted.logits)


def test_deferred_documents_of_all_micro_batches_are_read_together(
    monkeypatch: pytest.MonkeyPatch, use_threads: Any
) -> None:
    """A micro-batch of its own for each of them would be too short to be fast."""
    use_threads(1)
    monkeypatch.setattr(micro_batches, "MICRO_BATCH_TOKENS", 20)
    lengths = (17, 9, 19, 9)
    model = tiny_cascade(settings(pruning="ratio", site="hidden", reread=0.4))
    whole, seen = check_batch(model.config, **batch(documents(lengths))), list[tuple[int, ...]]()
    with torch.no_grad():
        sure = confidence(model.first.read(whole).logits, None)
        model.config.defer_below = float(sure.sort().values[1:3].mean())
        for stage in model.stages:
            stage.embeddings.register_forward_pre_hook(lambda _, given: seen.append(given[0].lengths))
        read_batch(model, whole)
    deferred = tuple(length for length, own in zip(lengths, sure, strict=True) if own < model.config.defer_below)
    assert [length for part in seen[:3] for length in part] == [*lengths]
    assert [length for part in seen[3:] for length in part] == [*deferred]
    assert len(seen) - 3 <= 2


def test_in_training_the_first_stage_answers_and_learns() -> None:
    model, inputs = tiny_cascade(settings(pruning="ratio", site="hidden", reread=0.4)), batch(documents(LENGTHS))
    model.config.defer_below = 1.0
    model.train()
    seen: list[int] = []
    for number, stage in enumerate(model.stages):
        stage.embeddings.register_forward_pre_hook(lambda *_, number=number: seen.append(number))
    model(**inputs, labels=torch.zeros(6, dtype=torch.long)).loss.backward()
    assert seen == [0]
    assert model.second.head.classifier.weight.grad is None


def test_compressing_makes_a_cascade_that_keeps_the_classifiers_last_layer(tmp_path: Path) -> None:
    dense = tiny_model(settings(pruning="none", pooling="mean"))
    model = compress(dense, settings(pruning="ratio", site="hidden", pooling="mean", reread=0.1))
    for name, given in dense.head.classifier.state_dict().items():
        assert torch.equal(model.second.head.classifier.state_dict()[name], given)
    assert model.config.defer_below is None
    torch.nn.init.zeros_(model.first.head.classifier.weight)
    model.config.defer_below = 0.625
    model.save_pretrained(tmp_path)
    same = compress(tmp_path, model.settings)
    assert same.config.defer_below == 0.625
    assert torch.equal(same.second.head.classifier.weight, dense.head.classifier.weight)
    assert not same.first.head.classifier.weight.any()
    other = compress(tmp_path, with_flat(model.settings, keep_ratio=0.5))
    assert other.config.defer_below is None
    assert torch.equal(other.second.head.classifier.weight, dense.head.classifier.weight)
    renewed = compress(tmp_path, model.settings, num_labels=5)
    assert renewed.config.defer_below is None
    assert renewed(**batch(documents((9,)))).logits.shape == (1, 5)
    once = compress(tmp_path, with_flat(model.settings, reread=0.0))
    assert type(once) is TokensieveForSequenceClassification and not once.head.classifier.weight.any()


@torch.no_grad()
def test_what_was_set_on_a_cascade_is_handed_on() -> None:
    model = tiny_cascade(settings(pruning="ratio", site="hidden", pooling="mean", reread=0.1))
    model.config.calibration_temperature, model.config.tokenize_length = 2.5, 33
    for target in (model.settings, settings(pruning="none", pooling="mean")):
        found = compress(model, target).config
        assert (found.calibration_temperature, found.tokenize_length) == (2.5, 33)


@pytest.mark.parametrize("second_shares", [None, (0.9, 0.8, 0.9, 0.8)])
def test_the_plan_counts_the_second_stage(second_shares: tuple[float, ...] | None) -> None:
    pruned = settings(pruning="ratio", site="hidden", min_length=10, pooling="mean")
    model, plain = tiny_cascade(with_flat(pruned, reread=0.25, reread_ratios=second_shares)), tiny_model(pruned)
    whole = make_plan(tiny_model(with_flat(pruned, keep_ratio=1.0, keep_ratios=second_shares)).config, 20)
    assert (whole.kept_tokens[-1] < 20) == (second_shares is not None)
    plan = plan_of(model.config, 20)
    assert plan == model.plan(20)
    assert plan.flops == pytest.approx(make_plan(plain.config, 20).flops + 0.25 * whole.flops)
    assert (plan.deferred, plan_of(model.config, 9).deferred) == (0.25, 0.0)
    assert plan_of(model.config, 9).flops == make_plan(plain.config, 9).flops
    assert plan_of(plain.config, 20) == make_plan(plain.config, 20)
    assert "25.0% of such documents are deferred to the next stage" in str(plan)


def test_a_measured_plan_counts_it_once() -> None:
    deferring = settings(pruning="fuzzy", ratio_scope="candidates", site="hidden", pooling="mean", reread=0.25)
    model, inputs = tiny_cascade(deferring), batch(documents(LENGTHS))
    once = model.plan(20, samples=inputs)
    assert once.basis == "measured"
    model.config.defer_below = 1.0
    assert model.plan(20, samples=inputs) == once
    assert model.config.defer_below == 1.0


def test_confidence() -> None:
    logits = torch.tensor([[0.0, 0.0], [2.0, -2.0]])
    torch.testing.assert_close(confidence(logits, None), torch.tensor([0.5, 0.98201]), atol=1e-5, rtol=0)
    several = torch.tensor([[4.0, 0.0], [-3.0, 2.0]])  # the second label of the first document is anybody's guess
    found = confidence(several, "multi_label_classification")
    torch.testing.assert_close(found, torch.tensor([0.5, 0.88080]), atol=1e-5, rtol=0)
    assert confidence(torch.zeros(2, 1), "regression").tolist() == [1.0, 1.0]


class Bag(NamedTuple):
    """Answers of a stage that is no encoder: logarithms of probabilities."""

    logits: Tensor


def test_any_classifier_is_a_stage() -> None:
    """Three of them, in batches of their own; each defers what it gives less than its probability."""
    sure = torch.tensor([[0.9, 0.1, 0.9], [0.7, 0.1, 0.1], [0.5, 0.5, 0.5]])
    asked: list[tuple[int, list[int]]] = []

    def stage(number: int, size: int) -> Any:
        def read(documents: Any) -> Any:
            for start in range(0, len(documents), size):
                some = list(documents[start : start + size])
                asked.append((number, some))
                own = sure[some, number]
                yield some, Bag(torch.stack([own, 1 - own], 1).clamp(0.01).log())

        return read

    rules = [Defer(0.8), Defer(0.75, shortest=5, skips_short=True)]
    found = list(run_cascade([stage(0, 2), stage(1, 9), stage(2, 1)], rules, [9, 3, 9]))
    assert asked == [(0, [0, 1]), (0, [2]), (1, [2]), (2, [1]), (2, [2])], "the short one skips the second stage"
    assert [(number, documents) for number, documents, _ in found] == asked


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"reread": 1.0}, "reread=1.0: give a share"),
        ({"reread": -0.1}, "reread=-0.1"),
        ({"reread": True}, "reread=True"),
        ({"pruning": "none", "reread": 0.1}, "reread=0.1 needs pruning"),
    ],
)
def test_refused(given: dict[str, Any], named: str) -> None:
    with pytest.raises(ConfigError, match=named):
        reduction(**given)


def test_configs_refuse_what_is_of_the_other_kind() -> None:
    with pytest.raises(ConfigError, match=r"defer.share=0.1 asks for a cascade.*tokensieve.load.*tokensieve.compress"):
        TokensieveConfig(reduction=reduction(reread=0.1))
    with pytest.raises(ConfigError, match="defer=None in the config of a cascade"):
        CascadeConfig(reduction=reduction())
    with pytest.raises(ConfigError, match=r"defer_below=1\.5"):
        CascadeConfig(defer_below=1.5)


def test_the_class_of_a_model_refuses_a_cascades_folder(tmp_path: Path) -> None:
    tiny_cascade(settings(pruning="ratio", reread=0.1)).save_pretrained(tmp_path)
    with pytest.raises(ConfigError, match=r"asks for a cascade.*AutoModelForSequenceClassification"):
        TokensieveForSequenceClassification.from_pretrained(tmp_path)
