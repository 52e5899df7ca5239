"""Rows of a matrix split in two at a rank, by one of their coordinates."""
from libc.math cimport INFINITY

from subquad._kernels._types cimport int32_t, intp_t, real_t

cdef enum:
    SAMPLE = 63   # rows from which a pivot is guessed


cdef inline intp_t longest_side(const real_t *rows, intp_t n, intp_t d) noexcept nogil:
    """Return the coordinate in which the points lie furthest apart."""
    cdef:
        intp_t i, j, longest = 0
        real_t low, high, length = -1
    for j in range(d):
        low = INFINITY
        high = -INFINITY
        for i in range(n):
            low = min(low, rows[i * d + j])
            high = max(high, rows[i * d + j])
        if high - low > length:
            length = high - low
            longest = j
    return longest


cdef inline void select_row(
    real_t *rows, intp_t d, int32_t *ids, intp_t begin, intp_t end, intp_t row, intp_t axis,
) noexcept nogil:
    """Reorder rows begin <= i < end: none before `row` is larger than any from it on."""
    cdef:
        intp_t i, j
        real_t pivot
    while end - begin > 1:
        pivot = guess(rows, d, begin, end, row, axis)
        i = begin
        j = end - 1
        while i <= j:
            while rows[i * d + axis] < pivot:
                i += 1
            while rows[j * d + axis] > pivot:
                j -= 1
            if i <= j:
                swap_rows(rows, d, ids, i, j)
                i += 1
                j -= 1
        if row <= j:
            end = j + 1
        elif row >= i:
            begin = i
        else:
            return


cdef inline real_t guess(
    const real_t *rows, intp_t d, intp_t begin, intp_t end, intp_t row, intp_t axis,
) noexcept nogil:
    """Return one of the values near the wanted rank, beyond it on the side of the most rows."""
    cdef:
        real_t sample[SAMPLE]
        real_t x
        intp_t n = min(end - begin, <intp_t> SAMPLE)
        intp_t i, j, rank
    for i in range(n):
        x = rows[(begin + i * (end - begin) // n) * d + axis]
        j = i
        while j > 0 and sample[j - 1] > x:
            sample[j] = sample[j - 1]
            j -= 1
        sample[j] = x
    rank = (row - begin) * n // (end - begin)
    if end - begin > SAMPLE:
        rank += 4 if 2 * rank < n else -4
    return sample[max(0, min(n - 1, rank))]


cdef inline void swap_rows(
    real_t *rows, intp_t d, int32_t *ids, intp_t i, intp_t j,
) noexcept nogil:
    cdef intp_t k
    for k in range(d):
        rows[i * d + k], rows[j * d + k] = rows[j * d + k], rows[i * d + k]
    ids[i], ids[j] = ids[j], ids[i]
