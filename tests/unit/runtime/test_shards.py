"""Parts are whole windows of the whole stream, and each belongs to one shard."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokensieve.data.documents import Document
from tokensieve.errors import ConfigError
from tokensieve.runtime import windows
from tokensieve.runtime.shards import Shard, Unfinished, numbered_parts
from tokensieve.runtime.windows import cut


def documents(sizes: list[int]) -> list[Document]:
    return [Document("x" * size, None, "here", line) for line, size in enumerate(sizes)]


@given(sizes=st.lists(st.integers(1, 40), max_size=120))
def test_a_part_is_cut_into_the_windows_of_the_whole(sizes: list[int]) -> None:
    """The last digits of a probability follow from the window, so it has to be the one of a single process."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(windows, "_WINDOW_DOCUMENTS", 5)
        patch.setattr(windows, "_WINDOW_CHARACTERS", 60)
        whole = list(cut(documents(sizes)))
        parts = list(numbered_parts(documents(sizes)))
        again = [window for _, part in parts for window in cut(part)]
    assert again == whole
    assert [number for number, _ in parts] == list(range(len(parts)))
    assert len(parts) == -(-len(whole) // 4)


@pytest.mark.parametrize("count", [1, 2, 3, 7])
def test_each_part_belongs_to_one_shard(count: int) -> None:
    sizes = [10] * 30_000
    seen: list[int] = []
    for index in range(count):
        todo = Unfinished(documents(sizes), Shard(index, count), lambda number: number == 2)
        seen += [number for number, _ in todo]
        assert (todo.parts, todo.documents) == (8, 30_000), "every shard counts the whole input"
    assert sorted(seen) == [0, 1, 3, 4, 5, 6, 7], "all but the one that is complete, each once"


@pytest.mark.parametrize(("text", "shard"), [("1/1", Shard(0, 1)), ("2/8", Shard(1, 8)), ("8/8", Shard(7, 8))])
def test_shards_by_name(text: str, shard: Shard) -> None:
    assert Shard.parse(text) == shard


@pytest.mark.parametrize("text", ["0/4", "5/4", "1", "a/b", "1/0", "-1/4", "1/4/2", "", "١/٤"])
def test_names_that_are_no_shard(text: str) -> None:
    with pytest.raises(ConfigError, match="give I/N with I from 1 to N"):
        Shard.parse(text)
