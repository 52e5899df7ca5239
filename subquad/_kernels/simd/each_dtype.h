/* Includes SQ_TEMPLATE for float and for double, with the vector types of the current level. */
#define SQ_DTYPE f32
#define SQ_IS_F32 1
#define real float
#include "vector.h"
#include SQ_TEMPLATE
#include "vector_end.h"
#undef real
#undef SQ_IS_F32
#undef SQ_DTYPE

#define SQ_DTYPE f64
#define SQ_IS_F32 0
#define real double
#include "vector.h"
#include SQ_TEMPLATE
#include "vector_end.h"
#undef real
#undef SQ_IS_F32
#undef SQ_DTYPE
