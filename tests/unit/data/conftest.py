"""Where the tests of the data package put their files."""

from collections.abc import Callable
from pathlib import Path

import pytest

from support.data_files import Rows, write_rows

Put = Callable[[str, bytes | str | Rows], Path]


@pytest.fixture
def put(tmp_path: Path) -> Put:
    """Writes bytes, text or rows under a name below an empty folder."""

    def write(name: str, content: bytes | str | Rows) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, bytes | str):
            path.write_bytes(content.encode("utf-8") if isinstance(content, str) else content)
            return path
        return write_rows(path, content)

    return write
