#define SQ_TEMPLATE "half_space_template.h"
#include "half_space.h"

/* Byte k of half_space_order[bits] is the number of the k-th bit that is set. */
#define ORDERED(m, k) ((uint64_t)((m) >> k & 1) * k << 8 * __builtin_popcount((m) & ((1 << k) - 1)))
#define ORDER_1(m)                                                                                 \
    ORDERED(m, 1) | ORDERED(m, 2) | ORDERED(m, 3) | ORDERED(m, 4) | ORDERED(m, 5) | ORDERED(m, 6)  \
        | ORDERED(m, 7)
#define ORDER_4(m) ORDER_1(m), ORDER_1(m + 1), ORDER_1(m + 2), ORDER_1(m + 3)
#define ORDER_16(m) ORDER_4(m), ORDER_4(m + 4), ORDER_4(m + 8), ORDER_4(m + 12)
#define ORDER_64(m) ORDER_16(m), ORDER_16(m + 16), ORDER_16(m + 32), ORDER_16(m + 48)
static const uint64_t half_space_order[256] = {
    ORDER_64(0), ORDER_64(64), ORDER_64(128), ORDER_64(192),
};

#include "multiversion.h"

const half_space_fn half_space_f32[SQ_LEVELS] = SQ_TABLE(half_space_f32);
const half_space_fn half_space_f64[SQ_LEVELS] = SQ_TABLE(half_space_f64);
const half_space_refit_f32_fn half_space_refit_f32[SQ_LEVELS] = SQ_TABLE(half_space_refit_f32);
const half_space_refit_f64_fn half_space_refit_f64[SQ_LEVELS] = SQ_TABLE(half_space_refit_f64);
const half_space_encode_f32_fn half_space_encode_f32[SQ_LEVELS] = SQ_TABLE(half_space_encode_f32);
const half_space_encode_f64_fn half_space_encode_f64[SQ_LEVELS] = SQ_TABLE(half_space_encode_f64);
const half_space_sort_fn half_space_sort_f32[SQ_LEVELS] = SQ_TABLE(half_space_sort_f32);
const half_space_sort_fn half_space_sort_f64[SQ_LEVELS] = SQ_TABLE(half_space_sort_f64);
