/* Part of half_space_template.h: hits in order. */
/* Turn the counts of a digit into the places where each value of it begins. */
static inline void NAME(half_space_places)(uint32_t *place, uint32_t mask) {
    uint32_t sum = 0;
    for (uint32_t k = 0; k <= mask; k++) {
        uint32_t here = place[k];
        place[k] = sum;
        sum += here;
    }
}

/* Write hits as they came. */
static inline void NAME(half_space_copy)(
    const int32_t *restrict ids, const real *restrict values, ptrdiff_t count,
    ptrdiff_t *restrict out_ids, real *restrict out_values) {
    for (ptrdiff_t i = 0; i < count; i++) out_ids[i] = ids[i];
    for (ptrdiff_t i = 0; i < count; i++) out_values[i] = values[i];
}

/* Passes over hits take a tenth less time so. */
#define HALF_SPACE_UNROLLED _Pragma("GCC unroll 8")

/* Sort hits by their ids, which are distinct and have key_bits bits; scratch has 2 count words.
   Without a bit their order is kept, and there is no scratch.

   This is a counting sort by one digit after the other, from lowest to highest. An id is sorted
   with the bits of its value below it, or, in float64, with its value's place. */
static void NAME(half_space_sort)(
    const int32_t *ids, const void *hit_values, ptrdiff_t count, int key_bits, uint64_t *scratch,
    ptrdiff_t *out_ids, void *sorted_values) {
    enum { DIGIT = 11, DIGITS = 3 };
    const uint32_t *value_bits = hit_values;
    uint32_t place[DIGITS][1 << DIGIT];
    const int n_digits = key_bits > DIGIT ? (key_bits + DIGIT - 1) / DIGIT : 1;
    const int bits = (key_bits + n_digits - 1) / n_digits;
    const uint32_t mask = (1u << bits) - 1;
    if (key_bits == 0) {
        NAME(half_space_copy)(ids, hit_values, count, out_ids, sorted_values);
        return;
    }
    uint64_t *from = scratch, *to = scratch + count;
    for (int digit = 0; digit < n_digits; digit++)
        __builtin_memset(place[digit], 0, (mask + 1) * sizeof **place);
    HALF_SPACE_UNROLLED
    for (ptrdiff_t i = 0; i < count; i++) {
        uint32_t id = (uint32_t)ids[i];
        place[0][id & mask]++;
        if (n_digits > 1) place[1][id >> bits & mask]++;
        if (n_digits > 2) place[2][id >> 2 * bits]++;
    }
    NAME(half_space_places)(place[0], mask);
    HALF_SPACE_UNROLLED
    for (ptrdiff_t i = 0; i < count; i++) {
        uint32_t id = (uint32_t)ids[i], below = SQ_IS_F32 ? value_bits[i] : (uint32_t)i;
        from[place[0][id & mask]++] = (uint64_t)id << 32 | below;
    }
    for (int digit = 1; digit < n_digits; digit++) {
        const int shift = 32 + digit * bits;
        uint32_t *places = place[digit];
        NAME(half_space_places)(places, mask);
        HALF_SPACE_UNROLLED
        for (ptrdiff_t i = 0; i < count; i++) to[places[from[i] >> shift & mask]++] = from[i];
        uint64_t *swap = from;
        from = to;
        to = swap;
    }
    /* The results lie in memory: they are written once, in order. */
    for (ptrdiff_t i = 0; i < count; i++) out_ids[i] = (ptrdiff_t)(from[i] >> 32);
#if SQ_IS_F32
    uint32_t *out_bits = sorted_values;
    for (ptrdiff_t i = 0; i < count; i++) out_bits[i] = (uint32_t)from[i];
#else
    real *out_values = sorted_values;
    for (ptrdiff_t i = 0; i < count; i++)
        out_values[i] = ((const real *)hit_values)[(uint32_t)from[i]];
#endif
}

#undef HALF_SPACE_UNROLLED
