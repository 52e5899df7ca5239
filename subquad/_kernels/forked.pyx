"""OpenMP in a forked process, whose other threads stayed behind in the parent."""

cdef extern from *:
    """
    #ifdef _OPENMP
    #include <omp.h>
    #else
    static inline void omp_set_max_active_levels(int levels) { (void)levels; }
    #endif
    """
    void omp_set_max_active_levels(int levels) noexcept nogil


def use_one_thread():
    """Give one thread to every parallel region from now on, whatever number it asks for.

    GNU OpenMP keeps its threads from one region to the next, and would wait for them for ever.
    """
    omp_set_max_active_levels(0)
