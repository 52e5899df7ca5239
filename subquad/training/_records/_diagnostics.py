"""What the theorems speak of, on request: G against G_0, rows of W against W(0), who fires.

Every trainer measures it after its steps: Gauss-Newton trainers by `Origin`, the two that take
batches by the functions below.
"""

from dataclasses import dataclass

import numpy as np

from subquad._validation import require_memory

# Cosines of vectors that are multiples of each other are 1 to so much, in either precision.
_PARALLEL = 1e-11


@dataclass(frozen=True)
class Diagnostics:
    """What the convergence theorems assume of the iterate after a step, as it was measured.

    G is the Gram matrix J J^T of the trainer's data points and outputs at this iterate, G_0 that
    at the network as it came.

    Attributes
    ----------
    least_eigenvalue, largest_eigenvalue : float
        lambda_min and lambda_max of G.
    gram_distance : float
        ||G - G_0||_2, the spectral norm.
    gram_change : float
        ||G - G_0||_F / ||G_0||_F.
    row_moves : tuple of float
        max_r |w_r - w_r(0)| over the rows of each matrix that moves: W_1 .. W_L, or the only one.
    flips : int or None
        Pairs of a neuron and a data point of which one state, at present or at the network as it
        came, is firing and the other is not; of all layers that move. None where the state of a
        caller's own does not tell.
    ranks : tuple of int
        Numerical rank of each W - W(0): its singular values above rounding to the dtype of W, of
        its factors where it is kept as these, and else of W itself.

    Notes
    -----
    The conditions of [SZZ24], Theorem F.14, and [BPSW21], Lemma C.4: the theorems conclude a rate
    from lambda_min(G) >= lambda / 2, which follows where ||G - G_0||_2 <= lambda / 4 or so, which
    follows from small moves of the rows.

    For each step beside the step itself: G made once more, 3 n^3 operations and 24 n^2 bytes for
    its eigenvalues and those of G - G_0, with n rows, or n C where outputs share weights; then
    (m_out + m_in) r^2 operations for factors of r rows of the change, the moves and the rank.
    """

    least_eigenvalue: float
    largest_eigenvalue: float
    gram_distance: float
    gram_change: float
    row_moves: tuple[float, ...]
    flips: int | None
    ranks: tuple[int, ...]

    @property
    def largest_row_move(self) -> float:
        """The largest of `row_moves`."""
        return max(self.row_moves)

    @property
    def rank(self) -> int:
        """The largest of `ranks`."""
        return max(self.ranks)


class Origin:
    """Remembers the start of a Gauss-Newton trainer, to compare later iterates with it.

    Parameters
    ----------
    state : State
        At W(0). `firing`, where it has it, are arrays whose entries, or bits, say who fires.
    equation : Equation
        At W(0).
    dtype : numpy.dtype
        Of the weights.
    """

    def __init__(self, state, equation, dtype):
        self._dtype = dtype
        self._grams = grams_of(equation.jacobians)
        self._firing = [fired.copy() for fired in state.firing] if _tells(state) else None

    def compare(self, state, equation):
        """Return the `Diagnostics` of a state at its present iterate, whose equation is given."""
        flips = None
        if self._firing is not None:
            flips = sum(map(changed, state.firing, self._firing))
        pairs = state.factors(state.terms)
        pairs = pairs if isinstance(pairs, list) else [pairs]
        moves = [change_of_factors(A, V, self._dtype) for A, V in pairs]
        return diagnostics(grams_of(equation.jacobians), self._grams, moves, flips)


def diagnostics(grams, first, moves, flips):
    """Return the record for the diagonal blocks of G and G_0, and (row move, rank) of each W."""
    values = [_eigenvalues(G) for G in grams]
    differences = [G - G0 for G, G0 in zip(grams, first, strict=True)]
    scale = _norm(first)
    return Diagnostics(
        least_eigenvalue=float(min(v[0] for v in values)),
        largest_eigenvalue=float(max(v[-1] for v in values)),
        gram_distance=float(max(np.abs(_eigenvalues(D)).max() for D in differences)),
        gram_change=_norm(differences) / scale if scale else 0.0,
        row_moves=tuple(move for move, _ in moves),
        flips=flips,
        ranks=tuple(rank for _, rank in moves),
    )


def grams_of(jacobians):
    """Return the Gram matrix of each Jacobian, refusing those that do not fit."""
    for J in jacobians:
        require_memory(24 * J.n**2, f"Diagnostics of {J.n} rows of J", "Leave out diagnostics.")
    return [np.asarray(J.gram(), np.float64) for J in jacobians]


def change_of_factors(A, V, dtype):
    """Return (max_r |row r of A^T V|, rank of A^T V); by orthogonal factors, so to full precision.

    With V^T = Q R it is A^T R^T Q^T, whose rows have the norms of those of A^T R^T.
    """
    R = np.linalg.qr(np.asarray(V, np.float64).T, mode="r")
    return change_of_matrix((R @ np.asarray(A, np.float64)).T, dtype)


def change_of_matrix(change, dtype, size=0.0):
    """Return (max_r |row r|, rank) of W - W(0), or of a matrix of the same rows up to rotation.

    `size` is ||W(0)||_F where the change was added to W, and rounded there: step by step it then
    has singular values of some units in the last place of an entry times the root of the width.
    """
    if not (change.size and change.any()):
        return 0.0, 0
    with np.errstate(over="ignore", invalid="ignore"):
        move = float(np.sqrt(np.einsum("ij,ij->i", change, change, dtype=np.float64)).max())
    if not np.isfinite(move):
        return move, 0
    if change.shape[0] > change.shape[1]:
        change = np.linalg.qr(change, mode="r")
    values = np.linalg.svd(change, compute_uv=False)
    tolerance = max(max(change.shape) * values[0], size) * float(np.finfo(dtype).eps)
    return move, int(np.count_nonzero(values > tolerance))


def parallel_rows(G):
    """For each row of J the first other row that is a multiple of it to rounding, or -1.

    By their cosines, G being J J^T; rows of zeros are no multiples.
    """
    lengths = np.sqrt(np.maximum(G.diagonal(), 0.0))
    with np.errstate(divide="ignore", invalid="ignore"):
        cosines = np.abs(G) / lengths[:, None] / lengths
    found = cosines > 1 - _PARALLEL
    np.fill_diagonal(found, False)
    return np.where(found.any(axis=1), found.argmax(axis=1), -1)


def changed(now, before):
    """How many entries of arrays of bool, or bits of arrays of words, differ."""
    if now.dtype == bool:
        return int(np.count_nonzero(now != before))
    return int(np.bitwise_count(now ^ before).sum(dtype=np.int64))


def _tells(state):
    return getattr(state, "firing", None) is not None


def _eigenvalues(G):
    """The eigenvalues of a symmetric matrix in rising order, NaN of one that is not finite."""
    return np.linalg.eigvalsh(G) if np.isfinite(G).all() else np.full(len(G), np.nan)


def _norm(matrices):
    """The Frobenius norm of a block diagonal matrix."""
    return float(np.sqrt(sum(np.vdot(M, M) for M in matrices)))
