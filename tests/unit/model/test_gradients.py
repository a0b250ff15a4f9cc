"""The exact gradient by tokens: autograd against differences, padding, and a model that reads such scores."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from contract import oracle
from contract.variants import UNEQUAL, batch, documents, settings, tiny_model
from flat import flat_of
from tokensieve import ConfigError, InputError, Prune, ReductionConfig
from tokensieve.model.gradients import importance_of, predicted_value, token_gradients
from tokensieve.reduce.schedule import Listed
from tokensieve.reduce.score.gradient import Gradient
from tokensieve.reduce.select.top_share import TopShare
from tokensieve.reduce.site import Ahead

DENSE = settings(pruning="none", pooling="mean")
EXACT = ReductionConfig(prune=Prune(Gradient(), TopShare(), Listed((0.6, 1.0, 0.5, 1.0)), Ahead()), pooling="mean")


def test_it_is_the_slope_of_the_predicted_logit() -> None:
    """A step along the vectors of one token changes its logit by the gradient's product with the step, in float64."""
    model, inputs = tiny_model(DENSE).double(), batch(documents((9,)))
    found = token_gradients(model, **inputs, kind="input-times-gradient")[0]
    vectors = model.embeddings.word_embeddings(inputs["input_ids"]).detach()
    entering: list[Tensor] = []
    hook = model.encoder.register_forward_pre_hook(lambda _, given: entering.append(given[0].values))
    logits = model(inputs_embeds=vectors).logits[0]
    hook.remove()
    label, step = int(logits.argmax()), 1e-6
    for place in range(9):
        moved = entering[0].detach().clone()
        moved[place] *= 1 + step

        def put(_: Any, given: tuple[Any, ...], moved: Tensor = moved) -> tuple[Any, ...]:
            return (given[0].with_values(moved),)

        hook = model.encoder.register_forward_pre_hook(put)
        change = float((model(**inputs).logits[0, label] - logits[label]).detach()) / step
        hook.remove()
        assert float(found[place]) == pytest.approx(abs(change), rel=1e-3, abs=1e-7)


def test_norm_and_product_by_hand() -> None:
    vectors, gradients = torch.tensor([[1.0, 2.0], [0.0, 5.0]]), torch.tensor([[3.0, -4.0], [2.0, 0.0]])
    assert importance_of(vectors, gradients, "norm").tolist() == [5.0, 2.0]
    assert importance_of(vectors, gradients, "input-times-gradient").tolist() == [5.0, 0.0]
    logits = torch.tensor([[1.0, -2.0, 4.0]])
    assert predicted_value(logits, "single_label_classification").tolist() == [4.0]
    assert predicted_value(logits, "multi_label_classification").tolist() == [7.0]


@pytest.mark.parametrize("inference", [True, False])
def test_a_document_does_not_see_its_batch(inference: bool) -> None:
    model, texts = tiny_model(DENSE).train(), documents(UNEQUAL)
    state = torch.random.get_rng_state()
    with torch.inference_mode(inference):
        together = token_gradients(model, **batch(texts, "left", width=50))
        for row, ids in enumerate(texts):
            alone = token_gradients(model, **batch([ids]))[0]
            torch.testing.assert_close(together[row, 50 - len(ids) :], alone, atol=1e-5, rtol=1e-4)
            assert not together[row, : 50 - len(ids)].any()
    assert model.training and torch.equal(torch.random.get_rng_state(), state), "no dropout was drawn"
    assert all(parameter.grad is None for parameter in model.parameters())


@torch.no_grad()
def test_a_model_keeps_the_tokens_of_the_highest_scores() -> None:
    """By the oracle's rule on the exact gradients; and alone as in a batch."""
    dense, pruned, texts = tiny_model(DENSE), tiny_model(EXACT), documents(UNEQUAL)
    inputs = batch(texts)
    scores = token_gradients(dense, **inputs)
    output = pruned(**inputs, token_scores=scores)
    for row, ids in enumerate(texts):
        alive, protected = [*range(len(ids))], [place in (0, len(ids) - 1) for place in range(len(ids))]
        for share in (0.6, 0.5):
            own = replace(EXACT, prune=replace(EXACT.prune, schedule=Listed((share,))))  # type: ignore[type-var]
            (alive,) = oracle.select_positions(flat_of(own, 1), [scores[row, alive].tolist()], [alive], protected)
        assert output.trace.survivors()[row] == alive
        alone = pruned(**batch([ids]), token_scores=scores[row : row + 1, : len(ids)])
        torch.testing.assert_close(alone.logits[0], output.logits[row], atol=1e-5, rtol=0)
    ones = pruned(**inputs, token_scores=torch.ones_like(scores))
    assert ones.trace.kept == output.trace.kept and ones.trace.survivors() != output.trace.survivors()


def test_what_has_no_gradient_or_no_scores_is_refused() -> None:
    inputs = batch(documents((9,)))
    with pytest.raises(ConfigError, match="this model prunes"):
        token_gradients(tiny_model(EXACT), **inputs)
    with pytest.raises(InputError, match="needs token_scores"):
        tiny_model(EXACT)(**inputs)
    with pytest.raises(InputError, match="token_scores has shape"):
        tiny_model(EXACT)(**inputs, token_scores=torch.ones(1, 3))
