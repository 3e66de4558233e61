/* SPDX-License-Identifier: MIT
 * The verb bench: the time of whole training steps, or of predicting one example, on data that is
 * already in memory. Needs run.h. One line of JSON on stdout; writes no file. */
#define _GNU_SOURCE
#include "philox.h"
#include "profile.h"
#include "run.h"
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

enum { WARM_UP = 5, AGAIN = 64, DEFAULT_STEPS = 50 };

typedef struct Bench {
    Run *run;
    const GrProgram *program;
    Batch batch;    /* fields unbound where there is no data */
    char **inputs;  /* what each input held when it was filled */
    bool clobbered; /* a step writes over its inputs: they must be put back */
    char *start;    /* weights and states after the warm-up */
    int64_t live; /* examples of a step */
    int64_t step;
    double cpu;    /* seconds of all threads, in the steps that were timed */
    long resident; /* KiB at most, then */
} Bench;

static size_t input_bytes(const Bench *bench, int i) {
    const GrBuffer *buffer = &bench->program->inputs[i];
    int64_t lanes = buffer->per_example ? batch_blocks(bench->program->batch) * GR_LANES : 1;
    return (size_t)(lanes * buffer->count * buffer->bytes);
}

/* Seeded values in (0, 1), classes by the same draw, where the data is not at hand. */
static void fill_random(Bench *bench) {
    char *mem = bench->run->mem;
    for (int i = 0; i < bench->program->ninputs; i++) {
        const GrBuffer *buffer = &bench->program->inputs[i];
        int64_t count = (int64_t)input_bytes(bench, i) / buffer->bytes;
        for (int64_t e = 0; e < count; e++) {
            Philox draw = philox(bench->run->seed, (uint32_t)e, (uint32_t)i, 0, 0x62656e63);
            double value = (draw.word[0] + 0.5) * 0x1p-32;
            if (buffer->classes) value = floor(value * buffer->classes);
            if (!strcmp(buffer->name, "live")) value = 1;
            if (buffer->bytes == 8)
                ((double *)(mem + buffer->offset))[e] = value;
            else
                ((float *)(mem + buffer->offset))[e] = (float)value;
        }
    }
}

static bool fill_inputs(Bench *bench, Fault *fault) {
    Run *run = bench->run;
    const Set *train = NULL;
    Fault missing;
    if (run_read_data(run, "train", &missing))
        train = run_set(run, "train");
    else
        warn("%s\nbench goes on with random data", missing.text);
    if (!train) {
        run->data_count = bench->program->batch;
        run_settings(run);
    }
    if (train && !run_init(run, fault)) return false;
    if (!train && run_program(run, GR_INIT)) run_plain(run, run_program(run, GR_INIT));
    if (train) {
        if (!batch_bind(&bench->batch, run->model, bench->program, run->mem, train->data, fault))
            return false;
        bench->batch.examples = train->examples;
        if (train->count < bench->live) bench->live = train->count;
        bench->batch.live = bench->live;
        batch_fill(&bench->batch, 0, batch_units(&bench->batch));
    } else {
        fill_random(bench);
    }
    bench->inputs = io_alloc((size_t)bench->program->ninputs, sizeof *bench->inputs);
    for (int i = 0; i < bench->program->ninputs; i++) {
        bench->inputs[i] = io_alloc(input_bytes(bench, i), 1);
        memcpy(bench->inputs[i], run->mem + bench->program->inputs[i].offset,
               input_bytes(bench, i));
    }
    return true;
}

static void put_inputs_back(const Bench *bench) {
    for (int i = 0; i < bench->program->ninputs; i++)
        memcpy(bench->run->mem + bench->program->inputs[i].offset, bench->inputs[i],
               input_bytes(bench, i));
}

static double one_step(Bench *bench) {
    Run *run = bench->run;
    double start = io_now();
    if (bench->clobbered) put_inputs_back(bench);
    run_hyper(run, "step", (double)++bench->step);
    run_hyper(run, "count", (double)bench->live);
    TeamWork work = {.program = bench->program,
                     .mem = run->mem,
                     .blocks = batch_blocks(bench->live),
                     .skip = bench->step > 1 ? bench->program->ready : 0};
    team_run(run->team, &work);
    return io_now() - start;
}

static double cpu_now(void) {
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Some steps, from the same weights again and again: on one batch for ever the gradients would
 * become denormal numbers, which no real training sees and which are slow. */
static void run_steps(Bench *bench, int64_t steps, double *times) {
    size_t persistent = (size_t)bench->run->model->persistent;
    for (int64_t i = 0; i < steps;) {
        memcpy(bench->run->mem, bench->start, persistent);
        run_settings(bench->run);
        bench->step = WARM_UP;
        double cpu = cpu_now();
        for (int64_t end = i + AGAIN < steps ? i + AGAIN : steps; i < end; i++) {
            double time = one_step(bench);
            if (times) times[i] = time;
            if (bench->run->team->profile) profile_step_done(bench->run->team->profile);
        }
        if (times) bench->cpu += cpu_now() - cpu;
    }
}

static int compare(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

/* At a part of the sorted times, between two of them where it falls there. */
static double quantile(const double *times, int64_t count, double part) {
    double at = part * (double)(count - 1);
    int64_t low = (int64_t)at, high = low + 1 < count ? low + 1 : low;
    return times[low] + (at - (double)low) * (times[high] - times[low]);
}

static void print_result(const Bench *bench, double *times, int64_t steps, const Machine *machine) {
    static const struct {
        const char *name;
        double part;
    } rows[] = {{"median", 0.5}, {"min", 0}, {"q1", 0.25}, {"q3", 0.75}, {"max", 1}};
    qsort(times, (size_t)steps, sizeof *times, compare);
    putchar('{');
    for (int i = 0; i < (int)(sizeof rows / sizeof *rows); i++)
        printf("\"%s_us\":%.3f,", rows[i].name, 1e6 * quantile(times, steps, rows[i].part));
    double flops = 0;
    for (int i = 0; i < bench->program->nphases; i++) {
        const GrWork *work = &bench->program->phases[i].work;
        flops += work->flops + work->flops_each * (double)bench->live;
    }
    printf("\"cpu_us\":%.3f,\"steps\":%" PRId64 ",\"batch\":%" PRId64
           ",\"threads\":%d,\"flops\":%.0f,\"resident_kib\":%ld",
           1e6 * bench->cpu / (double)steps, steps, bench->live, bench->run->team->threads, flops,
           bench->resident);
    if (machine)
        printf(",\"peak_gflops\":%.3f,\"read_gbs\":%.3f,\"update_gbs\":%.3f", machine->best,
               machine->read, machine->update);
    puts("}");
}

static void profile_steps(Bench *bench, double *times, int64_t steps) {
    Team *team = bench->run->team;
    Machine machine;
    team->profile = profile_new(bench->program, team->threads);
    run_steps(bench, steps, NULL);
    struct Profile *profile = team->profile;
    team->profile = NULL;
    machine_measure(team, bench->run->model, &machine);
    profile_print(stderr, profile, bench->live, &machine);
    profile_free(profile);
    print_result(bench, times, steps, &machine);
}

static bool choose_program(Bench *bench, Fault *fault) {
    bool one = bench->run->options->one;
    bench->program = run_program(bench->run, one ? GR_ONE : GR_STEP);
    if (!bench->program && one) bench->program = run_program(bench->run, GR_PREDICT);
    if (!bench->program)
        return fault_set(fault, GR_FAILED, "model '%s' has no %s to time", bench->run->model->name,
                         one ? "prediction" : "training");
    bench->live = one ? 1 : bench->program->batch;
    return true;
}

static bool bench_steps(Bench *bench, Fault *fault) {
    Run *run = bench->run;
    int64_t steps = run->options->steps ? run->options->steps : DEFAULT_STEPS;
    if (!choose_program(bench, fault) || !fill_inputs(bench, fault)) return false;
    run_hyper(run, "epoch", 0);
    run_hyper(run, "steps_per_epoch", (double)steps);
    run_hyper(run, "progress", 0);
    one_step(bench);
    for (int i = 0; i < bench->program->ninputs; i++)
        bench->clobbered |= memcmp(run->mem + bench->program->inputs[i].offset, bench->inputs[i],
                                   input_bytes(bench, i)) != 0;
    for (int i = 1; i < WARM_UP; i++)
        one_step(bench);
    double *times = io_alloc((size_t)steps, sizeof *times);
    bench->start = io_alloc((size_t)run->model->persistent, 1);
    memcpy(bench->start, run->mem, (size_t)run->model->persistent);
    run_steps(bench, steps, times);
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    bench->resident = usage.ru_maxrss;
    if (run->options->profile)
        profile_steps(bench, times, steps);
    else
        print_result(bench, times, steps, NULL);
    free(times);
    return true;
}

int verb_bench(Run *run) {
    Fault fault = {0};
    Bench bench = {.run = run};
    bool ok = bench_steps(&bench, &fault);
    if (!ok) complain(&fault);
    for (int i = 0; bench.inputs && i < bench.program->ninputs; i++)
        free(bench.inputs[i]);
    free(bench.inputs);
    free(bench.start);
    batch_free(&bench.batch);
    return ok ? GR_OK : fault.code;
}
