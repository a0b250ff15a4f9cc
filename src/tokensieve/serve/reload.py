"""Reloading: the model is read again on SIGHUP, or when its folder has other files."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

from tokensieve.serve.service import Service

SECONDS = 1.0
"""Between two looks at the folder."""

State = tuple[tuple[str, int, int, int], ...]


def state_of(folder: Path) -> State | None:
    """Name, inode, size and time of every file of a folder; None: it is not there, or changes as it is read."""
    try:
        with os.scandir(folder) as entries:
            found = [(entry.name, entry.stat()) for entry in entries if entry.is_file()]
    except OSError:
        return None
    return tuple(sorted((name, stat.st_ino, stat.st_size, stat.st_mtime_ns) for name, stat in found))


class Reloader:
    """Reloads a service's model, one reload at a time.

    Args:
        service: whose model it is.
        folder: its folder; None: it has none to watch.
    """

    def __init__(self, service: Service, folder: Path | None) -> None:
        self._service, self._folder = service, folder
        self._asked = asyncio.Event()
        self._loaded = None if folder is None else state_of(folder)

    def ask(self) -> None:
        """Reload, as soon as what is under way is done."""
        self._asked.set()

    async def run(self) -> None:
        """Reload whenever it is asked, or the folder has changed and stays as it is from one look to the next."""
        before = self._loaded
        while True:
            try:
                await asyncio.wait_for(self._asked.wait(), SECONDS)
            except TimeoutError:
                now = None if self._folder is None else await asyncio.to_thread(state_of, self._folder)
                is_settled, before = now == before, now
                if not now or not is_settled or now == self._loaded:
                    continue
            self._asked.clear()
            self._loaded = None if self._folder is None else state_of(self._folder)  # one try for each state
            await self._service.reload()
