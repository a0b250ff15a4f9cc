"""The flat settings of version 0.1.0: what they become, and that PTCConfig goes on working with a warning."""

from dataclasses import replace
from typing import Any

import pytest

import tokensieve
from flat import flat_of
from tokensieve import ConfigError, Deferral, Prune, ReductionConfig
from tokensieve.config.old import FIELDS
from tokensieve.config.ptc import changed, from_flat
from tokensieve.reduce.combine.combining_module import CombiningModule
from tokensieve.reduce.merge.most_similar import MostSimilar
from tokensieve.reduce.schedule import Constant, Listed
from tokensieve.reduce.score.learned import Learned
from tokensieve.reduce.score.received import Received
from tokensieve.reduce.select.fuzzy import Fuzzy
from tokensieve.reduce.select.top_share import TopShare
from tokensieve.reduce.site import Ahead, Hidden

RATIO = Prune(select=TopShare())
NESTED: list[tuple[dict[str, Any], ReductionConfig]] = [
    ({}, ReductionConfig()),
    ({"format_version": 1}, ReductionConfig()),
    ({"pruning": "none"}, ReductionConfig(prune=None)),
    ({"pruning": "ratio"}, ReductionConfig(prune=RATIO)),
    ({"keep_ratio": 0.7}, ReductionConfig(keep=0.7)),
    ({"keep_ratios": [1, 0.5]}, ReductionConfig(prune=Prune(schedule=Listed((1.0, 0.5))))),
    ({"site": "hidden", "merge_pruned": True}, ReductionConfig(prune=Prune(site=Hidden(), merge=MostSimilar()))),
    (
        {"ratio_scope": "candidates", "alpha_important": 0.4, "alpha_unimportant": 0.7, "min_tokens": 3},
        ReductionConfig(prune=Prune(select=Fuzzy(3, "candidates", 0.4, 0.7))),
    ),
    (
        {"heads": "per_head", "score_queries": "sample", "score_sample": 5},
        ReductionConfig(prune=Prune(Received("per_head", "sample", 5))),
    ),
    (
        {"pruning": "ratio", "score": "learned", "site": "hidden", "score_noise": 0.5, "leaving_keys": True},
        ReductionConfig(prune=Prune(Learned(0.5), TopShare(), site=Ahead(True))),
    ),
    (
        {"pruning": "none", "combine_layer": 3, "combine_mode": "insert", "combination_tokens": 4},
        ReductionConfig(prune=None, combine=CombiningModule(3, "insert", 4)),
    ),
    (
        {"combine_layer": 2, "combine_scale": False, "combine_noise": False, "combine_count_offset": 1},
        ReductionConfig(combine=CombiningModule(2, scale=False, noise=False, count_offset=1)),
    ),
    (
        {"combine_layer": 2, "combine_init": "identity", "combine_assignment": "soft"},
        ReductionConfig(combine=CombiningModule(2, init="identity", assignment="soft")),
    ),
    (
        {"pruning": "ratio", "reread": 0.1, "reread_ratios": [0.9, 0.8]},
        ReductionConfig(prune=RATIO, defer=Deferral(0.1, Listed((0.9, 0.8)))),
    ),
    ({"pruning": "ratio", "reread": 0.1}, ReductionConfig(prune=RATIO, defer=Deferral(0.1))),
    (
        {"pooling": "host", "protect_special": False, "min_length": 9},
        ReductionConfig(None, pooling="pretrained", protect_special=False, min_length=9),
    ),
]


@pytest.mark.parametrize(("flat", "nested"), NESTED, ids=lambda value: str(value) if isinstance(value, dict) else "")
def test_what_flat_settings_become(flat: dict[str, Any], nested: ReductionConfig) -> None:
    assert from_flat(flat) == nested
    assert ReductionConfig.from_dict(flat) == nested
    assert changed(ReductionConfig(), {name: value for name, value in flat.items() if name in FIELDS}) == nested
    with pytest.warns(DeprecationWarning, match="PTCConfig goes with the next version: use ReductionConfig"):
        assert tokensieve.PTCConfig(**{name: value for name, value in flat.items() if name in FIELDS}) == nested


@pytest.mark.parametrize(
    ("flat", "named"),
    [
        ({"score": "learned"}, "score='learned' needs site='hidden'"),
        ({"score": "learned", "site": "hidden", "score_queries": "anchors"}, "score_queries='anchors' needs"),
        ({"leaving_keys": True}, "leaving_keys=True needs score='learned'"),
        ({"score_noise": 0.5}, "score_noise=0.5 needs score='learned'"),
        ({"keep_ratio": 0}, "keep_ratio=0"),
        ({"keep_ratio": None}, "keep_ratio=None"),
        ({"pruning": "fuzy"}, "pruning='fuzy'.*'fuzzy'"),
        ({"pruning": ["fuzzy"]}, "pruning="),
        ({"site": "key"}, "site='key'.*'keys'"),
        ({"pooling": "cls", "keep_ratio": 0.5}, "pooling='cls'"),
        ({"combine_layer": 0}, "combine_layer=0"),
        ({"combination_tokens": "8"}, "combination_tokens='8'"),
        ({"score_sample": 0}, "score_sample=0"),
        ({"alpha_important": 2, "pruning": "ratio"}, "alpha_important=2"),
        ({"heads": "per_head", "site": "hidden"}, "heads='per_head' needs site='keys'"),
        ({"merge_pruned": True}, "merge_pruned=True needs site='hidden'"),
        ({"merge_pruned": "yes"}, "merge_pruned='yes': give True or False"),
        ({"pooling": "host", "combine_layer": 3}, "pretrained.*combining"),
        ({"ratio_scope": "candidates", "pruning": "ratio"}, "ratio_scope='candidates' needs pruning='fuzzy'"),
        ({"reread": 1}, "reread=1"),
        ({"reread": 0.1, "pruning": "none"}, "reread=0.1 needs pruning"),
        ({"reread_ratios": [0.5]}, r"reread_ratios=\[0.5\] needs reread"),
        ({"keep_ratio": 0.5, "keep_rate": 0.5}, "'keep_rate': did you mean keep_ratio"),
        ({"format_version": 1, "prune": None}, "'prune': "),
    ],
    ids=str,
)
def test_refused(flat: dict[str, Any], named: str) -> None:
    with pytest.raises(ConfigError, match=named):
        ReductionConfig.from_dict(flat)


def test_flat_fields_in_place_of_a_presets() -> None:
    fast = ReductionConfig.preset("fast")
    assert changed(fast, {}) == fast
    assert changed(fast, {"site": "hidden"}) == fast, "tokens of a learned score leave ahead of a layer"
    kept = changed(fast, {"keep_ratio": 0.7})
    assert kept.prune is not None and kept.prune.schedule == Constant(0.7)
    assert changed(fast, {"reread": 0}).defer is None
    assert changed(fast, {"reread": 0.2}).deferred == 0.2
    assert changed(fast, {"pruning": "none"}) == ReductionConfig(prune=None, pooling="mean", min_length=48)
    assert changed(fast, {"pruning": "fuzzy"}).prune == replace(fast.prune, select=Fuzzy(min_tokens=24))
    assert flat_of(changed(fast, {"combine_layer": 4}), 6).combine_layer == 4
    assert changed(fast, {"combine_layer": 4}, 6).shares(6) == fast.shares(6)[:3], "0.1.0 cut the shares off"
    assert changed(fast, {"combination_tokens": 4}) == fast, "nothing is combined"
    assert changed(ReductionConfig.preset("dense"), {"keep_ratio": 0.5, "site": "hidden"}).prune is None
    again = changed(ReductionConfig(prune=RATIO), {"reread": 0.2, "reread_ratios": (0.95, 0.95)})
    assert changed(again, {"reread": 0.3}).defer == Deferral(0.3, Listed((0.95, 0.95)))
    assert changed(again, {"keep_ratio": 0.8}).defer == Deferral(0.2)


@pytest.mark.parametrize(
    ("preset", "flat", "named"),
    [
        ("fast", {"keep": 0.5}, "'keep': did you mean keep_ratio"),
        ("fast", {"score": "received"}, "leaving_keys=True needs score='learned'"),
        ("fast", {"site": "keys"}, "score='learned' needs site='hidden'"),
        ("fast", {"pruning": "none", "reread": 0.1}, "reread=0.1 needs pruning"),
        ("paper-p", {"reread_ratios": (1.0, 0.9)}, "reread_ratios=.* needs reread"),
        ("quantile", {"min_tokens": 3}, "prune.select=quantile: version 0.1.0"),
        ("random", {"min_tokens": 3}, "prune.score=random: version 0.1.0"),
    ],
    ids=str,
)
def test_flat_fields_that_do_not_go_with_the_settings(preset: str, flat: dict[str, Any], named: str) -> None:
    with pytest.raises(ConfigError, match=named):
        changed(ReductionConfig.preset(preset), flat, 6)


def test_the_old_name_has_presets_and_records() -> None:
    old = tokensieve.PTCConfig
    assert old.preset("fast", 6) == ReductionConfig.preset("fast")
    assert old.from_dict({"keep_ratio": 0.7}) == ReductionConfig(keep=0.7)
    with pytest.raises(ConfigError, match="needs a model of 2 layers"):
        old.preset("paper-pfc-7", 1)
    name = next(iter(FIELDS))
    for values, flat in (((None,) * (len(FIELDS) + 1), {}), (("fuzzy",), {name: "fuzzy"})):
        with pytest.warns(DeprecationWarning), pytest.raises(TypeError, match="each once"):
            old(*values, **flat)
