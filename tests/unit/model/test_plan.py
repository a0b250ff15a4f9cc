"""Plans: counts and FLOPs by hand, by torch's counter, and by the trace of a real forward pass."""

from typing import Any

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from contract.variants import COUNTED, UNEQUAL, VARIANTS, batch, documents, model_config, settings, tiny_model
from flat import reduction
from tokensieve import ConfigError, ReductionConfig, TokensieveConfig, TokensieveForSequenceClassification
from tokensieve.kernels import linear
from tokensieve.model.plan import Plan, make_plan
from tokensieve.reduce.merge.within_band import WithinBand
from tokensieve.reduce.score.band_similarity import BandSimilarity

BASE = {"hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12, "intermediate_size": 3072}
UNEVEN = {name: config for name, config in VARIANTS.items() if name not in COUNTED}


@pytest.fixture(autouse=True)
def torchs_products(monkeypatch: pytest.MonkeyPatch) -> None:
    """Products of matrices alone, which torch's counter knows.

    oneDNN's are padded, and the counter would count that. Cosines within a band are no such products; how many there
    are is tested with the cells that take them.
    """
    monkeypatch.setattr(linear, "onednn_pays", lambda: False)
    for cell in (BandSimilarity, WithinBand):
        monkeypatch.setattr(cell, "flops", lambda *_: 0.0)


def base_plan(config: ReductionConfig, length: int = 512) -> Plan:
    """Of a model of BERT-base's sizes with two labels."""
    return make_plan(TokensieveConfig(**BASE, reduction=config), length)


def counted(model: TokensieveForSequenceClassification, length: int) -> int:
    """What torch counts for one document; it knows the products of the math backend alone."""
    inputs = batch(documents((length,)))
    with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        model(**inputs)
    return counter.get_total_flops()


# BERT-base by hand, two a multiply-add, n = 512, d = 768:
#   a projection        2 * 512 * 768 * 768            =     603 979 776, four of them: 2 415 919 104
#   Q K^T and A V       2 * 2 * 512 * 512 * 768        =     805 306 368
#   feed-forward        2 * 2 * 512 * 768 * 3072       =   4 831 838 208
#   a layer                                                8 053 063 680, twelve: 96 636 764 160
#   pooler, classifier  2 * 768 * 768 + 2 * 768 * 2    =       1 182 720
DENSE = 96_636_764_160 + 1_182_720


def test_dense_by_hand() -> None:
    plan = base_plan(ReductionConfig.preset("dense"))
    assert plan.flops == plan.dense_flops == DENSE
    assert plan.ratio == 1
    assert {step.flops for step in plan.steps} == {8_053_063_680}


def test_p_by_hand() -> None:
    """Keys 512, 460, 414, 372, 334, 300, 270, 243, 218, 196, 176, 158: in all 3653, where dense has 6144.

    A key less saves 2 * 2 * 768^2 of K and V projections and 2 * 2 * 512 * 768 of attention: 3 932 160.
    The paper's mean pooling leaves out the pooler's 1 179 648.
    """
    plan = base_plan(ReductionConfig.preset("paper-p"))
    assert plan.kept_tokens == (512, 460, 414, 372, 334, 300, 270, 243, 218, 196, 176, 158)
    assert plan.flops == DENSE - (6144 - 3653) * 3_932_160 - 1_179_648
    assert plan.basis == "exact"


def test_pfc_at_7_by_hand() -> None:
    """Eight combination tokens: 520 queries in six layers, keys 8 more than 512, 460, 414, 372, 334, 300.

    Queries:  2 * 2 * 520 * 768^2 (W_q, W_o) + 4 * 520 * 768 * 3072 (feed-forward)  = 6 134 169 600 a layer
    Keys:     4 * 768^2 + 4 * 520 * 768 = 3 956 736 each, 2392 + 48 = 2440 of them  = 9 654 435 840
    Module:   2 * 768^2 * (2 * 512 + 2 * 8) + 4 * 768 * 8 * 512                     = 1 239 416 832
    After:    five layers on 8 tokens, (8 * 768^2 + 4 * 768 * 8 + 4 * 768 * 3072) * 8 = 113 442 816 each
    Classifier: 2 * 768 * 2                                                         = 3 072
    """
    plan = base_plan(ReductionConfig.preset("paper-pfc-7"))
    assert plan.kept_tokens == (512, 460, 414, 372, 334, 300, 8, 8, 8, 8, 8, 8)
    assert [step.keys for step in plan.steps] == [520, 468, 422, 380, 342, 308, 512, 8, 8, 8, 8, 8]
    assert [step.rows for step in plan.steps] == [520] * 7 + [8] * 5
    assert plan.flops == 6 * 6_134_169_600 + 9_654_435_840 + 1_239_416_832 + 5 * 113_442_816 + 3_072
    # The paper says 0.544: its figures imply about half a layer for the module, whose equations cost 0.154 of one.
    assert plan.ratio == pytest.approx(0.4995, abs=5e-4)
    assert plan.ratio < 0.544
    assert plan.steps[6].flops / 8_053_063_680 == pytest.approx(0.154, abs=5e-4)


def test_pfc_at_11_by_hand() -> None:
    """Ten layers with keys 8 more than 512, 460, 414, 372, 334, 300, 270, 243, 218, 196: 3319 + 80; one layer after."""
    plan = base_plan(ReductionConfig.preset("paper-pfc-11"))
    assert plan.kept_tokens == (512, 460, 414, 372, 334, 300, 270, 243, 218, 196, 8, 8)
    assert plan.flops == 10 * 6_134_169_600 + 3399 * 3_956_736 + 1_239_416_832 + 113_442_816 + 3_072
    assert plan.ratio == pytest.approx(0.7879, abs=5e-4)
    assert plan.ratio < 0.877


def test_c_at_11_is_nearer_to_the_paper() -> None:
    """Combining alone, 0.877 in the paper for C and PFC alike: ten layers of 520 keys, the module, one layer.

    With half a layer for the module, as its figures imply, we would be at 0.88.
    """
    plan = base_plan(ReductionConfig.preset("paper-c-11"))
    assert plan.flops == 10 * (6_134_169_600 + 520 * 3_956_736) + 1_239_416_832 + 113_442_816 + 3_072
    module = plan.steps[10].flops
    assert (plan.flops - module + 0.5 * 8_053_063_680) / plan.dense_flops == pytest.approx(0.89, abs=0.015)


def test_hidden_by_hand() -> None:
    """Two layers of d = 768 on 10 tokens at p = 0.5: 10 queries and keys, 5 go on; then 5 and 2.

    First: 2 * 768^2 * (3 * 10 + 5) + 4 * 768 * 100 + 4 * 768 * 3072 * 5; second: 3 * 5 + 2, 25, 2.
    """
    halved = reduction(pruning="ratio", site="hidden", keep_ratio=0.5, pooling="mean")
    plan = make_plan(TokensieveConfig(**BASE | {"num_hidden_layers": 2}, reduction=halved), 10, special=0)
    assert plan.kept_tokens == (5, 2)
    square, wide = 768 * 768, 768 * 3072
    assert [step.flops for step in plan.steps] == [
        2 * square * 35 + 4 * 768 * 100 + 4 * wide * 5,
        2 * square * 17 + 4 * 768 * 25 + 4 * wide * 2,
    ]


def test_a_learned_score_by_hand() -> None:
    """As above, but 5 and 2 tokens are all that the layers see; and the scores of the 10 and of the 5."""
    halved = reduction(pruning="ratio", site="hidden", score="learned", keep_ratio=0.5, pooling="mean")
    plan = make_plan(TokensieveConfig(**BASE | {"num_hidden_layers": 2}, reduction=halved), 10, special=0)
    assert plan.kept_tokens == (5, 2)
    assert [(step.rows, step.keys, step.rows_out) for step in plan.steps] == [(5, 5, 5), (2, 2, 2)]
    assert [step.flops for step in plan.steps] == [
        2 * 768 * before + 8 * 768 * 768 * kept + 4 * 768 * kept**2 + 4 * 768 * 3072 * kept
        for before, kept in ((10, 5), (5, 2))
    ]


def test_leaving_keys_by_hand() -> None:
    """The same, but the 10 are keys of the 5, and these of the 2: two projections and attention of more keys."""
    halved = reduction(
        pruning="ratio", site="hidden", score="learned", leaving_keys=True, keep_ratio=0.5, pooling="mean"
    )
    plan = make_plan(TokensieveConfig(**BASE | {"num_hidden_layers": 2}, reduction=halved), 10, special=0)
    assert [(step.rows, step.keys, step.rows_out) for step in plan.steps] == [(5, 10, 5), (2, 5, 2)]
    assert [step.flops for step in plan.steps] == [
        2 * 768 * before + 4 * 768 * 768 * (before + kept) + 4 * 768 * before * kept + 4 * 768 * 3072 * kept
        for before, kept in ((10, 5), (5, 2))
    ]


@pytest.mark.parametrize("config", COUNTED.values(), ids=COUNTED.keys())
def test_flops_are_torchs(config: ReductionConfig) -> None:
    model = tiny_model(config)
    assert model.plan(37).basis == "exact"
    assert model.plan(37).flops == counted(model, 37)


@pytest.mark.parametrize("length", [1, 2, 64])
@pytest.mark.parametrize("site", ["keys", "hidden"])
def test_flops_of_shortest_and_longest_are_torchs(site: str, length: int) -> None:
    model = tiny_model(settings(combine_layer=3, site=site))
    assert model.plan(length, special=min(length, 2)).flops == counted(model, length)


@pytest.mark.parametrize("config", UNEVEN.values(), ids=UNEVEN.keys())
def test_flops_of_measured_counts_are_torchs(config: ReductionConfig) -> None:
    model = tiny_model(config)
    measured = model.plan(37, samples=batch(documents((37,))))
    assert measured.flops == pytest.approx(counted(model, 37), rel=1e-9)
    assert measured.flops <= model.plan(37).flops


@pytest.mark.parametrize("changes", [{"embedding_size": 16}, {"type_vocab_size": 0}, {"num_labels": 7}], ids=str)
def test_flops_of_other_families_are_torchs(changes: dict[str, Any]) -> None:
    for combining in ({}, {"combine_layer": 3}):
        model = tiny_model(settings(**combining), **changes)
        assert model.plan(30).flops == counted(model, 30)
    dense = tiny_model(reduction(pruning="none"), **changes)
    assert dense.plan(30).dense_flops == counted(dense, 30)


@pytest.mark.parametrize("config", VARIANTS.values(), ids=VARIANTS.keys())
def test_counts_are_those_of_the_trace(config: ReductionConfig) -> None:
    model = tiny_model(config)
    kept = model(**batch(documents(UNEQUAL))).trace.kept
    for document, length in enumerate(UNEQUAL):
        plan = model.plan(length, special=min(length, 2))
        own = tuple(step[document] for step in kept)
        assert len(plan.steps) == len(own)
        if plan.basis == "exact":
            assert plan.kept_tokens == own == tuple(step.fewest for step in plan.steps)
        else:
            assert all(step.fewest <= count <= step.kept for step, count in zip(plan.steps, own, strict=True))


def test_bases_are_marked() -> None:
    model = tiny_model(settings(ratio_scope="candidates", combine_layer=4)).train()
    assert model.plan(40).basis == "bounds"
    samples = batch(documents((40, 20)))
    measured = model.plan(length=50, samples=samples)
    assert model.training
    kept = model.eval()(**samples).trace.kept
    shares = [(long / 40 + short / 20) / 2 for long, short in kept[:3]]
    assert shares[2] < 1
    assert measured.kept_tokens == pytest.approx((*(share * 50 for share in shares), 3))
    assert measured.basis == "measured"
    assert tiny_model(settings()).plan(40, samples=samples).basis == "exact"


def test_short_documents_are_planned_whole() -> None:
    model = tiny_model(settings(min_length=20))
    assert set(model.plan(19).kept_tokens) == {19}
    assert model.plan(20).kept_tokens == (20, 12, 7, 4)


@pytest.mark.parametrize("length", [0, -1, 65])
def test_lengths_the_model_does_not_take(length: int) -> None:
    with pytest.raises(ConfigError, match=f"length={length}.*64"):
        tiny_model(settings()).plan(length=length)


def test_a_plan_reads_as_table_and_as_json() -> None:
    plan = make_plan(model_config(settings(combine_layer=3)), 40)
    table = str(plan).splitlines()
    assert len(table) == 1 + len(plan.steps) + 1
    assert f"{plan.ratio:.3f}x" in table[-1]
    record = plan.to_dict()
    assert record["ratio"] == plan.flops / plan.dense_flops == 1 / record["reduction"]
    assert [step["kept"] for step in record["steps"]] == list(plan.kept_tokens)
