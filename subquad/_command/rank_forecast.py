"""What `subquad plan --ranks P` adds: a fit's memory, time and messages for each rank of a job.

The model of cost is that of the documentation's page on several machines: neurons are divided by
ranks; features, Gram matrices and solutions are not.
"""

import dataclasses
import math

from subquad._command import forecast
from subquad._command.errors import BadInput
from subquad._command.report import size
from subquad._ranks import NEURONS_PER_CHUNK

# Of the arrays of shape (n, width), these are features of all neurons, while they are exchanged.
ARRAYS_OF_ALL = 2
# A rank sends and receives so many bytes a second,
BANDWIDTH = 10e9
# waits so many seconds for each of log2(P) rounds of a collective call,
ROUND = 2e-6
# and takes so many for each message to one other rank.
MESSAGE = 1e-6
# A step with one trial makes so many collective calls; one of them has a message to every rank.
CALLS = 3


def require_shareable(fit, n_ranks):
    """Refuse a fit that ranks cannot share."""
    if n_ranks < 1:
        raise BadInput(f"--ranks must be at least 1; got {n_ranks}")
    remedy = None
    if fit.weights != "implicit":
        remedy = f"--weights {fit.weights}; ranks share neurons of implicit weights alone"
    elif fit.readout != "partition" and fit.n_outputs > 1:
        remedy = "--readout dense; ranks share neurons that feed one output each alone"
    elif fit.solver != "exact":
        remedy = f"{fit.n} rows; ranks share neurons of up to {forecast.EXACT_ROWS} rows"
    if n_ranks > 1 and remedy is not None:
        raise BadInput(f"--ranks must be 1 for {remedy}; got {n_ranks}")
    most = -(-fit.width // NEURONS_PER_CHUNK)
    if n_ranks > most:
        blocks = f"{most} blocks of {NEURONS_PER_CHUNK} neurons"
        raise BadInput(f"--ranks must be at most {most} for {blocks}; got {n_ranks}")


def memory(fit, n_ranks):
    """Bytes by purpose of a rank, and their total."""
    parts = forecast.memory(fit)
    layer = fit.n * fit.width * fit.itemsize
    own = (forecast.ARRAYS_PER_SAMPLE - ARRAYS_OF_ALL) * layer / n_ranks
    shared = {"features": ARRAYS_OF_ALL * layer, "neurons": own, "gram": parts["gram"]}
    return {**shared, "total": sum(shared.values())}


def messages(fit, n_ranks):
    """Bytes that a rank receives: once, for the features of hidden layers; and in every step.

    A step's are the counts of neurons that fire for both of two points, their sums by chunks, and
    the outputs.
    """
    n, C = fit.n, fit.n_outputs
    features = (fit.depth - 1) * n * fit.width * fit.itemsize
    chunks = 16 * n * math.ceil(fit.width / NEURONS_PER_CHUNK) / n_ranks
    step = {"counts": 4 * C * n * n, "chunks": chunks, "outputs": 16 * C * n}
    return {"features": features, "step": {**step, "total": sum(step.values())}}


def seconds(fit, rates, n_steps, n_ranks):
    """Seconds by phase of the work of a rank, and their total."""
    one = forecast.seconds(fit, rates, n_steps)
    neurons = forecast.seconds(dataclasses.replace(fit, n_outputs=0), rates, n_steps)["steps"]
    sent = messages(fit, n_ranks)
    waits = CALLS * ROUND * math.ceil(math.log2(n_ranks)) + MESSAGE * (n_ranks - 1)
    phases = {
        **one,
        "features": one["features"] / n_ranks + sent["features"] / BANDWIDTH,
        "steps": one["steps"] - neurons + neurons / n_ranks,
        "messages": n_steps * (sent["step"]["total"] / BANDWIDTH + waits),
    }
    del phases["total"]
    return {**phases, "total": sum(phases.values())}


def sentences(fit, n_ranks):
    """What a person reads beside memory and time: pairs of a label and a line."""
    sent = messages(fit, n_ranks)
    step = sent["step"]
    gathered = fit.n * fit.width * fit.itemsize
    return [
        ("ranks", f"{n_ranks}, each with some {fit.width // n_ranks} neurons and this machine's "
         f"processors; the first gathers the change in the end, {size(2 * gathered)} more"),
        ("messages", f"{size(step['total'])} a step received by each rank in {CALLS} calls (counts "
         f"{size(step['counts'])}, sums of chunks {size(step['chunks'])}, outputs "
         f"{size(step['outputs'])}); before that {size(sent['features'])} of features"),
    ]  # fmt: skip
