"""Micro-batches on threads of their own: as many threads as torch has, in the caller's modes, the same results."""

import os
import threading
import time
from collections.abc import Callable

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from contract.variants import batch, documents, settings, tiny_model
from tokensieve.model.batch import check_batch
from tokensieve.runtime import executor as module
from tokensieve.runtime import micro_batches
from tokensieve.runtime.executor import run_together
from tokensieve.runtime.micro_batches import read_in_micro_batches

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

    assert run_together(meet, [5, 6]) == [(5, 2), (6, 2)]
    assert {name.rsplit("_", 1)[0] for name in run_together(where, range(3))} == {"tokensieve-executor"}


def test_the_numbers_of_threads_of_others_stay() -> None:
    run_together(where, range(4))
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

    assert run_together(slow_first, range(9)) == list(range(9))


def test_an_error_comes_through_and_the_threads_go_on() -> None:
    def fail(item: int) -> None:
        raise ValueError(f"item {item}")

    with pytest.raises(ValueError, match="item 0"):
        run_together(fail, range(4))
    assert len(run_together(where, range(4))) == 4


def test_with_one_thread_or_one_item_the_caller_does_it() -> None:
    here = threading.current_thread().name
    assert run_together(where, [1]) == [here]
    torch.set_num_threads(1)
    assert run_together(where, range(3)) == [here] * 3


def test_work_within_work_is_done_where_it_is() -> None:
    torch.set_num_threads(2)
    nested = run_together(lambda _: [where(0), *run_together(where, range(2))], range(2))
    assert all(len(set(names)) == 1 for names in nested)


def test_where_operations_are_followed_the_caller_does_it() -> None:
    here = [threading.current_thread().name] * 3
    with FlopCounterMode(display=False):
        assert run_together(where, range(3)) == here
    with torch.device("meta"):
        assert run_together(where, range(3)) == here
    with torch.profiler.profile():
        assert run_together(where, range(3)) == here
    assert run_together(where, range(3)) != here


def test_the_modes_are_those_of_the_caller() -> None:
    def modes(_: int) -> tuple[bool, bool, bool, torch.dtype]:
        made = torch.ones(2, 2) @ torch.ones(2, 2)
        return torch.is_grad_enabled(), torch.is_inference_mode_enabled(), made.is_inference(), made.dtype

    with torch.no_grad():
        assert set(run_together(modes, range(4))) == {(False, False, False, torch.float32)}
        with torch.autocast("cpu", torch.bfloat16):
            assert set(run_together(modes, range(4))) == {(False, False, False, torch.bfloat16)}
    with torch.inference_mode():
        assert set(run_together(modes, range(4))) == {(False, True, True, torch.float32)}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_process_has_threads_of_its_own() -> None:
    run_together(where, range(4))
    child = os.fork()
    if not child:
        os._exit(0 if len(run_together(where, range(4))) == 4 else 1)
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
        if thread.name == "tokensieve-executor_1":
            raise RuntimeError("can't start new thread")
        started.append(thread)
        begin(thread)

    begin = threading.Thread.start
    monkeypatch.setattr(module, "_teams", {})
    monkeypatch.setattr(threading.Thread, "start", start)
    assert set(run_together(where, range(4))) == {where(0)}
    assert any(thread.name == "tokensieve-executor_0" for thread in started)
    assert not any(thread.is_alive() for thread in started)
    assert torch.get_num_threads() == 4
    started.clear()
    assert set(run_together(where, range(4))) == {where(0)}  # nor are they asked for again
    assert not started


def test_a_batch_is_classified_by_several_threads_as_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(micro_batches, "MICRO_BATCH_TOKENS", 20)
    model = tiny_model(settings(pruning="ratio", site="hidden", combine_layer=3))
    whole, seen = check_batch(model.config, **batch(documents(LENGTHS), side="left")), set()
    with torch.inference_mode():
        with FlopCounterMode(display=False) as counted:
            alone = read_in_micro_batches(model, whole)
        assert counted.get_total_flops() > 0
        model.embeddings.register_forward_pre_hook(lambda *_: seen.add(where(0)))
        found = read_in_micro_batches(model, whole)
    assert all(name.startswith("tokensieve-executor") for name in seen)
    for name in ("logits", "pooled"):
        torch.testing.assert_close(getattr(found, name), getattr(alone, name), atol=1e-5, rtol=0)
    assert found.trace.kept == alone.trace.kept
    assert found.trace.survivors() == alone.trace.survivors()


def test_a_model_called_by_itself_runs_in_the_callers_thread_as_one_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(micro_batches, "MICRO_BATCH_TOKENS", 20)
    model, seen = tiny_model(settings(pruning="ratio", site="hidden")), list[tuple[str, int]]()
    model.embeddings.register_forward_pre_hook(lambda _, given: seen.append((where(0), len(given[0].lengths))))
    with torch.inference_mode():
        model(**batch(documents(LENGTHS)))
    assert seen == [(threading.current_thread().name, len(LENGTHS))]
