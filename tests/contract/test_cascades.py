"""What holds for every cascade: batches do not matter, rows are the plan's, saved is loaded, each stage is a model."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor
from transformers import AutoModelForSequenceClassification

from contract import oracle
from contract.variants import CASCADES, UNEQUAL, batch, documents, tiny_cascade
from flat import flat_of
from tokensieve import (
    ConfigError,
    ReductionConfig,
    TokensieveCascadeForSequenceClassification,
    TokensieveForSequenceClassification,
    compress,
)
from tokensieve.model.batch import check_batch
from tokensieve.model.plan import make_plan
from tokensieve.model.probabilities import confidence
from tokensieve.runtime.micro_batches import read_batch

LENGTHS = (*UNEQUAL, 30, 9, 24, 13)
each_cascade = pytest.mark.parametrize("reduction", CASCADES.values(), ids=CASCADES)


@torch.no_grad()
def fitted(reduction: ReductionConfig) -> TokensieveCascadeForSequenceClassification:
    """A cascade that defers half of the documents that it prunes, from a confidence that none of them is near."""
    cascade = tiny_cascade(reduction)
    sure = confidence(cascade.first(**batch(documents(LENGTHS))).logits, None)
    pruned = sure[torch.tensor(cascade.first.encoder.pruned(LENGTHS))].sort().values
    middle = len(pruned) // 2
    assert pruned[middle] - pruned[middle - 1] > 1e-4
    cascade.config.defer_below = float(pruned[middle - 1 : middle + 1].mean())
    return cascade


def answered_by(cascade: TokensieveCascadeForSequenceClassification) -> list[int]:
    """The stage that answers each document, by hand."""
    reduction, below = cascade.settings, cascade.config.defer_below
    assert below is not None
    sure = confidence(cascade.first(**batch(documents(LENGTHS))).logits, None).tolist()
    return [
        int(own < below if length >= reduction.min_length else flat_of(reduction).reread_ratios is None)
        for own, length in zip(sure, LENGTHS, strict=True)
    ]


@each_cascade
@torch.no_grad()
def test_a_document_does_not_see_its_batch(reduction: ReductionConfig) -> None:
    cascade, texts = fitted(reduction), documents(LENGTHS)
    alone = [cascade(**batch([ids])) for ids in texts]
    for side in ("right", "left"):
        together = cascade(**batch(texts, side, width=max(LENGTHS) + 7))
        for name in ("logits", "pooled"):
            torch.testing.assert_close(together[name], torch.cat([one[name] for one in alone]), atol=1e-5, rtol=0)
        assert together.trace.survivors() == [one.trace.survivors()[0] for one in alone]
        if reduction.combine is not None:
            assert together.trace.assignments() == [one.trace.assignments()[0] for one in alone]
        parted = read_batch(cascade, check_batch(cascade.config, **batch(texts, side)))
        torch.testing.assert_close(parted.logits, together.logits, atol=1e-5, rtol=0)
        assert parted.trace.kept == together.trace.kept


@each_cascade
@torch.no_grad()
def test_every_document_is_answered_as_its_stage_answers_it(reduction: ReductionConfig) -> None:
    cascade, inputs = fitted(reduction), batch(documents(LENGTHS))
    found, stages = cascade(**inputs), answered_by(cascade)
    assert {*stages} == {0, 1}
    alone = [stage(**inputs) for stage in cascade.stages]
    assert not torch.allclose(alone[0].logits, alone[1].logits, atol=1e-2)
    for row, stage in enumerate(stages):
        wanted = alone[stage]
        for name in ("logits", "pooled"):
            torch.testing.assert_close(found[name][row], wanted[name][row], atol=1e-5, rtol=1e-5)
        assert found.trace[row].kept == wanted.trace[row].kept
        assert found.trace[row].survivors == wanted.trace[row].survivors
        assert found.trace[row].assignment == wanted.trace[row].assignment


@each_cascade
@torch.no_grad()
def test_each_stage_is_the_method(reduction: ReductionConfig) -> None:
    cascade, inputs = fitted(reduction), batch(documents(LENGTHS))
    answers = [oracle.answers(stage, **inputs)[0] for stage in cascade.stages]
    wanted = torch.stack([answers[stage][row] for row, stage in enumerate(answered_by(cascade))])
    torch.testing.assert_close(cascade(**inputs).logits, wanted, atol=1e-5, rtol=0)


@each_cascade
@torch.no_grad()
def test_rows_are_those_of_the_plan(reduction: ReductionConfig) -> None:
    """Of the stage that answers; the FLOPs are the first stage's, and the share of the second one's."""
    cascade = fitted(reduction)
    trace = cascade(**batch(documents(LENGTHS))).trace
    for row, (stage, length) in enumerate(zip(answered_by(cascade), LENGTHS, strict=True)):
        own = make_plan(cascade.config.stage(stage), length, special=min(2, length))
        if own.basis == "exact":
            assert trace[row].kept == own.kept_tokens
        plan, first, second = (
            own.plan(length, special=min(2, length)) for own in (cascade, cascade.first, cascade.second)
        )
        deferred = reduction.deferred if length >= reduction.min_length else 0.0
        assert plan.flops == pytest.approx(first.flops + deferred * second.flops)
        assert (plan.deferred, plan.steps) == (deferred, first.steps)


@each_cascade
@torch.no_grad()
def test_saved_and_loaded(reduction: ReductionConfig, tmp_path: Path) -> None:
    cascade, inputs = fitted(reduction), batch(documents(LENGTHS))
    cascade.save_pretrained(tmp_path)
    loaded = AutoModelForSequenceClassification.from_pretrained(tmp_path)
    assert type(loaded) is TokensieveCascadeForSequenceClassification
    assert all(type(stage) is TokensieveForSequenceClassification for stage in loaded.stages)
    assert (loaded.settings, loaded.config.defer_below) == (reduction, cascade.config.defer_below)
    assert torch.equal(loaded(**inputs).logits, cascade(**inputs).logits)
    assert loaded(**inputs).trace.kept == cascade(**inputs).trace.kept


def tensors(stage: TokensieveForSequenceClassification) -> dict[str, Tensor]:
    return {**dict(stage.named_parameters()), **dict(stage.named_buffers())}


@each_cascade
@pytest.mark.parametrize("own", [True, False])
def test_equal_tensors_are_there_once_in_memory_and_in_the_file(
    reduction: ReductionConfig, own: bool, tmp_path: Path
) -> None:
    cascade = tiny_cascade(reduction)
    if not own:
        cascade.share_everything()
    cascade.save_pretrained(tmp_path)
    for model in (cascade, AutoModelForSequenceClassification.from_pretrained(tmp_path)):
        for moved in (model, model.double()):
            first, second = map(tensors, moved.stages)
            distinct = {name for name in second if second[name] is not first.get(name)}
            last = {"head.classifier.weight", "head.classifier.bias"}
            assert distinct >= last and (distinct == last) is not own
            assert all("LayerNorm" in name or "norm" in name or name.endswith("bias") for name in distinct - last)
            assert {name for name in moved.state_dict() if name.startswith("stages.1.")} == {
                f"stages.1.{name}" for name in distinct
            }
    assert load_file(tmp_path / "model.safetensors").keys() == cascade.state_dict().keys()


def test_checkpointing_that_loses_the_gradient_is_refused() -> None:
    """As of a model alone."""
    cascade = tiny_cascade(next(iter(CASCADES.values())))
    with pytest.raises(ConfigError, match="use_reentrant"):
        cascade.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": True})
    cascade.gradient_checkpointing_enable()
    assert cascade.is_gradient_checkpointing


def test_a_single_model_made_of_a_cascade_leaves_it_as_it_was() -> None:
    cascade = tiny_cascade(next(iter(CASCADES.values())))
    cascade.config.calibration_temperature = 2.0
    before = cascade.first.config.to_dict()
    made = compress(cascade, ReductionConfig.preset("dense"))
    assert made.config.calibration_temperature == 2.0
    assert cascade.first.config.to_dict() == before
