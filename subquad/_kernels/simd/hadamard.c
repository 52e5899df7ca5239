#define SQ_TEMPLATE "hadamard_template.h"
#include "hadamard.h"
#include "multiversion.h"

const hadamard_rows_f32_fn hadamard_rows_f32[SQ_LEVELS] = SQ_TABLE(hadamard_rows_f32);
const hadamard_rows_f64_fn hadamard_rows_f64[SQ_LEVELS] = SQ_TABLE(hadamard_rows_f64);
const hadamard_columns_f32_fn hadamard_columns_f32[SQ_LEVELS] = SQ_TABLE(hadamard_columns_f32);
const hadamard_columns_f64_fn hadamard_columns_f64[SQ_LEVELS] = SQ_TABLE(hadamard_columns_f64);
const hadamard_signs_f32_fn hadamard_signs_f32[SQ_LEVELS] = SQ_TABLE(hadamard_signs_f32);
const hadamard_signs_f64_fn hadamard_signs_f64[SQ_LEVELS] = SQ_TABLE(hadamard_signs_f64);
