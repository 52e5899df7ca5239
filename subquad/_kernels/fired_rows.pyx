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
    void __builtin_prefetch(const void *, int)

cdef enum:
    LANES = 4   # independent sums, so that an addition need not wait for the one before it
    AHEAD = 24  # rows fetched before their turn: they lie apart
    CHUNK = 1 << 13  # neurons whose rows stay in the caches while all points move them


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


cdef inline intp_t add_point(
    const intp_t *indices, intp_t p, intp_t end, intp_t first, intp_t last,
    const double *coefficients, const int8_t *signs, intp_t n_outputs, const real_t *x, intp_t d,
    real_t *W, double weight, real_t *U, uint64_t *moved,
) noexcept nogil:
    """W[r] += <coefficients, signs[r]> x for r < last among indices[p:end]; return the next p."""
    cdef:
        intp_t r, k, c
        double coefficient
        real_t step
    while p < end:
        r = indices[p]
        if r >= last:
            break
        if p + AHEAD < end:
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
        moved[(r - first) >> 6] |= <uint64_t>1 << ((r - first) & 63)
        p += 1
    return p


cdef inline intp_t add_point_of_size(
    const intp_t *indices, intp_t p, intp_t end, intp_t first, intp_t last,
    const double *coefficients, const int8_t *signs, intp_t n_outputs, const real_t *x, intp_t d,
    real_t *W, double weight, real_t *U, uint64_t *moved,
) noexcept nogil:
    """The same; sizes known to the compiler keep x in registers, for half the time at d = 3."""
    if n_outputs == 1 and d == 3:
        return add_point(indices, p, end, first, last, coefficients, signs, 1, x, 3, W, weight, U,
                         moved)
    if n_outputs == 1 and d == 5:
        return add_point(indices, p, end, first, last, coefficients, signs, 1, x, 5, W, weight, U,
                         moved)
    if n_outputs == 1:
        return add_point(indices, p, end, first, last, coefficients, signs, 1, x, d, W, weight, U,
                         moved)
    return add_point(indices, p, end, first, last, coefficients, signs, n_outputs, x, d, W, weight,
                     U, moved)


cdef inline intp_t take_rows(
    uint64_t *moved, intp_t first, const real_t *W, intp_t d, intp_t *indices, real_t *rows,
) noexcept nogil:
    """List the neurons whose bits are set, with their rows, and clear the bits."""
    cdef:
        intp_t word, r, k
        intp_t count = 0
        uint64_t bits
    for word in range(CHUNK >> 6):
        bits = moved[word]
        moved[word] = 0
        while bits:
            r = first + (word << 6) + __builtin_ctzll(bits)
            bits &= bits - 1
            indices[count] = r
            for k in range(d):
                rows[count * d + k] = W[r * d + k]
            count += 1
    return count


cdef intp_t move_share(
    const intp_t *indices, intp_t *cursors, const intp_t *ends, intp_t b, intp_t neuron,
    intp_t last_neuron, const double *coefficients, const int8_t *signs, intp_t n_outputs,
    const real_t *X, intp_t d, real_t *W, double weight, real_t *U, intp_t *moved_indices,
    real_t *moved_rows,
) noexcept nogil:
    """Move the neurons of a range, a chunk after the other, and list them; return how many."""
    cdef:
        uint64_t[CHUNK >> 6] moved
        intp_t i, last, taken
        intp_t count = 0
    for i in range(CHUNK >> 6):
        moved[i] = 0
    while neuron < last_neuron:
        last = min(neuron + CHUNK, last_neuron)
        for i in range(b):
            cursors[i] = add_point_of_size(
                indices, cursors[i], ends[i], neuron, last, &coefficients[i * n_outputs], signs,
                n_outputs, &X[i * d], d, W, weight, U, moved)
        if d == 3:
            taken = take_rows(moved, neuron, W, 3, &moved_indices[count], &moved_rows[count * 3])
        else:
            taken = take_rows(moved, neuron, W, d, &moved_indices[count], &moved_rows[count * d])
        count += taken
        neuron = last
    return count


def move_rows(
    const intp_t[::1] indices not None,         # IN      (nnz,)
    intp_t[:, ::1] cursors not None,            # IN/OUT  (n_shares, b), where each share begins
    const intp_t[:, ::1] ends not None,         # IN      (n_shares, b), and ends, in indices
    const intp_t[::1] neurons not None,         # IN      (n_shares + 1,), and its neurons
    const double[:, ::1] coefficients not None,  # IN     (b, C)
    const int8_t[:, ::1] signs not None,        # IN      (m, C)
    const real_t[:, ::1] X not None,            # IN      (b, d)
    real_t[:, ::1] W not None,                  # IN/OUT  (m, d)
    double weight,
    real_t[:, ::1] U,                           # IN/OUT  (m, d) or None
    const intp_t[::1] places not None,          # IN      (n_shares,), of each share's lists
    intp_t[::1] moved_indices not None,         # OUT     who moved, rising; room for nnz
    real_t[:, ::1] moved_rows not None,         # OUT     their rows of W
    intp_t[::1] counts not None,                # OUT     (n_shares,), how many
):
    """W[r] += delta_r, U[r] += weight * delta_r for every neuron r that fires at some point.

    delta_r = sum_i <coefficients[i], signs[r]> X[i], over the points i at which r fires. Each
    thread moves one share of the neurons.
    """
    cdef:
        intp_t t
        intp_t n_shares = counts.shape[0]
    if indices.shape[0] == 0:
        counts[:] = 0
        return
    for t in prange(n_shares, nogil=True, schedule="static", num_threads=<int>n_shares):
        counts[t] = move_share(
            &indices[0], &cursors[t, 0], &ends[t, 0], X.shape[0], neurons[t], neurons[t + 1],
            &coefficients[0, 0], &signs[0, 0], signs.shape[1], &X[0, 0], X.shape[1], &W[0, 0],
            weight, &U[0, 0] if U is not None else NULL,
            &moved_indices[min(places[t], moved_indices.shape[0] - 1)],
            &moved_rows[min(places[t], moved_indices.shape[0] - 1), 0])
