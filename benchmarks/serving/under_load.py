"""A server under load, against the same classifier offline and against a naive server -> results/serving/<name>.json.

    python benchmarks/serving/under_load.py benchmarks/configs/serving/serving.json --data DATA \
        --model FOLDER --dense CHECKPOINT --name NAME --threads 2

MODEL is a folder of `tokensieve train`, CHECKPOINT one of transformers for the naive server (naive_server.py, which
needs fastapi). All texts are test documents, every third one cut to its beginning. Each answer is checked against the
one that the same classifier gives offline. Both servers get the same requests in a round; one in which a request of
either fails, or an answer of ours is wrong, ends the command. CPU seconds are those of the server's process and of its
threads.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
from load import Answer, load

from tokensieve import load as load_classifier
from tokensieve.data import load_splits
from tokensieve_bench.machine import machine
from tokensieve_bench.places import RESULTS
from tokensieve_bench.report.serving import table

TOLERANCE = 1e-4
HERE = Path(__file__).parent
OFFLINE = """
import json, sys, time
import torch
torch.set_num_threads(int(sys.argv[1]))
from tokensieve import load
classifier = load(sys.argv[2], device="cpu", max_length=int(sys.argv[3]))
texts = json.load(sys.stdin)
classifier.predict(texts[:64])
wall, cpu = time.perf_counter(), time.process_time()
classifier.predict(texts)
print(json.dumps([time.perf_counter() - wall, time.process_time() - cpu]))
"""


def main() -> None:
    """Measure, write, print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("config", type=Path)
    parser.add_argument("--data", type=Path, required=True, help="folder that holds the data sets")
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--dense", type=Path, required=True)
    parser.add_argument("--name", required=True, help="of the result")
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    config = json.loads(arguments.config.read_text(encoding="utf-8"))
    record = measured(config, arguments)
    target = RESULTS / "serving" / f"{arguments.name}.json"
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    print("\n".join(table(record)))


def texts_of(config: dict[str, Any], data: Path) -> list[str]:
    """Test documents, some of them cut short."""
    texts = [document.text for document in load_splits(data / config["data"]).test[: config["texts"]]]
    short = config["short_characters"]
    cut = [text[:short] if row % config["short_every"] == 0 else text for row, text in enumerate(texts)]
    return [text for text in cut if text.strip()]


def measured(config: dict[str, Any], arguments: Any) -> dict[str, Any]:
    """Loads of each number of clients, then rounds of offline, server and naive server in turns."""
    texts, threads, length = texts_of(config, arguments.data), arguments.threads, config["max_length"]
    classifier = load_classifier(arguments.model, device="cpu", max_length=length)
    expected = classifier.results(texts)
    facts = {"dtype": classifier.dtype, "stages": list(classifier.engine.stages), "labels": len(classifier.labels)}
    loads, rounds = {}, []
    command = ["serve", "--model", str(arguments.model), "--max-length", str(length), "--threads", str(threads)]
    with running([sys.executable, "-m", "tokensieve", *command], threads) as (port, process):
        for clients in config["clients"]:
            print(f"{clients} clients", file=sys.stderr)
            loads[clients] = under_load(port, process, texts, clients, config["requests"])
            loads[clients] |= checked(loads[clients].pop("answers"), expected, classifier.labels)
    naive_command = [sys.executable, str(HERE / "naive_server.py"), str(arguments.dense)]
    for number in range(config["rounds"]):
        print(f"round {number + 1}", file=sys.stderr)
        found: dict[str, Any] = {"offline": offline(arguments.model, texts, threads, length)}
        with running([sys.executable, "-m", "tokensieve", *command], threads) as (port, process):
            found["server"] = under_load(port, process, texts, 64, config["round_requests"])
        with running(naive_command, threads, tail=[str(threads), str(length)]) as (port, process):
            found["naive"] = under_load(port, process, texts, 64, config["round_requests"])
        found["server"] |= checked(found["server"].pop("answers"), expected, classifier.labels)
        found["naive"]["lost"] = sum(answer.status != 200 for answer in found["naive"].pop("answers"))
        rounds.append(sound(number + 1, found))
    return {"config": config, "model": facts, "loads": loads, "rounds": rounds, "machine": machine(threads)}


def sound(number: int, found: dict[str, Any]) -> dict[str, Any]:
    """A round in which all requests were answered, and rightly.

    Raises:
        SystemExit: another one, as requests that fail would count among those of a second.
    """
    for own in ("server", "naive"):
        for what in ("lost", "wrong"):
            if found[own].get(what):
                raise SystemExit(
                    f"round {number}: {found[own][what]} of {found[own]['requests']} answers of {own} {what}"
                )
    return found


def offline(model: Path, texts: list[str], threads: int, length: int) -> dict[str, float]:
    """The same texts, in a process of its own that has them all at once."""
    asked = [sys.executable, "-c", OFFLINE, str(threads), str(model), str(length)]
    told = subprocess.run(
        asked, input=json.dumps(texts), text=True, capture_output=True, check=True, env=environment(threads)
    )
    wall, cpu = json.loads(told.stdout)
    return {"requests": len(texts), "seconds": wall, "cpu_seconds": cpu}


def environment(threads: int) -> dict[str, str]:
    """With as many threads for the tokenizer."""
    return os.environ | {"RAYON_NUM_THREADS": str(threads), "OMP_NUM_THREADS": str(threads), "HF_HUB_OFFLINE": "1"}


@contextmanager
def running(command: list[str], threads: int, tail: Sequence[str] = ()) -> Iterator[tuple[int, psutil.Process]]:
    """A server, from the moment that it is healthy until it has ended."""
    port = free_port()
    place = [str(port)] if tail else ["--port", str(port)]
    server = subprocess.Popen([*command, *place, *tail], env=environment(threads), stderr=subprocess.DEVNULL)
    try:
        wait_until_healthy(port, server)
        yield port, psutil.Process(server.pid)
    finally:
        server.terminate()
        server.wait(60)


def free_port() -> int:
    """A port that nobody listens at."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def wait_until_healthy(port: int, server: subprocess.Popen) -> float:
    """Seconds until the server says that it is well."""
    start = time.perf_counter()
    while server.poll() is None and time.perf_counter() - start < 120:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5):
                return time.perf_counter() - start
        except OSError:
            time.sleep(0.05)
    raise SystemExit("the server does not start")


def under_load(port: int, process: psutil.Process, texts: list[str], clients: int, requests: int) -> dict[str, Any]:
    """Seconds, CPU seconds and latencies; first some requests that nobody counts."""
    asyncio.run(load(port, texts, clients, 2 * clients))
    before = process.cpu_times()
    seconds, answers = asyncio.run(load(port, texts, clients, requests))
    after = process.cpu_times()
    latencies = sorted(answer.seconds for answer in answers)
    return {
        "clients": clients,
        "requests": len(answers),
        "seconds": seconds,
        "cpu_seconds": after.user + after.system - before.user - before.system,
        **{f"p{share}": latencies[len(latencies) * share // 100] for share in (50, 95, 99)},
        "answers": answers,
    }


def checked(answers: list[Answer], expected: list[Any], labels: Sequence[str]) -> dict[str, Any]:
    """How many answers are lost or wrong; the largest difference of a probability."""
    lost = wrong = 0
    largest = 0.0
    for answer in answers:
        if answer.status != 200:
            lost += 1
            continue
        scores = {row["label"]: row["score"] for row in answer.json()}
        pairs = zip(labels, expected[answer.text].probabilities, strict=True)
        difference = max(abs(scores[label] - value) for label, value in pairs)
        wrong += difference > TOLERANCE
        largest = max(largest, difference)
    return {"lost": lost, "wrong": wrong, "largest_difference": largest}


if __name__ == "__main__":
    main()
