"""Disk-offloaded embeddings give the rows of the table, whatever is asked for, and hold none of them in the process."""

import copy
import gc
import pickle
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as some
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from tokensieve import CheckpointError, ConfigError, InputError
from tokensieve.runtime.offload import OffloadedEmbeddings

ROWS, WIDTH, NAME = 300, 5, "embeddings.word_embeddings.weight"


@pytest.fixture(scope="module")
def table() -> Tensor:
    return torch.randn(ROWS, WIDTH, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def file(table: Tensor, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Between other tensors, so that it does not begin where the numbers do."""
    path = tmp_path_factory.mktemp("embeddings") / "model.safetensors"
    save_file({"a": torch.ones(7), NAME: table, "z": torch.zeros(3, 3)}, path)
    return path


@given(ids=some.lists(some.integers(0, ROWS - 1), min_size=1, max_size=40))
def test_the_rows_of_the_table(file: Path, table: Tensor, ids: list[int]) -> None:
    asked = torch.tensor(ids)
    assert torch.equal(OffloadedEmbeddings(file, NAME, torch.float32)(asked), F.embedding(asked, table))


@pytest.mark.parametrize("ids", [[[0, ROWS - 1], [7, 7]], [[5]], [list(range(ROWS))], [list(range(0, ROWS, 5))]])
def test_ids_of_any_shape(file: Path, table: Tensor, ids: list[list[int]]) -> None:
    asked = torch.tensor(ids)
    assert torch.equal(OffloadedEmbeddings(file, NAME, torch.float32)(asked), F.embedding(asked, table))


@pytest.mark.parametrize("stored", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("given", [torch.float32, torch.bfloat16])
def test_types(table: Tensor, tmp_path: Path, stored: torch.dtype, given: torch.dtype) -> None:
    save_file({NAME: table.to(stored)}, tmp_path / "model.safetensors")
    embeddings = OffloadedEmbeddings(tmp_path / "model.safetensors", NAME, given)
    found = embeddings(torch.tensor([3, 200]))
    assert found.dtype == given
    assert torch.equal(found, table.to(stored).to(given)[[3, 200]])
    assert nn.Module.to(embeddings, dtype=torch.float64)(torch.tensor([3])).dtype == torch.float64


def test_nothing_of_the_table_is_held(file: Path) -> None:
    embeddings = OffloadedEmbeddings(file, NAME, torch.float32)
    assert sum(own.numel() for own in (*embeddings.parameters(), *embeddings.buffers())) == 0


def test_a_model_is_saved_whole(file: Path, table: Tensor) -> None:
    model = nn.ModuleDict({"word_embeddings": OffloadedEmbeddings(file, NAME, torch.float32)})
    assert model.state_dict().keys() == {"word_embeddings.weight"}
    assert torch.equal(model.state_dict()["word_embeddings.weight"], table)


def test_several_threads(file: Path, table: Tensor) -> None:
    embeddings = OffloadedEmbeddings(file, NAME, torch.float32)
    asked = [torch.randint(ROWS, (50,), generator=torch.Generator().manual_seed(seed)) for seed in range(64)]
    with ThreadPoolExecutor(8) as team:
        found = list(team.map(embeddings, asked))
    assert all(torch.equal(rows, table[ids]) for rows, ids in zip(found, asked, strict=True))


def test_a_copy_lives_by_itself(file: Path, table: Tensor) -> None:
    embeddings = OffloadedEmbeddings(file, NAME, torch.float32)
    half = copy.deepcopy(embeddings).half()
    asked = torch.tensor([4, 99])
    assert torch.equal(embeddings(asked), table[asked])
    del embeddings
    gc.collect()
    with open(file, "rb"):  # may get the number that the first one's file had, if that was closed
        assert torch.equal(half(asked), table[asked].half())


def test_no_pickle(file: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be pickled"):
        pickle.dumps(OffloadedEmbeddings(file, NAME, torch.float32))


def test_no_training(file: Path) -> None:
    model = nn.Sequential(OffloadedEmbeddings(file, NAME, torch.float32)).eval()
    with pytest.raises(ConfigError, match="offloaded embeddings do not learn"):
        model.train()


@pytest.mark.parametrize("ids", [[-1], [0, ROWS]])
def test_ids_that_the_table_does_not_hold(file: Path, ids: list[int]) -> None:
    with pytest.raises(InputError, match=rf"the table holds 0 to {ROWS - 1}"):
        OffloadedEmbeddings(file, NAME, torch.float32)(torch.tensor(ids))


def test_a_default_device(file: Path, table: Tensor) -> None:
    ids = torch.tensor([1, 2])
    with torch.device("meta"):
        found = OffloadedEmbeddings(file, NAME, torch.float32)(ids)
    assert torch.equal(found, table[1:3])


def test_pieces(file: Path, table: Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tokensieve.runtime.offload._PIECE", 128)
    pieces = list(OffloadedEmbeddings(file, NAME, torch.float32).pieces())
    assert [len(piece) for piece in pieces] == [128, 128, ROWS - 256]
    assert torch.equal(torch.cat(pieces), table)


def test_the_file_may_be_replaced(table: Tensor, tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    save_file({NAME: table}, path)
    embeddings = OffloadedEmbeddings(path, NAME, torch.float32)
    path.unlink()
    save_file({NAME: -table}, path)
    assert torch.equal(embeddings(torch.tensor([9])), table[9:10])


def test_a_file_that_was_cut(table: Tensor, tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    save_file({NAME: table}, path)
    embeddings = OffloadedEmbeddings(path, NAME, torch.float32)
    with open(path, "r+b") as opened:
        opened.truncate(path.stat().st_size - 4)
    assert torch.equal(embeddings(torch.tensor([ROWS - 2])), table[ROWS - 2 : ROWS - 1])
    with pytest.raises(CheckpointError, match=r"model\.safetensors: is shorter than when it was opened"):
        embeddings(torch.tensor([ROWS - 1]))
    with pytest.raises(CheckpointError, match=rf"model\.safetensors: holds no {NAME}"):
        OffloadedEmbeddings(path, NAME, torch.float32)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff" * 8,
        b"version https://git-lfs.github.com/spec/v1",
        b"\x02\0\0\0\0\0\0\0{}",
        b"\x02\0\0\0\0\0\0\0[]",
    ],
)
def test_files_of_something_else(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "model.safetensors").write_bytes(content)
    with pytest.raises(CheckpointError, match=rf"model\.safetensors: holds no {NAME}"):
        OffloadedEmbeddings(tmp_path / "model.safetensors", NAME, torch.float32)


def test_systems_that_cannot_read_so(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr("os.preadv")
    with pytest.raises(ConfigError, match="offload_embeddings needs Linux"):
        OffloadedEmbeddings(file, NAME, torch.float32)


@pytest.mark.parametrize(
    "table", [torch.ones(4), torch.ones(4, 4, dtype=torch.float64), torch.ones(4, 4, dtype=torch.int8)]
)
def test_tables_of_something_else(tmp_path: Path, table: Tensor) -> None:
    save_file({NAME: table}, tmp_path / "model.safetensors")
    with pytest.raises(CheckpointError, match=rf"holds no {NAME} that can be read row by row"):
        OffloadedEmbeddings(tmp_path / "model.safetensors", NAME, torch.float32)
    assert NAME in load_file(tmp_path / "model.safetensors")
