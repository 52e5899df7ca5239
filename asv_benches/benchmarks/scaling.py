"""Seconds per step as a power of the width, and as threads are added."""

import numpy as np

from .contenders import contender, slope, step_seconds
from .problems import step_problem

N_POINTS = 64
WIDTHS = {
    "256..1024": (256, 512, 1024),
    "2048..32768": (2048, 4096, 8192, 16384, 32768),
}


def median_step(width, n_threads, repeats=5):
    """Return the median seconds of the first three steps of a fit."""
    steps = contender("subquad", step_problem(N_POINTS, width), n_threads)
    step_seconds(steps)
    return float(np.median([step_seconds(steps) for _ in range(repeats)]))


class Width:
    """The exponent e in seconds per step ~ m^e, which is 2 for dense Gauss-Newton."""

    params = [list(WIDTHS), [1, 2, 4]]
    param_names = ["widths", "n_threads"]

    def track_slope(self, widths, n_threads):
        seconds = [median_step(width, n_threads) for width in WIDTHS[widths]]
        return slope(WIDTHS[widths], seconds)

    track_slope.unit = "exponent of m"


class Threads:
    """The number of times that a step is faster than with one thread."""

    params = [[512, 8192, 32768], [1, 2, 4]]
    param_names = ["width", "n_threads"]

    def track_speedup(self, width, n_threads):
        return median_step(width, 1) / median_step(width, n_threads)

    track_speedup.unit = "times"
