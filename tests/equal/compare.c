/* SPDX-License-Identifier: MIT
 * gradus-equal: compiled code against the interpreter, element by element, in float64 and float32,
 * and gradients against differences; for a file, a def, or random models.
 * Needs the compiler. Reads its command line and loads; check.c and sweep.c compare. */
#include "check.h"
#include "elab.h"
#include "sweep.h"
#include <stdlib.h>
#include <string.h>

static bool ends_with(const char *text, const char *end) {
    size_t length = strlen(text), n = strlen(end);
    return length > n && !strcmp(text + length - n, end);
}

static bool is_def(const char *subject) {
    return !ends_with(subject, ".gr") && !ends_with(subject, ".graph");
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
    if (ends_with(subject, ".graph")) return graph_load(arena, subject);
    Module *module =
        is_def(subject) ? module_load_text(arena, "equal", "") : module_load(arena, subject);
    if (!module || diag_errors() > 0) return NULL;
    return is_def(subject) ? elab_def(arena, module, subject) : elab_unit(arena, module, NULL);
}

/* The exit code. */
static int check(Config *config) {
    Arena *arena = arena_new();
    Unit *unit = subject_load(arena, config->subject);
    if (unit && config->planted) config->compiled = subject_load(arena, config->planted);
    config->input_gradients = !ends_with(config->subject, ".gr");
    int faults = unit && !diag_errors() ? check_unit(arena, unit, config) : FAULT_REFUSED;
    diag_flush();
    printf("%s: %s\n", config->subject,
           faults & FAULT_REFUSED ? "could not be built"
           : faults               ? "differs"
                                  : "equal");
    arena_free(arena);
    return faults & FAULT_REFUSED ? 1 : !faults == !config->planted ? 0 : 4;
}

static int usage(void) {
    fprintf(stderr, "usage: gradus-equal [--float=32|64] [--examples=N] [--seed=N] [--cpu=NAME] "
                    "[--runtime=FILE] [-O0..3]\n"
                    "                    [--inputs=FACTOR] [--full] [--no-gradients] [--graph] "
                    "[--planted=FILE] "
                    "[-v]\n"
                    "                    FILE.gr | FILE.graph | \"def(...) on [shape]\"\n"
                    "       gradus-equal [the same] [--shrink=TRIALS] [--keep=DIR] "
                    "random:SEED[-SEED] | layers:SEED[-SEED]\n");
    return 2;
}

typedef struct Options {
    Sweep sweep;
    Setting how;
    int float_bits; /* 0: both */
    int64_t examples;
    bool fixed; /* how was given */
} Options;

static bool option_read(Options *o, const char *word) {
    Config *c = &o->sweep.config;
    const char *value = strchr(word, '=') ? strchr(word, '=') + 1 : "";
    if (!strcmp(word, "--float=32") || !strcmp(word, "--float=64"))
        o->float_bits = atoi(value), o->fixed = true;
    else if (!strncmp(word, "--examples=", 11))
        c->examples = atoll(value);
    else if (!strncmp(word, "--seed=", 7))
        c->seed = (uint64_t)atoll(value);
    else if (!strncmp(word, "--inputs=", 9))
        c->inputs = atof(value);
    else if (!strncmp(word, "--cpu=", 6))
        o->how.cpu = value, o->fixed = true;
    else if (!strncmp(word, "--runtime=", 10))
        c->runtime = value;
    else if (!strncmp(word, "--planted=", 10))
        c->planted = value;
    else if (!strncmp(word, "--shrink=", 9))
        o->sweep.shrink = atoi(value);
    else if (!strncmp(word, "--keep=", 7))
        o->sweep.keep = value;
    else if (!strncmp(word, "-O", 2) && word[2] >= '0' && word[2] <= '3' && !word[3])
        o->how.level = word[2] - '0', o->fixed = true;
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

static void settings_fix(const Options *o, Config *c) {
    for (int bytes = 8; bytes >= 4; bytes -= 4) {
        if (o->float_bits && o->float_bits != 8 * bytes) continue;
        c->setting[c->settings] = o->how;
        c->setting[c->settings++].bytes = bytes;
    }
}

int main(int argc, char **argv) {
    Options o = {.how = {.level = 2},
                 .sweep = {.config = {.seed = 1, .inputs = 1, .gradients = true}, .shrink = 600}};
    Config *c = &o.sweep.config;
    for (int i = 1; i < argc; i++) {
        if (argv[i][0] == '-' ? !option_read(&o, argv[i]) : c->subject != NULL) return usage();
        if (argv[i][0] != '-') c->subject = argv[i];
    }
    if (!c->subject || c->examples < 0) return usage();
    bool sweep = sweep_subject(&o.sweep, c->subject);
    if (!sweep && !c->examples) c->examples = 21;
    if (c->full) c->examples = (c->examples + 15) / 16 * 16;
    if (!sweep || o.fixed) settings_fix(&o, c);
    c->work = sweep ? 2e6 : 1e8;
    if (!sweep) return check(c);
    c->input_gradients = c->any_loss = true;
    return sweep_run(&o.sweep) ? 4 : 0;
}
