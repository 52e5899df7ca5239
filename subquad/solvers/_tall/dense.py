"""A tall array A (N, k) as the iterative solvers see it, read once for each A^T (b - A x).

Rows are taken in fixed segments, each by one thread, whose results are added in order: no bit
depends on the number of threads where BLAS has one, as `blas_threads_for` sees to.
"""

import itertools

import numpy as np

from subquad._parallel import map_in_threads

# Nanoseconds on one thread with AVX-512, of which only ratios matter: an entry of A in A^T A x,
# from memory; a multiply-add of A^T A.
ENTRY_NS, GEMM_NS = 0.43, 0.025

_SEGMENTS = 8
# Fewer entries than these take a millisecond and are not divided: starting threads takes a tenth.
_UNDIVIDED_ENTRIES = 2**21
# A block of so many entries of A is still in cache when A^T follows A.
_BLOCK_ENTRIES = 2**16
# A^T A takes more rows at a time, which make a better BLAS product.
_GRAM_ENTRIES = 2**19
# At least so many columns are converted at a time before they are sketched.
_COPIED_COLUMNS = 32
# Up to so many columns the rows are divided among threads; above, BLAS divides its products.
_OWN_THREADS = 1536


class DenseTall:
    """diag(sqrt(weights)) [A, 1], in float64 block by block; weights and the ones if asked for."""

    eps = np.finfo(np.float64).eps

    def __init__(self, A, *, weights=None, ones=False, n_threads=1):
        self.A, self.weights, self.ones = A, weights, ones
        n, d = A.shape
        self.shape = n, d + ones
        self.n_threads = n_threads if d <= _OWN_THREADS else 1
        self.pass_ns, self.gram_ns = n * d * ENTRY_NS, n * d * d * GEMM_NS
        n_segments = _SEGMENTS if A.size > _UNDIVIDED_ENTRIES and d <= _OWN_THREADS else 1
        ends = np.linspace(0, n, n_segments + 1).astype(int).tolist()
        self._segments = list(itertools.pairwise(ends))

    def weighted(self, weights):
        """Return diag(sqrt(weights)) A, without a copy of A."""
        return DenseTall(self.A, weights=weights, ones=self.ones, n_threads=self.n_threads)

    def normal(self, x, b=None):
        """Return A^T v and ||v||^2 for v = A x, or b - A x if b is given."""

        def part(segment):
            out, square = np.zeros(len(x)), 0.0
            for rows, block in self._blocks(segment, _BLOCK_ENTRIES):
                v = self._times(block, x)
                if b is not None:
                    np.subtract(b[rows], v, out=v)
                w = v if self.weights is None else self.weights[rows] * v
                square += v @ w
                self._add_transposed(out, w, block)
            return out, square

        parts = self._map(part)
        return sum(out for out, _ in parts), float(sum(square for _, square in parts))

    def multiply(self, X):
        """Return A X for a vector or a matrix X."""

        def part(segment):
            blocks = self._blocks(segment, _BLOCK_ENTRIES)
            return np.concatenate([self._times(block, X) for _, block in blocks])

        return times_roots(self.weights, np.concatenate(self._map(part)))

    def transposed(self, v):
        """Return A^T v."""
        v = times_roots(self.weights, v)

        def part(segment):
            out = np.zeros(self.shape[1])
            for rows, block in self._blocks(segment, _BLOCK_ENTRIES):
                self._add_transposed(out, v[rows], block)
            return out

        return sum(self._map(part))

    def gram(self):
        """Return A^T A."""

        def part(segment):
            G = np.zeros((self.shape[1],) * 2)
            for rows, block in self._blocks(segment, _GRAM_ENTRIES):
                block = self._completed(block, rows)
                G += block.T @ block
            return G

        return sum(self._map(part))

    def sketched(self, sketch, n_threads):
        """Return S A, shape (s, k)."""
        if self.A.dtype == np.float64 and self.weights is None and not self.ones:
            return sketch.apply_columns(self.A, n_threads=n_threads)
        d = self.A.shape[1]
        step = max(_COPIED_COLUMNS, d // 8)
        columns = [self.A[:, i : i + step] for i in range(0, d, step)]
        if self.ones:
            columns.append(np.ones((self.shape[0], 1)))
        return np.hstack(
            [
                sketch.apply_columns(
                    np.ascontiguousarray(times_roots(self.weights, part), dtype=np.float64),
                    n_threads=n_threads,
                )
                for part in columns
            ]
        )

    def dense(self):
        """Return A as an array in float64."""
        return self._completed(self.A.astype(np.float64, copy=False), slice(None))

    def _map(self, function):
        """The results for each segment of rows, in order."""
        return map_in_threads(function, self._segments, self.n_threads)

    def _blocks(self, segment, entries):
        """Slices of rows of a segment, and these rows in float64."""
        start, stop = segment
        step = max(1, entries // self.shape[1])
        for i in range(start, stop, step):
            rows = slice(i, min(i + step, stop))
            yield rows, self.A[rows].astype(np.float64, copy=False)

    def _times(self, block, X):
        """[block, 1] X."""
        if not self.ones:
            return block @ X
        product = block @ X[:-1]
        product += X[-1]
        return product

    def _add_transposed(self, out, w, block):
        """Add [block, 1]^T w to out."""
        if self.ones:
            out[-1] += w.sum()
            out = out[:-1]
        out += w @ block

    def _completed(self, block, rows):
        """diag(sqrt(weights)) [block, 1] for these rows."""
        if self.ones:
            block = np.concatenate([block, np.ones((len(block), 1))], axis=1)
        return block if self.weights is None else times_roots(self.weights[rows], block)


def times_roots(weights, X):
    """The vector or matrix X, each row times the root of its weight."""
    return X if weights is None else (np.sqrt(weights) * X.T).T
