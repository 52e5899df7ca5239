/* The pool: threads that sleep until a team has members left for them. See teams.h. */
#ifdef SQ_OWN_TEAMS
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>

#include "teams.h"

/* Look so many times, a few microseconds, whether the others are done before sleeping: waking up
 * takes longer. More would keep a late thread from the processor that it waits for. */
#define LOOKS 400

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t work = PTHREAD_COND_INITIALIZER; /* a team has members left */
static pthread_cond_t done = PTHREAD_COND_INITIALIZER; /* a member ended */
static sq_team *teams;                                 /* those with members left */
static int n_threads, n_idle;                          /* threads of the pool, and those asleep */
static bool alone;                                     /* nobody may start threads any more */
static _Thread_local sq_member here;

static inline void relax(void) {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

/* Do one member's share. The thread may be in a region already: it comes back to it. */
static void perform(sq_team *team, int number) {
    sq_member outer = here;
    here = (sq_member){.team = team, .number = number};
    team->body(team->data);
    here = outer;
}

/* Return the number of a member to do, or -1. Whoever takes the last one closes the team, so that
 * no thread can find it later. The caller holds the lock. */
static int take(sq_team *team) {
    if (team->next == team->n_members) return -1;
    int number = team->next++;
    if (team->next == team->n_members) {
        sq_team **link = &teams;
        while (*link != team) link = &(*link)->older;
        *link = team->older;
    }
    return number;
}

static void *serve(void *unused) {
    (void)unused;
    pthread_mutex_lock(&lock);
    for (;;) {
        while (!teams) {
            n_idle++;
            pthread_cond_wait(&work, &lock);
            n_idle--;
        }
        sq_team *team = teams;
        int number = take(team);
        atomic_fetch_add(&team->others, 1);
        pthread_mutex_unlock(&lock);
        perform(team, number);
        pthread_mutex_lock(&lock);
        atomic_fetch_sub(&team->others, 1); /* after this the team may be gone */
        pthread_cond_broadcast(&done);
    }
    return NULL;
}

/* Start threads until the pool has `wanted`, or the system refuses: fewer do the work as well.
 * Signals are for the threads of the program. The caller holds the lock. */
static void grow(int wanted) {
    pthread_attr_t attributes;
    sigset_t all, before;
    if (n_threads >= wanted || alone || pthread_attr_init(&attributes)) return;
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    pthread_t thread;
    while (n_threads < wanted && !pthread_create(&thread, &attributes, serve, NULL)) n_threads++;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
}

/* Run body(data) once for each member of a team: what `#pragma omp parallel` means. A region
 * inside of another has one member, as OpenMP has it unless told otherwise. */
static void run(void (*body)(void *), void *data, int n_members) {
    bool single = n_members <= 1 || here.team || alone;
    sq_team team = {.body = body, .data = data, .n_members = single ? 1 : n_members, .next = 1};
    atomic_init(&team.claimed, 0);
    atomic_init(&team.others, 0);
    if (single) {
        perform(&team, 0);
        return;
    }
    pthread_mutex_lock(&lock);
    grow(n_members - 1);
    team.older = teams;
    teams = &team;
    for (int i = 1; i < n_members && i <= n_idle; i++) pthread_cond_signal(&work);
    pthread_mutex_unlock(&lock);

    perform(&team, 0);
    pthread_mutex_lock(&lock);
    for (int number; (number = take(&team)) >= 0;) {
        pthread_mutex_unlock(&lock);
        perform(&team, number);
        pthread_mutex_lock(&lock);
    }
    pthread_mutex_unlock(&lock);
    for (int look = 0; look < LOOKS && atomic_load(&team.others); look++) relax();
    if (!atomic_load(&team.others)) return;
    pthread_mutex_lock(&lock);
    while (atomic_load(&team.others)) pthread_cond_wait(&done, &lock);
    pthread_mutex_unlock(&lock);
}

static sq_member *where(void) { return &here; }

/* A forked child has one thread, which held nothing, since the parent forked between regions; but
 * another thread of the parent may have held the lock, or have had a team open. */
static void begin_again(void) {
    pthread_mutex_init(&lock, NULL);
    pthread_cond_init(&work, NULL);
    pthread_cond_init(&done, NULL);
    teams = NULL;
    n_threads = n_idle = 0;
}

void sq_teams_stay_alone(void) { alone = true; }

const sq_teams *sq_teams_entries(void) {
    static const sq_teams entries = {run, where};
    static bool is_prepared;
    if (!is_prepared) is_prepared = !pthread_atfork(NULL, NULL, begin_again);
    return &entries;
}
#endif
