"""A process that has imported the package, and forks for each command of a page: imports would take most of the time.

python prepared.py SOCKET. A command comes with its working folder, its environment and its three standard files. The
child runs what the installed command would run, and its exit status goes back.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import runpy
import socket
import sys
from pathlib import Path
from typing import Any

import huggingface_hub

USED = (
    *("tokensieve.cli.app", "tokensieve.estimator", "tokensieve.training.trainer", "tokensieve.words"),
    *("accelerate", "sklearn.model_selection", "transformers.trainer", "transformers.pipelines"),
)
"""What the commands import."""


def main() -> None:
    """Accept commands until the socket's file is gone."""
    for name in USED:
        importlib.import_module(name)
    place = Path(sys.argv[1])
    door = socket.socket(socket.AF_UNIX)
    door.bind(str(place))
    door.listen()
    door.settimeout(1)
    while place.exists() and os.getppid() != 1:
        with contextlib.suppress(TimeoutError):
            caller, _ = door.accept()
            if not os.fork():
                door.close()
                _answer(caller)
            caller.close()
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG) != (0, 0):
                pass


def _answer(caller: socket.socket) -> None:
    """In a child: fork once more for the command, wait for it and tell its exit status."""
    size, files, _, _ = socket.recv_fds(caller, 4, 3)
    asked = json.loads(_read(caller, int.from_bytes(size, "big")))
    if process := os.fork():
        caller.sendall(f"{process}\n".encode())
        _, status = os.waitpid(process, 0)
        with contextlib.suppress(OSError):
            caller.sendall(f"{os.waitstatus_to_exitcode(status)}\n".encode())
        os._exit(0)
    caller.close()
    for place, file in enumerate(files):
        os.dup2(file, place)
    os.chdir(asked["cwd"])
    os.environ.clear()
    os.environ.update(asked["environment"])
    huggingface_hub.constants.HF_HUB_OFFLINE = "HF_HUB_OFFLINE" in os.environ  # it was read when it was imported
    status = 1
    try:
        status = _status(asked["argv"])
    finally:
        with contextlib.suppress(Exception):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(status)


def _read(caller: socket.socket, size: int) -> bytes:
    found = b""
    while len(found) < size:
        found += caller.recv(size - len(found))
    return found


def _status(argv: list[str]) -> int:
    """Run a command; its exit status."""
    try:
        _run(argv)
    except SystemExit as end:
        if isinstance(end.code, str):
            sys.stderr.write(end.code + "\n")
            return 1
        return end.code or 0
    except BaseException:
        sys.excepthook(*sys.exc_info())
        return 1
    return 0


def _run(argv: list[str]) -> None:
    names: dict[str, Any] = {"__name__": "__main__"}
    match argv:
        case ["tokensieve", *options]:
            from tokensieve.cli import main as command

            sys.argv = ["tokensieve", *options]
            command()
        case ["python", "-c", code]:
            sys.argv = ["-c"]
            sys.path.insert(0, "")
            exec(compile(code, "<block>", "exec"), names)
        case ["python", script, *options]:
            sys.argv = [script, *options]
            runpy.run_path(script, run_name="__main__")
        case _:
            raise SystemExit(f"no such command: {argv}")


if __name__ == "__main__":
    main()
