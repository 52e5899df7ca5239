"""Jacobians made of others: rows scaled, layers added."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from subquad._validation import as_positions, as_vector, generator
from subquad.jacobian._protocol import (
    Jacobian,
    KeepsGram,
    gram_from,
    gram_times,
    kept_gram,
    sketched_gram,
)

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any, Literal

    from numpy.typing import ArrayLike, NDArray

    from subquad._typing import FloatArray


class ScaledRows:
    """diag(roots) J: how sample weights enter, with roots = W^1/2.

    Products with the roots are float64, whatever the dtype of J, which is the `dtype` here.

    Parameters
    ----------
    J : Jacobian
    roots : array_like, shape (n,)

    Raises
    ------
    TypeError, ValueError
        If the roots are not a finite real vector of n entries.
    """

    def __init__(self, J: Jacobian, roots: ArrayLike) -> None:
        self._J, self._roots = J, as_vector(roots, "roots", size=J.n, dtype=np.float64)
        self.n, self.shape, self.dtype = J.n, J.shape, J.dtype

    def __getattr__(self, name):
        return getattr(self._J, name)

    def matvec(self, X: Any) -> FloatArray:
        """Return diag(roots) J X."""
        return self._roots * self._J.matvec(X)

    def adjoint(self, g: ArrayLike) -> Any:
        """Return (diag(roots) J)^T g."""
        return self._J.adjoint(self._roots * self._as_vector(g))

    def gram(self, other: Jacobian | None = None) -> NDArray[np.float64]:
        """Return diag(roots) G diag(roots), or diag(roots) J other^T."""
        if isinstance(other, ScaledRows):
            return self._roots[:, None] * gram_from(self._J, other)
        if other is not None:
            return self._roots[:, None] * self._J.gram(other)
        return self._roots[:, None] * kept_gram(self._J) * self._roots

    def _gram_from(self, J):
        """J (diag(roots) self)^T."""
        return J.gram(self._J) * self._roots

    def product(self, g: ArrayLike) -> NDArray[np.float64]:
        """Return diag(roots) G diag(roots) g."""
        return self._roots * gram_times(self._J, self._roots * self._as_vector(g))

    def diagonal(self) -> NDArray[np.float64]:
        """Return its diagonal."""
        return self._roots**2 * self._J.diagonal()

    def columns(self, points: ArrayLike) -> NDArray[np.float64]:
        """Return columns of it."""
        points = as_positions(points, "points", self.n)
        return self._roots[:, None] * self._J.columns(points) * self._roots[points]

    def sketch(self, S: Any) -> FloatArray:
        """Return diag(roots) J S^T: a sketch mixes columns, weights scale rows."""
        return self._roots[:, None] * self._J.sketch(S)

    def sketched_gram(self, S: Any) -> NDArray[np.float64]:
        """Return the Gram matrix of that."""
        return self._roots[:, None] * sketched_gram(self._J, S) * self._roots

    def _as_vector(self, g):
        return as_vector(g, "g", size=self.n, dtype=np.float64)


class JacobianSum(KeepsGram):
    """J = [J_1, ..., J_L]: the same outputs with respect to several layers, whose Grams add.

    Parameters
    ----------
    parts : sequence of Jacobian
        One per layer, all of n rows.

    Attributes
    ----------
    parts : tuple of Jacobian
    n : int
    shape : tuple
        (n, number of weights of all layers).
    dtype : numpy.dtype
        The widest of the parts'.

    Raises
    ------
    TypeError, ValueError
        If there is no part, a part is no Jacobian, or their rows differ in number.

    Notes
    -----
    [SZZ24], Remark C.6: G = sum_l (U_l U_l^T) o (V_l V_l^T).

    Examples
    --------
    >>> from subquad.jacobian import KhatriRao
    >>> first = KhatriRao(np.array([[1.0, 2.0]]), np.array([[3.0]]))
    >>> second = KhatriRao(np.array([[1.0]]), np.array([[2.0, 1.0]]))
    >>> J = JacobianSum([first, second])
    >>> J.shape, J.gram()
    ((1, 4), array([[50.]]))
    """

    def __init__(self, parts: Sequence[Jacobian]) -> None:
        try:
            self.parts = tuple(parts)
        except TypeError:
            name = type(parts).__name__
            raise TypeError(f"parts must be a sequence of Jacobians; got {name}.") from None
        if not self.parts:
            raise ValueError("parts must hold at least one Jacobian; got none.")
        for k, part in enumerate(self.parts):
            if not isinstance(part, Jacobian):
                raise TypeError(f"parts[{k}] must be a Jacobian; got {type(part).__name__}.")
            if part.n != self.parts[0].n:
                raise ValueError(
                    f"parts[{k}] must have {self.parts[0].n} rows, as parts[0]; got {part.n}."
                )
        self.n = self.parts[0].n
        self.dtype = np.result_type(*(part.dtype for part in self.parts))

    @property
    def forms_gram(self) -> bool:
        """Whether no part must do without its Gram matrix."""
        return all(getattr(part, "forms_gram", True) for part in self.parts)

    @property
    def shape(self) -> tuple[int, int]:
        """(n, number of weights)."""
        return self.n, sum(part.shape[1] for part in self.parts)

    def __repr__(self) -> str:
        return f"JacobianSum({list(self.parts)})"

    def matvec(self, X: Any) -> FloatArray:
        """Return sum_l J_l X_l for a sequence X of one argument per layer."""
        return sum(part.matvec(x) for part, x in self._with(X, "X"))

    def adjoint(self, g: ArrayLike) -> list[Any]:
        """Return [J_l^T g], a pair of factors for each layer."""
        return [part.adjoint(g) for part in self.parts]

    def gram(self, other: Jacobian | None = None) -> NDArray[np.float64]:
        """Return sum_l J_l J_l^T, or sum_l J_l other_l^T for another JacobianSum, in float64.

        The layers of `other` may be of other kinds, grouped or not, and `other` may have weights.
        """
        if other is None:
            return self._own_gram()
        if isinstance(other, ScaledRows):
            return gram_from(self, other)
        if not isinstance(other, JacobianSum) or len(other.parts) != len(self.parts):
            raise TypeError(
                f"other must be a JacobianSum of {len(self.parts)} layers; got {other!r}."
            )
        return sum(part.gram(twin) for part, twin in zip(self.parts, other.parts, strict=True))

    def product(self, g: ArrayLike) -> NDArray[np.float64]:
        """Return G g, shape (n,)."""
        return self._times(as_vector(g, "g", size=self.n, dtype=np.float64))

    def diagonal(self) -> NDArray[np.float64]:
        """Return the diagonal of G."""
        return sum(part.diagonal() for part in self.parts)

    def columns(self, points: ArrayLike) -> NDArray[np.float64]:
        """Return columns of G, shape (n, len(points))."""
        return sum(part.columns(points) for part in self.parts)

    def sketch(self, S: Any) -> FloatArray:
        """Return sum_l J_l S_l^T for a sequence S of one sketch per layer.

        With independent sketches of mean (S_l x) . (S_l y) = x . y, the cross terms of layers
        cancel in the mean, so that the Gram matrix of the result is that of J in the mean.
        """
        return sum(part.sketch(s) for part, s in self._with(S, "S"))

    def draw_sketch(
        self,
        sketch_size: int,
        rng: int | np.random.Generator | None,
        kind: Literal["TensorSketch", "TensorSRHT"] = "TensorSketch",
    ) -> Any:
        """Return one sketch per layer, independent of each other, for `sketch`."""
        rng = generator(rng)
        if kind == "TensorSketch":  # which a layer of a user's own need not name
            return tuple(part.draw_sketch(sketch_size, rng) for part in self.parts)
        return tuple(part.draw_sketch(sketch_size, rng, kind) for part in self.parts)

    def _form(self):
        G = self.parts[0].gram()
        for part in self.parts[1:]:
            G += part.gram()
        return G

    def _product(self, g):
        return sum(gram_times(part, g) for part in self.parts)

    def _with(self, values, name):
        """Return the parts, each with its entry of a sequence."""
        if not isinstance(values, (tuple, list)):
            name_of = type(values).__name__
            raise TypeError(f"{name} must be a sequence with one entry per layer; got {name_of}.")
        if len(values) != len(self.parts):
            raise ValueError(
                f"{name} must have one entry for each of the {len(self.parts)} layers; "
                f"got {len(values)}."
            )
        return zip(self.parts, values, strict=True)
