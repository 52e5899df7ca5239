"""Print, as Markdown, steps of gradient descent on all layers beside those of dense torch.

    python asv_benches/descent_table.py [--threads 1] [--width 2048 4096 8192] [--steps 100]
                                        [--points 64] [--density 0.02]

A float32 network with L = 3 on points of a sphere, whose shift lets `density` of the neurons fire;
LowRankGradientDescent as it comes, with the step size that it chooses, and autograd of torch with
the same weights, targets and step size. Seconds are those of the processor, medians over the steps.

ms, torch ms      a step of either
loss              of the last step, over that of the first
differs by        the largest |loss - torch's loss| of all steps, over the first loss
slope             of log(ms) over log(width), between a width and the one before
"""

import time

import numpy as np
import scipy.special
from benchmarks.problems import N_INPUTS, unit_rows
from side_by_side import apart, installed, measured_here, parser, print_table, times

from subquad.activations import ShiftedReLU
from subquad.networks import WideNetwork
from subquad.training import LowRankGradientDescent

DEPTH = 3
HEADS = ["threads", "width", "ms", "torch ms", "torch takes", "loss", "differs by"]
HEADS += ["slope", "slope of torch"]


def problem(n, width, density):
    """Return points of a sphere, random targets, and a network of which so many neurons fire."""
    rng = np.random.default_rng(0)
    X = unit_rows(rng.standard_normal((n, N_INPUTS))).astype(np.float32)
    activation = ShiftedReLU(-scipy.special.ndtri(density))
    network = WideNetwork(
        N_INPUTS, width=width, depth=DEPTH, activation=activation, rng=0, dtype=np.float32
    )
    return X, rng.standard_normal(n), network


def steps_of_subquad(X, y, network, n_steps, n_threads):
    """Return the seconds and losses of the steps, and the step size."""
    seconds = [time.process_time()]
    trainer = LowRankGradientDescent(
        network,
        step_size="auto",
        n_threads=n_threads,
        callback=lambda record: seconds.append(time.process_time()),
    )
    trainer.run(X, y, max_steps=n_steps)
    return np.diff(seconds), [record.loss for record in trainer.history], trainer.step_size


def steps_of_torch(X, y, network, n_steps, n_threads, step_size):
    """Return the seconds and losses of the steps."""
    import torch

    torch.set_num_threads(n_threads)
    weights = [torch.from_numpy(W.to_dense()).requires_grad_() for W in network.weights]
    readout, X, y = (torch.from_numpy(x) for x in (network.readout[0], X, y))
    scale = float(network.activation.scale)
    threshold = float(network.activation.shift * network.weight_std)
    seconds, losses = [time.process_time()], []
    for _ in range(n_steps):
        H = X
        for W in weights:
            H = scale * torch.relu(H @ W.T - threshold)
            if W is not weights[-1]:
                H = H / torch.linalg.norm(H, dim=1, keepdim=True)
        loss = ((H @ readout - y) ** 2).sum() / 2
        losses.append(float(loss.detach()))
        for W, slope in zip(weights, torch.autograd.grad(loss, weights), strict=True):
            W.data.sub_(slope, alpha=step_size)
        seconds.append(time.process_time())
    return np.diff(seconds), losses


def measure(options, width):
    """Return the figures of one width: ms, torch's, loss over the first, largest difference."""
    X, y, network = problem(options.points, width, options.density)
    common = X, y, network, options.steps, options.threads[0]
    seconds, losses, step_size = steps_of_subquad(*common)
    figures = [1e3 * float(np.median(seconds)), None, losses[-1] / losses[0], None]
    if installed("torch"):
        theirs, expected = steps_of_torch(*common, step_size)
        figures[1] = 1e3 * float(np.median(theirs))
        figures[3] = float(np.max(np.abs(np.subtract(losses, expected)))) / losses[0]
    return figures


def rows(options):
    """Yield the rows of the table, each width in a process of its own."""
    for threads in options.threads:
        before = None
        for width in options.width:
            ours, theirs, loss, difference = apart(__file__, threads, "measure", width)
            slopes = ["", ""]
            if before:
                grown = np.log(width / before[0])
                pairs = zip((ours, theirs), before[1:], strict=True)
                slopes = [float(np.log(new / old) / grown) if new else "" for new, old in pairs]
            ratio = times(theirs, ours) if theirs else ""
            yield [threads, width, ours, theirs or "", ratio, loss, difference or "", *slopes]
            before = width, ours, theirs


def main(arguments=None):
    """Measure each width, and print."""
    it = parser(__doc__, threads=(1,), repeats=None, cpu=False)
    it.add_argument("--width", type=int, nargs="+", default=[2048, 4096, 8192])
    it.add_argument("--steps", type=int, default=100)
    it.add_argument("--points", type=int, default=64)
    it.add_argument("--density", type=float, default=0.02)
    options = it.parse_args(arguments)
    if not measured_here(options, measure=measure):
        print_table(HEADS, rows(options))


if __name__ == "__main__":
    main()
