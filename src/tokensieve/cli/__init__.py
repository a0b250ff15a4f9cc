"""The command line: `tokensieve train`, `evaluate`, `predict`, `explain` and the others; `tokensieve -h` lists them."""

from __future__ import annotations

import atexit
import io
import os
import sys
from contextlib import suppress

INTERRUPTED = (130, 143)
"""Exit codes after SIGINT and SIGTERM."""


def run() -> None:
    """Run the command line in a process of its own, which an interruption ends without waiting for threads.

    A thread of a library that is at work while the interpreter is taken down makes the process abort.
    """
    try:
        main()
    except SystemExit as end:
        if end.code not in INTERRUPTED:
            raise
        atexit._run_exitfuncs()
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError, ValueError):  # its reader may be gone
                stream.flush()
        os._exit(end.code)


def main() -> None:
    """Run the command line; whatever goes wrong ends in one line on stderr and a non-zero exit.

    TOKENSIEVE_DEBUG=1 shows tracebacks.
    """
    from tokensieve.cli.app import app

    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(encoding="utf-8")  # records and labels are UTF-8 wherever they go
    try:
        app(prog_name="tokensieve")
    except BrokenPipeError:  # the reader of our output has seen enough, such as `head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except Exception as error:
        if os.environ.get("TOKENSIEVE_DEBUG"):
            raise
        process = os.environ.get("RANK", "0")  # of several that torchrun started
        where = "" if process == "0" else f"process {process}: "
        sys.stderr.write(f"tokensieve: error: {where}{_one_line(error)}\n")
        sys.exit(1)


def _one_line(error: Exception) -> str:
    from tokensieve.errors import TokensieveError
    from tokensieve.system import explained

    text = " ".join(str(error).split())
    if isinstance(error, TokensieveError):
        return text
    if (refusal := explained(error)) is not None:
        return " ".join(refusal.split())
    if isinstance(error, OSError):
        return text
    return f"unexpected {type(error).__name__}: {text[:500]} (set TOKENSIEVE_DEBUG=1 for the traceback, and report it)"
