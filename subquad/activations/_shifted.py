"""Shifted activations: the neurons that fire are few, and their number is known in advance.

An activation acts on pre-activations z = <w, h> with w ~ N(0, weight_std^2 I), so that z has
standard deviation weight_std * ||h||. It compares z with a threshold tau, `shift` b of these
standard deviations away from zero: a neuron fires with probability Q(b) = P(N(0, 1) > b). The
scale s = sqrt(c) keeps norms: for weight_std^2 = 2 / width, E ||phi(W h)||^2 = ||h||^2. What papers
print instead is there by name, `scaling`, and loses norms.

Rows of Z are data points. Arrays keep their dtype; thresholds are computed in float64.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np
from scipy import special

from subquad._validation import as_matrix, as_vector, integer, one_of, real, true_or_false

if TYPE_CHECKING:
    from typing import Any, Self

    from numpy.typing import ArrayLike, NDArray

    from subquad._typing import FloatArray


# No network that fits a computer has a neuron that fires at a larger shift: Q(8) = 6e-16.
_MAX_SHIFT = 8.0


class _Activation(ABC):
    """What the three activations share; a subclass adds `shift`, `relative` and its formula."""

    shift: float
    relative: bool
    scaling: str = "norm"  # of those that older versions pickled
    jumps: ClassVar[bool]
    _scalings: ClassVar[tuple[str, ...]]

    def __post_init__(self):
        """Refuse a shift for which no neuron would ever fire."""
        real(self.shift, "shift", minimum=0.0, maximum=_MAX_SHIFT)
        true_or_false(self.relative, "relative")
        one_of(self.scaling, "scaling", self._scalings)

    def __repr__(self) -> str:
        norm = self.scaling == "norm"
        shown = [f.name for f in fields(self) if f.repr and not (norm and f.name == "scaling")]
        values = ", ".join(f"{name}={getattr(self, name)!r}" for name in shown)
        return f"{type(self).__name__}({values})"

    @classmethod
    def for_sparsity(cls, alpha: float, width: int, **options: Any) -> Self:
        """Return the activation with shift b = sqrt(2 alpha log(width)).

        Parameters
        ----------
        alpha : float in [0, 1]
            Fewer than width**(1 - alpha) neurons fire on average.
        width : int
        **options
            The other fields of the class.

        Notes
        -----
        [SZZ24], Section 2. Their width**(1 - alpha) is only an upper bound on the expected
        width * Q(b), too large by a factor of about b * sqrt(2 pi): ask `expected_active`.

        Examples
        --------
        >>> phi = ShiftedReLU.for_sparsity(0.1, 8192)
        >>> round(phi.shift, 3), round(phi.expected_active(8192))
        (1.342, 735)
        """
        alpha = real(alpha, "alpha", minimum=0.0, maximum=1.0)
        return cls(math.sqrt(2 * alpha * math.log(integer(width, "width"))), **options)

    @property
    def firing_probability(self) -> float:
        """The probability Q(b) that a neuron fires at initialisation."""
        return float(special.ndtr(-self.shift))

    @property
    def norm_constant(self) -> float:
        """The constant c = 1 / (2 E[phi(z)^2 / s^2]) for a standard normal z and tau = b."""
        return 1 / (2 * self._second_moment())

    @property
    def scale(self) -> float:
        """The factor s: sqrt(c), which keeps norms, unless `scaling` says otherwise."""
        if self.scaling == "none":
            return 1.0
        return self.norm_constant ** (0.25 if self.scaling == "printed" else 0.5)

    def expected_active(self, width: int) -> float:
        """Return width * Q(b), the expected number of neurons that fire on one data point."""
        return integer(width, "width") * self.firing_probability

    def thresholds(self, input_norms: ArrayLike, weight_std: float) -> NDArray[np.float64]:
        """Return tau_i = weight_std * shift * ||h_i||, or weight_std * shift if not relative.

        Parameters
        ----------
        input_norms : array_like, shape (n,)
            Norms ||h_i|| of the layer's inputs.
        weight_std : float
            Standard deviation of the layer's initial weights.

        Returns
        -------
        ndarray of float64, shape (n,)
        """
        input_norms = as_vector(input_norms, "input_norms", dtype=np.float64)
        weight_std = real(weight_std, "weight_std", minimum=0.0, exclusive_minimum=True)
        norms = input_norms if self.relative else np.ones_like(input_norms)
        return weight_std * self.shift * norms

    def __call__(self, Z: ArrayLike, thresholds: ArrayLike) -> FloatArray:
        """Return phi(Z), row i against thresholds[i].

        Parameters
        ----------
        Z : array_like, shape (n, width)
        thresholds : array_like, shape (n,)

        Returns
        -------
        ndarray, shape (n, width), dtype of Z
        """
        return self._apply(*_checked(Z, thresholds))

    def derivative(self, Z: ArrayLike, thresholds: ArrayLike) -> FloatArray:
        """Return phi'(Z) = s * 1[Z > tau], 0 at the threshold; arguments as in a call.

        Where phi jumps, the jump is left out of the derivative.
        """
        return self._derivative(*_checked(Z, thresholds))

    def _derivative(self, Z, thresholds, out=None):
        """Trusted twin of `derivative`."""
        fired = Z > _column(thresholds, Z.dtype)
        return np.multiply(fired, Z.dtype.type(self.scale), out=out)

    @abstractmethod
    def _apply(self, Z, thresholds, out=None):
        """Trusted twin of a call; `out` may be Z."""

    @abstractmethod
    def _second_moment(self):
        """E[phi(z)^2] / s^2 for a standard normal z and tau = b."""


@dataclass(frozen=True, repr=False)
class ShiftedReLU(_Activation):
    """phi(z) = s * max(z - tau, 0): continuous, norm-preserving, sparse.

    Parameters
    ----------
    shift : float in [0, 8]
        b, in standard deviations of the pre-activations. A larger one is refused: fewer than one
        neuron in 10^15 would fire.
    relative : bool
        Whether the threshold follows the norm of the layer's input. A fixed threshold loses the
        norm after a few layers.
    scaling : {"norm", "none"}
        "norm": s = sqrt(c), which keeps norms. "none": s = 1, as [SZZ24], Section 2, prints it.

    Notes
    -----
    c = 1 / (2 ((1 + b^2) Q(b) - b pdf(b))). The bracket cancels for large b; it is evaluated as
    sqrt(2/pi) exp(-b^2/4) D_{-3}(b), with D the parabolic cylinder function, to a relative error
    below 1e-13 for every accepted shift.

    Departures: [SZZ24], Section 2, has s = 1 and a fixed threshold, with which the second hidden
    layer is dead at practical widths: ShiftedReLU(b, relative=False, scaling="none") in a
    `WideNetwork` with normalise=False. Their b is sqrt(2 / m) times the one here.

    Examples
    --------
    >>> phi = ShiftedReLU(1.0)
    >>> round(phi.norm_constant, 6)
    6.6366
    >>> phi(np.array([[0.5, 1.0, 2.0]]), phi.thresholds([1.0], weight_std=1.0)) / phi.scale
    array([[0., 0., 1.]])
    """

    shift: float = 1.0
    relative: bool = True
    scaling: Literal["norm", "none"] = "norm"
    jumps: ClassVar[bool] = False
    _scalings: ClassVar[tuple[str, ...]] = ("norm", "none")

    def _apply(self, Z, thresholds, out=None):
        out = np.subtract(Z, _column(thresholds, Z.dtype), out=out)
        np.maximum(out, 0, out=out)
        out *= self.scale
        return out

    def _second_moment(self):
        b = self.shift  # the integral of t^2 pdf(b + t) over t > 0: DLMF 12.5.1 with a = 5/2
        return math.sqrt(2 / math.pi) * math.exp(-b * b / 4) * float(special.pbdv(-3.0, b)[0])


@dataclass(frozen=True, repr=False)
class ReLU(ShiftedReLU):
    """phi(z) = max(z, 0): `ShiftedReLU` with shift 0, for which c = s = 1.

    Examples
    --------
    >>> ReLU()(np.array([[-1.0, 2.0]]), [0.0])
    array([[0., 2.]])
    """

    shift: float = field(default=0.0, init=False, repr=False)
    relative: bool = field(default=True, init=False, repr=False)
    scaling: str = field(default="norm", init=False, repr=False)

    @classmethod
    def for_sparsity(cls, alpha: float, width: int, **options: Any) -> Self:
        """Refuse to set a shift, which ReLU has not: the answer is always a TypeError."""
        raise TypeError("alpha must be given to an activation with a shift; got it for ReLU.")


@dataclass(frozen=True, repr=False)
class ThresholdedReLU(_Activation):
    """phi(z) = s * z * 1[z > tau]: the activation as printed, which jumps by s * tau.

    It is here for measuring the claim made for it. Each neuron that starts or stops firing moves
    the output by a jump no derivative sees, so Gauss-Newton loses its rate: with n = 64 points,
    width 1024, two layers and shift 1.5, each of ten runs on the sphere had a step that left
    more than half of the residual, where `ShiftedReLU` leaves less than a third at every step.
    Do not train with it.

    Parameters
    ----------
    shift, relative
        As in `ShiftedReLU`.
    scaling : {"norm", "printed", "none"}
        "norm": s = c^(1/2), as Lemma G.6 has it; "printed": s = c^(1/4), as Definition F.3 has it;
        "none": s = 1.

    Notes
    -----
    c = 1 / (2 (Q(b) + b pdf(b))): [SZZ24], Definition F.3 with the constant of Lemma G.6.

    Departures: Definition F.3 prints the constant with the power -1/2, and takes its root again;
    so printed, norms shrink from layer to layer. Both have a fixed threshold, relative=False here.

    Examples
    --------
    >>> phi = ThresholdedReLU(1.0)
    >>> phi(np.array([[0.5, 1.0, 2.0]]), phi.thresholds([1.0], weight_std=1.0)) / phi.scale
    array([[0., 0., 2.]])
    """

    shift: float = 1.0
    relative: bool = True
    scaling: Literal["norm", "printed", "none"] = "norm"
    jumps: ClassVar[bool] = True
    _scalings: ClassVar[tuple[str, ...]] = ("norm", "printed", "none")

    def _apply(self, Z, thresholds, out=None):
        out = np.multiply(Z, Z > _column(thresholds, Z.dtype), out=out)
        out *= self.scale
        return out

    def _second_moment(self):
        b = self.shift
        return self.firing_probability + b * math.exp(-b * b / 2) / math.sqrt(2 * math.pi)


def _checked(Z, thresholds):
    """Return Z and one threshold per row in trusted form."""
    Z = as_matrix(Z, "Z")
    return Z, as_vector(thresholds, "thresholds", size=Z.shape[0], dtype=np.float64)


def _column(thresholds, dtype):
    """Round the thresholds to the dtype of Z, as the kernels do, and lay them along its rows."""
    return thresholds.astype(dtype, copy=False)[:, None]
