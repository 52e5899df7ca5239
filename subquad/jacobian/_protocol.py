"""What a Jacobian can be asked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, runtime_checkable

import numpy as np

if TYPE_CHECKING:
    from typing import Any

    from numpy.typing import ArrayLike, NDArray

    from subquad._typing import FloatArray, IndexArray


@runtime_checkable
class Jacobian(Protocol):
    """J of n outputs with respect to the weights of one or several layers, never formed.

    Row i belongs to data point i. With w the weights as one long vector, J_ip = d f_i / d w_p and
    G = J J^T, an object with these members is a Jacobian to every solver of the package; it need
    not be a subclass of anything.

    Attributes
    ----------
    n : int
        Rows.
    shape : tuple
        (n, number of weights).
    dtype : numpy.dtype
        Of the factors, and of what `matvec`, `adjoint` and `sketch` return. Gram matrices and
        their products are float64 whatever it is, summed in float64.

    Notes
    -----
    =====================  =========================================================
    ``matvec(X)``          out_i = sum_p J_ip X_p, for X in the shape of the weights
    ``adjoint(g)``         sum_i g_i J_ip, as a pair (A, B) that stands for A^T B
    ``gram(other=None)``   out_ij = sum_p J_ip J_jp, or sum_p J_ip other_jp
    ``product(g)``         out_i = sum_j G_ij g_j, for g (n,)
    ``diagonal()``         out_i = G_ii
    ``columns(points)``    out_ik = G_(i, points_k), for an array of indices
    ``sketch(S)``          out_ir = sum_p S_rp J_ip, shape (n, S.sketch_size)
    =====================  =========================================================

    The solvers also use, where an implementation has them: `forms_gram` (False where G must not be
    formed), `gram_seconds()` (a forecast of what forming it takes), `draw_sketch(sketch_size, rng)`
    (a sketch that `sketch` takes: a TensorSketch unless a third argument asks for a "TensorSRHT")
    and `sketched_gram(S)` (the Gram matrix of `sketch(S)`, at less cost). The methods "sketch" and
    "pcg" with a sketch need `draw_sketch`.
    """

    @property
    def n(self) -> int:
        """Rows."""

    @property
    def shape(self) -> tuple[int, ...]:
        """(n, number of weights)."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of the factors."""

    def matvec(self, X: Any) -> FloatArray:
        """Return J X, shape (n,)."""

    def adjoint(self, g: FloatArray) -> Any:
        """Return J^T g as a pair of factors."""

    def gram(self, other: Jacobian | None = None) -> NDArray[np.float64]:
        """Return J J^T, or J other^T, in float64."""

    def product(self, g: FloatArray) -> NDArray[np.float64]:
        """Return J J^T g, shape (n,), in float64."""

    def diagonal(self) -> NDArray[np.float64]:
        """Return the diagonal of J J^T, shape (n,), in float64."""

    def columns(self, points: IndexArray) -> NDArray[np.float64]:
        """Return columns of J J^T, shape (n, len(points)), in float64."""

    def sketch(self, S: Any) -> FloatArray:
        """Return J S^T, shape (n, sketch_size)."""


class KeepsGram:
    """G formed at most once, for the methods that use it again: `_form` says how.

    Attributes
    ----------
    formed : bool
        Whether G is kept. `product` then uses it.
    forms_gram : bool
        Whether it may be formed: False where memory must stay linear in n.
    """

    forms_gram = True
    _G = None

    @property
    def formed(self) -> bool:
        """Whether G is kept."""
        return self._G is not None

    def product(self, g: ArrayLike) -> NDArray[np.float64]:
        """Return G g."""
        return self._times(g)

    def _times(self, g):
        """Trusted twin of `product`."""
        return self._product(g) if self._G is None else self._G @ g

    def _own_gram(self):
        """Return G, an array of the caller's own."""
        return self._form() if self._G is None else self._G.copy()

    def _kept_gram(self):
        """Return G, kept: not to be written to."""
        if self._G is None:
            self._G = self._form()
        return self._G


def gram_from(J, other):
    """Return J other^T as `other` knows to make it of J, or None where that is for J to know.

    So `J.gram(other)` takes kinds that are defined after that of J.
    """
    return other._gram_from(J) if hasattr(other, "_gram_from") else None


def kept_gram(J: Jacobian) -> NDArray[np.float64]:
    """Return G of any Jacobian, for reading; one of the package's own keeps it."""
    return J._kept_gram() if isinstance(J, KeepsGram) else J.gram()


def gram_times(J: Jacobian, g: ArrayLike) -> NDArray[np.float64]:
    """Return G g of any Jacobian for a trusted g; one of the package's own checks nothing."""
    return J._times(g) if isinstance(J, KeepsGram) else J.product(g)


def sketched_gram(J: Jacobian, S: Any) -> NDArray[np.float64]:
    """Return (J S^T)(J S^T)^T in float64, an array of the caller's own, for any Jacobian."""
    if hasattr(J, "sketched_gram"):
        return J.sketched_gram(S)
    rows = np.asarray(J.sketch(S), np.float64)
    return rows @ rows.T
