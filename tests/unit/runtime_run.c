/* SPDX-License-Identifier: MIT
 * Tests of the team's split of work, of checkpoints and of evaluation, in this process, with the
 * model of runtime_fake.c. Needs Criterion. What needs an executable is in runtime_process.c. */
#include "run.h"
#include <criterion/criterion.h>
#include <criterion/redirect.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char folder[] = P_tmpdir "/gradus-run-XXXXXX";

static void enter(void) {
    cr_assert(mkdtemp(folder));
    cr_assert(!chdir(folder));
    FILE *file = fopen("fake.csv", "w");
    fputs("a,b,c,d,class\n", file);
    for (int i = 0; i < 50; i++)
        fprintf(file, "%d,%d,%g,%d,%d\n", i % 3, i % 7, i * 0.25, i % 2, i % 3);
    fclose(file);
}

static void leave(void) {
    char *line = io_format("rm -rf '%s'", folder);
    if (!strstr(folder, "XXXXXX")) cr_assert(!system(line));
}
TestSuite(runtime_checkpoint, .fini = leave);
TestSuite(runtime_evaluate, .fini = leave);

/* ---- Team */

enum { UNITS = 101, BLOCKS = 7 };
typedef struct Marks {
    int serial, blocks[BLOCKS], units[UNITS], ordered;
} Marks;

static void serial(char *mem, char *scratch, int64_t blocks, int64_t from, int64_t to) {
    (void)scratch;
    Marks *marks = (Marks *)mem;
    marks->serial += from == 0 && to == 1 && blocks == BLOCKS;
}
static void by_blocks(char *mem, char *scratch, int64_t blocks, int64_t from, int64_t to) {
    Marks *marks = (Marks *)mem;
    (void)blocks;
    memset(scratch, (int)from, 100); /* each thread has its own */
    for (int64_t i = from; i < to; i++)
        marks->blocks[i] += marks->serial == 1;
}
static void by_units(char *mem, char *scratch, int64_t blocks, int64_t from, int64_t to) {
    Marks *marks = (Marks *)mem;
    (void)scratch, (void)blocks;
    int done = 0; /* a barrier lies before: all blocks are done */
    for (int i = 0; i < BLOCKS; i++)
        done += marks->blocks[i];
    for (int64_t i = from; i < to; i++)
        marks->units[i] += done == BLOCKS;
}
static void last(char *mem, char *scratch, int64_t blocks, int64_t from, int64_t to) {
    (void)scratch, (void)blocks, (void)from, (void)to;
    Marks *marks = (Marks *)mem;
    for (int i = 0; i < UNITS; i++)
        marks->ordered += marks->units[i];
}
static void prepare(void *context, int64_t from, int64_t to) {
    int *prepared = context;
    for (int64_t i = from; i < to; i++)
        prepared[i]++;
}

#define NO_KERNELS {0, 0, 0, 0}, NULL, 0
static const GrPhase phases[] = {{serial, "a", GR_SERIAL, 1, 1e6, 0, NO_KERNELS},
                                 {by_blocks, "b", GR_BLOCKS, 0, 1e6, 0, NO_KERNELS},
                                 {by_units, "c", GR_UNITS, UNITS, 1e6, 0, NO_KERNELS},
                                 {last, "d", GR_SERIAL, 1, 0, 0, NO_KERNELS}};
static const GrProgram program = {.name = "p", .phases = phases, .nphases = 4};

static void team_body(Team *team, void *context) {
    for (int repeat = 0; repeat < 50; repeat++) {
        Marks marks = {0};
        int prepared[9] = {0};
        TeamWork work = {.program = &program,
                         .mem = (char *)&marks,
                         .blocks = BLOCKS,
                         .prepare = prepare,
                         .context = prepared,
                         .prepare_units = 9};
        team_run(team, &work);
        for (int i = 0; i < 9; i++)
            cr_assert_eq(prepared[i], 1);
        cr_assert_eq(marks.serial, 1);
        for (int i = 0; i < BLOCKS; i++)
            cr_assert_eq(marks.blocks[i], 1);
        for (int i = 0; i < UNITS; i++)
            cr_assert_eq(marks.units[i], 1);
        cr_assert_eq(marks.ordered, UNITS);
    }
    *(int *)context = team->threads;
}

Test(runtime_team, every_unit_once_and_phases_in_order) {
    for (int threads = 1; threads <= 5; threads++) {
        int had = 0;
        team_start(threads, 100, team_body, &had);
        cr_assert_eq(had, threads);
    }
}

/* ---- Guards: a phase that writes one float too many into "b" of mem, or of its scratch. */
static void careless(char *mem, char *scratch, int64_t blocks, int64_t from, int64_t to) {
    (void)scratch, (void)blocks, (void)from, (void)to;
    for (int i = 0; i < 17; i++)
        ((float *)(void *)(mem + 128))[i] = 1;
}
static void careless_inside(char *mem, char *scratch, int64_t blocks, int64_t from, int64_t to) {
    (void)mem, (void)blocks, (void)from, (void)to;
    scratch[64 + 63] = 0;
}
static void careful(char *mem, char *scratch, int64_t blocks, int64_t from, int64_t to) {
    (void)blocks, (void)from, (void)to;
    memset(mem, 1, 64);
    memset(mem + 128, 1, 64);
    memset(scratch, 1, 64);
}
static const GrGuard guards[] = {{"a", 64, 0}, {"b", 192, 0}, {"c", 64, 1}};

static void guarded(Team *team, void *context) {
    char *mem = team_memory(4096);
    GrPhase phase = {NULL, "a", GR_SERIAL, 1, 1e6, 0, NO_KERNELS};
    *(void **)&phase.fn = context;
    GrProgram watched = {.name = "p", .phases = &phase, .nphases = 1, .guards = guards, .nguards = 3};
    team_run(team, &(TeamWork){.program = &watched, .mem = mem});
    team_run(team, &(TeamWork){.program = &watched, .mem = mem});
}
static void run_guarded(GrPhaseFn *fn) {
    cr_redirect_stderr();
    team_start(1, 4096, guarded, *(void **)&fn);
}

Test(runtime_team, guards_let_careful_code_pass) {
    run_guarded(careful);
}
Test(runtime_team, a_write_behind_a_buffer_is_found, .exit_code = 1) {
    run_guarded(careless);
    exit(0);
}
Test(runtime_team, a_write_behind_a_buffer_of_scratch_is_found, .exit_code = 1) {
    run_guarded(careless_inside);
    exit(0);
}

Test(runtime_team, memory_is_zeroed_and_aligned) {
    static const int64_t sizes[] = {1, 100, 5 << 20};
    for (int i = 0; i < 3; i++) {
        char *memory = team_memory(sizes[i]);
        cr_assert(memory && (uintptr_t)memory % (sizes[i] > 4 << 20 ? 2 << 20 : 64) == 0);
        for (int64_t b = 0; b < sizes[i]; b += 61)
            cr_assert_eq(memory[b], 0);
    }
    cr_assert_eq(team_count(3), 3);
    setenv("OMP_NUM_THREADS", "5", 1);
    cr_assert_eq(team_count(0), 5);
    setenv("OMP_NUM_THREADS", "nonsense", 1);
    cr_assert(team_count(0) >= 1 && team_count(0) <= (int)sysconf(_SC_NPROCESSORS_CONF));
}

/* ---- Checkpoints. Everything runs inside a team of one. */

static void in_team(void (*test)(Run *run)) {
    Options options = {.data = "."};
    Fault fault;
    Run run;
    char *scratch = aligned_alloc(64, 1 << 16), *scratches[] = {scratch};
    Team team = {.threads = 1, .scratch = scratches};
    cr_assert(run_open(&run, &gr_model, &options, &team, &fault), "%s", fault.text);
    cr_assert(run_read_data(&run, NULL, &fault), "%s", fault.text);
    cr_assert(run_init(&run, &fault), "%s", fault.text);
    test(&run);
    run_close(&run);
}

static void progress_make(Progress *progress, int64_t seen) {
    *progress = (Progress){.step = 12,
                           .epoch = 3,
                           .position = 32,
                           .total = 99,
                           .loss_sum = 0.1,
                           .loss_count = 32,
                           .npresented = 50,
                           .has_best = true,
                           .best_value = 1.0 / 3,
                           .best_epoch = 2,
                           .best_step = 8};
    progress->presented = io_alloc(50, 4);
    progress->presented[7] = (uint32_t)seen;
    progress->best = io_alloc(1, (size_t)gr_model.persistent);
    metrics_put(&progress->metrics, "validation", "error_rate", 0.7);
    metrics_put(&progress->best_metrics, "validation", "loss", INFINITY);
}

static void resumes(Run *run) {
    Progress before, after;
    Fault fault;
    size_t size = (size_t)gr_model.persistent;
    char *kept = io_alloc(1, size);
    progress_make(&before, 4000000000);
    run->options->settings[run->options->nsettings++] = (Setting){io_format("optimizer.lr"), 0.125};
    run->mem[3] ^= 1;
    memcpy(kept, run->mem, size);
    memcpy(before.best, run->mem, size);
    before.best[1] ^= 1;
    cr_assert(checkpoint_write_last(run, &before, run->mem, &fault), "%s", fault.text);
    memset(run->mem, 0, size);
    run->options->nsettings = 0;
    progress_make(&after, 0);
    cr_assert(checkpoint_resume(run, run->last_path, &after, &fault), "%s", fault.text);
    cr_assert(!memcmp(run->mem, kept, size) && !memcmp(after.best, before.best, size));
    cr_assert(after.step == 12 && after.epoch == 3 && after.position == 32 && after.total == 99);
    cr_assert(after.loss_sum == 0.1 && after.loss_count == 32 && after.presented[7] == 4000000000);
    cr_assert(after.has_best && after.best_value == 1.0 / 3 && after.best_step == 8);
    cr_assert_eq(*metrics_find(&after.metrics, "validation", "error_rate"), 0.7);
    cr_assert(isinf(*metrics_find(&after.best_metrics, "validation", "loss")));
    cr_assert(run->options->nsettings == 1 && run->options->settings[0].value == 0.125);
    /* The weights in it can be used as such. */
    cr_assert(checkpoint_load(run, run->last_path, &fault), "%s", fault.text);
    /* The other file does not say where training stood. */
    cr_assert(checkpoint_write_best(run, &before, run->mem, &fault));
    cr_assert(!checkpoint_resume(run, run->best_path, &after, &fault));
    cr_assert(strstr(fault.text, "weights only") && fault.code == GR_BAD_DATA);
    after.npresented = 40;
    cr_assert(!checkpoint_resume(run, run->last_path, &after, &fault) &&
              strstr(fault.text, "50 examples"));
    after.npresented = 50;
    run->options->has_seed = true;
    run->options->seed = 8;
    cr_assert(!checkpoint_resume(run, run->last_path, &after, &fault) && fault.code == GR_USAGE);
}
Test(runtime_checkpoint, resumes) {
    enter(), in_team(resumes);
}

/* A weights file of the fake model, with leaf `which` changed by `change`. */
static void write_wrong(const Run *run, int which, void (*change)(Tensor *)) {
    TensorFile file = {0};
    Fault fault;
    for (int i = 0; i < gr_model.nleaves; i++) {
        const GrBuffer *buffer = &gr_model.leaves[i].buffer;
        Tensor tensor = {.name = buffer->name,
                         .type = buffer->bytes == 8 ? TENSOR_F64 : TENSOR_F32,
                         .rank = buffer->rank,
                         .count = buffer->count,
                         .bytes = (unsigned char *)run->mem + buffer->offset};
        memcpy(tensor.extent, buffer->extent, sizeof tensor.extent);
        if (i == which) change(&tensor);
        if (tensor.name) tensors_add(&file, tensor);
    }
    cr_assert(tensors_write("wrong", &file, &fault));
    tensors_free(&file);
}
static const float bad_nan[16] = {1, 2, NAN}, bad_inf[16] = {INFINITY};
static void leave_out(Tensor *t) {
    t->name = NULL;
}
static void rename_it(Tensor *t) {
    t->name = "fc1.W";
}
static void reshape(Tensor *t) {
    t->extent[0] = 4, t->extent[1] = 3;
}
static void flatten(Tensor *t) {
    t->rank = 1, t->extent[0] = 12;
}
static void retype(Tensor *t) {
    t->type = TENSOR_U32;
}
static void put_nan(Tensor *t) {
    t->bytes = (const unsigned char *)bad_nan;
}
static void put_inf(Tensor *t) {
    t->bytes = (const unsigned char *)bad_inf;
}

static void refuses(Run *run) {
    static const struct {
        int leaf;
        void (*change)(Tensor *);
        const char *told;
    } rows[] = {{0, leave_out, "has no 'dense1.W'"},
                {0, rename_it, "has no 'dense1.W'"},
                {0, reshape, "shape [4, 3], but this model's has [3, 4]"},
                {0, flatten, "shape [12], but"},
                {1, retype, "not made of floating-point"},
                {0, put_nan, "element 2 of 'dense1.W'"},
                {1, put_inf, "element 0 of 'dense1.b'"},
                {2, put_nan, NULL},
                {2, put_inf, NULL}};
    size_t size = (size_t)gr_model.persistent;
    char *kept = io_alloc(1, size);
    memcpy(kept, run->mem, size);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        Fault fault = {0};
        write_wrong(run, rows[i].leaf, rows[i].change);
        bool ok = checkpoint_load(run, "wrong", &fault);
        cr_assert_eq(ok, rows[i].told == NULL, "row %zu: %s", i, fault.text);
        if (ok) continue;
        cr_assert(strstr(fault.text, rows[i].told) && fault.code == GR_BAD_DATA, "%s", fault.text);
        cr_assert(!memcmp(kept, run->mem, size), "nothing is half-loaded");
    }
}
Test(runtime_checkpoint, refuses_wrong_files_and_loads_nothing) {
    enter(), in_team(refuses);
}

static void refuses_other_model(Run *run) {
    TensorFile file = {0};
    Fault fault;
    Progress progress;
    progress_make(&progress, 0);
    cr_assert(checkpoint_write_best(run, &progress, run->mem, &fault));
    cr_assert(tensors_read(run->best_path, &file, &fault));
    Tensor extra = file.tensors[0];
    extra.name = "conv9.W";
    tensors_add(&file, extra);
    cr_assert(tensors_write("more", &file, &fault));
    cr_assert(!checkpoint_load(run, "more", &fault) && strstr(fault.text, "conv9.W"));
}
Test(runtime_checkpoint, refuses_unexpected_names) {
    enter(), in_team(refuses_other_model);
}

/* ---- Data, fit, evaluation */

static void evaluates(Run *run) {
    const Set *train = run_set(run, "train"), *validation = run_set(run, "validation");
    Metrics metrics = {.count = 0};
    Fault fault;
    cr_assert(train->count == 40 && validation->count == 10);
    for (int64_t i = 0; i < 10; i++)
        cr_assert_eq(validation->examples[i], i * 5 + 4);
    const double *mu = (const double *)(run->mem + gr_model.leaves[4].buffer.offset);
    double mean = 0;
    for (int64_t i = 0; i < 40; i++)
        mean += train->examples[i] * 0.25 / 40;
    cr_assert_float_eq(mu[2], mean, 1e-12); /* over the training split alone */
    cr_assert(evaluate(run, validation, &metrics, &fault) &&
              evaluate(run, train, &metrics, &fault));
    /* Evaluated by hand, example by example. */
    const float *w = (const float *)(run->mem + gr_model.leaves[0].buffer.offset);
    double loss = 0, error = 0;
    for (int64_t i = 0; i < 10; i++) {
        int e = (int)validation->examples[i], best = 0;
        double x[4] = {e % 3 - mu[0], e % 7 - mu[1], e * 0.25 - mu[2], e % 2 - mu[3]}, y[3],
               sum = 0;
        for (int o = 0; o < 3; o++) {
            y[o] =
                w[o * 4] * x[0] + w[o * 4 + 1] * x[1] + w[o * 4 + 2] * x[2] + w[o * 4 + 3] * x[3];
            sum += exp(y[o]);
            if (y[o] > y[best]) best = o;
        }
        loss += (log(sum) - y[e % 3]) / 10;
        error += (best != e % 3) / 10.0;
    }
    cr_assert_float_eq(*metrics_find(&metrics, "validation", "loss"), loss, 1e-6);
    cr_assert_float_eq(*metrics_find(&metrics, "validation", "error_rate"), error, 1e-12);
    cr_assert_eq(metrics.count, 4);
}
Test(runtime_evaluate, means_over_the_set) {
    enter(), in_team(evaluates);
}

/* ---- The batch of a program of one example */
static void filled_alone(const DataField *field, uint32_t example, int bytes, const double *expect) {
    char mem[256] __attribute__((aligned(64)));
    const GrBuffer inputs[] = {
        {.name = "x", .offset = 0, .count = 3, .rank = 1, .extent = {3}, .bytes = bytes},
        {.name = "example.number", .offset = 64, .count = 1, .bytes = bytes}};
    const GrProgram one = {.name = "one",
                           .kind = GR_ONE,
                           .batch = 1,
                           .inputs = inputs,
                           .ninputs = 2,
                           .number_offset = -1,
                           .presentation_offset = -1};
    const DataField *fields[] = {field, NULL};
    Batch batch = {.program = &one, .mem = mem, .fields = fields, .examples = &example, .live = 1};
    memset(mem, 0x55, sizeof mem);
    for (int64_t unit = batch_units(&batch); unit-- > 0;)
        batch_fill(&batch, unit, unit + 1);
    for (int i = 0; i < 3; i++)
        cr_assert_eq(bytes == 8 ? ((double *)mem)[i] : (double)((float *)mem)[i], expect[i]);
    cr_assert_eq(bytes == 8 ? *(double *)(mem + 64) : (double)*(float *)(mem + 64), example);
    cr_assert(mem[3 * bytes] == 0x55 && mem[64 + bytes] == 0x55, "nothing is written behind");
}

Test(runtime_batch, one_example_has_no_lanes) {
    static const double real[] = {9, 9, 9, 9, 0.1, 2, 16777217, 9};
    static const float number[] = {9, 9, 9, 9, 0.1f, 2, -3, 9};
    static const unsigned char byte[] = {9, 9, 9, 9, 1, 2, 255, 9};
    DataField field = {.kind = FIELD_REAL, .count = 3, .stride = 4, .first = real};
    filled_alone(&field, 1, 8, (double[]){0.1, 2, 16777217});
    filled_alone(&field, 1, 4, (double[]){(double)0.1f, 2, 16777216});
    field.kind = FIELD_FLOAT, field.first = number;
    filled_alone(&field, 1, 8, (double[]){(double)0.1f, 2, -3});
    filled_alone(&field, 1, 4, (double[]){(double)0.1f, 2, -3});
    field.kind = FIELD_BYTE, field.first = byte;
    filled_alone(&field, 1, 8, (double[]){1, 2, 255});
    filled_alone(&field, 1, 4, (double[]){1, 2, 255});
}
