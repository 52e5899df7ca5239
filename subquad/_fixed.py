"""What weights share that are nowhere held as an array that could be changed in place."""

from __future__ import annotations

from typing import TYPE_CHECKING

from subquad._shapes import multiply_rows

if TYPE_CHECKING:
    import numpy as np

    from subquad._typing import FloatArray, MatrixLike


class FixedWeights:
    """A matrix W (m_out, m_in) that multiplies, and is not changed.

    Those who inherit set `shape` and `dtype`, and have the trusted products that `apply` and
    `apply_transposed` hand checked rows to.
    """

    shape: tuple[int, int]
    dtype: np.dtype

    @property
    def nbytes(self) -> int:
        """Memory of the weights, in bytes."""
        return 0

    def apply(self, H: MatrixLike, n_threads: int | None = None) -> FloatArray:
        """Return W h_i for every data point i.

        Parameters
        ----------
        H : array_like or sparse array, shape (n, m_in)
            Row i is h_i. Cast to the dtype of the weights.
        n_threads : int or None

        Returns
        -------
        ndarray, shape (n, m_out)

        Raises
        ------
        TypeError, ValueError
            If H is not a finite real matrix with m_in columns.
        MemoryError
            If the product does not fit.
        """
        shape, twins = self.shape[::-1], (self._apply_dense, self._apply_csr)
        return multiply_rows(H, "H", shape, self.dtype, n_threads, *twins)

    def apply_transposed(self, G: MatrixLike, n_threads: int | None = None) -> FloatArray:
        """Return W^T g_i for every data point i.

        Parameters
        ----------
        G : array_like or sparse array, shape (n, m_out)
            Row i is g_i. Cast to the dtype of the weights.
        n_threads : int or None

        Returns
        -------
        ndarray, shape (n, m_in)

        Raises
        ------
        TypeError, ValueError
            If G is not a finite real matrix with m_out columns.
        MemoryError
            If the product does not fit.
        """
        twins = self._apply_transposed_dense, self._apply_transposed_csr
        return multiply_rows(G, "G", self.shape, self.dtype, n_threads, *twins)

    def add_low_rank(self, U: MatrixLike, V: MatrixLike) -> None:
        """Refuse to change W.

        Parameters
        ----------
        U, V
            As in `DenseWeights.add_low_rank`. Not looked at: the answer is always a TypeError.
        """
        self._absorb(U, V)

    def _absorb(self, U, V):
        """Trusted twin of `add_low_rank`."""
        raise TypeError(
            f"weights must be DenseWeights to take up a low-rank change; got "
            f"{type(self).__name__}. Store them, DenseWeights(W.to_dense()), and give those to "
            "LowRankMaintenance."
        )
