"""The definitions, transliterated: dense float64 numpy, explicit matrices, nothing of the package.

What the fast code must equal, written to be read beside the papers; all of it in one file, so that
there is one place to check against them. Row i is data point i. A layer of ``m`` neurons on
``m_in`` inputs has the weights W (m, m_in); with C outputs the Jacobian has row ``i * C + c`` for
output c of data point i, so that it acts on ``residual.ravel()`` of an (n, C) residual.
Key: [SZZ24] Song, Zhang, Zhang. "Corrected" marks a printed formula that does not hold as it
stands; the docstring then says what is used instead.
"""

from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr, owens_t


# ---- the shifted activations
def tail(b):
    """Q(b) = P(z > b), the chance that a neuron fires ([SZZ24] Fact G.4, corrected: no bound)."""
    return ndtr(-np.asarray(b, dtype=float))


def density(z):
    """Density of the standard normal."""
    return np.exp(-0.5 * np.square(z)) / np.sqrt(2.0 * np.pi)


def hard_constant(b):
    """c with 2 c E[(z 1[z > b])^2] = 1 ([SZZ24] Lemma G.6; Definition F.3 prints the root)."""
    return 0.5 / (tail(b) + b * density(b))


def shifted_constant(b):
    """c with 2 c E[max(z - b, 0)^2] = 1 (the activation of [SZZ24] Section 2, printed unscaled)."""
    return 0.5 / ((1.0 + b * b) * tail(b) - b * density(b))


def activate(Z, tau, scale, jumps=False):
    """Return scale * max(z - tau, 0); jumps: scale * z * 1[z > tau] ([SZZ24] Definition F.3)."""
    tau = np.asarray(tau, dtype=float).reshape(-1, 1)
    return scale * np.where(Z > tau, Z if jumps else Z - tau, 0.0)


# ---- networks
def unit_rows(X):
    """Return x_i / ||x_i||."""
    return X / np.linalg.norm(X, axis=1, keepdims=True)


def sphere(n, d, rng):
    """Return n points drawn uniformly from the unit sphere of R^d."""
    return unit_rows(rng.standard_normal((n, d)))


def forward(X, weights, b, scale, *, jumps=False, relative=True, normalised=True):
    """Return [h_1, ..., h_L], h_l = phi(W_l h_{l-1}), tau = std b (||h_{l-1}|| if relative).

    std = sqrt(2 / m_l). [SZZ24] Section 2.2, corrected: relative thresholds and unit layers
    (``normalised``) make Lemma F.8 true. The last layer is never normalised: f = a^T h_L.
    """
    layers, h = [], X
    for number, W in enumerate(weights, start=1):
        std = np.sqrt(2.0 / W.shape[0])
        tau = std * b * (np.linalg.norm(h, axis=1) if relative else np.ones(len(h)))
        h = activate(h @ W.T, tau, scale, jumps)
        layers.append(h)
        if normalised and number < len(weights):
            h = unit_rows(h)
            layers[-1] = h
    return layers


@dataclass(frozen=True)
class Layer:
    """The last hidden layer, f(W) = phi(V W^T) a^T with V and a fixed."""

    V: np.ndarray  # (n, m_in), the features h_{L-1}
    W: np.ndarray  # (m, m_in), the weights at the start
    readout: np.ndarray  # (C, m)
    tau: np.ndarray  # (n,)
    scale: float
    jumps: bool = False

    def mask(self, W):
        """Return D (n, m), D_ir = 1[z_ir > tau_i]."""
        return self.V @ W.T > self.tau[:, None]

    def outputs(self, W):
        """Return f (n, C)."""
        return activate(self.V @ W.T, self.tau, self.scale, self.jumps) @ self.readout.T

    def jacobian(self, W):
        """Return J (n C, m m_in), row (i, c) = vec((s a_c o D_i) v_i^T) ([SZZ24] Algorithm 2)."""
        u = self.scale * self.readout[None, :, :] * self.mask(W)[:, None, :]
        n, n_outputs, width = u.shape
        return np.einsum("icr,ij->icrj", u, self.V).reshape(n * n_outputs, width * self.V.shape[1])


def coactivation(D):
    """S_ij = how many neurons fire on both i and j, as an exact integer."""
    D = np.asarray(D, dtype=bool)
    return np.array([[int(np.count_nonzero(p & q)) for q in D] for p in D])


def gram(layer, W):
    """G_(ic),(je) = s^2 <v_i, v_j> sum_r a_cr a_er D_ir D_jr, one (i, j) at a time."""
    D, K, a = layer.mask(W).astype(float), layer.V @ layer.V.T, layer.readout
    n, n_outputs = len(K), len(a)
    G = np.empty((n, n_outputs, n, n_outputs))
    for i in range(n):
        for j in range(n):
            G[i, :, j, :] = layer.scale**2 * K[i, j] * (a * (D[i] * D[j])) @ a.T
    return G.reshape(n * n_outputs, n * n_outputs)


# ---- Gauss-Newton
def solve(G, mu, r):
    """Return (G + mu I)^-1 r; a pseudo-inverse that drops lambda <= n eps lambda_max."""
    values, vectors = np.linalg.eigh(G)
    values = values + mu
    keep = values > len(G) * np.finfo(float).eps * values[-1]
    return vectors[:, keep] @ ((vectors[:, keep].T @ r) / values[keep])


def gauss_newton(layer, y, n_steps):
    """W <- W - J^T (J J^T)^+ (f - y) ([SZZ24] Algorithm 2, sign corrected); (norms of f - y, W)."""
    W, y = layer.W.copy(), np.reshape(y, (len(layer.V), -1))
    norms = [np.linalg.norm(layer.outputs(W) - y)]
    for _ in range(n_steps):
        J = layer.jacobian(W)
        g = solve(J @ J.T, 0.0, (layer.outputs(W) - y).ravel())
        W = W - (J.T @ g).reshape(W.shape)
        norms.append(np.linalg.norm(layer.outputs(W) - y))
    return np.array(norms), W


@dataclass(frozen=True)
class Descent:
    """One run: norm (or objective) of each accepted iterate, what each step used, the best W."""

    norms: np.ndarray
    steps: np.ndarray  # the damping of each step, or its length
    W: np.ndarray
    n_evaluations: int


def levenberg_marquardt(layer, y, max_steps, tol=1e-10):
    """Non-monotone Levenberg-Marquardt: damped only where a step beats none of the last 5 norms.

    accept if |r+| <= (1 - 1e-4) max(last 5 |r|); mu starts at 0; on rejection
    mu = max(10 mu, 1e-8 tr(G)/n), at most 12 tries; on acceptance mu / 10, and 0 below
    1e-9 tr(G)/n; the best iterate is returned; stop after 20 accepted steps without 0.1 % gain.
    """
    W, y, mu, evaluations = layer.W.copy(), np.reshape(y, (len(layer.V), -1)), 0.0, 1
    r = (layer.outputs(W) - y).ravel()
    norms, dampings, best, since_gain = [np.linalg.norm(r)], [], W, 0
    while len(dampings) < max_steps and min(norms) > tol * norms[0] and since_gain < 20:
        J = layer.jacobian(W)
        G = J @ J.T
        mean = np.trace(G) / len(G)
        for _ in range(12):
            trial = W - (J.T @ solve(G, mu, r)).reshape(W.shape)
            r_trial = (layer.outputs(trial) - y).ravel()
            evaluations += 1
            if np.linalg.norm(r_trial) <= (1.0 - 1e-4) * max(norms[-5:]):
                break
            mu = max(10.0 * mu, 1e-8 * mean)
        else:
            break
        W, r = trial, r_trial
        dampings.append(mu)
        mu = mu / 10.0 if mu / 10.0 >= 1e-9 * mean else 0.0
        since_gain = 0 if np.linalg.norm(r) < (1.0 - 1e-3) * min(norms) else since_gain + 1
        if np.linalg.norm(r) < min(norms):
            best = W
        norms.append(np.linalg.norm(r))
    return Descent(np.array(norms), np.array(dampings), best, evaluations)


# ---- regularised Gauss-Newton
def objective(layer, W, y, mu, weights=None):
    """sum_i w_i |y_i - f_i(W)|^2 + mu ||W - W(0)||_F^2."""
    r = np.reshape(y, (len(layer.V), -1)) - layer.outputs(W)
    w = np.ones(len(r)) if weights is None else np.asarray(weights, dtype=float)
    return float(w @ np.square(r).sum(axis=1) + mu * np.square(W - layer.W).sum())


def regularised_step(layer, W, y, mu, weights=None):
    """Return the minimiser of the objective with f replaced by its linearisation at W."""
    J = layer.jacobian(W)
    n_outputs = len(layer.readout)
    r = (np.reshape(y, (len(layer.V), -1)) - layer.outputs(W)).ravel()
    target = r + J @ (W - layer.W).ravel()
    root = np.sqrt(
        np.repeat(np.ones(len(J) // n_outputs) if weights is None else weights, n_outputs)
    )
    g = np.linalg.solve(root[:, None] * (J @ J.T) * root + mu * np.eye(len(r)), root * target)
    return layer.W + (J.T @ (root * g)).reshape(W.shape)


def regularised_descent(layer, y, mu, n_steps, weights=None):
    """Regularised steps, each halved until the objective falls; stop where it cannot."""
    W = layer.W.copy()
    values, lengths = [objective(layer, W, y, mu, weights)], []
    for _ in range(n_steps):
        direction = regularised_step(layer, W, y, mu, weights) - W
        for length in 0.5 ** np.arange(40):
            value = objective(layer, W + length * direction, y, mu, weights)
            if value < values[-1]:
                break
        else:
            break
        W = W + length * direction
        values.append(value)
        lengths.append(length)
    return Descent(np.array(values), np.array(lengths), W, len(values))


def leave_one_out(G, r, mu):
    """Residual of each data point under the fit that never saw it, by n separate fits."""
    n = len(G)
    residuals = np.empty(n)
    for i in range(n):
        rest = np.delete(np.arange(n), i)
        alpha = np.linalg.solve(G[np.ix_(rest, rest)] + mu * np.eye(n - 1), r[rest])
        residuals[i] = r[i] - G[i, rest] @ alpha
    return residuals


# ---- the infinitely wide limit
def orthant(h, k, r):
    """P(z1 > h, z2 > k) for unit normals of correlation r, by Owen's T function [Owen 1956]."""
    if abs(r) == 1.0:
        return float(min(tail(h), tail(k)) if r > 0 else max(ndtr(-h) + ndtr(-k) - 1.0, 0.0))
    if h == 0.0 and k == 0.0:
        return 0.25 + np.arcsin(r) / (2.0 * np.pi)
    x, y, w = -h, -k, np.sqrt((1.0 - r) * (1.0 + r))

    def part(p, q):
        slope = (q - r * p) / (p * w) if p != 0.0 else np.copysign(np.inf, q)
        return 0.5 * ndtr(p) - owens_t(p, slope)

    beta = 0.0 if x * y > 0.0 or (x * y == 0.0 and x + y >= 0.0) else 0.5
    return float(part(x, y) + part(y, x) - beta)


def kappa(b, r, jumps=False):
    """2 c E[phi(z1) phi(z2)], the correlation after one layer; b >= 0, kappa(1) = 1.

    Replaces the arc-cosine kernel of [SZZ24] Lemma E.4, which holds at b = 0 only.
    """
    if abs(r) == 1.0:
        return max(float(r), 0.0)
    w = np.sqrt((1.0 - r) * (1.0 + r))
    c = hard_constant(b) if jumps else shifted_constant(b)
    both_fire = orthant(b, b, r)
    edge = density(b) * tail((b - r * b) / w)
    first = (1.0 + r) * edge  # E[z1; both fire]
    second = r * both_fire + 2.0 * r * b * edge  # E[z1 z2; both fire]
    second += w / (2.0 * np.pi) * np.exp(-b * b / (1.0 + r))
    return float(2.0 * c * (second if jumps else second - 2.0 * b * first + b * b * both_fire))


def limit_kernels(X, n_layers, b, jumps=False):
    """Return (K_{L-1}, lim G_L / m): K_l,ij = q_i q_j kappa(K_ij / (q_i q_j)), q_i^2 = K_ii.

    [SZZ24] Definition E.3, corrected: the index of Sigma; the factor K_{L-1} in the last.
    """
    K = X @ X.T
    c = hard_constant(b) if jumps else shifted_constant(b)

    def through(function):
        q = np.sqrt(np.diag(K))
        r = np.clip(K / np.outer(q, q), -1.0, 1.0)
        np.fill_diagonal(r, 1.0)
        return np.outer(q, q), np.vectorize(function)(r)

    for _ in range(n_layers - 1):
        q, correlation = through(lambda t: kappa(b, t, jumps))
        K = q * correlation
    return K, K * c * through(lambda t: orthant(b, b, t))[1]


# ---- the golden network: no random numbers
def golden():
    """Return (X, W1, layer, y, norms of h_1): n = 4, d = 3, m = 32, L = 2, b = 0.5, by formula."""
    n, d, m, b = 4, 3, 32, 0.5
    scale, std = np.sqrt(shifted_constant(b)), np.sqrt(2.0 / m)
    i, j, r = np.arange(n)[:, None], np.arange(d)[None, :], np.arange(m)[:, None]
    X = unit_rows(np.cos(i + 0.7 * j))
    W1 = std * np.sqrt(2.0) * np.sin(1.0 + 7.0 * r + 3.0 * j + r * j)
    j = np.arange(m)[None, :]
    W2 = std * np.sqrt(2.0) * np.cos(2.0 + 5.0 * r + 11.0 * j + 0.5 * r * j)
    r = r.ravel()
    a = np.where((r * r + r // 3) % 2 == 0, 1.0, -1.0)
    H = activate(X @ W1.T, np.full(n, std * b), scale)
    norms = np.linalg.norm(H, axis=1)
    layer = Layer(unit_rows(H), W2, a[None, :], np.full(n, std * b), scale)
    return X, W1, layer, np.array([1.0, -1.0, 0.5, 2.0]), norms
