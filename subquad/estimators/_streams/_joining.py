"""How rows join those that a model has solved for, without a fit of all of them.

Rows stay in the order in which they came, equal ones apart: with mu > 0 that is the same
least-squares problem as with equal ones merged. A model that was saved, or was just fitted, has no
factor: it is then made of the same rows in the same chunks, so that it has the same bits.
"""

from dataclasses import dataclass

import numpy as np
import scipy.sparse

from subquad._parallel import blocks
from subquad._validation import require_memory
from subquad.estimators._many_rows import solver_for
from subquad.solvers import merge_repeats
from subquad.solvers.bordered import ROWS_AT_A_TIME, BorderedCholesky


@dataclass(frozen=True)
class Joined:
    """All rows of a model after a chunk, and what each of their observations is.

    Attributes
    ----------
    kept : ndarray of intp
        Which of the rows of X are new, and have a weight.
    n_before : int
        Distinct rows that were solved for before.
    sizes : list of int
        How many rows each chunk had since the last fit of all.
    places, weights, targets : ndarray
        Of every observation so far, as `LinearisedModel` keeps them.
    means, totals, repeats
        The same merged, as `merge_repeats` returns them.
    """

    kept: np.ndarray
    n_before: int
    sizes: list
    places: np.ndarray
    weights: np.ndarray
    targets: np.ndarray
    means: np.ndarray
    totals: np.ndarray
    repeats: object

    @property
    def n(self):
        """Rows to solve for."""
        return self.n_before + len(self.kept)


def may_join(model, weights, stream):
    """Return the new rows that have a weight, or None where the model must be fitted anew."""
    seen, n_before = vars(model).get("_observations"), len(stream["weights"])
    kept = n_before + np.flatnonzero(weights[n_before:] > 0)
    fits = (
        seen is not None
        and "sizes" in stream
        and bool(model.regularization_)
        and model.solver in ("auto", "exact")
        and np.array_equal(seen["weights"], weights[:n_before])
    )
    if not fits:
        return None
    n_before = int(seen["places"].max()) + 1
    room = solver_for(model.solver, n_before + len(kept)) != "nystrom"
    return kept if room and sum(stream["sizes"]) < n_before else None


def joined(model, kept, weights, targets, stream):
    """Return the `Joined` observations; `targets` (n_new, C) are of the new rows of any weight."""
    seen, n_before = model._observations, len(stream["weights"])
    n = int(seen["places"].max()) + 1
    places = np.concatenate([seen["places"], np.full(len(weights) - n_before, -1)])
    places[kept] = n + np.arange(len(kept))
    targets = np.concatenate([seen["targets"], targets])
    present = places >= 0
    merged = merge_repeats(places[present], targets[present], weights[present])
    sizes = [*stream["sizes"], len(kept)]
    return Joined(kept, n, sizes, places, weights, targets, *merged)


def solved(rows, mu, stream, outputs, grams):
    """Return the `BorderedCholesky` of each slice of outputs, or None where one is singular.

    `grams(some)` yields for each of them G between a slice of the rows and those before, and within
    the slice.
    """
    n_bytes = 4 * len(outputs) * rows.n**2 + 32 * ROWS_AT_A_TIME * rows.n
    require_memory(n_bytes, f"The factor of {rows.n} rows", "Take fewer rows.")
    factors, sizes = getattr(stream, "solved", None), [len(rows.kept)]
    if factors is None or factors[0].n != rows.n_before or factors[0].damping != mu:
        widths = [rows.means[:, c].shape[1] for c in outputs]
        factors = [BorderedCholesky(mu, width) for width in widths]
        sizes = [rows.n - sum(rows.sizes), *rows.sizes]
    first = 0 if len(sizes) > 1 else rows.n_before
    try:
        for size in sizes:
            for part in blocks(size, ROWS_AT_A_TIME):
                some = slice(first + part.start, first + part.stop)
                every = zip(factors, outputs, grams(some), strict=True)
                factors = [
                    factor.joined(*pair, rows.means[some, c], rows.totals[some])
                    for factor, c, pair in every
                ]
            first += size
    except np.linalg.LinAlgError:
        return None
    return factors


def stacked(first, second):
    """Return the rows of two arrays, dense or in CSR."""
    if scipy.sparse.issparse(first):
        return scipy.sparse.csr_array(scipy.sparse.vstack([first, second], format="csr"))
    return np.concatenate([first, second])
