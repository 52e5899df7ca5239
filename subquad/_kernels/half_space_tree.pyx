"""The tree of a half-space report: which point lies in which block.

Leaves l0 <= l < l1 are split in two at leaf `halfway(l0, l1)`, by one coordinate; the split is
stored under that number. So the cells of the leaves tile space, and a point finds its leaf.
Nothing here computes an inner product: see half_space.pyx.

A change is planned first, then its arrays grow, and then one kernel call makes it whole: a signal
is handled between calls, never inside one, so an interrupted change happened or did not. What must
change together with the points, the `tally` of the report, is written by the same call. The file is
long since these calls share the layout of blocks, lanes and codes.
"""
from libc.math cimport NAN, sqrt

from subquad._kernels.half_space_select cimport longest_side, select_row
from subquad._kernels._types cimport int32_t, intp_t, real_t, uint64_t

cdef extern from *:
    """
    #define sq_lowest_bit(x) __builtin_ctzll(x)
    #define sq_fetch(p) __builtin_prefetch(p)
    """
    int sq_lowest_bit(uint64_t) noexcept nogil
    void sq_fetch(const void *) noexcept nogil

cdef extern from "half_space.h" nogil:
    enum:
        FAN "HALF_SPACE_FAN"
        LANES "HALF_SPACE_LANES"
        ITEM "HALF_SPACE_ITEM"
        ITEMS "HALF_SPACE_ITEMS"

# A point whose code is this many times further from it than the others of its block calls for new
# codes of the block.
cdef double COARSER = 1.25

cdef enum:
    AHEAD = 16   # points for which memory is asked before it is read


cdef inline intp_t halfway(intp_t low, intp_t high) noexcept nogil:
    """Return the leaf that begins the second half: a whole number of the largest nodes inside."""
    cdef intp_t size = 1
    while size * FAN < high - low:
        size *= FAN
    return low + size * (((high - low + size - 1) // size + 1) // 2)


def split(
    real_t[:, ::1] rows not None,           # IN/OUT  (n, d): in the order of the leaves
    int32_t[::1] ids not None,              # IN/OUT  (n,)
    int32_t[::1] split_axis not None,       # OUT     (n_leaves,)
    real_t[::1] split_value not None,       # OUT     (n_leaves,)
    intp_t[::1] begins not None,            # OUT     (n_leaves + 1,): first row of each leaf
):
    """Share out the points evenly to the leaves, halving along the longest side each time.

    The rows of a leaf are in the order of its items: see `item_begin`.
    """
    cdef intp_t n_leaves = split_axis.shape[0]
    begins[0] = 0
    begins[n_leaves] = rows.shape[0]
    if rows.shape[0] == 0:
        begins[:] = 0
        split_axis[:] = 0
        split_value[:] = 0
        return
    with nogil:
        split_range(&rows[0, 0], rows.shape[1], &ids[0], 0, n_leaves, &split_axis[0],
                    &split_value[0], &begins[0])


cdef void split_range(
    real_t *rows, intp_t d, int32_t *ids, intp_t low, intp_t high, int32_t *split_axis,
    real_t *split_value, intp_t *begins,
) noexcept nogil:
    """Split leaves low <= l < high, whose rows are known."""
    cdef:
        intp_t middle, row, axis
        intp_t begin = begins[low]
        intp_t end = begins[high]
    if high - low < 2:
        split_leaf(rows + begin * d, end - begin, d, ids + begin, 0, ITEMS)
        return
    middle = halfway(low, high)
    row = begin + (end - begin) * (middle - low) // (high - low)
    axis = longest_side(rows + begin * d, end - begin, d)
    if begin < row < end:
        select_row(rows, d, ids, begin, end, row, axis)
    begins[middle] = row
    split_axis[middle] = <int32_t> axis
    split_value[middle] = rows[row * d + axis] if row < end else 0
    split_range(rows, d, ids, low, middle, split_axis, split_value, begins)
    split_range(rows, d, ids, middle, high, split_axis, split_value, begins)


cdef inline intp_t item_begin(intp_t n, intp_t item) noexcept nogil:
    """Return how many of the n points of a leaf lie before an item."""
    return n * item // ITEMS


cdef void split_leaf(
    real_t *rows, intp_t n, intp_t d, int32_t *ids, intp_t low, intp_t high,
) noexcept nogil:
    """Split items low <= i < high of the leaf that has these n rows."""
    cdef:
        intp_t middle = (low + high) // 2
        intp_t begin = item_begin(n, low)
        intp_t end = item_begin(n, high)
        intp_t row = item_begin(n, middle)
    if high - low < 2:
        return
    if begin < row < end:
        select_row(rows, d, ids, begin, end, row, longest_side(rows + begin * d, end - begin, d))
    split_leaf(rows, n, d, ids, low, middle)
    split_leaf(rows, n, d, ids, middle, high)


def fill(
    const real_t[:, ::1] rows not None,       # IN   (n, d)
    const int32_t[::1] row_ids not None,      # IN   (n,)
    const intp_t[::1] begins not None,        # IN   (n_filled + 1,): at most 64 rows a block
    bint in_items,                            # whether these blocks are leaves
    real_t[:, :, ::1] points not None,        # OUT  (n_blocks, d, 64)
    int32_t[:, ::1] ids not None,             # OUT  (n_blocks, 64)
    uint64_t[::1] taken not None,             # OUT  (n_blocks,): which lanes hold a point
    int32_t[::1] slots not None,              # OUT  (n_ids,): 64 * block + lane of each id
):
    """Put rows into the lanes of their blocks; blocks past the filled ones become empty.

    The points of a leaf are shared out evenly to its items; those of other blocks lie one after the
    other.
    """
    cdef:
        intp_t block, item, i, begin, n, lane
    with nogil:
        for block in range(points.shape[0]):
            taken[block] = 0
            for lane in range(LANES):
                ids[block, lane] = -1
            for i in range(points.shape[1] * LANES):
                (&points[block, 0, 0])[i] = NAN
            if block + 1 >= begins.shape[0]:
                continue
            begin = begins[block]
            n = begins[block + 1] - begin
            for item in range(ITEMS):
                lane = ITEM * item if in_items else item_begin(n, item)
                for i in range(begin + item_begin(n, item), begin + item_begin(n, item + 1)):
                    write_point(&rows[i, 0], points.shape[1], &points[block, 0, lane])
                    ids[block, lane] = row_ids[i]
                    slots[row_ids[i]] = <int32_t> (LANES * block + lane)
                    taken[block] |= <uint64_t> 1 << lane
                    lane += 1


def gather(
    const real_t[:, :, ::1] points not None,  # IN   (n_blocks, d, 64)
    const int32_t[::1] slots not None,        # IN   (n_ids,)
    const intp_t[::1] which not None,         # IN   (n,): ids
    real_t[:, ::1] rows not None,             # OUT  (n, d)
):
    """Copy points out of their lanes."""
    cdef:
        intp_t i, j, slot
    with nogil:
        for i in range(which.shape[0]):
            slot = slots[which[i]]
            for j in range(points.shape[1]):
                rows[i, j] = points[slot // LANES, j, slot % LANES]


def widen(
    const real_t[:, :, :, ::1] bounds not None,  # IN   (n_nodes, d, 2, 16): boxes just fitted
    double slack,
    real_t[:, :, ::1] homes not None,            # OUT  (n_leaves, d, 2)
):
    """homes[leaf] = its box, longer by the slack, a fraction of its side, at either end."""
    cdef:
        intp_t leaf, j
        real_t low, high, more
    with nogil:
        for leaf in range(homes.shape[0]):
            for j in range(homes.shape[1]):
                low = bounds[leaf // FAN, j, 0, leaf % FAN]
                high = bounds[leaf // FAN, j, 1, leaf % FAN]
                more = <real_t> (slack * (high - low)) if low <= high else 0
                homes[leaf, j, 0] = low - more
                homes[leaf, j, 1] = high + more


def plan(
    const intp_t[::1] which not None,        # IN      (k,): distinct ids
    const real_t[:, ::1] rows not None,      # IN      (k, d): where these points will be
    const int32_t[::1] split_axis not None,  # IN      (n_leaves,)
    const real_t[::1] split_value not None,  # IN      (n_leaves,)
    const real_t[:, :, ::1] homes not None,  # IN      (n_leaves, d, 2)
    const real_t[:, :, :, ::1] items not None,  # IN   (n_leaves, d, 2, 8): boxes as last fitted
    const int32_t[::1] slots not None,       # IN      (n_ids,): -1 for a point that is new
    intp_t end,                              # slots taken
    uint64_t[::1] taken not None,            # IN/OUT  (n_leaves,): a copy that the plan changes
    int32_t[::1] targets not None,           # OUT     (k,): the slot of each point
):
    """Choose the slots of points that move or are new; return the slots taken afterwards.

    A point stays in its leaf while it is near the leaf's box as first fitted, else it moves to the
    leaf in whose cell it is, or to one beside it with a lane free, or past the leaves. In a leaf it
    joins the nearest item that has room.
    """
    cdef:
        intp_t i, part, first, last, slot, leaf, target
        intp_t d = rows.shape[1]
        intp_t n_leaves = split_axis.shape[0]
        intp_t cells[AHEAD]   # the leaf in whose cell each of some points is; -1 if it stays
    with nogil:
        for part in range((which.shape[0] + AHEAD - 1) // AHEAD):
            first = AHEAD * part
            last = min(first + AHEAD, which.shape[0])
            for i in range(first, last):
                slot = slots[which[i]]
                if 0 <= slot < LANES * n_leaves:
                    fetch(&homes[slot // LANES, 0, 0], 2 * d)
            for i in range(first, last):
                slot = slots[which[i]]
                leaf = slot // LANES
                cells[i - first] = -1
                if n_leaves > 0 and not (slot >= 0 and (
                    leaf >= n_leaves or is_inside(&rows[i, 0], &homes[leaf, 0, 0], d)
                )):
                    target = find_leaf(&rows[i, 0], &split_axis[0], &split_value[0], n_leaves)
                    cells[i - first] = target
                    fetch(&items[target, 0, 0, 0], 2 * ITEMS * d)
            for i in range(first, last):
                slot = slots[which[i]]
                leaf = slot // LANES
                if slot >= 0 and cells[i - first] < 0:
                    targets[i] = <int32_t> slot
                    continue
                target = -1
                if n_leaves > 0:
                    target = with_room(
                        cells[i - first], n_leaves, leaf if slot >= 0 else -1, &taken[0])
                if slot >= 0 and target == leaf:
                    targets[i] = <int32_t> slot
                    continue
                if slot >= 0:
                    taken[leaf] &= ~(<uint64_t> 1 << slot % LANES)
                if target >= 0:
                    slot = LANES * target + free_lane(
                        &rows[i, 0], d, &items[target, 0, 0, 0], taken[target])
                    taken[target] |= <uint64_t> 1 << slot % LANES
                else:
                    slot = end
                    end += 1
                targets[i] = <int32_t> slot
    return end


cdef inline void fetch(const real_t *numbers, intp_t count) noexcept nogil:
    """Ask for the memory of numbers that will be read."""
    cdef intp_t i
    for i in range(0, count, 8):
        sq_fetch(numbers + i)


def place(
    const intp_t[::1] which not None,       # IN      (k,): distinct ids
    const real_t[:, ::1] rows not None,     # IN      (k, d)
    const int32_t[::1] targets not None,    # IN      (k,): as planned
    const intp_t[::1] new_tally not None,   # IN      (n_counts,)
    real_t[:, :, ::1] points not None,      # IN/OUT  (n_blocks, d, 64)
    int32_t[:, ::1] ids not None,           # IN/OUT  (n_blocks, 64)
    uint64_t[::1] taken not None,           # IN/OUT  (n_blocks,)
    int32_t[::1] slots not None,            # IN/OUT  (n_ids,)
    unsigned char[::1] stale not None,      # IN/OUT  (n_leaves,), or (n_blocks,) with codes
    unsigned char[:, :, ::1] codes not None,  # IN/OUT  (n_blocks, ceil(d / 2), 128), or no blocks
    double[:, ::1] fits not None,           # IN/OUT  (n_blocks, 3), or no blocks
    intp_t[::1] tally not None,             # OUT     (n_counts,)
):
    """Put points into the slots that were planned, out of those they are in."""
    cdef:
        intp_t i, old, slot, leaf
        intp_t d = rows.shape[1]
    with nogil:
        for i in range(which.shape[0]):
            slot = targets[i]
            old = slots[which[i]]
            if old >= 0 and old != slot:
                empty[real_t](old, d, points, ids, taken, stale)
            leaf = slot // LANES
            slots[which[i]] = <int32_t> slot
            taken[leaf] |= <uint64_t> 1 << slot % LANES
            ids[leaf, slot % LANES] = <int32_t> which[i]
            write_point(&rows[i, 0], d, &points[leaf, 0, slot % LANES])
            if leaf < codes.shape[0] and not stale[leaf]:
                stale[leaf] = not write_code[real_t](
                    &rows[i, 0], d, &codes[leaf, 0, 2 * (slot % LANES)], &fits[leaf, 0])
            elif leaf < stale.shape[0]:
                stale[leaf] = 1
        for i in range(tally.shape[0]):
            tally[i] = new_tally[i]


def remove(
    const intp_t[::1] which not None,      # IN      (k,): distinct ids
    const intp_t[::1] new_tally not None,  # IN      (n_counts,)
    real_t[:, :, ::1] points not None,     # IN/OUT  (n_blocks, d, 64)
    int32_t[:, ::1] ids not None,          # IN/OUT  (n_blocks, 64)
    uint64_t[::1] taken not None,          # IN/OUT  (n_blocks,)
    int32_t[::1] slots not None,           # IN/OUT  (n_ids,)
    unsigned char[::1] stale not None,     # IN/OUT  (n_leaves,): codes may stay as they are
    intp_t[::1] tally not None,            # OUT     (n_counts,)
):
    """Take points out."""
    cdef intp_t i
    with nogil:
        for i in range(which.shape[0]):
            empty[real_t](slots[which[i]], points.shape[1], points, ids, taken, stale)
            slots[which[i]] = -1
        for i in range(tally.shape[0]):
            tally[i] = new_tally[i]


cdef inline bint is_inside(const real_t *x, const real_t *home, intp_t d) noexcept nogil:
    cdef:
        intp_t j
        bint inside = True
    for j in range(d):
        inside = inside & (home[2 * j] <= x[j]) & (x[j] <= home[2 * j + 1])
    return inside


cdef inline intp_t find_leaf(
    const real_t *x, const int32_t *split_axis, const real_t *split_value, intp_t n_leaves,
) noexcept nogil:
    """Return the leaf in whose cell x lies."""
    cdef:
        intp_t low = 0
        intp_t high = n_leaves
        intp_t middle
    while high - low > 1:
        middle = halfway(low, high)
        if x[split_axis[middle]] < split_value[middle]:
            high = middle
        else:
            low = middle
    return low


cdef inline intp_t with_room(
    intp_t leaf, intp_t n_leaves, intp_t current, const uint64_t *taken,
) noexcept nogil:
    """Return the nearest leaf of the same parent that has a lane free, or is `current`; else -1."""
    cdef intp_t k, near
    for k in range(FAN):
        # The nearest cells differ in the lowest bits.
        near = leaf ^ k
        if near == current or (near < n_leaves and ~taken[near] != 0):
            return near
    return -1


cdef inline intp_t free_lane(
    const real_t *x, intp_t d, const real_t *boxes, uint64_t taken,
) noexcept nogil:
    """Return a free lane of a leaf that has one, of the item whose box is nearest to x."""
    cdef:
        intp_t j, item, nearest = -1
        real_t far[ITEMS]
        const real_t *low
        const real_t *high
    for item in range(ITEMS):
        far[item] = 0
    for j in range(d):
        low = boxes + 2 * j * ITEMS
        high = low + ITEMS
        for item in range(ITEMS):
            far[item] += max(max(low[item] - x[j], x[j] - high[item]), <real_t> 0)
    for item in range(ITEMS):
        if (~taken >> ITEM * item & 255) and (nearest < 0 or far[item] < far[nearest]):
            nearest = item
    return ITEM * nearest + sq_lowest_bit(~taken >> ITEM * nearest)


cdef inline void write_point(const real_t *x, intp_t d, real_t *lane) noexcept nogil:
    cdef intp_t j
    for j in range(d):
        lane[j * LANES] = x[j]


cdef inline bint write_code(
    const real_t *x, intp_t d, unsigned char *code, double *fit,
) noexcept nogil:
    """Write the code of a point by the step of its block; return whether that serves it well.

    See simd/half_space_codes.h, whose bounds of |x| and |e| grow with the point.
    """
    cdef:
        intp_t j
        double y, e, length, error
        double step = 1 / fit[0]
        double squares = 0
        double errors = 0
    for j in range(d):
        y = x[j] * fit[0]
        if not -127 <= y <= 127:
            return False
        e = x[j] - (<int> (y + 128.5) - 128) * step
        squares += <double> x[j] * x[j]
        errors += e * e
    length = sqrt(squares) * (1 + 1e-9)
    error = sqrt(errors) * (1 + 1e-9) + 1e-12 * length
    if not (length * fit[0] <= 246 and error <= COARSER * fit[2]):
        return False
    for j in range(d):
        code[j // 2 * 2 * LANES + j % 2] = <unsigned char> <int> (x[j] * fit[0] + 128.5)
    fit[2] = max(fit[2], error)
    fit[1] = max(fit[1], length + fit[2])
    return True


cdef inline void empty(
    intp_t slot, intp_t d, real_t[:, :, ::1] points, int32_t[:, ::1] ids, uint64_t[::1] taken,
    unsigned char[::1] stale,
) noexcept nogil:
    """Take the point out of a slot."""
    cdef:
        intp_t j
        intp_t leaf = slot // LANES
        intp_t lane = slot % LANES
    for j in range(d):
        points[leaf, j, lane] = NAN
    ids[leaf, lane] = -1
    taken[leaf] &= ~(<uint64_t> 1 << lane)
    if leaf < stale.shape[0]:
        stale[leaf] = 1
