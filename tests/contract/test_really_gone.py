"""What is pruned is in no tensor any more: the rows that enter the linear modules are those of the plan, no padding."""

from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import pytest
import torch

import tokensieve.model.attention
from contract.variants import DEPTH, UNEQUAL, batch, documents, each_pruning_variant, each_variant, settings, tiny_model
from flat import flat_of
from tokensieve import ReductionConfig, TokensieveForSequenceClassification
from tokensieve.model.plan import PlanStep
from tokensieve.reduce.combine.contract import Combine
from tokensieve.reduce.combine.projection import Projection


def rows_entering(model: TokensieveForSequenceClassification, lengths: tuple[int, ...]) -> dict[str, int]:
    """Rows that enter every linear module during one forward pass of a padded batch."""
    rows: dict[str, int] = defaultdict(int)

    def count(name: str) -> Any:
        def hook(_: Any, inputs: tuple[torch.Tensor, ...]) -> None:
            rows[name] += inputs[0].shape[:-1].numel()

        return hook

    for name, module in model.named_modules():
        if isinstance(module, torch.nn.Linear):
            module.register_forward_pre_hook(count(name))
    with torch.no_grad():
        model(**batch(documents(lengths)))
    return dict(rows)


def expected_rows(step: PlanStep, per_head: bool, combine: Combine | None = None) -> dict[str, float]:
    """Rows by module of one step of the plan of one document."""
    if step.kind == "combine" and isinstance(combine, Projection):
        return {}  # its weights are no module
    if step.kind == "combine":
        own = step.rows_out
        return {"query": own, "key": step.keys, "value": step.keys, "dense": own}
    projected = step.rows if per_head else step.keys  # heads that differ need all rows' keys and values
    own = {"attention.self.query": step.rows, "attention.self.key": projected, "attention.self.value": projected}
    after = ("attention.output.dense", "intermediate.dense", "output.dense")
    return own | {name: step.rows_out for name in after}


def predictor_maps(model: TokensieveForSequenceClassification, number: int) -> list[str]:
    """Names of the linear maps, of a layer from 0, that score its tokens."""
    part = f"encoder.layer.{number}.importance."
    return [
        name for name, module in model.named_modules() if name.startswith(part) and isinstance(module, torch.nn.Linear)
    ]


@each_variant
def test_rows_are_those_of_the_plan(reduction: ReductionConfig) -> None:
    model = tiny_model(reduction)
    expected: dict[str, float] = defaultdict(int)
    for ids in documents(UNEQUAL):
        plan = model.plan(len(ids), special=min(len(ids), 2), samples=batch([ids]))
        for step in plan.steps:
            for name, rows in expected_rows(step, flat_of(reduction).heads == "per_head", reduction.combine).items():
                expected[f"encoder.layer.{step.number - 1}.{name}"] += rows
            for name in predictor_maps(model, step.number - 1):  # they score what the step before has left
                expected[name] += plan.steps[step.number - 2].rows_out if step.number > 1 else len(ids)
    seen = rows_entering(model, UNEQUAL)
    assert {name: rows for name, rows in seen.items() if name.startswith("encoder")} == pytest.approx(dict(expected))
    assert {rows for name, rows in seen.items() if name.startswith("head")} == {len(UNEQUAL)}


@each_pruning_variant
def test_pruned_keys_are_not_in_the_key_tensor(reduction: ReductionConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    attend, seen = tokensieve.model.attention.attend, []

    def watch(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, *rest: Any, **options: Any) -> Any:
        seen.append((len(query), len(key), len(value)))
        return attend(query, key, value, *rest, **options)

    monkeypatch.setattr(tokensieve.model.attention, "attend", watch)
    model = tiny_model(reduction)
    kept = model(**batch(documents(UNEQUAL))).trace.kept
    m, joined = (own * len(UNEQUAL) for own in (reduction.combination_tokens, reduction.joined_tokens))
    total = sum(UNEQUAL)
    before = DEPTH if flat_of(reduction).combine_layer is None else flat_of(reduction).combine_layer - 1
    for layer, (queries, keys, values) in enumerate(seen):
        through = total if layer == 0 else sum(kept[layer - 1])  # site "hidden": what the layer before let through
        if layer >= before:
            assert queries == keys == values == m
        elif reduction.prune is not None and reduction.prune.site.ahead:
            assert queries == sum(kept[layer]) + joined
            assert keys == values == (through if flat_of(reduction).leaving_keys else sum(kept[layer])) + joined
        elif flat_of(reduction).site == "hidden":
            assert queries == keys == values == through + joined
        else:
            assert queries == total + joined
            assert keys == values == sum(kept[layer]) + joined
    assert layer == DEPTH - (reduction.combine is not None and flat_of(reduction).combine_mode == "replace") - 1


def test_counts_by_hand() -> None:
    """Two documents, 10 and 4 tokens, m = 3, p = 0.6, module in the place of layer 3 of 4.

    Keys: 10 + 4 + 2 * 3 = 20 rows, then floor(10 * 0.6) + floor(4 * 0.6) + 6 = 14. Hidden: 14 rows from the first
    layer's feed-forward on, floor(6 * 0.6) + max(2, floor(2 * 0.6)) + 6 = 11 from the second's.
    """
    names = ("0.attention.self.query", "0.attention.self.key", "0.intermediate.dense", "1.attention.self.query")
    names += ("1.attention.self.key", "1.intermediate.dense", "2.key", "2.query", "3.intermediate.dense")
    rows = {
        site: [
            rows_entering(tiny_model(settings(combine_layer=3, site=site)), (10, 4))[f"encoder.layer.{n}"]
            for n in names
        ]
        for site in ("keys", "hidden")
    }
    assert rows["keys"] == [20, 20, 20, 20, 14, 20, 14, 6, 6]
    assert rows["hidden"] == [20, 20, 14, 14, 14, 11, 5, 6, 6]


@pytest.mark.parametrize(("leaving_keys", "served"), [(False, (14, 11)), (True, (20, 14))])
def test_counts_by_hand_of_a_learned_score(leaving_keys: bool, served: tuple[int, int]) -> None:
    """As above: 8 + 6 rows in all of the first layer, 5 + 6 in all of the second; those that leave are keys or not."""
    own = settings(combine_layer=3, site="hidden", pruning="ratio", score="learned", leaving_keys=leaving_keys)
    rows = rows_entering(tiny_model(own), (10, 4))
    for layer, count in ((0, 14), (1, 11)):
        for name in ("attention.self.query", "attention.output.dense", "intermediate.dense"):
            assert rows[f"encoder.layer.{layer}.{name}"] == count
        for name in ("attention.self.key", "attention.self.value"):
            assert rows[f"encoder.layer.{layer}.{name}"] == served[layer]


@pytest.mark.parametrize("combine_layer", [None, 3])
def test_the_trace_holds_no_hidden_states(combine_layer: int | None) -> None:
    """A token that is gone must not live on in what the output carries along, with its gradient's graph behind it."""
    trace = tiny_model(settings(combine_layer=combine_layer))(**batch(documents(UNEQUAL))).trace
    held = [tensor for tensor in tensors_within(trace) if tensor.is_floating_point()]
    assert not held


def tensors_within(value: Any) -> Iterator[torch.Tensor]:
    """All tensors that can be reached through fields, sequences and mappings."""
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, list | tuple):
        for part in value:
            yield from tensors_within(part)
    elif hasattr(value, "__dict__"):
        yield from tensors_within(list(vars(value).values()))
