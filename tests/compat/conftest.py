"""The command line in this process, as in the end-to-end tests, and one thread."""

from collections.abc import Callable

import pytest

from e2e.conftest import cli

__all__ = ["cli"]


@pytest.fixture(autouse=True)
def one_thread(use_threads: Callable[[int], None]) -> None:
    """The recorded logits are those of one thread."""
    use_threads(1)
