"""A Ray cluster: one that runs somewhere, or one on this machine for as long as it is needed."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from tokensieve.errors import ConfigError, MissingExtraError

LOCAL = "local"
_STORE_BYTES = 1 << 27  # of Ray's object store, for each worker: two parts wait there, of 32 MB of text at most
_SECONDS = 10  # to reach an address; Ray itself tries for minutes


@dataclass(frozen=True, slots=True)
class Cluster:
    """Where workers run, and what each takes.

    Attributes:
        address: "local", or the address of a cluster as `ray.init` takes it: HOST:PORT, "auto", ray://HOST:PORT.
        workers: how many there are; None: as many as fit.
        threads: CPUs of each.
        gpus: GPUs of each, also a fraction: 0.5 lets two workers share one.
    """

    address: str
    workers: int | None = None
    threads: int = 1
    gpus: float = 0

    def __post_init__(self) -> None:
        if self.workers is not None and self.workers < 1:
            raise ConfigError(f"--workers {self.workers}: give 1 or more")
        if not (0 <= self.gpus <= 1 or (self.gpus > 1 and float(self.gpus).is_integer())):
            raise ConfigError(
                f"--workers: {self.gpus:g} GPUs for each: give a fraction below 1, such as 0.5, or a whole number"
            )

    @classmethod
    def of(cls, address: str, workers: str | None, threads: int) -> Cluster:
        """As the command line says it: workers "2", or "2:0.5" with GPUs for each; None: as many as fit.

        Raises:
            ConfigError: it is neither, or a number is out of range.
        """
        if workers is None:
            return cls(address, None, threads)
        count, sign, gpus = workers.partition(":")
        try:
            return cls(address, int(count), threads, float(gpus) if sign else 0)
        except ValueError as error:
            raise ConfigError(
                f"--workers {workers}: give a number such as 2, or with GPUs for each, as 2:0.5"
            ) from error


def require_ray(feature: str) -> Any:
    """The module `ray`.

    Raises:
        MissingExtraError: it is not installed.
    """
    try:
        import ray
    except ImportError as error:
        raise MissingExtraError(feature, "ray", "ray") from error
    return ray


def assigned_threads() -> int | None:
    """CPUs that Ray gives to the actor that this process is, at least 1; None: it is no actor."""
    context = require_ray("tokensieve.ray").get_runtime_context()
    if context.worker.mode is None or context.get_actor_id() is None:
        return None
    return max(1, int(context.get_assigned_resources().get("CPU", 0)))


@contextmanager
def connected(cluster: Cluster) -> Iterator[tuple[Any, int]]:
    """The module `ray` with a connection, and the number of workers; at the end the connection or cluster ends.

    Raises:
        MissingExtraError: Ray is not installed.
        ConfigError: there is no cluster at the address, or it has not so many CPUs or GPUs.
    """
    ray = require_ray("tokensieve predict --ray")
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is sent unless the user's environment says so
    options: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR"}
    if cluster.address == LOCAL:
        workers = cluster.workers or max(1, (os.cpu_count() or 1) // cluster.threads)
        memory = _STORE_BYTES * (1 + workers)
        options |= {"num_cpus": workers * cluster.threads, "object_store_memory": memory, "include_dashboard": False}
    else:
        _check_reachable(cluster.address)
    try:
        ray.init(address=cluster.address, **options)
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise _no_cluster(cluster.address, str(error)) from error
    try:
        yield ray, _fitting(cluster, ray.cluster_resources())
    finally:
        ray.shutdown()


def _no_cluster(address: str, problem: str) -> ConfigError:
    first = (problem.splitlines() or ["?"])[0]
    return ConfigError(
        f"--ray {address}: no Ray cluster there ({first}): give HOST:PORT, auto, ray://HOST:PORT or local"
    )


def _check_reachable(address: str) -> None:
    """Refuse HOST:PORT where nobody listens."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not host or not port.isdecimal():
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=_SECONDS).close()
    except (OSError, OverflowError) as error:
        raise _no_cluster(address, str(error)) from error


def _fitting(cluster: Cluster, resources: dict[str, float]) -> int:
    """The number of workers.

    Raises:
        ConfigError: not one fits, or not as many as asked for.
    """
    cpus, gpus = resources.get("CPU", 0), resources.get("GPU", 0)
    fitting = int(cpus // cluster.threads)
    if cluster.gpus:
        fitting = min(fitting, int(gpus // cluster.gpus if cluster.gpus >= 1 else gpus * int(1 / cluster.gpus)))
    wanted = cluster.workers or max(fitting, 1)
    if wanted > fitting:
        raise ConfigError(
            f"--workers {wanted}: the cluster has {cpus:g} CPUs and {gpus:g} GPUs, and each worker takes "
            f"{cluster.threads} and {cluster.gpus:g}, so {fitting} fit: give fewer, or less to each "
            "(--threads, --workers N:GPUS)"
        )
    return wanted
