"""Tangent kernels by their definitions, in plain numpy and mpmath."""

import numpy as np
from scipy import special


def relu_kernels(X, depth):
    """[(K_l, Theta_l)] of ReLU: Cho and Saul (2009), Jacot et al. (2018), as neural-tangents.

    Angles come from chords, x / |x| - y / |y|, by pairs, since arccos loses those near 0.
    """
    norms = np.linalg.norm(X, axis=1)
    size = np.outer(norms, norms)
    units = X / norms[:, None]
    chords = np.linalg.norm(units[:, None] - units, axis=2)
    sums = np.linalg.norm(units[:, None] + units, axis=2)
    angle = 2 * np.arctan2(chords, sums)
    K = size * np.cos(angle)
    Theta, found = K, [(K, K)]
    for _ in range(depth):
        # 1 - K / size = (1 - cos) + (angle cos - sin) / pi, in terms that do not cancel
        gap = 2 * np.sin(angle / 2) ** 2 + angle_cos_minus_sin(angle) / np.pi
        K = size * (1 - gap)
        Theta = Theta * (np.pi - angle) / np.pi + K
        found.append((K, Theta))
        angle = 2 * np.arcsin(np.sqrt(gap / 2))
    return found


def angle_cos_minus_sin(angle):
    """Compute angle cos(angle) - sin(angle)."""
    small = np.minimum(angle, 0.1)
    series = -(small**3) / 3 * (1 - small**2 / 10 * (1 - small**2 / 28 * (1 - small**2 / 54)))
    return np.where(angle < 0.1, series, angle * np.cos(angle) - np.sin(angle))


def orthant(h, k, r):
    """P(z1 > h, z2 > k) by Owen's T function, to an absolute 1e-15."""
    x, y, w = -h, -k, np.sqrt(1 - r * r)
    if h == k == 0:
        return 0.25 + np.arcsin(r) / (2 * np.pi)
    if w == 0:
        lower, upper = special.ndtr(x), special.ndtr(y)
        return min(lower, upper) if r > 0 else max(lower + upper - 1, 0.0)
    first = np.sign(y) * np.inf if x == 0 else (y - r * x) / (x * w)
    second = np.sign(x) * np.inf if y == 0 else (x - r * y) / (y * w)
    beta = 0.0 if x * y > 0 or (x * y == 0 and x + y >= 0) else 0.5
    halves = (special.ndtr(x) + special.ndtr(y)) / 2
    return halves - special.owens_t(x, first) - special.owens_t(y, second) - beta


def first_and_product_moments(h, k, r):
    """(m10, m01, m11): E z1, E z2 and E z1 z2 over z1 > h and z2 > k, for |r| < 1."""
    pdf, Q = (lambda x: np.exp(-x * x / 2) / np.sqrt(2 * np.pi)), (lambda x: special.ndtr(-x))
    w = np.sqrt(1 - r * r)
    A, B = (k - r * h) / w, (h - r * k) / w
    m10 = pdf(h) * Q(A) + r * pdf(k) * Q(B)
    m01 = r * pdf(h) * Q(A) + pdf(k) * Q(B)
    density = w / (2 * np.pi) * np.exp(-(h * h - 2 * r * h * k + k * k) / (2 * w * w))
    m11 = r * orthant(h, k, r) + r * h * pdf(h) * Q(A) + r * k * pdf(k) * Q(B) + density
    return m10, m01, m11


def rectified_moment(h, k, r):
    """E (z1 - h)_+ (z2 - k)_+, from the bracket of its moments, which cancels."""
    m10, m01, m11 = first_and_product_moments(h, k, r)
    return m11 - k * m10 - h * m01 + h * k * orthant(h, k, r)


def precise_orthant_moments(h, k, angle):
    """The orthant probability and E (z1 - h)_+ (z2 - k)_+ by integrals over one normal."""
    import mpmath

    # `quad` looks at absolute errors.
    with mpmath.workdps(30 + int(h * h + k * k) // 6):
        h, k, angle = map(mpmath.mpf, (h, k, angle))
        r, w = mpmath.cos(angle), mpmath.sin(angle)

        def tail(z):  # P(z2 > k | z1 = z)
            return mpmath.erfc((k - r * z) / (w * mpmath.sqrt(2))) / 2

        def excess(z):  # E (z2 - k)_+ given z1 = z
            gap = (k - r * z) / w
            return w * mpmath.npdf(gap) - w * gap * mpmath.erfc(gap / mpmath.sqrt(2)) / 2

        turn = k / r if r != 0 else h
        cuts = [h + x for x in (0.1, 0.4, 1, 2, 4, 8, 20)]
        cuts += [turn + x * w for x in (-8, -2, 0, 2, 8) if h < turn + x * w < h + 20]
        ends = [h, *sorted(set(cuts))]
        L = mpmath.quad(lambda z: mpmath.npdf(z) * tail(z), ends)
        M = mpmath.quad(lambda z: mpmath.npdf(z) * (z - h) * excess(z), ends)
        return L, M


def evaluate_profile(table, offset, half_chord, opposite):
    """The piecewise polynomial that the kernel evaluates, at one point."""
    n_pieces, per_octave = len(table) // 2, 32
    y = half_chord + offset
    octave = int(np.floor(np.log2(y / offset)))
    place = (y / (offset * 2.0**octave) - 1) * per_octave
    piece = octave * per_octave + int(place)
    x = 2 * (place - int(place)) - 1
    return np.polynomial.polynomial.polyval(x, table[piece + n_pieces * opposite])


def precise_layers(activation, depth, angle, digits=60):
    """[(K_l, slope_l)] of unit rows at an mpmath angle: K_0 .. K_depth, and slope_0 = None.

    These are textbook formulas, which cancel, with digits to spare: the moments from the orthant
    probability, and that from Plackett's integral (1954) over the angle.
    """
    import mpmath as mp

    with mp.workdps(digits):
        b, angle = mp.mpf(activation.shift), mp.mpf(angle)
        Q, pdf = mp.erfc(b / mp.sqrt(2)) / 2, mp.npdf(b)
        jumps = activation.jumps
        twice_c = 1 / (Q + b * pdf if jumps else (1 + b * b) * Q - b * pdf)
        found = [(mp.cos(angle), None)]
        for _ in range(depth):
            r, half = mp.cos(angle), mp.tan(angle / 2) if angle < mp.pi else mp.inf
            L = _precise_orthant(b, angle, Q)
            tail = mp.erfc(b * half / mp.sqrt(2)) / 2 if b else mp.mpf(1) / 2
            density = mp.exp(-b * b / (1 + r)) * mp.sin(angle) / (2 * mp.pi) if r > -1 else 0
            product = r * (L + 2 * b * pdf * tail) + density
            K = product if jumps else product - 2 * b * (1 + r) * pdf * tail + b * b * L
            found.append((twice_c * K, twice_c * L))
            angle = mp.acos(min(twice_c * K, mp.mpf(1)))
        return found


def precise_pair(activation, depth, x, y, digits=50):
    """(K_depth, its diagonal entries) of two rows of floats, for thresholds that are fixed."""
    import mpmath as mp

    with mp.workdps(digits):
        x, y, b = [mp.mpf(float(t)) for t in x], [mp.mpf(float(t)) for t in y], activation.shift
        p, q = mp.norm(x), mp.norm(y)
        angle = mp.acos(mp.fdot(x, y) / (p * q))
        Q, pdf = mp.erfc(b / mp.sqrt(2)) / 2, mp.npdf(b)
        twice_c = 1 / (Q + b * pdf if activation.jumps else (1 + b * b) * Q - b * pdf)
        for _ in range(depth):
            K = twice_c * _precise_product(activation, p, q, angle)
            p, q = (
                mp.sqrt(twice_c * _precise_product(activation, t, t, mp.mpf(0))) for t in (p, q)
            )
            angle = mp.acos(K / (p * q))
        return K, p * p, q * q


def _precise_product(activation, p, q, angle):
    """E phi(u) phi(v) over c, from the bracket of the moments of z1 > h and z2 > k."""
    import mpmath as mp

    h, k = sorted([activation.shift / p, activation.shift / q])
    r, w, gap = mp.cos(angle), mp.sin(angle), k - h

    def e(t):
        return mp.exp(-((gap / mp.sin(t)) ** 2) / 2 - h * k / (2 * mp.cos(t / 2) ** 2))

    def Q(x):
        return mp.erfc(x / mp.sqrt(2)) / 2

    if angle == 0:
        L, m10, m01, m11 = Q(k), mp.npdf(k), mp.npdf(k), Q(k) + k * mp.npdf(k)
    else:
        cuts = [gap * x for x in (0.1, 0.3, 1, 3, 10) if gap * x < angle] if gap else []
        L = Q(k) - mp.quad(lambda t: e(t) if t else 0, sorted({0, *cuts, angle})) / (2 * mp.pi)
        first, second = mp.npdf(h) * Q((k - r * h) / w), mp.npdf(k) * Q((h - r * k) / w)
        m10, m01 = first + r * second, r * first + second
        m11 = r * (L + h * first + k * second) + w / (2 * mp.pi) * e(angle)
    return p * q * (m11 if activation.jumps else m11 - k * m10 - h * m01 + h * k * L)


def _precise_orthant(b, angle, Q):
    """P(z1 > b, z2 > b): from angle 0 or pi, whichever is nearer."""
    import mpmath as mp

    def e(t):
        cosine = mp.cos(t / 2)
        return mp.exp(-b * b / (2 * cosine * cosine)) / (2 * mp.pi)

    if b == 0:
        return (mp.pi - angle) / (2 * mp.pi)
    if angle < 2:
        return Q - mp.quad(e, [0, angle / 2, angle])
    cuts = [(mp.pi - angle) * x for x in (mp.mpf("0.25"), mp.mpf("0.5"), 1)]
    return mp.quad(lambda rest: e(mp.pi - rest) if rest else mp.mpf(0), [0, *cuts])
