/* SPDX-License-Identifier: MIT
 * gradus-parity: compiled float64 code against numbers that another framework computed once
 * (record.py). Needs the compiler, recordings and native.c. Computes no expected value itself. */
#include "elab.h"
#include "native.h"
#include "pass.h"
#include "recording.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* An element may differ by this much of itself, or of a ten-thousandth of the largest one beside it
 * (an element that all but cancels has no more digits than its terms). */
static const double RELATIVE = 1e-10, BESIDE = 1e-4;
enum { SEEDS = 8 }; /* of one initial value, together */

typedef struct Parity {
    const char *path, *template;
    bool verbose;
    int cases, wrong;
    double worst; /* relative difference, of all numbers that are compared one by one */
    const char *worst_subject;
    int64_t numbers;
} Parity;

typedef struct Run { /* one case */
    Parity *parity;
    Arena *arena;
    const Case *recorded;
    Unit *unit;
    Native native;
    double worst;
    int wrong;
} Run;

static void say(Run *r, const char *what, const char *name) {
    printf("  %s:%d: %s %s\n", r->parity->path, r->recorded->line, what, name);
    r->wrong++;
}

static bool verify_differentiated;
static void verify(const Pass *pass, Unit *unit, void *context) {
    (void)context;
    verify_differentiated |= !strcmp(pass->name, "gradient");
    graph_verify(unit, verify_differentiated ? 1 : 0);
}

/* The template with the keys of "train KEY = VALUE; KEY = VALUE" in its last block. */
static const char *training_text(Run *r, const char *keys) {
    FILE *file = fopen(r->parity->template, "rb");
    char *text = NULL;
    size_t room = 0;
    ssize_t got = file ? getdelim(&text, &room, '\0', file) : -1;
    if (file) fclose(file);
    char *end = got > 0 ? strrchr(text, '}') : NULL;
    const char *whole = NULL;
    if (end) whole = arena_printf(r->arena, "%.*s%s\n}\n", (int)(end - text), text, keys);
    free(text);
    return whole;
}

static Unit *unit_make(Run *r) {
    const char *subject = r->recorded->subject;
    bool training = !strncmp(subject, "train ", 6);
    const char *text = training ? training_text(r, subject + 6) : "";
    if (!text) return NULL;
    Module *module = module_load_text(r->arena, "parity", text);
    if (!module || diag_errors() > 0) return NULL;
    Unit *unit = training ? elab_unit(r->arena, module, NULL) : elab_def(r->arena, module, subject);
    if (!unit || diag_errors() > 0) return NULL;
    graph_verify(unit, 0);
    if (!training) unit->config.batch = r->recorded->examples ? r->recorded->examples : 1;
    verify_differentiated = false;
    pass_run(unit, NULL, verify, NULL);
    return diag_errors() > 0 ? NULL : unit;
}

static const Numbers *given(const Run *r, const char *name) {
    for (int i = 0; i < r->recorded->given.len; i++)
        if (!strcmp(r->recorded->given.at[i].name, name)) return &r->recorded->given.at[i];
    return NULL;
}

static double hyper(const Run *r, const char *name, int step) {
    const struct {
        const char *name;
        double value;
    } known[] = {{"step", step},
                 {"epoch", 0},
                 {"steps_per_epoch", r->recorded->steps},
                 {"progress", (double)(step - 1) / r->recorded->steps},
                 {"count", (double)r->recorded->examples},
                 {"data.count", (double)r->recorded->examples}};
    for (int i = 0; i < LENGTH(known); i++)
        if (!strcmp(known[i].name, name)) return known[i].value;
    return NAN; /* "set:", as the runtime gives it */
}

/* Numbers of the run, example numbers and inputs; then the program's phases. */
static void program_run(Run *r, const GrProgram *program, int step, uint64_t seed) {
    const GrModel *m = r->native.model;
    int64_t examples = r->recorded->examples ? r->recorded->examples : 1;
    for (int i = 0; i < m->nhypers; i++)
        native_put(&r->native, m->hypers[i].offset, 0, 8, hyper(r, m->hypers[i].name, step));
    if (m->seed_offset >= 0) memcpy(r->native.mem + m->seed_offset, &seed, 8);
    for (int i = 0; i < program->ninputs; i++) {
        const GrBuffer *in = &program->inputs[i];
        const Numbers *n = given(r, in->name);
        bool live = !strcmp(in->name, "live");
        if (!live && (!n || n->count != in->count * (in->per_example ? examples : 1)))
            say(r, n ? "another count is given to" : "no value is given to", in->name);
        else
            native_fill(&r->native, in, n ? n->values : NULL, n ? n->count : 0, examples);
    }
    int64_t lanes = (examples + GR_LANES - 1) / GR_LANES * GR_LANES;
    for (int64_t e = 0; e < lanes; e++) {
        uint32_t number = (uint32_t)(e < examples ? e : examples - 1), none = 0;
        if (program->number_offset >= 0)
            memcpy(r->native.mem + program->number_offset + 4 * e, &number, 4);
        if (program->presentation_offset >= 0)
            memcpy(r->native.mem + program->presentation_offset + 4 * e, &none, 4);
    }
    native_run(&r->native, program, examples, 1);
}

/* Whether what is given is taken: else a case would say less than it seems to. */
static void given_check(Run *r) {
    const GrModel *m = r->native.model;
    for (int i = 0; i < r->recorded->given.len; i++) {
        const char *name = r->recorded->given.at[i].name;
        bool taken = false;
        for (int k = 0; k < m->nleaves; k++)
            taken |= !strcmp(m->leaves[k].buffer.name, name);
        for (int p = 0; p < m->nprograms; p++)
            for (int k = 0; k < m->programs[p].ninputs; k++)
                taken |= !strcmp(m->programs[p].inputs[k].name, name);
        if (!taken) say(r, "there is no leaf", name);
    }
}

/* Parameters and states as `init` makes them, or as they are given. */
static void leaves_fill(Run *r, uint64_t seed) {
    const GrProgram *init = native_program(&r->native, "init");
    native_clear(&r->native);
    if (init) program_run(r, init, 1, seed);
    for (int i = 0; i < r->native.model->nleaves; i++) {
        const GrBuffer *leaf = &r->native.model->leaves[i].buffer;
        const Numbers *n = given(r, leaf->name);
        if (n && n->count != leaf->count) say(r, "another count is given to", leaf->name);
        if (n) native_fill(&r->native, leaf, n->values, n->count, 1);
    }
}

static const GrBuffer *buffer_named(const Run *r, const GrProgram *program, const Numbers *n) {
    const GrModel *m = r->native.model;
    for (int i = 0; i < m->nleaves && strcmp(n->program, "next") == 0; i++)
        if (!strcmp(m->leaves[i].buffer.name, n->name)) return &m->leaves[i].buffer;
    for (int i = 0; program && i < program->nresults && strcmp(n->program, "next") != 0; i++)
        if (!strcmp(program->results[i].name, n->name)) return &program->results[i];
    return NULL;
}

static void numbers_compare(Run *r, const GrProgram *program, const Numbers *n) {
    const GrBuffer *b = buffer_named(r, program, n);
    int64_t each = b ? b->count : 0, examples = b && b->per_example ? r->recorded->examples : 1;
    if (!b || each * examples != n->count) {
        say(r, b ? "another number of elements is expected of" : "there is no", n->name);
        return;
    }
    double largest = 0;
    for (int64_t i = 0; i < n->count; i++)
        largest = fmax(largest, fabs(n->values[i]));
    for (int64_t i = 0; i < n->count; i++) {
        double got =
            native_get(&r->native, b->offset, native_place(b, i / each, i % each), b->bytes);
        double wanted = n->values[i], size = fmax(fabs(wanted), BESIDE * largest);
        double ratio = got == wanted ? 0 : fabs(got - wanted) / (size > 0 ? size : 1);
        r->parity->numbers++;
        if (ratio <= r->worst) continue;
        r->worst = isnan(ratio) ? INFINITY : ratio;
        if (r->worst <= RELATIVE) continue;
        say(r, "differs:", n->name);
        printf("    line %d, element %lld: recorded %.17g, compiled %.17g\n", n->line, (long long)i,
               wanted, got);
        return;
    }
}

/* Mean, standard deviation, fourth moment over variance squared, largest absolute value and number
 * of draws of the recorded sample, against those of SEEDS initial values: five standard errors. */
static void moments_compare(Run *r, const Numbers *n) {
    Numbers leaf = {.program = "next", .name = n->name};
    const GrBuffer *b = buffer_named(r, NULL, &leaf);
    if (!b || n->count != 5) {
        say(r, "five moments are expected of a leaf, not of", n->name);
        return;
    }
    double sum[5] = {0}, most = 0, count = (double)(b->count * SEEDS);
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        leaves_fill(r, seed);
        for (int64_t i = 0; i < b->count; i++) {
            double w = native_get(&r->native, b->offset, i, b->bytes);
            for (int k = 1; k <= 4; k++)
                sum[k] += pow(w, k) / count;
            most = fmax(most, fabs(w));
        }
    }
    const double *v = n->values;
    /* rounding of the sums is no deviation */
    double mean = sum[1], variance = sum[2] - mean * mean;
    double sd = variance > 1e-9 * sum[2] ? sqrt(variance) : 0;
    double fourth = sd > 0 ? sum[4] / pow(sd, 4) : 0, both = 1 / count + 1 / v[4];
    double bounds[] = {5 * v[1] * sqrt(both), 5 * v[1] * sqrt(fmax(v[2] - 1, 0) / 4 * both),
                       5 * sqrt(4 * pow(v[2], 3) * both),
                       v[2] < 2 ? 1e-3 * v[3] : 0.35 * v[3]}; /* a uniform sample ends sharply */
    if (v[1] == 0) bounds[0] = bounds[3] = 1e-10 * v[3];      /* a constant */
    const double got[] = {mean, sd, fourth, most};
    static const char *const names[] = {"mean of", "standard deviation of", "fourth moment of",
                                        "largest value of"};
    r->parity->numbers += 4;
    for (int k = 0; k < 4; k++) {
        if (r->parity->verbose)
            printf("    %-22s %-10s %.6g, recorded %.6g, bound %.2g\n", names[k], n->name, got[k],
                   v[k], bounds[k]);
        if (fabs(got[k] - v[k]) <= bounds[k] + 1e-15) continue;
        say(r, names[k], n->name);
        printf("    recorded %.17g, compiled %.17g, bound %.3g\n", v[k], got[k], bounds[k]);
    }
}

/* Every expectation of one program behind one step. */
static void compare_after(Run *r, const GrProgram *program, const char *name, int step) {
    for (int i = 0; i < r->recorded->expected.len; i++) {
        const Numbers *n = &r->recorded->expected.at[i];
        bool leaf = !strcmp(name, "step") && !strcmp(n->program, "next");
        if (n->step == step && (leaf || !strcmp(n->program, name))) numbers_compare(r, program, n);
    }
}

static bool wants(const Case *c, const char *kind) {
    for (int i = 0; i < c->expected.len; i++)
        if (!strcmp(c->expected.at[i].program, kind)) return true;
    return false;
}

static void case_compare(Run *r) {
    const Case *c = r->recorded;
    const GrProgram *eval = native_program(&r->native, "eval"),
                    *step = native_program(&r->native, "step");
    given_check(r);
    for (int i = 0; i < c->expected.len; i++)
        if (!strcmp(c->expected.at[i].program, "moments")) moments_compare(r, &c->expected.at[i]);
    if (wants(c, "eval") && eval) {
        leaves_fill(r, 1);
        program_run(r, eval, 1, 1);
        compare_after(r, eval, "eval", 1);
    }
    if (!wants(c, "step") && !wants(c, "next")) return;
    leaves_fill(r, 1);
    for (int s = 1; s <= c->steps && step && !r->wrong; s++) {
        program_run(r, step, s, 1);
        compare_after(r, step, "step", s);
    }
    if (!step) say(r, "there is no program", "step");
}

static void case_run(Parity *p, const Case *c) {
    Run r = {.parity = p, .arena = arena_new(), .recorded = c};
    BackOptions how = {.level = 2, .float_bytes = 8};
    r.unit = unit_make(&r);
    if (!r.unit || !native_open(&r.native, r.arena, r.unit, &how)) {
        diag_flush();
        say(&r, "this could not be built:", c->subject);
    } else if (c->expected.len == 0) {
        say(&r, "nothing is expected of", c->subject);
    } else {
        case_compare(&r);
        native_close(&r.native);
    }
    if (r.wrong || p->verbose)
        printf("%s: %s, worst %.1e\n", c->subject, r.wrong ? "differs" : "the same", r.worst);
    p->cases++;
    p->wrong += r.wrong > 0;
    if (r.worst > p->worst) p->worst = r.worst, p->worst_subject = c->subject;
    arena_free(r.arena);
    diag_reset();
}

int main(int argc, char **argv) {
    Parity p = {0};
    const char *only = NULL;
    int files = 0, broken = 0;
    for (int i = 1; i < argc; i++) {
        if (!strcmp(argv[i], "-v"))
            p.verbose = true;
        else if (!strncmp(argv[i], "--only=", 7))
            only = argv[i] + 7;
        else
            argv[++files] = argv[i];
    }
    if (files == 0) {
        fprintf(stderr, "usage: gradus-parity [-v] [--only=TEXT] RECORDING...\n");
        return 2;
    }
    for (int i = 1; i <= files; i++) {
        Arena *arena = arena_new();
        CaseList cases = {0};
        p.path = argv[i];
        const char *slash = strrchr(p.path, '/');
        p.template =
            arena_printf(arena, "%.*stemplate.gr", slash ? (int)(slash + 1 - p.path) : 0, p.path);
        if (!recording_read(arena, p.path, &cases)) broken++;
        for (int k = 0; k < cases.len; k++)
            if (!only || strstr(cases.at[k].subject, only)) case_run(&p, &cases.at[k]);
    }
    printf("%d cases, %lld numbers, %d differ; worst relative difference %.1e%s%s\n", p.cases,
           (long long)p.numbers, p.wrong, p.worst, p.worst_subject ? ": " : "",
           p.worst_subject ? p.worst_subject : "");
    return broken || p.cases == 0 ? 1 : p.wrong ? 4 : 0;
}
