/* SPDX-License-Identifier: MIT
 * Compiled code against the interpreter under several settings; against itself, bit by bit, from
 * one setting to the other; gradients against differences. Needs the compiler. Compares no numbers
 * with the interpreter's itself: driver/equal.c does. */
#include "check.h"
#include "equal.h"
#include "pass.h"
#include <math.h>
#include <string.h>

typedef struct Run { /* the numbers of one result or leaf after one program */
    const char *program, *name;
    int64_t count;
    double *value;
} Run;
typedef VEC(Run) Runs;
typedef struct Build { /* a unit, and what its first settings gave */
    Arena *arena;
    const Config *config;
    Unit *unit;
    Samples *samples;
    Eval *eval;   /* of all programs and both widths */
    Runs runs[2]; /* of the first setting of each width: float32, float64 */
    Runs *compare, now;
    int faults;
} Build;

static void say(const char *line, void *context) {
    (void)context;
    printf("  %s\n", line);
}

/* What a program left, in the order of its results and of the leaves. */
static void ran(const Equal *e, const GrProgram *program) {
    Build *b = e->context;
    const GrModel *model = e->native->model;
    int64_t examples = b->samples->examples;
    for (int i = 0; i < program->nresults + model->nleaves; i++) {
        const GrBuffer *r = i < program->nresults ? &program->results[i]
                                                  : &model->leaves[i - program->nresults].buffer;
        Run run = {.count = r->count * (r->per_example ? examples : 1)};
        run.value = NEW_ARRAY(b->arena, double, run.count + 1);
        for (int64_t k = 0; k < run.count; k++)
            run.value[k] = native_get(
                e->native, r->offset,
                r->per_example ? native_place(r, k / r->count, k % r->count) : k, r->bytes);
        run.name = arena_printf(b->arena, "%s", r->name); /* the library goes */
        run.program = arena_printf(b->arena, "%s", program->name);
        VEC_PUSH(b->arena, b->now, run);
    }
}

static bool same_bits(double a, double b) {
    return (isnan(a) && isnan(b)) || !memcmp(&a, &b, sizeof a);
}

/* Nothing may come out as other bits than under the first setting of this width. */
static void runs_compare(Build *b, const Runs *first) {
    for (int i = 0; i < b->now.len && i < first->len; i++) {
        const Run *run = &b->now.at[i], *other = &first->at[i];
        int64_t k = 0;
        while (k < run->count && same_bits(run->value[k], other->value[k]))
            k++;
        if (k == run->count) continue;
        printf("  %s of %s: WRONG: other bits by level or cpu: element %lld: %.17g and %.17g\n",
               run->program, run->name, (long long)k, other->value[k], run->value[k]);
        b->faults |= FAULT_BITS;
    }
    if (b->now.len != first->len) bug("two settings do not run the same programs");
}

/* False where it could not be built. */
static bool check_setting(Build *b, const Setting *setting) {
    BackOptions how = {.cpu = setting->cpu,
                       .level = setting->level,
                       .float_bytes = setting->bytes,
                       .runtime = b->config->runtime,
                       .one = true};
    Native native;
    Unit *unit = b->config->compiled ? b->config->compiled : b->unit;
    if (!native_open(&native, b->arena, unit, &how)) return false;
    Equal equal = {.arena = b->arena,
                   .unit = b->unit,
                   .samples = b->samples,
                   .eval = b->eval,
                   .native = &native,
                   .verbose = b->config->verbose,
                   .strict = b->config->inputs != 1,
                   .say = say,
                   .ran = ran,
                   .context = b};
    b->now = (Runs){0};
    Runs *first = &b->runs[setting->bytes == 8];
    if (equal_check(&equal)) b->faults |= setting->bytes == 8 ? FAULT_DOUBLE : FAULT_SINGLE;
    if (first->len)
        runs_compare(b, first);
    else
        *first = b->now;
    native_close(&native);
    return true;
}

/* ---- Gradients */
static void gradient_report(const GradientReport *r, void *context) {
    const Config *config = context;
    if (config->verbose || r->wrong || r->kinks)
        printf(
            "  gradient %-28s %lld of %lld elements, worst relative error %.1e, %lld on a kink%s\n",
            r->path, (long long)r->checked, (long long)r->count, r->worst, (long long)r->kinks,
            r->wrong ? "  WRONG" : "");
    if (r->wrong)
        printf("  %-37s %lld wrong; element %lld: gradient %.12g, difference %.12g\n", "",
               (long long)r->wrong, (long long)r->worst_element, r->gradient, r->difference);
}

static int gradient_faults(const Build *b) {
    const Config *config = b->config;
    if (!config->gradients || !unit_program(b->unit, "step")) return 0;
    int wrong = gradients_check(b->unit, config->seed, NULL, config->work, gradient_report,
                                (void *)(uintptr_t)config);
    bool no_loss = wrong == GRADIENTS_NO_LOSS;
    if (no_loss) printf("  the loss is nan or infinite: its differences say nothing\n");
    return wrong > 0 || (no_loss && !config->any_loss) ? FAULT_GRADIENT : 0;
}

/* Inputs are the only leaves that a user's data can make large. */
static void inputs_scale(Samples *samples, double factor) {
    for (int i = 0; i < samples->list.len; i++) {
        const Sample *s = &samples->list.at[i];
        if (s->leaf->kind != NODE_INPUT || s->leaf->classes > 0 || !s->leaf->per_example ||
            !strcmp(s->leaf->name, "live") || !strcmp(s->leaf->name, "weight") ||
            !strncmp(s->leaf->name, "example.", 8))
            continue;
        for (int64_t k = 0; k < s->count; k++)
            s->values[k] = (double)(float)(s->values[k] * factor);
    }
}

static void verify(const Pass *pass, Unit *unit, void *context) {
    (void)pass, (void)context;
    graph_verify(unit, 1);
}

static bool unit_passes(Unit *unit, const Config *config) {
    graph_verify(unit, 0);
    /* A batch that fills neither its blocks nor its lanes, unless `full`. */
    unit->config.batch = config->full ? (config->examples + 15) / 16 * 16
                                      : config->examples + 17 - (config->examples % 16 == 15);
    gradients_add(unit, config->input_gradients);
    if (config->graph) graph_print(stdout, unit);
    pass_run(unit, NULL, verify, NULL);
    return diag_errors() == 0;
}

int check_unit(Arena *arena, Unit *unit, const Config *config) {
    if (!unit_passes(unit, config)) return FAULT_REFUSED;
    if (config->compiled && !unit_passes(config->compiled, config)) return FAULT_REFUSED;
    Build b = {.arena = arena, .config = config, .unit = unit};
    b.samples = samples_make(arena, unit, config->examples, config->seed);
    inputs_scale(b.samples, config->inputs);
    b.eval = samples_eval(arena, b.samples);
    bool gradients = false;
    for (int i = 0; i < config->settings; i++) {
        const Setting *how = &config->setting[i];
        int before = b.faults;
        bool built = check_setting(&b, how);
        diag_flush();
        if (!built) return b.faults | FAULT_REFUSED;
        if (how->bytes == 8 && !gradients) b.faults |= gradient_faults(&b);
        gradients |= how->bytes == 8;
        if (config->verbose || b.faults != before)
            printf("%s: float%d -O%d %s %s\n", config->subject, 8 * how->bytes, how->level,
                   how->cpu ? how->cpu : "native", b.faults != before ? "differs" : "equal");
    }
    eval_free(b.eval);
    return b.faults;
}
