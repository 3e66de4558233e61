/* SPDX-License-Identifier: MIT
 * The time of each kernel and phase of a program, and how near to the machine's peak it comes.
 * Needs abi.h, team.h, peak.h. Costs nothing where it is not asked for. */
#ifndef GRADUS_PROFILE_H
#define GRADUS_PROFILE_H
#include "team.h"

/* GFLOP/s and GB/s of all threads of a team at once, over as much memory as the model has. */
typedef struct Machine {
    double fma[3]; /* by width of vectors, see peak.h */
    double best, read, update;
} Machine;
void machine_measure(Team *team, const GrModel *model, Machine *machine);

typedef struct Profile Profile;
Profile *profile_new(const GrProgram *program, int threads);
void profile_free(Profile *profile);
/* Runs a range of a phase, kernel by kernel. */
void profile_range(Profile *profile, int phase, const TeamWork *work, char *scratch, int thread,
                   int64_t from, int64_t to);
void profile_wall(Profile *profile, int phase, double seconds);
void profile_step_done(Profile *profile);
/* The least times of all steps. live: examples of a step. */
void profile_print(FILE *out, const Profile *profile, int64_t live, const Machine *machine);
#endif
