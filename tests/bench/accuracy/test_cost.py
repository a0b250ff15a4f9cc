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


def test_a_variant_is_timed_on_the_model_that_its_start_has(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[dict[str, Any]] = []
    monkeypatch.setattr(cost, "base_of", lambda given: asked.append(given) or tmp_path)
    variants = {
        "dense": {"pruning": "none", "model": "build/some"},
        "fast": {"preset": "fast", "start": "dense"},
        "small": {"preset": "fast", "start": "fast", "layers": [0, 2]},
        "plain": {"preset": "fast"},
    }
    for variant in variants:
        assert cost.untrained({"variants": variants}, variant) == tmp_path
    assert [(given.get("model"), given.get("layers"), "start" in given) for given in asked] == [
        ("build/some", None, False),
        ("build/some", None, False),
        ("build/some", [0, 2], False),
        (None, None, False),
    ]
