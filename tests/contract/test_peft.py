"""LoRA through every variant: adapters and what starts at random are trained, the rest stays; merging keeps it all."""

import sys
from pathlib import Path

import pytest
import torch

from contract.variants import UNEQUAL, batch, documents, each_variant, settings, tiny_model
from support.packages import needed
from tokensieve import ConfigError, MissingExtraError, ReductionConfig, TokensieveForSequenceClassification
from tokensieve.training.lora import adapted, lora_config, merged, require_peft

peft = needed("peft")
LABELS = torch.arange(len(UNEQUAL)) % 3
NEW = ("head.", "embeddings.combination_tokens")


def step(model: torch.nn.Module) -> None:
    """Steps that show in the logits, and are too small to bring scores near each other."""
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.SGD(trained, lr=0.02)
    for _ in range(2):  # in the first one half of each adapter is zero
        optimizer.zero_grad()
        model.train()(**batch(documents(UNEQUAL)), labels=LABELS).loss.backward()
        optimizer.step()
    model.eval()


def starts_at_random(name: str, model: TokensieveForSequenceClassification) -> bool:
    combining_modules = tuple(
        f"encoder.layer.{i}." for i, own in enumerate(model.encoder.steps) if own.kind == "combine"
    )
    return name.startswith((*NEW, *combining_modules))


@each_variant
def test_trained_and_merged(reduction: ReductionConfig) -> None:
    # In float64: where two scores lie near each other, the rounding of float32 could choose another token.
    before = {name: value.clone() for name, value in tiny_model(reduction).double().state_dict().items()}
    model = tiny_model(reduction).double()
    wrapped = adapted(model, lora_config(model, 2))
    step(wrapped)
    for name, parameter in wrapped.named_parameters():
        if parameter.requires_grad:
            assert parameter.grad is not None, f"{name} is not used"
    with torch.no_grad():
        expected = wrapped(**batch(documents(UNEQUAL))).logits
        plain = merged(wrapped)
        torch.testing.assert_close(plain(**batch(documents(UNEQUAL))).logits, expected, atol=1e-8, rtol=1e-8)
    assert type(plain) is TokensieveForSequenceClassification
    after = plain.state_dict()
    assert after.keys() == before.keys()
    for name, value in after.items():
        moves = starts_at_random(name, plain) or name.endswith(("attention.self.query.weight", "self.value.weight"))
        same = torch.equal(value, before[name])
        assert same or moves, f"{name} was to stay"
    assert not torch.equal(after["head.classifier.weight"], before["head.classifier.weight"])
    if reduction.joined_tokens:
        assert not torch.equal(
            after["embeddings.combination_tokens.weight"], before["embeddings.combination_tokens.weight"]
        )


@pytest.mark.parametrize("reduction", [settings(site="hidden"), settings(combine_layer=3)], ids=["hidden", "combining"])
def test_a_merged_model_is_saved_and_loaded_as_any(reduction: ReductionConfig, tmp_path: Path) -> None:
    model = tiny_model(reduction)
    wrapped = adapted(model, lora_config(model, 2))
    step(wrapped)
    plain = merged(wrapped)
    plain.save_pretrained(tmp_path)
    again = TokensieveForSequenceClassification.from_pretrained(tmp_path)
    with torch.no_grad():
        inputs = batch(documents(UNEQUAL))
        assert torch.equal(again(**inputs).logits, plain(**inputs).logits)


def test_adapters_are_saved_and_loaded_alone(tmp_path: Path) -> None:
    model = tiny_model(settings(combine_layer=3))
    wrapped = adapted(model, lora_config(model, 2))
    step(wrapped)
    wrapped.save_pretrained(tmp_path)
    again = peft.PeftModel.from_pretrained(tiny_model(settings(combine_layer=3)), tmp_path).eval()
    with torch.no_grad():
        inputs = batch(documents(UNEQUAL))
        torch.testing.assert_close(again(**inputs).logits, wrapped(**inputs).logits)


@pytest.mark.parametrize("reduction", [settings(site="hidden"), settings(combine_layer=3)], ids=["hidden", "combining"])
def test_a_config_of_the_users_own(reduction: ReductionConfig) -> None:
    """By PEFT's habits: names of modules, and the kind of task, which passes further arguments to forward."""
    own = peft.LoraConfig(task_type="SEQ_CLS", r=2, target_modules=["query", "value"])
    wrapped = peft.get_peft_model(tiny_model(reduction), own)
    step(wrapped)
    assert wrapped(**batch(documents(UNEQUAL))).logits.isfinite().all()
    trained = {name for name, parameter in wrapped.named_parameters() if parameter.requires_grad}
    assert any("lora_A" in name for name in trained)
    assert any("head" in name for name in trained)
    assert not any("combination_tokens" in name for name in trained), "as docs/how-to/lora.md warns"


def test_under_gradient_checkpointing() -> None:
    model = tiny_model(settings(site="hidden", combine_layer=3))
    (getattr(model, "activation_checkpointing_enable", None) or model.gradient_checkpointing_enable)()
    wrapped = adapted(model, lora_config(model, 2))
    step(wrapped)
    assert all(p.grad is not None for p in wrapped.parameters() if p.requires_grad)


def test_targets_are_the_checkpoints_layers_alone() -> None:
    model = tiny_model(settings(combine_layer=2))
    config = lora_config(model, 4, targets=["query", "attention.output.dense", "intermediate.dense"])
    layers = [i for i, own in enumerate(model.encoder.steps) if own.kind == "layer"]
    kinds = ("attention.self.query", "attention.output.dense", "intermediate.dense")
    assert set(config.target_modules) == {f"encoder.layer.{i}.{kind}" for i in layers for kind in kinds}
    assert config.lora_alpha == 8


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"rank": 0}, "rank=0"),
        ({"rank": 2.5}, "rank=2.5"),
        ({"rank": True}, "rank=True"),
        ({"alpha": 0}, "alpha=0"),
        ({"dropout": 1.0}, "dropout=1.0"),
        ({"targets": ["quary"]}, "'quary'.*attention.self.query"),
        ({"targets": "query"}, "targets='query'"),
        ({"targets": []}, r"targets=\[\]"),
        ({"no_such_field": 1}, "no_such_field"),
        ({"bias": "some"}, "some"),
    ],
    ids=str,
)
def test_wrong_settings(options: dict[str, object], named: str) -> None:
    model = tiny_model(settings())
    with pytest.raises(ConfigError, match=named):
        adapted(model, lora_config(model, **options))


def test_without_peft(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "peft", None)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"tokensieve\[peft\]"):
        require_peft()
