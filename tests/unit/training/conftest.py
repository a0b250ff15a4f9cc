"""Short runs on the tiny BERT."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from flat import reduction
from tokensieve.data import DataSplits
from tokensieve.training.recipe import Recipe
from tokensieve.training.train import train
from unit.training.keyword_documents import Train, labelled_documents


@pytest.fixture(scope="session")
def splits() -> DataSplits:
    return DataSplits(labelled_documents(24), labelled_documents(12, seed=1))


@pytest.fixture(scope="session")
def base(tiny_bert_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny BERT without dropout."""
    folder = shutil.copytree(tiny_bert_dir, tmp_path_factory.mktemp("base") / "tiny-bert")
    record = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    record |= {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    (folder / "config.json").write_text(json.dumps(record), encoding="utf-8")
    return folder


@pytest.fixture
def run(base: Path, splits: DataSplits, tmp_path: Path) -> Train:
    """`run(settings={...}, **recipe)` trains into tmp_path/"out" and gives the record of the run."""

    def short_run(
        data: DataSplits = splits, settings: dict[str, Any] | None = None, output: Path | None = None, **recipe: Any
    ) -> dict[str, Any]:
        options: dict[str, Any] = {"learning_rate": 3e-3, "epochs": 1, "batch_size": 8, "max_length": 32}
        config = reduction(**{"combine_layer": 3, "combination_tokens": 3, "combine_noise": False} | (settings or {}))
        return train(base, config, data, output or tmp_path / "out", Recipe(**options | recipe))

    return short_run
