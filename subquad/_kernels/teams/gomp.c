/* The entry points of GNU OpenMP that GCC calls for Cython's prange, as the teams of teams.h serve
 * them. Each kernel links its own copy, hidden from every other library, in place of libgomp.
 *
 * A parallel region of Cython is one loop. Before it each member copies the loop's variables, after
 * it the member with the last iteration writes them back, and GCC puts a barrier between the two;
 * but no kernel reads a variable that it has not assigned in the same iteration. So nobody needs to
 * wait at it, and setup.py falls back to the compiler's own OpenMP where a program with such a loop
 * asks for anything that is not here.
 */
#ifndef SQ_TEAMS_PROBE
#include <Python.h>
#endif
#include <limits.h>
#include <stdbool.h>
#include <unistd.h>

#include "teams.h"

#ifdef SQ_TEAMS_PROBE
static const sq_teams *the_pool(void) { return sq_teams_entries(); }
#else
static const sq_teams *_Atomic pool;

static const sq_teams *the_pool(void) {
    const sq_teams *known = atomic_load_explicit(&pool, memory_order_relaxed);
    if (known) return known;
    PyGILState_STATE state = PyGILState_Ensure();
    PyObject *module = PyImport_ImportModule("subquad._kernels._teams");
    PyObject *capsule = module ? PyObject_GetAttrString(module, "entries") : NULL;
    known = capsule ? PyCapsule_GetPointer(capsule, SQ_TEAMS_CAPSULE) : NULL;
    if (!known) Py_FatalError("subquad: the kernels' threads cannot be found");
    Py_DECREF(capsule); /* the module keeps it */
    Py_DECREF(module);
    PyGILState_Release(state);
    atomic_store(&pool, known);
    return known;
}
#endif

void GOMP_parallel(void (*body)(void *), void *data, unsigned n_members, unsigned flags) {
    (void)flags;
    the_pool()->run(body, data, n_members > INT_MAX ? INT_MAX : (int)n_members);
}

void GOMP_barrier(void) {}

int omp_get_thread_num(void) { return the_pool()->here()->number; }

int omp_get_num_threads(void) {
    const sq_team *team = the_pool()->here()->team;
    return team ? team->n_members : 1;
}

int omp_get_max_threads(void) {
    long processors = sysconf(_SC_NPROCESSORS_ONLN);
    return processors > 0 ? (int)processors : 1;
}

/* Claim the next chunk of the team's loop: indices from *first on, before *last. */
static bool claim(sq_member *member, long *first, long *last) {
    long k = atomic_fetch_add_explicit(&member->team->claimed, member->chunk, memory_order_relaxed);
    if (k >= member->size) return false;
    long end = member->size - k < member->chunk ? member->size : k + member->chunk;
    *first = member->start + k * member->step;
    *last = member->start + end * member->step;
    return true;
}

bool GOMP_loop_nonmonotonic_dynamic_start(long start, long end, long step, long chunk, long *first,
                                          long *last) {
    sq_member *member = the_pool()->here();
    long distance = step > 0 ? end - start : start - end, stride = step > 0 ? step : -step;
    member->start = start;
    member->step = step;
    member->size = distance > 0 ? (distance - 1) / stride + 1 : 0;
    member->chunk = chunk;
    return claim(member, first, last);
}

bool GOMP_loop_nonmonotonic_dynamic_next(long *first, long *last) {
    return claim(the_pool()->here(), first, last);
}

void GOMP_loop_end_nowait(void) {}
