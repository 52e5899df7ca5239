"""Solve the Gauss-Newton equation of a Jacobian with rank-one rows."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

import numpy as np

from subquad._parallel import resolve_threads
from subquad._validation import as_vector, integer, real
from subquad.jacobian import Jacobian, KeepsGram
from subquad.solvers.exact import sample_weights
from subquad.solvers.gram._auto import AutoSolver
from subquad.solvers.gram._common import tolerance
from subquad.solvers.gram._direct import ExactSolver, SketchSolver
from subquad.solvers.gram._pcg import PcgSolver
from subquad.solvers.gram.sizes import at_least_n

if TYPE_CHECKING:
    from typing import Literal

    from numpy.typing import ArrayLike

    from subquad.solvers._solution import Solution


_METHODS = ("auto", "exact", "sketch", "pcg")


def gram_solve(
    J: Jacobian,
    c: ArrayLike,
    method: Literal["auto", "exact", "sketch", "pcg"] = "auto",
    *,
    damping: float = 0.0,
    weights: ArrayLike | None = None,
    rtol: float = 1e-10,
    sketch_size: int | None = None,
    rng: int | np.random.Generator | None = None,
    verify: bool = True,
    n_threads: int | None = None,
) -> Solution:
    """Solve (J J^T + mu W^-1) x = c for J with rows vec(u_i v_i^T), or sums of these.

    Parameters
    ----------
    J : Jacobian
        n rows: a `KhatriRao`, a `JacobianSum`, or an object of your own that has the members of
        `subquad.jacobian.Jacobian`.
    c : array_like, shape (n,)
    method : {"auto", "exact", "sketch", "pcg"}
        "exact": form G = (U U^T) o (V V^T) and factor it. "sketch": the same with the Gram matrix
        of a TensorSketch of J. "pcg": conjugate gradients preconditioned by that. "auto": the
        cheaper of "exact" and "pcg" by forecast.
    damping : float, at least 0
        mu.
    weights : array_like, shape (n,), optional
        Sample weights w >= 0, the diagonal of W; 1 if not given. Where w_i = 0, x_i = 0 and
        equation i is dropped.
    rtol : float in (0, 1]
        Relative residual to reach, and to call converged. What float64 can reach is about
        2e-16 times the condition number.
    sketch_size : int, optional
        At least n; 4 n by default for "pcg" and 16 n for "sketch". "exact" uses none.
    rng : int, numpy.random.Generator or None
        Draws the sketch.
    verify : bool
        False leaves out the true residual of "sketch", which then is NaN: where U and V are both
        wide, it takes G itself, and so more time than the solution.
    n_threads : int or None
        Threads of the sketch; BLAS keeps its own.

    Returns
    -------
    Solution
        `residual_norm` is that of the true system; with weights, of its symmetric form
        (W^1/2 G W^1/2 + mu I) h = W^1/2 c, where x = W^1/2 h. `info` has the method, its sketch
        size, an estimate of the condition number of G + mu I, and for "auto" the forecast in
        seconds. Where G is numerically singular, x solves the part of the system in its range,
        `converged` says whether that is all of c, and the message says so.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as described.
    MemoryError
        If the arrays of the method do not fit.

    Notes
    -----
    ============  =====================================================================
    "exact"       n^2 (m_u + m_v) + n^3 / 3 operations
    "sketch"      nnz(U) + nnz(V) + n s log s + n^2 s + n^3 / 3
    "pcg"         the same, and 4 nnz(U) m_v or 2 n^2 (G formed) in each iteration
    ============  =====================================================================

    The relative residual of "sketch" is about eps sqrt(kappa), with eps = (1 + sqrt(n/s))^2 - 1:
    [SZZ24], Theorem D.10, omits the factor sqrt(kappa). "pcg" iterates 20 to 45 times at s = 4 n,
    whatever kappa. Above 2048 points without a sketch_size, "pcg" is preconditioned by 512
    columns of G instead, and needs memory linear in n only.

    [BPSW21], Algorithm 2, has gradient descent in place of conjugate gradients: it diverges for
    s < 39 n.

    Examples
    --------
    >>> from subquad.jacobian import KhatriRao
    >>> rng = np.random.default_rng(0)
    >>> J = KhatriRao(rng.standard_normal((5, 40)), rng.standard_normal((5, 30)))
    >>> solution = gram_solve(J, np.ones(5), "pcg", rng=0)
    >>> solution.converged, np.allclose(J.gram() @ solution.x, 1)
    (True, True)
    """
    if isinstance(J, type) or not isinstance(J, Jacobian):
        raise TypeError(f"J must be a Jacobian, such as KhatriRao; got {type(J).__name__}.")
    if not isinstance(method, str) or method not in _METHODS:
        raise ValueError(f"method must be 'auto', 'exact', 'sketch' or 'pcg'; got {method!r}.")
    c = as_vector(c, "c", size=J.n, dtype=np.float64)
    if weights is not None:
        weights = sample_weights(weights, J.n)
    damping, rtol = real(damping, "damping", minimum=0.0), tolerance(rtol)
    if sketch_size is not None:
        sketch_size = integer(sketch_size, "sketch_size")
        at_least_n(sketch_size, J.n, sketched=method == "sketch")
    n_threads = resolve_threads(n_threads)
    solver = {
        "auto": lambda: AutoSolver(sketch_size, rng=rng, rtol=rtol),
        "exact": lambda: ExactSolver(rtol=rtol),
        "sketch": lambda: SketchSolver(sketch_size, rng=rng, rtol=rtol, verify=verify),
        "pcg": lambda: PcgSolver(sketch_size, rng=rng, rtol=rtol),
    }[method]()
    if isinstance(J, KeepsGram):  # G is kept with a copy, which ends with this call
        J = copy.copy(J)
        J._n_threads = n_threads
    return solver.solve(J, c, damping, weights)
