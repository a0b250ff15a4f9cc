"""ReductionConfig: defaults, presets, what is refused and why, and the record in a checkpoint."""

import dataclasses
import json
import math
from typing import Any

import pytest

from tokensieve import METHODS, ConfigError, Deferral, Prune, ReductionConfig
from tokensieve.reduce.combine.combining_module import CombiningModule
from tokensieve.reduce.merge.most_similar import MostSimilar
from tokensieve.reduce.schedule import Constant, Listed, Taper
from tokensieve.reduce.score.learned import Learned
from tokensieve.reduce.score.received import Received
from tokensieve.reduce.select.fuzzy import Fuzzy
from tokensieve.reduce.select.top_share import TopShare
from tokensieve.reduce.site import Ahead, Hidden, Keys

PAPER = ("paper-p", "paper-pf", "paper-c-7", "paper-c-11", "paper-pfc-7", "paper-pfc-11")
FUZZY = {"scope": "all", "alpha_important": 0.01, "alpha_unimportant": 0.9, "min_tokens": 1}
MODULE = {"mode": "replace", "tokens": 8, "scale": True, "noise": True, "count_offset": 0.0, "init": "random"}


def test_defaults_are_the_written_ones() -> None:
    assert ReductionConfig().to_dict() == {
        "format_version": 2,
        "prune": {
            "score": {"name": "received", "heads": "shared", "queries": "all", "sample": 32, "own": True},
            "select": {"name": "fuzzy", **FUZZY},
            "schedule": {"name": "constant", "keep": 0.9},
            "site": {"name": "keys"},
            "merge": None,
        },
        "combine": None,
        "defer": None,
        "pooling": "auto",
        "protect_special": True,
        "min_length": 0,
    }
    module = ReductionConfig(combine=CombiningModule(3)).to_dict()["combine"]
    assert module == {"name": "combining-module", "layer": 3, "assignment": "hard", **MODULE}


def test_settings_do_not_change() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        ReductionConfig().min_length = 5  # type: ignore[misc]
    assert hash(ReductionConfig()) == hash(ReductionConfig(keep=0.9))


def test_short_form() -> None:
    assert ReductionConfig(keep=0.7) == ReductionConfig(prune=Prune(schedule=Constant(0.7)))
    assert dataclasses.replace(ReductionConfig(keep=0.7), min_length=3).prune == ReductionConfig(keep=0.7).prune
    with pytest.raises(ConfigError, match="keep=0"):
        ReductionConfig(keep=0)


@pytest.mark.parametrize(
    ("record", "named"),
    [
        (
            {"prune": {"schedule": {"name": "constant", "keep": 0}}},
            r"prune\.schedule\.keep=0: give a number in \(0, 1\]",
        ),
        ({"prune": {"schedule": {"name": "constant", "keep": "0.9"}}}, r"prune\.schedule\.keep='0.9'"),
        ({"prune": {"schedule": {"name": "constant", "keep": True}}}, r"prune\.schedule\.keep=True"),
        ({"prune": {"schedule": {"name": "taper", "first": 0.2, "last": 0.4}}}, "last=0.4 with first=0.2"),
        ({"prune": {"schedule": {"name": "listed", "shares": []}}}, r"prune\.schedule\.shares=\[\]"),
        ({"prune": {"schedule": {"name": "listed", "shares": "0.5"}}}, r"prune\.schedule\.shares='0.5'"),
        ({"prune": {"schedule": {"name": "listed", "shares": [0.5, 0]}}}, r"prune\.schedule\.shares=\[0.5, 0\]"),
        ({"prune": {"schedule": {"keep": 0.7}}}, "prune.schedule: give its name too, one of constant"),
        ({"prune": {"score": "lerned"}}, "prune.score='lerned': did you mean learned"),
        ({"prune": {"score": 3}}, "prune.score=3: give an object with its settings, or a name, one of received"),
        ({"prune": {"score": {"name": ["learned"]}}}, r"prune.score=\['learned'\]"),
        ({"prune": "fuzzy"}, "prune='fuzzy': give an object with some of score, select, "),
        ({"prune": {"select": None}}, "prune.select=None: .*in a record one of top-share, "),
        ({"prune": {"score": None}}, "prune.score=None: give an object of the class Score"),
        (
            {"prune": {"score": {"name": "received", "head": "shared"}}},
            "did you mean prune.score.heads",
        ),
        ({"prune": {"score": {"name": "received", "queries": "some"}}}, "'all', 'anchors', 'sample'"),
        ({"prune": {"score": {"name": "learned", "noise": -1.0}}}, r"prune\.score\.noise=-1.0"),
        ({"prune": {"select": {"name": "fuzzy", "scope": "some"}}}, "scope='some'"),
        ({"prune": {"select": {"name": "fuzzy", "alpha_important": float("nan")}}}, "alpha_important=nan"),
        ({"prune": {"select": {"name": "top-share", "min_tokens": 0}}}, "min_tokens=0"),
        ({"prune": {"select": {"name": "top-share", "scope": "all"}}}, "unknown setting 'prune.select.scope'"),
        ({"prune": {"site": "hiden"}}, "did you mean hidden"),
        ({"prune": {"site": {"name": "ahead", "keys_once_more": 1}}}, "keys_once_more=1"),
        ({"prune": []}, r"prune=\[\]: give an object"),
        ({"combine": {"layer": 0}}, "combine.layer=0"),
        ({"combine": {"layer": 2.0}}, r"combine.layer=2\.0"),
        ({"combine": {"layer": "7/0"}}, "combine.layer='7/0'"),
        ({"combine": {"layer": 3, "tokens": 0}}, "combine.tokens=0"),
        ({"combine": {"layer": 3, "mode": "append"}}, "combine.mode='append'"),
        ({"combine": {"layer": 3, "count_offset": float("inf")}}, "combine.count_offset=inf"),
        ({"combine": {"layer": 3, "scale": "yes"}}, "combine.scale='yes'"),
        ({"combine": {"layer": 3, "assignment": "firm"}}, "combine.assignment='firm'"),
        ({"defer": {"share": 1}}, "defer.share=1: give a share of the documents"),
        ({"defer": {"share": 0}}, "defer.share=0"),
        ({"pooling": "cls"}, "pooling='cls'"),
        ({"min_length": -1}, "min_length=-1"),
        ({"protect_special": 1}, "protect_special=1"),
        ({"prun": None}, "unknown setting 'prun': did you mean prune"),
        ({"format_version": 3}, "format_version=3"),
        ({"format_version": None}, "format_version=None"),
        ({"format_version": "2"}, "format_version='2'"),
        # What does not go together.
        ({"prune": {"score": "learned", "site": "hidden"}, "pooling": "x"}, "pooling='x'"),
        ({"prune": {"score": "received", "site": "ahead"}}, "score=received with site=ahead"),
        ({"prune": {"score": {"name": "received", "heads": "per_head"}, "site": "hidden"}}, "per_head.*site=hidden"),
        ({"prune": {"merge": "most-similar"}}, "merge=most-similar with site=keys"),
        ({"prune": None, "defer": {"share": 0.1}}, "defer.share=0.1 with prune=none"),
        ({"pooling": "pretrained", "combine": {"layer": 3}}, "pretrained.*combining module"),
        ({"prune": {"select": "learned-threshold"}}, "select=learned-threshold with site=keys"),
        (
            {"prune": {"select": "soft-extract", "site": "hidden"}, "combine": {"layer": 3}},
            "soft-extract with a combin",
        ),
        ({"prune": {"score": {"name": "received", "own": False}}}, r"score\.own=False with site=keys"),
        ({"prune": {"schedule": "open", "site": "hidden"}}, "schedule=open with select=fuzzy: nothing says how many"),
        ({"prune": {"score": "skim-predictor", "site": "ahead"}}, "score=skim-predictor with select=fuzzy"),
        ({"prune": {"select": "skim", "site": "hidden"}}, "score=received with select=skim"),
        ({"prune": {"select": {"name": "skim", "temperature": 0}}}, "temperature=0"),
    ],
    ids=str,
)
def test_refused(record: dict[str, Any], named: str) -> None:
    with pytest.raises(ConfigError, match=named):
        ReductionConfig.from_dict(record)


@pytest.mark.parametrize("kind", ["score", "select", "schedule", "site", "merge"])
def test_a_cell_of_another_kind_is_refused(kind: str) -> None:
    other = Received() if kind != "score" else TopShare()
    with pytest.raises(ConfigError, match=f"{kind}=.*give an object of the class"):
        Prune(**{kind: other})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "settings",
    [
        ReductionConfig(keep=1),
        ReductionConfig(keep=1e-9),
        ReductionConfig(combine=CombiningModule(99)),
        ReductionConfig(prune=Prune(select=Fuzzy(alpha_important=0, alpha_unimportant=1))),
        ReductionConfig(prune=Prune(Received(heads="per_head"), Fuzzy(scope="candidates"), site=Keys())),
        ReductionConfig(prune=Prune(Learned(0.5), TopShare(24), Taper(0.4, 0.1), Ahead(True), MostSimilar())),
        ReductionConfig(prune=Prune(Learned(), TopShare(), Listed([0.5, 1]), Hidden()), defer=Deferral(0.2, Taper())),
        ReductionConfig(prune=None, combine=CombiningModule(1, "insert", 1, assignment="soft"), pooling="mean"),
        *(method.settings for method in METHODS.values()),
    ],
    ids=str,
)
def test_record_round_trip(settings: ReductionConfig) -> None:
    record = json.loads(json.dumps(settings.to_dict()))
    assert ReductionConfig.from_dict(record) == settings
    assert hash(ReductionConfig.from_dict(record)) == hash(settings)


@pytest.mark.parametrize("record", [None, 3, "fast", [], ["prune"], ()], ids=str)
def test_a_record_that_is_no_object(record: object) -> None:
    with pytest.raises(ConfigError, match=r"the reduction record is .*: give an object"):
        ReductionConfig.from_dict(record)


@pytest.mark.parametrize("name", ["fsat", "", None, ["fast"], 3], ids=str)
def test_a_preset_that_is_none(name: object) -> None:
    with pytest.raises(ConfigError, match="did you mean fast" if name == "fsat" else "choose one of dense, "):
        ReductionConfig.preset(name)


def test_keep_is_short_for_pruning_alone() -> None:
    with pytest.raises(ConfigError, match=r"keep=0\.7 with prune=None: nothing is pruned"):
        ReductionConfig(keep=0.7, prune=None)


@pytest.mark.parametrize("layer", ["13/12", "0/12", "7/0", "7", "7/12/2", "٧/12"])
def test_a_place_that_no_depth_has(layer: str) -> None:
    with pytest.raises(ConfigError, match="layer="):
        CombiningModule(layer)


@pytest.mark.parametrize("depth", [1, 2, 3, 24])
def test_a_steep_taper_keeps_some(depth: int) -> None:
    settings = ReductionConfig(prune=Prune(schedule=Taper(1, 1e-9)))
    assert min(settings.shares(depth)) > 0
    assert settings.expanded(depth).shares(depth) == settings.shares(depth)


def test_what_a_record_may_leave_out() -> None:
    assert ReductionConfig.from_dict({}) == ReductionConfig()
    assert ReductionConfig.from_dict({"prune": {"score": "learned", "site": "ahead"}}).prune == Prune(
        Learned(), site=Ahead()
    )
    assert ReductionConfig.from_dict({"combine": {"layer": 3}}).combine == CombiningModule(3)
    assert ReductionConfig.from_dict({"prune": None}).prune is None


def test_pooling_auto() -> None:
    assert ReductionConfig().resolved_pooling == "pretrained"
    assert ReductionConfig(combine=CombiningModule(2)).resolved_pooling == "mean"
    assert ReductionConfig(pooling="mean").resolved_pooling == "mean"


@pytest.mark.parametrize(
    ("mode", "layer", "fits"),
    [("replace", 1, True), ("replace", 4, True), ("replace", 5, False), ("insert", 5, True), ("insert", 6, False)],
)
def test_depth(mode: Any, layer: int, fits: bool) -> None:
    settings = ReductionConfig(combine=CombiningModule(layer, mode))
    if fits:
        settings.check_depth(4)
    else:
        with pytest.raises(ConfigError, match=rf"combine.layer={layer}.*4 layers"):
            settings.check_depth(4)


def test_shares_by_layer() -> None:
    settings = ReductionConfig(prune=Prune(schedule=Listed((1, 0.5, 0.7))), combine=CombiningModule(4))
    assert settings.shares(6) == (1.0, 0.5, 0.7)
    settings.check_depth(6)
    with pytest.raises(ConfigError, match=r"prune.schedule.shares=\[1.0, 0.5, 0.7\]: 3 shares, where 6 layers"):
        dataclasses.replace(settings, combine=None).check_depth(6)
    assert ReductionConfig(keep=0.3).shares(2) == (0.3, 0.3)
    assert ReductionConfig(prune=None).shares(2) == (1.0, 1.0)
    assert ReductionConfig.preset("fast").shares(6) == (0.42, 0.75, 0.75, 0.75, 0.75, 0.75)
    assert ReductionConfig.preset("fast").shares(1) == (0.42,)


def test_expanded_settings_are_equal_where_they_do_the_same() -> None:
    fast = ReductionConfig.preset("fast")
    listed = dataclasses.replace(fast, prune=dataclasses.replace(fast.prune, schedule=Listed(fast.shares(6))))
    assert listed != fast
    assert listed.expanded(6) == fast.expanded(6)
    scaled, placed = (ReductionConfig(combine=CombiningModule(layer)) for layer in ("7/12", 4))
    assert scaled.expanded(6) == placed.expanded(6)
    assert scaled.expanded(12) != placed.expanded(12)


TWO_STAGES = ReductionConfig(
    prune=Prune(select=TopShare(), schedule=Listed((0.5, 0.5))), defer=Deferral(0.1, Listed((0.75, 0.5)))
)


def _second(**changes: Any) -> ReductionConfig:
    return dataclasses.replace(TWO_STAGES, **changes)


def test_the_second_stages_settings() -> None:
    TWO_STAGES.check_depth(2)
    first, second = TWO_STAGES.stages(2)
    assert first == _second(defer=None)
    assert first.stages(2) == (first,)
    assert TWO_STAGES.prune is not None
    assert second == _second(defer=None, prune=dataclasses.replace(TWO_STAGES.prune, schedule=Listed((0.75, 0.5))))
    assert _second(defer=Deferral(0.1)).stages(2)[1].prune is None, "it reads all tokens"
    some = _second(prune=Prune(schedule=Listed((0.5, 1))), defer=Deferral(0.1, Listed((0.75, 0.9))))
    assert some.stages(2)[1].shares(2) == (0.75, 1.0), "it prunes nothing where the first one prunes nothing"


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"prune": Prune(schedule=Listed((0.8, 0.4)))}, "fewer tokens.*left in layer 1: give larger shares"),
        ({"prune": Prune(schedule=Listed((0.7, 0.6)))}, "left in layer 2"),
        ({"prune": Prune()}, "left in layer 1"),
        ({"defer": Deferral(0.1, Listed((0.75,)))}, r"defer.schedule.shares=\[0.75\]: 1 shares, where 2 layers"),
    ],
)
def test_second_stages_refused(changes: dict[str, Any], named: str) -> None:
    with pytest.raises(ConfigError, match=named):
        _second(**changes).check_depth(2)


@pytest.mark.parametrize(
    ("depth", "seven", "eleven"),
    # Layers before the module: min(floor((L - 1) D / 12), D - 2); the module is the next one.
    [(12, 7, 11), (6, 4, 5), (24, 13, 21), (4, 3, 3), (3, 2, 2), (2, 1, 1), (8, 5, 7)],
)
def test_presets_scale(depth: int, seven: int, eleven: int) -> None:
    for kind in ("c", "pfc"):
        assert ReductionConfig.preset(f"paper-{kind}-7").before(depth) + 1 == seven
        assert ReductionConfig.preset(f"paper-{kind}-11").before(depth) + 1 == eleven


@pytest.mark.parametrize("name", PAPER)
def test_presets_of_the_paper(name: str) -> None:
    settings = ReductionConfig.preset(name)
    kind = name.split("-")[1]
    selects: dict[str, Any] = {"p": TopShare(), "pf": Fuzzy(), "pfc": Fuzzy()}
    assert settings.prune == (Prune(Received(), selects[kind], Constant(0.9), Keys()) if kind in selects else None)
    assert (settings.combine is not None) == ("c" in kind)
    assert settings.combine is None or dataclasses.replace(settings.combine, layer=1) == CombiningModule()
    assert (settings.pooling, settings.defer, settings.min_length) == ("mean", None, 0)


@pytest.mark.parametrize(("name", "enter", "left"), [("accurate", 190, 96), ("balanced", 180, 60), ("fast", 84, 20)])
@pytest.mark.parametrize("depth", [2, 6, 12, 24])
def test_presets_of_the_learned_score_end_alike_at_any_depth(name: str, enter: int, left: int, depth: int) -> None:
    """Of 200 tokens so many enter the first layer, and about so many are left in the last one."""
    settings = ReductionConfig.preset(name)
    _check_ours(settings)
    counts = [200]
    for share in settings.shares(depth):
        counts.append(math.floor(round(counts[-1] * share, 6)))
    assert len(counts) == depth + 1
    assert counts[1] == enter
    assert 0.7 * left <= counts[-1] <= 1.05 * left


def _check_ours(settings: ReductionConfig) -> None:
    assert settings.prune is not None
    prune = settings.prune
    assert (settings.min_length, settings.pooling) == (48, "mean")
    assert (prune.score, type(prune.select), type(prune.site)) == (Learned(0.5), TopShare, Ahead)


@pytest.mark.parametrize("depth", [2, 6, 12, 24])
def test_the_fastest_ends_with_the_fewest_tokens_at_any_depth(depth: int) -> None:
    settings = ReductionConfig.preset("fastest")
    _check_ours(settings)
    assert settings.prune is not None
    counts = [200]
    for share in settings.shares(depth):
        counts.append(max(settings.prune.select.min_tokens, math.floor(round(counts[-1] * share, 6))))
    assert (counts[1], counts[-1]) == (84, 24)


@pytest.mark.parametrize("name", ["accurate", "balanced", "fast", "fastest"])
def test_the_shortest_document_that_is_pruned_ends_with_words(name: str) -> None:
    settings = ReductionConfig.preset(name)
    assert settings.prune is not None
    left = settings.min_length
    for share in settings.shares(6):
        left = max(min(left, settings.prune.select.min_tokens), math.floor(round(left * share, 6)))
    assert left > 2, "[CLS] and [SEP]"
    assert (left == 24) == name.startswith("fast")


@pytest.mark.parametrize("depth", [1, 2, 6, 12, 24])
def test_the_fast_preset_defers_to_a_stage_of_all_tokens_where_the_fastest_loses_more(depth: int) -> None:
    fast, fastest = (ReductionConfig.preset(name) for name in ("fast", "fastest"))
    fast.check_depth(depth)
    assert fast.prune is not None and fastest.prune is not None
    assert dataclasses.replace(fast, defer=None, prune=fastest.prune) == fastest
    assert dataclasses.replace(fast.prune, schedule=fastest.prune.schedule) == fastest.prune
    assert (fast.defer, fastest.defer) == (Deferral(0.08), None)
    assert fast.shares(depth)[0] == fastest.shares(depth)[0] == 0.42
    if depth > 1:
        assert math.prod(fast.shares(depth)) == pytest.approx(0.1, rel=0.02)
        assert math.prod(fastest.shares(depth)) == pytest.approx(0.04, rel=0.02)


def test_dense_preset() -> None:
    settings = ReductionConfig.preset("dense")
    assert (settings.prune, settings.combine, settings.resolved_pooling) == (None, None, "pretrained")


@pytest.mark.parametrize("name", ["paper-pfc-9", ""])
def test_presets_that_are_not(name: str) -> None:
    with pytest.raises(ConfigError, match=f"preset '{name}': .*choose one of dense, paper-p"):
        ReductionConfig.preset(name)


@pytest.mark.parametrize("name", ["paper-pfc-7", "paper-c-11"])
def test_presets_of_the_paper_need_two_layers(name: str) -> None:
    with pytest.raises(ConfigError, match=r"combine.layer='.*' needs a model of 2 layers or more"):
        ReductionConfig.preset(name).check_depth(1)
