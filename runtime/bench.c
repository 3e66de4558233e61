/* SPDX-License-Identifier: MIT
 * The verb bench: the time of whole training steps on data that is already in memory. Needs run.h.
 * One line of JSON on stdout; writes no file. */
#include "philox.h"
#include "run.h"
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { WARM_UP = 5, AGAIN = 64, DEFAULT_STEPS = 50 };

typedef struct Bench {
    Run *run;
    const GrProgram *program;
    Batch batch;    /* fields unbound where there is no data */
    char **inputs;  /* what each input held when it was filled */
    bool clobbered; /* a step writes over its inputs: they must be put back */
    char *start;    /* weights and states after the warm-up */
    int64_t step;
} Bench;

static size_t input_bytes(const Bench *bench, int i) {
    const GrBuffer *buffer = &bench->program->inputs[i];
    return (size_t)(batch_blocks(bench->program->batch) * buffer->count * GR_LANES * buffer->bytes);
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
    if (run_read_data(run, "train", &missing)) {
        train = run_set(run, "train");
    } else {
        warn("%s\nbench goes on with random data", missing.text);
        run->data_count = bench->program->batch;
        run_settings(run);
    }
    if (train && !run_init(run, fault)) return false;
    if (!train && run_program(run, GR_INIT)) run_plain(run, run_program(run, GR_INIT));
    if (train) {
        if (!batch_bind(&bench->batch, run->model, bench->program, run->mem, train->data, fault))
            return false;
        bench->batch.examples = train->examples;
        bench->batch.live =
            train->count < bench->program->batch ? train->count : bench->program->batch;
        batch_fill(&bench->batch, 0, batch_units(&bench->batch));
    } else {
        bench->batch.live = bench->program->batch;
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
    run_hyper(run, "count", (double)bench->batch.live);
    TeamWork work = {
        .program = bench->program, .mem = run->mem, .blocks = batch_blocks(bench->batch.live)};
    team_run(run->team, &work);
    return io_now() - start;
}

/* Some steps, from the same weights again and again: on one batch for ever the gradients would
 * become denormal numbers, which no real training sees and which are slow. */
static void run_steps(Bench *bench, int64_t steps, double *times) {
    size_t persistent = (size_t)bench->run->model->persistent;
    for (int64_t i = 0; i < steps; i++) {
        if (i % AGAIN == 0) {
            memcpy(bench->run->mem, bench->start, persistent);
            run_settings(bench->run);
            bench->step = WARM_UP;
        }
        double time = one_step(bench);
        if (times) times[i] = time;
    }
}

static int compare(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

static void print_profile(const Bench *bench, const double *profile, int64_t steps) {
    double total = 0;
    for (int i = 0; i < bench->program->nphases; i++)
        total += profile[i];
    fprintf(stderr, "%10s %6s %9s  phase\n", "us a step", "share", "GFLOP/s");
    for (int i = 0; i < bench->program->nphases; i++) {
        const GrPhase *phase = &bench->program->phases[i];
        double flops = phase->kind == GR_BLOCKS
                           ? phase->flops * (double)batch_blocks(bench->batch.live)
                           : phase->flops;
        fprintf(stderr, "%10.1f %5.1f%% %9.1f  %s\n", profile[i] / (double)steps * 1e6,
                100 * profile[i] / total, flops * (double)steps / profile[i] * 1e-9, phase->name);
    }
}

static bool bench_steps(Bench *bench, Fault *fault) {
    Run *run = bench->run;
    int64_t steps = run->options->steps ? run->options->steps : DEFAULT_STEPS;
    bench->program = run_program(run, GR_STEP);
    if (!bench->program)
        return fault_set(fault, GR_FAILED, "model '%s' has no training to time", run->model->name);
    if (!fill_inputs(bench, fault)) return false;
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
    double *profile = io_alloc((size_t)bench->program->nphases, sizeof *profile);
    bench->start = io_alloc((size_t)run->model->persistent, 1);
    memcpy(bench->start, run->mem, (size_t)run->model->persistent);
    run_steps(bench, steps, times);
    if (run->options->profile) {
        run->team->profile = profile;
        run_steps(bench, steps, NULL);
        run->team->profile = NULL;
        print_profile(bench, profile, steps);
    }
    qsort(times, (size_t)steps, sizeof *times, compare);
    double median = (times[(steps - 1) / 2] + times[steps / 2]) / 2;
    printf("{\"median_us\":%.3f,\"min_us\":%.3f,\"steps\":%" PRId64 ",\"batch\":%d,"
           "\"threads\":%d,\"flops\":%.0f}\n",
           median * 1e6, times[0] * 1e6, steps, bench->program->batch, run->team->threads,
           bench->program->flops);
    free(times);
    free(profile);
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
