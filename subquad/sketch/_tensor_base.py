"""The sketches of pairs: S (s, m_u m_v), applied to rows u_i (x) v_i that are never formed.

`TensorMap._fill` is the one loop of both sketches and both results: it transforms a block of rows
of U and of V, multiplies the transforms, and writes what the product stands for. The file is long
because one class documents four public methods and names what its subclasses define.
"""

from __future__ import annotations

import contextlib
from abc import abstractmethod
from typing import TYPE_CHECKING

import numpy as np

from subquad._groups import as_groups
from subquad._kernels.count_sketch import add_columns
from subquad._parallel import blocks
from subquad._validation import generator, integer, require_memory
from subquad.sketch._base import (
    SIZE_PARAMETERS,
    Frozen,
    deliver,
    destination,
    require_room,
    resolve_size,
)
from subquad.sketch._fft import (
    all_blocks,
    block_rows,
    each_block,
    summed_rows,
    transform_threads,
)
from subquad.sketch._prepared import Prepared, inner_products, same_sketch
from subquad.sketch._rows import Rows, as_rows, is_finite, require_finite_entries

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from subquad._typing import FloatArray, MatrixLike


# A subclass adds its own attributes after this text, and then RAISES.
PARAMETERS = f"""
    Parameters
    ----------
    n_features : int or pair of int
        (m_u, m_v), the lengths of u and v; one number stands for both.
    sketch_size : int, optional
        s, the length of the sketches.{SIZE_PARAMETERS}
    Attributes
    ----------
    n_features : tuple (m_u, m_v)
    sketch_size : int
    guarantee : tuple (n_points, epsilon, delta) or None
        What `sketch_size` was derived from."""

# A Gram matrix keeps at most this many bytes of products at once.
_PANEL_BYTES = 2**29


class TensorMap(Frozen):
    """A sketch of pairs, S (s, m_u m_v). Subclasses draw it and transform blocks of rows.

    A transform is linear in u (in v), and the entrywise product of the transforms of u and v stands
    for u (x) v: `_finish` turns it into the sketch, `_keep` into a row whose inner products are
    those of the sketches.
    """

    def __init__(
        self,
        n_features: int | tuple[int, int],
        sketch_size: int | None = None,
        *,
        n_points: int | None = None,
        epsilon: float | None = None,
        delta: float | None = None,
        rng: int | np.random.Generator | None = None,
    ) -> None:
        lengths = n_features if isinstance(n_features, tuple) else (n_features, n_features)
        if len(lengths) != 2:
            raise ValueError(f"n_features must be a number or a pair; got {len(lengths)} numbers.")
        lengths = tuple(integer(m, "n_features") for m in lengths)
        require_room(sum(lengths))
        size, guarantee = resolve_size(
            sketch_size, n_points, epsilon, delta, lambda g: self._required_size(g, lengths)
        )
        self._set(n_features=lengths, sketch_size=size, guarantee=guarantee)
        self._draw(generator(rng))

    def __repr__(self) -> str:
        name, m, s = type(self).__name__, self.n_features, self.sketch_size
        return f"{name}(n_features={m}, sketch_size={s})"

    def apply(
        self,
        U: MatrixLike,
        V: MatrixLike | object,
        out: FloatArray | None = None,
        n_threads: int | None = None,
        *,
        groups: ArrayLike | None = None,
    ) -> FloatArray:
        """Return J S^T, the sketch of every row J[i] = vec(u_i v_i^T), or of sums of such rows.

        Parameters
        ----------
        U : array_like or sparse array, shape (n, m_u), or (T, m_u) with groups
        V : array_like or sparse array, shape (n, m_v), or (T, m_v) with groups, or what `prepare`
            returned for it. U and V in float32 or float64; the result has the wider of their
            dtypes.
        out : ndarray, shape (n, s), optional
            Where to put the result.
        n_threads : int, optional
            None means all available; as in scikit-learn otherwise. Changes no bit.
        groups : array_like of int, shape (n + 1,), optional
            J[i] = sum_t vec(u_t v_t^T) over the rows t from groups[i] to groups[i + 1] - 1, none
            where the two are equal: from 0 to T, never decreasing.

        Returns
        -------
        ndarray, shape (n, s)
            `out` if it was given.

        Raises
        ------
        TypeError, ValueError
            If U and V are not finite real matrices of n rows and these lengths, `out` cannot take
            the result, `groups` does not divide the rows, or V was prepared by another sketch or
            in a narrower dtype than U.

        Notes
        -----
        With groups, products of transforms are summed before the one inverse transform of each
        group. Besides the result, blocks of at most 256 rows are kept for each thread, and at most
        32 MB of sums of groups that began in an earlier block. A TensorSketch goes through the
        matrices U_i^T V_i, a block of them at a time, where these are so small that it is faster.
        """
        U, V = self._sides(U, V)
        groups = as_groups(groups, U.shape[0])
        shape = U.shape[0] if groups is None else groups.n, self.sketch_size
        sketches = destination(out, shape, U.dtype, _arrays(U, V))
        if groups is not None and self._prefers_matrices(U, V, groups):
            finite = self._sketch_matrices(sketches, U, V, groups, n_threads)
        else:
            finite = self._fill(sketches, U, V, n_threads, self._finish, groups)
        if not finite:
            _require_finite(U, V)
        return deliver(sketches, out)

    def prepare(self, V: MatrixLike, n_threads: int | None = None) -> object:
        """Return the transforms of the rows of V, for `apply` and `gram`.

        Pass them in place of V: this saves half of the work where V stays and U changes.

        Parameters
        ----------
        V : array_like or sparse array, shape (n, m_v)
        n_threads : int, optional

        Returns
        -------
        object
            A stand-in for V with a `shape` and a `dtype`; it cannot be changed.

        Raises
        ------
        TypeError, ValueError
            If V is not a finite real matrix of m_v columns.
        MemoryError
            If the n transforms do not fit.
        """
        V = as_rows(V, "V", n_columns=self.n_features[1])
        shape = V.shape[0], self.sketch_size
        n_bytes = V.dtype.itemsize * shape[0] * shape[1]
        require_memory(n_bytes, "The transforms of V", "Pass V itself instead.")
        transforms = np.empty(shape, V.dtype)
        n_threads = transform_threads(V, self._row_size, n_threads)

        def transform(rows):
            with self._room(block_rows(V.shape[0], self._row_size), V.dtype) as room:
                block = self._transform(1, V[rows], room)
                transforms[rows] = block
                return bool(np.isfinite(block[:, :2]).all())

        if not all_blocks(transform, V.shape[0], self._row_size, n_threads):
            require_finite_entries(V, "V")
        transforms.flags.writeable = False
        return Prepared(transforms, V.dtype, self)

    def gram(
        self,
        U: MatrixLike,
        V: MatrixLike | object,
        n_threads: int | None = None,
        *,
        groups: ArrayLike | None = None,
    ) -> FloatArray:
        """Return (J S^T)(J S^T)^T, the Gram matrix of the sketches, shape (n, n).

        Parameters
        ----------
        U, V, n_threads, groups
            As for `apply`.

        Returns
        -------
        ndarray, shape (n, n)
            Symmetric, in the wider of the dtypes of U and V.

        Raises
        ------
        TypeError, ValueError
            As `apply`.
        MemoryError
            If G does not fit.

        Notes
        -----
        n^2 s operations of BLAS besides the transforms; the sketches are not formed. At most 512 MB
        of products are kept at once; where there are more, blocks of rows are transformed again.
        """
        U, V = self._sides(U, V)
        groups = as_groups(groups, U.shape[0])
        n, dtype = U.shape[0] if groups is None else groups.n, U.dtype
        require_memory(
            dtype.itemsize * n * n,
            f"G with shape {(n, n)}",
            "Use fewer rows, or `apply`.",
        )
        G = np.empty((n, n), dtype)
        with np.errstate(all="ignore"):
            self._fill_gram(G, U, V, n_threads, groups)
        if not is_finite(G):
            _require_finite(U, V)
        return G

    def matrix(self) -> FloatArray:
        """Return S, shape (s, m_u m_v), in float64: for small checks.

        Raises
        ------
        MemoryError
            If it does not fit.
        """
        shape = self.sketch_size, self.n_features[0] * self.n_features[1]
        require_memory(8 * shape[0] * shape[1], f"S with shape {shape}", "apply(U, V) avoids it.")
        return self._matrix()

    def _sides(self, U, V):
        """Return U and V in trusted form, with the same number of rows and one dtype."""
        U = as_rows(U, "U", n_columns=self.n_features[0])
        n = U.shape[0]
        if not isinstance(V, Prepared):
            V = as_rows(V, "V", n_columns=self.n_features[1], n_rows=n)
            dtype = np.result_type(U.dtype, V.dtype)
            return U.astype(dtype, copy=False), V.astype(dtype, copy=False)
        if not same_sketch(self, V._sketch):
            raise ValueError(f"V must be prepared by this sketch; got one of {V._sketch!r}.")
        if V.shape[0] != n:
            raise ValueError(f"V must have {n} rows as U; got {V.shape[0]}.")
        if V.dtype.itemsize < U.dtype.itemsize:
            raise TypeError(f"V must be prepared in {U.dtype} as U; got {V.dtype}.")
        return U.astype(V.dtype, copy=False), V

    def _fill(self, out, U, V, n_threads, finish, groups=None):
        """Fill `out` with the rows of all pairs, block by block; return whether all are finite.

        With finish = `_finish` the rows are sketches, with `_keep` they are for a Gram matrix.
        """
        n = U.shape[0]
        n_threads = transform_threads(U, self._row_size, n_threads)
        if groups is None:
            count = block_rows(n, self._row_size)

            def one_block(rows):
                with self._products(U, V, rows, count) as (product, finite, room):
                    finish(product, out[rows], room)
                return finite

            return all_blocks(one_block, n, self._row_size, n_threads)
        finite = self._sum_products(out, U, V, groups, n_threads)
        self._finish_sums(out, finish, n_threads)
        return finite

    @contextlib.contextmanager
    def _products(self, U, V, rows, count):
        """Lend (product, finite, room): the products of transforms of up to `count` rows."""
        with self._room(count, U.dtype) as room, self._room_of(V, count) as other:
            product = self._transform(0, U[rows], room)
            self._multiply(product, self._transforms_of(V, rows, other))
            # NaN and infinity of any coordinate show in the first entry of a transform.
            yield product, bool(np.isfinite(product[:, 0]).all()), room

    def _sum_products(self, sums, U, V, groups, n_threads):
        """Fill `sums` with the sums of products by group; return whether all are finite.

        A group that began in an earlier block is the business of that block's thread: what a later
        one has of it is added afterwards, in order, so that the number of threads changes no bit.
        """
        numbers, finite = groups.numbers, True
        count = summed_rows(U.shape[0], self._row_size)
        sums[:] = 0

        def one_block(rows):
            first, last = numbers[rows.start], numbers[rows.stop - 1]
            codes = (2 * (numbers[rows] - first)).astype(np.int32)
            block = np.zeros((last - first + 1, sums.shape[1]), sums.dtype)
            with self._products(U, V, rows, count) as (product, block_is_finite, _):
                add_columns(product, codes, block, 1)
            begun = int(groups.indptr[first] < rows.start)
            sums[first + begun : last + 1] = block[begun:]
            return block_is_finite, block[0].copy() if begun else None

        for rows, done in each_block(one_block, U.shape[0], self._row_size, count, n_threads):
            finite &= done[0]
            if done[1] is not None:
                with np.errstate(all="ignore"):  # NaN and infinity are noticed by the caller
                    sums[numbers[rows.start]] += done[1]
        return finite

    def _finish_sums(self, out, finish, n_threads):
        """Turn sums of products into sketches, or rows for a Gram matrix, in place."""
        n, size = out.shape
        count = block_rows(n, size)

        def one_block(rows):
            with self._room(count, out.dtype) as room:
                finish(self._loaded(out[rows], room), out[rows], room)
            return True

        all_blocks(one_block, n, size, n_threads)

    def _room_of(self, V, count):
        """Return the room that transforming blocks of V needs: none for a V that was prepared."""
        if isinstance(V, Prepared):
            return contextlib.nullcontext()
        return self._room(count, V.dtype)

    def _transforms_of(self, V, rows, room):
        """Return the transforms of a block of rows of V, prepared or not."""
        return V._transforms[rows] if isinstance(V, Prepared) else self._transform(1, V[rows], room)

    def _fill_gram(self, G, U, V, n_threads, groups=None):
        """G = (J S^T)(J S^T)^T by panels of rows."""
        panels = list(blocks(len(G), _PANEL_BYTES // (self.sketch_size * G.itemsize)))
        for i, rows in enumerate(panels):
            P = self._panel(U, V, rows, n_threads, groups)
            G[rows, rows] = inner_products(P, P)
            for others in panels[:i]:
                Q = self._panel(U, V, others, n_threads, groups)
                G[rows, others] = inner_products(P, Q)
                G[others, rows] = G[rows, others].T
        G *= G.dtype.type(self._gram_scale)

    def _panel(self, U, V, which, n_threads, groups):
        """Return rows of G's factor: `_gram_scale` times their inner products is the Gram."""
        panel = np.zeros((which.stop - which.start, self.sketch_size), U.dtype)
        rows = which
        if groups is not None:
            rows, groups = groups.part(which)
        if rows.stop == rows.start:
            return panel
        U, V = U[rows], V[rows]
        if groups is not None and self._prefers_matrices(U, V, groups):
            self._sketch_matrices(panel, U, V, groups, n_threads)
            panel *= panel.dtype.type(self._gram_scale**-0.5)
        else:
            self._fill(panel, U, V, n_threads, self._keep, groups)
        return panel

    def _prefers_matrices(self, U, V, groups):
        """Return whether `_sketch_matrices` is there and faster."""
        return False

    @property
    def _row_size(self):
        """The number of reals in the longest row that is transformed."""
        return self.sketch_size

    @staticmethod
    @abstractmethod
    def _required_size(guarantee, n_features):
        """Rows that suffice for a guarantee."""

    @abstractmethod
    def _draw(self, rng):
        """Set the random attributes."""

    @abstractmethod
    def _room(self, rows, dtype):
        """Return a context manager that lends what `_transform` needs for so many rows."""

    @abstractmethod
    def _transform(self, side, X, room):
        """Return the transforms of a block of rows of U (side 0) or V (side 1), in the room."""

    @abstractmethod
    def _multiply(self, product, transforms):
        """Multiply the transforms `product` by others, in place."""

    @abstractmethod
    def _loaded(self, sums, room):
        """Return sums of products where `_finish` and `_keep` take a product from."""

    @abstractmethod
    def _finish(self, product, out, room):
        """Fill `out` with the sketches that a product stands for; the product is overwritten."""

    @abstractmethod
    def _keep(self, product, out, room):
        """Fill `out` with the rows for a Gram, which is their inner products by `_gram_scale`."""

    @abstractmethod
    def _matrix(self):
        """S in float64."""


def _arrays(U, V):
    """Return the arrays that a result must not overlap."""
    arrays = [x.values if isinstance(x, Rows) else x for x in (U, V)]
    return [x for x in arrays if isinstance(x, np.ndarray)]


def _require_finite(U, V):
    """Raise where NaN or infinity came in; sums that overflowed are no error of the caller's."""
    require_finite_entries(U, "U")
    if not isinstance(V, Prepared):
        require_finite_entries(V, "V")
