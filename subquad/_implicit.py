"""Random weights that are never stored: every entry is a function of seed, row and column."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

import numpy as np

from subquad._fixed import FixedWeights
from subquad._implicit_products import columns_block, int8_law, integers_block, product
from subquad._kernels import gaussian
from subquad._parallel import blocks, resolve_threads
from subquad._products import DenseRows, SparseRows, transposed_into
from subquad._shapes import as_dtype, as_shape, require_matrix_memory
from subquad._validation import integer, one_of, real, require_memory

if TYPE_CHECKING:
    from typing import Literal

    from numpy.typing import DTypeLike, NDArray

    from subquad._typing import FloatArray


# What a file that holds a seed in place of weights says of how they were made. Raise it when any of
# the numbers that a seed gives changes, and keep what makes the old ones.
GENERATOR = 1
# Making the keys of so many columns takes about 0.1 s.
_COLUMNS_PER_CALL = 2**24
_BYTES_PER_COLUMN = 12
# Entries are up to 6.67 std: a largest number over 16 keeps them within the range of its dtype.
_ROOM = 16


class GaussianWeights(FixedWeights):
    """A random matrix W with entries of mean 0 and variance std^2 that takes no memory.

    W[r, j] is a function of (seed, r, j), made anew in the cache whenever a product needs it: the
    same bits on every machine, for every number of threads and every block that is asked for.

    Parameters
    ----------
    shape : pair of int
        (m_out, m_in).
    seed : int
        From 0 to 2^64 - 1. Another seed gives an independent matrix, another shape does not.
    grid : {"int8", "float32"}
        The law of the entries. "int8": W = step * Q with integers Q, equally probable among the 256
        mid-point quantiles Phi^-1((i + 1/2) / 256) of the normal law, scaled to 127 and rounded.
        The variance is std^2 exactly, the kurtosis 2.918 (3 for a normal law), |W| <= 2.89 std.
        "float32": normals with the resolution of float32, |W| <= 6.67 std.
    std : float
        Standard deviation; sqrt(2 / m_out) in [SZZ24], Section 2.
    dtype : float32 or float64
        Dtype of every product.

    Attributes
    ----------
    shape, seed, grid, std, dtype
        As given.
    step : float
        Distance of neighbouring numbers of the int8 grid; std for the float32 grid.
    nbytes : int
        Memory of the keys of the columns, 12 bytes each, which the first product makes and keeps.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as described.

    Notes
    -----
    Entries follow from a 95-bit key of their column, drawn by SplitMix64 from the seed, and from
    their row, by 32-bit multiplications and shifts: good for simulation, not for secrets. With
    AVX-512 one of the int8 grid takes 0.02-0.04 ns, a tenth of reading a float32 from memory, and
    one of the float32 grid 0.2-0.4 ns; with AVX2, 0.2 and 0.9 ns. Departure: [SZZ24] has normal
    weights, from which the law of the int8 grid is 0.0064 away (Kolmogorov-Smirnov).

    A product with rows h_i takes 2 nnz(H) m_out operations ([SZZ24], Lemma C.2), and m_out entries
    made for every column that any h_i needs, once for every 512 data points. A transposed one takes
    as many, with the rows of W that any g_i needs (Lemma C.4).

    Examples
    --------
    >>> W = GaussianWeights((3, 2), seed=0)
    >>> W
    GaussianWeights(shape=(3, 2), seed=0, grid='int8', std=1.0, dtype=float64)
    >>> np.array_equal(W.apply(np.eye(2)).T, W.to_dense())
    True
    """

    def __init__(
        self,
        shape: tuple[int, int],
        seed: int,
        grid: Literal["int8", "float32"] = "int8",
        *,
        std: float = 1.0,
        dtype: DTypeLike = np.float64,
    ) -> None:
        self.shape = as_shape(shape)
        self.seed = integer(seed, "seed", minimum=0, maximum=2**64 - 1)
        self.grid = one_of(grid, "grid", ("int8", "float32"))
        self.dtype = as_dtype(dtype)
        self.std = real(std, "std", minimum=0.0, maximum=float(np.finfo(self.dtype).max) / _ROOM)
        self._table, scale = int8_law() if grid == "int8" else (None, 1.0)
        self.step = self.std * scale

    # The row of the matrix of this seed that is the first one here.
    _first_row = 0

    def _rows(self, start, stop):
        """Return the weights that have rows start to stop - 1 of these; `start` begins a tile."""
        shape = stop - start, self.shape[1]
        part = GaussianWeights(shape, self.seed, self.grid, std=self.std, dtype=self.dtype)
        part._first_row = self._first_row + start
        return part

    @functools.cached_property
    def _keys(self):
        """The keys of all columns."""
        return self._made_keys(0, self.shape[1])

    def _made_keys(self, first, stop):
        """Return keys of columns for kernels that call `_first_row` row 0.

        Rows follow from b + a w, where (a, b, c) is the key and w the number of a word: a row has
        one of its own in the float32 law, and shares it with three others in the int8 law.
        """
        keys = _column_keys(self.seed, first, stop)
        if self._first_row:
            words = self._first_row // (4 if self.grid == "int8" else 1)
            keys[1] += keys[0] * np.uint32(words % 2**32)
        return keys

    def _keys_between(self, start, stop):
        """Return keys of the columns start to stop - 1, and the place of the first among them."""
        if "_keys" in vars(self):
            return self._keys, start
        first = start - start % gaussian.TILE
        return self._made_keys(first, stop), start - first

    @property
    def nbytes(self) -> int:
        """Memory of the keys, in bytes."""
        return _BYTES_PER_COLUMN * _whole_tiles(self.shape[1])

    def __repr__(self) -> str:
        return (
            f"GaussianWeights(shape={self.shape}, seed={self.seed}, grid={self.grid!r}, "
            f"std={self.std}, dtype={self.dtype})"
        )

    def columns(self, start: int, stop: int, n_threads: int | None = None) -> FloatArray:
        """Return the columns start to stop - 1 of W as rows.

        Parameters
        ----------
        start, stop : int
            0 <= start <= stop <= m_in.
        n_threads : int or None

        Returns
        -------
        ndarray, shape (stop - start, m_out)
            Row j is W[:, start + j].

        Raises
        ------
        TypeError, ValueError, MemoryError
            If there are no such columns, or they do not fit.

        Examples
        --------
        >>> W = GaussianWeights((3, 5), seed=0)
        >>> np.array_equal(W.columns(1, 3).T, W.to_dense()[:, 1:3])
        True
        """
        start, stop = self._as_range(start, stop)
        require_matrix_memory((stop - start, self.shape[0]), self.dtype)
        return columns_block(self, start, stop, resolve_threads(n_threads))

    def integers(self, start: int, stop: int, n_threads: int | None = None) -> NDArray[np.int8]:
        """Return Q, W = step * Q, for the columns start to stop - 1, as rows; int8 grid only.

        Parameters
        ----------
        start, stop, n_threads
            As in `columns`.

        Returns
        -------
        ndarray of int8, shape (stop - start, m_out)

        Raises
        ------
        TypeError, ValueError, MemoryError
            If there are no such columns, or they do not fit, or the grid is another.
        """
        if self._table is None:
            raise ValueError(f"grid must be 'int8' to have integers; got {self.grid!r}.")
        start, stop = self._as_range(start, stop)
        require_matrix_memory((stop - start, self.shape[0]), np.int8)
        return integers_block(self, start, stop, resolve_threads(n_threads))

    def to_dense(self) -> FloatArray:
        """Return W as a new array, shape (m_out, m_in)."""
        require_matrix_memory(self.shape, self.dtype)
        dense = np.empty(self.shape, self.dtype)
        n_threads = resolve_threads()
        for columns in blocks(self.shape[1], gaussian.TILE):
            block = columns_block(self, columns.start, columns.stop, n_threads)
            transposed_into(dense[:, columns], block)
        return dense

    def _apply_dense(self, H, n_threads):
        """Return rows W h_i of dense H."""
        return product(self, DenseRows(H), n_threads, transposed=False)

    def _apply_csr(self, indptr, indices, values, n_threads):
        """Return rows W h_i of H in CSR."""
        return product(self, SparseRows(indptr, indices, values), n_threads, transposed=False)

    def _apply_transposed_dense(self, G, n_threads):
        """Return rows W^T g_i of dense G."""
        return product(self, DenseRows(G), n_threads, transposed=True)

    def _apply_transposed_csr(self, indptr, indices, values, n_threads):
        """Return rows W^T g_i of G in CSR."""
        return product(self, SparseRows(indptr, indices, values), n_threads, transposed=True)

    def _as_range(self, start, stop):
        """Return a range of columns as ints."""
        stop = integer(stop, "stop", minimum=0, maximum=self.shape[1])
        return integer(start, "start", minimum=0, maximum=stop), stop


def drawn_seed(rng):
    """Return a seed of GaussianWeights from a numpy Generator."""
    return int(rng.integers(2**64, dtype=np.uint64))


def _whole_tiles(n_columns):
    """Return the number of columns, rounded up to whole tiles."""
    return -(-n_columns // gaussian.TILE) * gaussian.TILE


def _column_keys(seed, first, stop):
    """Return the keys of columns first, which begins a tile, to stop - 1, rounded up to tiles.

    Their shape is (3, n_columns).
    """
    n_keys = _whole_tiles(stop - first)
    what = f"The keys of {stop - first} columns of weights that are not stored"
    require_memory(_BYTES_PER_COLUMN * n_keys, what, "Use fewer columns.")
    keys = np.empty((3, n_keys), np.uint32)
    for columns in blocks(n_keys, _COLUMNS_PER_CALL):
        gaussian.column_keys(seed, first + columns.start, keys[:, columns])
    return keys
