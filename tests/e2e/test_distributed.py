"""Two processes on the CPU train what one with twice the accumulation trains, and count every document once."""

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch
from safetensors.torch import load_file

from support.folders import change_config

WORDS = ["the", "a", "of", "in", "to", "and", "is", "was", "not", "good", "bad"]
LABELS = ("film", "law", "team")
TRAINING, VALIDATION = 27, 13
"""Neither fills its batches of 4 and 8, on one process or on two."""

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def folder(tiny_bert_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Documents, and the tiny BERT without dropout: two processes would draw other masks than one."""
    folder = tmp_path_factory.mktemp("distributed")
    shutil.copytree(tiny_bert_dir, folder / "model")
    change_config(folder / "model", hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
    (folder / "data").mkdir()
    for split, count in (("train", TRAINING), ("validation", VALIDATION)):
        rows = []
        for number in range(count):
            words = [WORDS[(number * 7 + i * 3) % len(WORDS)] for i in range(number % 17)]
            label = LABELS[number % 3 if number % 5 else 0]
            rows.append(json.dumps({"text": " ".join([*words, LABELS[number % 3]]), "label": label}))
        (folder / "data" / f"{split}.jsonl").write_text("\n".join(rows), encoding="utf-8")
    return folder


def train(folder: Path, output: str, processes: int, *options: str) -> subprocess.CompletedProcess[str]:
    process = start(folder, output, processes, *options)
    try:
        printed, errors = process.communicate(timeout=280)
    except subprocess.TimeoutExpired:
        kill(process)
        raise
    return subprocess.CompletedProcess(process.args, process.returncode, printed, errors)


def start(folder: Path, output: str, processes: int, *options: str) -> subprocess.Popen[str]:
    command = ["-m", "tokensieve", "train", "--model", "model", "--data", "data", "--output", output]
    command += [
        "--epochs",
        "3",
        "--batch-size",
        "4",
        "--learning-rate",
        "3e-3",
        "--max-length",
        "32",
        "--device",
        "cpu",
    ]
    reduction = (
        []
        if "--preset" in options
        else ["--set", "combine.layer=3", "--set", "combine.tokens=3", "--set", "combine.noise=false"]
    )
    command += [*reduction, *options]
    if processes > 1:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        launch = ["-m", "torch.distributed.run", f"--nproc-per-node={processes}", "--master-port", str(port)]
        command = launch + command
    environment = os.environ | {"OMP_NUM_THREADS": "1", "TOKENSIEVE_DEBUG": "1"}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen([sys.executable, *command], cwd=folder, env=environment, text=True, **pipes)


def kill(process: subprocess.Popen[str]) -> None:
    """SIGKILL to the launcher and all that it started, each in a session of its own, which would outlive it."""
    with contextlib.suppress(psutil.NoSuchProcess):
        launcher = psutil.Process(process.pid)
        for one in (launcher, *launcher.children(recursive=True)):
            with contextlib.suppress(psutil.NoSuchProcess):
                one.kill()
    process.communicate()


@pytest.fixture(scope="module")
def runs(folder: Path) -> dict[str, tuple[dict[str, Any], dict[str, torch.Tensor]]]:
    """Record and weights of a training on one process and of one on two."""
    found = {}
    for name, processes, options in (("one", 1, ["--set", "train.accumulation=2"]), ("two", 2, ["--json"])):
        done = train(folder, name, processes, *options, "--set", "train.class_weights=balanced")
        assert done.returncode == 0, done.stderr[-3000:]
        if name == "two":
            assert json.loads(done.stdout)["processes"] == 2, "one result on stdout, from the first process alone"
        record = json.loads((folder / name / "training.json").read_text(encoding="utf-8"))
        found[name] = record, load_file(folder / name / "model.safetensors")
    return found


def curve(record: dict[str, Any], name: str) -> list[float]:
    return [entry[name] for entry in record["history"] if name in entry]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["loss", "eval_loss", "eval_accuracy", "eval_f1_macro", "learning_rate", "grad_norm"])
def test_the_curves_agree(runs: dict[str, Any], name: str) -> None:
    one, two = (curve(record, name) for record, _ in runs.values())
    assert len(one) == 3
    assert two == pytest.approx(one, rel=1e-4, abs=1e-6)


@pytest.mark.slow
def test_the_weights_agree(runs: dict[str, Any]) -> None:
    one, two = (weights for _, weights in runs.values())
    for name, weight in one.items():
        torch.testing.assert_close(two[name], weight, atol=2e-5, rtol=1e-4, msg=name)


@pytest.mark.slow
def test_every_document_counts_once(runs: dict[str, Any]) -> None:
    (one, _), (two, _) = runs.values()
    for run in (one, two):  # right answers are whole documents
        right = run["best"]["eval_accuracy"] * VALIDATION
        assert right == pytest.approx(round(right))
    assert two["calibration"]["documents"] == one["calibration"]["documents"] == VALIDATION
    assert two["calibration"]["temperature"] == pytest.approx(one["calibration"]["temperature"], rel=1e-3)
    assert two["documents"] == {"train": TRAINING, "validation": VALIDATION}


@pytest.mark.slow
def test_two_processes_killed_and_resumed(folder: Path, runs: dict[str, Any]) -> None:
    """In the second epoch of four steps, with the best weights so far behind it."""
    options = ("--set", "train.class_weights=balanced", "--set", "run.checkpoint_steps=1")
    process = start(folder, "killed", 2, *options)
    note = folder / "killed.part" / "checkpoints" / "checkpoint-6" / "whole.json"
    try:
        while not note.exists() and process.poll() is None:
            time.sleep(0.002)
    finally:
        kill(process)
    assert note.exists() and not (folder / "killed").exists(), "it was over before it was killed"
    done = train(folder, "killed", 2, *options, "--resume")
    assert done.returncode == 0, done.stderr[-3000:]
    record = json.loads((folder / "killed" / "training.json").read_text(encoding="utf-8"))
    assert int(record["resumed_from"].partition("-")[2]) >= 6
    assert record["processes"] == 2
    straight, found = runs["two"][1], load_file(folder / "killed" / "model.safetensors")
    for name, weight in straight.items():
        torch.testing.assert_close(found[name], weight, atol=1e-6, rtol=0, msg=name)


@pytest.mark.slow
def test_an_error_ends_all_processes(folder: Path) -> None:
    done = train(folder, "none", 2, "--max-length", "4000")
    assert done.returncode != 0
    assert "max_length=4000" in done.stderr
    assert not list(folder.glob("none*"))


def test_two_stages_on_two_processes(folder: Path) -> None:
    """The learned importance is fitted by each process, and alike; both stages end as on one process."""
    for name, processes, options in (("staged-one", 1, ["--set", "train.accumulation=2"]), ("staged-two", 2, [])):
        done = train(folder, name, processes, *options, "--preset", "balanced")
        assert done.returncode == 0, done.stderr[-3000:]
    for stage in (".dense", ""):
        one, two = (load_file(folder / f"{name}{stage}" / "model.safetensors") for name in ("staged-one", "staged-two"))
        assert one.keys() == two.keys()
        for name, weight in one.items():
            torch.testing.assert_close(two[name], weight, atol=2e-4, rtol=0, msg=f"{stage} {name}")
    assert any("importance" in name for name in one)
