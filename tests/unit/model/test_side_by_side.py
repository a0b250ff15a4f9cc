"""Parts of a batch on threads of their own: as many threads as torch has, in the caller's modes, the same results."""

import os
import threading
import time
from collections.abc import Callable

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from contract.variants import batch, documents, settings, tiny_model
from tokensieve.model import parts
from tokensieve.model import side_by_side as module
from tokensieve.model.side_by_side import side_by_side

LENGTHS = (12, 30, 17, 25, 40, 9)


@pytest.fixture(autouse=True)
def four_threads(use_threads: Callable[[int], None]) -> None:
    use_threads(4)


def where(_: object) -> str:
    return threading.current_thread().name


def test_several_items_at_once_on_as_many_threads_together() -> None:
    everyone = threading.Barrier(2, timeout=60)

    def meet(item: int) -> tuple[int, int]:
        everyone.wait()  # comes back only if the other one is at work, too
        return item, torch.get_num_threads()

    assert side_by_side(meet, [5, 6]) == [(5, 2), (6, 2)]
    assert {name.rsplit("_", 1)[0] for name in side_by_side(where, range(3))} == {"tokensieve-part"}


def test_the_numbers_of_threads_of_others_stay() -> None:
    side_by_side(where, range(4))
    assert torch.get_num_threads() == 4
    found: list[int] = []
    new = threading.Thread(target=lambda: found.append(torch.get_num_threads()))
    new.start()
    new.join()
    assert found == [4]


def test_the_order_is_that_of_the_items() -> None:
    def slow_first(item: int) -> int:
        time.sleep(0.05 * (item == 0))
        return item

    assert side_by_side(slow_first, range(9)) == list(range(9))


def test_an_error_comes_through_and_the_threads_go_on() -> None:
    def fail(item: int) -> None:
        raise ValueError(f"item {item}")

    with pytest.raises(ValueError, match="item 0"):
        side_by_side(fail, range(4))
    assert len(side_by_side(where, range(4))) == 4


def test_with_one_thread_or_one_item_the_caller_does_it() -> None:
    here = threading.current_thread().name
    assert side_by_side(where, [1]) == [here]
    torch.set_num_threads(1)
    assert side_by_side(where, range(3)) == [here] * 3


def test_work_within_work_is_done_where_it_is() -> None:
    torch.set_num_threads(2)
    nested = side_by_side(lambda _: [where(0), *side_by_side(where, range(2))], range(2))
    assert all(len(set(names)) == 1 for names in nested)


def test_where_operations_are_followed_the_caller_does_it() -> None:
    here = [threading.current_thread().name] * 3
    with FlopCounterMode(display=False):
        assert side_by_side(where, range(3)) == here
    with torch.device("meta"):
        assert side_by_side(where, range(3)) == here
    with torch.profiler.profile():
        assert side_by_side(where, range(3)) == here
    assert side_by_side(where, range(3)) != here


def test_the_modes_are_those_of_the_caller() -> None:
    def modes(_: int) -> tuple[bool, bool, bool, torch.dtype]:
        made = torch.ones(2, 2) @ torch.ones(2, 2)
        return torch.is_grad_enabled(), torch.is_inference_mode_enabled(), made.is_inference(), made.dtype

    with torch.no_grad():
        assert set(side_by_side(modes, range(4))) == {(False, False, False, torch.float32)}
        with torch.autocast("cpu", torch.bfloat16):
            assert set(side_by_side(modes, range(4))) == {(False, False, False, torch.bfloat16)}
    with torch.inference_mode():
        assert set(side_by_side(modes, range(4))) == {(False, True, True, torch.float32)}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_process_has_threads_of_its_own() -> None:
    side_by_side(where, range(4))
    child = os.fork()
    if not child:
        os._exit(0 if len(side_by_side(where, range(4))) == 4 else 1)
    for _ in range(600):
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            assert status == 0
            return
        time.sleep(0.1)
    os.kill(child, 9)
    os.waitpid(child, 0)
    pytest.fail("the forked process waits for threads that it does not have")


def test_where_the_system_gives_no_more_threads_items_follow_one_another(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[threading.Thread] = []

    def start(thread: threading.Thread) -> None:
        if thread.name == "tokensieve-part_1":
            raise RuntimeError("can't start new thread")
        started.append(thread)
        begin(thread)

    begin = threading.Thread.start
    monkeypatch.setattr(module, "_teams", {})
    monkeypatch.setattr(threading.Thread, "start", start)
    assert set(side_by_side(where, range(4))) == {where(0)}
    assert any(thread.name == "tokensieve-part_0" for thread in started)
    assert not any(thread.is_alive() for thread in started)
    assert torch.get_num_threads() == 4
    started.clear()
    assert set(side_by_side(where, range(4))) == {where(0)}  # nor are they asked for again
    assert not started


def test_a_batch_is_classified_by_several_threads_as_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "PART_TOKENS", 20)
    model = tiny_model(settings(pruning="ratio", site="hidden", combine_layer=3))
    inputs, seen = batch(documents(LENGTHS), side="left"), set()
    with torch.inference_mode():
        with FlopCounterMode(display=False) as counted:
            alone = model(**inputs)
        assert counted.get_total_flops() > 0
        model.embeddings.register_forward_pre_hook(lambda *_: seen.add(where(0)))
        found = model(**inputs)
    assert all(name.startswith("tokensieve-part") for name in seen)
    for name in ("logits", "pooled"):
        torch.testing.assert_close(found[name], alone[name], atol=1e-5, rtol=0)
    assert found.trace.kept == alone.trace.kept
    assert found.trace.survivors() == alone.trace.survivors()
