"""Which rows of a document the score looks at, what is refused, and what the plan counts for it."""

import pytest
import torch

from contract.variants import batch, documents, model_config, settings, tiny_model
from tokensieve import ConfigError, TokensieveConfig
from tokensieve.kernels.received import ALL
from tokensieve.model.plan import make_plan
from tokensieve.reduce.score.received import Received


def test_rows() -> None:
    assert Received().rows_scored(9, 3) == ALL
    assert list(Received(queries="anchors").rows_scored(9, 3)) == [0, 6, 7, 8]
    assert list(Received(queries="anchors").rows_scored(9, 0)) == [0]
    sample = Received(queries="sample", sample=4)
    assert sample.rows_scored(10, 3) == [0, 2, 5, 7]
    assert sample.rows_scored(5, 0) == [0, 1, 2, 3]
    assert sample.rows_scored(4, 0) == ALL


def test_refused() -> None:
    with pytest.raises(ConfigError, match="queries='some': choose one of 'all', 'anchors', 'sample'"):
        settings(score_queries="some")
    with pytest.raises(ConfigError, match="sample=0: give a whole number of 1 or more"):
        settings(score_sample=0)
    with pytest.raises(ConfigError, match="attention_backend='flash'"):
        TokensieveConfig(attention_backend="flash")


def test_flops_by_hand() -> None:
    """Site "keys", 20 tokens, p = 0.6: layers of 20, 12 and 7 keys score for the next one, the fourth for nobody."""
    exact = make_plan(model_config(settings(pooling="host")), 20)
    sampled = make_plan(model_config(settings(pooling="host", score_queries="sample", score_sample=5)), 20)
    assert sampled.flops - exact.flops == 2 * 32 * 5 * (20 + 12 + 7)
    short = make_plan(model_config(settings(pooling="host", score_queries="sample", score_sample=20)), 20)
    assert short.flops == exact.flops


@torch.no_grad()
def test_the_choice_changes_what_is_kept() -> None:
    inputs = batch(documents((40,)))
    kept = {
        queries: tiny_model(settings(site="hidden", score_queries=queries, score_sample=3))(**inputs).trace.survivors()
        for queries in ("all", "anchors", "sample")
    }
    assert len({str(own) for own in kept.values()}) == 3


@pytest.mark.parametrize("backend", ["auto", "blocked", "fused", "eager"])
@torch.no_grad()
def test_the_backend_is_named_and_changes_nothing(backend: str) -> None:
    model, inputs = tiny_model(settings(), attention_backend=backend), batch(documents((40, 7)))
    assert model.attention_backend == ("blocked" if backend == "auto" else backend)
    assert {layer.attention.self.backend for layer in model.encoder.layer} == {model.attention_backend}
    torch.testing.assert_close(model(**inputs).logits, tiny_model(settings())(**inputs).logits, atol=1e-5, rtol=0)
