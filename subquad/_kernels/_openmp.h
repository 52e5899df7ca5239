/* The OpenMP calls the kernels use, or what they mean with one thread. */
#ifndef SUBQUAD_OPENMP_H
#define SUBQUAD_OPENMP_H
#ifdef _OPENMP
#include <omp.h>
#define SUBQUAD_HAS_OPENMP 1
#else
#define SUBQUAD_HAS_OPENMP 0
static inline int omp_get_thread_num(void) { return 0; }
static inline int omp_get_max_threads(void) { return 1; }
#endif
#endif
