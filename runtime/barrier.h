/* SPDX-License-Identifier: MIT
 * A barrier for threads that meet every few microseconds on a machine that others may use too.
 * Needs Linux (futex). Starts no threads. */
#ifndef GRADUS_BARRIER_H
#define GRADUS_BARRIER_H
#include <stdatomic.h>

typedef struct Barrier {
    _Alignas(64) atomic_int arrived;
    _Alignas(64) atomic_uint round;
    atomic_int sleepers;
    int threads;
} Barrier;

void barrier_init(Barrier *barrier, int threads);
/* Returns when all threads have called it; what they wrote before is seen by all after. */
void barrier_wait(Barrier *barrier);
#endif
