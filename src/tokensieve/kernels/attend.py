"""attend(): attention of packed documents, each over its own keys; runs of equal lengths go to a backend together."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor

from tokensieve.kernels.backends import BACKENDS, Backend, eager
from tokensieve.kernels.ragged import Run, runs
from tokensieve.kernels.received import Scoring
from tokensieve.kernels.relative import RelativeBias


def attend(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    query_lengths: Sequence[int],
    key_lengths: Sequence[int],
    *,
    dropout: float = 0.0,
    scoring: Scoring | None = None,
    exempt: Sequence[bool] | None = None,
    backend: str = "blocked",
    bias: RelativeBias | None = None,
    sizes: Tensor | None = None,
) -> tuple[Tensor, Tensor | None]:
    """Attention of every document's queries over its own keys; nothing is padded.

    Args:
        query: [Tq, H, d_head] packed queries.
        key: [Tk, H, d_head] packed keys; a pruned key is not among them.
        value: [Tk, H, d_head] packed values.
        query_lengths: queries of each document.
        key_lengths: keys of each document.
        dropout: probability on the attention weights (the score is taken before it).
        scoring: the attention that every key receives, to return too; None: none. Where its gradient is kept, the
            backend is "eager", the one that keeps the probabilities.
        exempt: documents that are not scored all the same; their keys receive 0. None: there are none.
        backend: a key of `BACKENDS`.
        bias: what is added to the logits; None: nothing is.
        sizes: [Tk] above 0, how many keys each stands for: attention is that over so many equal ones; None: one each.

    Returns:
        context [Tq, H * d_head], and [H, Tk] float32 means of the probabilities over the scored queries (detached,
        unless `scoring` says otherwise), or None.
    """
    run_attention = _backend(backend, scoring)
    contexts, columns, q_start, k_start = [], [], 0, 0
    # Only where there is a score, exemption parts documents of equal lengths.
    apart = (False,) * len(query_lengths) if scoring is None or exempt is None else exempt
    alike = [0] * len(query_lengths) if bias is None else bias.alike(query_lengths, key_lengths)
    logs = None if sizes is None else sizes.log()
    for run in runs(query_lengths, key_lengths, apart, alike):
        n, k, unscored, _ = run.lengths
        q = heads_first(query, q_start, run.documents, n)
        ks = heads_first(key, k_start, run.documents, k)
        vs = heads_first(value, k_start, run.documents, k)
        added = logit_bias(bias, logs, q_start, k_start, run)
        rows = None if scoring is None or unscored else scoring.queries(n)
        context, column = run_attention(q, ks, vs, dropout, rows, added)
        contexts.append(context.transpose(1, 2).reshape(run.documents * n, -1))
        if scoring is not None:
            column = q.new_zeros(q.shape[0], q.shape[1], k, dtype=torch.float32) if column is None else column
            columns.append(column.transpose(0, 1).flatten(1))  # [documents, H, k] -> [H, documents * k]
        q_start, k_start = q_start + run.documents * n, k_start + run.documents * k
    return _joined(contexts, 0), None if scoring is None else _joined(columns, 1)


def _backend(name: str, scoring: Scoring | None) -> Backend:
    run_attention = BACKENDS[name]
    if scoring is not None and scoring.attached:
        run_attention = partial(eager, attached=True)
    if scoring is not None and not scoring.own:
        run_attention = partial(run_attention, own=False)
    return run_attention


def heads_first(packed: Tensor, start: int, documents: int, length: int) -> Tensor:
    """Rows of a run as [documents, H, length, d_head], a view."""
    rows = packed[start : start + documents * length]
    return torch.unflatten(rows, 0, (documents, length)).transpose(1, 2)


def logit_bias(bias: RelativeBias | None, logs: Tensor | None, q_start: int, k_start: int, run: Run) -> Tensor | None:
    """What is added to a run's logits: four dimensions that broadcast to [documents, H, n, k]."""
    n, k, *_ = run.lengths
    added = None
    if bias is not None:  # the same for all documents of the run
        added = bias.between(slice(q_start, q_start + n), slice(k_start, k_start + k)).unsqueeze(0)
    if logs is not None:
        own = logs[k_start : k_start + run.documents * k].view(run.documents, 1, 1, k)
        added = own if added is None else added + own
    return added


def _joined(parts: list[Tensor], dim: int) -> Tensor:
    """The runs' results; a single one is not copied (in training, the copy would be kept beside it)."""
    return parts[0] if len(parts) == 1 else torch.cat(parts, dim)
