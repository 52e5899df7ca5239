"""TensorSketch: the convolution of two count sketches."""

import math

import numpy as np
import scipy.fft

from subquad.sketch._base import MAX_SIZE, RAISES
from subquad.sketch._count_sketch import draw, sketch_rows
from subquad.sketch._fft import Borrowed, isometric, multiply_transforms
from subquad.sketch._group_matrices import prefers_matrices, sketch_matrices
from subquad.sketch._rows import is_finite
from subquad.sketch._tensor_base import PARAMETERS, TensorMap


class TensorSketch(TensorMap):
    __doc__ = f"""S[r, (j, k)] = sigma_1(j) sigma_2(k) where h_1(j) + h_2(k) = r mod s, else 0.

    The buckets h_1, h_2 and the signs sigma_1, sigma_2 = +-1 are uniform and independent. The
    sketch of u (x) v is the cyclic convolution of the count sketches of u and v, a product of
    spectra; u (x) v is never formed. E[S^T S] = I.
{PARAMETERS}
    buckets : tuple of two ndarrays of intp, shapes (m_u,) and (m_v,)
    signs : tuple of two ndarrays of int8, shapes (m_u,) and (m_v,)
        h_1, h_2 and sigma_1, sigma_2, read-only.
{RAISES}
    Notes
    -----
    For each pair, nnz(u) + nnz(v) additions and three real Fourier transforms of length s, one of
    them the inverse. `prepare(V)` saves one for each later call, and `gram` the inverse: by
    Parseval's identity inner products of sketches are those of their spectra. FFTW transforms
    where pyfftw is installed, scipy.fft otherwise: see `fft_backend`.

    The sums of T pairs by n groups take 2 T + n transforms. S is also a count sketch of the entries
    of u v^T: where it is faster, T m_u m_v multiply-adds of BLAS make the sums of these matrices,
    and m_u m_v additions sketch each.

    s = ceil(11 n_points^2 / (epsilon^2 delta)), rounded up to a length that transforms fast,
    suffices: the constant 2 + 3^2 is that of Avron, Nguyen and Woodruff 2014, proof of Theorem 1.
    In practice s = n_points / epsilon^2 behaves like normal entries.

    The draws are the same on every machine. Sums are bitwise the same for every number of threads;
    they may differ in the last digits between the libraries that transform, and their versions.

    [SZZ24], Definition D.2 and Lemma D.5, with one sign function for each side, as Lemma D.4 needs.

    Examples
    --------
    >>> S = TensorSketch((300, 200), 64, rng=0)
    >>> rng = np.random.default_rng(1)
    >>> U, V = rng.standard_normal((3, 300)), rng.standard_normal((3, 200))
    >>> J = np.einsum("ij,ik->ijk", U, V).reshape(3, -1)
    >>> bool(np.allclose(S.apply(U, V), J @ S.matrix().T))
    True
    >>> prepared = S.prepare(V)
    >>> bool(np.allclose(S.gram(U, prepared), S.apply(U, V) @ S.apply(U, V).T))
    True
    """

    @staticmethod
    def _required_size(guarantee, n_features):
        n, epsilon, delta = guarantee
        size = math.ceil(11 * n**2 / (epsilon**2 * delta))
        if size > MAX_SIZE:
            return size  # and be refused
        return scipy.fft.next_fast_len(size, real=True)

    def _draw(self, rng):
        (h_u, sigma_u, code_u), (h_v, sigma_v, code_v) = (
            draw(rng, m, self.sketch_size) for m in self.n_features
        )
        self._set(buckets=(h_u, h_v), signs=(sigma_u, sigma_v), _codes=(code_u, code_v))

    @property
    def _gram_scale(self):
        """By Parseval's identity: see `isometric`."""
        return 2 / self.sketch_size

    def _prefers_matrices(self, U, V, groups):
        return prefers_matrices(U, V, groups, self.sketch_size)

    def _sketch_matrices(self, out, U, V, groups, n_threads):
        sketch_matrices(self._codes, U, V, groups, out, n_threads)
        return is_finite(out)

    def _room(self, rows, dtype):
        return Borrowed(rows, self.sketch_size, dtype)

    def _transform(self, side, X, room):
        count = X.shape[0]
        sketch_rows(X, self._codes[side], room.real[:count], 1, room.scratch)
        room.forward()
        return room.transform[:count]

    def _multiply(self, product, transforms):
        multiply_transforms(product, transforms)

    def _loaded(self, sums, room):
        product = room.transform[: len(sums)]
        product[:] = sums
        return product

    def _finish(self, product, out, room):
        room.backward()
        np.multiply(room.real[: len(out)], out.dtype.type(1 / room.gain), out=out)

    def _keep(self, product, out, room):
        out[:] = product
        isometric(out)

    def _matrix(self):
        (h_u, h_v), (sigma_u, sigma_v) = self.buckets, self.signs
        S = np.zeros((self.sketch_size, h_u.size * h_v.size))
        row = np.add.outer(h_u, h_v).ravel() % self.sketch_size
        S[row, np.arange(row.size)] = np.multiply.outer(sigma_u, sigma_v).ravel()
        return S
