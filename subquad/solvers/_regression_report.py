"""What the regression solvers say about their run."""

import numpy as np

from subquad.solvers._solution import Solution, in_units

# A residual of up to so many rounding floors is due to rounding.
FLOORS = 100.0
_EPS = np.finfo(np.float64).eps
_REMEDY = " Raise rtol or add damping; where y = A^T b, fast_least_squares(A, b) is more accurate."


def rounding_floor(system, M, progress):
    """What rounding x and the products can leave as residual, as `System.norm` measures it."""
    size = M.norm_estimate * float(np.linalg.norm(progress.x))
    if system.b is None:
        noise = M.norm_estimate * size + float(np.linalg.norm(system.y))
    else:
        noise = M.condition_estimate * progress.misfit + size + float(np.linalg.norm(system.b))
    return float(system.tall.eps * noise)


def report(name, system, outcome, scale, rtol, unit):
    """The Solution, with a sentence on how it was reached."""
    progress, M, verified, info = outcome
    k, divisor = M.n_columns, scale or 1.0
    floor = rounding_floor(system, M, progress)
    reached = progress.norm if verified else max(progress.norm, progress.full_norm)
    at_floor = verified and rtol * scale < reached <= FLOORS * floor
    info |= {
        "relative_residual": reached / divisor,
        "rank": M.rank,
        "inconsistent": progress.outside / divisor if system.b is None else 0.0,
        "condition_estimate": M.condition_estimate,
        "preconditioned_condition": progress.preconditioned_condition(),
        "at_rounding_floor": at_floor,
        "rounding_floor": floor / divisor,
    }
    if system.b is not None:
        info["misfit"] = unit * progress.misfit
    converged = reached <= rtol * scale or (at_floor and system.b is not None)
    message = _sentence(name, info, progress.n_iterations, converged, rtol)
    if M.rank < k:
        message += _rank_sentence(info, k, verified)
    solution = Solution(
        progress.x, progress.n_iterations, progress.full_norm, bool(converged), message, info
    )
    return in_units(solution, unit)


def _sentence(name, info, n_iterations, converged, rtol):
    """How it went."""
    relative = info["relative_residual"]
    if converged and not info["at_rounding_floor"]:
        return f"{name} reached relative residual {relative:.1e} in {n_iterations} iterations."
    start = (
        f"{name} stopped after {n_iterations} iterations at relative residual {relative:.1e}, "
        f"above rtol={rtol:.0e}."
    )
    if info["at_rounding_floor"]:
        return (
            f"{start} This is the rounding floor, about {info['rounding_floor']:.0e} as cond(A) is "
            f"about {info['condition_estimate']:.0e}.{'' if converged else _REMEDY}"
        )
    return (
        f"{start} The condition number of the preconditioned matrix is about "
        f"{info['preconditioned_condition']:.0e}: raise sketch_size or max_iterations, or try "
        "sketch='gaussian'."
    )


def _rank_sentence(info, k, verified):
    """What is to be known where the sketch has not full rank."""
    if not verified:
        return (
            f" The sketch has rank {info['rank']} of {k} although A has more: raise sketch_size or "
            "use another sketch."
        )
    tail = ""
    if info["inconsistent"] > FLOORS * _EPS:
        tail = f" A share of {info['inconsistent']:.1e} of y lies outside and stays as residual."
    return (
        f" A is rank-deficient ({info['rank']} of {k}): x is the solution of least norm in its row "
        f"space.{tail}"
    )
