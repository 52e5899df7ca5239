/* Factored layers. hadamard_template.h has functions that nothing here needs. */
#pragma GCC diagnostic ignored "-Wunused-function"
#define SQ_TEMPLATE "factored_template.h"
#include "factored.h"
#include "multiversion.h"

const factored_forward_f32_fn factored_forward_f32[SQ_LEVELS] = SQ_TABLE(factored_forward_f32);
const factored_forward_f64_fn factored_forward_f64[SQ_LEVELS] = SQ_TABLE(factored_forward_f64);
const factored_backward_f32_fn factored_backward_f32[SQ_LEVELS] = SQ_TABLE(factored_backward_f32);
const factored_backward_f64_fn factored_backward_f64[SQ_LEVELS] = SQ_TABLE(factored_backward_f64);
