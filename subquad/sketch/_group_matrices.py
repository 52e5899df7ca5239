"""TensorSketch of sums of u_t (x) v_t through the matrices U_i^T V_i of the groups.

S is a count sketch of the entries of U_i^T V_i, and takes an addition for each. Where there are
fewer of these than the Fourier transforms of the rows of a group have numbers, it is the faster
way: 20 times at s = 1024 for the 196 positions of a convolution of 27 inputs and 32 channels.
"""

import math

import numpy as np

from subquad._groups import group_matrices
from subquad._parallel import blocks, map_in_threads
from subquad.sketch._base import useful_threads
from subquad.sketch._count_sketch import sketch_rows

# Nanoseconds of one core, by the bytes of a number: a multiply-add, an entry of u or v added to its
# bucket, a number of a transform for each level of it. Then an entry of U_i^T V_i, written and
# added to its bucket, and what else a row takes on its way. With these the faster way was chosen
# for 42 layers, from 27 x 32 to 512 x 512, with groups of 16 to 196 rows and s from 256 to 4096.
_MULTIPLY_ADD_NS = {4: 0.03, 8: 0.06}
_SCATTER_NS = {4: 0.5, 8: 1.2}
_FOURIER_NS = {4: 0.11, 8: 0.21}
_ENTRY_NS, _ROW_NS = 1.0, 300.0
# A block of matrices has about so many entries.
_ENTRIES = 2**18
# A block of the matrix of one group takes at most so many multiply-adds, a fraction of a second.
_MULTIPLY_ADDS_PER_TASK = 2**33
# Ctrl-C is heard after so many blocks.
_TASKS_PER_CALL = 64


def prefers_matrices(U, V, groups, size):
    """Return whether the way through matrices is there, for dense rows, and expected faster."""
    if not (isinstance(U, np.ndarray) and isinstance(V, np.ndarray)):
        return False
    m_u, m_v, nbytes = U.shape[1], V.shape[1], U.itemsize
    transform = _FOURIER_NS[nbytes] * size * math.log2(max(2, size))
    scatter = _SCATTER_NS[nbytes] * (m_u + m_v)
    by_rows = groups.n_rows * (_ROW_NS + scatter + 2 * transform) + groups.n * transform
    sums = groups.n_rows * _MULTIPLY_ADD_NS[nbytes] + groups.n * _ENTRY_NS
    return m_u * m_v * sums < by_rows


def sketch_matrices(codes, U, V, groups, out, n_threads):
    """Fill `out` with the sketches; `codes` are those of the count sketches of u and v."""
    (m_u, m_v), size = (len(code) for code in codes), out.shape[1]
    longest = max(1, int(groups.counts.max()))
    entries = min(_ENTRIES, _MULTIPLY_ADDS_PER_TASK // longest)
    in_v = slice(0, m_v)
    n_threads = useful_threads(n_threads, U.size + V.size + groups.n * m_u * m_v)
    for in_u in blocks(m_u, entries // m_v):
        code = _code_of_pairs(codes[0][in_u], codes[1], size)

        def sketch(which, in_u=in_u, code=code):
            rows, part = groups.part(which)
            with np.errstate(all="ignore"):  # NaN and infinity are noticed afterwards
                M = group_matrices(U[rows], V[rows], part, in_u, in_v, out.dtype)
            target = out[which] if in_u.start == 0 else np.empty((part.n, size), out.dtype)
            sketch_rows(M.reshape(part.n, -1), code, target)
            if in_u.start > 0:
                out[which] += target

        tasks = list(blocks(groups.n, entries // len(code)))
        for some in blocks(len(tasks), _TASKS_PER_CALL):
            map_in_threads(sketch, tasks[some], n_threads)


def _code_of_pairs(code_u, code_v, size):
    """Return the codes of all pairs of coordinates: the sum of buckets mod s, and both signs."""
    buckets = np.add.outer(code_u >> 1, code_v >> 1) % size
    return (2 * buckets + np.bitwise_xor.outer(code_u & 1, code_v & 1)).ravel()
