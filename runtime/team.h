/* SPDX-License-Identifier: MIT
 * A team of threads, started once, that runs the phases of a program. Needs OpenMP and abi.h.
 * Decides how work is split, never what it computes: the bits are the same for any team. */
#ifndef GRADUS_TEAM_H
#define GRADUS_TEAM_H
#include "abi.h"
#include "barrier.h"
#include "io.h"

typedef struct Team {
    int threads;
    char **scratch;  /* each thread's own */
    struct Profile *profile; /* of the program that runs; NULL: nobody asks */
    const struct TeamWork *work;
    bool quit;
    Barrier barrier;
} Team;

/* One program run. Before the first phase `prepare` is called over 0 .. prepare_units, split over
 * the team like a phase (it fills the batch); it may be NULL. */
typedef struct TeamWork {
    const GrProgram *program; /* NULL: only prepare */
    char *mem;
    int64_t blocks; /* lane blocks with a live example */
    int skip;       /* phases at first that are left out: see GrProgram.ready */
    void (*prepare)(void *context, int64_t from, int64_t to);
    void *context;
    int64_t prepare_units;
} TeamWork;

/* Threads to use: `asked`, or where it is 0 OMP_NUM_THREADS, else by CPU affinity and cgroup. */
int team_count(int asked);
/* Starts the team, calls `body` on one thread and ends the team when it returns. */
void team_start(int threads, int64_t scratch_bytes, void (*body)(Team *team, void *context),
                void *context);
/* Called from `body`: returns when the whole program has run. */
void team_run(Team *team, const TeamWork *work);

/* Zeroed memory for a model, in huge pages where it is big. NULL where there is none. */
char *team_memory(int64_t bytes);
#endif
