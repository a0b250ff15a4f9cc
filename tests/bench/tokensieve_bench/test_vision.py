"""The comparison on images: shares that are reached, folds that do not leak, and a table that pairs the same images."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import ViTConfig, ViTModel

from support.packages import needed
from support.paths import ROOT
from tokensieve.errors import ConfigError
from tokensieve_bench.report.vision import prumerge_table, vision_tables
from tokensieve_bench.vision import DENSE, body_of, features, flops_share, probed, read_images, settings_at

CONFIG = json.loads((ROOT / "benchmarks/configs/vision/compare.json").read_text(encoding="utf-8"))
SIDE, PATCH, LENGTH = 48, 4, 145


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("host")
    sizes = {"hidden_size": 32, "num_hidden_layers": 4, "num_attention_heads": 4, "intermediate_size": 64}
    ViTModel(ViTConfig(**sizes, image_size=SIDE, patch_size=PATCH)).save_pretrained(folder)
    return folder


@pytest.mark.parametrize("row", CONFIG["rows"])
def test_every_row_reaches_a_share(host: Path, row: str) -> None:
    """The FLOPs of what was read are those that were asked for."""
    settings = settings_at(CONFIG["rows"][row], body_of(host, DENSE), LENGTH, 0.65)
    model, pixels = body_of(host, settings), torch.randn(3, 3, SIDE, SIDE)
    vectors, kept = features(model, pixels, 2)
    assert vectors.shape == (3, 64)
    assert all(own[-1] < LENGTH for own in kept)
    assert flops_share(model, kept, pixels) == pytest.approx(0.65, abs=0.02)


def test_a_share_out_of_reach(host: Path) -> None:
    """Pairs halve the tokens of a layer at most."""
    with pytest.raises(ConfigError, match=r"a share of 0\.05 of the FLOPs is out of reach"):
        settings_at(CONFIG["rows"]["tome"], body_of(host, DENSE), LENGTH, 0.05)


def test_dense_vectors_are_those_of_transformers(host: Path) -> None:
    pixels = torch.randn(3, 3, SIDE, SIDE)
    vectors, kept = features(body_of(host, DENSE), pixels, 2)
    with torch.no_grad():
        state = ViTModel.from_pretrained(host).eval()(pixels).last_hidden_state
    expected = torch.cat([state[:, 0], state[:, 1:].mean(1)], 1)
    np.testing.assert_allclose(vectors, expected.numpy(), atol=1e-4)
    assert flops_share(body_of(host, DENSE), kept, pixels) == 1


def test_the_probe_has_not_seen_what_it_is_scored_on() -> None:
    """Classes that lie apart are told; random labels are not, though the vectors are wide enough to learn them all."""
    generator = np.random.default_rng(0)
    labels, vectors = np.arange(100) % 2, generator.normal(size=(100, 200))
    assert probed(vectors, labels, 5, 0, 1.0).mean() < 0.7
    vectors[:, 0] += 50 * labels
    assert probed(vectors[:, :3], labels, 5, 0, 1.0).all()


def test_images_are_read_in_one_order(tmp_path: Path) -> None:
    pillow = needed("PIL.Image")
    for split, name, grey in (("train", "dog", 255), ("test", "dog", 0), ("test", "cat", 124)):
        (tmp_path / split / name).mkdir(parents=True)
        pillow.new("RGB", (20, 10), (grey,) * 3).save(tmp_path / split / name / "1.jpg")
    images = read_images(tmp_path, 8)
    assert images.split == ("test", "test", "train")
    assert images.labels.tolist() == [0, 1, 1]
    assert images.pixels.shape == (3, 3, 8, 8)
    assert images.pixels[2, 0].mean() == pytest.approx((1 - 0.485) / 0.229, abs=1e-3)


def record(folder: Path, row: str, right: str, **changes: Any) -> None:
    own = {
        "host": "tiny",
        "row": row,
        "share": "1" if row == "dense" else "0.65",
        "images": len(right),
        "accuracy": right.count("1") / len(right),
        "right": right,
        "flops": 1.0 if row == "dense" else 0.65,
        "probe": {"folds": 5, "seed": 0, "strength": 0.01},
        "machine": {"commit": "0123456789abcdef", "processor": "a processor"},
    }
    (folder / "tiny").mkdir(exist_ok=True)
    (folder / "tiny" / f"{row}.json").write_text(json.dumps(own | changes), encoding="utf-8")


def test_the_table_pairs_images(tmp_path: Path) -> None:
    record(tmp_path, "dense", "1110" * 10)
    record(tmp_path, "tome", "1100" * 10, **timed([3.0, 3.0], [2.0, 1.5]))
    record(tmp_path, "random", "1100" * 10, machine={"commit": "a" * 40 + "+", "processor": "a processor"})
    table = vision_tables(tmp_path)
    (line,) = (line for line in table.splitlines() if line.startswith("| tome"))
    assert "0.500" in line
    assert "-25.00 [" in line
    assert "1.75 (1.50-2.00)" in line
    (line,) = (line for line in table.splitlines() if line.startswith("| random"))
    assert line.endswith(" | - |")
    assert "- commits 0123456789, aaaaaaaaaa+; a processor" in table
    assert "- speed: 32 images, 2 rounds, 2 threads; commit cccccccccc; another" in table


def timed(dense: list[float], own: list[float]) -> dict[str, Any]:
    on = {"commit": "c" * 40, "processor": "another", "threads": 2}
    return {"seconds": {"dense": dense, "own": own}, "timed_images": 32, "timed_on": on}


RIGHT = "1110" * 250
BARS: dict[str, tuple[str, dict[str, Any], str, str]] = {
    "met": (RIGHT, timed([3.0, 3.0, 9.0], [2.0, 2.1, 2.0]), "met, 1.50", "met"),
    "of the medians 1.4": (RIGHT, timed([2.8, 2.0, 4.0], [2.0, 1.9, 3.9]), "missed, 1.05", "met"),
    "not timed": ("0" + RIGHT[1:], {}, "not judged: it was not timed yet", "met"),
    "by the mean": ("0" * 20 + RIGHT[20:], {}, "not judged", "met by the mean; the interval reaches -2."),
    "lost": ("0" * 40 + RIGHT[40:], {}, "not judged", "missed"),
}


@pytest.mark.parametrize(("right", "changes", "speed", "loss"), BARS.values(), ids=BARS)
def test_bars(tmp_path: Path, right: str, changes: dict[str, Any], speed: str, loss: str) -> None:
    record(tmp_path, "dense", RIGHT)
    where = "`zero-tprune` at 0.65 of the FLOPs, at"
    assert vision_tables(tmp_path).count("not judged: the row was not measured here") == 2
    record(tmp_path, "zero-tprune", right, **changes)
    table = vision_tables(tmp_path)
    assert f"- {where} least 1.35 times the images per second: {speed}" in table
    assert f"- {where} most 2 points lost: {loss}" in table


def prumerge(folder: Path, **changes: Any) -> str:
    row = {"tokens": 4.0, "least": 4, "most": 4, "accuracy": 0.5, "right": "10"}
    own = {
        "config": {"probe": {"folds": 5, "strength": 0.01}, "timed": {"images": 64, "rounds": 5}},
        "images": 2,
        "rows": {"all": row, "prumerge": row, "at random": row},
        "machine": {"commit": "0123456789abcdef+", "processor": "a processor"},
    }
    (folder / "prumerge.json").write_text(json.dumps(own | changes), encoding="utf-8")
    return prumerge_table(folder / "prumerge.json")


def test_prumerge_with_and_without_times(tmp_path: Path) -> None:
    assert prumerge_table(tmp_path / "prumerge.json") == "Not measured yet."
    untimed = prumerge(tmp_path)
    assert untimed.count(" | - |\n") == 3
    assert untimed.endswith("- commit 0123456789+; a processor")
    times = {"milliseconds": {"tower": 12.5, "prumerge": 0.25}, "timed_on": timed([], [])["timed_on"]}
    told = prumerge(tmp_path, **times)
    assert "| prumerge | 4.0 | 4-4 | 0.500 | +0.00 [+0.00, +0.00] | 0.25 |" in told
    assert "takes 12.50 ms an image; median of 5 rounds over 64 images, 2 threads; commit cccccccccc; another" in told
    rounds = {"seconds": {"tower": [0.1, 0.2, 0.3], "prumerge": [0.001, 0.002, 0.006]}, "timed_images": 10}
    told = prumerge(tmp_path, **times, **rounds)
    assert "| 0.20 (0.10-0.60) |" in told
    assert "takes 20.00 (10.00-30.00) ms an image; median of 3 rounds over 10 images" in told


def test_no_records_yet(tmp_path: Path) -> None:
    assert vision_tables(tmp_path) == "Not measured yet."


def test_as_many_images_as_asked_for(tmp_path: Path) -> None:
    pillow = needed("PIL.Image")
    (tmp_path / "train" / "cat").mkdir(parents=True)
    for number in range(9):
        pillow.new("RGB", (8, 8)).save(tmp_path / "train" / "cat" / f"{number}.jpg")
    assert [len(read_images(tmp_path, 8, most).labels) for most in (4, 5, 9, 20)] == [4, 5, 9, 9]
