"""Eigenvalues of a kernel, and the widths that follow from the smallest of them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from subquad._validation import as_gram, integer, real
from subquad.activations import ReLU

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from subquad.activations import ThresholdActivation


# So many neurons must fire at a point for a network to come near its limit.
_FEWEST_ACTIVE = 16
# The law in `required_width` has this constant.
_RATIO = 0.16
# The fourth power of a ratio of n to a smaller eigenvalue than n times this may overflow.
_LEAST_EIGENVALUE = 1e-75


@dataclass(frozen=True)
class Spectrum:
    """Eigenvalues of a kernel.

    Attributes
    ----------
    eigenvalues : ndarray of float64, shape (n,)
        From the largest to the smallest.
    """

    eigenvalues: NDArray[np.float64]

    @property
    def smallest(self) -> float:
        """The smallest eigenvalue; negative where rounding has made the kernel indefinite."""
        return float(self.eigenvalues[-1])

    @property
    def largest(self) -> float:
        """The largest eigenvalue."""
        return float(self.eigenvalues[0])

    @property
    def condition(self) -> float:
        """lambda_max / lambda_min; infinite for a kernel that is not positive definite."""
        return self.largest / self.smallest if self.smallest > 0 else math.inf

    @property
    def effective_rank(self) -> float:
        """(sum lambda)^2 / sum lambda^2: the number of equal eigenvalues that would give it."""
        scaled = np.maximum(self.eigenvalues, 0.0) / (self.largest or 1.0)
        return float(scaled.sum() ** 2 / np.square(scaled).sum()) if self.largest > 0 else 0.0

    def __repr__(self) -> str:
        return (
            f"Spectrum(n={len(self.eigenvalues)}, smallest={self.smallest:.3g}, "
            f"condition={self.condition:.3g}, effective_rank={self.effective_rank:.3g})"
        )


def spectrum(kernel: ArrayLike) -> Spectrum:
    """Return the `Spectrum` of a symmetric kernel.

    Parameters
    ----------
    kernel : array_like, shape (n, n)
        Only its lower half is read.

    Returns
    -------
    Spectrum

    Raises
    ------
    TypeError, ValueError
        If the kernel is not a finite square matrix.

    Notes
    -----
    4 n^3 / 3 operations. Eigenvalues below n * 2.2e-16 * lambda_max are noise.

    Examples
    --------
    >>> spectrum(np.diag([3.0, 1.0, 2.0]))
    Spectrum(n=3, smallest=1, condition=3, effective_rank=2.57)
    """
    kernel = as_gram(kernel, "kernel")
    if not np.isfinite(np.tril(kernel)).all():
        raise ValueError("kernel must be finite; got NaN or infinite entries.")
    return Spectrum(np.linalg.eigvalsh(kernel)[::-1].copy())


@dataclass(frozen=True)
class RequiredWidth:
    """Widths for training the last hidden layer by Gauss-Newton.

    Attributes
    ----------
    theory : float
        (n / lambda_min)^4 L: the width that [SZZ24], Definition F.20, takes for the proof that
        training converges, without its constant.
    theory_initialization : float
        (n / lambda_min)^2 L^2: the width in the statement of Theorem F.14. It covers Lemmas E.4 and
        E.5, by which the kernels at initialisation have at least 3/4 of the limit's smallest
        eigenvalue, and which ask for (n / lambda_min)^2 log(n / delta).
    firing : int
        16 / Q(b): at this width 16 neurons fire at a point on average.
    measured : int
        The width at which residuals were seen to fall to a third or less in every step.
    """

    theory: float
    theory_initialization: float
    firing: int
    measured: int


def required_width(
    kernel: Spectrum | ArrayLike, depth: int, activation: ThresholdActivation | None = None
) -> RequiredWidth:
    """Return the widths that theory asks for and that measurements suggest.

    Parameters
    ----------
    kernel : Spectrum or array_like, shape (n, n)
        `last_layer_ntk` of the points.
    depth : int
        L.
    activation : activation of subquad, optional
        ReLU by default.

    Returns
    -------
    RequiredWidth

    Raises
    ------
    TypeError, ValueError
        If an argument is not as described, or the kernel is not positive definite: no width helps.

    Notes
    -----
    [SZZ24] asks for different powers: its Theorem F.14 states n^2, and its proof takes n^4 from
    Definition F.20.

    `measured` equals `firing` for shifts of 1 and more, where all of 128 fits of 64 points
    converged. For smaller shifts the first step leaves 0.16 n^0.35 / (m^0.38 sqrt(lambda_min)) of
    the residual, by a law fitted to 317 fits; `measured` is the width at which that is 1/3, or
    `firing` if that is larger. Expect it to be right within a factor of about 4.

    Examples
    --------
    >>> required_width(np.eye(64) / 2, depth=2).firing
    32
    """
    values = kernel if isinstance(kernel, Spectrum) else spectrum(kernel)
    depth, activation = integer(depth, "depth"), ReLU() if activation is None else activation
    real(getattr(activation, "shift", None), "activation.shift", minimum=0.0)
    n, smallest = len(values.eigenvalues), values.smallest
    if smallest <= n * np.finfo(np.float64).eps * values.largest:
        raise ValueError(
            f"kernel must be positive definite; got the smallest eigenvalue {smallest:.3g}. "
            "Points may be repeated, which no width tells apart."
        )
    if smallest < n * _LEAST_EIGENVALUE:
        raise ValueError(
            f"kernel must have no eigenvalue below {n * _LEAST_EIGENVALUE:.0e}, whose fourth power "
            f"is a width that no float holds; got {smallest:.3g}. Scale the points up."
        )
    firing = math.ceil(_FEWEST_ACTIVE / activation.firing_probability)
    measured = firing
    if activation.shift < 1:
        ratio = _RATIO * n**0.35 / math.sqrt(smallest)
        measured = max(firing, math.ceil((3 * ratio) ** (1 / 0.38)))
    return RequiredWidth(
        (n / smallest) ** 4 * depth, (n / smallest) ** 2 * depth**2, firing, measured
    )
