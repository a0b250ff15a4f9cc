"""A server that is killed, and one whose model is replaced, under load -> results/serving/faults.json.

    python benchmarks/serving/faults.py benchmarks/configs/serving/serving.json --data DATA \
        --model FOLDER --other FOLDER --threads 2

MODEL and OTHER are classifiers of the same labels. Each answer has to be that of one of them; after the replacement
the other's. A request without an answer, or with another status than 200, is lost; that may only be what was in flight
when the server was killed, and what it refuses until it is healthy.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from load import Answer, load
from under_load import TOLERANCE, environment, free_port, texts_of, wait_until_healthy

from tokensieve import load as load_classifier
from tokensieve_bench.machine import machine
from tokensieve_bench.places import RESULTS

CLIENTS = 64


def main() -> None:
    """Measure, write, print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("config", type=Path)
    parser.add_argument("--data", type=Path, required=True, help="folder that holds the data sets")
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--other", type=Path, required=True)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    config = json.loads(arguments.config.read_text(encoding="utf-8"))
    texts, length = texts_of(config, arguments.data), config["max_length"]
    expected = [
        [result.probabilities for result in load_classifier(folder, device="cpu", max_length=length).results(texts)]
        for folder in (arguments.model, arguments.other)
    ]
    labels = load_classifier(arguments.model, device="cpu").labels
    with tempfile.TemporaryDirectory() as folder:
        served = Path(folder) / "served"
        shutil.copytree(arguments.model, served)
        shutil.copytree(arguments.other, Path(folder) / "next")
        server = Server(served, length, arguments.threads)
        try:
            asked = (texts, labels, expected, config["round_requests"])
            record = {"killed": killed(server, *asked), "replaced": replaced(server, *asked)}
        finally:
            server.process.terminate()
            server.process.wait(60)
    record |= {"config": config, "clients": CLIENTS, "machine": machine(arguments.threads)}
    target = RESULTS / "serving" / "faults.json"
    target.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    print(json.dumps({key: record[key] for key in ("killed", "replaced")}, indent=1))


class Server:
    """`tokensieve serve` on a port of its own."""

    def __init__(self, model: Path, length: int, threads: int) -> None:
        self.port, self.threads = free_port(), threads
        options = ["--max-length", str(length), "--threads", str(threads), "--port", str(self.port)]
        self.command = [sys.executable, "-m", "tokensieve", "serve", "--model", str(model), *options]
        self.seconds = self.start()

    def start(self) -> float:
        """Seconds until it is healthy."""
        self.process = subprocess.Popen(self.command, env=environment(self.threads), stderr=subprocess.DEVNULL)
        return wait_until_healthy(self.port, self.process)


def killed(server: Server, texts: list[str], labels: Any, expected: Any, requests: int) -> dict[str, Any]:
    """The server gets SIGKILL in the middle, and is started again."""
    found: dict[str, Any] = {}

    def kill() -> None:
        server.process.kill()
        server.process.wait()
        found["seconds_until_healthy"] = server.start()

    answers = asyncio.run(_loaded(server, texts, requests, kill))
    wrong = sum(_other_than(answers, labels, expected[:1]))
    return found | {"requests": len(answers), "lost": lost_of(answers), "wrong": wrong}


def replaced(server: Server, texts: list[str], labels: Any, expected: Any, requests: int) -> dict[str, Any]:
    """The folder of the model is replaced in the middle."""

    def replace() -> None:
        served = Path(server.command[server.command.index("--model") + 1])
        served.rename(served.with_name("before"))
        served.with_name("next").rename(served)

    answers = asyncio.run(_loaded(server, texts, requests, replace))
    time.sleep(3)
    _, after = asyncio.run(load(server.port, texts, CLIENTS, requests // 4))
    return {
        "requests": len(answers),
        "lost": lost_of([*answers, *after]),
        "wrong": sum(_other_than(answers, labels, expected)),
        "by_the_old_model_afterwards": sum(_other_than(after, labels, expected[1:])),
    }


async def _loaded(server: Server, texts: list[str], requests: int, event: Any) -> list[Answer]:
    """The answers to a load, during which something happens when two seconds have passed."""
    working = asyncio.ensure_future(load(server.port, texts, CLIENTS, requests))
    await asyncio.sleep(2)
    await asyncio.to_thread(event)
    return (await working)[1]


def lost_of(answers: list[Answer]) -> int:
    """How many requests have no answer, or an error in its place."""
    return sum(answer.status != 200 for answer in answers)


def _other_than(answers: list[Answer], labels: Any, expected: Any) -> list[bool]:
    """Whether each answer that came is another one than all that are expected."""
    return [
        all(_distance(answer, labels, own[answer.text]) > TOLERANCE for own in expected)
        for answer in answers
        if answer.status == 200
    ]


def _distance(answer: Answer, labels: Any, probabilities: Any) -> float:
    scores = {row["label"]: row["score"] for row in answer.json()}
    return max(abs(scores[label] - value) for label, value in zip(labels, probabilities, strict=True))


if __name__ == "__main__":
    main()
