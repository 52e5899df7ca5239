"""The rows of all samples, batch by batch: kept as factors, or sketched at once."""

from collections import Counter
from collections.abc import Mapping

import numpy as np

from subquad._parallel import blocks
from subquad._validation import require_finite, require_memory
from subquad.interop._capture._passes import gradients
from subquad.interop._capture._rows import Rows, entries, weave
from subquad.interop._torch import as_numpy
from subquad.jacobian import KhatriRao
from subquad.sketch import TensorSketch, TensorSRHT


class Factors:
    """U and V of a layer, and how many of their rows belong to each output of each sample.

    Parameters
    ----------
    n_rows : int
        How many rows are expected.
    """

    def __init__(self, n_rows):
        self._U, self._V, self._counts = Rows(n_rows), Rows(n_rows), []

    def append(self, U, V, n):
        """Add the rows of n outputs, all of which have equally many."""
        self._U.append(U)
        self._V.append(V)
        self._counts.append(np.full(n, U.shape[0] // n))

    def result(self):
        """Return the Jacobian."""
        counts = np.concatenate(self._counts)
        groups = None if (counts == 1).all() else np.concatenate([[0], np.cumsum(counts)])
        return KhatriRao(self._U.matrix(), self._V.matrix(), groups=groups)


class Sketched:
    """J S^T of a layer; factors are dropped."""

    def __init__(self, S):
        self._S, self._features = S, []

    def append(self, U, V, n):
        """Sketch the rows of n outputs."""
        groups = None if U.shape[0] == n else np.arange(n + 1) * (U.shape[0] // n)
        self._features.append(self._S.apply(U, V, groups=groups))

    def result(self):
        """Return the features of all samples."""
        return np.concatenate(self._features)


def sketches_of(sketch, layers):
    """Return layer name -> sketch, or None; the sketch of each layer fits it."""
    if sketch is None:
        return None
    named = sketch if isinstance(sketch, Mapping) else {x.name: sketch for x in layers}
    if set(named) != {layer.name for layer in layers}:
        raise ValueError(
            f"sketch must have one sketch for each layer, {[layer.name for layer in layers]}; "
            f"got {list(named)}."
        )
    for layer in layers:
        S = named[layer.name]
        if not isinstance(S, TensorSketch | TensorSRHT):
            raise TypeError(
                f"sketch must be a TensorSketch or TensorSRHT for each layer; got "
                f"{type(S).__name__} for {layer.name!r}."
            )
        if S.n_features != layer.shape:
            raise ValueError(
                f"sketch must be of pairs of {layer.shape[0]} and {layer.shape[1]} entries for "
                f"{layer.name!r}; got {S.n_features[0]} and {S.n_features[1]}."
            )
    return named


def collect(recorder, samples, found, batch_size, sketches):
    """Return layer name -> Jacobian or features, whose rows are (sample, output), in this order."""
    n_rows = samples.n * found.n_outputs
    if sketches is None:
        _require_memory(found, n_rows)
        kept = {name: Factors(n_rows * rows[0]) for name, rows in found.rows.items()}
    else:
        kept = {name: Sketched(S) for name, S in sketches.items()}
    for rows in blocks(samples.n, batch_size):
        values, calls = recorder.run(samples, rows, found.plans)
        require_finite(as_numpy(values), f"outputs of the model from sample {rows.start} on")
        for layer, U, V in _batch(found, values, calls):
            kept[layer.name].append(U, V, values.numel())
    return {name: one.result() for name, one in kept.items()}


def _batch(found, values, calls):
    """Yield (layer, U, V) of a batch, from one backward pass for each output."""
    n, n_outputs = values.shape
    planned, edges = _planned(calls, found, n), [call.edge for call in calls]
    U, V = ({layer.name: [] for layer in found.layers} for _ in range(2))
    for c in range(n_outputs):
        seeds = values.new_zeros(values.shape)
        seeds[:, c] = 1
        derivatives = gradients(values, edges, seeds, keep=c + 1 < n_outputs)
        for (call, plan), dz in zip(planned, derivatives, strict=True):
            if plan is not None:
                for blocks_of, x in zip((U, V), call.pair(dz), strict=True):
                    blocks_of[call.layer.name].append(plan.sorted(x, call, n))
            elif dz is not None:
                raise ValueError(_changing(call))
    for layer in found.layers:
        pair = [weave(blocks_of.pop(layer.name), n) for blocks_of in (U, V)]
        require_finite(entries(pair[0]), f"derivatives of the outputs by {layer.name!r}")
        require_finite(entries(pair[1]), f"inputs of {layer.name!r}")
        yield layer, *pair


def _planned(calls, found, n):
    """Return (call, plan) of all calls; a plan is None where no output depends on the call."""
    numbers, planned = Counter(), []
    for call in calls:
        plan = found.plans.of(call.layer, numbers[call.layer.name])
        numbers[call.layer.name] += 1
        if plan is not None and not plan.fits(call, n):
            raise ValueError(_changing(call))
        planned.append((call, plan))
    return planned


def _changing(call):
    return (
        f"{call.layer.name!r} must be called in the same way for all samples; got calls that "
        f"differ from those of the first ones.{call.layer.hint}"
    )


def _require_memory(found, n_rows):
    """Refuse factors that do not fit, before any of them is made."""
    n_bytes = sum(
        (u + v) * n_rows * layer.weight.element_size()
        for layer in found.layers
        for _, u, v in [found.rows[layer.name]]
    )
    remedy = "Name fewer layers or outputs, capture fewer samples at once, or give sketch=."
    require_memory(n_bytes, f"The factors of {len(found.layers)} layers", remedy)
