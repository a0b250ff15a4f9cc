"""Running the application: a socket, uvicorn, and signals."""

from __future__ import annotations

import logging
import signal
import socket
from collections.abc import Callable
from pathlib import Path
from types import FrameType

import uvicorn

from tokensieve.errors import OperatingSystemError
from tokensieve.serve.app import create_app
from tokensieve.serve.served import Served
from tokensieve.serve.settings import ServeSettings

logger = logging.getLogger(__name__)

_STOP_SECONDS = 25  # for requests that are accepted when it is asked to stop; Kubernetes kills after 30
_IDLE_SECONDS = 75  # after which a connection without a request is closed; clients keep theirs for about a minute
_WAITING = 2048  # connections that the system holds until they are accepted


class _Server(uvicorn.Server):
    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Stop; on a second Ctrl-C at once, without uvicorn's traceback of what is cut off."""
        if self.should_exit and sig == signal.SIGINT:
            signal.signal(sig, signal.SIG_DFL)
            signal.raise_signal(sig)
        super().handle_exit(sig, frame)


def run(settings: ServeSettings, load: Callable[[], Served], *, host: str, port: int, folder: Path | None) -> None:
    """Serve until SIGTERM or SIGINT; requests that are accepted are answered first.

    Args:
        settings: limits.
        load: as in `create_app`.
        host: name or address to listen at.
        port: to listen at; 0: any that is free.
        folder: as in `create_app`.

    Raises:
        OperatingSystemError: the port is taken, or not allowed.
        TokensieveError: as the first load does.
    """
    listening = _bound(host, port)
    app = create_app(settings, load, folder=folder, on_failure=lambda: setattr(server, "should_exit", True))
    config = uvicorn.Config(
        app,
        log_config=None,
        log_level="warning",
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=_STOP_SECONDS,
        timeout_keep_alive=_IDLE_SECONDS,
    )
    server = _Server(config)
    place = f"[{host}]" if ":" in host else host

    def stop(number: int, frame: object) -> None:
        server.should_exit = True

    before = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGINT)}
    if hasattr(signal, "SIGHUP"):  # until the application heeds it: the model is about to be read in any case
        before[signal.SIGHUP] = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    logger.info("listening at http://%s:%d (see /docs)", place, listening.getsockname()[1])
    try:
        server.run(sockets=[listening])  # has handlers too, and raises their signal once more when all is done
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        listening.close()
    if (failure := app.state.service.failure) is not None:
        raise failure


def _bound(host: str, port: int) -> socket.socket:
    listening = None
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listening = socket.socket(family, kind, protocol)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen(_WAITING)
    except (OSError, OverflowError, UnicodeError) as error:
        if listening is not None:
            listening.close()
        what = getattr(error, "strerror", None) or str(error)
        place = f"{host}, port {port}"
        raise OperatingSystemError(f"cannot listen at {place} ({what}): give another --host or --port") from error
    return listening
