/* SPDX-License-Identifier: MIT
 * Compiled code against the interpreter, element by element, from one common state.
 * Needs sampled leaves, the interpreter's sizes and native code. Builds nothing. */
#include "equal.h"
#include "terms.h"
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

static void say(const Equal *e, const char *format, ...) {
    char line[512];
    va_list values;
    va_start(values, format);
    vsnprintf(line, sizeof line, format, values);
    va_end(values);
    e->say(line, e->context);
}

static const Sample *sample_named(const Equal *e, const char *name, bool input) {
    for (int i = 0; i < e->samples->list.len; i++) {
        const Sample *s = &e->samples->list.at[i];
        bool wanted = input ? s->leaf->kind == NODE_INPUT
                            : s->leaf->kind != NODE_INPUT && s->leaf->kind != NODE_HYPER;
        if (wanted && !strcmp(s->leaf->name, name)) return s;
    }
    return NULL;
}

/* As the interpreter has it; the step that draws see, too, where no formula reads it. */
static double hyper_value(const Equal *e, const char *name) {
    for (int i = 0; i < e->samples->list.len; i++) {
        const Sample *s = &e->samples->list.at[i];
        if (s->leaf->kind == NODE_HYPER && !strcmp(s->leaf->name, name)) return s->values[0];
    }
    return strcmp(name, "step") ? sample_hyper(name_of(name), e->samples->examples)
                                : e->samples->step;
}

/* False where compiled code wants what the graph has not. */
static bool state_fill(const Equal *e, const GrProgram *program) {
    const GrModel *m = e->native->model;
    int64_t examples = e->samples->examples,
            lanes = (examples + GR_LANES - 1) / GR_LANES * GR_LANES;
    bool known = true;
    native_clear(e->native);
    for (int i = 0; i < m->nleaves; i++) {
        const GrBuffer *buffer = &m->leaves[i].buffer;
        const Sample *s = sample_named(e, buffer->name, false);
        for (int64_t k = 0; k < buffer->count; k++)
            native_put(e->native, buffer->offset, k, buffer->bytes, s ? s->values[k] : 0);
    }
    for (int i = 0; i < m->nhypers; i++)
        native_put(e->native, m->hypers[i].offset, 0, 8, hyper_value(e, m->hypers[i].name));
    if (m->seed_offset >= 0) memcpy(e->native->mem + m->seed_offset, &e->samples->seed, 8);
    for (int i = 0; i < program->ninputs; i++) {
        const Sample *s = sample_named(e, program->inputs[i].name, true);
        if (s && !program->inputs[i].per_example) { /* a total over the evaluated set */
            for (int64_t k = 0; k < s->count; k++)
                native_put(e->native, program->inputs[i].offset, k, program->inputs[i].bytes,
                           s->values[k]);
        } else if (s || !strcmp(program->inputs[i].name, "live")) {
            native_fill(e->native, &program->inputs[i], s ? s->values : NULL, s ? s->count : 0,
                        examples);
        } else {
            say(e, "%s: the compiled input '%s' is no leaf of the graph", program->name,
                program->inputs[i].name);
            known = false;
        }
    }
    for (int64_t example = 0; example < lanes; example++) {
        int64_t from = example < examples ? example : examples - 1;
        if (program->number_offset >= 0)
            memcpy(e->native->mem + program->number_offset + 4 * example, &e->samples->number[from],
                   4);
        if (program->presentation_offset >= 0)
            memcpy(e->native->mem + program->presentation_offset + 4 * example,
                   &e->samples->presentation[from], 4);
    }
    return known;
}

static const GrBuffer *result_buffer(const Equal *e, const GrProgram *program, const Result *r) {
    if (r->kind == RESULT_NEXT) {
        for (int i = 0; i < e->native->model->nleaves; i++)
            if (!strcmp(e->native->model->leaves[i].buffer.name, r->target->name))
                return &e->native->model->leaves[i].buffer;
        return NULL;
    }
    const char *name = r->name ? r->name : "stop";
    for (int i = 0; i < program->nresults; i++)
        if (!strcmp(program->results[i].name, name)) return &program->results[i];
    return NULL;
}

enum { EVALUATIONS = 32, SLACK = 4 };

/* How far rounding may carry each element of a node: the farthest that it goes in a few
 * evaluations by stochastic arithmetic, four times as far (several ties may fall as in none of
 * them), each rounding off by up to 16 times what the machine's can be, which sees what one step's
 * rounding becomes in the next ones (cancellation, powers, other sides of a kink). */
static double *reach_of(const Equal *e, Node *node, int64_t count) {
    double *reach = NEW_ARRAY(e->arena, double, count + 1);
    Arena *arena = arena_new();
    const double *exact = eval_node(e->eval, node);
    Eval *eval = samples_eval(arena, e->samples);
    for (uint64_t k = 0; k < EVALUATIONS; k++) {
        eval_noise(eval, 16 * (e->native->bytes == 4 ? 0x1p-24 : 0x1p-53), k);
        const double *values = eval_node(eval, node);
        for (int64_t i = 0; i < count; i++)
            reach[i] = isnan(values[i]) && !isnan(exact[i])
                           ? INFINITY /* of overflows */
                           : fmax(reach[i], (double)SLACK * fabs(values[i] - exact[i]));
    }
    arena_free(arena);
    return reach;
}

typedef struct Verdict {
    int64_t count, wrong, reached, worst_at;
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

/* How much of its size a value may be off. Rounding errors of float32 add up like a random walk
 * along the sums on the way; float64 has room for all of them. */
static double rounding(const Equal *e, Node *node) {
    if (e->native->bytes == 8) return 1e-12;
    Arena *scratch = arena_new();
    Map known;
    map_init(&known, scratch);
    double chain = (double)sum_chain(&known, node, e->samples->examples);
    arena_free(scratch);
    return 0x1p-24 * (64 + 5 * sqrt(chain));
}

static Verdict result_compare(const Equal *e, const Result *r, const GrBuffer *buffer) {
    const double *scale = eval_magnitude(e->eval, r->node), *expected = eval_node(e->eval, r->node);
    Verdict v = {.count = eval_count(e->eval, r->node)};
    double *reach = NULL, unit = rounding(e, r->node), rms = rms_of(expected, v.count);
    const double *terms = NULL;
    for (int64_t i = 0; i < v.count; i++) {
        int64_t example = r->node->per_example ? i / buffer->count : 0;
        double got =
            native_get(e->native, buffer->offset,
                       native_place(buffer, example, r->node->per_example ? i % buffer->count : i),
                       buffer->bytes);
        if (got == expected[i] || (isnan(got) && isnan(expected[i]) && !e->strict)) continue;
        double least = e->native->bytes == 8 ? 1e-300 : 1e-37;
        double bound = unit * size_of(expected[i], scale[i], rms, 0) + least;
        double ratio = fabs(got - expected[i]) / bound;
        if (!(ratio <= 1)) {
            terms = terms ? terms : eval_node(e->eval, absolute_node(e->unit->graph, r->node, 4));
            bound = unit * size_of(expected[i], scale[i], rms, terms[i]) + least;
            ratio = fabs(got - expected[i]) / bound;
        }
        if (!(ratio <= 1)) {
            reach = reach ? reach : reach_of(e, r->node, v.count);
            if (isnan(got) ? isinf(reach[i]) : reach[i] >= fabs(got - expected[i])) {
                v.reached++;
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

static bool result_check(const Equal *e, const GrProgram *compiled, const Result *r) {
    const char *name = r->name ? r->name : r->target ? r->target->name : "stop";
    const char *prime = r->kind == RESULT_NEXT ? "'" : "";
    if (r->kind == RESULT_NEXT) name = r->target->name;
    const GrBuffer *buffer = result_buffer(e, compiled, r);
    if (!buffer || buffer->count != node_count(r->node) ||
        (buffer->per_example != 0) != r->node->per_example) {
        say(e, "%s of %s%s: %s", compiled->name, name, prime,
            buffer ? "has another shape in compiled code" : "is no result of compiled code");
        return false;
    }
    Verdict v = result_compare(e, r, buffer);
    if (v.wrong || v.reached || e->verbose)
        say(e, "%s of %s%s: %lld elements, %lld in reach of rounding, worst %.2g of the bound",
            compiled->name, name, prime, (long long)v.count, (long long)v.reached, v.worst);
    if (v.wrong)
        say(e, "%s of %s%s: %lld WRONG; element %lld: interpreted %.17g, compiled %.17g",
            compiled->name, name, prime, (long long)v.wrong, (long long)v.worst_at, v.expected,
            v.got);
    return v.wrong == 0;
}

/* Bits must not depend on how a phase's units are handed out: they are run once more. */
static int split_check(const Equal *e, const GrProgram *program, int threads) {
    static const char *const how[] = {"the units are run one by one", NULL, "two threads run it",
                                      "three threads run it"};
    size_t size = (size_t)e->native->model->memory;
    int64_t blocks = (e->samples->examples + GR_LANES - 1) / GR_LANES;
    char *whole = malloc(size + 1);
    if (!whole) bug("no memory for a second run");
    memcpy(whole, e->native->mem, size);
    state_fill(e, program);
    native_run(e->native, program, e->samples->examples, threads);
    int faults = 0;
    for (int i = 0; i < program->nresults + e->native->model->nleaves; i++) {
        const GrBuffer *r = i < program->nresults
                                ? &program->results[i]
                                : &e->native->model->leaves[i - program->nresults].buffer;
        size_t bytes = (size_t)(r->count * r->bytes * (r->per_example ? blocks * GR_LANES : 1));
        if (!memcmp(whole + r->offset, e->native->mem + r->offset, bytes)) continue;
        say(e, "%s of %s: WRONG: other bits where %s", program->name, r->name, how[threads]);
        faults++;
    }
    free(whole);
    return faults;
}

static int program_check(const Equal *e, const Program *program) {
    const GrProgram *compiled = native_program(e->native, program->name);
    if (!compiled) {
        say(e, "%s is not among the compiled programs", program->name);
        return 1;
    }
    if (e->samples->examples > compiled->batch) { /* an evaluation takes fewer at a time */
        if (e->verbose)
            say(e, "%s is not run: it takes %d examples at most", program->name, compiled->batch);
        return 0;
    }
    int faults = !state_fill(e, compiled);
    native_run(e->native, compiled, e->samples->examples, 1);
    if (e->ran) e->ran(e, compiled);
    for (int i = 0; i < program->results.len; i++)
        faults += !result_check(e, compiled, &program->results.at[i]);
    for (int threads = 0; threads <= NATIVE_THREADS; threads++)
        if (threads != 1) faults += split_check(e, compiled, threads);
    return faults;
}

/* Of example number `example` alone. */
static void one_fill(const Equal *e, const GrProgram *one, int64_t example) {
    state_fill(e, one);
    for (int i = 0; i < one->ninputs; i++) {
        const GrBuffer *buffer = &one->inputs[i];
        const Sample *s = sample_named(e, buffer->name, true);
        int64_t from = s && s->leaf->per_example ? example * buffer->count : 0;
        for (int64_t k = 0; k < buffer->count; k++)
            native_put(e->native, buffer->offset, k, buffer->bytes, s ? s->values[from + k] : 1);
    }
}

static int one_compare(const Equal *e, const GrProgram *batch, const GrProgram *one,
                       const char *before, int64_t example) {
    int faults = 0;
    for (int i = 0; i < one->nresults; i++) {
        const GrBuffer *o = &one->results[i], *b = o;
        for (int k = 0; k < batch->nresults; k++)
            if (!strcmp(batch->results[k].name, o->name)) b = &batch->results[k];
        for (int64_t k = 0; k < b->count; k++) {
            int64_t there = b->offset + native_place(b, example, k) * b->bytes;
            if (!memcmp(before + there, e->native->mem + o->offset + k * o->bytes,
                        (size_t)b->bytes))
                continue;
            say(e, "%s of %s: WRONG: other bits of example %lld alone, element %lld", batch->name,
                b->name, (long long)example, (long long)k);
            faults++;
            break;
        }
    }
    return faults;
}

/* What is computed of an example alone has the bits that it has in a batch. */
static int one_check(const Equal *e) {
    const GrProgram *one = native_program(e->native, "one");
    const GrProgram *batch = native_program(e->native, "predict");
    int64_t examples = e->samples->examples, at[] = {0, examples / 2, examples - 1};
    if (!batch) batch = native_program(e->native, "eval");
    if (!one || !batch || examples > batch->batch) return 0;
    size_t size = (size_t)e->native->model->memory;
    char *before = malloc(size);
    if (!before) bug("no memory for a second run");
    state_fill(e, batch);
    native_run(e->native, batch, examples, 1);
    memcpy(before, e->native->mem, size);
    int faults = 0;
    for (int i = 0; i < LENGTH(at); i++) {
        one_fill(e, one, at[i]);
        native_run(e->native, one, 1, i + 1 < LENGTH(at) ? i : NATIVE_THREADS);
        faults += one_compare(e, batch, one, before, at[i]);
    }
    free(before);
    if (e->verbose) say(e, "one example alone: %s", faults ? "differs" : "the same bits");
    return faults;
}

int equal_check(Equal *e) {
    int faults = one_check(e);
    for (int i = 0; i < e->unit->programs.len; i++)
        faults += program_check(e, &e->unit->programs.at[i]);
    return faults;
}
