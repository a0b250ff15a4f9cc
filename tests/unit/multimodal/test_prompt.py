"""Prompts in which images have fewer vectors than placeholders."""

import pytest
import torch

from tokensieve import InputError
from tokensieve.multimodal import place_visual_tokens

IMAGE, EACH = 9, 3
IDS = torch.tensor([[1, 9, 9, 9, 2, 0, 0, 0], [3, 9, 9, 9, 9, 9, 9, 4]])
MASK = torch.tensor([[1, 1, 1, 1, 1, 0, 0, 0], [1] * 8])
WORDS = torch.arange(10.0).unsqueeze(1).expand(-1, 2)
IMAGES = [torch.full((2, 2), 70.0), torch.full((1, 2), 80.0), torch.full((3, 2), 90.0)]


def placed(ids: torch.Tensor = IDS, features: list[torch.Tensor] | None = None) -> dict[str, torch.Tensor]:
    features = IMAGES if features is None else features
    return place_visual_tokens(
        WORDS[ids], ids, features, image_token_id=IMAGE, placeholders=EACH, attention_mask=MASK[: len(ids)]
    )


def test_by_hand() -> None:
    """The first prompt has two vectors for its image; the second has two images, which stand side by side."""
    found = placed()
    assert found["inputs_embeds"][:, :, 0].tolist() == [[0, 0, 1, 70, 70, 2], [3, 80, 90, 90, 90, 4]]
    assert found["attention_mask"].tolist() == [[0, 0, 1, 1, 1, 1], [1] * 6]
    assert found["position_ids"].tolist() == [[0, 0, 0, 1, 2, 3], [0, 1, 2, 3, 4, 5]]


def test_without_images_and_padding() -> None:
    ids = torch.tensor([[1, 2, 3]])
    found = place_visual_tokens(WORDS[ids], ids, [], image_token_id=IMAGE, placeholders=EACH)
    assert torch.equal(found["inputs_embeds"], WORDS[ids])


@pytest.mark.parametrize("count", [1, 2])
def test_too_few_images(count: int) -> None:
    with pytest.raises(InputError, match=r"prompt 1 has 6 placeholders in a row, 3 for each image, and . images are"):
        placed(features=IMAGES[:count])


def test_other_mistakes() -> None:
    with pytest.raises(InputError, match="4 images, 1 of which have no place"):
        placed(features=[*IMAGES, IMAGES[0]])
    with pytest.raises(InputError, match=r"prompt 0: an image of vectors \[2, 5\]: give \[m, 2\]"):
        placed(IDS[:1], [torch.ones(2, 5)])
    with pytest.raises(InputError, match="prompt 0 has 2 placeholders in a row"):
        placed(torch.tensor([[1, 9, 9, 2, 0, 0, 0, 0]]), IMAGES[:1])
    with pytest.raises(InputError, match=r"embeddings \[1, 8, 2\] with input_ids \[2, 8\]"):
        place_visual_tokens(WORDS[IDS[:1]], IDS, [], image_token_id=IMAGE, placeholders=EACH)
