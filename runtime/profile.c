/* SPDX-License-Identifier: MIT
 * bench --profile: phases run kernel by kernel with a clock between, the least time of each over
 * the steps, and beside it the peak measured on the same team. Needs team.h, peak.h. Prints on a stream. */
#include "profile.h"
#include "peak.h"
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* Rows: a phase, then its kernels, then the next phase. */
struct Profile {
    const GrProgram *program;
    int threads, nrows;
    int *first;       /* row of each phase */
    double *busy;     /* [thread][row] seconds of this step */
    double *least;    /* [row] of all steps; phases: until the last thread is done; kernels: of the
                       * thread that took longest */
    int64_t steps;
};

Profile *profile_new(const GrProgram *program, int threads) {
    Profile *profile = io_alloc(1, sizeof *profile);
    *profile = (Profile){.program = program, .threads = threads};
    profile->first = io_alloc((size_t)program->nphases + 1, sizeof *profile->first);
    for (int i = 0; i < program->nphases; i++) {
        profile->first[i] = profile->nrows;
        profile->nrows += 1 + program->phases[i].nkernels;
    }
    size_t rows = (size_t)profile->nrows;
    profile->busy = io_alloc(rows * (size_t)threads + 1, sizeof *profile->busy);
    profile->least = io_alloc(rows + 1, sizeof *profile->least);
    return profile;
}

void profile_free(Profile *profile) {
    if (!profile) return;
    free(profile->first);
    free(profile->busy);
    free(profile->least);
    free(profile);
}

static double own_time(void) {
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* The shorter of wall and processor time: the one is finer, the other does not count what the machine
 * does for others meanwhile. */
static void run_kernel(const GrKernel *kernel, const TeamWork *work, char *scratch, int64_t from,
                       int64_t to, double *busy) {
    double own = own_time(), start = io_now();
    kernel->fn(work->mem, scratch, work->blocks, from, to);
    double wall = io_now() - start;
    own = own_time() - own;
    *busy += own < wall ? own : wall;
}

/* As the phase itself runs them (emit_phase): in order, those of a recurrence step by step. */
static void run_kernels(const GrPhase *phase, const TeamWork *work, char *scratch, int64_t from,
                        int64_t to, double *busy) {
    for (int k = 0; k < phase->nkernels;) {
        const GrKernel *first = &phase->kernels[k];
        int end = k + 1;
        if (first->group < 0) {
            run_kernel(first, work, scratch, from, to, &busy[k]);
            k = end;
            continue;
        }
        while (end < phase->nkernels && phase->kernels[end].group == first->group)
            end++;
        int64_t steps = first->steps < 0 ? -first->steps : first->steps;
        for (int64_t s = 0; s < steps; s++)
            for (int i = k; i < end; i++)
                run_kernel(&phase->kernels[i], work, scratch, from,
                           first->steps < 0 ? steps - 1 - s : s, &busy[i]);
        k = end;
    }
}

void profile_range(Profile *profile, int number, const TeamWork *work, char *scratch, int thread,
                   int64_t from, int64_t to) {
    const GrPhase *phase = &profile->program->phases[number];
    double *busy = profile->busy + (ptrdiff_t)thread * profile->nrows + profile->first[number] + 1;
    if (!phase->nkernels) {
        phase->fn(work->mem, scratch, work->blocks, from, to);
        return;
    }
    if (phase->kind != GR_BLOCKS) {
        run_kernels(phase, work, scratch, from, to, busy);
        return;
    }
    for (int64_t block = from; block < to; block++)
        run_kernels(phase, work, scratch, block, to, busy);
}

void profile_wall(Profile *profile, int phase, double seconds) {
    profile->busy[profile->first[phase]] += seconds;
}

void profile_step_done(Profile *profile) {
    for (int row = 0; row < profile->nrows; row++) {
        double most = 0;
        for (int t = 0; t < profile->threads; t++) {
            double *busy = &profile->busy[(ptrdiff_t)t * profile->nrows + row];
            if (*busy > most) most = *busy;
            *busy = 0;
        }
        if (!profile->steps || most < profile->least[row]) profile->least[row] = most;
    }
    profile->steps++;
}

/* A phase of one thread takes as long as its kernels; of more, as long as the last of them. */
static double phase_time(const Profile *profile, int phase) {
    const double *least = &profile->least[profile->first[phase]];
    double sum = 0;
    for (int k = 1; k <= profile->program->phases[phase].nkernels; k++)
        sum += least[k];
    return profile->threads == 1 && sum > 0 ? sum : *least;
}

static void print_share(FILE *out, double part) {
    if (part >= 0.001)
        fprintf(out, " %4.0f%%", 100 * part);
    else
        fprintf(out, "     -");
}

/* Time, share of the step, MFLOP, GFLOP/s and MB, GB/s with their shares of the peak. */
static void print_row(FILE *out, double seconds, double all, const GrWork *work, int64_t live,
                      const Machine *machine) {
    double flops = work->flops + work->flops_each * (double)live;
    double bytes = work->bytes + work->bytes_each * (double)live;
    double per_second = seconds > 0 ? 1e-9 / seconds : 0;
    fprintf(out, "%10.1f %5.1f%% %9.3f %8.1f", 1e6 * seconds, 100 * seconds / all, 1e-6 * flops,
            flops * per_second);
    print_share(out, flops * per_second / machine->best);
    fprintf(out, " %9.3f %7.1f", 1e-6 * bytes, bytes * per_second);
    print_share(out, bytes * per_second / machine->update);
}

void profile_print(FILE *out, const Profile *profile, int64_t live, const Machine *machine) {
    static const char *const kinds[] = {"one thread", "by blocks", "by units"};
    const GrProgram *program = profile->program;
    GrWork sum = {0};
    double all = 0;
    for (int p = 0; p < program->nphases; p++)
        all += phase_time(profile, p);
    fprintf(out, "machine, %d thread%s:", profile->threads, profile->threads > 1 ? "s" : "");
    for (int width = 0; width < PEAK_WIDTHS; width++)
        if (machine->fma[width] > 0)
            fprintf(out, " %d bits %.1f,", peak_bits[width], machine->fma[width]);
    fprintf(out, " GFLOP/s; memory read %.1f, updated %.1f GB/s\n", machine->read, machine->update);
    fprintf(out, "%10s %6s %9s %8s %5s %9s %7s %5s\n", "us a step", "share", "MFLOP", "GFLOP/s",
            "(fma)", "MB", "GB/s", "(mem)");
    for (int p = 0; p < program->nphases; p++) {
        const GrPhase *phase = &program->phases[p];
        print_row(out, phase_time(profile, p), all, &phase->work, live, machine);
        fprintf(out, "  %s, %s\n", phase->name, kinds[phase->kind]);
        for (int k = 0; k < phase->nkernels; k++) {
            const GrKernel *kernel = &phase->kernels[k];
            print_row(out, profile->least[profile->first[p] + 1 + k], all, &kernel->work, live,
                      machine);
            fprintf(out, "      %s\n", kernel->name);
        }
        sum.flops += phase->work.flops + phase->work.flops_each * (double)live;
        sum.bytes += phase->work.bytes + phase->work.bytes_each * (double)live;
    }
    print_row(out, all, all, &sum, live, machine);
    fprintf(out, "  %s, phase by phase\n", program->name);
}

/* ---- The machine */
typedef struct Measure {
    int float_bytes;
    Machine *each; /* [thread] */
    char *memory;
    size_t slice; /* bytes of a thread */
} Measure;

static void measure_threads(void *context, int64_t from, int64_t to) {
    const Measure *measure = context;
    for (int64_t t = from; t < to; t++) {
        Machine *mine = &measure->each[t];
        for (int width = 0; width < PEAK_WIDTHS; width++)
            mine->fma[width] = 1e-9 * peak_fma(width, measure->float_bytes);
        if (!measure->memory) continue;
        char *slice = measure->memory + measure->slice * (size_t)t;
        mine->update = 1e-9 * peak_update(slice, measure->slice);
        mine->read = 1e-9 * peak_read(slice, measure->slice);
    }
}

void machine_measure(Team *team, const GrModel *model, Machine *machine) {
    size_t page = 4096, threads = (size_t)team->threads;
    size_t slice = ((size_t)model->memory / threads + page) / page * page;
    Measure measure = {.float_bytes = model->float_bytes,
                       .each = io_alloc(threads, sizeof *measure.each),
                       .memory = aligned_alloc(page, slice * threads),
                       .slice = slice};
    if (measure.memory) memset(measure.memory, 1, slice * threads);
    TeamWork work = {
        .prepare = measure_threads, .context = &measure, .prepare_units = team->threads};
    team_run(team, &work);
    *machine = (Machine){0};
    for (int t = 0; t < team->threads; t++) {
        for (int width = 0; width < PEAK_WIDTHS; width++)
            machine->fma[width] += measure.each[t].fma[width];
        machine->update += measure.each[t].update;
        machine->read += measure.each[t].read;
    }
    for (int width = 0; width < PEAK_WIDTHS; width++)
        if (machine->fma[width] > machine->best) machine->best = machine->fma[width];
    free(measure.memory);
    free(measure.each);
}
