"""Kernels of trusted points: the products of panels of rows, then the profile of each."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from subquad._kernels import dual_activation
from subquad._parallel import blocks, resolve_threads, worth_threads
from subquad._validation import require_memory
from subquad.ntk._dual import as_dual
from subquad.ntk._pairs import fill_pairs
from subquad.ntk._points import as_points
from subquad.ntk._profile import ANGLE, profiles, require_firing, require_range

if TYPE_CHECKING:
    from subquad._typing import FloatArray
    from subquad.ntk._dual import DualLike


# One call of BLAS makes at most so many multiply-adds: 0.4 s of one thread in float32, 0.8 s in
# float64.
_MULTIPLY_ADDS_PER_CALL = 3e10
# One call of the compiled kernel fills at most so many entries, in a few tenths of a second.
_ENTRIES_PER_CALL = 5e7
# The compiled kernel starts a thread for each so many entries, which take about 0.5 ms.
_ENTRIES_PER_THREAD = 200_000
# A square matrix is filled in so many panels of rows: of its product, 1 / 16 is then made in vain.
_PANELS = 8
_FEWEST_ROWS = 256


def limit_kernels(left, right, dual, depth, kinds, n_threads):
    """Return the kernels of trusted `Points`, one of each kind; right is None for left itself."""
    shape = len(left), len(left if right is None else right)
    _require_room(len(kinds), shape, left.dtype)
    outs = np.empty((len(kinds), *shape), left.dtype)
    if dual.homogeneous:
        norms = [x.norms for x in (left, right or left)]
        _fill(left, right, profiles(dual, depth, kinds), norms, outs, n_threads)
        return outs
    norm = _common_norm(left, right)
    ones = [np.ones(size) for size in shape]
    if norm is not None:
        _fill(left, right, profiles(dual, depth, kinds, norm), ones, outs, n_threads)
        return outs
    if 0.0 in left.norms or (right is not None and 0.0 in right.norms):
        require_firing(0.0)
    between = np.empty(shape)
    precise = [None if x is None else x.astype(np.float64) for x in (left, right)]
    _fill(*precise, profiles(as_dual(None), 0, [ANGLE]), ones, [between], n_threads)
    norms = [x.norms for x in (left, right or left)]
    fill_pairs(dual, depth, kinds, between, norms, outs, symmetric=right is None)
    if right is None:
        _mirror(outs, n_threads)
    return outs


def _require_room(n_kernels, shape, dtype):
    """Refuse kernels that do not fit, before they are made."""
    n_bytes = n_kernels * shape[0] * shape[1] * dtype.itemsize
    require_memory(
        n_bytes,
        f"{n_kernels} kernel{'s' * (n_kernels > 1)} of shape {shape}",
        "Give a block of rows as X and all of them as Y, one block after the other, "
        "or dtype=np.float32.",
    )


def _common_norm(left, right):
    """The norm that all rows share to rounding, or None."""
    norms = left.norms if right is None else np.concatenate([left.norms, right.norms])
    norm = float(norms.mean())
    tolerance = 8 * np.finfo(left.dtype).eps
    return norm if norm > 0 and np.ptp(norms) <= tolerance * norm else None


def _fill(left, right, made, norms, outs, n_threads):
    """Fill outs[k] with the k-th profile of the angles, times the norms of both points."""
    columns, symmetric, gram = right or left, right is None, outs[-1]
    panels = [
        (rows, slice(rows.stop if symmetric else len(columns)))
        for rows in _panels(len(left), len(columns), left.n_columns, symmetric)
    ]
    # BLAS first, all of it: its threads and ours would wait for each other at every turn.
    for rows, others in panels:
        left.part(rows).correlations(columns.part(others), gram[rows, others])
    n_threads = worth_threads(n_threads, len(left) * len(columns), _ENTRIES_PER_THREAD)
    for profile in made:
        largest = float(profile.at_zero) * float(norms[0].max()) * float(norms[1].max())
        require_range(largest, left.dtype)
    equal = (2 * float(np.finfo(left.dtype).eps)) ** 2  # unit rows are rounded
    for rows, others in panels:
        for profile, out in zip(made, outs, strict=True):
            dual_activation.apply_profile(
                profile.table, profile.offset, profile.at_zero, profile.close(left.dtype), equal,
                gram[rows, others],
                *left.part(rows).parts(), *columns.part(others).parts(), left.n_columns,
                norms[0][rows], norms[1][others], rows.start if symmetric else -1,
                out[rows, others], n_threads,
            )  # fmt: skip
    if symmetric:
        for profile, out in zip(made, outs, strict=True):
            out.flat[:: len(out) + 1] = profile.at_zero * norms[0] * norms[0]
        _mirror(outs, n_threads)


def _mirror(outs, n_threads):
    """Copy the lower halves to the upper ones."""
    for out in outs:
        for rows in _panels(len(out), len(out), 1, True):
            dual_activation.mirror(out, rows.start, rows.stop, n_threads)


def _panels(n, n_columns, n_inputs, symmetric):
    """Return slices of rows, each short enough for one call."""
    most = min(_MULTIPLY_ADDS_PER_CALL / n_inputs, _ENTRIES_PER_CALL) / n_columns
    size = max(_FEWEST_ROWS, -(-n // _PANELS)) if symmetric else n
    size = max(1, min(size, int(most)))
    return blocks(n, size)


def ntk_and_slope(
    rows: FloatArray, depth: int, activation: DualLike | None, n_threads: int | None
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return r, Theta_L and the derivative of Theta_L by r between unit rows, for gradients."""
    points, norms = as_points(rows, "rows"), [np.ones(len(rows))] * 2
    profile = profiles(as_dual(activation), depth, ["ntk"])[0]
    outs = [np.empty((len(rows), len(rows))) for _ in range(2)]
    _fill(points, None, [profile, profile.derivative()], norms, outs, resolve_threads(n_threads))
    r = np.clip(points.rows @ points.rows.T, -1.0, 1.0)
    half_chord = np.sqrt((1 - np.abs(r)) / 2)
    slope = -np.sign(r) * outs[1] / np.maximum(4 * half_chord, 1e-9)
    np.fill_diagonal(slope, 0.0)
    return r, outs[0], slope
