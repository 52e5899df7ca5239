"""Moments of any activation of two correlated normals, by quadrature in polar coordinates.

For u = p z1, v = q z2 the plane of independent normals has polar coordinates in which

    u = p R sin(angle - x),  v = -q R sin x       for x in (0, angle),
    u = p R sin(supplement - x),  v = q R sin x   for x in (0, supplement),

and the opposites of both, make up the circle. A kink or jump of the activation at zero lies on the
ends of these arcs, where Gauss-Legendre rules do not see it, and the arcs may be as short as they
like.
"""

import numpy as np

from subquad._parallel import blocks

# Radii end at 9.5, where exp(-r^2 / 2) = 3e-20.
_N_ANGLES, _N_RADII, _LARGEST = 32, 64, 9.5
# Temporary arrays hold at most so many numbers.
_BLOCK = 2**19


def _rules():
    """Nodes on (0, 1) with weights, and radii with weights of R exp(-R^2 / 2)."""
    x, weights = np.polynomial.legendre.leggauss(_N_ANGLES)
    z, radial = np.polynomial.legendre.leggauss(_N_RADII)
    radii = _LARGEST * (z + 1) / 2
    radial = radial * _LARGEST / 2 * radii * np.exp(-np.square(radii) / 2)
    return (x + 1) / 2, weights / 2, radii, radial / radial.sum()


_X, _ANGULAR, _RADII, _RADIAL = _rules()


def expectations(functions, p, q, angle, supplement):
    """Return E F(u, v) for each of the functions; p, q and angles broadcast."""
    p, q, angle, supplement = np.broadcast_arrays(p, q, angle, supplement)
    shape = angle.shape
    columns = [np.ravel(x)[:, None, None] for x in (p, q, angle, supplement)]
    sums = np.zeros((len(functions), angle.size))
    for part in blocks(angle.size, _BLOCK // (_N_ANGLES * _N_RADII)):
        sums[:, part] = _sums(functions, *(x[part] for x in columns))
    return [total.reshape(shape) for total in sums]


def _sums(functions, p, q, angle, supplement):
    """The integrals for columns of parameters."""
    totals = np.zeros((len(functions), len(angle)))
    for arc, side in ((angle, -1.0), (supplement, 1.0)):
        x = arc * _X[None, :, None]
        u = p * np.sin(arc - x) * _RADII
        v = side * q * np.sin(x) * _RADII
        weight = arc[:, 0, 0] / (2 * np.pi)
        for sign in (1.0, -1.0):
            for total, function in zip(totals, functions, strict=True):
                total += weight * ((function(sign * u, sign * v) @ _RADIAL) @ _ANGULAR)
    return totals
