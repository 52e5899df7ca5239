#define SQ_TEMPLATE "half_spectrum_template.h"
#include "half_spectrum.h"
#include "multiversion.h"

const multiply_halves_f32_fn multiply_halves_f32[SQ_LEVELS] = SQ_TABLE(multiply_halves_f32);
const multiply_halves_f64_fn multiply_halves_f64[SQ_LEVELS] = SQ_TABLE(multiply_halves_f64);
