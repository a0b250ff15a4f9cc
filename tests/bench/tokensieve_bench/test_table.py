"""Notes below tables: what all rows were made with, each fact once, and how far rounds lie apart."""

from tokensieve_bench.figures import Spread
from tokensieve_bench.table import alternatives, made_with, rounds_apart, short_commit, threads_of

CHANGED, CLEAN = "ab" * 20 + "+", "cd" * 20


def test_a_changed_commit_stays_marked() -> None:
    assert short_commit(CHANGED) == "ababababab+"
    assert short_commit(CLEAN) == "cdcdcdcdcd"
    assert short_commit(None) == "unknown"


def test_every_commit_and_processor_is_told_once() -> None:
    one = {"commit": CLEAN, "processor": "a chip", "torch": "2.1", "python": "3.11"}
    assert made_with([one, one], "torch", "python") == "commit cdcdcdcdcd; a chip; torch 2.1; Python 3.11"
    others = [{"commit": CHANGED, "processor": "a chip", "torch": "2.2"}, {"commit": None, "processor": "another"}]
    told = made_with([one, *others], "torch", "openvino")
    assert told == "commits ababababab+, cdcdcdcdcd, unknown; a chip, another; torch 2.1, 2.2"


def test_a_processor_is_told_with_its_vectors() -> None:
    chips = [{"commit": CLEAN, "processor": "a chip", "torch_vectors": own} for own in ("AVX512", "AVX2")]
    assert made_with(chips) == "commit cdcdcdcdcd; a chip with AVX2, a chip with AVX512"


def test_counts_that_differ() -> None:
    assert threads_of([{"threads": 1}, {"threads": 1}]) == "1 thread"
    assert threads_of([{"threads": 2}, {"threads": 1}]) == "1 or 2 threads"
    assert alternatives([256, 64, 256]) == "256 or 64"


def test_the_spread_of_rounds_is_that_of_the_worst_set() -> None:
    found = {"fast": [Spread(4.0, 3.0, 5.0), Spread(2.0, 2.0, 2.2)], "words": [Spread(1.0, 1.0, 1.0)]}
    assert rounds_apart(found).endswith("largest of the sets: `fast` 50 %, `words` 0 %")
    many = {str(number): [Spread.of([1.0, 1.0 + number / 100, 1.0])] for number in range(6)}
    assert rounds_apart(many).endswith("`2` 2 %, `3` 3 %, `4` 4 %, `5` 5 %; all others at most 1 %")
