"""What is found out from the first samples, before the rows of all are taken.

With outputs f_i and layer outputs z, one backward pass from sum_i f_i gives u at every row of a
call, and another from sum_i r_i f_i gives r_i u at the rows of sample i, if samples are independent
of each other. So two passes say which rows belong to which sample, and whether samples interact.
The first pass also gives the derivative by the weight, which must be sum u (x) v.
"""

import numpy as np
import scipy.sparse

from subquad._validation import require_finite
from subquad.interop._capture._layout import Plans, candidates
from subquad.interop._capture._passes import gradients, random_state
from subquad.interop._torch import as_numpy

# Take so many samples: a number that is seldom that of positions.
_N_PROBED = 7


def probe(recorder, samples, layers, named):
    """Return (layers that the outputs depend on, plans of their calls, positions, outputs).

    `positions` is layer name -> rows for each output of a sample, and `outputs` their number.
    """
    n = min(samples.n, _N_PROBED)
    before = random_state()
    values, calls = recorder.run(samples, slice(0, n))
    if any(not np.array_equal(a, b) for a, b in zip(before, random_state(), strict=True)):
        raise ValueError(
            "model must not draw random numbers; got one that does. Call model.eval() first."
        )
    require_finite(as_numpy(values), "outputs of the model")
    _require_alone(recorder, samples, values)
    seeds = np.random.default_rng(0).uniform(0.5, 1.5, values.shape[1])
    parameters = [layer.weight for layer in layers] + [layer.bias for layer in layers]
    edges = [call.edge for call in calls]
    found = gradients(values, edges + parameters, _seeds(values, np.ones(n), seeds))
    weighed = gradients(values, edges, _seeds(values, _weights(n), seeds), keep=False)
    derivatives, by_weight = found[: len(edges)], found[len(edges) :]
    layers = _used(layers, calls, derivatives, by_weight, named)
    kept = [
        (call, call.rule.derivatives(du), call.rule.derivatives(dw))
        for call, du, dw in zip(calls, derivatives, weighed, strict=True)
        if du is not None and any(call.layer is layer for layer in layers)
    ]
    plans, positions = Plans(), dict.fromkeys((layer.name for layer in layers), 0)
    for call, U, weighed_U in kept:
        plan = _plan(call, U, weighed_U, n, named)
        plans.add(call, plan)
        positions[call.layer.name] += U.shape[0] // n
    for layer in layers:
        place = parameters.index(layer.weight) if False else _place(parameters, layer.weight)
        bias = None if layer.bias is None else by_weight[_place(parameters, layer.bias)]
        _require_whole(layer, kept, by_weight[place], bias, named)
    return layers, plans, positions, values.shape[1]
