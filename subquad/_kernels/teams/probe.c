/* A program that setup.py builds and runs: loops as Cython writes them, on the teams of teams.h.
 *
 * It links where GCC asks for no other entry points than those of gomp.c, and ends with 0 where
 * every loop did each of its iterations once, by members with numbers inside the team.
 */
#define SQ_TEAMS_PROBE
#include "gomp.c"
#include "pool.c"

#include <omp.h>

#define ITERATIONS 1000
#define MEMBERS 4

static int times[ITERATIONS];
static int bad_numbers;

#define LOOP(name, schedule_of)                                                                    \
    static void name(long n, int n_threads) {                                                      \
        long i = 0, j = 0;                                                                         \
        _Pragma("omp parallel num_threads(n_threads != 0 ? n_threads : omp_get_max_threads())") {  \
            _Pragma(schedule_of) for (long k = 0; k < n; k++) {                                         \
                i = n - 1 - k;                                                                     \
                j = omp_get_thread_num();                                                          \
                __atomic_fetch_add(&times[i], 1, __ATOMIC_RELAXED);                                \
                if (j < 0 || j >= MEMBERS) bad_numbers = 1;                                        \
            }                                                                                      \
        }                                                                                          \
    }

LOOP(fixed, "omp for firstprivate(i, j) lastprivate(i, j) schedule(static)")
LOOP(fixed_free, "omp for nowait firstprivate(i, j) lastprivate(i, j) schedule(static)")
LOOP(claimed, "omp for firstprivate(i, j) lastprivate(i, j) schedule(dynamic)")
LOOP(chunks, "omp for nowait firstprivate(i, j) lastprivate(i, j) schedule(dynamic, 8)")

int main(void) {
    void (*loops[])(long, int) = {fixed, fixed_free, claimed, chunks};
    for (int loop = 0; loop < 4; loop++) {
        for (int i = 0; i < ITERATIONS; i++) times[i] = 0;
        loops[loop](ITERATIONS, MEMBERS);
        for (int i = 0; i < ITERATIONS; i++)
            if (times[i] != 1) return 1;
    }
    return bad_numbers;
}
