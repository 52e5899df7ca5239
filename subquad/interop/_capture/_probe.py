"""What is found out from the first samples, before the rows of all are taken.

With outputs f_i and layer outputs z, one backward pass from sum_i f_i gives u at every row of a
call, and another from sum_i r_i f_i gives r_i u at the rows of sample i, if samples are independent
of each other. So two passes say which rows belong to which sample, and whether samples interact.
The first pass also gives the derivative by the weight, which must be sum u (x) v.
"""

from dataclasses import dataclass

import numpy as np
import scipy.sparse

from subquad._validation import require_finite
from subquad.interop._capture._layers import INTERACT
from subquad.interop._capture._passes import gradients, random_state
from subquad.interop._capture._rows import Plans, candidates, entries
from subquad.interop._torch import as_numpy

# Take so many samples: a number that is seldom that of positions.
_N_PROBED = 7
# Multiply derivatives by a weight with so many random vectors: with a probability of 2e-4, a
# difference of rank one is less than a tenth of itself along all of them.
_N_VECTORS = 4


@dataclass
class Found:
    """What the first samples say.

    Attributes
    ----------
    layers : list of Layer
        Those that the outputs depend on.
    plans : Plans
        Of the calls of these.
    rows : dict
        Layer name -> (rows, stored entries of U, of V) for one output of one sample.
    n_outputs : int
    """

    layers: list
    plans: Plans
    rows: dict
    n_outputs: int


def probe(recorder, samples, layers):
    """Return what the first samples say, `Found`."""
    n = min(samples.n, _N_PROBED)
    values, calls = _first_pass(recorder, samples, n)
    parameters = [p for layer in layers for p in (layer.weight, layer.bias) if p is not None]
    edges, scales = [call.edge for call in calls], _scales(n)
    found = gradients(values, edges + parameters, _seeds(values, np.ones(n)))
    scaled = gradients(values, edges, _seeds(values, scales), keep=False)
    derivatives = [
        None if du is None else (call.rule.derivatives(du), call.rule.derivatives(dw))
        for call, du, dw in zip(calls, found[: len(edges)], scaled, strict=True)
    ]
    by_parameter = dict(zip(map(id, parameters), found[len(edges) :], strict=True))
    layers, plans, rows = _used(layers, calls, derivatives), Plans(), {}
    for layer in layers:
        own = [(c, d) for c, d in zip(calls, derivatives, strict=True) if c.layer is layer]
        for call, pair in own:
            if pair is not None:
                require_finite(entries(pair[0]), f"derivatives of the outputs by {layer.name!r}")
            plans.add(layer, None if pair is None else _plan(call, *pair, n))
        taken = [(call, pair[0]) for call, pair in own if pair is not None]
        _require_whole(layer, taken, by_parameter)
        rows[layer.name] = [sum(s) // n for s in zip(*map(_sizes, taken), strict=True)]
    return Found(layers, plans, rows, values.shape[1])


def _first_pass(recorder, samples, n):
    """Return (outputs, calls) of the first samples, which are deterministic and independent."""
    import torch

    before = random_state()
    values, calls = recorder.run(samples, slice(0, n))
    if not all(map(torch.equal, before, random_state())):
        raise ValueError(
            "model must give the same outputs every time; got one that draws random numbers. "
            "Call model.eval() first."
        )
    require_finite(as_numpy(values), "outputs of the model")
    _require_alone(recorder, samples, values)
    return values, calls


def _scales(n):
    """Return a power of two for each sample: multiplying by one is exact."""
    return 2.0 ** np.arange(n)


def _seeds(values, scales):
    """Return weights of the outputs (samples, C): no two outputs of a sample have the same."""
    of_outputs = np.random.default_rng(0).uniform(0.5, 1.5, values.shape[1])
    return values.new_tensor(scales[:, None] * of_outputs)


def _tolerance(x):
    """The relative error below which two numbers are the same, also where a GPU rounds to 10 bits.

    5e-7 in float64, 2e-3 in float32.
    """
    return float(np.finfo(x.dtype).eps) ** 0.4


def _sizes(taken):
    call, U = taken
    return U.shape[0], U.size, call.V.size  # the size of a sparse matrix is that of its entries


def _used(layers, calls, derivatives):
    """Return the layers that the outputs depend on; all must where they were asked for."""
    called = {call.layer.name for call in calls}
    used = {c.layer.name for c, d in zip(calls, derivatives, strict=True) if d is not None}
    for layer in layers:
        if not layer.named:
            continue
        if layer.name not in called:
            raise ValueError(
                f"layers must name layers that the model calls; got {layer.name!r}, which is never "
                "called. Its weight may be used by a function."
            )
        if layer.name not in used:
            raise ValueError(
                f"layers must name layers that the outputs depend on; got {layer.name!r}, by which "
                "their derivative is zero."
            )
    if not used:
        raise ValueError(
            "outputs must depend on a layer of the model; got outputs that depend on none."
        )
    return [layer for layer in layers if layer.name in used]


def _require_alone(recorder, samples, values):
    """Raise where outputs change with the samples that come along."""
    import torch

    half = -(-len(values) // 2)
    if half == len(values):
        return
    with torch.no_grad():
        few, _ = recorder.run(samples, slice(0, half))
    many, few = as_numpy(values)[:half], as_numpy(few)
    if np.abs(few - many).max() > _tolerance(many) * np.abs(many).max():
        raise ValueError(INTERACT)


def _plan(call, U, weighed, n):
    """Return the layout of a call whose rows are scaled as their samples are."""
    plans = candidates(call, n)
    if len(plans) > 1 and not abs(U).max():
        raise ValueError(
            f"{call.layer.name!r} must have an influence on the first {n} samples, from which it "
            "is found which rows are whose; got outputs whose derivatives are zero. Put other "
            f"samples first.{call.layer.hint}"
        )
    for plan in plans:
        scales = np.empty(U.shape[0], U.dtype)
        scales[plan.order(call, n)] = _scales(n)[:, None]
        error = abs(weighed - _scaled_rows(U, scales)).max()
        if error <= _tolerance(U) * abs(weighed).max():
            return plan
    if plans:
        raise ValueError(INTERACT)
    raise ValueError(
        f"{call.layer.name!r} must be called with rows of every sample; got an input with axes "
        f"{call.lead} for {n} samples.{call.layer.hint}"
    )


def _require_whole(layer, taken, by_parameter):
    """Raise unless the calls account for the whole derivative by the weight, and by the bias.

    Both are multiplied with random vectors, since sum u (x) v has the size of the weight.
    """
    expected = by_parameter[id(layer.weight)].to_dense()
    expected = as_numpy(next(iter(layer.rules.values())).matrix(expected))
    if layer.bias is not None:
        column = as_numpy(by_parameter[id(layer.bias)])[:, None]
        expected = np.concatenate([expected, column], axis=1)
    shape = expected.shape[1], _N_VECTORS
    vectors = np.random.default_rng(0).standard_normal(shape).astype(expected.dtype)
    missing, scale = expected @ vectors, 0.0
    for call, U in taken:
        U, V = call.oriented(U)
        reached = V @ vectors
        missing -= U.T @ reached
        scale += float(_row_norms(U) @ _row_norms(reached))
    if np.linalg.norm(missing) > _tolerance(expected) * scale:
        raise ValueError(
            f"{layer.name!r} must be all that uses its weight; got a model whose derivative by the "
            "weight is another than that of its calls. A function may use the weight too, as a "
            f"decoder does that is tied to it, or a subclass may change the call.{layer.hint}"
        )


def _scaled_rows(U, scales):
    return scipy.sparse.diags_array(scales) @ U if scipy.sparse.issparse(U) else scales[:, None] * U


def _row_norms(x):
    squares = x.multiply(x) if scipy.sparse.issparse(x) else x * x
    return np.sqrt(np.asarray(squares.sum(axis=1), np.float64)).reshape(-1)
