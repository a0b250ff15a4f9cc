"""`tokensieve serve` where it cannot begin: one line that says why, and no traceback."""

import os
import socket
import sys
from pathlib import Path

import pytest

from e2e.conftest import Cli


@pytest.mark.parametrize(
    ("options", "hints"),
    [
        (("--model", "nowhere"), ("nowhere",)),
        (("--model", "base"), ("base", "not a tokensieve classifier")),
        (("--port", "70000"), ("port=70000", "65535")),
        (("--max-batch-tokens", "0"), ("max_batch_tokens=0",)),
        (("--max-client-batch-size", "-1"), ("max_client_batch_size=-1",)),
        (("--max-concurrent-requests", "0"), ("max_concurrent_requests=0",)),
        (("--payload-limit", "0"), ("payload_limit=0",)),
        (("--api-key", " "), ("api_key",)),
        (("--api-key", "\xe9"), ("api_key",)),
        (("--served-model-name", "a/b"), ("name='a/b'",)),
        (("--host", "no such host"), ("cannot listen at no such host", "--host")),
        (("--host", "a..b"), ("cannot listen at a..b", "--host")),
        (("--max-length", "100000"), ("100000",)),
        (("--device", "abacus"), ("abacus",)),
        (("--threads", "0"), ("threads=0",)),
    ],
)
def test_errors(cli: Cli, work: Path, options: tuple[str, ...], hints: tuple[str, ...]) -> None:
    line = cli("serve", "--model", "model", "--port", "0", *options).error()
    assert [hint for hint in hints if hint not in line] == [], line


def test_a_port_that_is_taken(cli: Cli, work: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert f"127.0.0.1, port {port}" in cli("serve", "--model", "model", "--port", port).error()


def test_without_the_extra(cli: Cli, work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith("tokensieve.serve")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "starlette.applications", None)
    assert "pip install 'tokensieve[serve]'" in cli("serve", "--model", "model", "--port", "0").error()


def test_the_key_is_not_shown(cli: Cli, work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKENSIEVE_API_KEY", "very secret")
    assert "very secret" not in cli("serve", "--help").out
    assert "very secret" not in cli("serve", "--model", "nowhere", "--port", "0").error()
    assert os.environ["TOKENSIEVE_API_KEY"] == "very secret"
