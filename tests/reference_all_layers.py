"""Training of all hidden layers with explicit Jacobians, in plain numpy: [SZZ24], Remark C.6.

The Jacobian of a layer is the product of dense matrices, one for each operation between the layer
and the output: n_outputs x m, m x m for the derivative of the activation, of the product with the
next layer, of the division by the norm. Nothing is low rank here, and the n C x (number of weights)
Jacobian of all layers is formed.
"""

import numpy as np


def layer(W, h, phi, weight_std):
    """z, phi(z) and the diagonal of phi'(z) for one input h."""
    tau = weight_std * phi.shift * np.linalg.norm(h)
    z = W @ h
    fired = z > tau
    return phi.scale * (z - tau) * fired, phi.scale * fired


def outputs_and_jacobians(weights, readout, x, phi, weight_std):
    """f(x), shape (C,), and d f / d W_l, shape (C, m_out, m_in), of every layer."""
    inputs, steps, h = [], [], x
    for number, W in enumerate(weights, 1):
        inputs.append(h)
        response, slope = layer(W, h, phi, weight_std)
        after = np.eye(len(response))
        h = response
        if number < len(weights):
            norm = np.linalg.norm(response)
            h = response / norm
            after = (np.eye(len(h)) - np.outer(h, h)) / norm
        steps.append(after * slope)  # d h_l / d z_l
    jacobians, back = [], readout  # back: d f / d h_l
    for W, step, v in zip(reversed(weights), reversed(steps), reversed(inputs), strict=True):
        by_preactivation = back @ step
        jacobians.insert(0, by_preactivation[:, :, None] * v)
        back = by_preactivation @ W
    return readout @ h, jacobians


def linearised(weights, readout, X, phi, weight_std):
    """f in one vector of n C entries, rows (i, c), and J with all weights as its columns."""
    values, rows = [], []
    for x in X:
        f, jacobians = outputs_and_jacobians(weights, readout, x, phi, weight_std)
        values.append(f)
        rows.append(np.hstack([J.reshape(len(f), -1) for J in jacobians]))
    return np.concatenate(values), np.vstack(rows)


def moved(weights, change):
    """W_l + dW_l for a change of all weights in one vector."""
    edges = np.cumsum([W.size for W in weights])[:-1]
    parts = np.split(change, edges)
    return [W + part.reshape(W.shape) for W, part in zip(weights, parts, strict=True)]


def trajectory(weights, readout, X, y, phi, weight_std, steps, mu=0.0, sample_weight=None):
    """Relative residuals |r| / |r_0| of undamped steps, weighted; and the last weights.

    With mu > 0 a step minimises |f - y + J d|^2 + mu |w + d|^2, w the change since the start.
    """
    start = weights
    roots = np.ones(len(X)) if sample_weight is None else np.sqrt(sample_weight)
    roots = np.repeat(roots, len(readout))
    change, norms = np.zeros(sum(W.size for W in weights)), []
    for _ in range(steps + 1):
        f, J = linearised(weights, readout, X, phi, weight_std)
        residual, J = roots * (f - y.ravel()), roots[:, None] * J
        norms.append(np.linalg.norm(residual))
        G = J @ J.T + mu * np.eye(len(J))
        if mu:
            change = J.T @ np.linalg.solve(G, J @ change - residual)
        else:
            change = change - J.T @ np.linalg.solve(G, residual)
        before, weights = weights, moved(start, change)
    return np.array(norms) / norms[0], before


def gradient_step(weights, readout, X, y, phi, weight_std, step_size):
    """Sum of |f - y|^2 / 2, and the weights after a step down its gradient, y of shape (n, C)."""
    loss, gradients = 0.0, [np.zeros_like(W) for W in weights]
    for x, target in zip(X, y, strict=True):
        f, jacobians = outputs_and_jacobians(weights, readout, x, phi, weight_std)
        loss += np.sum((f - target) ** 2) / 2
        for gradient, J in zip(gradients, jacobians, strict=True):
            gradient += np.einsum("c,cjk->jk", f - target, J)
    steps = zip(weights, gradients, strict=True)
    return loss, [W - step_size * gradient for W, gradient in steps]
