"""The sketches of vectors: S (s, m), applied to rows or to columns of a matrix."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING

import numpy as np

from subquad._validation import as_matrix, generator, integer, require_memory
from subquad.sketch._base import (
    SIZE_PARAMETERS,
    Frozen,
    deliver,
    destination,
    require_room,
    resolve_size,
)
from subquad.sketch._rows import Rows, as_rows, is_finite, require_finite_entries

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from subquad._typing import FloatArray, MatrixLike


# A subclass adds its own attributes after this text, and then RAISES.
PARAMETERS = f"""
    Parameters
    ----------
    n_features : int
        m, the length of the vectors.
    sketch_size : int, optional
        s, the length of their sketches.{SIZE_PARAMETERS}
    Attributes
    ----------
    n_features, sketch_size : int
    guarantee : tuple (n_points, epsilon, delta) or None
        What `sketch_size` was derived from."""


class MatrixSketch(Frozen):
    """A sketch of vectors, S (s, m). Subclasses draw it and multiply by it."""

    def __init__(
        self,
        n_features: int,
        sketch_size: int | None = None,
        *,
        n_points: int | None = None,
        epsilon: float | None = None,
        delta: float | None = None,
        rng: int | np.random.Generator | None = None,
    ) -> None:
        n_features = integer(n_features, "n_features")
        require_room(n_features)
        size, guarantee = resolve_size(
            sketch_size, n_points, epsilon, delta, lambda g: self._required_size(g, n_features)
        )
        self._set(n_features=n_features, sketch_size=size, guarantee=guarantee)
        self._draw(generator(rng))

    def __repr__(self) -> str:
        name, m, s = type(self).__name__, self.n_features, self.sketch_size
        return f"{name}(n_features={m}, sketch_size={s})"

    def apply(
        self, X: MatrixLike, out: FloatArray | None = None, n_threads: int | None = None
    ) -> FloatArray:
        """Return X S^T, the sketch of every row.

        Parameters
        ----------
        X : array_like or sparse array, shape (n, m)
            In float32 or float64, which the result keeps.
        out : ndarray, shape (n, s), optional
            Where to put the result; may overlap X.
        n_threads : int, optional
            None means all available; as in scikit-learn otherwise.

        Returns
        -------
        ndarray, shape (n, s)
            `out` if it was given.

        Raises
        ------
        TypeError, ValueError
            If X is not a finite real matrix of m columns, or `out` cannot take the result.
        """
        X = as_rows(X, "X", n_columns=self.n_features)
        shape = X.shape[0], self.sketch_size
        return self._fill(out, shape, X, "X", self._apply, n_threads)

    def apply_columns(
        self, A: MatrixLike, out: FloatArray | None = None, n_threads: int | None = None
    ) -> FloatArray:
        """Return S A, the sketch of every column.

        Parameters
        ----------
        A : array_like or sparse array, shape (m, k)
            In float32 or float64, which the result keeps.
        out : ndarray, shape (s, k), optional
        n_threads : int, optional

        Returns
        -------
        ndarray, shape (s, k)
            `out` if it was given.

        Raises
        ------
        TypeError, ValueError
            As `apply`.
        """
        A = as_rows(A, "A", n_rows=self.n_features)
        shape = self.sketch_size, A.shape[1]
        return self._fill(out, shape, A, "A", self._apply_columns, n_threads)

    def apply_transposed(
        self, Y: ArrayLike, out: FloatArray | None = None, n_threads: int | None = None
    ) -> FloatArray:
        """Return Y S, what S^T makes of every row.

        Parameters
        ----------
        Y : array_like, shape (n, s)
            In float32 or float64, which the result keeps.
        out : ndarray, shape (n, m), optional
        n_threads : int, optional

        Returns
        -------
        ndarray, shape (n, m)
            `out` if it was given.

        Raises
        ------
        TypeError, ValueError
            As `apply`.
        """
        # All of Y is inspected here: NaN in a bucket that holds no feature shows in no product.
        Y = as_matrix(Y, "Y", n_columns=self.sketch_size)
        shape = Y.shape[0], self.n_features
        return self._fill(out, shape, Y, "Y", self._apply_transposed, n_threads)

    def matrix(self) -> FloatArray:
        """Return S, shape (s, m), in float64: for small checks.

        Raises
        ------
        MemoryError
            If it does not fit.
        """
        shape = self.sketch_size, self.n_features
        require_memory(8 * shape[0] * shape[1], f"S with shape {shape}", "apply(X) avoids it.")
        return self._matrix()

    def _fill(self, out, shape, source, name, product, n_threads):
        """Return `out`, or a new array, after product(source, array, n_threads) has filled it.

        NaN and infinity in the source show in the product: the smaller of the two is inspected.
        """
        inputs = (source.values,) if isinstance(source, Rows) else (source,)
        result = destination(out, shape, source.dtype, inputs)
        small_result = shape[0] * shape[1] < source.shape[0] * source.shape[1]
        if not small_result:
            require_finite_entries(source, name)
        with np.errstate(all="ignore"):
            product(source, result, n_threads)
        if small_result and not is_finite(result):
            require_finite_entries(source, name)
        return deliver(result, out)

    @staticmethod
    @abstractmethod
    def _required_size(guarantee, n_features):
        """Rows that suffice for a guarantee."""

    @abstractmethod
    def _draw(self, rng):
        """Set the random attributes."""

    @abstractmethod
    def _apply(self, X, out, n_threads):
        """Fill `out` with X S^T for an ndarray or Rows."""

    @abstractmethod
    def _apply_columns(self, A, out, n_threads):
        """Fill `out` with S A for an ndarray or Rows."""

    @abstractmethod
    def _apply_transposed(self, Y, out, n_threads):
        """Fill `out` with Y S."""

    @abstractmethod
    def _matrix(self):
        """S in float64."""
