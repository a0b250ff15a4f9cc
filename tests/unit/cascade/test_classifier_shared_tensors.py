"""Tensors that the stages share: moved, loaded, compiled, adapted, and numbered otherwise."""

import copy
import json
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import AutoModelForSequenceClassification

from contract.variants import batch, documents, settings, tiny_cascade
from flat import with_flat
from support.packages import needed
from tokensieve import ConfigError, TokensieveCascadeForSequenceClassification, compress, lora_config
from tokensieve.cascade.old import new_name
from tokensieve.model.norms import norms_and_biases

LENGTHS = (17, 9, 40)


def followed(**changes: Any) -> TokensieveCascadeForSequenceClassification:
    """Everything is deferred, to a stage with other norms than the first one's."""
    model = tiny_cascade(settings(pruning="ratio", site="hidden", pooling="mean", reread=0.4, **changes))
    model.config.defer_below = 1.0
    return model


@torch.no_grad()
def logits(model: Any) -> Tensor:
    found: Tensor = model(**batch(documents(LENGTHS))).logits
    return found


def shared(model: TokensieveCascadeForSequenceClassification) -> bool:
    """Whether the stages have the same tensors where they are to have them."""
    first, second = ({**dict(own.named_parameters()), **dict(own.named_buffers())} for own in model.stages)
    return all(first[name] is second[name] for name in model.shared_names())


def test_norms_of_the_second_stage_are_saved_moved_and_taken_away(tmp_path: Path) -> None:
    model = followed(min_length=12)
    found, first = logits(model), logits(model.first)
    model.save_pretrained(tmp_path)
    own = [name for name in load_file(tmp_path / "model.safetensors") if name.startswith("stages.1.encoder.")]
    assert len(own) == len(norms_and_biases(model.second.encoder.layer))
    again = TokensieveCascadeForSequenceClassification.from_pretrained(tmp_path)
    for other in (again, compress(model, model.settings), copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert torch.equal(logits(other), found)
        assert shared(other)
    with torch.no_grad():
        half = again.to(torch.bfloat16)
        assert shared(half)
        torch.testing.assert_close(logits(half).float(), found, atol=0.2, rtol=0.1)
    model.give_own_norms(False)
    assert shared(model) and not model.config.own_norms
    assert not torch.equal(logits(model), found)
    assert torch.equal(logits(model.first), first)


@pytest.mark.parametrize("learned", [False, True])
def test_what_is_changed_in_the_first_stage_is_changed_in_the_second(learned: bool) -> None:
    changes = {"score": "learned", "reread_ratios": (0.9,) * 4} if learned else {}
    model = followed(**changes).double()
    with torch.no_grad():
        model.first.encoder.layer[1].output.dense.weight.normal_()
        if learned:
            model.first.encoder.layer[1].importance.weight.fill_(3)
    second = model.second.encoder.layer[1]
    assert torch.equal(second.output.dense.weight, model.first.encoder.layer[1].output.dense.weight)
    if learned:
        assert (second.importance.weight == 3).all()


def test_a_state_is_loaded_under_both_names() -> None:
    model, other = followed(), followed()
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.normal_(std=0.1)
    state = other.state_dict()
    assert not [name for name in state if name == "stages.1.embeddings.word_embeddings.weight"]
    model.load_state_dict(state)
    assert torch.equal(logits(model), logits(other)) and shared(model)


def in_0_1_0(name: str) -> str | None:
    """The name that a tensor had in 0.1.0."""
    stage, place = name.removeprefix("stages.").split(".", 1)
    if stage == "0":
        return place
    if place.startswith("head."):
        return place.replace("head.classifier", "head.whole")
    start, number, rest = place.removeprefix("encoder.").split(".", 2)
    assert start == "layer"
    return f"encoder.second_norms.{number}.{rest.replace('.', '/')}"


@pytest.mark.parametrize(
    "changes",
    [{}, {"combine_layer": 3}, {"combine_layer": 5, "combine_mode": "insert", "heads": "per_head", "site": "keys"}],
    ids=str,
)
def test_every_name_of_0_1_0_has_a_new_one(changes: dict[str, Any], tmp_path: Path) -> None:
    flat = {"keep_ratio": 0.6, "combination_tokens": 3, "pruning": "ratio", "site": "hidden"} | changes
    model = tiny_cascade(settings(**flat, reread=0.4))
    model.config.defer_below = 1.0
    state = model.state_dict()
    old = {in_0_1_0(name): tensor for name, tensor in state.items()}
    assert {new_name(name) for name in old} == state.keys()
    assert all(new_name(name) == name for name in state)
    model.save_pretrained(tmp_path)
    save_file(old, tmp_path / "model.safetensors", metadata={"format": "pt"})
    config = tmp_path / "config.json"
    record = json.loads(config.read_text(encoding="utf-8"))
    named = {"defer_below": "reread_below", "own_norms": "second_norms"}
    before = {named.get(name, name): value for name, value in record.items()} | {"model_type": "tokensieve"}
    before |= {"ptc": {"format_version": 1, **flat, "reread": 0.4}, "reduction": None}
    config.write_text(json.dumps(before), encoding="utf-8")
    for kind in (TokensieveCascadeForSequenceClassification, AutoModelForSequenceClassification):
        assert torch.equal(logits(kind.from_pretrained(tmp_path)), logits(model))
    other = tiny_cascade(model.settings)
    other.config.defer_below = 1.0
    other.load_state_dict(old)
    assert torch.equal(logits(other), logits(model))


def test_adapters_that_are_not_merged_go_around_both_stages() -> None:
    peft = needed("peft")
    model = followed()
    wanted, first = logits(model), logits(model.first)
    own = peft.LoraConfig(r=2, target_modules=["query", "value", "intermediate.dense"])
    wrapped = peft.get_peft_model(copy.deepcopy(model), own).eval()
    torch.testing.assert_close(logits(wrapped), wanted)
    assert not torch.allclose(first, wanted)
    for name, parameter in wrapped.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.3)
    adapted = logits(wrapped)
    assert not torch.allclose(adapted, wanted)


def test_lora_is_of_one_stage() -> None:
    needed("peft")
    with pytest.raises(ConfigError, match="give the stage to train"):
        lora_config(followed())
    assert lora_config(followed().first).r == 8


def test_an_adapter_of_the_first_stage_merges_into_both() -> None:
    """As training makes one: the weights are the same tensors."""
    peft = needed("peft")
    model = followed()
    wrapped = peft.get_peft_model(model.first, peft.LoraConfig(r=2, target_modules=["query", "value"]))
    for name, parameter in wrapped.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.3)
    before = logits(model)
    assert wrapped.merge_and_unload() is model.first
    assert shared(model) and not torch.allclose(logits(model), before)


@pytest.mark.filterwarnings("ignore")
def test_compiled_they_are_compiled_once() -> None:
    torch._dynamo.reset()
    model = followed()
    wanted = logits(model)
    compiled, seen = torch.compile(model, backend="eager"), []
    for _ in range(4):
        torch.testing.assert_close(logits(compiled), wanted, atol=1e-5, rtol=1e-5)
        seen.append(torch._dynamo.utils.counters["stats"]["unique_graphs"])
    assert seen[1] == seen[3]


def test_norms_go_with_their_layers() -> None:
    """Without the combining module, which stood before it, the last layers have other numbers."""
    model = followed(combine_layer=3, combine_mode="insert")
    plain = compress(model, with_flat(model.settings, combine_layer=None, combine_mode="replace"))
    assert plain.config.own_norms
    own, before = (norms_and_biases(each.second.encoder.layer) for each in (plain, model))
    assert len(own) < len(before)
    for name, tensor in own.items():
        number, _, rest = name.partition(".")
        assert torch.equal(tensor, before[f"{int(number) + (int(number) > 1)}.{rest}"])
    again = compress(plain, model.settings)
    assert not again.config.own_norms and shared(again), "a module that starts at random has none"


def test_a_cascade_that_is_not_fitted_is_its_first_stage() -> None:
    """What was trained is the first one."""
    model = followed()
    torch.nn.init.normal_(model.first.head.classifier.weight)
    model.config.defer_below = None
    plain = compress(model, settings(pruning="none", pooling="mean"))
    assert torch.equal(plain.head.classifier.weight, model.first.head.classifier.weight)


def test_settings_that_prune_nothing_get_the_second_stage() -> None:
    model = followed()
    torch.nn.init.normal_(model.first.head.classifier.weight)
    plain = compress(model, settings(pruning="none", pooling="mean"))
    torch.testing.assert_close(logits(plain), logits(model))
