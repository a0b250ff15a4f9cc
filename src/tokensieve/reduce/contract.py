"""The contract of scores and selections. Neither moves a token: `rows.py` does, the same way for all of them."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import ClassVar, Literal, get_args

from torch import Tensor, nn

from tokensieve.kernels.graph import Graph
from tokensieve.kernels.received import ALL, Rows
from tokensieve.reduce.cell import Cell
from tokensieve.reduce.gate import Gate
from tokensieve.reduce.starts import Starts
from tokensieve.tokens import Tokens

Compared = Literal["inputs", "keys"]
"""By what two rows are compared: the hidden states that enter a layer, or the layer's keys."""
COMPARED: tuple[str, ...] = get_args(Compared)


class Score(Cell):
    """One number a token; the higher ones stay.

    A subclass with `needs_attention` has `of_received`, or `of_graph` if it also has `needs_graph`; one with
    `needs_keys` has `of_keys`, another `scorer`.

    Attributes:
        needs_attention: the score is made of the layer's attention, of what tokens receive unless it `needs_graph`.
        needs_graph: it is made of the attention between every two tokens.
        fitted: the score is fitted to a trained classifier before it tells tokens apart.
        is_log: the score is the logarithm of an importance, so that a difference of scores is a factor.
        decides: a score above 0 says by itself that the token stays; a selection that reads it so goes with it.
        per_head: every head has scores of its own, and a kept set of its own.
        is_likeness: the score is minus the likeness of a token of the first half to its partner.
        own: where it is made of attention, whether what a token receives from itself counts.
        band: k, where only tokens near by are compared (`reduce.band`); 0: those of the whole document.
    """

    needs_attention: ClassVar[bool] = False
    needs_graph: ClassVar[bool] = False
    fitted: ClassVar[bool] = False
    is_log: ClassVar[bool] = False
    decides: ClassVar[bool] = False
    is_likeness: ClassVar[bool] = False
    own: bool = True
    band: int = 0

    @property
    def needs_keys(self) -> bool:
        """Whether the score is made of the layer's keys."""
        return False

    @property
    def needs_received(self) -> bool:
        """Whether the attention that tokens receive is all that the score needs of the layer's attention."""
        return self.needs_attention and not self.needs_graph

    @property
    def needs_counts(self) -> bool:
        """Whether it has to know how many tokens of a document leave."""
        return False

    @property
    def per_head(self) -> bool:
        """Whether each head has scores of its own."""
        return False

    def rows_scored(self, rows: int, combination: int) -> Rows:
        """The queries whose attention the score needs, as rows of a document.

        Args:
            rows: rows of the document.
            combination: how many of them, at the end, are combination tokens.
        """
        return ALL

    def of_received(self, received: Tensor) -> Tensor:
        """Scores [S, K] from the attention [H, K] that keys receive; S is 1 or the number of heads."""
        raise NotImplementedError

    def of_keys(self, seen: KeyVectors) -> Tensor:
        """Scores [1, K] float32 from the layer's keys, comparable within a document."""
        raise NotImplementedError

    def of_graph(self, seen: Linked) -> Tensor:
        """Scores [1, T] float32 from the attention between all rows, comparable within a document."""
        raise NotImplementedError

    def scorer(self, hidden_size: int) -> Scorer | None:
        """The module that scores rows ahead of a layer; None: the score is made of attention or of keys."""
        return None

    def flops(self, layer: ScoredLayer) -> float:
        """Multiply-adds times two of one layer, beyond what attention computes anyway."""
        return 0.0


@dataclass(frozen=True)
class ScoredLayer:
    """A layer that scores a document, for its FLOPs.

    Attributes:
        hidden_size: d.
        heads: number of heads.
        depth: share of the layers that stand ahead of this one, in [0, 1).
        before: rows that stand before the layer.
        rows: rows that are queries.
        keys: rows that are keys.
        combination: combination tokens among the rows, and among the keys.
    """

    hidden_size: int
    heads: int
    depth: float
    before: float
    rows: float
    keys: float
    combination: int

    @property
    def head_size(self) -> int:
        """The width of a head."""
        return self.hidden_size // self.heads


class Scorer(Starts, nn.Module):
    """Scores rows ahead of a layer. Its buffers and parameters are saved with the model; parameters are trained."""

    @property
    def fitted(self) -> bool:
        """Whether its scores differ between tokens; False: training has to fit it first."""
        return True

    def forward(self, tokens: Tokens) -> Tensor:
        """Scores [1, T] float32 of the packed rows; comparable within a document."""
        raise NotImplementedError


@dataclass(frozen=True)
class KeyVectors:
    """The keys of a layer, a vector each, by which tokens can be compared.

    Attributes:
        vectors: [K, d_head], the mean over the heads, not turned by position.
        lengths: keys of each document, combination tokens included.
        combination: m, combination tokens at the end of each document.
        protected: [K] bool, tokens that must stay.
        depth: share of the layers that stand ahead of this one, in [0, 1).
    """

    vectors: Tensor
    lengths: tuple[int, ...]
    combination: int
    protected: Tensor
    depth: float


@dataclass(frozen=True)
class Linked:
    """The rows of a layer with all attention between them.

    Attributes:
        graph: of the batch.
        origin: [T], as `Tokens` has it.
        protected: [T] bool, tokens that must stay.
        combination: m, combination tokens at the end of each document.
        leaving: how many tokens of each document leave by the share of the layer; 0 where the scores decide.
        depth: share of the layers that stand ahead of this one, in [0, 1).
    """

    graph: Graph
    origin: Tensor
    protected: Tensor
    combination: int
    leaving: tuple[int, ...]
    depth: float


@dataclass(frozen=True)
class Scored:
    """The input of a selection, padded so that one tensor operation serves the batch.

    S is 1 where the heads share one kept set, else the number of heads.

    Attributes:
        scores: [B, S, L] float32, higher stays; -inf where not alive.
        alive: [B, 1, L] bool, text tokens that are still there (no padding, no combination tokens).
        protected: [B, S, L] bool, tokens that must stay.
        lengths: alive tokens of each document.
        protected_counts: protected tokens of each document.
        is_log: whether the scores are logarithms (`Score.is_log`).
    """

    scores: Tensor
    alive: Tensor
    protected: Tensor
    lengths: tuple[int, ...]
    protected_counts: tuple[int, ...]
    is_log: bool = False


class Select(Cell):
    """A selection: which tokens stay, by their scores and the share of the layer.

    Attributes:
        min_tokens: minimum number of tokens kept per document, 1 or more.
        gated: it learns, and has a gate in each layer that prunes.
        reads_decisions: it keeps what has a score above 0, of a score that `decides`.
        reads_likeness: it has a threshold on the likeness of pairs, of a score that `is_likeness`.
        reads_share: the share of the layer says how many stay, or what is fitted before any do. Otherwise the schedule
            says where alone.
        follows_share: with another share another number of tokens stays at once. Otherwise the scores decide, by what
            is given, fitted or learned.
    """

    min_tokens: int = 1
    gated: ClassVar[bool] = False
    reads_decisions: ClassVar[bool] = False
    reads_likeness: ClassVar[bool] = False
    reads_share: ClassVar[bool] = True
    follows_share: ClassVar[bool] = True

    def gate(self, layer: int, depth: int) -> Gate | None:
        """The gate of a layer, from 1, of a model of `depth` layers; None: nothing is learned."""
        return None

    @property
    def learned(self) -> Select:
        """The selection that takes its place once its gates have learned the shares of a schedule."""
        return self

    @abstractmethod
    def counts(
        self, lengths: Sequence[int], protected_counts: Sequence[int], share: Fraction
    ) -> tuple[int, ...] | None:
        """How many tokens stay in documents of these lengths; None if that depends on the scores."""

    @abstractmethod
    def select(self, scored: Scored, share: Fraction) -> Tensor:
        """Mark the tokens that stay, [B, S, L] bool: all protected ones, none that is gone, as many for every head."""

    def takers(self, scored: Scored, share: Fraction) -> Tensor | None:
        """Mark those of the tokens that stay into which others may be merged, [B, S, L]; None: all unprotected ones."""
        return None

    @abstractmethod
    def bounds(self, alive: int, protected: int, share: Fraction) -> tuple[int, int]:
        """The fewest and the most tokens that can stay of `alive` tokens, for the plan."""
