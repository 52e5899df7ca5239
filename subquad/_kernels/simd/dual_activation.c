#define SQ_TEMPLATE "dual_activation_template.h"
#include "dual_activation.h"
#include "multiversion.h"

const profile_row_f32_fn profile_row_f32[SQ_LEVELS] = SQ_TABLE(profile_row_f32);
const profile_row_f64_fn profile_row_f64[SQ_LEVELS] = SQ_TABLE(profile_row_f64);
