"""Pictures of fits and kernels, axes in, axes out: ``pip install "subquad[plot]"``.

    residuals            relative residual after every step
    active_fraction      fraction of the neurons that fire, before every step
    spectrum             eigenvalues of a kernel
    kernel_convergence   error of finite-width kernels, beside the m^-1/2 law

Matplotlib is imported by the first picture.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np

from subquad._validation import as_gram, as_matrix, as_vector, even_array

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from numpy.typing import ArrayLike

    from subquad.ntk import Spectrum
    from subquad.training import StepRecord


__all__ = ["active_fraction", "kernel_convergence", "residuals", "spectrum"]


def residuals(history: Sequence[StepRecord], ax: Axes | None = None) -> Axes:
    """Draw the relative residual ``|r_t| / |r_0|`` after every step, on a logarithmic scale.

    Parameters
    ----------
    history : sequence of StepRecord
        ``history`` of a trainer or ``history_`` of an estimator.
    ax : matplotlib Axes, optional
        Where to draw; a new figure by default.

    Returns
    -------
    matplotlib Axes

    Raises
    ------
    ValueError
        If the history holds no step.
    ImportError
        If matplotlib is not installed.

    Notes
    -----
    The dashed line falls by 1/3 a step, the rate that [SZZ24] proves for wide enough networks
    without regularisation. A regularised fit rightly ends above zero.

    Examples
    --------
    >>> from types import SimpleNamespace as Step
    >>> history = [Step(step=1, relative_residual=0.2), Step(step=2, relative_residual=0.03)]
    >>> axes = residuals(history)
    >>> axes.get_xlabel(), axes.get_yscale()
    ('step', 'log')
    """
    records = _steps(history)
    ax = _new_axes("residuals") if ax is None else ax
    steps = [0, *(record.step for record in records)]
    ax.plot(steps, [1.0, *(record.relative_residual for record in records)], marker="o")
    ax.plot(steps, [3.0**-step for step in steps], "--", color="gray", label="1/3 a step [SZZ24]")
    ax.set(xlabel="step", ylabel="relative residual $|r_t| / |r_0|$", yscale="log")
    ax.xaxis.get_major_locator().set_params(integer=True)
    ax.legend()
    return ax


def spectrum(kernel_or_eigenvalues: ArrayLike, ax: Axes | None = None) -> Spectrum:
    """Draw eigenvalues from the largest down, on a logarithmic scale.

    Parameters
    ----------
    kernel_or_eigenvalues : array_like, shape (n, n) or (n,)
        A symmetric kernel matrix, of which only the lower half is read, or its eigenvalues.
    ax : matplotlib Axes, optional
        Where to draw; a new figure by default.

    Returns
    -------
    matplotlib Axes

    Raises
    ------
    TypeError, ValueError
        If the argument has another shape, is not finite, or has no positive eigenvalue.
    ImportError
        If matplotlib is not installed.

    Notes
    -----
    O(n^3) operations for a matrix. Eigenvalues that are not positive cannot be drawn: the legend
    counts them. The dotted line is where rounding hides an eigenvalue, n eps lambda_max in the
    precision of the argument.

    Examples
    --------
    >>> axes = spectrum(np.diag([1.0, 3.0]))
    >>> axes.get_lines()[0].get_ydata()
    array([3., 1.])
    """
    kernel_or_eigenvalues = even_array(kernel_or_eigenvalues, "kernel_or_eigenvalues")
    if kernel_or_eigenvalues.ndim == 2:
        kernel = as_gram(kernel_or_eigenvalues, "kernel_or_eigenvalues")
        if not np.isfinite(np.tril(kernel)).all():
            raise ValueError("kernel_or_eigenvalues must be finite; got NaN or infinite entries.")
        values = np.linalg.eigvalsh(kernel)
    else:
        values = as_vector(kernel_or_eigenvalues, "kernel_or_eigenvalues", dtype=np.float64)
    values = np.sort(values)[::-1]
    positive = values[values > 0]
    if positive.size == 0:
        raise ValueError("kernel_or_eigenvalues must have a positive eigenvalue; got none.")
    hidden = values.size - positive.size
    ax = _new_axes("spectrum") if ax is None else ax
    label = f"{hidden} of {values.size} not positive" if hidden else None
    ax.plot(np.arange(1, positive.size + 1), positive, marker=".", label=label)
    kind = kernel_or_eigenvalues.dtype
    eps = np.finfo(kind if kind.kind == "f" else np.float64).eps
    ax.axhline(values.size * eps * values[0], linestyle=":", color="gray", linewidth=1)
    ax.set(xlabel="index", ylabel=r"eigenvalue $\lambda_i$", yscale="log")
    if hidden:
        ax.legend()
    return ax


def kernel_convergence(widths: ArrayLike, errors: ArrayLike, ax: Axes | None = None) -> Axes:
    """Draw the error of finite-width kernels against the width, beside the m^-1/2 law.

    Parameters
    ----------
    widths : array_like, shape (n_widths,)
        Positive.
    errors : array_like, shape (n_widths,) or (n_widths, n_draws)
        Relative errors against the limit; of several draws the medians are joined, and the draws
        are points.
    ax : matplotlib Axes, optional
        Where to draw; a new figure by default.

    Returns
    -------
    matplotlib Axes

    Raises
    ------
    TypeError, ValueError
        If the arrays do not have these shapes or hold anything but positive numbers.
    ImportError
        If matplotlib is not installed.

    Notes
    -----
    A mean over m neurons errs by m^-1/2 times a constant. The dashed line has this slope, and the
    constant of least squares in the logarithms of the medians.

    Examples
    --------
    >>> axes = kernel_convergence([64, 256], [0.2, 0.1])
    >>> axes.get_lines()[-1].get_ydata().round(12)
    array([0.2, 0.1])
    """
    widths = as_vector(_reals(widths, "widths"), "widths", dtype=np.float64)
    errors = _reals(errors, "errors")
    errors = as_matrix(
        errors[:, None] if errors.ndim == 1 else errors,
        "errors",
        n_rows=widths.size,
        dtype=np.float64,
    )
    for name, values in (("widths", widths), ("errors", errors)):
        if values.min() <= 0:
            raise ValueError(f"{name} must be positive; got {values.min()}.")
    order = np.argsort(widths)
    widths, errors = widths[order], errors[order]
    medians = np.median(errors, axis=1)
    constant = np.exp(np.mean(np.log(medians) + np.log(widths) / 2))
    ax = _new_axes("kernel_convergence") if ax is None else ax
    (line,) = ax.plot(widths, medians, marker="o", label="measured")
    if errors.shape[1] > 1:
        ax.plot(widths, errors, ".", color=line.get_color(), alpha=0.4)
    ax.plot(widths, constant / np.sqrt(widths), "--", color="gray", label="$m^{-1/2}$")
    ax.set(xlabel="width $m$", ylabel="relative error of the kernel", xscale="log", yscale="log")
    ax.legend()
    return ax


def active_fraction(history: Sequence[StepRecord], ax: Axes | None = None) -> Axes:
    """Draw the fraction of the neurons that fire, before every step.

    Parameters
    ----------
    history : sequence of StepRecord
        ``history`` of a trainer or ``history_`` of an estimator.
    ax : matplotlib Axes, optional
        Where to draw; a new figure by default.

    Returns
    -------
    matplotlib Axes

    Raises
    ------
    ValueError
        If the history holds no step.
    ImportError
        If matplotlib is not installed.

    Notes
    -----
    At initialisation it is Q(b) = P(N(0, 1) > b). The linearisation is trusted as long as it
    stays near that: each flip of a neuron is an error of the linear model.

    Examples
    --------
    >>> from types import SimpleNamespace as Step
    >>> history = [Step(step=1, active_fraction=0.5), Step(step=2, active_fraction=0.48)]
    >>> active_fraction(history).get_lines()[0].get_ydata()
    array([0.5 , 0.48])
    """
    records = _steps(history)
    ax = _new_axes("active_fraction") if ax is None else ax
    # A step's record counts before the step: what step 1 starts from is drawn at 0.
    ax.plot([r.step - 1 for r in records], [r.active_fraction for r in records], marker="o")
    ax.set(xlabel="step", ylabel="fraction of neurons that fire")
    ax.set_ylim(bottom=0.0)
    ax.xaxis.get_major_locator().set_params(integer=True)
    return ax


def _reals(x, name):
    """An array of numbers, integers as float64."""
    x = even_array(x, name)
    return x.astype(np.float64) if x.dtype.kind in "iu" else x


def _steps(history):
    """The records of a history that is not empty."""
    if not isinstance(history, Iterable) or isinstance(history, (str, bytes)):
        raise TypeError(f"history must be a sequence of records; got {type(history).__name__}.")
    records = list(history)
    if not records:
        raise ValueError("history must hold at least one step; got none.")
    for record in records:
        if not hasattr(record, "step"):
            raise TypeError(f"history must hold records of steps; got {type(record).__name__}.")
    return records


def _new_axes(name):
    """Axes of a new pyplot figure, so that a notebook shows it."""
    try:
        from matplotlib import pyplot
    except ImportError as error:
        raise ImportError(
            f'{name} needs matplotlib. Install it with: pip install "subquad[plot]"'
        ) from error
    return pyplot.subplots()[1]
