"""set_keep: a model that keeps another share is the model that was built with that share."""

from dataclasses import replace
from typing import Any

import pytest
import torch

from contract.families import FAMILIES
from contract.variants import UNEQUAL, batch, documents, settings, tiny_model
from tokensieve import ConfigError, ReductionConfig
from tokensieve.methods import METHODS
from tokensieve.model.layer import Layer
from tokensieve.reduce.schedule import Constant, Listed

LISTED = Listed((1.0, 0.5, 1.0, 0.4))
MODELS: dict[str, tuple[ReductionConfig, dict[str, Any]]] = {
    "keys": (settings(pruning="ratio", pooling="mean"), {}),
    "length-adaptive": (METHODS["length-adaptive"].settings, {}),
    "learned, keys once more": (settings(site="hidden", score="learned", leaving_keys=True, pooling="mean"), {}),
    "tome": (METHODS["tome"].settings, {}),
    "combining": (settings(pruning="ratio", site="hidden", combine_layer=3), {}),
    "some layers": (settings(pruning="ratio", site="hidden", keep_ratios=LISTED.shares), {}),
    "local layers": (settings(pruning="ratio", site="hidden", keep_ratio=0.8), FAMILIES["modernbert"]),
}


@pytest.mark.parametrize("keep", [0.7, 1.0])
@pytest.mark.parametrize(("reduction", "sizes"), MODELS.values(), ids=MODELS)
@torch.no_grad()
def test_it_is_the_model_of_that_share(reduction: ReductionConfig, sizes: dict[str, Any], keep: float) -> None:
    """Answers, counts, plan and work; and back again, even from 1, where no layer prunes."""
    assert reduction.prune is not None
    model, inputs = tiny_model(reduction, **sizes), batch(documents(UNEQUAL))
    before = model(**inputs)
    schedule = Constant(keep)
    if reduction.prune.schedule == LISTED:
        schedule = Listed(tuple(keep if share < 1 else 1.0 for share in LISTED.shares))  # type: ignore[assignment]
    other = tiny_model(replace(reduction, prune=replace(reduction.prune, schedule=schedule)), **sizes)
    weights = model.state_dict()
    other.load_state_dict({name: weights[name] for name in other.state_dict()})
    expected = other(**inputs)

    model.set_keep(keep)
    found = model(**inputs)
    torch.testing.assert_close(found.logits, expected.logits, atol=1e-6, rtol=0)
    assert found.trace.kept == expected.trace.kept != before.trace.kept
    assert model.plan(40).kept_tokens == other.plan(40).kept_tokens
    assert model.plan(40).flops == other.plan(40).flops
    lengths = list(UNEQUAL)
    assert model.encoder.rows_after_first_pruning(lengths) == other.encoder.rows_after_first_pruning(lengths)
    assert model.settings.shares(4) == other.settings.shares(4)

    again = tiny_model(reduction, **sizes)
    for own in (model, again):
        own.set_keep(0.9)
    assert torch.equal(model(**inputs).logits, again(**inputs).logits)


def test_refused() -> None:
    with pytest.raises(ConfigError, match=r"keep=0\.5: the model prunes in no layer: train one that does"):
        tiny_model(settings(pruning="none", pooling="host")).set_keep(0.5)
    for name in ("ltp", "transkimmer", "summary-p"):
        with pytest.raises(ConfigError, match=r"keep=0\.5 with prune\.select=.*depends on their scores"):
            tiny_model(METHODS[name].settings).set_keep(0.5)
    model = tiny_model(settings(pruning="ratio"))
    shares = [layer.share for layer in model.modules() if isinstance(layer, Layer)]
    for bad in (0.0, 1.1, float("nan"), True, "half"):
        with pytest.raises(ConfigError, match=r"keep=.*: give a number in \(0, 1\]"):
            model.set_keep(bad)  # type: ignore[arg-type]
    assert [layer.share for layer in model.modules() if isinstance(layer, Layer)] == shares
