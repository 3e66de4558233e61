/* SPDX-License-Identifier: MIT
 * gradus-equal: compiled code against the interpreter, element by element, in float64 and float32,
 * and gradients against differences. Needs the compiler, the runtime's abi and sampled leaves.
 * Measures nothing and trains nothing: one run of each program from a common state. */
#include "elab.h"
#include "native.h"
#include "pass.h"
#include "random.h"
#include "sample.h"
#include "terms.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct Config {
    const char *subject; /* FILE.gr, FILE.graph, "def(...) on [shape]" or random:SEED */
    const char *cpu, *runtime;
    int64_t examples;
    uint64_t seed;
    int level, float_bits; /* float_bits 0: both */
    double inputs; /* factor on all input numbers; other than 1: nothing may come out as NaN */
    bool gradients, verbose, full, graph;
} Config;

typedef struct Build { /* a unit, common values, and the compiled form of one width */
    Arena *arena;
    const Config *config;
    Unit *unit;
    Samples *samples;
    Eval *eval; /* of all programs and both widths */
    Native native;
    int faults;
} Build;

static bool ends_with(const char *text, const char *end) {
    size_t length = strlen(text), n = strlen(end);
    return length > n && !strcmp(text + length - n, end);
}

static bool is_random(const char *subject) {
    return !strncmp(subject, "random:", 7);
}

static bool is_def(const char *subject) {
    return !is_random(subject) && !ends_with(subject, ".gr") && !ends_with(subject, ".graph");
}

static void verify(const Pass *pass, Unit *unit, void *context) {
    (void)pass, (void)context;
    graph_verify(unit, 1);
}

static Unit *graph_load(Arena *arena, const char *path) {
    FILE *file = fopen(path, "rb");
    char *text = NULL;
    size_t length = 0;
    ssize_t got = file ? getdelim(&text, &length, '\0', file) : -1;
    uint32_t number = got < 0 ? 0 : source_add(path, text, (size_t)got, false);
    if (file) fclose(file);
    free(text);
    return number ? graph_read(arena, number) : NULL;
}

static Unit *subject_load(Arena *arena, const char *subject) {
    if (is_random(subject)) return random_unit(arena, strtoull(subject + 7, NULL, 10));
    if (ends_with(subject, ".graph")) return graph_load(arena, subject);
    Module *module =
        is_def(subject) ? module_load_text(arena, "equal", "") : module_load(arena, subject);
    if (!module || diag_errors() > 0) return NULL;
    return is_def(subject) ? elab_def(arena, module, subject) : elab_unit(arena, module, NULL);
}

/* The unit after all passes; a batch that fills neither its blocks nor its lanes unless `full`. */
static Unit *unit_make(Arena *arena, const Config *config) {
    Unit *unit = subject_load(arena, config->subject);
    if (!unit || diag_errors() > 0) return NULL;
    graph_verify(unit, 0);
    unit->config.batch = config->full ? (config->examples + 15) / 16 * 16
                                      : config->examples + 17 - (config->examples % 16 == 15);
    gradients_add(unit, is_def(config->subject) || is_random(config->subject));
    pass_run(unit, NULL, verify, NULL);
    return diag_errors() > 0 ? NULL : unit;
}

static const Sample *sample_named(const Build *b, const char *name, bool input) {
    for (int i = 0; i < b->samples->list.len; i++) {
        const Sample *s = &b->samples->list.at[i];
        bool wanted = input ? s->leaf->kind == NODE_INPUT
                            : s->leaf->kind != NODE_INPUT && s->leaf->kind != NODE_HYPER;
        if (wanted && !strcmp(s->leaf->name, name)) return s;
    }
    return NULL;
}

static void state_fill(Build *b, const GrProgram *program) {
    const GrModel *m = b->native.model;
    int64_t examples = b->samples->examples,
            lanes = (examples + GR_LANES - 1) / GR_LANES * GR_LANES;
    native_clear(&b->native);
    for (int i = 0; i < m->nleaves; i++) {
        const GrBuffer *buffer = &m->leaves[i].buffer;
        const Sample *s = sample_named(b, buffer->name, false);
        for (int64_t k = 0; k < buffer->count; k++)
            native_put(&b->native, buffer->offset, k, buffer->bytes, s ? s->values[k] : 0);
    }
    for (int i = 0; i < m->nhypers; i++)
        native_put(&b->native, m->hypers[i].offset, 0, 8,
                   sample_hyper(m->hypers[i].name, examples));
    if (m->seed_offset >= 0) memcpy(b->native.mem + m->seed_offset, &b->samples->seed, 8);
    for (int i = 0; i < program->ninputs; i++) {
        const Sample *s = sample_named(b, program->inputs[i].name, true);
        if (s && !program->inputs[i].per_example) { /* a total over the evaluated set */
            for (int64_t k = 0; k < s->count; k++)
                native_put(&b->native, program->inputs[i].offset, k, program->inputs[i].bytes,
                           s->values[k]);
        } else if (s || !strcmp(program->inputs[i].name, "live")) {
            native_fill(&b->native, &program->inputs[i], s ? s->values : NULL, s ? s->count : 0,
                        examples);
        } else {
            printf("  %s: the compiled input '%s' is no leaf of the graph\n", program->name,
                   program->inputs[i].name);
            b->faults++;
        }
    }
    for (int64_t example = 0; example < lanes; example++) {
        int64_t from = example < examples ? example : examples - 1;
        if (program->number_offset >= 0)
            memcpy(b->native.mem + program->number_offset + 4 * example, &b->samples->number[from],
                   4);
        if (program->presentation_offset >= 0)
            memcpy(b->native.mem + program->presentation_offset + 4 * example,
                   &b->samples->presentation[from], 4);
    }
}

static const GrBuffer *result_buffer(const Build *b, const GrProgram *program, const Result *r) {
    if (r->kind == RESULT_NEXT) {
        for (int i = 0; i < b->native.model->nleaves; i++)
            if (!strcmp(b->native.model->leaves[i].buffer.name, r->target->name))
                return &b->native.model->leaves[i].buffer;
        return NULL;
    }
    const char *name = r->name ? r->name : "stop";
    for (int i = 0; i < program->nresults; i++)
        if (!strcmp(program->results[i].name, name)) return &program->results[i];
    return NULL;
}

/* Values of a node where all leaves of numbers are moved a little: how far rounding may carry it.
 */
static double *moved_values(Build *b, Node *node, double size, int64_t *count) {
    Arena *arena = arena_new();
    Eval *eval = samples_eval(arena, b->samples);
    uint64_t random = 12345;
    for (int i = 0; i < b->samples->list.len; i++) {
        const Sample *s = &b->samples->list.at[i];
        if (s->leaf->kind == NODE_HYPER || s->leaf->classes > 0 || !strcmp(s->leaf->name, "live") ||
            !strncmp(s->leaf->name, "example.", 8))
            continue;
        double *moved = NEW_ARRAY(arena, double, s->count);
        for (int64_t k = 0; k < s->count; k++) {
            random = random * UINT64_C(6364136223846793005) + 1442695040888963407;
            moved[k] =
                s->values[k] * (1 + size * ((double)(random >> 33) * 0x1p-30 - 1)) + size * size;
        }
        eval_set(eval, s->leaf, moved);
    }
    *count = eval_count(eval, node);
    double *values = NEW_ARRAY(b->arena, double, *count + 1);
    memcpy(values, eval_node(eval, node), sizeof(double) * (size_t)*count);
    arena_free(arena);
    return values;
}

typedef struct Verdict {
    int64_t count, wrong, kinks, worst_at;
    double worst, expected, got; /* worst: difference over bound */
} Verdict;

/* The size that an error is measured by: the interpreter's scale for the element, but not much more
 * than the tensor's own numbers or the terms (four operations back) that cancelled in it, since a
 * sum of absolute values through all layers grows with each of them. */
static double size_of(double value, double magnitude, double rms, double terms) {
    double own = fmax(fmax(fabs(value), rms), terms); /* nothing but zeros has no size */
    return fmax(fabs(value), own > 0 ? fmin(magnitude, 10 * own) : magnitude);
}

static double rms_of(const double *values, int64_t count) {
    double sum = 0;
    for (int64_t i = 0; i < count; i++)
        sum += isfinite(values[i]) ? values[i] * values[i] : 0;
    return count ? sqrt(sum / (double)count) : 0;
}

static Verdict result_compare(Build *b, const Result *r, const GrBuffer *buffer) {
    const double *scale = eval_magnitude(b->eval, r->node), *expected = eval_node(b->eval, r->node);
    Verdict v = {.count = eval_count(b->eval, r->node)};
    double *moved = NULL, unit = b->native.bytes == 8 ? 1e-12 : 1e-5,
           rms = rms_of(expected, v.count);
    const double *terms = NULL;
    for (int64_t i = 0; i < v.count; i++) {
        int64_t example = r->node->per_example ? i / buffer->count : 0;
        double got =
            native_get(&b->native, buffer->offset,
                       native_place(buffer, example, r->node->per_example ? i % buffer->count : i),
                       buffer->bytes);
        bool extreme = b->config->inputs != 1; /* NaN is what the test looks for */
        if (got == expected[i] || (isnan(got) && isnan(expected[i]) && !extreme)) continue;
        double least = b->native.bytes == 8 ? 1e-300 : 1e-37;
        double bound = unit * size_of(expected[i], scale[i], rms, 0) + least;
        double ratio = fabs(got - expected[i]) / bound;
        if (!(ratio <= 1)) {
            terms = terms ? terms : eval_node(b->eval, absolute_node(b->unit->graph, r->node, 4));
            bound = unit * size_of(expected[i], scale[i], rms, terms[i]) + least;
            ratio = fabs(got - expected[i]) / bound;
        }
        if (!(ratio <= 1)) {
            int64_t count;
            moved = moved ? moved
                          : moved_values(b, r->node, b->native.bytes == 8 ? 1e-13 : 1e-6, &count);
            if (!isnan(got) && fabs(moved[i] - expected[i]) > 0.25 * fabs(got - expected[i])) {
                v.kinks++;
                continue;
            }
            v.wrong++;
        }
        if (!(ratio <= v.worst)) {
            v.worst = isnan(ratio) ? INFINITY : ratio;
            v.worst_at = i;
            v.expected = expected[i];
            v.got = got;
        }
    }
    return v;
}

static void result_check(Build *b, const GrProgram *compiled, const Result *r) {
    const char *name = r->name ? r->name : r->target ? r->target->name : "stop";
    const char *shown =
        r->kind == RESULT_NEXT ? arena_printf(b->arena, "%s'", r->target->name) : name;
    const GrBuffer *buffer = result_buffer(b, compiled, r);
    if (!buffer || buffer->count != node_count(r->node) ||
        (buffer->per_example != 0) != r->node->per_example) {
        printf("  %-8s %-28s %s\n", compiled->name, shown,
               buffer ? "has another shape in compiled code" : "is no result of compiled code");
        b->faults++;
        return;
    }
    Verdict v = result_compare(b, r, buffer);
    b->faults += v.wrong > 0;
    if (v.wrong || v.kinks || b->config->verbose)
        printf("  %-8s %-28s %8lld elements, worst %.2g of the bound%s\n", compiled->name, shown,
               (long long)v.count, v.worst, v.wrong ? "  WRONG" : "");
    if (v.kinks) printf("  %-8s %-28s %8lld elements on a kink\n", "", "", (long long)v.kinks);
    if (v.wrong)
        printf("  %-8s %-28s %8lld wrong; element %lld: expected %.17g, got %.17g\n", "", "",
               (long long)v.wrong, (long long)v.worst_at, v.expected, v.got);
}

/* Bits must not depend on how a phase's units are handed out. */
static void split_check(Build *b, const GrProgram *program) {
    size_t size = (size_t)b->native.model->memory;
    int64_t blocks = (b->samples->examples + GR_LANES - 1) / GR_LANES;
    char *whole = malloc(size + 1);
    if (!whole) bug("no memory for a second run");
    memcpy(whole, b->native.mem, size);
    state_fill(b, program);
    native_run(&b->native, program, b->samples->examples, true);
    for (int i = 0; i < program->nresults + b->native.model->nleaves; i++) {
        const GrBuffer *r = i < program->nresults
                                ? &program->results[i]
                                : &b->native.model->leaves[i - program->nresults].buffer;
        size_t bytes = (size_t)(r->count * r->bytes * (r->per_example ? blocks * GR_LANES : 1));
        if (!memcmp(whole + r->offset, b->native.mem + r->offset, bytes)) continue;
        printf("  %-8s %-28s other bits where the units are run one by one  WRONG\n", program->name,
               r->name);
        b->faults++;
    }
    free(whole);
}

static void program_check(Build *b, const char *name) {
    const Program *program = unit_program(b->unit, name);
    const GrProgram *compiled = native_program(&b->native, name);
    if (!program) return;
    if (!compiled) {
        printf("  %s is not among the compiled programs\n", name);
        b->faults++;
        return;
    }
    if (b->samples->examples > compiled->batch) { /* an evaluation takes fewer at a time */
        if (b->config->verbose)
            printf("  %-8s is not run: it takes %d examples at most\n", name, compiled->batch);
        return;
    }
    state_fill(b, compiled);
    native_run(&b->native, compiled, b->samples->examples, false);
    for (int i = 0; i < program->results.len; i++)
        result_check(b, compiled, &program->results.at[i]);
    split_check(b, compiled);
}

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

/* The number of faults with numbers of `bytes` bytes; -1 where it could not be built. */
static int check_width(Build *b, int bytes) {
    BackOptions how = {.cpu = b->config->cpu,
                       .level = b->config->level,
                       .float_bytes = bytes,
                       .runtime = b->config->runtime};
    b->faults = 0;
    if (!native_open(&b->native, b->arena, b->unit, &how)) return -1;
    static const char *const names[] = {"init", "step", "eval", "predict", "epoch"};
    for (int i = 0; i < LENGTH(names); i++)
        program_check(b, names[i]);
    for (int i = 0; i < b->unit->programs.len; i++)
        if (b->unit->programs.at[i].kind == PROGRAM_FIT ||
            b->unit->programs.at[i].kind >= PROGRAM_ORDER)
            program_check(b, b->unit->programs.at[i].name);
    native_close(&b->native);
    return b->faults;
}

static int gradient_faults(const Build *b) {
    const Config *config = b->config;
    if (!config->gradients || !unit_program(b->unit, "step")) return 0;
    int wrong = gradients_check(b->unit, config->seed, NULL, 1e8, gradient_report,
                                (void *)(uintptr_t)config);
    return wrong > 0 ? wrong : 0;
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

/* The number of faults of the subject; -1 where it could not be built. */
static int check(const Config *config) {
    Build b = {.arena = arena_new(), .config = config};
    b.unit = unit_make(b.arena, config);
    if (!b.unit) return -1;
    if (config->graph) graph_print(stdout, b.unit);
    b.samples = samples_make(b.arena, b.unit, config->examples, config->seed);
    inputs_scale(b.samples, config->inputs);
    b.eval = samples_eval(b.arena, b.samples);
    int total = 0;
    for (int bytes = 8; bytes >= 4; bytes -= 4) {
        if (config->float_bits && config->float_bits != 8 * bytes) continue;
        int faults = check_width(&b, bytes);
        diag_flush();
        if (faults >= 0 && bytes == 8) faults += gradient_faults(&b);
        if (faults < 0) return -1;
        printf("%s: float%d %s\n", config->subject, 8 * bytes, faults ? "differs" : "equal");
        total += faults;
    }
    eval_free(b.eval);
    arena_free(b.arena);
    return total;
}

/* "random:3-7" is five subjects. */
static int check_all(Config *config) {
    const char *last = is_random(config->subject) ? strchr(config->subject, '-') : NULL;
    if (!last) return check(config);
    int64_t from = atoll(config->subject + 7), to = atoll(last + 1);
    int faulty = 0;
    for (int64_t seed = from; seed <= to; seed++) {
        config->subject = name_printf("random:%lld", (long long)seed);
        faulty += check(config) != 0;
    }
    printf("%lld random models, %d faulty\n", (long long)(to - from + 1), faulty);
    return faulty;
}

static int usage(void) {
    fprintf(stderr,
            "usage: gradus-equal [--float=32|64] [--examples=N] [--seed=N] [--cpu=NAME] "
            "[--runtime=FILE] [-O0..3]\n"
            "                    [--inputs=FACTOR] [--full] [--no-gradients] [--graph] [-v]\n"
            "                    FILE.gr | FILE.graph | \"def(...) on [shape]\" | "
            "random:SEED[-SEED]\n");
    return 2;
}

static bool option_read(Config *c, const char *word) {
    const char *value = strchr(word, '=') ? strchr(word, '=') + 1 : "";
    if (!strcmp(word, "--float=32") || !strcmp(word, "--float=64"))
        c->float_bits = atoi(value);
    else if (!strncmp(word, "--examples=", 11))
        c->examples = atoll(value);
    else if (!strncmp(word, "--seed=", 7))
        c->seed = (uint64_t)atoll(value);
    else if (!strncmp(word, "--inputs=", 9))
        c->inputs = atof(value);
    else if (!strncmp(word, "--cpu=", 6))
        c->cpu = value;
    else if (!strncmp(word, "--runtime=", 10))
        c->runtime = value;
    else if (!strncmp(word, "-O", 2) && word[2] >= '0' && word[2] <= '3' && !word[3])
        c->level = word[2] - '0';
    else if (!strcmp(word, "--full"))
        c->full = true;
    else if (!strcmp(word, "--no-gradients"))
        c->gradients = false;
    else if (!strcmp(word, "--graph"))
        c->graph = true;
    else if (!strcmp(word, "-v"))
        c->verbose = true;
    else
        return false;
    return true;
}

int main(int argc, char **argv) {
    Config config = {.examples = 21, .seed = 1, .level = 2, .inputs = 1, .gradients = true};
    for (int i = 1; i < argc; i++) {
        if (argv[i][0] == '-' ? !option_read(&config, argv[i]) : config.subject != NULL)
            return usage();
        if (argv[i][0] != '-') config.subject = argv[i];
    }
    if (!config.subject || config.examples < 1) return usage();
    if (config.full) config.examples = (config.examples + 15) / 16 * 16;
    int faults = check_all(&config);
    if (faults < 0) {
        diag_flush();
        printf("%s: could not be built\n", config.subject);
    }
    return faults < 0 ? 1 : faults ? 4 : 0;
}
