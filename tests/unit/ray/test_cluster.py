"""What a cluster is asked for, and what is said where it cannot be had."""

import sys

import pytest

from tokensieve.errors import ConfigError, MissingExtraError
from tokensieve.ray.cluster import Cluster, _check_reachable, _fitting, require_ray


@pytest.mark.parametrize(
    ("cluster", "resources", "workers"),
    [
        (Cluster("auto"), {"CPU": 8.0}, 8),
        (Cluster("auto", threads=3), {"CPU": 8.0}, 2),
        (Cluster("auto", workers=2, threads=3), {"CPU": 8.0}, 2),
        (Cluster("auto", gpus=0.5), {"CPU": 8.0, "GPU": 1.0}, 2),
        (Cluster("auto", gpus=0.3), {"CPU": 8.0, "GPU": 2.0}, 6),
        (Cluster("auto", gpus=2), {"CPU": 8.0, "GPU": 5.0}, 2),
    ],
)
def test_as_many_workers_as_fit(cluster: Cluster, resources: dict[str, float], workers: int) -> None:
    assert _fitting(cluster, resources) == workers


@pytest.mark.parametrize(
    ("cluster", "resources"),
    [
        (Cluster("auto", workers=3), {"CPU": 2.0}),
        (Cluster("auto", threads=4), {"CPU": 2.0}),
        (Cluster("auto", gpus=0.5), {"CPU": 2.0}),
        (Cluster("auto", workers=4, gpus=0.6), {"CPU": 8.0, "GPU": 2.0}),
    ],
)
def test_workers_that_do_not_fit(cluster: Cluster, resources: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match="fit: give fewer, or less to each"):
        _fitting(cluster, resources)


@pytest.mark.parametrize("changes", [{"workers": 0}, {"gpus": -1}, {"gpus": 1.5}])
def test_what_no_worker_can_take(changes: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match="give"):
        Cluster("auto", **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize("address", ["127.0.0.1:1", "ray://127.0.0.1:1", "127.0.0.1:99999"])
def test_an_address_where_nobody_listens(address: str) -> None:
    """Ray itself would try for minutes."""
    with pytest.raises(ConfigError, match=f"--ray {address}: no Ray cluster there"):
        _check_reachable(address)


def test_without_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'tokensieve\[ray\]'"):
        require_ray("this")


@pytest.mark.parametrize(
    ("given", "found"),
    [(None, Cluster("auto", threads=3)), ("2", Cluster("auto", 2, 3)), ("4:0.5", Cluster("auto", 4, 3, 0.5))],
)
def test_workers_of_the_command_line(given: str | None, found: Cluster) -> None:
    assert Cluster.of("auto", given, 3) == found


@pytest.mark.parametrize("given", ["", "two", "2:", "2:half", "1.5", ":0.5", "2:1.5", "2:nan", "0"])
def test_what_are_no_workers(given: str) -> None:
    with pytest.raises(ConfigError, match="--workers"):
        Cluster.of("auto", given, 1)
