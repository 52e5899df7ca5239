"""
Which solver for a Gram equation?
=================================

A Gauss-Newton step solves :math:`(J J^T) x = c`. Three methods: form the Gram matrix and factor it
("exact"), factor the Gram matrix of a sketch ("sketch"), or iterate with that as a preconditioner
("pcg"). The papers choose the sketch. Here they race on this machine, at sizes that take seconds;
``asv_benches/crossover_table.py`` has the whole map.
"""

import time

import matplotlib.pyplot as plt
import numpy as np

from subquad.jacobian import KhatriRao
from subquad.solvers import gram_solve

METHODS = {"exact": "o-", "sketch": "s--", "pcg": "^-"}
n = 96
widths = [512, 2048, 8192, 24576]
rng = np.random.default_rng(0)


def equation(m):
    """Fired neurons of a wide layer, times inputs of the same width."""
    points, neurons = rng.standard_normal((n, 16)), rng.standard_normal((16, m))
    U = (points @ neurons > 0) * rng.choice([-1.0, 1.0], m) / np.sqrt(m)
    return KhatriRao(U, rng.standard_normal((n, m)) / np.sqrt(m)), rng.standard_normal(n)


def measured(J, c, method):
    """The best of three times, and the relative residual."""
    times = []
    for _ in range(3):
        start = time.perf_counter()
        solution = gram_solve(J, c, method, rng=0, verify=False)  # the sketch at its fastest
        times.append(time.perf_counter() - start)
    residual = np.linalg.norm(J.gram() @ solution.x - c) / np.linalg.norm(c)
    return min(times), max(residual, 1e-16)


results = {method: [] for method in METHODS}
for m in widths:
    J, c = equation(m)
    for method in METHODS:
        results[method].append(measured(J, c, method))

# %%
# Left: time. The sketch reads every entry of U and V once; the Gram matrix multiplies each by n
# others, but at the speed of BLAS. Right: what is left of c. The sketch alone leaves a good part of
# it, its error being eps sqrt(kappa); the other two reach the tolerance.

figure, (left, right) = plt.subplots(1, 2, figsize=(9, 4), layout="constrained")
for method, style in METHODS.items():
    seconds, residuals = np.transpose(results[method])
    left.loglog(widths, 1e3 * seconds, style, label=method)
    right.loglog(widths, residuals, style, label=method)
left.set(xlabel="width m", ylabel="milliseconds", title=f"time, n = {n}")
right.set(xlabel="width m", ylabel="relative residual", title="accuracy")
left.legend()
plt.show()
