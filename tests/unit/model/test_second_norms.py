"""Norms of a second reading's own, where other tools wrap the layers, compile them, or number them otherwise."""

import copy
import functools
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from contract.variants import batch, documents, settings, tiny_model
from tokensieve import ConfigError, compress
from tokensieve.model.classifier import TokensieveForSequenceClassification
from tokensieve.model.second_norms import norms_and_biases

LENGTHS = (17, 9, 40)


def followed(**changes: Any) -> TokensieveForSequenceClassification:
    """Everything is read again, by other norms than those of the first reading."""
    model = tiny_model(settings(pruning="ratio", site="hidden", pooling="mean", reread=0.4, **changes))
    model.head.whole.load_state_dict(model.head.classifier.state_dict())
    model.give_second_norms(True)
    for parameter in norms_and_biases(model.encoder.layer).values():
        parameter.detach().add_(torch.randn_like(parameter), alpha=0.2)
    model.config.reread_below = 1.0
    return model


@torch.no_grad()
def logits(model: Any, **how: Any) -> Tensor:
    found: Tensor = model(**batch(documents(LENGTHS)), **how).logits
    return found


def test_adapters_that_are_not_merged_leave_them_in_their_place() -> None:
    peft = pytest.importorskip("peft")
    model = followed()
    wanted, first = logits(model), logits(model, reading="first")
    own = peft.LoraConfig(r=2, target_modules=["query", "value", "intermediate.dense"])
    wrapped = peft.get_peft_model(copy.deepcopy(model), own).eval()
    torch.testing.assert_close(logits(wrapped), wanted)
    assert not torch.allclose(first, wanted)
    for name, parameter in wrapped.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.3)
    adapted = logits(wrapped)
    assert not torch.allclose(adapted, wanted)
    torch.testing.assert_close(logits(wrapped.merge_and_unload()), adapted, atol=1e-5, rtol=1e-5)


def test_an_adapter_of_the_norms_themselves_is_refused() -> None:
    peft = pytest.importorskip("peft")
    wrapped = peft.get_peft_model(followed(), peft.LNTuningConfig(target_modules=["LayerNorm"])).eval()
    with pytest.raises(ConfigError, match="stands around a part of a layer"):
        logits(wrapped)


def test_a_replaced_forward_of_an_adapter_is_refused() -> None:
    peft = pytest.importorskip("peft")
    wrapped = peft.get_peft_model(followed(), peft.LoraConfig(r=2, target_modules=["query"])).eval()
    layer = wrapped.base_model.model.encoder.layer[0].attention.self.query
    layer.forward = functools.partial(type(layer).forward, layer)
    with pytest.raises(ConfigError, match="another forward"):
        logits(wrapped)


def test_what_would_read_by_those_of_the_first_is_refused() -> None:
    """A forward that is bound to the module of the first reading, as hooks for several devices leave it."""
    model = followed()
    norm = model.encoder.layer[1].output.LayerNorm
    norm.forward = functools.partial(type(norm).forward, norm)
    with pytest.raises(ConfigError, match=r"LayerNorm stands around.*without device_map.*reading='first'"):
        logits(model)
    assert logits(model, reading="first").isfinite().all()


class Wrapper(torch.nn.Module):
    def __init__(self, own: torch.nn.Module) -> None:
        super().__init__()
        self.own = own

    def forward(self, *given: Any) -> Any:
        return self.own(*given)


def test_a_wrapper_that_is_unknown_is_refused() -> None:
    model = followed()
    model.encoder.layer[1].output = Wrapper(model.encoder.layer[1].output)
    assert logits(model, reading="first").isfinite().all()
    with pytest.raises(ConfigError, match="Wrapper stands around a part"):
        logits(model)


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


def test_they_go_with_their_layers() -> None:
    """Without the combining module, which stood before it, the last layers have other numbers."""
    model = followed(combine_layer=3, combine_mode="insert")
    plain = compress(model, replace(model.settings, combine_layer=None, combine_mode="replace"))
    own, before = (each.encoder.second_norms.state_dict() for each in (plain, model))
    assert len(own) < len(before)
    for name, tensor in own.items():
        number, _, rest = name.partition(".")
        assert torch.equal(tensor, before[f"{int(number) + (int(number) > 1)}.{rest}"])
    assert compress(plain, model.settings).encoder.second_norms is None, "a module that starts at random has none"


def test_a_second_reading_that_is_not_fitted_is_no_classifier() -> None:
    """What was trained is the first one."""
    model = followed()
    torch.nn.init.normal_(model.head.classifier.weight)
    model.config.reread_below = None
    plain = compress(model, settings(pruning="none", pooling="mean"))
    assert torch.equal(plain.head.classifier.weight, model.head.classifier.weight)


def test_settings_that_prune_nothing_get_them_as_the_only_ones() -> None:
    model = followed()
    torch.nn.init.normal_(model.head.classifier.weight)
    plain = compress(model, settings(pruning="none", pooling="mean"))
    assert plain.encoder.second_norms is None and plain.head.whole is None
    torch.testing.assert_close(logits(plain), logits(model))
