"""PTCConfig: defaults, presets, what is refused and why, and the record in a checkpoint."""

import dataclasses
import json
import math
import re
from typing import Any

import pytest

from tokensieve import ConfigError, PTCConfig

PAPER = ("paper-p", "paper-pf", "paper-c-7", "paper-c-11", "paper-pfc-7", "paper-pfc-11")


def test_defaults_are_the_written_ones() -> None:
    assert dataclasses.asdict(PTCConfig()) == {
        "pruning": "fuzzy",
        "keep_ratio": 0.9,
        "keep_ratios": None,
        "merge_pruned": False,
        "ratio_scope": "all",
        "site": "keys",
        "heads": "shared",
        "combine_layer": None,
        "combine_mode": "replace",
        "combination_tokens": 8,
        "protect_special": True,
        "pooling": "auto",
        "min_length": 0,
        "min_tokens": 1,
        "alpha_important": 0.01,
        "alpha_unimportant": 0.9,
        "combine_scale": True,
        "combine_noise": True,
        "combine_count_offset": 0.0,
        "combine_init": "random",
        "combine_assignment": "hard",
        "score": "received",
        "leaving_keys": False,
        "score_noise": 0.0,
        "score_queries": "all",
        "score_sample": 32,
        "reread": 0.0,
        "reread_ratios": None,
    }


def test_settings_do_not_change() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        PTCConfig().keep_ratio = 0.5  # type: ignore[misc]
    assert hash(PTCConfig()) == hash(PTCConfig(keep_ratio=0.9))


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"score": "learned"}, "score='learned' with site='keys'.*use site='hidden'"),
        ({"score": "learned", "site": "hidden", "score_queries": "anchors"}, "score_queries='anchors' with score='lea"),
        ({"leaving_keys": True}, "leaving_keys=True with score='received'.*use score='learned'"),
        ({"score_noise": 0.5}, "score_noise=0.5 with score='received'"),
        ({"score_noise": -1.0}, "score_noise=-1.0"),
        ({"keep_ratio": 0}, "keep_ratio=0"),
        ({"keep_ratio": -0.1}, "keep_ratio=-0.1"),
        ({"keep_ratio": 1.01}, "keep_ratio=1.01"),
        ({"keep_ratio": float("nan")}, "keep_ratio=nan"),
        ({"keep_ratio": "0.9"}, "keep_ratio='0.9'"),
        ({"keep_ratio": True}, "keep_ratio=True"),
        ({"keep_ratio": None}, "keep_ratio=None"),
        ({"pruning": "fuzy"}, "pruning='fuzy'.*'fuzzy'"),
        ({"pruning": None}, "pruning=None"),
        ({"pruning": ["fuzzy"]}, "pruning="),
        ({"site": "key"}, "site='key'.*'keys'"),
        ({"heads": "each"}, "heads='each'"),
        ({"ratio_scope": "some"}, "ratio_scope='some'"),
        ({"combine_mode": "append"}, "combine_mode='append'"),
        ({"pooling": "cls"}, "pooling='cls'"),
        ({"combine_init": "layer"}, "combine_init='layer'"),
        ({"combine_assignment": "firm"}, "combine_assignment='firm'"),
        ({"combine_layer": 0}, "combine_layer=0"),
        ({"combine_layer": -1}, "combine_layer=-1"),
        ({"combine_layer": 2.0}, r"combine_layer=2\.0"),
        ({"combine_layer": True}, "combine_layer=True"),
        ({"combination_tokens": 0}, "combination_tokens=0"),
        ({"combination_tokens": 2.5}, "combination_tokens=2.5"),
        ({"min_length": -1}, "min_length=-1"),
        ({"min_tokens": 0}, "min_tokens=0"),
        ({"alpha_important": 1.1}, "alpha_important=1.1"),
        ({"alpha_unimportant": -0.1}, "alpha_unimportant=-0.1"),
        ({"alpha_important": float("nan")}, "alpha_important=nan"),
        ({"combine_count_offset": -1}, "combine_count_offset=-1"),
        ({"combine_count_offset": float("inf")}, "combine_count_offset=inf"),
        ({"protect_special": 1}, "protect_special=1"),
        ({"combine_scale": "yes"}, "combine_scale='yes'"),
        ({"combine_noise": None}, "combine_noise=None"),
        ({"heads": "per_head", "site": "hidden"}, "per_head.*hidden"),
        ({"pooling": "host", "combine_layer": 3}, "host.*combin"),
        ({"ratio_scope": "candidates", "pruning": "ratio"}, "candidates.*ratio"),
        ({"ratio_scope": "candidates", "pruning": "none"}, "candidates.*none"),
    ],
    ids=str,
)
def test_refused(settings: dict[str, Any], named: str) -> None:
    with pytest.raises(ConfigError, match=named):
        PTCConfig(**settings)
    with pytest.raises(ConfigError, match=named):
        PTCConfig.from_dict(settings)


@pytest.mark.parametrize(
    "settings",
    [
        {"keep_ratio": 1},
        {"keep_ratio": 1e-9},
        {"combine_layer": 99},
        {"alpha_important": 0, "alpha_unimportant": 1},
        {"pooling": "host"},
        {"ratio_scope": "all", "pruning": "ratio"},
        {"heads": "per_head", "site": "keys", "ratio_scope": "candidates"},
        {"combination_tokens": 1, "combine_layer": 1, "combine_mode": "insert"},
    ],
    ids=str,
)
def test_taken(settings: dict[str, Any]) -> None:
    config = PTCConfig(**settings)
    assert {name: getattr(config, name) for name in settings} == settings


def test_pooling_auto() -> None:
    assert PTCConfig().resolved_pooling == "host"
    assert PTCConfig(combine_layer=2).resolved_pooling == "mean"
    assert PTCConfig(pooling="mean").resolved_pooling == "mean"


@pytest.mark.parametrize(
    ("mode", "layer", "fits"),
    [("replace", 1, True), ("replace", 4, True), ("replace", 5, False), ("insert", 5, True), ("insert", 6, False)],
)
def test_depth(mode: Any, layer: int, fits: bool) -> None:
    config = PTCConfig(combine_layer=layer, combine_mode=mode)
    if fits:
        config.check_depth(4)
    else:
        with pytest.raises(ConfigError, match=rf"combine_layer={layer}.*4 layers"):
            config.check_depth(4)


def test_record_round_trip() -> None:
    config = PTCConfig(keep_ratio=0.29, combine_layer=3, heads="per_head", combine_count_offset=1)
    record = json.loads(json.dumps(config.to_dict()))
    assert record["format_version"] == 1
    assert PTCConfig.from_dict(record) == config


def test_ratios_by_layer() -> None:
    config = PTCConfig(keep_ratios=[1, 0.5, 0.7], combine_layer=4)
    assert config.keep_ratios == (1.0, 0.5, 0.7)
    assert [config.ratio_of(layer) for layer in range(3)] == [1.0, 0.5, 0.7]
    assert PTCConfig(keep_ratio=0.3).ratio_of(2) == 0.3
    assert PTCConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config
    assert hash(config) == hash(PTCConfig(keep_ratios=(1.0, 0.5, 0.7), combine_layer=4))
    config.check_depth(6)
    with pytest.raises(ConfigError, match=r"keep_ratios=\[1.0, 0.5, 0.7\]: 3 shares, where 6 layers"):
        PTCConfig(keep_ratios=(1, 0.5, 0.7)).check_depth(6)


@pytest.mark.parametrize("name", ["keep_ratios", "reread_ratios"])
@pytest.mark.parametrize("given", [(), (0.5, 0), (1.5,), ("0.5",), 0.5, "0.5", (True,), (float("nan"),), {0.5: 1}])
def test_ratios_refused(name: str, given: object) -> None:
    with pytest.raises(ConfigError, match=rf"{name}=.*give a number in"):
        PTCConfig(**{"reread": 0.1, name: given})


def test_the_second_stages_shares() -> None:
    config = PTCConfig(pruning="ratio", keep_ratios=(0.5, 0.5), reread=0.1, reread_ratios=[0.75, 0.5], min_length=9)
    config.check_depth(2)
    assert PTCConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config
    first, second = config.stages
    assert first == PTCConfig(pruning="ratio", keep_ratios=(0.5, 0.5), min_length=9) == first.stages[0]
    assert len(first.stages) == 1
    assert second == PTCConfig(pruning="ratio", keep_ratio=1.0, keep_ratios=(0.75, 0.5), min_length=9)
    assert config.changed(reread_ratios=None).stages[1].ratio_of(1) == 1.0
    some = config.changed(keep_ratios=(0.5, 1.0), reread_ratios=(0.75, 0.9))
    assert some.stages[1].keep_ratios == (0.75, 1.0), "it prunes nothing where the first one prunes nothing"
    assert config.changed(reread=0.2).reread_ratios == (0.75, 0.5)
    for given in ({"reread": 0.0}, {"pruning": "none"}, {"keep_ratio": 0.7}, {"keep_ratios": (0.5, 0.4)}):
        assert config.changed(**given).reread_ratios is None
    assert config.changed(combine_layer=2, site="keys").reread_ratios == (0.75,)


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"reread": 0.0}, r"reread_ratios=\[0.75, 0.5\] with reread=0.*leave reread_ratios out"),
        ({"keep_ratios": (0.8, 0.4)}, r"reread_ratios=.*fewer tokens.*left in layer 1: give larger shares"),
        ({"keep_ratios": (0.7, 0.6)}, r"left in layer 2"),
        ({"keep_ratio": 0.9, "keep_ratios": None}, r"left in layer 1"),
        ({"reread_ratios": (0.75,)}, r"reread_ratios=\[0.75\]: 1 shares, where 2 layers"),
    ],
)
def test_second_stages_refused(given: dict[str, Any], named: str) -> None:
    start = {"pruning": "ratio", "keep_ratios": (0.5, 0.5), "reread": 0.1, "reread_ratios": (0.75, 0.5)}
    with pytest.raises(ConfigError, match=named):
        PTCConfig(**start | given).check_depth(2)


@pytest.mark.parametrize(
    ("record", "named"),
    [
        ({"keep_rate": 0.5}, "keep_rate.*keep_ratio"),
        ({"format_version": 2}, "format_version=2"),
        ({"format_version": None}, "format_version=None"),
    ],
    ids=str,
)
def test_foreign_records(record: dict[str, Any], named: str) -> None:
    with pytest.raises(ConfigError, match=named):
        PTCConfig.from_dict(record)


@pytest.mark.parametrize(
    ("depth", "seven", "eleven"),
    # Layers before the module: min(floor((L - 1) D / 12), D - 2); the module is the next one.
    [(12, 7, 11), (6, 4, 5), (24, 13, 21), (4, 3, 3), (3, 2, 2), (2, 1, 1), (8, 5, 7)],
)
def test_presets_scale(depth: int, seven: int, eleven: int) -> None:
    for kind in ("c", "pfc"):
        assert PTCConfig.preset(f"paper-{kind}-7", depth).combine_layer == seven
        assert PTCConfig.preset(f"paper-{kind}-11", depth).combine_layer == eleven


@pytest.mark.parametrize("name", PAPER)
def test_presets_of_the_paper(name: str) -> None:
    config = PTCConfig.preset(name, 12)
    assert config.pooling == "mean"
    kind = re.split("-", name)[1]
    assert config.pruning == {"p": "ratio", "pf": "fuzzy", "c": "none", "pfc": "fuzzy"}[kind]
    assert (config.combine_layer is not None) == ("c" in kind)
    rest = {"keep_ratio": 0.9, "combination_tokens": 8, "site": "keys", "heads": "shared", "combine_mode": "replace"}
    assert {key: getattr(config, key) for key in rest} == rest


@pytest.mark.parametrize(("name", "enter", "left"), [("accurate", 190, 96), ("balanced", 180, 60), ("fast", 84, 20)])
@pytest.mark.parametrize("depth", [2, 6, 12, 24])
def test_presets_of_the_learned_score_end_alike_at_any_depth(name: str, enter: int, left: int, depth: int) -> None:
    """Of 200 tokens so many enter the first layer, and about so many are left in the last one."""
    config = PTCConfig.preset(name, depth)
    assert config.min_length == 48
    assert (config.score, config.site, config.pruning, config.pooling) == ("learned", "hidden", "ratio", "mean")
    assert config.keep_ratios is not None and len(config.keep_ratios) == depth
    counts = [200]
    for share in config.keep_ratios:
        counts.append(math.floor(round(counts[-1] * share, 6)))
    assert counts[1] == enter
    assert 0.7 * left <= counts[-1] <= 1.05 * left


@pytest.mark.parametrize("depth", [2, 6, 12, 24])
def test_the_fastest_ends_with_the_fewest_tokens_at_any_depth(depth: int) -> None:
    config = PTCConfig.preset("fastest", depth)
    assert config.min_length == 48
    assert (config.score, config.site, config.pruning, config.pooling) == ("learned", "hidden", "ratio", "mean")
    assert config.keep_ratios is not None and len(config.keep_ratios) == depth
    counts = [200]
    for share in config.keep_ratios:
        counts.append(max(config.min_tokens, math.floor(round(counts[-1] * share, 6))))
    assert (counts[1], counts[-1]) == (84, 24)


@pytest.mark.parametrize("name", ["accurate", "balanced", "fast", "fastest"])
def test_the_shortest_document_that_is_pruned_ends_with_words(name: str) -> None:
    config = PTCConfig.preset(name, 6)
    left = config.min_length
    for share in config.keep_ratios or ():
        left = max(min(left, config.min_tokens), math.floor(round(left * share, 6)))
    assert left > 2, "[CLS] and [SEP]"
    assert (left == 24) == name.startswith("fast")


@pytest.mark.parametrize("depth", [1, 2, 6, 12, 24])
def test_the_fast_preset_has_a_second_reading_of_all_tokens_where_the_fastest_loses_more(depth: int) -> None:
    fast, fastest = (PTCConfig.preset(name, depth) for name in ("fast", "fastest"))
    fast.check_depth(depth)
    assert fast.changed(reread=0, keep_ratios=fastest.keep_ratios) == fastest
    assert fastest.keep_ratios and (fastest.reread, fastest.keep_ratios[0]) == (0, 0.42)
    assert fast.keep_ratios and fast.reread_ratios is None
    assert (fast.reread, fast.keep_ratios[0]) == (0.08, 0.42)
    if depth > 1:
        assert math.prod(fast.keep_ratios) == pytest.approx(0.1, rel=0.02)
        assert math.prod(fastest.keep_ratios) == pytest.approx(0.04, rel=0.02)


def test_one_setting_changed_changes_those_that_hang_on_it() -> None:
    fast = PTCConfig.preset("fast", 6)
    assert fast.changed(min_length=0).keep_ratios == fast.keep_ratios
    assert (fast.changed(keep_ratio=0.7).keep_ratios, fast.changed(keep_ratio=0.7).keep_ratio) == (None, 0.7)
    assert fast.changed(combine_layer=4).keep_ratios == (0.42, 0.75, 0.75)
    assert fast.changed(combine_layer=1).keep_ratios is None
    assert fast.changed(keep_ratio=0.7, keep_ratios=(0.5,) * 6).keep_ratios == (0.5,) * 6
    with pytest.raises(ConfigError, match="combine_layer=0"):
        fast.changed(combine_layer=0)


def test_dense_preset() -> None:
    config = PTCConfig.preset("dense", 12)
    assert (config.pruning, config.combine_layer, config.resolved_pooling) == ("none", None, "host")


@pytest.mark.parametrize(("name", "depth"), [("paper-pfc-9", 12), ("", 12), ("paper-pfc-7", 1), ("paper-c-11", 1)])
def test_presets_that_are_not(name: str, depth: int) -> None:
    with pytest.raises(ConfigError, match="preset"):
        PTCConfig.preset(name, depth)
