"""The parts of an input, spread over the workers of a cluster."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Generator, Iterable
from typing import Any

from tokensieve.data.documents import Document
from tokensieve.errors import TokensieveError
from tokensieve.ray.cluster import Cluster, connected
from tokensieve.ray.worker import Done, Setup, Worker

logger = logging.getLogger(__name__)

RETRIES = 3
"""How often a part is begun again whose worker died."""
_WAITING = 2  # parts at each worker: the one that it makes, and the next


def make_parts(
    cluster: Cluster, setup: Setup, todo: Iterable[tuple[int, list[Document]]]
) -> Generator[Done, None, None]:
    """Let the workers of a cluster write parts; tells of each when it is complete, in no order.

    A worker that dies is started again, and so is its part. Parts are read as workers become free, so the memory does
    not grow with the input.

    Args:
        cluster: where they run. It is left, or ended, when this generator is.
        setup: what each of them needs.
        todo: numbers and documents of the parts.

    Raises:
        MissingExtraError, ConfigError: as `connected`.
        TokensieveError: a part that no worker can make.
    """
    with connected(cluster) as (ray, workers):
        kind = ray.remote(Worker).options(
            num_cpus=cluster.threads, num_gpus=cluster.gpus, max_restarts=-1, max_task_retries=RETRIES
        )
        pool = [kind.remote(setup) for _ in range(workers)]
        seen: set[tuple[str, int]] = set()
        for done in _spread(ray, pool, todo):
            if done.problem is not None:
                raise TokensieveError(f"part {done.part}: {done.problem}")
            if (done.host, done.process) not in seen:
                seen.add((done.host, done.process))
                logger.info("worker %d: process %d on %s", len(seen), done.process, done.host)
            yield done


def _spread(ray: Any, pool: list[Any], todo: Iterable[tuple[int, list[Document]]]) -> Generator[Done, None, None]:
    free = deque(pool * _WAITING)
    begun: dict[Any, tuple[Any, int]] = {}

    def ended() -> Done:
        (reference,), _ = ray.wait(list(begun), num_returns=1)
        worker, part = begun.pop(reference)
        free.append(worker)
        return _result(ray, reference, part)

    for part, documents in todo:
        while not free:
            yield ended()
        worker = free.popleft()
        begun[worker.write.remote(part, documents)] = worker, part
    while begun:
        yield ended()


def _result(ray: Any, reference: Any, part: int) -> Done:
    try:
        done: Done = ray.get(reference)
    except ray.exceptions.RayTaskError:
        raise
    except ray.exceptions.RayError as error:
        reason = (str(error).splitlines() or ["?"])[0]
        raise TokensieveError(
            f"part {part}: its worker died {RETRIES + 1} times ({reason}): if it ran out of memory, give fewer "
            "--workers, or smaller --batch-tokens; the parts that are complete stay"
        ) from error
    return done
