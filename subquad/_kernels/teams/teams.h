/* Parallel regions whose join waits for nobody who has not begun.
 *
 * GNU OpenMP ends a region when each of its threads has come, done its share and left. On a machine
 * with other work a thread may come milliseconds late: right after a call of BLAS, say, whose
 * threads go on spinning. Here the members of a team are numbers, and whoever is there takes the
 * next number: the calling thread takes them all if need be, and waits only for members that
 * another thread has begun. Members do what they would do under OpenMP, so that the results have
 * the same bits.
 *
 * pool.c holds the threads, one pool for the process; gomp.c is linked into each kernel and
 * hands to the pool what the compiler asks of OpenMP.
 */
#ifndef SUBQUAD_TEAMS_H
#define SUBQUAD_TEAMS_H

#include <stdatomic.h>

typedef struct sq_team sq_team;

/* What a thread is doing: a member of a team, and its loop. */
typedef struct {
    sq_team *team;          /* NULL outside of parallel regions */
    int number;             /* from 0 to the team's members - 1 */
    long start, step, size; /* iteration k of `size` has the index start + k * step */
    long chunk;             /* iterations that are claimed at once */
} sq_member;

struct sq_team {
    void (*body)(void *);
    void *data;
    int n_members;
    atomic_long claimed; /* iterations of its loop that have been claimed */
    atomic_int others;   /* members that threads of the pool have begun and not ended */
    int next;            /* the lowest number that nobody has taken */
    sq_team *older;      /* another team with numbers left; the pool's lock guards it and `next` */
};

typedef struct {
    void (*run)(void (*body)(void *), void *data, int n_members);
    sq_member *(*here)(void);
} sq_teams;

/* The module _teams offers its sq_teams in a capsule of this name. */
#define SQ_TEAMS_CAPSULE "subquad._kernels._teams.entries"

const sq_teams *sq_teams_entries(void);
void sq_teams_stay_alone(void);

#endif
