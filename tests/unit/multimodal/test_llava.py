"""A tiny LLaVA reads fewer visual tokens: really fewer, in every layer, and each prompt as if it were alone."""

from typing import Any

import pytest
import torch

from tokensieve import InputError
from tokensieve.multimodal import llava_inputs
from unit.multimodal.towers import IMAGE, PATCHES, llava, pictures

IDS = torch.tensor([[0, 0, 1, *[IMAGE] * PATCHES, 5, 6], [1, 7, 8, *[IMAGE] * PATCHES, 9, 3]])
MASK = (IDS != 0).long()


@torch.no_grad()
def test_with_all_tokens_it_is_the_model_itself() -> None:
    model = llava()
    inputs = llava_inputs(model, IDS, pictures(2), MASK, count=PATCHES, supplement="none")
    plain = model(input_ids=IDS, pixel_values=pictures(2), attention_mask=MASK).logits
    torch.testing.assert_close(model(**inputs).logits[MASK.bool()], plain[MASK.bool()], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("settings", [{}, {"spatial": 3, "rest": True}, {"count": 4, "supplement": "mean"}], ids=str)
@torch.no_grad()
def test_fewer_tokens_reach_the_language_model(settings: dict[str, Any]) -> None:
    model, rows = llava(), list[int]()
    for layer in model.model.language_model.layers:
        layer.register_forward_pre_hook(lambda _, inputs: rows.append(inputs[0].shape[1]))
    inputs = llava_inputs(model, IDS[1:], pictures(2)[1:], **settings)
    answer = model(**inputs)
    text = int((IDS[1] != IMAGE).sum())
    assert rows == [inputs["inputs_embeds"].shape[1]] * 2
    assert text < rows[0] < text + PATCHES
    assert inputs["attention_mask"].all(), "nothing is masked"
    assert answer.logits.isfinite().all()


@torch.no_grad()
def test_a_prompt_does_not_see_its_batch() -> None:
    model = llava()
    inputs = llava_inputs(model, IDS, pictures(2), MASK)
    together = model(**inputs).logits
    for number in range(2):
        alone = llava_inputs(
            model, IDS[number : number + 1], pictures(2)[number : number + 1], MASK[number : number + 1]
        )
        rows = int(inputs["attention_mask"][number].sum())
        assert alone["inputs_embeds"].shape[1] == rows
        torch.testing.assert_close(together[number, -rows:], model(**alone).logits[0], atol=1e-4, rtol=1e-4)


@torch.no_grad()
def test_it_generates() -> None:
    model = llava()
    inputs = llava_inputs(model, IDS, pictures(2), MASK, spatial=1)
    answers = model.generate(**inputs, max_new_tokens=4, do_sample=False)
    for number in range(2):
        row = slice(number, number + 1)
        read = llava_inputs(model, IDS[row], pictures(2)[row], MASK[row], spatial=1)["inputs_embeds"]
        for answer in answers[number].tolist():
            assert int(model(inputs_embeds=read).logits[0, -1].argmax()) == answer
            read = torch.cat([read, model.get_input_embeddings()(torch.tensor([[answer]]))], 1)


def test_features_of_several_layers_are_refused() -> None:
    with pytest.raises(InputError, match=r"vision_feature_layer=\[-2, -1\].*use reduce_visual_tokens"):
        llava_inputs(llava(vision_feature_layer=[-2, -1]), IDS, pictures(2), MASK)
