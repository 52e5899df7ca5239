"""TensorSRHT: a sample of the tensor product of two randomised Hadamard transforms."""

import contextlib
import math

import numpy as np

from subquad.hadamard import fwht, next_length
from subquad.sketch._base import RAISES
from subquad.sketch._sampled import sampled_rows
from subquad.sketch._tensor_base import PARAMETERS, TensorMap


class TensorSRHT(TensorMap):
    __doc__ = f"""S = P (H_1 D_1 (x) H_2 D_2) / sqrt(s).

    D_1 and D_2 are diagonal with independent uniform signs, H_1 and H_2 the Hadamard matrices
    (entries +-1) of the next orders M_u >= m_u and M_v >= m_v that `fwht` takes (vectors are padded
    by zeros), and P picks s of the M_u M_v pairs of coordinates, uniformly without replacement.
    E[S^T S] = I; for s = M_u M_v, S^T S = I.
{PARAMETERS}
    signs : tuple of two ndarrays of int8, shapes (m_u,) and (m_v,)
        The diagonals of D_1 and D_2, read-only.
    pairs : tuple of two ndarrays of intp, shape (s,)
        The coordinates that P picks, read-only.
    padded_lengths : tuple (M_u, M_v)
{RAISES}
    Notes
    -----
    For each pair of vectors, M_u log2(M_u) + M_v log2(M_v) additions and s products, dense or
    sparse. `prepare(V)` saves the part of V.

    s = min(M_u M_v, ceil(3 epsilon^-2 n a^2 b^2 ln(3 n / delta))) suffices, n = `n_points`,
    a = 1 + sqrt(8 ln(6 M_v / delta)), b = 1 + sqrt(8 ln(6 M_u M_v / delta)): no row of
    (H_1 D_1 (x) H_2 D_2) B / sqrt(M_u M_v), B an orthonormal basis of the subspace, is longer than
    sqrt(n) a b / sqrt(M_u M_v) (Ledoux's inequality for Rademacher sums, for D_2 and then for D_1),
    and matrix Chernoff bounds for samples without replacement. This is far from sharp: in practice
    s = n / epsilon^2 behaves like normal entries.

    Bitwise the same for every number of threads and every instruction set, `gram` apart.

    [SZZ24], Definition D.6, as a Kronecker product with entries of +-1, and Remark D.11.

    Examples
    --------
    >>> S = TensorSRHT((300, 200), 64, rng=0)
    >>> S.padded_lengths
    (320, 224)
    >>> rng = np.random.default_rng(1)
    >>> U, V = rng.standard_normal((3, 300)), rng.standard_normal((3, 200))
    >>> J = np.einsum("ij,ik->ijk", U, V).reshape(3, -1)
    >>> bool(np.allclose(S.apply(U, V), J @ S.matrix().T))
    True
    """

    _gram_scale = 1.0

    @staticmethod
    def _required_size(guarantee, n_features):
        n, epsilon, delta = guarantee
        M_u, M_v = map(next_length, n_features)
        a = 1 + math.sqrt(8 * math.log(6 * M_v / delta))
        b = 1 + math.sqrt(8 * math.log(6 * M_u * M_v / delta))
        return min(M_u * M_v, math.ceil(3 * n * (a * b / epsilon) ** 2 * math.log(3 * n / delta)))

    def _draw(self, rng):
        M_u, M_v = map(next_length, self.n_features)
        if self.sketch_size > M_u * M_v:
            raise ValueError(
                f"sketch_size must be at most {M_u * M_v} for {self.n_features} features; "
                f"got {self.sketch_size}."
            )
        signs = tuple(1 - 2 * rng.integers(0, 2, m, dtype=np.int8) for m in self.n_features)
        picked = np.sort(rng.choice(M_u * M_v, self.sketch_size, replace=False, shuffle=False))
        pairs = tuple(x.astype(np.intp) for x in np.divmod(picked, M_v))
        self._set(signs=signs, pairs=pairs, padded_lengths=(M_u, M_v))

    @property
    def _row_size(self):
        return max(self.sketch_size, *self.padded_lengths)

    def _room(self, rows, dtype):
        return contextlib.nullcontext()

    def _transform(self, side, X, room):
        signs, length = self.signs[side], self.padded_lengths[side]
        scale = 1 / math.sqrt(self.sketch_size) if side == 1 else 1.0
        picked = np.empty((X.shape[0], self.sketch_size), X.dtype)
        sampled_rows(X, signs, self.pairs[side], length, scale, picked)
        return picked

    def _multiply(self, product, transforms):
        with np.errstate(all="ignore"):  # NaN and infinity are noticed afterwards
            product *= transforms

    def _loaded(self, sums, room):
        return sums

    def _finish(self, product, out, room):
        out[:] = product

    def _keep(self, product, out, room):
        out[:] = product

    def _matrix(self):
        halves = []
        for M, signs, picked in zip(self.padded_lengths, self.signs, self.pairs, strict=True):
            rows = np.zeros((self.sketch_size, M))
            rows[np.arange(self.sketch_size), picked] = 1.0
            halves.append(fwht(rows, out=rows)[:, : signs.size] * signs)
        S = np.einsum("ri,rj->rij", *halves) / math.sqrt(self.sketch_size)
        return S.reshape(self.sketch_size, -1)
