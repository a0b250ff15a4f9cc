"""What the processor is, as torch or Linux tell."""

from pathlib import Path

import pytest
import torch

from tokensieve import processor
from tokensieve.processor import AMD, cpu_instructions, processor_name, processor_vendor

CPUINFO = """processor\t: 0
vendor_id\t: AuthenticAMD
model name\t: AMD EPYC 9B45
flags\t\t: fpu sse2 avx2 avx512f{more}
bugs\t\t: spectre_v1 amx_bf16_of_a_bug

processor\t: 1
vendor_id\t: AnotherMaker
"""


def told(monkeypatch: pytest.MonkeyPatch, path: Path) -> None:
    """Let this file tell, and no torch."""
    monkeypatch.setattr(processor, "Path", lambda _: path)
    for name in ("get_capabilities", "_is_avx512_bf16_supported", "_is_amx_tile_supported"):
        monkeypatch.delattr(torch.cpu, name, raising=False)


@pytest.mark.parametrize("more", ["", " avx512_bf16 avx512_fp16", " amx_bf16 amx_tile"])
def test_instructions_as_linux_tells(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, more: str) -> None:
    """For versions of torch that do not."""
    (tmp_path / "cpuinfo").write_text(CPUINFO.format(more=more))
    told(monkeypatch, tmp_path / "cpuinfo")
    assert cpu_instructions() == {"fpu", "sse2", "avx2", "avx512f", *more.split()}
    assert processor_name() == "AMD EPYC 9B45"
    assert processor_vendor() == AMD


def test_instructions_as_an_older_torch_tells(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Where there is no such file."""
    told(monkeypatch, tmp_path / "absent")
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False, raising=False)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: True, raising=False)
    assert cpu_instructions() == {"amx_bf16"}
    assert processor_vendor() == ""
    assert processor_name()
