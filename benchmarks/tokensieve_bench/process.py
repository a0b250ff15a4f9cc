"""Measuring in a process of its own: the peak of its memory, and training steps, which need memory of their own."""

from __future__ import annotations

import dataclasses
import gc
import importlib
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch

from tokensieve.errors import TokensieveError
from tokensieve.memory import peak_memory_bytes, reset_peak_memory, return_freed_pages
from tokensieve_bench.backbone import Backbone
from tokensieve_bench.cells import make_works
from tokensieve_bench.config import BenchConfig, Training
from tokensieve_bench.contenders import Contender, Setting
from tokensieve_bench.contenders.contender import ModuleContender
from tokensieve_bench.reading import parse_config
from tokensieve_bench.rounds import seconds
from tokensieve_bench.work import Work

CPU = torch.device("cpu")


@dataclasses.dataclass(frozen=True)
class Request:
    """What a process is asked to measure; all of it goes through JSON.

    Attributes:
        record: the config, as its file has it.
        contender: by name.
        cell: its number among the config's.
        folder: of files that all processes share.
        data: folder of data sets, or None.
        threads: to compute with.
    """

    record: dict[str, Any]
    contender: str
    cell: int
    folder: str
    data: str | None
    threads: int


def thread_variables(threads: int) -> dict[str, str]:
    """What tells libraries how many threads to start: OpenMP, and the tokenizers' (Rayon).

    transformers' pipeline would switch the tokenizers' threads off for the whole process, and so for other contenders,
    unless the variable already says what it should be.
    """
    return {
        "OMP_NUM_THREADS": str(threads),
        "RAYON_NUM_THREADS": str(threads),
        "TOKENIZERS_PARALLELISM": "true",
    }


def use_threads(threads: int) -> None:
    """Let torch, and the tokenizers of this process and of those that it starts, compute with so many threads.

    The tokenizers start theirs at their first batch, so this has to come ahead of it.
    """
    os.environ.update(thread_variables(threads))
    torch.set_num_threads(threads)


def ask(request: Request) -> dict[str, Any]:
    """The figures of a fresh process, as `measure_alone` gives them.

    Raises:
        TokensieveError: it failed, or was killed.
    """
    with tempfile.TemporaryDirectory(dir=request.folder) as folder:
        found = Path(folder) / "found.json"
        run = subprocess.run(
            [sys.executable, "-m", "tokensieve_bench.process", str(found)],
            input=json.dumps(dataclasses.asdict(request)),
            capture_output=True,
            text=True,
            env={**os.environ, **thread_variables(request.threads)},
            check=False,
        )
        if run.returncode == 0:
            figures: dict[str, Any] = json.loads(found.read_text(encoding="utf-8"))
            return figures
    said = run.stderr.strip().splitlines()[-1:] or ["it said nothing"]
    why = f"was killed by signal {-run.returncode}; is there enough memory?" if run.returncode < 0 else said[0]
    raise TokensieveError(f"the process that measures {request.contender!r} failed: {why}")


def measure_alone(request: Request) -> dict[str, Any]:
    """Figures of one contender in one cell, in this process, which has done nothing yet.

    Returns:
        "peak_bytes": peak of the resident set during the work, less what imports had taken; "loaded_bytes": what the
        loaded contender took of that; "seconds" of each training step, none at inference; "facts"; "flops".
    """
    config = parse_config(request.record, "the config").only((request.contender,))
    asked = config.contenders[request.contender]
    torch.set_num_threads(request.threads)
    for module in asked.modules:
        importlib.import_module(module)
    before = resident_bytes()
    data = None if request.data is None else Path(request.data)
    setting, works = make_setting(config, Path(request.folder), data, request.threads, alone=True)
    contender, work = asked.load(setting), works[request.cell]
    loaded = resident_bytes() - before
    steps = [] if config.training is None else train(contender, work, config.training, config.num_labels)
    if config.training is None:
        for call in contender.calls(work):
            call()
    peak = max(peak_memory_bytes(CPU) - before, loaded)  # the system counts to a few pages
    cost = contender.cost(work)
    return {
        "peak_bytes": peak,
        "loaded_bytes": loaded,
        "seconds": steps,
        "facts": contender.facts,
        "flops": None if cost is None else dataclasses.asdict(cost),
    }


def make_setting(
    config: BenchConfig, folder: Path, data: Path | None, threads: int, *, alone: bool
) -> tuple[Setting, list[Work]]:
    """What the contenders of a config are made in, and the work of its cells.

    Raises:
        ConfigError, CheckpointError, DataError, MissingExtraError: as `Backbone`, `make_works` and the contenders.
    """
    dropout = {} if (own := config.training) is None else _dropout(own)
    backbone = Backbone(config.backbone, seed=config.seed, num_labels=config.num_labels, **dropout)
    for contender in config.contenders.values():
        contender.check(backbone, config.measure)
    works = make_works(config, backbone, data)
    return Setting(backbone, folder, threads, works[0].texts, works[0].max_length, alone), works


def _dropout(training: Training) -> dict[str, float]:
    return {"dropout": training.dropout, "attention_dropout": training.attention_dropout}


def train(contender: Contender, work: Work, training: Training, labels: int) -> list[float]:
    """Seconds of each step that counts: forward, backward and AdamW's update on a batch; one step comes before them."""
    assert isinstance(contender, ModuleContender)
    module, batches = contender.module.train(), work.batches(contender.order)
    optimizer = torch.optim.AdamW(module.parameters(), lr=training.learning_rate)

    def step(number: int) -> None:
        batch = batches[number % len(batches)]
        loss = module(
            input_ids=batch.input_ids,
            attention_mask=batch.attention_mask,
            labels=torch.tensor([place % labels for place in batch.documents]),
        ).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()

    taken = [seconds(lambda number=number: step(number)) for number in range(training.steps + 1)]  # type: ignore[misc]
    module.eval()
    return taken[1:]


def resident_bytes() -> int:
    """Bytes in use now, after all that is no longer needed was given back; elsewhere than on Linux the peak so far."""
    gc.collect()
    return_freed_pages()
    reset_peak_memory(CPU)
    return peak_memory_bytes(CPU)


def main() -> None:
    """Read a request from stdin, and write what is found to the file named."""
    try:
        found = measure_alone(Request(**json.load(sys.stdin)))
    except TokensieveError as error:
        sys.exit(" ".join(str(error).split()))
    Path(sys.argv[1]).write_text(json.dumps(found), encoding="utf-8")


if __name__ == "__main__":
    main()
