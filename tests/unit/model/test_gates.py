"""The schedule that gates have learned, and a model that takes it over."""

import pytest
import torch

from contract.variants import METHODS_TRIED, UNEQUAL, batch, documents, tiny_model
from tokensieve.model.gates import adopt, gate_parameters, gated_layers, learned_settings, report, set_soft
from tokensieve.reduce.schedule import Listed
from tokensieve.reduce.select.top_share import TopShare

POWER, LTP = METHODS_TRIED["method power-bert"], METHODS_TRIED["method ltp"]


def searched(*shares: float) -> torch.nn.Module:
    """A model whose gates have learned these shares of a document's tokens."""
    model = tiny_model(POWER)
    for layer, share in zip(gated_layers(model), shares, strict=True):
        layer.gate.retention.data.fill_(share)
    return model


def test_shares_are_of_what_the_layer_before_has_left() -> None:
    """.8, then .4 of all, which is .5 of .8; a layer that would leave more than the one before leaves as much."""
    model = searched(0.8, 0.4, 0.6, 0.1)
    settings = learned_settings(model, POWER)
    assert settings.prune.schedule == Listed((0.8, 0.5, 1.0, 0.25))
    assert settings.prune.select == TopShare()
    assert (settings.prune.score, settings.prune.site) == (POWER.prune.score, POWER.prune.site)
    assert report(model)["2"] == {"share": pytest.approx(0.4)}


def test_a_layer_that_would_leave_nothing_leaves_a_thousandth() -> None:
    assert learned_settings(searched(0.0, 0.5, 0.5, 0.5), POWER).prune.schedule == Listed((0.001, 1.0, 1.0, 1.0))


def test_counts_that_depend_on_the_document_are_in_no_schedule() -> None:
    assert learned_settings(tiny_model(LTP), LTP) == LTP


@torch.no_grad()
def test_a_model_with_learned_settings_is_one_that_was_built_with_them() -> None:
    model = searched(0.8, 0.4, 0.6, 0.1)
    settings = learned_settings(model, POWER)
    adopt(model, settings)
    built = tiny_model(settings)
    built.load_state_dict(model.state_dict())  # no gate is left over
    inputs = batch(documents(UNEQUAL))
    output, expected = model(**inputs), built(**inputs)
    assert torch.equal(output.logits, expected.logits)
    assert output.trace.kept == expected.trace.kept == [(13, 1, 32, 2), (6, 1, 16, 2), (6, 1, 16, 2), (2, 1, 4, 2)]
    assert model.settings == settings
    assert model.plan(40).kept_tokens == (32, 16, 16, 4)
    assert model.train()(**inputs).penalty is None


def test_hard_gates_have_no_parameter_that_is_trained() -> None:
    model = tiny_model(METHODS_TRIED["method transkimmer"])
    own = {id(parameter) for parameter in gate_parameters(model)}
    assert len(own) == 4 * 8, "two norms and two linear maps in each layer"
    for soft in (False, True):
        set_soft(model, soft)
        assert {parameter.requires_grad for parameter in model.parameters() if id(parameter) in own} == {soft}
        assert {parameter.requires_grad for parameter in model.parameters() if id(parameter) not in own} == {True}
