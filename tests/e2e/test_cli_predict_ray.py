"""`tokensieve predict --ray`: a cluster of two nodes, a worker that is killed, and the bytes of one process."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from e2e.conftest import Cli, labelled_rows, listing, untouched, write_rows
from support.folders import change_config
from support.packages import needed

needed("ray")

PREDICT = ("predict", "--model", "model", "--device", "cpu", "--threads", "1")


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """A cluster of two nodes with a CPU each, both on this machine."""
    from ray.cluster_utils import Cluster

    patch = pytest.MonkeyPatch()
    patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    node: dict[str, Any] = {"num_cpus": 1, "object_store_memory": 100 << 20}
    cluster = Cluster(initialize_head=True, head_node_args={**node, "include_dashboard": False})
    cluster.add_node(**node)
    yield cluster.address
    cluster.shutdown()
    patch.undo()


def kill_a_worker(process: "subprocess.Popen[str]", folder: Path, parts: int) -> tuple[int, list[str]]:
    """Kill the first worker that tells of itself, while a part is in the making; its process, and what was said."""
    said: list[str] = []
    assert process.stderr is not None
    for line in process.stderr:
        said.append(line)
        if found := re.search(r"worker 1: process (\d+) on ", line):
            deadline = time.monotonic() + 60
            while not list(folder.glob("*.part")):
                assert time.monotonic() < deadline
            os.kill(int(found[1]), signal.SIGKILL)
            assert len(list(folder.glob("part-*.jsonl"))) < parts - 2, "it was killed in mid-run"
            return int(found[1]), said
    raise AssertionError("".join(said))


@pytest.mark.slow
def test_a_killed_worker_costs_no_answer(cli: Cli, work: Path, address: str) -> None:
    """Each row once, as one process answers it; then a second start does nothing, and another model is refused."""
    write_rows(work / "data.jsonl", labelled_rows(60_000))
    asked = [*PREDICT, "--input", "data.jsonl", "--output", "out", "--ray", address, "--workers", "2"]
    command = [sys.executable, "-m", "tokensieve", *asked]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        killed, said = kill_a_worker(process, work / "out", 15)
        told, rest = process.communicate(timeout=240)
    finally:
        process.kill()
    assert process.returncode == 0, rest
    assert told == "", "what Ray says of the killed worker is not on stdout"
    workers = [int(number) for number in re.findall(r"worker \d+: process (\d+) on ", "".join(said) + rest)]
    assert killed in workers
    assert len(set(workers)) == 3, "the killed one came back as another process"
    assert listing(work / "out") == {"manifest.json", *(f"part-{number:06}.jsonl" for number in range(15))}

    cli(*PREDICT, "--input", "data.jsonl", "--output", "whole.jsonl")
    assert cli("merge", "--input", "out", "--output", "joined.jsonl").code == 0
    joined = (work / "joined.jsonl").read_text().splitlines()
    assert [json.loads(line)["line"] for line in joined] == list(range(1, 60_001)), "each row once"
    assert (work / "joined.jsonl").read_bytes() == (work / "whole.jsonl").read_bytes()

    before = untouched(work / "out")
    assert "nothing to do: all parts are there" in cli(*asked).err
    real = (work / "model").resolve()
    (work / "model").unlink()
    shutil.copytree(real, work / "model")
    change_config(work / "model", calibration_temperature=2.0)
    assert "changed since it was begun: the model." in cli(*asked).error()
    assert untouched(work / "out") == before


def test_files_of_a_folder_on_a_cluster(cli: Cli, work: Path, address: str) -> None:
    """Parquet, CSV and JSON lines together; a row that cannot be used is counted, and a part that is there stays."""
    (work / "mails").mkdir()
    for seed, name in enumerate(("a.parquet", "b.csv", "c.jsonl")):
        write_rows(work / "mails" / name, [*labelled_rows(1700, seed=seed), {"text": "", "label": "law"}])
    asked = (*PREDICT, "--input", "mails", "--output-format", "csv", "--on-bad-rows", "skip", "--json")
    cli(*asked, "--output", "out", "--shard", "2/2")
    stays = (work / "out" / "part-000001.csv").stat().st_mtime_ns
    found = cli(*asked, "--output", "out", "--ray", address).json()
    assert found["parts"] == {"made": 1, "complete": 2, "all": 2}
    assert found["written"] == 4096
    assert (found["rows"]["used"], found["rows"]["rejected"]) == (5100, 3)
    assert (work / "out" / "part-000001.csv").stat().st_mtime_ns == stays
    cli(*asked, "--output", "whole.csv")
    assert cli("merge", "--input", "out").out.encode() == (work / "whole.csv").read_bytes()


def test_what_goes_wrong_in_a_worker_is_one_line(cli: Cli, work: Path, address: str) -> None:
    """Not a traceback of another machine; the parts that are complete stay."""
    write_rows(work / "data.jsonl", labelled_rows(9000))
    asked = (*PREDICT, "--input", "data.jsonl", "--output", "out", "--ray", address)
    cli(*PREDICT, "--input", "data.jsonl", "--output", "out", "--shard", "1/9")
    (work / "out" / "part-000001.jsonl.part").write_text("mine")
    assert "part 1: " in (error := cli(*asked).error())
    assert "part-000001.jsonl.part is in the way" in error
    assert (work / "out" / "part-000001.jsonl.part").read_text() == "mine"
    assert "part-000000.jsonl" in listing(work / "out")


def test_clusters_that_cannot_be_had(cli: Cli, work: Path, address: str) -> None:
    asked = (*PREDICT, "--input", "good.jsonl", "--output", "out")
    assert "no Ray cluster there" in cli(*asked, "--ray", "127.0.0.1:1").error()
    assert "no Ray cluster there" in cli(*asked, "--ray", "nonsense").error()
    error = cli(*asked, "--ray", address, "--workers", "3").error()
    assert "the cluster has 2 CPUs and 0 GPUs, and each worker takes 1 and 0, so 2 fit" in error
    assert listing(work / "out") == {"manifest.json"}
