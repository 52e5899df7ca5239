"""
Dense against factored weights
==============================

Gradient descent of one wide hidden layer, whose weights are a dense matrix W, a product B C, or a
product A B C with only B trained. Each network takes the step size 1 / lambda_max of its own
tangent kernel.

At equal numbers of steps the dense network is ahead: fewer numbers are trained, and the smallest
eigenvalue of the kernel falls with l and k. At equal times the factored ones are, by far.
"""

import time

import numpy as np
from matplotlib import pyplot as plt

from subquad.networks import FactoredNetwork
from subquad.training import FactoredGradientDescent

n, d, m = 256, 256, 4096
rng = np.random.default_rng(0)
X = rng.standard_normal((n, d), dtype=np.float32)
X /= np.linalg.norm(X, axis=1, keepdims=True)
y = rng.choice(np.array([-1, 1], np.float32), n)

# %%
# The dense network, by two matrix products a step. H = X X^T o D D^T / m is its kernel at the
# start, and D says which neurons fire.

W = rng.standard_normal((m, d), dtype=np.float32)
a = rng.choice(np.array([-1, 1], np.float32), m) / np.float32(np.sqrt(m))
D = (X @ W.T > 0).astype(np.float32)
eta = np.float32(1 / np.linalg.eigvalsh((X @ X.T) * (D @ D.T) / m)[-1])
dense, clock = [], [0.0]
start = time.perf_counter()
while clock[-1] < 1.0 and len(dense) < 40:
    Z = X @ W.T
    residual = np.maximum(Z, 0) @ a - y
    dense.append(np.linalg.norm(residual))
    U = (Z > 0) * a
    U *= residual[:, None]
    W -= eta * (U.T @ X)
    clock.append(time.perf_counter() - start)
curves = {"W": (clock[: len(dense)], np.array(dense) / dense[0])}

# %%
# The factored ones: C is a subsampled randomised Hadamard transform to l dimensions, A a stack of
# Hadamard transforms of k entries. Neither is stored.

for name, sizes in {
    "B C, l = 64": {"inner_size": 64},
    "A B C, l = 64, k = 256": {"inner_size": 64, "outer_size": 256},
    "A B C, l = 32, k = 64": {"inner_size": 32, "outer_size": 64},
}.items():
    network = FactoredNetwork(d, width=m, rng=0, dtype=np.float32, **sizes)
    trainer = FactoredGradientDescent(network, X, y)
    norms, clock = [1.0], [0.0]
    start = time.perf_counter()
    while clock[-1] < 0.7 and len(norms) < 300:
        norms.append(trainer.step().relative_residual)
        clock.append(time.perf_counter() - start)
    curves[name] = clock, norms

# %%
# The same curves against steps, and against seconds.

figure, (by_step, by_time) = plt.subplots(1, 2, figsize=(9, 3.6), sharey=True)
for name, (clock, norms) in curves.items():
    by_step.plot(np.arange(len(norms)), norms, label=name)
    by_time.plot(clock, norms, label=name)
by_step.set(xlabel="step", ylabel="$|f - y| / |f_0 - y|$", yscale="log", xlim=(0, 100))
by_time.set(xlabel="seconds")
by_step.legend()
figure.tight_layout()
