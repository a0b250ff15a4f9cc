"""Waiting for what happens in another thread."""

import time
from collections.abc import Callable


def wait_until(true: Callable[[], bool]) -> None:
    """Return as soon as it is true; fail after a minute."""
    deadline = time.monotonic() + 60
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.002)
