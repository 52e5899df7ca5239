"""The threads of parallel regions: a pool for all kernels, or OpenMP's own where it has to do."""

cdef extern from *:
    """
    #ifdef SQ_OWN_TEAMS
    #include "teams/teams.h"
    #define SQ_THREADS "subquad"
    static PyObject *sq_entries(void) {
        return PyCapsule_New((void *)sq_teams_entries(), SQ_TEAMS_CAPSULE, NULL);
    }
    #else
    static PyObject *sq_entries(void) { Py_RETURN_NONE; }
    #ifdef _OPENMP
    #include <omp.h>
    #define SQ_THREADS "OpenMP"
    static void sq_teams_stay_alone(void) { omp_set_max_active_levels(0); }
    #else
    #define SQ_THREADS ""
    static void sq_teams_stay_alone(void) {}
    #endif
    #endif
    """
    const char *SQ_THREADS
    object sq_entries()
    void sq_teams_stay_alone() noexcept nogil


def use_one_thread():
    """Give one thread to every parallel region from now on, whatever number it asks for.

    For a forked process. GNU OpenMP keeps its threads from one region to the next, and would wait
    for ever for those that stayed behind in the parent.
    """
    sq_teams_stay_alone()


def owner():
    """Return whose threads do the work: "subquad", "OpenMP" or, without any, the empty string."""
    return SQ_THREADS.decode()


# The kernels take their threads from here (teams/gomp.c); None where these are not the package's.
entries = sq_entries()
