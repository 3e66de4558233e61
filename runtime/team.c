/* SPDX-License-Identifier: MIT
 * The team: threads that wait for a program, run its phases over contiguous ranges of units, and
 * meet at a barrier between phases. Needs OpenMP. Does not touch floating-point modes: denormals
 * stay, so that the bits are those of the language. */
#define _GNU_SOURCE
#include "team.h"
#include "profile.h"
#include <omp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* Below these a second thread costs more than it brings: to meet takes two microseconds or more, in
 * which one core does some hundred thousand operations (the net 64-64-32-10 with batch 32, a million
 * in 5.4 us, took 18 us with two threads). */
static const double program_least = 2e6, phase_least = 4e5;
enum { HUGE_PAGE = 2 << 20, LINE = 64 };

static int64_t phase_units(const GrPhase *phase, int64_t blocks) {
    return phase->kind == GR_SERIAL ? 1 : phase->kind == GR_BLOCKS ? blocks : phase->units;
}

static double phase_work(const GrPhase *phase, int64_t blocks) {
    double work = phase->flops > phase->bytes / 4 ? phase->flops : phase->bytes / 4;
    return phase->kind == GR_BLOCKS ? work * (double)blocks : work;
}

static bool phase_is_split(const GrPhase *phase, int64_t blocks) {
    return phase->kind != GR_SERIAL && phase_units(phase, blocks) > 1 &&
           phase_work(phase, blocks) >= phase_least;
}

static void run_range(const Team *team, int number, const TeamWork *work, int thread,
                      int threads) {
    const GrPhase *phase = &work->program->phases[number];
    int64_t units = phase_units(phase, work->blocks);
    int64_t from = units * thread / threads, to = units * (thread + 1) / threads;
    if (from >= to) return;
    if (team->profile)
        profile_range(team->profile, number, work, team->scratch[thread], thread, from, to);
    else
        phase->fn(work->mem, team->scratch[thread], work->blocks, from, to);
}

/* All of it on the calling thread. */
static void run_alone(Team *team, const TeamWork *work) {
    if (work->prepare) work->prepare(work->context, 0, work->prepare_units);
    for (int i = work->skip; work->program && i < work->program->nphases; i++) {
        double start = team->profile ? io_now() : 0;
        run_range(team, i, work, 0, 1);
        if (team->profile) profile_wall(team->profile, i, io_now() - start);
    }
}

/* One thread's share. Phases that only thread 0 runs need no barrier between them, nor one after
 * the last: thread 0 may be gone with the next program while a helper is still leaving this one,
 * so all is copied first. */
static void run_share(Team *team, int thread) {
    const TeamWork work = *team->work;
    struct Profile *profile = team->profile;
    int threads = team->threads, phases = work.program ? work.program->nphases : 0;
    bool split_before = false;
    if (work.prepare) {
        int64_t units = work.prepare_units;
        int64_t from = units * thread / threads, to = units * (thread + 1) / threads;
        if (from < to) work.prepare(work.context, from, to);
        split_before = true;
    }
    for (int i = work.skip; i < phases; i++) {
        const GrPhase *phase = &work.program->phases[i];
        bool split = phase_is_split(phase, work.blocks);
        if (split_before || (split && i > work.skip)) barrier_wait(&team->barrier);
        double start = profile && !thread ? io_now() : 0;
        if (split)
            run_range(team, i, &work, thread, threads);
        else if (!thread)
            run_range(team, i, &work, 0, 1);
        split_before = split;
        if (profile) {
            barrier_wait(&team->barrier);
            if (!thread) profile_wall(profile, i, io_now() - start);
            split_before = true;
        }
    }
    if (split_before) barrier_wait(&team->barrier);
}

/* Is there enough to do for more than one thread? Then some barrier follows the copy above. */
static bool worth_splitting(const TeamWork *work) {
    double total = 0;
    bool split = work->prepare != NULL;
    for (int i = work->skip; work->program && i < work->program->nphases; i++) {
        total += phase_work(&work->program->phases[i], work->blocks);
        split |= phase_is_split(&work->program->phases[i], work->blocks);
    }
    return split && (!work->program || total >= program_least);
}

/* Fills the guards of a program, or looks whether they are as they were. */
static void guards_each(const Team *team, const TeamWork *work, bool fill) {
    enum { MARK = 0xA5 };
    for (int i = 0; i < work->program->nguards; i++) {
        const GrGuard *guard = &work->program->guards[i];
        for (int thread = 0; thread < (guard->scratch ? team->threads : 1); thread++) {
            char *at = (guard->scratch ? team->scratch[thread] : work->mem) + guard->offset;
            if (fill) memset(at, MARK, GR_GUARD);
            for (int k = 0; k < GR_GUARD; k++) {
                if ((unsigned char)at[k] == MARK) continue;
                fprintf(stderr, "error: internal error: '%s' writes behind '%s', at byte %d\n",
                        work->program->name, guard->name, k);
                exit(GR_FAILED);
            }
        }
    }
}

void team_run(Team *team, const TeamWork *work) {
    bool guarded = work->program && work->program->nguards;
    if (guarded) guards_each(team, work, true);
    if (team->threads == 1 || !worth_splitting(work)) {
        run_alone(team, work);
    } else {
        team->work = work;
        barrier_wait(&team->barrier);
        run_share(team, 0);
    }
    if (guarded) guards_each(team, work, false);
}

/* A helper waits at the barrier for the next program. */
static void help(Team *team, int thread) {
    for (;;) {
        barrier_wait(&team->barrier);
        if (team->quit) return;
        run_share(team, thread);
    }
}

static char *scratch_new(int64_t bytes) {
    size_t size = ((size_t)bytes + LINE) / LINE * LINE;
    char *memory = aligned_alloc(LINE, size);
    if (!memory) {
        fprintf(stderr, "error: out of memory for %zu bytes of scratch for a thread\n", size);
        exit(GR_FAILED);
    }
    memset(memory, 0, size); /* by its own thread: the pages lie near it */
    return memory;
}

void team_start(int threads, int64_t scratch_bytes, void (*body)(Team *team, void *context),
                void *context) {
    Team team = {.threads = threads, .scratch = io_alloc((size_t)threads, sizeof(char *))};
    if (threads == 1) {
        team.scratch[0] = scratch_new(scratch_bytes);
        body(&team, context);
    } else {
        omp_set_dynamic(0);
#pragma omp parallel num_threads(threads)
        {
            int thread = omp_get_thread_num();
            team.scratch[thread] = scratch_new(scratch_bytes);
#pragma omp single
            {
                team.threads = omp_get_num_threads();
                barrier_init(&team.barrier, team.threads);
            }
            if (thread) {
                help(&team, thread);
            } else {
                body(&team, context);
                team.quit = true;
                barrier_wait(&team.barrier);
            }
        }
    }
    for (int i = 0; i < threads; i++)
        free(team.scratch[i]);
    free(team.scratch);
}

char *team_memory(int64_t bytes) {
    size_t size = ((size_t)bytes + LINE) / LINE * LINE;
    /* More than the machine has would be given all the same, and end in a kill, not in a message.
     */
    if ((double)size > (double)sysconf(_SC_PHYS_PAGES) * (double)sysconf(_SC_PAGESIZE)) return NULL;
    if (size < 2 * HUGE_PAGE) {
        char *memory = aligned_alloc(LINE, size);
        return memory ? memset(memory, 0, size) : NULL;
    }
    char *memory = mmap(NULL, size + HUGE_PAGE, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED) return NULL;
    memory += -(uintptr_t)memory & (HUGE_PAGE - 1);
    madvise(memory, size, MADV_HUGEPAGE); /* a wish; the run is correct without */
    return memory;
}
