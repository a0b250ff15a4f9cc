"""A small ViT, trained on the images that the comparison of methods reads -> build/vision/small-p16.

    python benchmarks/vision/train_small.py --images IMAGES

It is a host to compare methods on, and no good classifier: it sees the 400 training images alone, mirrored and shifted.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
import torch.nn.functional as F
from transformers import ViTConfig, ViTForImageClassification

from tokensieve_bench.places import ROOT
from tokensieve_bench.vision import read_images

SIDE, SHIFT = 160, 16


def main() -> None:
    """Train, score on the test images, save."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=Path, required=True, help="folder SPLIT/CLASS/*.jpg")
    parser.add_argument("--output", type=Path, default=ROOT / "build" / "vision" / "small-p16")
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    images = read_images(arguments.images, SIDE)
    labels = torch.from_numpy(images.labels)
    train = torch.tensor([place for place, split in enumerate(images.split) if split == "train"])
    test = torch.tensor([place for place, split in enumerate(images.split) if split == "test"])
    model = small_vit(int(labels.max()) + 1)
    fit(model, images.pixels[train], labels[train], arguments.epochs)
    model.eval()
    with torch.no_grad():
        found = torch.cat([model(part).logits.argmax(1) for part in images.pixels[test].split(50)])
    print(f"accuracy on {len(test)} test images: {float((found == labels[test]).float().mean()):.3f}")
    model.save_pretrained(arguments.output)


def small_vit(classes: int) -> ViTForImageClassification:
    """Six layers, d = 192, patches of 16 x 16: 101 tokens."""
    config = ViTConfig(
        hidden_size=192,
        num_hidden_layers=6,
        num_attention_heads=3,
        intermediate_size=768,
        image_size=SIDE,
        patch_size=16,
        hidden_dropout_prob=0.1,
        layer_norm_eps=1e-6,
        num_labels=classes,
    )
    return ViTForImageClassification(config)


def fit(
    model: ViTForImageClassification, pixels: torch.Tensor, labels: torch.Tensor, epochs: int, batch: int = 40
) -> None:
    """Train all weights, by AdamW with a warm-up and a cosine."""
    steps = epochs * -(-len(pixels) // batch)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 1e-3, total_steps=steps, pct_start=0.15)
    model.train()
    for epoch in range(epochs):
        total = 0.0
        for part in torch.randperm(len(pixels)).split(batch):
            loss = F.cross_entropy(model(augmented(pixels[part])).logits, labels[part], label_smoothing=0.1)
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            total += float(loss.detach()) * len(part)
        if epoch % 5 == 4:
            print(f"epoch {epoch + 1} of {epochs}: loss {total / len(pixels):.3f}", flush=True)


def augmented(pixels: torch.Tensor) -> torch.Tensor:
    """Images, shifted by up to 16 pixels, half of them mirrored."""
    padded = F.pad(pixels, (SHIFT,) * 4, mode="reflect")
    made = []
    for image in padded:
        top, left = (int(torch.randint(2 * SHIFT + 1, ())) for _ in range(2))
        cut = image[:, top : top + SIDE, left : left + SIDE]
        made.append(cut.flip(2) if torch.rand(()) < 0.5 else cut)
    return torch.stack(made)


if __name__ == "__main__":
    main()
