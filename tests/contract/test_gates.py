"""Selections that learn: softly as the method is written down once more, and then by tokens that really leave."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from contract.oracle.soft import soft_answer
from contract.test_really_gone import rows_entering
from contract.variants import DEPTH, METHODS_TRIED, UNEQUAL, VARIANTS, batch, documents, tiny_model
from tokensieve import ReductionConfig, TokensieveForSequenceClassification, compress
from tokensieve.model.gates import gate_parameters, gated_layers, set_soft
from tokensieve.reduce.score.skim_predictor import Logits
from tokensieve.reduce.select import skim

LEARNING = {name: own for name, own in VARIANTS.items() if own.prune is not None and own.prune.select.gated}
each_learning = pytest.mark.parametrize("reduction", LEARNING.values(), ids=LEARNING)
NO_DROPOUT = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0, "classifier_dropout": 0.0}
BACKBONES = {
    "bert": {},
    "window": {"blocks": {"window": 2, "local_layers": [1, 2]}},
    "bias": {"blocks": {"relative_buckets": 8}},
    "norm first": {"blocks": {"norm_first": True}},
}


@pytest.fixture(autouse=True)
def no_noise(monkeypatch: pytest.MonkeyPatch) -> None:
    """Gates without the noise of training; it is tested by itself."""
    monkeypatch.setattr(skim, "logistic_noise", torch.zeros_like)


def trained_model(reduction: ReductionConfig, **sizes: object) -> TokensieveForSequenceClassification:
    return tiny_model(reduction, **NO_DROPOUT, **sizes).train()


def test_each_method_that_learns_is_here() -> None:
    assert {"method ltp", "method transkimmer", "method power-bert"} <= LEARNING.keys() & METHODS_TRIED.keys()


@each_learning
@torch.no_grad()
def test_soft_answers_are_the_method(reduction: ReductionConfig) -> None:
    agrees_softly(trained_model(reduction))


@pytest.mark.parametrize("sizes", BACKBONES.values(), ids=BACKBONES)
@pytest.mark.parametrize("name", ["ltp", "transkimmer", "power-bert"])
@torch.no_grad()
def test_soft_answers_of_other_backbones(sizes: dict[str, object], name: str) -> None:
    agrees_softly(trained_model(METHODS_TRIED[f"method {name}"], **sizes), 1e-4)


def agrees_softly(model: TokensieveForSequenceClassification, atol: float = 1e-5) -> None:
    """Logits, the penalty of each document, and the loss, in which it is."""
    texts, labels = documents(UNEQUAL), torch.arange(len(UNEQUAL)) % 3
    output = model(**batch(texts), labels=labels)
    expected = [soft_answer(model, ids) for ids in texts]
    torch.testing.assert_close(output.logits, torch.stack([logits for logits, _ in expected]), atol=atol, rtol=1e-4)
    penalties = torch.tensor([penalty for _, penalty in expected])
    torch.testing.assert_close(output.penalty, penalties, atol=1e-5, rtol=1e-4)
    plain = torch.nn.functional.cross_entropy(output.logits, labels)
    assert float(output.loss) == pytest.approx(float(plain) + float(penalties.mean()), rel=1e-4)


@each_learning
@torch.no_grad()
def test_a_document_in_training_does_not_see_its_batch(reduction: ReductionConfig) -> None:
    """Neither its answer nor its penalty depends on the others, or on padding."""
    model, texts = trained_model(reduction), documents(UNEQUAL)
    together = model(**batch(texts, "left", width=max(UNEQUAL) + 9))
    alone = [model(**batch([ids])) for ids in texts]
    torch.testing.assert_close(together.logits, torch.cat([one.logits for one in alone]), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(together.penalty, torch.cat([one.penalty for one in alone]), atol=1e-6, rtol=1e-5)


@each_learning
def test_soft_gates_leave_all_rows_and_hard_ones_do_not(reduction: ReductionConfig) -> None:
    """In training, too, tokens leave once gates are hard: fewer rows enter the layers, as many as at evaluation."""
    model, name = tiny_model(reduction), f"encoder.layer.{DEPTH - 1}.intermediate.dense"
    at_evaluation = rows_entering(model, UNEQUAL)[name]
    assert at_evaluation < sum(UNEQUAL)
    assert rows_entering(model.train(), UNEQUAL)[name] == sum(UNEQUAL)
    set_soft(model, False)
    model = model.eval()
    assert rows_entering(model, UNEQUAL)[name] == at_evaluation
    output = tiny_hard(reduction)(**batch(documents(UNEQUAL)))
    assert output.penalty is None
    assert output.trace.kept == model(**batch(documents(UNEQUAL))).trace.kept


def tiny_hard(reduction: ReductionConfig) -> TokensieveForSequenceClassification:
    """A model in training whose gates are hard."""
    model = trained_model(reduction)
    set_soft(model, False)
    return model


@each_learning
def test_hard_gates_are_not_trained(reduction: ReductionConfig) -> None:
    model = tiny_hard(reduction)
    model(**batch(documents(UNEQUAL)), labels=torch.arange(len(UNEQUAL)) % 3).loss.backward()
    learned = {id(parameter) for parameter in gate_parameters(model)}
    assert len(gated_layers(model)) == sum(step.prune is not None for step in model.encoder.steps)
    for parameter in model.parameters():
        assert (parameter.grad is None) == (id(parameter) in learned)


@each_learning
def test_the_penalty_closes_gates(reduction: ReductionConfig) -> None:
    """Steps against the penalty alone, on the gates alone, make it smaller, and let fewer tokens stay or none more."""
    model, inputs = trained_model(reduction), batch(documents(UNEQUAL))
    for module in model.modules():
        if isinstance(module, Logits):  # else random ones may have closed all gates already
            module.bias.data = torch.tensor([-1.0, 1.0])
    before = model.eval()(**inputs).trace.kept
    optimizer = torch.optim.Adam(gate_parameters(model), lr=1e-2)
    penalties = []
    for _ in range(25):
        optimizer.zero_grad()
        penalty = model.train()(**inputs).penalty.sum()
        penalty.backward()
        optimizer.step()
        penalties.append(float(penalty.detach()))
    assert penalties[-1] < penalties[0]
    after = model.eval()(**inputs).trace.kept
    assert sum(map(sum, after)) <= sum(map(sum, before))


@pytest.mark.parametrize("name", ["ltp", "transkimmer", "power-bert"])
@torch.no_grad()
def test_what_starts_without_gates_gets_the_first_ones(name: str) -> None:
    """From a dense checkpoint: base thresholds, a predictor by which all tokens stay, ranks that weigh 1."""
    reduction, texts = METHODS_TRIED[f"method {name}"], documents(UNEQUAL)
    dense = tiny_model(replace(reduction, prune=None))
    model = compress(dense, reduction).eval()
    softly = model.train()(**batch(texts))
    gates = [layer.gate for layer in gated_layers(model)]
    if name == "ltp":
        assert [float(gate.threshold) for gate in gates] == pytest.approx([0.0025, 0.005, 0.0075, 0.01])
        return
    assert model.eval()(**batch(texts)).trace.kept[0] == (UNEQUAL if name == "transkimmer" else (15, 1, 36, 2))
    expected = dense(**batch(texts)).logits
    torch.manual_seed(0)
    fresh = compress(tiny_model(replace(reduction, prune=None), **NO_DROPOUT), reduction).train()
    torch.testing.assert_close(fresh(**batch(texts)).logits, expected, atol=1e-5, rtol=1e-5)
    penalty = {"transkimmer": 0.5, "power-bert": 1e-3 * (1 + 2 + 3 + 4) * 64}[name]
    assert softly.penalty.tolist() == pytest.approx([penalty] * len(texts))


@each_learning
@torch.no_grad()
def test_saved_and_loaded(reduction: ReductionConfig, tmp_path: Path) -> None:
    """Gates that are saved tell the same tokens to leave."""
    model, inputs = tiny_model(reduction), batch(documents(UNEQUAL))
    model.save_pretrained(tmp_path)
    again = TokensieveForSequenceClassification.from_pretrained(tmp_path)
    output, expected = again(**inputs), model(**inputs)
    assert torch.equal(output.logits, expected.logits)
    assert output.trace.kept == expected.trace.kept


def test_noise_is_that_of_two_gumbels() -> None:
    """Logistic: mean 0, variance pi squared over 3; the soft gate is open as often as the sigmoid of the score says."""
    torch.manual_seed(0)
    noise = _LOGISTIC(torch.zeros(200_000))
    assert float(noise.mean()) == pytest.approx(0, abs=0.02)
    assert float(noise.var()) == pytest.approx(torch.pi**2 / 3, rel=0.02)
    assert float((noise + 1.5 > 0).float().mean()) == pytest.approx(float(torch.tensor(1.5).sigmoid()), abs=0.005)


_LOGISTIC = skim.logistic_noise
