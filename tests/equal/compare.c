/* SPDX-License-Identifier: MIT
 * gradus-equal: compiled code against the interpreter, element by element, in float64 and float32,
 * and gradients against differences. Needs the compiler, the runtime's abi and sampled leaves.
 * Measures nothing and trains nothing: one run of each program from a common state. */
#include "elab.h"
#include "equal.h"
#include "pass.h"
#include "random.h"
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

typedef struct Build { /* a unit and common values */
    Arena *arena;
    const Config *config;
    Unit *unit;
    Samples *samples;
    Eval *eval; /* of all programs and both widths */
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

static void say(const char *line, void *context) {
    (void)context;
    printf("  %s\n", line);
}

/* The number of faults with numbers of `bytes` bytes; -1 where it could not be built. */
static int check_width(Build *b, int bytes) {
    BackOptions how = {.cpu = b->config->cpu,
                       .level = b->config->level,
                       .float_bytes = bytes,
                       .runtime = b->config->runtime};
    Native native;
    if (!native_open(&native, b->arena, b->unit, &how)) return -1;
    Equal equal = {.arena = b->arena,
                   .unit = b->unit,
                   .samples = b->samples,
                   .eval = b->eval,
                   .native = &native,
                   .verbose = b->config->verbose,
                   .strict = b->config->inputs != 1,
                   .say = say};
    int faults = equal_check(&equal);
    native_close(&native);
    return faults;
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
