"""Which of several processes writes, as their launcher numbers them."""

import pytest

from tokensieve.training.loop.processes import is_main_process

LAUNCHERS = ["RANK", "PMI_RANK", "OMPI_COMM_WORLD_RANK", "MV2_COMM_WORLD_RANK"]


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in LAUNCHERS:
        monkeypatch.delenv(name, raising=False)


def test_a_process_alone_writes() -> None:
    assert is_main_process()


@pytest.mark.parametrize("name", LAUNCHERS)
def test_the_first_of_several_writes(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, "0")
    assert is_main_process()
    monkeypatch.setenv(name, "1")
    assert not is_main_process()
