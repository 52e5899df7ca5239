"""What SGD does with the neurons that fire: sums over them, and moves of their rows.

A batch of b points comes as CSR: indices[indptr[i]:indptr[i + 1]] are the neurons that fire at
point i, rising, and values their inner products with it. signs (m, C) holds the readout of each
neuron without its size. A neuron's row receives the points of the batch in their order, whatever
the number of threads; sums over neurons are one thread's each.
"""
from cython.parallel cimport prange
from libc.stdint cimport int8_t

from subquad._kernels._types cimport intp_t, real_t, uint64_t

cdef extern from * nogil:
    int __builtin_ctzll(unsigned long long)
    int __builtin_popcountll(unsigned long long)
    void __builtin_prefetch(const void *, int)

cdef enum:
    LANES = 4   # independent sums, so that an addition need not wait for the one before it
    AHEAD = 24  # rows fetched before their turn: they lie apart


cdef inline void sum_of_one_output(
    const intp_t *indices, const real_t *values, intp_t count, double shift, const int8_t *signs,
    double *out,
) noexcept nogil:
    """out[0] = sum signs (values - shift)."""
    cdef:
        double[LANES] sums
        intp_t p = 0
        int lane
    for lane in range(LANES):
        sums[lane] = 0
    while p + LANES <= count:
        for lane in range(LANES):
            sums[lane] += signs[indices[p + lane]] * (values[p + lane] - shift)
        p += LANES
    while p < count:
        sums[0] += signs[indices[p]] * (values[p] - shift)
        p += 1
    out[0] = (sums[0] + sums[1]) + (sums[2] + sums[3])


cdef inline void sums_of_outputs(
    const intp_t *indices, const real_t *values, intp_t count, double shift, const int8_t *signs,
    intp_t n_outputs, double *out,
) noexcept nogil:
    """The same for several outputs."""
    cdef:
        intp_t p, c
        const int8_t *sign
        double above
    for c in range(n_outputs):
        out[c] = 0
    for p in range(count):
        sign = &signs[indices[p] * n_outputs]
        above = values[p] - shift
        for c in range(n_outputs):
            out[c] += sign[c] * above


def signed_sums(
    const intp_t[::1] indptr not None,      # IN   (b + 1,)
    const intp_t[::1] indices not None,     # IN   (nnz,)
    const real_t[::1] values not None,      # IN   (nnz,)
    double shift,
    const int8_t[:, ::1] signs not None,    # IN   (m, C)
    double[:, ::1] out not None,            # OUT  (b, C)
    int n_threads,
):
    """out[i] = sum over the neurons r that fire at i of signs[r] (values - shift)."""
    cdef:
        intp_t i, first
        intp_t b = out.shape[0]
        intp_t n_outputs = out.shape[1]
    if n_outputs == 0:
        return
    if indices.shape[0] == 0:
        out[:, :] = 0
        return
    for i in prange(b, nogil=True, schedule="dynamic", num_threads=n_threads):
        first = min(indptr[i], indices.shape[0] - 1)
        if n_outputs == 1:
            sum_of_one_output(&indices[first], &values[first], indptr[i + 1] - indptr[i], shift,
                              &signs[0, 0], &out[i, 0])
        else:
            sums_of_outputs(&indices[first], &values[first], indptr[i + 1] - indptr[i], shift,
                            &signs[0, 0], n_outputs, &out[i, 0])


def inner_products(
    const intp_t[::1] indptr not None,      # IN   (b + 1,)
    const intp_t[::1] indices not None,     # IN   (nnz,)
    const real_t[:, ::1] X not None,        # IN   (b, d)
    const real_t[:, ::1] V not None,        # IN   (m, d)
    real_t[::1] values not None,            # OUT  (nnz,)
    int n_threads,
):
    """values = <V[r], X[i]> for every neuron r that fires at i."""
    cdef:
        intp_t i
        intp_t b = X.shape[0]
    if indices.shape[0] == 0:
        return
    for i in prange(b, nogil=True, schedule="dynamic", num_threads=n_threads):
        products_of_one_point(&indptr[i], &indices[0], &X[i, 0], &V[0, 0], X.shape[1], &values[0])


cdef inline void products_of_one_point(
    const intp_t *bounds, const intp_t *indices, const real_t *x, const real_t *V, intp_t d,
    real_t *values,
) noexcept nogil:
    """values[p] = <V[indices[p]], x> between the bounds."""
    cdef:
        intp_t p, k
        const real_t *row
        real_t product
    for p in range(bounds[0], bounds[1]):
        row = &V[indices[p] * d]
        product = 0
        for k in range(d):
            product = product + row[k] * x[k]
        values[p] = product


cdef inline intp_t position(
    const intp_t *indices, intp_t first, intp_t last, intp_t neuron,
) noexcept nogil:
    """The first place in indices[first:last] whose neuron is at least this one."""
    cdef:
        intp_t middle
    while first < last:
        middle = first + (last - first) // 2
        if indices[middle] < neuron:
            first = middle + 1
        else:
            last = middle
    return first


cdef inline void add_point(
    const intp_t *indices, intp_t count, const double *coefficients, const int8_t *signs,
    intp_t n_outputs, const real_t *x, intp_t d, real_t *W, double weight, real_t *U,
    uint64_t *moved,
) noexcept nogil:
    """W[r] += <coefficients, signs[r]> x for every neuron r in indices; inlined for each d."""
    cdef:
        intp_t p, r, k, c, word
        intp_t open_word = -1
        uint64_t bits = 0
        double coefficient
        real_t step
    for p in range(count):
        r = indices[p]
        if p + AHEAD < count:
            __builtin_prefetch(&W[indices[p + AHEAD] * d], 1)
        coefficient = coefficients[0] * signs[r * n_outputs]
        for c in range(1, n_outputs):
            coefficient = coefficient + coefficients[c] * signs[r * n_outputs + c]
        step = <real_t>coefficient
        for k in range(d):
            W[r * d + k] += step * x[k]
        if U != NULL:
            step = <real_t>(weight * coefficient)
            for k in range(d):
                U[r * d + k] += step * x[k]
        word = r >> 6
        if word != open_word:
            if open_word >= 0:
                moved[open_word] |= bits
            open_word = word
            bits = 0
        bits |= <uint64_t>1 << (r & 63)
    if open_word >= 0:
        moved[open_word] |= bits


cdef void add_points(
    const intp_t *indptr, const intp_t *indices, intp_t b, intp_t first_neuron,
    intp_t last_neuron, const double *coefficients, const int8_t *signs, intp_t n_outputs,
    const real_t *X, intp_t d, real_t *W, double weight, real_t *U, uint64_t *moved,
) noexcept nogil:
    """Move the neurons of a range, point after point."""
    cdef:
        intp_t i, p, count
    for i in range(b):
        p = position(indices, indptr[i], indptr[i + 1], first_neuron)
        count = position(indices, p, indptr[i + 1], last_neuron) - p
        # Known sizes let the compiler keep x in registers: half the time at d = 3.
        if n_outputs == 1 and d == 3:
            add_point(&indices[p], count, &coefficients[i], signs, 1, &X[i * 3], 3, W, weight, U,
                      moved)
        elif n_outputs == 1 and d == 5:
            add_point(&indices[p], count, &coefficients[i], signs, 1, &X[i * 5], 5, W, weight, U,
                      moved)
        elif n_outputs == 1:
            add_point(&indices[p], count, &coefficients[i], signs, 1, &X[i * d], d, W, weight, U,
                      moved)
        else:
            add_point(&indices[p], count, &coefficients[i * n_outputs], signs, n_outputs,
                      &X[i * d], d, W, weight, U, moved)


def move_rows(
    const intp_t[::1] indptr not None,          # IN      (b + 1,)
    const intp_t[::1] indices not None,         # IN      (nnz,)
    const double[:, ::1] coefficients not None,  # IN     (b, C)
    const int8_t[:, ::1] signs not None,        # IN      (m, C)
    const real_t[:, ::1] X not None,            # IN      (b, d)
    real_t[:, ::1] W not None,                  # IN/OUT  (m, d)
    double weight,
    real_t[:, ::1] U,                           # IN/OUT  (m, d) or None
    uint64_t[::1] moved not None,               # IN/OUT  (words of m,), bit r set if r moves
    intp_t neurons_per_task,                    # a multiple of 64
    intp_t[::1] counts not None,                # OUT     (n_tasks,), bits set in a task's words
    int n_threads,
):
    """W[r] += sum_i <coefficients[i], signs[r]> X[i] over the i that fire r; U by weight more."""
    cdef:
        intp_t t, first, last
        intp_t m = W.shape[0]
        intp_t n_tasks = counts.shape[0]
    if indices.shape[0] == 0:
        counts[:] = 0
        return
    for t in prange(n_tasks, nogil=True, schedule="dynamic", num_threads=n_threads):
        first = t * neurons_per_task
        last = min(first + neurons_per_task, m)
        add_points(&indptr[0], &indices[0], X.shape[0], first, last, &coefficients[0, 0],
                   &signs[0, 0], signs.shape[1], &X[0, 0], X.shape[1], &W[0, 0], weight,
                   &U[0, 0] if U is not None else NULL, &moved[0])
        counts[t] = bits_set(&moved[0], first >> 6, (last + 63) >> 6)


cdef intp_t bits_set(const uint64_t *words, intp_t first, intp_t last) noexcept nogil:
    """How many bits are set in words[first:last]."""
    cdef:
        intp_t word
        intp_t count = 0
    for word in range(first, last):
        count += __builtin_popcountll(words[word])
    return count


def take_moved(
    uint64_t[::1] moved not None,           # IN/OUT  (words of m,), zero after the call
    const intp_t[::1] offsets not None,     # IN      (n_tasks + 1,), sums of the counts
    intp_t neurons_per_task,
    const real_t[:, ::1] W not None,        # IN      (m, d)
    intp_t[::1] indices not None,           # OUT     (offsets[-1],)
    real_t[:, ::1] rows not None,           # OUT     (offsets[-1], d)
    int n_threads,
):
    """indices = the neurons whose bits are set, rising; rows = W[indices]."""
    cdef:
        intp_t t
        intp_t n_tasks = offsets.shape[0] - 1
        intp_t words = neurons_per_task >> 6
    if indices.shape[0] == 0:
        return
    for t in prange(n_tasks, nogil=True, schedule="dynamic", num_threads=n_threads):
        if offsets[t + 1] > offsets[t]:
            take_words(&moved[0], t * words, min((t + 1) * words, moved.shape[0]), &W[0, 0],
                       W.shape[1], &indices[offsets[t]], &rows[offsets[t], 0])


cdef void take_words(
    uint64_t *moved, intp_t first, intp_t last, const real_t *W, intp_t d, intp_t *indices,
    real_t *rows,
) noexcept nogil:
    """List the bits set in moved[first:last] and their rows, and clear them."""
    cdef:
        intp_t word, r, k
        intp_t place = 0
        uint64_t bits
    for word in range(first, last):
        bits = moved[word]
        moved[word] = 0
        while bits:
            r = (word << 6) + __builtin_ctzll(bits)
            bits &= bits - 1
            indices[place] = r
            for k in range(d):
                rows[place * d + k] = W[r * d + k]
            place += 1
