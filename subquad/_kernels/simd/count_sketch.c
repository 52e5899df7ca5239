#define SQ_TEMPLATE "count_sketch_template.h"
#include "count_sketch.h"
#include "multiversion.h"

/* Vectors of 64 bytes would need twice the cache for the sums, and take half as long again. */
#if SQ_X86
#define SQ_SHORT_TABLE(f) { f##_baseline, f##_avx2, f##_avx2 }
#else
#define SQ_SHORT_TABLE(f) SQ_TABLE(f)
#endif
const sketch_rows_f32_fn sketch_rows_f32[SQ_LEVELS] = SQ_SHORT_TABLE(sketch_rows_f32);
const sketch_rows_f64_fn sketch_rows_f64[SQ_LEVELS] = SQ_SHORT_TABLE(sketch_rows_f64);
const sketch_entries_f32_fn sketch_entries_f32[SQ_LEVELS] = SQ_TABLE(sketch_entries_f32);
const sketch_entries_f64_fn sketch_entries_f64[SQ_LEVELS] = SQ_TABLE(sketch_entries_f64);
const add_signed_f32_fn add_signed_f32[SQ_LEVELS] = SQ_TABLE(add_signed_f32);
const add_signed_f64_fn add_signed_f64[SQ_LEVELS] = SQ_TABLE(add_signed_f64);
