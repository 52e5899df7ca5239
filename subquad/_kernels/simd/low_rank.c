#define SQ_TEMPLATE "low_rank_template.h"
#include "low_rank.h"
#include "multiversion.h"

const flush_rows_f32_fn flush_rows_f32[SQ_LEVELS] = SQ_TABLE(flush_rows_f32);
const flush_rows_f64_fn flush_rows_f64[SQ_LEVELS] = SQ_TABLE(flush_rows_f64);
