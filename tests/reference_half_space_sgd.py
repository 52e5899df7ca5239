"""SGD on all neurons, in plain numpy: what the half-space trainer must equal.

Each function names the lines of [QSY23] it transliterates, with the sign of lines 25-27 corrected,
the gradient a mean over the batch, and the step divided by B^2 Q(b_0).
"""

import itertools

import numpy as np
from scipy.special import ndtr


def outputs(W, a, b0, X):
    """f, Definition 1.2 (Algorithm 1, line 17): a of shape (2 m, C) with its size B."""
    return np.maximum(X @ W.T - b0, 0) @ a / np.sqrt(len(W))


def sgd_step(W, a, b0, B, eta, X, y):
    """W after lines 15-27, and the mean of |f - y|^2 / 2 before."""
    fired = X @ W.T >= b0
    residual = y - outputs(W, a, b0, X)
    P = fired[:, :, None] * a[None] / np.sqrt(len(W))  # lines 19-24, for each output
    gradient = np.einsum("ic,irc,ik->rk", residual, P, X) / len(X)
    loss = np.square(residual).sum() / (2 * len(X))
    return W + eta / (B**2 * ndtr(-b0)) * gradient, loss


# Losses l(f, y) of an output and a number or a label of -1 or 1, and their slopes in f.
LOSSES = {
    "squared": (lambda f, y: (f - y) ** 2 / 2, lambda f, y: f - y),
    "absolute": (lambda f, y: abs(f - y), lambda f, y: np.sign(f - y)),
    "huber": (
        lambda f, y: np.where(abs(f - y) <= 1, (f - y) ** 2 / 2, abs(f - y) - 0.5),
        lambda f, y: np.where(abs(f - y) <= 1, f - y, np.sign(f - y)),
    ),
    "logistic": (lambda f, y: np.log(1 + np.exp(-y * f)), lambda f, y: -y / (1 + np.exp(y * f))),
    "hinge": (lambda f, y: np.maximum(0, 1 - y * f), lambda f, y: -y * (y * f < 1)),
}


def loss_step(W, a, b0, B, eta, X, y, name):
    """W after lines 15-27 with the slope of a loss for u - y in line 25; loss and fired set before.

    The loss is the mean over the batch of the sum over the outputs.
    """
    value, slope = LOSSES[name]
    fired = X @ W.T >= b0
    f = outputs(W, a, b0, X)
    P = fired[:, :, None] * a[None] / np.sqrt(len(W))
    gradient = np.einsum("ic,irc,ik->rk", slope(f, y), P, X) / len(X)
    return W - eta / (B**2 * ndtr(-b0)) * gradient, value(f, y).sum() / len(X), fired


def tangent_outputs(V, W0, a, b0, X):
    """f(x) = <V, psi(x)>, Section 5: psi the gradient of the network at W0."""
    fired = X @ W0.T >= b0
    return ((X @ V.T) * fired) @ a / np.sqrt(len(V))


def tangent_step(V, W0, a, b0, B, eta, X, y):
    """V after a step of the tangent kernel's training (Section 5.1), and the loss before."""
    fired = X @ W0.T >= b0
    residual = y - tangent_outputs(V, W0, a, b0, X)
    features = fired[:, :, None] * a[None] / np.sqrt(len(V))
    gradient = np.einsum("ic,irc,ik->rk", residual, features, X) / len(X)
    loss = np.square(residual).sum() / (2 * len(X))
    return V + eta / (B**2 * ndtr(-b0)) * gradient, loss


def sphere(n, d, rng):
    """n uniform points of the unit sphere of R^d."""
    X = rng.standard_normal((n, d))
    return X / np.linalg.norm(X, axis=1, keepdims=True)


# ---- kernels
def signed_sums(indptr, indices, values, shift, signs):
    """out[i] = sum_r signs[r] (values - shift), and the sum of absolute values."""
    value = np.zeros((len(indptr) - 1, signs.shape[1]))
    magnitude = np.zeros_like(value)
    for i, (first, last) in enumerate(itertools.pairwise(indptr)):
        terms = signs[indices[first:last]] * (values[first:last].astype(float) - shift)[:, None]
        value[i] = terms.sum(axis=0)
        magnitude[i] = (
            np.abs(signs[indices[first:last]])
            * (np.abs(values[first:last].astype(float)) + abs(shift))[:, None]
        ).sum(axis=0)
    return value, magnitude


def move_rows(indptr, indices, coefficients, signs, X, W):
    """W with <coefficients[i], signs[r]> X[i] added where r fires at i, and its magnitude."""
    value, magnitude = W.astype(float), np.abs(W).astype(float)
    for i, (first, last) in enumerate(itertools.pairwise(indptr)):
        for r in indices[first:last]:
            value[r] += coefficients[i] @ signs[r].astype(float) * X[i]
            magnitude[r] += np.abs(coefficients[i]).sum() * np.abs(X[i])
    return value, magnitude
