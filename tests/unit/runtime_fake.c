/* SPDX-License-Identifier: MIT
 * A model written by hand as the compiler would emit it: softmax regression, 4 inputs, 3 classes,
 * with a fit, a split, draws, a stop rule and settings. Needs runtime/abi.h and philox.h.
 * For tests of the runtime only; its phases claim much work so that small tests use all threads. */
#include "abi.h"
#include "philox.h"
#include <math.h>
#include <stddef.h>

enum { IN = 4, OUT = 3, BLOCKS = 2, WORK = 10000000 };

typedef struct Mem {
    float w[OUT][IN], b[OUT], best, since; /* persistent from here */
    double mu[IN];                         /* to here */
    double step, epoch, steps_per_epoch, progress, count, data_count, lr, window, error_rate;
    uint64_t seed;
    float x[BLOCKS][IN][GR_LANES], target[BLOCKS][GR_LANES], live[BLOCKS][GR_LANES];
    float position[BLOCKS][GR_LANES];
    uint32_t number[BLOCKS][GR_LANES], presented[BLOCKS][GR_LANES];
    float gradient[BLOCKS][OUT * (IN + 1)], partial[BLOCKS], loss, stop;
    float y[BLOCKS][OUT][GR_LANES], p[BLOCKS][OUT][GR_LANES];
    float each_loss[BLOCKS][GR_LANES], error[BLOCKS][GR_LANES], split[BLOCKS][GR_LANES];
} Mem;

static void init(char *mem, char *scratch, int64_t blocks, int64_t from, int64_t to) {
    Mem *m = (Mem *)mem;
    (void)scratch, (void)blocks;
    for (int64_t o = from; o < to; o++) {
        for (int i = 0; i < IN; i++)
            m->w[o][i] =
                0.01f * (float)philox(m->seed, (uint32_t)(o * IN + i), 0, 0, 1).word[0] * 0x1p-32f;
        m->b[o] = 0;
    }
    m->best = INFINITY;
    m->since = 0;
}

/* The mean of each input, chunk by chunk. */
static void fit(char *mem, char *scratch, int64_t blocks, int64_t from, int64_t to) {
    Mem *m = (Mem *)mem;
    (void)scratch, (void)from, (void)to;
    for (int64_t block = 0; block < blocks; block++)
        for (int lane = 0; lane < GR_LANES; lane++)
            for (int i = 0; i < IN; i++)
                if (m->live[block][lane] != 0)
                    m->mu[i] += (double)m->x[block][i][lane] / m->data_count;
}

static void split(char *mem, char *scratch, int64_t blocks, int64_t from, int64_t to) {
    Mem *m = (Mem *)mem;
    (void)scratch, (void)blocks;
    for (int64_t block = from; block < to; block++)
        for (int lane = 0; lane < GR_LANES; lane++)
            m->split[block][lane] = fmodf(m->position[block][lane], 5) == 4 ? 1 : 0;
}

/* Outputs, probabilities, loss and error of one block; `noise`: inputs disturbed by draws. */
static void forward(Mem *m, int64_t block, float noise, float x[IN][GR_LANES]) {
    for (int lane = 0; lane < GR_LANES; lane++) {
        float largest = -INFINITY, sum = 0;
        int best = 0, target = (int)m->target[block][lane];
        for (int i = 0; i < IN; i++) {
            uint32_t word =
                philox(m->seed, (uint32_t)i, m->number[block][lane], m->presented[block][lane], 2)
                    .word[0];
            x[i][lane] = m->x[block][i][lane] - (float)m->mu[i] +
                         noise * ((float)(word >> 9) * 0x1p-23f - 0.5f);
        }
        for (int o = 0; o < OUT; o++) {
            float y = m->b[o];
            for (int i = 0; i < IN; i++)
                y += m->w[o][i] * x[i][lane];
            m->y[block][o][lane] = y;
            if (y > largest) largest = y, best = o;
        }
        for (int o = 0; o < OUT; o++)
            sum += expf(m->y[block][o][lane] - largest);
        for (int o = 0; o < OUT; o++)
            m->p[block][o][lane] = expf(m->y[block][o][lane] - largest) / sum;
        if (target < 0 || target >= OUT) target = 0; /* predict has no target */
        m->each_loss[block][lane] = logf(sum) + largest - m->y[block][target][lane];
        m->error[block][lane] = best != target;
    }
}

static void step_block(char *mem, char *scratch, int64_t blocks, int64_t from, int64_t to) {
    Mem *m = (Mem *)mem;
    float(*x)[GR_LANES] = (float(*)[GR_LANES])scratch;
    (void)blocks;
    for (int64_t block = from; block < to; block++) {
        float *g = m->gradient[block];
        forward(m, block, 0.1f, x);
        m->partial[block] = 0;
        for (int k = 0; k < OUT * (IN + 1); k++)
            g[k] = 0;
        for (int lane = 0; lane < GR_LANES; lane++) {
            float live = m->live[block][lane];
            m->partial[block] += live * m->each_loss[block][lane];
            for (int o = 0; o < OUT; o++) {
                float d = live * (m->p[block][o][lane] - (o == (int)m->target[block][lane]));
                for (int i = 0; i < IN; i++)
                    g[o * (IN + 1) + i] += d * x[i][lane];
                g[o * (IN + 1) + IN] += d;
            }
        }
    }
}

static void update(char *mem, char *scratch, int64_t blocks, int64_t from, int64_t to) {
    Mem *m = (Mem *)mem;
    (void)scratch;
    float rate = (float)(isnan(m->lr) ? 0.1 * pow(0.9, m->epoch) : m->lr) / (float)m->count;
    for (int64_t k = from; k < to; k++) {
        float g = 0;
        for (int64_t block = 0; block < blocks; block++)
            g += m->gradient[block][k];
        int64_t o = k / (IN + 1), i = k % (IN + 1);
        *(i < IN ? &m->w[o][i] : &m->b[o]) -= rate * g;
    }
}

static void total(char *mem, char *scratch, int64_t blocks, int64_t from, int64_t to) {
    Mem *m = (Mem *)mem;
    (void)scratch, (void)from, (void)to;
    m->loss = 0;
    for (int64_t block = 0; block < blocks; block++)
        m->loss += m->partial[block];
    m->loss /= (float)m->count;
}

static void look(char *mem, char *scratch, int64_t blocks, int64_t from, int64_t to) {
    (void)blocks;
    for (int64_t block = from; block < to; block++)
        forward((Mem *)mem, block, 0, (float(*)[GR_LANES])scratch);
}

static void after_epoch(char *mem, char *scratch, int64_t blocks, int64_t from, int64_t to) {
    Mem *m = (Mem *)mem;
    (void)scratch, (void)blocks, (void)from, (void)to;
    float error = (float)m->error_rate;
    m->since = error < m->best ? 0 : m->since + 1;
    if (error < m->best) m->best = error;
    m->stop = !isnan(m->window) && m->since >= (float)m->window;
}

#define EACH(NAME, FIELD, COUNT, RANK, CLASSES)                                                    \
    {                                                                                              \
        .name = NAME, .offset = offsetof(Mem, FIELD), .count = COUNT, .rank = RANK,                \
        .extent = {COUNT}, .bytes = 4, .per_example = 1, .classes = CLASSES                        \
    }
#define LEAF(NAME, FIELD, COUNT, RANK, A, B, BYTES, KIND)                                          \
    {                                                                                              \
        {.name = NAME,                                                                             \
         .offset = offsetof(Mem, FIELD),                                                           \
         .count = COUNT,                                                                           \
         .rank = RANK,                                                                             \
         .extent = {A, B},                                                                         \
         .bytes = BYTES},                                                                          \
            KIND                                                                                   \
    }
static const GrBuffer train_inputs[] = {
    EACH("x", x, IN, 1, 0), EACH("kind.target", target, 1, 0, OUT), EACH("live", live, 1, 0, 0)};
static const GrBuffer split_inputs[] = {EACH("example.number", position, 1, 0, 0)};
static const GrBuffer step_results[] = {
    {.name = "loss", .offset = offsetof(Mem, loss), .count = 1, .bytes = 4}};
static const GrBuffer stop_results[] = {
    {.name = "stop", .offset = offsetof(Mem, stop), .count = 1, .bytes = 4}};
static const GrBuffer split_results[] = {EACH("split", split, 1, 0, 0)};
static const GrBuffer eval_results[] = {EACH("loss", each_loss, 1, 0, 0),
                                        EACH("error_rate", error, 1, 0, 0)};
static const GrBuffer predict_results[] = {EACH("kind", y, OUT, 1, 0),
                                           EACH("kind.p", p, OUT, 1, 0)};

#define NO_KERNELS {0, 0, 0, 0}, NULL, 0
static const GrKernel step_kernels[] = {{step_block, "all of a block", -1, 0, {0, 312500, 0, 64}}};
static const GrPhase init_phases[] = {{init, "init", GR_UNITS, OUT, 0, 0, NO_KERNELS}};
static const GrPhase fit_phases[] = {{fit, "fit", GR_SERIAL, 1, 0, 0, NO_KERNELS}};
static const GrPhase split_phases[] = {{split, "split", GR_BLOCKS, 0, WORK, 0, NO_KERNELS}};
static const GrPhase step_phases[] = {{step_block, "step", GR_BLOCKS, 0, WORK, 0,
                                       {0, 312500, 0, 64}, step_kernels, 1},
                                      {update, "update", GR_UNITS, OUT *(IN + 1), WORK, 0,
                                       NO_KERNELS},
                                      {total, "total", GR_SERIAL, 1, 0, 0, NO_KERNELS}};
static const GrPhase eval_phases[] = {{look, "eval", GR_BLOCKS, 0, WORK, 0, NO_KERNELS}};
static const GrPhase epoch_phases[] = {{after_epoch, "epoch", GR_SERIAL, 1, 0, 0, NO_KERNELS}};

#define DRAWS offsetof(Mem, number), offsetof(Mem, presented)
#define LIST(A) A, (int32_t)(sizeof A / sizeof *A)
#define NO_GUARDS NULL, 0
static const GrProgram programs[] = {
    {"init", GR_INIT, 0, LIST(init_phases), 0, NULL, 0, NULL, 0, -1, -1, 0, NO_GUARDS},
    {"fit0", GR_FIT, 32, LIST(fit_phases), 0, LIST(train_inputs), NULL, 0, -1, -1, 0, NO_GUARDS},
    {"split:validation", GR_SPLIT, 32, LIST(split_phases), 0, LIST(split_inputs), LIST(split_results),
     -1, -1, 0, NO_GUARDS},
    {"step", GR_STEP, 32, LIST(step_phases), 0, LIST(train_inputs), LIST(step_results), DRAWS, WORK, NO_GUARDS},
    {"eval", GR_EVAL, 32, LIST(eval_phases), 0, train_inputs, 2, LIST(eval_results), DRAWS, WORK, NO_GUARDS},
    {"predict", GR_PREDICT, 32, LIST(eval_phases), 0, train_inputs, 1, LIST(predict_results), DRAWS,
     WORK, NO_GUARDS},
    {"epoch", GR_EPOCH, 0, LIST(epoch_phases), 0, NULL, 0, LIST(stop_results), -1, -1, 0, NO_GUARDS},
};
static const GrLeaf leaves[] = {LEAF("dense1.W", w, OUT *IN, 2, OUT, IN, 4, GR_PARAM),
                                LEAF("dense1.b", b, OUT, 1, OUT, 0, 4, GR_PARAM),
                                LEAF("stop.best", best, 1, 0, 0, 0, 4, GR_STATE),
                                LEAF("stop.since", since, 1, 0, 0, 0, 4, GR_STATE),
                                LEAF("center1.mu", mu, IN, 1, IN, 0, 8, GR_FITTED)};
static const GrHyper hypers[] = {{"step", offsetof(Mem, step), 0},
                                 {"epoch", offsetof(Mem, epoch), 0},
                                 {"steps_per_epoch", offsetof(Mem, steps_per_epoch), 0},
                                 {"progress", offsetof(Mem, progress), 0},
                                 {"count", offsetof(Mem, count), 0},
                                 {"data.count", offsetof(Mem, data_count), 0},
                                 {"set:optimizer.lr", offsetof(Mem, lr), NAN},
                                 {"set:stop.window", offsetof(Mem, window), 1000},
                                 {"validation.error_rate", offsetof(Mem, error_rate), 0}};
static const GrColumn columns[] = {{"kind", "class"}};
static const GrFile files[] = {{.name = "fake.csv"}};
static const GrSource sources[] = {
    {.format = "csv", .files = files, .nfiles = 1, .columns = columns, .ncolumns = 1}};
static const GrSet sets[] = {{"train", 0, -1, -1}, {"validation", 0, 0, 2}};
static const char *const inputs[] = {"x"}, *const outputs[] = {"kind"};

const GrModel gr_model = {.abi = GR_ABI,
                          .name = "fake",
                          .train_name = "fake",
                          .compiler = "gradus test",
                          .cpu = "any",
                          .source_path = "fake.gr",
                          .source_dir = NULL,
                          .model_hash = 0x1234,
                          .float_bytes = 4,
                          .memory = sizeof(Mem),
                          .scratch = IN * GR_LANES * sizeof(float),
                          .persistent = offsetof(Mem, step),
                          .leaves = leaves,
                          .nleaves = 5,
                          .hypers = hypers,
                          .nhypers = 9,
                          .programs = programs,
                          .nprograms = 7,
                          .sources = sources,
                          .nsources = 1,
                          .sets = sets,
                          .nsets = 2,
                          .inputs = inputs,
                          .ninputs = 1,
                          .outputs = outputs,
                          .noutputs = 1,
                          .seed_offset = offsetof(Mem, seed),
                          .batch = 32,
                          .epochs = 6,
                          .steps = 0,
                          .seed = 7,
                          .last_drop = 0,
                          .best_max = 0,
                          .has_stop = 1,
                          .best = "error_rate",
                          .parameters = OUT * (IN + 1)};
