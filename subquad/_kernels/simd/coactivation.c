#define SQ_TEMPLATE "coactivation_template.h"
#include "coactivation.h"
#include "multiversion.h"

const popcount_block_fn popcount_block[SQ_LEVELS] = SQ_TABLE(popcount_block);
const mark_row_f32_fn mark_row_f32[SQ_LEVELS] = SQ_TABLE(mark_row_f32);
const mark_row_f64_fn mark_row_f64[SQ_LEVELS] = SQ_TABLE(mark_row_f64);
