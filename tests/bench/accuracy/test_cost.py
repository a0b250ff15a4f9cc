"""The memory of a variant: what comes above the documents, by the peak of a process of its own."""

from pathlib import Path
from typing import Any

import cost
import pytest


@pytest.mark.parametrize("what", ["training", "inference"])
def test_memory_counts_from_the_documents_on(what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The base is what the process holds when these are read, and no peak that came before."""
    order: list[str] = []

    def noted(name: str, value: Any) -> Any:
        return lambda *_: order.append(name) or value

    monkeypatch.setattr(cost, "splits_of", noted("documents", None))
    monkeypatch.setattr(cost, "resident_bytes", noted("base", 100))
    monkeypatch.setattr(cost, what, noted("model", {"fast": noted("work", None)}))
    monkeypatch.setattr(cost, "return_large_blocks", lambda: None)
    monkeypatch.setattr(cost, "peak_memory_bytes", noted("peak", 150))
    assert cost.peak({"variants": {}}, "some", "fast", what, Path()) == 50
    assert order == ["documents", "base", "model", "work", "peak"]
