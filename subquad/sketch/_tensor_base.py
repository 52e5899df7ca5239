"""The sketches of pairs: S (s, m_u m_v), applied to rows u_i (x) v_i that are never formed.

A third of this file are the docstrings of its four public methods, and a list of what subclasses
define: one class, which does not divide.
"""

from abc import abstractmethod

import numpy as np

from subquad._validation import generator, integer, require_memory
from subquad.sketch._base import Frozen, blocks, resolve_size, write
from subquad.sketch._fft import all_blocks, block_rows, transform_threads
from subquad.sketch._prepared import Prepared, inner_products, same_sketch
from subquad.sketch._rows import Rows, as_rows, is_finite, require_finite_entries

PARAMETERS = """
    Parameters
    ----------
    n_features : int or pair of int
        (m_u, m_v), the lengths of u and v; one number stands for both.
    sketch_size : int, optional
        s, the length of the sketches.
    n_points, epsilon, delta : int, float, float, optional
        In place of `sketch_size`: with probability at least 1 - delta,
        (1 - epsilon) |x|^2 <= |S x|^2 <= (1 + epsilon) |x|^2 for all x of any one subspace of
        `n_points` dimensions that was fixed before S was drawn. The Notes say for which s.
    rng : int, numpy.random.Generator or None
        What S is drawn from, here and never again.

    Attributes
    ----------
    n_features : tuple (m_u, m_v)
    sketch_size : int
    guarantee : tuple (n_points, epsilon, delta) or None
        What `sketch_size` was derived from.

    Raises
    ------
    TypeError, ValueError
        If a parameter has the wrong kind or value, or both or neither of `sketch_size` and
        (n_points, epsilon, delta) are given.
"""

_PANEL_BYTES = 2**29  # of transformed rows that a Gram keeps at once


class TensorMap(Frozen):
    """A sketch of pairs, S (s, m_u m_v). Subclasses draw it and transform blocks of rows.

    A transform is linear in u (in v), products of transforms stand for pairs, and `_finish` turns
    a product into sketches.
    """

    def __init__(
        self, n_features, sketch_size=None, *, n_points=None, epsilon=None, delta=None, rng=None
    ):
        lengths = n_features if isinstance(n_features, tuple) else (n_features, n_features)
        if len(lengths) != 2:
            raise ValueError(f"n_features must be a number or a pair; got {len(lengths)} numbers.")
        lengths = tuple(integer(m, "n_features") for m in lengths)
        size, guarantee = resolve_size(
            sketch_size, n_points, epsilon, delta, lambda g: self._required_size(g, lengths)
        )
        self._set(n_features=lengths, sketch_size=size, guarantee=guarantee)
        self._draw(generator(rng))

    def __repr__(self):
        name, m, s = type(self).__name__, self.n_features, self.sketch_size
        return f"{name}(n_features={m}, sketch_size={s})"

    def apply(self, U, V, out=None, n_threads=None):
        """Return J S^T, the sketch of every row J[i] = vec(u_i v_i^T).

        Parameters
        ----------
        U : array_like or sparse array, shape (n, m_u)
        V : array_like or sparse array, shape (n, m_v), or what `prepare` returned for it
            U and V in float32 or float64; the result has the wider of their dtypes.
        out : ndarray, shape (n, s), optional
            Where to put the result.
        n_threads : int, optional
            None means all available; as in scikit-learn otherwise. Changes no bit.

        Returns
        -------
        ndarray, shape (n, s)
            `out` if it was given.

        Raises
        ------
        TypeError, ValueError
            If U and V are not finite real matrices of n rows and these lengths, `out` cannot take
            the result, or V was prepared by another sketch or in a narrower dtype than U.
        """
        U, V = self._sides(U, V)
        n = U.shape[0]

        def compute(target):
            def finish(rows, product, room):
                self._finish(product, target[rows], room)

            self._require_finite(self._for_blocks(U, V, n_threads, finish), U, V)

        arrays = [x.values if isinstance(x, Rows) else x for x in (U, V)]
        inputs = [x for x in arrays if isinstance(x, np.ndarray)]
        return write(out, (n, self.sketch_size), U.dtype, inputs, compute)

    def prepare(self, V, n_threads=None):
        """Return the transforms of the rows of V, for `apply` and `gram`.

        They take the place of V, which saves half of the work where V stays and U moves.

        Parameters
        ----------
        V : array_like or sparse array, shape (n, m_v)
        n_threads : int, optional

        Returns
        -------
        object
            To be passed on; it has a `shape` and a `dtype`, and cannot be changed.

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
                return bool(np.isfinite(block[:, 0]).all())

        if not all_blocks(transform, V.shape[0], self._row_size, n_threads):
            require_finite_entries(V, "V")
        transforms.flags.writeable = False
        return Prepared(transforms, V.dtype, self)

    def gram(self, U, V, n_threads=None):
        """Return (J S^T)(J S^T)^T, the Gram matrix of the sketches, shape (n, n).

        Parameters
        ----------
        U, V, n_threads
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
        n^2 s operations of BLAS beside the transforms; the sketches are not formed. At most 512 MB
        of products are kept at once: beyond, blocks of rows are transformed again.
        """
        U, V = self._sides(U, V)
        n, dtype = U.shape[0], U.dtype
        require_memory(
            dtype.itemsize * n * n,
            f"G with shape {(n, n)}",
            "Use fewer rows, or `apply`.",
        )
        G = np.empty((n, n), dtype)
        with np.errstate(all="ignore"):
            self._fill_gram(G, U, V, n_threads)
        self._require_finite(is_finite(G), U, V)
        return G

    def matrix(self):
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
        """The border: U and V with as many rows and one dtype."""
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

    def _for_blocks(self, U, V, n_threads, use):
        """Call use(rows, product, room) for blocks of rows; return whether products are finite."""
        n = U.shape[0]
        count = block_rows(n, self._row_size)

        def work(rows):
            with self._room(count, U.dtype) as room:
                if isinstance(V, Prepared):
                    return self._use(use, rows, U[rows], V._transforms[rows], room)
                with self._room(count, U.dtype) as other:
                    transforms = self._transform(1, V[rows], other)
                    return self._use(use, rows, U[rows], transforms, room)

        n_threads = transform_threads(U, self._row_size, n_threads)
        return all_blocks(work, n, self._row_size, n_threads)

    def _use(self, use, rows, U, transforms, room):
        """Use a product; return whether it is finite."""
        product = self._transform(0, U, room)
        self._multiply(product, transforms)
        finite = bool(np.isfinite(product[:, 0]).all())  # where NaN and infinity show
        use(rows, product, room)
        return finite

    def _fill_gram(self, G, U, V, n_threads):
        """G = (J S^T)(J S^T)^T by panels of rows."""
        panels = list(blocks(len(G), self.sketch_size * G.itemsize, _PANEL_BYTES))
        for i, rows in enumerate(panels):
            P = self._panel(U[rows], V[rows], n_threads)
            G[rows, rows] = inner_products(P, P)
            for others in panels[:i]:
                G[rows, others] = inner_products(P, self._panel(U[others], V[others], n_threads))
                G[others, rows] = G[rows, others].T
        G *= G.dtype.type(self._gram_scale)

    def _panel(self, U, V, n_threads):
        """Products for a Gram: rows of reals whose inner products are those of the sketches."""
        panel = np.empty((U.shape[0], self.sketch_size), U.dtype)

        def keep(rows, product, room):
            panel[rows] = self._as_panel(product)

        self._for_blocks(U, V, n_threads, keep)
        return panel

    @property
    def _row_size(self):
        """Reals of the longest row that is transformed."""
        return self.sketch_size

    def _require_finite(self, finite, U, V):
        """Raise where NaN or infinity came; not where sums overflowed."""
        if finite:
            return
        require_finite_entries(U, "U")
        if not isinstance(V, Prepared):
            require_finite_entries(V, "V")

    @staticmethod
    @abstractmethod
    def _required_size(guarantee, n_features):
        """Rows that suffice for a guarantee."""

    @abstractmethod
    def _draw(self, rng):
        """Set the random attributes."""

    @abstractmethod
    def _room(self, rows, dtype):
        """Context manager: what `_transform` needs."""

    @abstractmethod
    def _transform(self, side, X, room):
        """Transforms of a block of rows of U (side 0) or V (side 1), in the room."""

    @abstractmethod
    def _multiply(self, product, transforms):
        """Multiply transforms in place."""

    @abstractmethod
    def _finish(self, product, out, room):
        """Fill `out` with the sketches that a product of transforms stands for; it is lost."""

    @abstractmethod
    def _as_panel(self, product):
        """Rows of reals for a panel."""

    @abstractmethod
    def _matrix(self):
        """S in float64."""
