"""Which neurons fire, and how many fire at two data points together.

A neuron r fires at data point i when Z[i, r] > thresholds[i]. The fired sets are kept as bits
(64 neurons to a word) or as CSR rows. S = D^T D, the matrix of the counts, is exact: with readouts
of equal magnitude it replaces a GEMM over the m neurons by m / 64 words per pair ([SZZ24],
Algorithm 2, lines 12-13; the Gram matrix of the Jacobian is K o S up to a factor).
"""
from cython.parallel cimport prange

from subquad._kernels._openmp cimport omp_get_thread_num
from subquad._kernels._simd cimport simd_level
from subquad._kernels._types cimport int32_t, intp_t, real_t, uint64_t

cdef extern from "coactivation.h" nogil:
    ctypedef void (*popcount_block_fn)(
        const uint64_t *, intp_t, const uint64_t *, intp_t, intp_t, int32_t *, intp_t,
    ) noexcept nogil
    const popcount_block_fn *popcount_block
    ctypedef intp_t (*mark_row_f32_fn)(const float *, intp_t, float, uint64_t *) noexcept nogil
    ctypedef intp_t (*mark_row_f64_fn)(const double *, intp_t, double, uint64_t *) noexcept nogil
    const mark_row_f32_fn *mark_row_f32
    const mark_row_f64_fn *mark_row_f64
    void transpose_64(uint64_t *)

cdef extern from *:
    """
    #define sq_lowest_bit(x) __builtin_ctzll(x)
    """
    int sq_lowest_bit(uint64_t) noexcept nogil

# Rows of one side of a block of pairs: 64 rows of 16384 bits are 128 KiB, two sides fit in cache.
cdef enum:
    ROW_BLOCK = 64

# Numbers of int32 that coactivation_gram needs as scratch for each thread.
GRAM_COUNTS = ROW_BLOCK * ROW_BLOCK


def mark_fired(
    const real_t[:, ::1] Z not None,            # IN   (n, m)
    const real_t[::1] thresholds not None,      # IN   (n,)
    uint64_t[:, ::1] fired not None,            # OUT  (n, words of m)
    intp_t[::1] counts not None,                # OUT  (n,)
    int n_threads,
):
    """fired[i] = the neurons that fire at data point i, as bits; counts[i] = their number."""
    cdef:
        intp_t i
        intp_t n = Z.shape[0]
        intp_t m = Z.shape[1]
        int level = simd_level()
    if n == 0:
        return
    if m == 0:
        counts[:] = 0
        return
    for i in prange(n, nogil=True, schedule="static", num_threads=n_threads):
        if real_t is float:
            counts[i] = mark_row_f32[level](&Z[i, 0], m, thresholds[i], &fired[i, 0])
        else:
            counts[i] = mark_row_f64[level](&Z[i, 0], m, thresholds[i], &fired[i, 0])


def gather_fired(
    const real_t[:, ::1] Z not None,            # IN   (n, m)
    const uint64_t[:, ::1] fired not None,      # IN   (n, words of m), from mark_fired
    const intp_t[::1] indptr not None,          # IN   (n + 1,), sums of its counts
    intp_t[::1] indices not None,               # OUT  (nnz,)
    real_t[::1] values not None,                # OUT  (nnz,)
    int n_threads,
):
    """Write the fired neurons of every data point and their pre-activations as CSR rows.

    Only the bits, and Z where they are set, are read.
    """
    cdef:
        intp_t i
        intp_t n = Z.shape[0]
    if n == 0 or indices.shape[0] == 0:
        return
    for i in prange(n, nogil=True, schedule="static", num_threads=n_threads):
        gather_row(&Z[i, 0], &fired[i, 0], fired.shape[1], &indices[0] + indptr[i],
                   &values[0] + indptr[i])


cdef inline void gather_row(
    const real_t *z, const uint64_t *fired, intp_t words, intp_t *indices, real_t *values,
) noexcept nogil:
    """List the bits that are set, and the entries of z where they are."""
    cdef:
        intp_t w, r
        intp_t found = 0
        uint64_t bits
    for w in range(words):
        bits = fired[w]
        while bits:
            r = 64 * w + sq_lowest_bit(bits)
            indices[found] = r
            values[found] = z[r]
            found += 1
            bits &= bits - 1


def transpose_bits(
    const uint64_t[:, ::1] bits not None,   # IN   (m, words of n)
    uint64_t[:, ::1] transposed not None,   # OUT  (n, words of m)
    int n_threads,
):
    """transposed[i, r / 64] holds bit i of bits[r] as its bit r % 64."""
    cdef:
        intp_t block
        intp_t m = bits.shape[0]
        intp_t n = transposed.shape[0]
        intp_t n_blocks = transposed.shape[1]
    if m == 0 or n == 0:
        return
    for block in prange(n_blocks, nogil=True, schedule="static", num_threads=n_threads):
        transpose_neurons(&bits[0, 0], m, bits.shape[1], block, &transposed[0, 0], n, n_blocks)


cdef void transpose_neurons(
    const uint64_t *bits, intp_t m, intp_t words, intp_t block,
    uint64_t *transposed, intp_t n, intp_t n_blocks,
) noexcept nogil:
    """Write word number block of every row of transposed."""
    cdef:
        uint64_t square[64]
        intp_t w, k
    for w in range(words):
        for k in range(64):
            square[k] = bits[(64 * block + k) * words + w] if 64 * block + k < m else 0
        transpose_64(square)
        for k in range(min(64, n - 64 * w)):
            transposed[(64 * w + k) * n_blocks + block] = square[k]


def count_bits(
    const uint64_t[:, ::1] fired not None,  # IN   (n, words)
    int32_t[::1] counts not None,           # OUT  (n,)
    int n_threads,
):
    """counts[i] = number of bits set in row i."""
    cdef:
        intp_t i
        intp_t n = fired.shape[0]
        intp_t words = fired.shape[1]
        int level = simd_level()
    if n == 0 or words == 0:
        counts[:] = 0
        return
    for i in prange(n, nogil=True, schedule="static", num_threads=n_threads):
        popcount_block[level](&fired[i, 0], 1, &fired[i, 0], 1, words, &counts[i], 1)


def coactivation_gram(
    const uint64_t[:, ::1] fired not None,  # IN   (n, words of m)
    const double[:, ::1] K not None,        # IN   (n, n), symmetric
    double scale,
    double[:, ::1] G not None,              # OUT  (n, n)
    int32_t[:, ::1] counts not None,        # scratch (n_threads, GRAM_COUNTS)
    int n_threads,
):
    """G = scale * K o S without S: the Gram matrix of Jacobian rows of equal-magnitude readouts."""
    cdef:
        intp_t block
        intp_t n = fired.shape[0]
        intp_t words = fired.shape[1]
        intp_t n_blocks = (n + ROW_BLOCK - 1) // ROW_BLOCK
        int level = simd_level()
    if n == 0:
        return
    for block in prange(n_blocks, nogil=True, schedule="dynamic", num_threads=n_threads):
        gram_rows(level, &fired[0, 0] if words > 0 else NULL, words, n_blocks - 1 - block, n,
                  &K[0, 0], scale, &G[0, 0], &counts[omp_get_thread_num(), 0])


cdef void gram_rows(
    int level, const uint64_t *fired, intp_t words, intp_t block, intp_t n,
    const double *K, double scale, double *G, int32_t *counts,
) noexcept nogil:
    """Fill rows of one block up to the diagonal block, and their mirror."""
    cdef:
        intp_t first = block * ROW_BLOCK
        intp_t rows = min(ROW_BLOCK, n - first)
        intp_t k, column, columns, i, j
        double g
    for k in range(block + 1):
        column = k * ROW_BLOCK
        columns = min(ROW_BLOCK, n - column)
        popcount_block[level](fired + first * words, rows, fired + column * words, columns, words,
                              counts, ROW_BLOCK)
        for i in range(rows):
            for j in range(columns):
                g = scale * K[(first + i) * n + column + j] * counts[i * ROW_BLOCK + j]
                G[(first + i) * n + column + j] = g
                G[(column + j) * n + first + i] = g


def weighted_gram(
    const uint64_t[:, ::1] fired not None,  # IN   (m, words of n): where each neuron fires
    const double[::1] weights not None,     # IN   (m,)
    const double[:, ::1] K not None,        # IN   (n, n)
    double[:, ::1] G not None,              # OUT  (n, n)
    int n_threads,
):
    """G = K o sum_r weights[r] d_r d_r^T, d_r the 0/1 vector of the points where neuron r fires.

    A row is weighed by K while it is in the cache.
    """
    cdef:
        intp_t i, j
        intp_t n = G.shape[0]
    if n == 0:
        return
    # Row i is one thread's alone, so every sum runs over the neurons in order.
    for i in prange(n, nogil=True, schedule="dynamic", num_threads=n_threads):
        for j in range(n):
            G[i, j] = 0
        if fired.shape[0] > 0:
            add_pairs(&fired[0, 0], fired.shape[0], fired.shape[1], &weights[0], i, &G[i, 0])
        for j in range(n):
            G[i, j] = G[i, j] * K[i, j]


cdef void add_pairs(
    const uint64_t *fired, intp_t m, intp_t words, const double *weights, intp_t i, double *row,
) noexcept nogil:
    """row[j] += sum of the weights of the neurons that fire at both i and j."""
    cdef:
        intp_t r, w
        uint64_t bits
    for r in range(m):
        if not (fired[r * words + (i >> 6)] >> (i & 63)) & 1:
            continue
        for w in range(words):
            bits = fired[r * words + w]
            while bits:
                row[64 * w + sq_lowest_bit(bits)] += weights[r]
                bits &= bits - 1
