"""Choice of the instruction-set level, made once when this module is imported.

SUBQUAD_SIMD_LEVEL (baseline, avx2 or avx512) lowers the choice; it cannot raise it above what the
processor has. use_level changes it afterwards, for tests and benchmarks.
"""
import os

from subquad._kernels cimport _openmp

cdef extern from "simd/levels.h" nogil:
    int SQ_BASELINE
    int SQ_AVX2
    int SQ_AVX512
    int sq_best_level()

cdef extern from *:
    """
    #if defined(_OPENMP) && _OPENMP >= 201307 && !defined(SQ_OWN_TEAMS)
    #include <omp.h>
    static int sq_bound_processors(void) {
        return omp_get_proc_bind() == omp_proc_bind_false ? 0 : omp_get_num_procs();
    }
    #else
    static int sq_bound_processors(void) { return 0; }
    #endif
    """
    int sq_bound_processors() noexcept nogil

LEVELS = ("baseline", "avx2", "avx512")

cdef int current_level = SQ_BASELINE


cdef int simd_level() noexcept nogil:
    return current_level


def best_level():
    """Return the name of the highest level this processor and this build have."""
    return LEVELS[sq_best_level()]


def level():
    """Return the name of the level in use."""
    return LEVELS[current_level]


def use_level(name):
    """Use the level of this name; raise ValueError when it does not exist or is not available."""
    global current_level
    if name not in LEVELS:
        raise ValueError(f"SUBQUAD_SIMD_LEVEL must be one of {', '.join(LEVELS)}; got {name!r}.")
    cdef int wanted = LEVELS.index(name)
    if wanted > sq_best_level():
        raise ValueError(
            f"SUBQUAD_SIMD_LEVEL must be at most {best_level()!r} on this processor; got {name!r}."
        )
    current_level = wanted


def has_openmp():
    """Return whether the kernels were built with OpenMP."""
    return bool(_openmp.SUBQUAD_HAS_OPENMP)


def bound_processors():
    """Return how many processors OpenMP shares out to its threads where it binds them, else 0.

    It then has bound this thread as well: its affinity mask holds one processor of them all.
    """
    return sq_bound_processors()


use_level(os.environ.get("SUBQUAD_SIMD_LEVEL") or best_level())
