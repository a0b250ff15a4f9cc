"""Packages that a test needs."""

import os
from importlib import import_module
from typing import Any, NoReturn

import pytest

MAY_BE_ABSENT = frozenset({"fcntl", "nncf", "openvino", "pyspark"})
"""What CI does not install either, or a system lacks: the tests that need it ask with `pytest.importorskip`."""


def absent(message: str) -> NoReturn:
    """Skip a test that lacks something; where CI is set, which installs it, let the test fail."""
    if os.environ.get("CI"):
        pytest.fail(message)
    pytest.skip(message, allow_module_level=True)


def needed(name: str) -> Any:
    """The module, of a package that the extras `all` and `dev` bring; `absent` without it."""
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        absent(f"no {name} ({error}): pip install 'tokensieve[all,dev]'")
