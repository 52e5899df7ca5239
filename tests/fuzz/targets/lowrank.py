"""LowRankMaintenance against the dense matrix that it stands for."""

import math

import numpy as np

from subquad.lowrank import LowRankMaintenance, is_changeable
from subquad.weights import DenseWeights

from ..cases import target
from ..draws import as_float64
from ..sparse_draws import dense, rows_of
from .weights import weights

_STEPS = ("update", "query", "query_transposed", "to_dense", "flush", "recompress")


@target(
    "lowrank.LowRankMaintenance",
    "lowrank.is_changeable",
    *(f"lowrank.LowRankMaintenance.{name}" for name in _STEPS),
    share=60,
)
def maintenance(draw, attempt):
    shape = draw.size(17), draw.size(17)
    W = (
        draw.array(shape, scales=False)
        if draw.chance(0.7)
        else weights(draw, shape, (None, "int8"))
    )
    budget = draw.integer((None, 1, 2, 5, math.inf, math.inf))
    options = {"rank_budget": budget, "when_full": draw.option(("flush", "flush", "recompress"))}
    if draw.chance(0.3):
        options |= {"rtol": draw.real((None, 0.0, 1e-12)), "copy": draw.chance(0.5)}
    if budget != math.inf and not isinstance(W, (np.ndarray, list)):
        draw.hostile = True
    lrm = attempt(LowRankMaintenance, W, **options)
    if draw.chance(0.1):
        stored = isinstance(lrm.weights, DenseWeights) and lrm.weights.storage is None
        attempt.equal(attempt(is_changeable, lrm.weights), stored)
    given = W if isinstance(W, (np.ndarray, list)) else W.to_dense()
    state = _State(lrm, as_float64(given))
    for _ in range(draw.between(1, 4)):
        _step(draw, attempt, lrm, state)


class _State:
    """The matrix by its definition, and the same sum of absolute values."""

    def __init__(self, lrm, W):
        self.W = W.astype(lrm.dtype).astype(np.float64)
        self.size, self.terms = np.abs(self.W), 1

    def recompressed(self, lrm):
        """A singular value decomposition is off by a multiple of eps |dW| in every entry."""
        self.size = self.size + np.linalg.norm(self.size)
        self.terms += 10 * sum(lrm.shape)


def _step(draw, attempt, lrm, state):
    name, (m_out, m_in) = draw.choice(_STEPS), lrm.shape
    if name == "update":
        _update(draw, attempt, lrm, state)
    elif name in ("query", "query_transposed"):
        forward = name == "query"
        rows = rows_of(draw, (draw.size(9), m_in if forward else m_out), scales=False)
        value = attempt(getattr(lrm, name), rows)
        H = np.abs(dense(rows)).astype(lrm.dtype).astype(np.float64)
        expected = dense(rows).astype(lrm.dtype).astype(float) @ (state.W.T if forward else state.W)
        size = H @ (state.size.T if forward else state.size)
        attempt.close(value, expected, size, sum(lrm.shape) + state.terms, dtype=lrm.dtype)
    elif name == "to_dense":
        value = attempt(lrm.to_dense)
        attempt.close(value, state.W, state.size, state.terms + 2, dtype=lrm.dtype)
    elif name == "flush":
        draw.hostile |= lrm.rank_budget == math.inf  # compact weights take no flush
        attempt(lrm.flush)
        attempt.equal(lrm.rank, 0)
    else:
        attempt(lrm.recompress, draw.real((None, 0.0)))
        state.recompressed(lrm)


def _update(draw, attempt, lrm, state):
    rank = draw.between(0, 4)
    U = rows_of(draw, (rank, lrm.shape[0]), scales=False)
    V = rows_of(draw, (rank, lrm.shape[1]), scales=False)
    attempt(lrm.update, U, V)
    U, V = (dense(x).astype(lrm.dtype).astype(np.float64) for x in (U, V))
    state.W = state.W + U.T @ V
    state.size = state.size + np.abs(U).T @ np.abs(V)
    state.terms += len(U)
    if lrm._when_full == "recompress":
        state.recompressed(lrm)
