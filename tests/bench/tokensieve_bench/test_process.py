"""Processes of their own, and what a record says of the machine."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from bench.tokensieve_bench.bench_records import CONTENDERS
from bench.tokensieve_bench.bench_records import config as config_record
from tokensieve import TokensieveError
from tokensieve_bench import machine as machine_module
from tokensieve_bench.config import Training
from tokensieve_bench.machine import commit, machine
from tokensieve_bench.process import Request, ask, thread_variables, train

TRAINING = {"attention_dropout": 0.0, "dropout": 0.0, "steps": 2, "learning_rate": 0.01}


def request(tmp_path: Path, **changes: Any) -> Request:
    return Request(config_record(**changes), "sdpa", 0, str(tmp_path), None, 1)


def test_a_process_counts_its_own_memory(tmp_path: Path) -> None:
    """Weights of the tiny shape are 4 MB; a process counts them, and neither ours nor what its imports took."""
    block = torch.ones(100_000_000)
    found = ask(request(tmp_path, measure="memory"))
    assert found["seconds"] == []
    assert found["facts"]["attention"] == "sdpa"
    assert found["flops"]["own"] == found["flops"]["dense"] > 0
    if sys.platform == "linux":
        assert 3e6 < found["loaded_bytes"] < found["peak_bytes"] < 150e6 < block.nbytes
    assert not list(tmp_path.iterdir()), "nothing is left of what it wrote"


def test_a_process_that_fails_says_why(tmp_path: Path) -> None:
    with pytest.raises(TokensieveError, match=r"measures 'sdpa' failed: .*absent: no such folder"):
        ask(request(tmp_path, measure="memory", backbone=str(tmp_path / "absent")))


def test_a_process_that_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = subprocess.run

    def killed(command: list[str], **options: Any) -> Any:
        return plain([sys.executable, "-c", "import os; os.kill(os.getpid(), 9)"], **options)

    monkeypatch.setattr(subprocess, "run", killed)
    with pytest.raises(TokensieveError, match="signal 9; is there enough memory"):
        ask(request(tmp_path, measure="memory"))


def test_equal_threads_for_all() -> None:
    expected = {"OMP_NUM_THREADS": "3", "RAYON_NUM_THREADS": "3", "TOKENIZERS_PARALLELISM": "true"}
    assert thread_variables(3) == expected


def test_a_training_step_trains(prepare: Any) -> None:
    changes = {"measure": "training", "training": TRAINING, "contenders": CONTENDERS}
    config, setting, (work,) = prepare(alone=True, **changes)
    contender = config.contenders["ours"].load(setting)
    before = {name: tensor.clone() for name, tensor in contender.module.named_parameters()}
    batch = work.batches("given")[0]
    labels = torch.tensor([place % 2 for place in batch.documents])
    losses = []
    for _ in range(2):
        with torch.no_grad():
            output = contender.module(input_ids=batch.input_ids, attention_mask=batch.attention_mask, labels=labels)
        losses.append(float(output.loss))
        assert isinstance(config.training, Training)
        assert len(train(contender, work, config.training, 2)) == 2
    assert losses[1] < losses[0]
    same = [name for name, tensor in contender.module.named_parameters() if torch.equal(before[name], tensor)]
    assert len(same) < len(before) / 2, same
    assert not contender.module.training
    assert not any(tensor.grad is not None for tensor in contender.module.parameters())


def test_what_a_record_says_of_the_machine() -> None:
    found = machine(2)
    assert found["threads"] == 2
    assert str(torch.__version__).startswith(found["torch"])  # some builds leave their suffix out of the metadata
    assert found["processor"]
    assert {"python", "transformers", "cores", "load", "instructions"} <= set(found)


def test_the_commit_is_that_of_a_checkout_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def git(*arguments: str) -> None:
        name = ["-c", "user.name=a", "-c", "user.email=a@b"]
        subprocess.run(["git", *name, *arguments], cwd=tmp_path, check=True, capture_output=True)

    monkeypatch.setattr(machine_module, "_FOLDER", tmp_path)
    assert commit() is None, "no checkout"
    git("init")
    (tmp_path / "__init__.py").write_text("")
    assert commit() is None, "in a checkout, and no part of it"
    git("add", ".")
    git("commit", "-m", "first")
    found = commit()
    assert found is not None
    assert len(found) == 40
    for place, changed in (("configs/a.json", ""), ("speed/script.py", "+")):
        file = tmp_path / "benchmarks" / place
        file.parent.mkdir(parents=True)
        file.write_text("")
        assert commit() == f"{found}{changed}", place
    file.unlink()
    (tmp_path / "__init__.py").write_text("changed = True")
    assert commit() == f"{found}+"
