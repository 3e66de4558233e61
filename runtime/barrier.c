/* SPDX-License-Identifier: MIT
 * Waits in three stages: spin while the others are surely running, yield while they may want this
 * very processor, sleep when it takes long. OpenMP's own barrier spins for milliseconds: on a busy
 * machine a phase then takes a scheduler's slice. Needs Linux. Starts no threads. */
#define _GNU_SOURCE
#include "barrier.h"
#include "io.h"
#include <linux/futex.h>
#include <limits.h>
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { SPINS = 60 }; /* two or three microseconds */
static const double yield_seconds = 1e-3;

void barrier_init(Barrier *barrier, int threads) {
    atomic_init(&barrier->arrived, 0);
    atomic_init(&barrier->round, 0);
    atomic_init(&barrier->sleepers, 0);
    barrier->threads = threads;
}

static inline void relax(void) {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

static void sleep_until(Barrier *barrier, unsigned round) {
    /* The last to arrive changes `round` before it looks for sleepers; we count ourselves before
     * the kernel compares `round`: one of the two sees the other. */
    atomic_fetch_add(&barrier->sleepers, 1);
    while (atomic_load(&barrier->round) == round)
        syscall(SYS_futex, &barrier->round, FUTEX_WAIT_PRIVATE, round, NULL, NULL, 0);
    atomic_fetch_sub(&barrier->sleepers, 1);
}

void barrier_wait(Barrier *barrier) {
    unsigned round = atomic_load_explicit(&barrier->round, memory_order_relaxed);
    if (atomic_fetch_add(&barrier->arrived, 1) + 1 == barrier->threads) {
        atomic_store_explicit(&barrier->arrived, 0, memory_order_relaxed);
        atomic_fetch_add(&barrier->round, 1);
        if (atomic_load(&barrier->sleepers))
            syscall(SYS_futex, &barrier->round, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0);
        return;
    }
    for (int i = 0; i < SPINS; i++) {
        if (atomic_load_explicit(&barrier->round, memory_order_acquire) != round) return;
        relax();
    }
    double until = io_now() + yield_seconds;
    while (io_now() < until) {
        if (atomic_load_explicit(&barrier->round, memory_order_acquire) != round) return;
        sched_yield();
    }
    sleep_until(barrier, round);
}
