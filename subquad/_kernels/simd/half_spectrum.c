#define SQ_TEMPLATE "half_spectrum_template.h"
#include "half_spectrum.h"
#include "multiversion.h"

const half_spectrum_f32_fn spectrum_of_half_f32[SQ_LEVELS] = SQ_TABLE(spectrum_of_half_f32);
const half_spectrum_f64_fn spectrum_of_half_f64[SQ_LEVELS] = SQ_TABLE(spectrum_of_half_f64);
const half_spectrum_f32_fn half_of_spectrum_f32[SQ_LEVELS] = SQ_TABLE(half_of_spectrum_f32);
const half_spectrum_f64_fn half_of_spectrum_f64[SQ_LEVELS] = SQ_TABLE(half_of_spectrum_f64);
const multiply_spectra_f32_fn multiply_spectra_f32[SQ_LEVELS] = SQ_TABLE(multiply_spectra_f32);
const multiply_spectra_f64_fn multiply_spectra_f64[SQ_LEVELS] = SQ_TABLE(multiply_spectra_f64);
