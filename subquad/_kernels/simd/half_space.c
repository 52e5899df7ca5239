#define SQ_TEMPLATE "half_space_template.h"
#include "half_space.h"

/* Where the lanes go whose bits are set: the first four are compressed by these places. */
static const int32_t half_space_order[16][4] = {
    {0}, {0}, {1}, {0, 1}, {2}, {0, 2}, {1, 2}, {0, 1, 2},
    {3}, {0, 3}, {1, 3}, {0, 1, 3}, {2, 3}, {0, 2, 3}, {1, 2, 3}, {0, 1, 2, 3},
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
