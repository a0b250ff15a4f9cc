"""Reading again: what the pruned reading is unsure of is answered by the second one, and by nothing else."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from contract.variants import UNEQUAL, VARIANTS, batch, documents, settings, tiny_model
from tokensieve import ConfigError, PTCConfig, compress
from tokensieve.model import parts
from tokensieve.model.classifier import TokensieveForSequenceClassification
from tokensieve.model.plan import make_plan
from tokensieve.model.probabilities import confidence
from tokensieve.model.second_norms import norms_and_biases

LENGTHS = (*UNEQUAL, 9, 40)
PRUNING = {
    name: ptc
    for name, ptc in VARIANTS.items()
    if ptc.pruning == "ratio" and not ptc.score_noise and ptc.score_queries == "all"
}


def rereading(ptc: PTCConfig, **sizes: Any) -> TokensieveForSequenceClassification:
    """A model whose second reading has a last layer of its own, unlike that of the first."""
    model = tiny_model(dataclasses.replace(ptc, reread=0.4), **sizes)
    torch.nn.init.normal_(model.head.whole.weight)
    torch.nn.init.normal_(model.head.whole.bias)
    return model


AGAIN = {
    f"{name}, then more": dataclasses.replace(ptc, reread=0.4, reread_ratios=(0.9,) * ((ptc.combine_layer or 5) - 1))
    for name, ptc in PRUNING.items()
    if ptc.keep_ratios is None and ptc.combine_layer != 1
}
"""Of these the second reading is not of all tokens."""


def second_norms_of(model: TokensieveForSequenceClassification) -> dict[str, torch.Tensor]:
    """By the names of what they are copies of, in `encoder.layer`."""
    return {
        f"{i}.{name}": own
        for i, norms in enumerate(model.encoder.second_norms)
        for name, own in norms.by_name().items()
    }


def second(model: TokensieveForSequenceClassification) -> TokensieveForSequenceClassification:
    """The second reading of every document, as a model of its own."""
    plain = compress(model, model.settings.of_second_reading())
    plain.head.classifier.load_state_dict(model.head.whole.state_dict())
    if model.encoder.second_norms is not None:
        own = second_norms_of(model)
        assert not plain.encoder.layer.load_state_dict(own, strict=False).unexpected_keys
    return plain


def with_second_norms(model: TokensieveForSequenceClassification) -> TokensieveForSequenceClassification:
    """The same model, whose first reading has other norms and biases now."""
    model.give_second_norms(True)
    for parameter in norms_and_biases(model.encoder.layer).values():
        parameter.detach().add_(torch.randn_like(parameter), alpha=0.2)
    return model


@pytest.mark.parametrize("ptc", [*PRUNING.values(), *AGAIN.values()], ids=[*PRUNING, *AGAIN])
@pytest.mark.parametrize(("part", "norms"), [(4096, False), (20, False), (20, True)])
def test_unsure_documents_are_answered_by_the_second_reading(
    ptc: PTCConfig, part: int, norms: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parts, "PART_TOKENS", part)
    model, inputs = rereading(ptc), batch(documents(LENGTHS), side="left")
    model = with_second_norms(model) if norms else model
    with torch.no_grad():
        first, more = model(**inputs), second(model)(**inputs)
        sure = confidence(first.logits, None)
        model.config.reread_below = float(sure.sort().values[2:4].mean())
        found = model(**inputs)
    again = (sure < model.config.reread_below).tolist()
    assert sum(again) == 3
    for row, second_time in enumerate(again):
        wanted = more if second_time else first
        for name in ("logits", "pooled"):
            torch.testing.assert_close(found[name][row], wanted[name][row], atol=1e-5, rtol=1e-5)
        assert found.trace[row].kept == wanted.trace[row].kept
        assert found.trace[row].survivors == wanted.trace[row].survivors
        assert found.trace[row].assignment == wanted.trace[row].assignment


@pytest.mark.parametrize("norms", [False, True])
@pytest.mark.parametrize("again", [None, (0.9, 0.9, 0.9, 0.9)], ids=["all tokens", "more tokens"])
def test_documents_that_are_not_pruned_are_read_once(again: tuple[float, ...] | None, norms: bool) -> None:
    """And by the second reading, if that is of all tokens."""
    ptc = settings(pruning="ratio", site="hidden", min_length=12, reread_ratios=again, reread=0.4)
    model, inputs = rereading(ptc), batch(documents((40, 5, 9)))
    model = with_second_norms(model) if norms else model
    seen: list[int] = []
    with torch.no_grad():
        first, whole = model(**inputs), second(model)(**inputs)
        model.config.reread_below = 1.0
        model.embeddings.register_forward_pre_hook(lambda _, given: seen.append(len(given[0].lengths)))
        found = model(**inputs)
    assert seen == ([3, 1] if again else [1, 2, 1])
    torch.testing.assert_close(found.logits[0], whole.logits[0])
    torch.testing.assert_close(found.logits[1:], (first if again else whole).logits[1:])
    assert [len(survivors) for survivors in found.trace.survivors()][1:] == [5, 9]
    assert not torch.allclose(first.logits, whole.logits)


def test_norms_of_the_second_reading_are_saved_moved_and_taken_away(tmp_path: Path) -> None:
    model = with_second_norms(rereading(settings(pruning="ratio", site="hidden", min_length=12)))
    model.config.reread_below, inputs = 1.0, batch(documents(LENGTHS))
    with torch.no_grad():
        found, first = model(**inputs).logits, model(**inputs, reading="first").logits
    model.save_pretrained(tmp_path)
    names = load_file(tmp_path / "model.safetensors")
    own = [name for name in names if name.startswith("encoder.second_norms.")]
    assert len(own) == len(second_norms_of(model))
    assert second_norms_of(model).keys() == norms_and_biases(model.encoder.layer).keys()
    assert not [parameter for name, parameter in model.named_parameters() if "second_norms" in name]
    again = TokensieveForSequenceClassification.from_pretrained(tmp_path)
    copied = compress(model, model.settings)
    for other in (again, copied):
        with torch.no_grad():
            assert torch.equal(other(**inputs).logits, found)
    plain = compress(model, dataclasses.replace(model.settings, reread=0.0))
    assert plain.encoder.second_norms is None and not plain.config.second_norms
    with torch.no_grad():
        half = again.to(torch.bfloat16)(**inputs).logits
        assert half.dtype == torch.bfloat16 and not torch.equal(half.float(), found)
        torch.testing.assert_close(half.float(), found, atol=0.2, rtol=0.1)
        model.give_second_norms(False)
        assert not torch.equal(model(**inputs).logits, found)
        assert torch.equal(model(**inputs, reading="first").logits[5], first[5])


def test_one_reading_alone() -> None:
    model, inputs = rereading(settings(pruning="ratio", site="hidden", min_length=12)), batch(documents((5, 30, 40)))
    with torch.no_grad():
        both_once, whole = model(**inputs).logits, second(model)(**inputs).logits
        model.config.reread_below = float(confidence(both_once, None)[1:].mean())
        both_once[0] = whole[0]  # the first document is not pruned
        first, again = model(**inputs, reading="first").logits, model(**inputs, reading="second").logits
        found = model(**inputs).logits
        unsure = model.unsure(first, (5, 30, 40))
    torch.testing.assert_close(first, both_once)
    torch.testing.assert_close(again, whole)
    assert len(unsure) == 1 and unsure != [0], "of the two that are pruned one is the surer"
    first[unsure] = whole[unsure]
    torch.testing.assert_close(found, first)
    with pytest.raises(ConfigError, match="reading='third': choose one of 'both', 'first', 'second'"):
        model(**inputs, reading="third")


@pytest.mark.parametrize("autocast", [True, False], ids=["autocast", "pure"])
def test_in_bfloat16(autocast: bool) -> None:
    """The second reading's answers are of the type of the first's, and those of its own model in that type."""
    model, inputs = rereading(settings(pruning="ratio", site="hidden")), batch(documents(LENGTHS))
    model.config.reread_below = 1.0
    whole = second(model)
    if not autocast:
        model, whole = model.to(torch.bfloat16), whole.to(torch.bfloat16)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        found, wanted = model(**inputs), whole(**inputs)
    assert found.logits.dtype == torch.bfloat16
    torch.testing.assert_close(found.logits, wanted.logits)


def test_unsure_documents_of_all_parts_are_read_together(
    monkeypatch: pytest.MonkeyPatch, use_threads: Callable[[int], None]
) -> None:
    """A part of its own for each of them would be too short to be fast."""
    use_threads(1)
    monkeypatch.setattr(parts, "PART_TOKENS", 20)
    model, inputs = rereading(settings(pruning="ratio", site="hidden")), batch(documents((17, 9, 19, 9)))
    seen: list[tuple[int, ...]] = []
    with torch.no_grad():
        sure = confidence(model(**inputs).logits, None)
        model.config.reread_below = float(sure.sort().values[1:3].mean())
        model.embeddings.register_forward_pre_hook(lambda _, given: seen.append(given[0].lengths))
        model(**inputs)
    unsure = tuple(length for length, own in zip((17, 9, 19, 9), sure, strict=True) if own < model.config.reread_below)
    first = seen[:3]
    assert [length for part in first for length in part] == [17, 9, 19, 9]
    assert [length for part in seen[3:] for length in part] == list(unsure)
    assert len(seen) - 3 <= 2


@pytest.mark.parametrize(
    ("again", "going_on"), [(None, [40, 5]), ((0.8, 0.9, 0.9, 0.9), [32, 5])], ids=["all tokens", "more tokens"]
)
def test_the_work_of_a_second_reading(again: tuple[float, ...] | None, going_on: list[float]) -> None:
    ptc = settings(pruning="ratio", site="hidden", score="learned", keep_ratio=0.5, min_length=6)
    encoder = tiny_model(dataclasses.replace(ptc, reread=0.4, reread_ratios=again)).encoder
    assert encoder.going_on((40, 5)) == [20, 5]
    assert encoder.going_on((40, 5), again=True) == going_on


def test_the_fewest_tokens_count_as_work() -> None:
    ptc = settings(pruning="ratio", site="hidden", score="learned", keep_ratio=0.5, min_length=6, min_tokens=24)
    assert tiny_model(ptc).encoder.going_on((60, 40, 20, 5)) == [30, 24, 20, 5]


def test_training_reads_once_and_leaves_the_second_layer_alone() -> None:
    model, inputs = rereading(settings(pruning="ratio", site="hidden")), batch(documents(LENGTHS))
    model.config.reread_below = 1.0
    model.train()
    rows: list[int] = []
    model.embeddings.register_forward_pre_hook(lambda _, given: rows.append(len(given[0].lengths)))
    model(**inputs, labels=torch.zeros(6, dtype=torch.long)).loss.backward()
    assert rows == [6]


def test_settings_without_it_have_no_second_layer() -> None:
    model, inputs = tiny_model(settings(pruning="ratio")), batch(documents(LENGTHS))
    assert not [name for name in model.state_dict() if "whole" in name]
    with torch.no_grad():
        first = model(**inputs).logits
        model.config.reread_below = 1.0
        torch.testing.assert_close(model(**inputs).logits, first)


def test_compressing_starts_the_second_layer_as_the_classifier(tmp_path: Path) -> None:
    dense = tiny_model(settings(pruning="none", pooling="mean"))
    model = compress(dense, settings(pruning="ratio", site="hidden", pooling="mean", reread=0.1))
    for name, given in dense.head.classifier.state_dict().items():
        assert torch.equal(model.head.whole.state_dict()[name], given)
    assert not list(model.head.whole.parameters()), "nobody may train it"
    assert model.config.reread_below is None
    torch.nn.init.zeros_(model.head.classifier.weight)
    model.config.reread_below = 0.625
    model.save_pretrained(tmp_path)
    loaded = TokensieveForSequenceClassification.from_pretrained(tmp_path)
    assert loaded.config.reread_below == 0.625
    assert torch.equal(loaded.head.whole.weight, dense.head.classifier.weight)
    same = compress(loaded, loaded.settings)
    assert same.config.reread_below == 0.625
    assert torch.equal(same.head.whole.weight, dense.head.classifier.weight)
    other = compress(loaded, dataclasses.replace(loaded.settings, keep_ratio=0.5))
    assert other.config.reread_below is None
    assert compress(loaded, loaded.settings, num_labels=5).config.reread_below is None


@pytest.mark.parametrize("again", [None, (0.9, 0.8, 0.9, 0.8)])
def test_the_plan_counts_the_second_reading(again: tuple[float, ...] | None) -> None:
    ptc = settings(pruning="ratio", site="hidden", min_length=10, pooling="mean")
    model, plain = tiny_model(dataclasses.replace(ptc, reread=0.25, reread_ratios=again)), tiny_model(ptc)
    whole = make_plan(tiny_model(dataclasses.replace(ptc, keep_ratio=1.0, keep_ratios=again)).config, 20)
    assert (whole.kept_tokens[-1] < 20) == (again is not None)
    plan = make_plan(model.config, 20)
    assert plan.flops == pytest.approx(make_plan(plain.config, 20).flops + 0.25 * whole.flops)
    assert (plan.reread, make_plan(model.config, 9).reread) == (0.25, 0.0)
    assert make_plan(model.config, 9).flops == make_plan(plain.config, 9).flops
    assert "25.0% of such documents are read again" in str(plan)


def test_a_measured_plan_counts_it_once() -> None:
    ptc = settings(pruning="fuzzy", ratio_scope="candidates", site="hidden", pooling="mean", reread=0.25)
    model, inputs = tiny_model(ptc), batch(documents(LENGTHS))
    once = model.plan(20, samples=inputs)
    model.config.reread_below = 1.0
    assert model.plan(20, samples=inputs) == once
    assert model.config.reread_below == 1.0


def test_confidence() -> None:
    logits = torch.tensor([[0.0, 0.0], [2.0, -2.0]])
    torch.testing.assert_close(confidence(logits, None), torch.tensor([0.5, 0.98201]), atol=1e-5, rtol=0)
    several = torch.tensor([[4.0, 0.0], [-3.0, 2.0]])  # the second label of the first document is anybody's guess
    found = confidence(several, "multi_label_classification")
    torch.testing.assert_close(found, torch.tensor([0.5, 0.88080]), atol=1e-5, rtol=0)
    assert confidence(torch.zeros(2, 1), "regression").tolist() == [1.0, 1.0]


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"reread": 1.0}, "reread=1.0: give a share"),
        ({"reread": -0.1}, "reread=-0.1"),
        ({"reread": True}, "reread=True"),
        ({"pruning": "none", "reread": 0.1}, "reread=0.1 with pruning='none'.*leave reread out"),
    ],
)
def test_refused(given: dict[str, Any], named: str) -> None:
    with pytest.raises(ConfigError, match=named):
        PTCConfig(**given)
