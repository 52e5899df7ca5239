#define SQ_TEMPLATE "gaussian_template.h"
#include "gaussian.h"
#include "multiversion.h"

const gaussian_column_i8_fn gaussian_column_i8[SQ_LEVELS] = SQ_TABLE(gaussian_column_i8);
const gaussian_column_f32_fn gaussian_column_f32[SQ_LEVELS] = SQ_TABLE(gaussian_column_f32);
const gaussian_column_f64_fn gaussian_column_f64[SQ_LEVELS] = SQ_TABLE(gaussian_column_f64);
const gaussian_panel_f32_fn gaussian_panel_f32[SQ_LEVELS] = SQ_TABLE(gaussian_panel_f32);
const gaussian_panel_f64_fn gaussian_panel_f64[SQ_LEVELS] = SQ_TABLE(gaussian_panel_f64);
