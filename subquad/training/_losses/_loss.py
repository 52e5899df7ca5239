"""What the losses share: their border, behind which each knows its formulas."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from subquad._validation import as_array, require_finite, require_in_range

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray


class Loss:
    """A loss l(f, y) of one output f and its target y, convex in f.

    Attributes
    ----------
    name : str
        What trainers call it in `loss=`.
    lipschitz : float
        The least L with |l(f, y) - l(f', y)| <= L |f - f'| for all f, f' and y; inf if there is
        none. For C outputs, whose losses are added, sqrt(C) L in the Euclidean norm.
    curvature : float
        Largest second derivative in f; inf for a loss with kinks.
    """

    name = ""
    lipschitz = curvature = np.inf

    def value(self, f: ArrayLike, y: ArrayLike) -> NDArray[np.float64]:
        """Return l(f, y), entry by entry.

        Parameters
        ----------
        f : array_like
            Outputs, finite.
        y : array_like, of the same shape
            Targets.

        Returns
        -------
        ndarray of float64, of the same shape

        Raises
        ------
        TypeError, ValueError
            If the arrays are of different shapes or not finite, if the loss does not admit y, or if
            a value overflows.
        """
        f, y = self._checked(f, y)
        with np.errstate(over="ignore"):
            return require_in_range(self._value(f, y), "f and y", "the loss")

    def derivative(self, f: ArrayLike, y: ArrayLike) -> NDArray[np.float64]:
        """Return d l / d f, entry by entry; a subgradient where there is a kink.

        Parameters
        ----------
        f : array_like
            Outputs, finite.
        y : array_like, of the same shape
            Targets.

        Returns
        -------
        ndarray of float64, of the same shape

        Raises
        ------
        TypeError, ValueError
            As `value`.
        """
        f, y = self._checked(f, y)
        with np.errstate(over="ignore"):
            return require_in_range(self._derivative(f, y), "f and y", "the derivative")

    def second_derivative(self, f: ArrayLike, y: ArrayLike) -> NDArray[np.float64]:
        """Return d^2 l / d f^2, entry by entry; 0 at a kink of the loss.

        Parameters
        ----------
        f : array_like
            Outputs, finite.
        y : array_like, of the same shape
            Targets.

        Returns
        -------
        ndarray of float64, of the same shape
            At least 0, and at most `curvature`.

        Raises
        ------
        TypeError, ValueError
            As `value`.
        """
        f, y = self._checked(f, y)
        return self._second_derivative(f, y)

    def _checked(self, f, y):
        """Return f and y in trusted form."""
        f = as_array(f, "f", np.float64)
        require_finite(f, "f")
        y = as_array(self._numbers(y), "y", np.float64)
        if y.shape != f.shape:
            raise ValueError(f"y must have shape {f.shape}, as f; got {y.shape}.")
        require_finite(y, "y")
        return f, self._admitted(y)

    def _numbers(self, y):
        """Return y in floating point, where its type may be another."""
        return y

    def _admitted(self, y):
        """Return finite float64 targets as the formulas take them, or raise ValueError."""
        return y

    def _value(self, f, y):
        """Trusted twin of `value`."""
        raise NotImplementedError

    def _derivative(self, f, y):
        """Trusted twin of `derivative`."""
        raise NotImplementedError

    def _second_derivative(self, f, y):
        """Trusted twin of `second_derivative`."""
        return np.zeros_like(f)

    def _safe_curvature(self, f, y):
        """Return positive curvatures, with which a step of l' / h does not go too far.

        At least the second derivative. Where that vanishes far from the minimum, it is the
        curvature of the parabola above l that touches it at f.
        """
        return self._second_derivative(f, y)

    def __repr__(self) -> str:
        """Name of the class, with its parameters."""
        return f"{type(self).__name__}()"
