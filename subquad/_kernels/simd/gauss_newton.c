#define SQ_TEMPLATE "gauss_newton_template.h"
#include "gauss_newton.h"
#include "multiversion.h"

const move_neurons_f32_fn move_neurons_f32[SQ_LEVELS] = SQ_TABLE(move_neurons_f32);
const move_neurons_f64_fn move_neurons_f64[SQ_LEVELS] = SQ_TABLE(move_neurons_f64);
