#define SQ_TEMPLATE "half_space_template.h"
#include "half_space.h"
#include "multiversion.h"

const half_space_fn half_space_f32[SQ_LEVELS] = SQ_TABLE(half_space_f32);
const half_space_fn half_space_f64[SQ_LEVELS] = SQ_TABLE(half_space_f64);
const half_space_refit_f32_fn half_space_refit_f32[SQ_LEVELS] = SQ_TABLE(half_space_refit_f32);
const half_space_refit_f64_fn half_space_refit_f64[SQ_LEVELS] = SQ_TABLE(half_space_refit_f64);
const half_space_sort_fn half_space_sort_f32[SQ_LEVELS] = SQ_TABLE(half_space_sort_f32);
const half_space_sort_fn half_space_sort_f64[SQ_LEVELS] = SQ_TABLE(half_space_sort_f64);
