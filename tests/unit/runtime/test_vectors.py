"""Files of vectors: what they hold, in what order, and that no file of somebody else's is lost."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import tokensieve
from tokensieve import ConfigError
from tokensieve.data.documents import Document
from tokensieve.runtime.sentences import SentenceEncoder
from tokensieve.runtime.vectors import vector_format, write_vectors


@pytest.fixture(scope="module")
def encoder(tiny_bert_dir: Path) -> SentenceEncoder:
    return tokensieve.load_encoder(tiny_bert_dir, "quantile", device="cpu")


def documents(texts: list[str]) -> list[Document]:
    """On every third line of a file."""
    return [Document(text, None, "texts", 3 * number + 1) for number, text in enumerate(texts)]


@pytest.mark.parametrize("normalize", [True, False])
def test_both_formats_hold_the_vectors_in_order(
    encoder: SentenceEncoder,
    some_texts: list[str],
    tmp_path: Path,
    normalize: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("tokensieve.runtime.windows._WINDOW_DOCUMENTS", 7)
    wanted = encoder.encode(some_texts, normalize=normalize)
    for name in ("v.parquet", "v.npy"):
        assert write_vectors(encoder, iter(documents(some_texts)), tmp_path / name, normalize=normalize) == 40
    matrix = np.load(tmp_path / "v.npy", allow_pickle=False)
    assert matrix.dtype == np.float32
    np.testing.assert_array_equal(matrix, wanted)
    table = pq.read_table(tmp_path / "v.parquet")
    assert table["line"].to_pylist() == [3 * number + 1 for number in range(40)]
    np.testing.assert_array_equal(np.array(table["vector"].to_pylist(), dtype=np.float32), wanted)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["v.npy", "v.parquet"], "nothing else is left"


@pytest.mark.parametrize("name", ["v.parquet", "v.npy"])
def test_no_documents_make_an_empty_file(encoder: SentenceEncoder, tmp_path: Path, name: str) -> None:
    assert write_vectors(encoder, [], tmp_path / name) == 0
    rows = np.load(tmp_path / name) if name.endswith("npy") else pq.read_table(tmp_path / name)
    assert rows.shape == ((0, 32) if name.endswith("npy") else (0, 2))


def test_only_a_file_of_ours_is_replaced(encoder: SentenceEncoder, some_texts: list[str], tmp_path: Path) -> None:
    ours = tmp_path / "ours.parquet"
    write_vectors(encoder, documents(some_texts), ours)
    assert write_vectors(encoder, documents(some_texts[:3]), ours) == 3
    assert pq.read_table(ours).num_rows == 3
    theirs = tmp_path / "theirs.parquet"
    pq.write_table(pa.table({"line": [1], "vector": [[0.5]]}), theirs)
    np.save(tmp_path / "theirs.npy", np.zeros((2, 32), np.float32))
    (tmp_path / "broken.parquet").write_text("notes", encoding="utf-8")
    for name in ("theirs.parquet", "theirs.npy", "broken.parquet"):
        before = (tmp_path / name).read_bytes()
        with pytest.raises(ConfigError, match=f"{name}.*not overwritten"):
            write_vectors(encoder, documents(some_texts), tmp_path / name)
        assert (tmp_path / name).read_bytes() == before


@pytest.mark.parametrize("name", ["v.parquet", "v.npy"])
def test_a_run_that_fails_leaves_nothing(
    encoder: SentenceEncoder, some_texts: list[str], tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tokensieve.runtime.windows._WINDOW_DOCUMENTS", 7)

    def breaks() -> Iterator[Document]:
        yield from documents(some_texts[:20])
        raise RuntimeError("the source is gone")

    with pytest.raises(RuntimeError, match="gone"):
        write_vectors(encoder, breaks(), tmp_path / name)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["-", "v.csv", "v", "v.npz", "/dev/null"])
def test_other_outputs_are_refused(name: str) -> None:
    with pytest.raises(ConfigError, match=r"\.parquet .*or \.npy|\.parquet or \.npy"):
        vector_format(name)
