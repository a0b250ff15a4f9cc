"""`tokensieve train` killed at whatever moment, and resumed."""

import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

OPTIONS = {
    "--epochs": 3,
    "--batch-size": 4,
    "--learning-rate": 2e-3,
    "--max-length": 32,
    "--device": "cpu",
    "--keep": 0.8,
}
SETTINGS = (
    "run.checkpoint_steps=2",
    "prune.select=top-share",
    "prune.site=hidden",
    "combine.layer=3",
    "combine.tokens=3",
)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    words = ["the", "a", "of", "in", "to", "and", "is", "was", "not", "good", "bad"]
    generator = random.Random(3)
    rows = []
    for number in range(48):
        label = ("film", "law", "team")[number % 3]
        text = " ".join([*generator.choices(words, k=12), label])
        rows.append(json.dumps({"text": text, "label": label}))
    path = tmp_path / "data.jsonl"
    path.write_text("\n".join(rows), encoding="utf-8")
    return path


def start(data: Path, model: Path, output: str, *options: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tokensieve", "train", "--model", model, "--data", data, "--output", output]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    settings = [part for setting in SETTINGS for part in ("--set", setting)]
    return subprocess.Popen(
        [*map(str, command), *(str(part) for item in OPTIONS.items() for part in item), *settings, *options],
        cwd=data.parent,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def kill_when(process: subprocess.Popen[str], happened: Callable[[], bool]) -> bool:
    """SIGKILL as soon as something is true; whether it came to that."""
    while process.poll() is None:
        if happened():
            process.kill()
            process.communicate()
            return True
        time.sleep(0.002)
    return False


@pytest.mark.slow
def test_killed_at_any_moment(data: Path, tiny_bert_dir: Path) -> None:
    """While a checkpoint is being written, right after one, between two, and while the result is saved."""
    straight = start(data, tiny_bert_dir, "straight")
    printed, _ = straight.communicate(timeout=200)
    assert straight.returncode == 0, printed
    folder = data.parent / "killed.part"
    checkpoints = folder / "checkpoints"
    moments: list[Callable[[], bool]] = [
        lambda: any(not (path / "whole.json").exists() for path in checkpoints.glob("checkpoint-*")),
        lambda: (checkpoints / "checkpoint-8" / "whole.json").exists(),
        lambda: any((checkpoints / f"checkpoint-{step}" / "optimizer.pt").exists() for step in range(12, 40)),
        lambda: (folder / "model.safetensors").exists(),
    ]
    for number, moment in enumerate(moments):
        assert kill_when(start(data, tiny_bert_dir, "killed", "--resume"), moment), f"moment {number} never came"
        assert folder.is_dir()
        assert not (data.parent / "killed").exists(), "half a classifier was published"
    last = start(data, tiny_bert_dir, "killed", "--resume")
    printed, _ = last.communicate(timeout=200)
    assert last.returncode == 0, printed
    one, other = (load_file(data.parent / name / "model.safetensors") for name in ("straight", "killed"))
    for name, weight in one.items():
        torch.testing.assert_close(other[name], weight, atol=1e-6, rtol=0, msg=name)
    left = sorted(path.name for path in (data.parent / "killed").iterdir())
    assert left == sorted(path.name for path in (data.parent / "straight").iterdir())
    assert not folder.exists()
