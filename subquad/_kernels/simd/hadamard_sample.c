#define SQ_TEMPLATE "hadamard_sample_template.h"
#include "hadamard_sample.h"
#include "multiversion.h"

const sample_block_f32_fn sample_block_f32[SQ_LEVELS] = SQ_TABLE(sample_block_f32);
const sample_block_f64_fn sample_block_f64[SQ_LEVELS] = SQ_TABLE(sample_block_f64);
const sample_sums_f32_fn sample_sums_f32[SQ_LEVELS] = SQ_TABLE(sample_sums_f32);
const sample_sums_f64_fn sample_sums_f64[SQ_LEVELS] = SQ_TABLE(sample_sums_f64);
