"""What holds for every method holds for compositions that nobody has named yet: a sample of the product of cells."""

import itertools
import random
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from contract import oracle
from contract.variants import DEPTH, UNEQUAL, batch, documents, tiny_model
from tokensieve import ConfigError, Prune, ReductionConfig, TokensieveForSequenceClassification
from tokensieve.reduce.combine.combining_module import CombiningModule
from tokensieve.reduce.combine.contract import Combine
from tokensieve.reduce.combine.projection import Projection
from tokensieve.reduce.merge.contract import Merge
from tokensieve.reduce.merge.most_similar import MostSimilar
from tokensieve.reduce.schedule import Constant, Even, LastLayers, Listed, OneLayer, Schedule, Spaced, Taper
from tokensieve.reduce.score.energy import Energy
from tokensieve.reduce.score.key_similarity import KeySimilarity
from tokensieve.reduce.score.learned import Learned
from tokensieve.reduce.score.page_rank import PageRank
from tokensieve.reduce.score.random import Random
from tokensieve.reduce.score.received import Received
from tokensieve.reduce.select.fuzzy import Fuzzy
from tokensieve.reduce.select.pairs import Pairs
from tokensieve.reduce.select.quantile import Quantile
from tokensieve.reduce.select.threshold import Threshold
from tokensieve.reduce.select.top_share import TopShare
from tokensieve.reduce.site import Ahead, Hidden, Keys

SCORES = (
    Received(),
    Received(queries="anchors"),
    Received(queries="sample", sample=5),
    Received("per_head"),
    Received("per_head", "sample", 3),
    Learned(noise=0.5),
    Random(seed=3),
    KeySimilarity(),
    Energy(0.5),
    PageRank(variance=(0.01, 0.7)),
    PageRank((3, 2, 1), emphasis=False, heads="entropy", variance=(0.0, 100.0)),
    PageRank(heads="mean", similar=0.6, partition="alternate"),
    PageRank(variance=(0.1, 0.5), similar=1.0, partition="important"),
)
SELECTIONS = (
    TopShare(),
    TopShare(min_tokens=9),
    Fuzzy(),
    Fuzzy(9, "candidates"),
    Quantile(),
    Quantile(min_tokens=9),
    Threshold(),
    Threshold(9, 0.1, "maximum"),
    Threshold(threshold=0.02, relative="nothing"),
    Pairs(),
    Pairs("next"),
    Pairs(min_tokens=9),
)
SCHEDULES = (
    Constant(0.6),
    Taper(0.7, 0.2),
    OneLayer(1, 0.5),
    OneLayer(2, 0.4),
    Even(0.3),
    LastLayers(2, 0.6),
    Spaced(2, 0.5),
    Listed((0.5, 1.0, 0.6, 0.7)),
)
SITES = (Keys(), Hidden(), Ahead(), Ahead(keys_once_more=True))
MERGES = (None, MostSimilar(), MostSimilar("keys"), MostSimilar("keys", proportional=True))
COMBINES = (
    None,
    CombiningModule(layer=3, tokens=3),
    CombiningModule(layer=1, mode="insert", tokens=2),
    CombiningModule(layer="9/12", assignment="soft"),
    CombiningModule(layer=DEPTH + 1, mode="insert", tokens=1, count_offset=1.0),
    Projection(layer=2, tokens=3),
    Projection(layer=3, mode="replace", tokens=2, by="position", buckets=7),
)
REST = ({}, {"protect_special": False}, {"min_length": 12}, {"pooling": "mean"})
NUMBER = 140
"""Of compositions that are tried, which takes some seconds; each cell is in several."""
CLOSE = {"atol": 1e-5, "rtol": 5e-6}  # one combination token takes sums of many tokens, so that logits are large


def allowed() -> Iterator[ReductionConfig]:
    """The whole product in a random order, but for what is refused."""
    product = list(itertools.product(SCORES, SELECTIONS, SCHEDULES, SITES, MERGES, COMBINES, REST))
    for score, select, schedule, site, merge, combine, rest in random.Random(0).sample(product, len(product)):
        settings = composed(score, select, schedule, site, merge, combine, rest)
        if settings is not None:
            yield settings


def composed(
    score: object, select: object, schedule: Schedule, site: object, merge: Merge | None, combine: Combine | None,
    rest: dict[str, object],
) -> ReductionConfig | None:  # fmt: skip
    """The settings, for a model of DEPTH layers; None where cells do not go together."""
    layers = DEPTH if combine is None else combine.before(DEPTH)
    if isinstance(schedule, Listed):
        schedule = Listed(schedule.shares[:layers]) if layers else Constant()
    if isinstance(schedule, OneLayer) and schedule.layer > layers:
        return None
    try:
        return ReductionConfig(prune=Prune(score, select, schedule, site, merge), combine=combine, **rest)  # type: ignore[arg-type]
    except ConfigError:
        return None


def name_of(settings: ReductionConfig) -> str:
    cells = [settings.prune.score, settings.prune.select, settings.prune.schedule, settings.prune.site]  # type: ignore[union-attr]
    where = "" if settings.combine is None else f"-combine {settings.combine.layer}"
    return "-".join(cell.name for cell in cells) + ("-merged" if settings.prune.merge else "") + where  # type: ignore[union-attr]


SAMPLE = list(itertools.islice(allowed(), NUMBER))  # of the seeds from 0 the first one with every cell
each_composition = pytest.mark.parametrize("reduction", SAMPLE, ids=map(name_of, SAMPLE))


def test_every_cell_is_in_the_sample() -> None:
    for place, cells in (("score", SCORES), ("select", SELECTIONS), ("site", SITES), ("merge", MERGES)):
        tried = {getattr(settings.prune, place) for settings in SAMPLE}
        assert tried == set(cells)
    assert {settings.combine for settings in SAMPLE} == set(COMBINES)
    pairs = {(type(own.prune.score), type(own.prune.site)) for own in SAMPLE}  # type: ignore[union-attr]
    assert len(pairs) == 6 * 3 - 5, (
        "but a score of attention, or of its keys, ahead of it; or page rank of keys that leave"
    )


@each_composition
@torch.no_grad()
def test_forward(reduction: ReductionConfig) -> None:
    """The method written down agrees, a document is answered alone as in a batch, and the plan counts what is kept."""
    model, texts = tiny_model(reduction), documents(UNEQUAL)
    output = model(**batch(texts))
    logits, kept_counts = oracle.answers(model, **batch(texts))
    torch.testing.assert_close(output.logits, logits, **CLOSE)
    assert output.trace.kept == kept_counts
    for number, ids in enumerate(texts):
        alone = model(**batch([ids]))
        torch.testing.assert_close(alone.logits[0], output.logits[number], **CLOSE)
        kept = [step[number] for step in output.trace.kept]
        assert [step[0] for step in alone.trace.kept] == kept
        plan = model.plan(len(ids), special=min(2, len(ids)))
        assert all(step.fewest <= own <= step.kept for step, own in zip(plan.steps, kept, strict=True))
        if plan.basis == "exact":
            assert plan.kept_tokens == tuple(kept)
        measured = model.plan(len(ids), special=min(2, len(ids)), samples=batch([ids]))
        assert measured.kept_tokens == pytest.approx(tuple(kept))


@each_composition
def test_training(reduction: ReductionConfig) -> None:
    model = tiny_model(reduction).train()
    model(**batch(documents(UNEQUAL)), labels=torch.arange(len(UNEQUAL)) % 3).loss.backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None and parameter.grad.isfinite().all(), name


@pytest.mark.parametrize("reduction", SAMPLE[::8], ids=map(name_of, SAMPLE[::8]))
@torch.no_grad()
def test_round_trip(reduction: ReductionConfig, tmp_path: Path) -> None:
    model, inputs = tiny_model(reduction), batch(documents(UNEQUAL))
    model.save_pretrained(tmp_path)
    loaded = TokensieveForSequenceClassification.from_pretrained(tmp_path)
    assert loaded.settings == reduction
    assert torch.equal(loaded(**inputs).logits, model(**inputs).logits)


def test_records_round_trip() -> None:
    for settings in itertools.islice(allowed(), 0, None, 7):
        assert ReductionConfig.from_dict(settings.to_dict()) == settings
