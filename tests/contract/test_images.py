"""Every family that reads images, with methods of each kind, against the oracle: packed images of unequal sizes."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode
from transformers import AutoModel, AutoModelForImageClassification, AutoModelForSequenceClassification

from contract import oracle
from contract.images import IMAGE_FAMILIES, SIDE, SIZES, images, tiny_vision
from contract.variants import DEPTH, LABELS, batch, documents, settings, tiny_model
from tokensieve import (
    ConfigError,
    InputError,
    Prune,
    ReductionConfig,
    TokensieveForImageClassification,
    TokensieveModel,
)
from tokensieve.backbones import IMAGE_BACKBONES
from tokensieve.kernels import linear
from tokensieve.methods import METHODS as ROWS
from tokensieve.reduce.schedule import Constant
from tokensieve.reduce.score.received import Received
from tokensieve.reduce.select.top_share import TopShare
from tokensieve.reduce.site import Hidden

CLS_ATTENTION = ReductionConfig(prune=Prune(Received(queries="anchors"), TopShare(), Constant(0.6), Hidden()))
METHODS: dict[str, ReductionConfig] = {
    "keys": settings(pruning="ratio", pooling="host"),
    "hidden, then combined": settings(pruning="ratio", site="hidden", combine_layer=4),
    "learned": settings(site="hidden", score="learned", keep_ratios=(0.5, 0.8, 1.0, 0.4), leaving_keys=True),
    "attention of [CLS]": CLS_ATTENTION,
    "tome": replace(ROWS["tome"].settings, pooling="pretrained"),
    "zero-tprune": replace(ROWS["zero-tprune"].settings, pooling="pretrained"),
}
DENSE = settings(pruning="none", pooling="host")

each_family = pytest.mark.parametrize("sizes", IMAGE_FAMILIES.values(), ids=IMAGE_FAMILIES)
each_method = pytest.mark.parametrize("reduction", METHODS.values(), ids=METHODS)


@each_family
@each_method
@torch.no_grad()
def test_packed_rows_are_the_method(sizes: dict[str, Any], reduction: ReductionConfig) -> None:
    model, pixels = tiny_vision(reduction, **sizes), images()
    output = model(pixels)
    logits, kept = oracle.image_answers(model, pixels)
    assert logits.std() > 0.05, "logits this small agree whatever the model does"
    torch.testing.assert_close(output.logits, logits, atol=1e-4, rtol=1e-4)
    assert output.trace.kept == kept


@each_family
@torch.no_grad()
def test_nothing_reduced_is_the_oracle(sizes: dict[str, Any]) -> None:
    model, pixels = tiny_vision(DENSE, **sizes), images()
    logits, _ = oracle.image_answers(model, pixels)
    torch.testing.assert_close(model(pixels).logits, logits, atol=1e-4, rtol=1e-4)


@each_family
@each_method
@torch.no_grad()
def test_an_image_alone_answers_as_in_any_batch(sizes: dict[str, Any], reduction: ReductionConfig) -> None:
    model, pixels = tiny_vision(reduction, **sizes), images()
    alone = torch.cat([model(image.unsqueeze(0)).logits for image in pixels])
    torch.testing.assert_close(model(pixels).logits, alone, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(model(pixels[::-1]).logits, alone.flip(0), atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_images_of_one_size_may_be_a_tensor() -> None:
    model, pixels = tiny_vision(CLS_ATTENTION, **IMAGE_FAMILIES["dinov2"]), images([(SIDE, SIDE)] * 3)
    assert torch.equal(model(torch.stack(pixels)).logits, model(pixels).logits)


@each_family
@each_method
@torch.no_grad()
def test_tokens_are_really_gone(sizes: dict[str, Any], reduction: ReductionConfig) -> None:
    """The rows that each layer's widest product gets."""
    model = tiny_vision(reduction, **sizes)
    rows: list[int] = []
    for module in model.modules():
        if hasattr(module, "intermediate"):
            module.intermediate.register_forward_pre_hook(lambda _, given: rows.append(len(given[0])))
    output = model(images([(SIDE, SIDE), (20, 31)]))
    lengths = model.lengths_of({"pixel_values": images([(SIDE, SIDE), (20, 31)])})
    plans = [model.plan(length) for length in lengths]
    planned = [sum(plan.steps[step].rows_out for plan in plans) for step in range(DEPTH)]
    kinds = [step.kind for step in model.encoder.steps]
    assert rows == [count for count, kind in zip(planned, kinds, strict=True) if kind == "layer"]
    assert rows[-1] < sum(lengths) or reduction is METHODS["keys"]
    assert output.trace.kept[-1] == tuple(int(plan.steps[-1].kept) for plan in plans)


@each_family
@each_method
def test_every_parameter_learns(sizes: dict[str, Any], reduction: ReductionConfig) -> None:
    model = tiny_vision(reduction, **sizes).train()
    model.gradient_checkpointing_enable()
    model(images(), labels=torch.arange(len(SIZES)) % LABELS).loss.backward()
    assert [name for name, parameter in model.named_parameters() if parameter.grad is None] == []


@each_family
@each_method
@torch.no_grad()
def test_saved_and_loaded(sizes: dict[str, Any], reduction: ReductionConfig, tmp_path: Path) -> None:
    model, pixels = tiny_vision(reduction, **sizes), images()
    model.save_pretrained(tmp_path)
    again = AutoModelForImageClassification.from_pretrained(tmp_path)
    assert isinstance(again, TokensieveForImageClassification)
    assert torch.equal(again(pixels).logits, model(pixels).logits)
    body = AutoModel.from_pretrained(tmp_path)
    assert isinstance(body, TokensieveModel)
    output = body(pixel_values=pixels)
    assert torch.equal(model.head(output.tokens)[0], model(pixels).logits)
    assert tuple(output.attention_mask.sum(1).tolist()) == tuple(output.tokens.lengths)


@each_family
@pytest.mark.parametrize("name", ["keys", "attention of [CLS]", "tome"])
@torch.no_grad()
def test_flops_are_torchs_count(sizes: dict[str, Any], name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(linear, "onednn_pays", lambda: False)
    model = tiny_vision(METHODS[name], **sizes)
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        model(images([(SIDE, SIDE)]))
    (length,) = model.lengths_of({"pixel_values": images([(SIDE, SIDE)])})
    assert counter.get_total_flops() == pytest.approx(model.plan(length).flops, rel=0.02)


@torch.no_grad()
def test_a_plan_is_measured_on_images() -> None:
    reduction = replace(ROWS["quantile"].settings, min_length=0, pooling="pretrained")
    model = tiny_vision(reduction, **IMAGE_FAMILIES["vit"])
    plan = model.plan(37, samples={"pixel_values": images([(SIDE, SIDE)] * 3)})
    assert plan.basis == "measured"
    kept = model(images([(SIDE, SIDE)] * 3)).trace.kept[-1]
    assert plan.steps[-1].kept == pytest.approx(sum(kept) / 3)


def test_special_tokens_stay() -> None:
    """[CLS], and in DeiT the distillation token; all else may leave."""
    for kind in ("vit", "deit"):
        model = tiny_vision(
            ReductionConfig(prune=Prune(Received(), TopShare(), Constant(0.01), Hidden())), **IMAGE_FAMILIES[kind]
        )
        special = 2 if kind == "deit" else 1
        assert set(model(images()).trace.kept[-1]) == {special}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (None, "the family vit reads images: give pixel_values"),
        ([], "pixel_values is empty"),
        (torch.zeros(3, 24, 24), r"shape \(3, 24, 24\): give \[images, 3, height, width\]"),
        (torch.zeros(1, 1, 24, 24), r"image 0 of pixel_values has shape \(1, 24, 24\): give a tensor \[3, height"),
        (torch.zeros(1, 3, 24, 24, dtype=torch.uint8), "torch.uint8: give floats, as the model's image processor"),
        (
            [torch.zeros(3, 24, 24), torch.zeros(3, 3, 24)],
            "image 1 of pixel_values has 3 x 24 pixels, and a patch 4 x 4",
        ),
        (["cat.jpg"], "image 0 of pixel_values is a str"),
    ],
)
def test_other_images_are_refused(given: Any, message: str) -> None:
    model = tiny_vision(DENSE, **IMAGE_FAMILIES["vit"])
    with pytest.raises(InputError, match=message):
        model(given)


def test_texts_and_images_are_told_apart(tmp_path: Path) -> None:
    vision, text = tiny_vision(DENSE, **IMAGE_FAMILIES["vit"]), tiny_model(DENSE)
    body = TokensieveModel(vision.config)
    with pytest.raises(InputError, match="the family vit reads images: give pixel_values alone"):
        body(**batch(documents((5,))))
    with pytest.raises(InputError, match="the family bert reads texts: give input_ids"):
        TokensieveModel(text.config)(pixel_values=torch.stack(images([(SIDE, SIDE)])))
    for model, loader, message in (
        (vision, AutoModelForSequenceClassification, "reads images: load it with AutoModelForImageClassification"),
        (text, AutoModelForImageClassification, "reads texts: load it with tokensieve.load"),
    ):
        model.save_pretrained(tmp_path)
        with pytest.raises(ConfigError, match=message):
            loader.from_pretrained(tmp_path)


def test_every_family_is_tested() -> None:
    assert set(IMAGE_BACKBONES) <= set(IMAGE_FAMILIES)
