"""OpenMP, or its one-thread meaning where the build has none."""

cdef extern from "_openmp.h" nogil:
    const int SUBQUAD_HAS_OPENMP
    int omp_get_thread_num()
    int omp_get_max_threads()
