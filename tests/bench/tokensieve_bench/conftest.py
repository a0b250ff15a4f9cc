"""Tiny backbones, and what contenders are made in."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bench.tokensieve_bench.bench_records import config as config_record
from tokensieve_bench.config import BenchConfig
from tokensieve_bench.contenders import Setting
from tokensieve_bench.process import make_setting
from tokensieve_bench.reading import parse_config
from tokensieve_bench.work import Work

Prepare = Callable[..., tuple[BenchConfig, Setting, list[Work]]]


@pytest.fixture
def prepare(tiny_bert_dir: Path, tmp_path: Path) -> Prepare:
    """`prepare(data_folder, **changes)`: a config on the tiny BERT, its setting and its works."""

    def make(
        folder: Path | None = None, /, *, alone: bool = False, **changes: Any
    ) -> tuple[BenchConfig, Setting, list[Work]]:
        config = parse_config(config_record(**{"backbone": str(tiny_bert_dir)} | changes), "here")
        setting, works = make_setting(config, tmp_path, folder, 1, alone=alone)
        return config, setting, works

    return make


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A folder with the data set `toy`: six texts of 1 to 30 words."""
    (tmp_path / "data" / "toy").mkdir(parents=True)
    rows = ("film " * count for count in (3, 30, 1, 7, 30, 2))
    lines = [f'{{"text": "{row.strip()}", "label": "film"}}\n' for row in rows]
    (tmp_path / "data" / "toy" / "test.jsonl").write_text("".join(lines), encoding="utf-8")
    return tmp_path / "data"
