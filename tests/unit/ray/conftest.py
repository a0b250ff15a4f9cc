"""Ray on this machine, with two CPUs."""

from collections.abc import Iterator
from typing import Any

import pytest

from support.packages import needed


@pytest.fixture(scope="session")
def ray() -> Iterator[Any]:
    """The module, connected to a cluster of its own."""
    module = needed("ray")
    patch = pytest.MonkeyPatch()
    patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    module.init(
        address="local",
        num_cpus=2,
        object_store_memory=100 << 20,
        include_dashboard=False,
        log_to_driver=False,
        logging_level="ERROR",
    )
    yield module
    module.shutdown()
    patch.undo()
