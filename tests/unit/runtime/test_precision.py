"""Types by name: what auto is, and a word of warning where a processor has no instructions for a type."""

import logging
from pathlib import Path

import pytest
import torch

import tokensieve
from tokensieve.runtime import precision
from tokensieve.runtime.precision import dtype_name, is_native, resolve_dtype

CPU, CUDA = torch.device("cpu"), torch.device("cuda")


@pytest.fixture
def processor(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """What the processor has, to be filled in."""
    has: set[str] = {"avx2", "avx512_f"}
    monkeypatch.setattr(precision, "cpu_instructions", lambda: has)
    return has


@pytest.mark.parametrize(
    ("instructions", "auto"),
    [(set(), "float32"), ({"avx512_fp16"}, "float32"), ({"avx512_bf16"}, "bfloat16"), ({"amx_bf16"}, "bfloat16")],
)
def test_auto_on_a_cpu(processor: set[str], instructions: set[str], auto: str) -> None:
    processor |= instructions
    assert dtype_name(resolve_dtype("auto", CPU)) == auto


@pytest.mark.parametrize(("capability", "auto"), [((7, 5), "float32"), ((8, 0), "bfloat16"), ((9, 0), "bfloat16")])
def test_auto_on_cuda(monkeypatch: pytest.MonkeyPatch, capability: tuple[int, int], auto: str) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: capability)
    monkeypatch.setattr(torch.version, "hip", None)
    assert dtype_name(resolve_dtype("auto", CUDA)) == auto


@pytest.mark.parametrize(
    ("dtype", "instructions", "slow"),
    [
        ("float32", set(), False),
        ("bfloat16", set(), True),
        ("bfloat16", {"amx_bf16"}, False),
        ("bfloat16", {"avx512_bf16"}, False),
        ("float16", set(), True),
        ("float16", {"avx512_bf16", "amx_bf16"}, True),
        ("float16", {"avx512_fp16"}, False),
        ("auto", set(), False),
        ("auto", {"amx_bf16"}, False),
    ],
)
def test_a_slow_type_is_warned_of_once(
    processor: set[str],
    classifier_dir: Path,
    dtype: str,
    instructions: set[str],
    slow: bool,
    caplog: pytest.LogCaptureFixture,
) -> None:
    processor |= instructions
    with caplog.at_level(logging.WARNING):
        classifier = tokensieve.load(classifier_dir, device="cpu", dtype=dtype)
        classifier.predict(["film"])
    assert [record.levelname for record in caplog.records] == ["WARNING"] * slow
    if slow:
        assert all(word in caplog.text for word in (f"dtype={dtype}", "slower", "float32", "auto"))
    if dtype != "auto":
        assert classifier.dtype == dtype


def test_an_old_gpu(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: (7, 5))
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _: "Tesla T4")
    monkeypatch.setattr(torch.version, "hip", None)
    assert resolve_dtype("float16", CUDA) == torch.float16
    assert not caplog.records
    assert resolve_dtype("bfloat16", CUDA) == torch.bfloat16
    assert "Tesla T4" in caplog.text


def test_other_devices_are_left_alone(caplog: pytest.LogCaptureFixture) -> None:
    metal = torch.device("mps")
    assert resolve_dtype("auto", metal) == torch.float32
    assert resolve_dtype("bfloat16", metal) == torch.bfloat16
    assert not caplog.records


def test_this_processor_agrees_with_torch() -> None:
    asked = getattr(torch.cpu, "_is_avx512_bf16_supported", None), getattr(torch.cpu, "_is_amx_tile_supported", None)
    if None in asked:
        pytest.skip("this version of torch does not tell")
    assert is_native(torch.bfloat16, CPU) == any(ask() for ask in asked if ask is not None)
    assert is_native(torch.float32, CPU)
