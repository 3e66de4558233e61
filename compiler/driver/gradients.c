/* SPDX-License-Identifier: MIT
 * Gradients against central differences of the loss, in float64, by the interpreter.
 * Needs ir, eval and sampled leaves. Knows how a kink looks, not which defs have one. */
#include "sample.h"
#include <math.h>
#include <string.h>

static Result *result_find(Program *program, const char *name) {
    for (int i = 0; program && i < program->results.len; i++)
        if (program->results.at[i].name && !strcmp(program->results.at[i].name, name))
            return &program->results.at[i];
    return NULL;
}

static void gradient_push(Unit *unit, Program *step, Node *loss, Node *leaf) {
    Result r = {.kind = RESULT_VALUE,
                .name = name_printf("gradient:%s", leaf->name),
                .node = graph_grad(unit->graph, loss, leaf)};
    VEC_PUSH(unit->arena, step->results, r);
}

bool gradients_add(Unit *unit, bool inputs) {
    Program *step = (Program *)(uintptr_t)unit_program(unit, "step");
    Result *found = result_find(step, "loss");
    if (!found) return false;
    Node *loss = found->node;
    for (int i = 0; i < unit->params.len; i++)
        gradient_push(unit, step, loss, unit->params.at[i]);
    for (int i = 0; inputs && i < unit->inputs.len; i++) {
        Node *in = unit->inputs.at[i];
        if (in->classes == 0 && strcmp(in->name, "live") && strncmp(in->name, "example.", 8))
            gradient_push(unit, step, loss, in);
    }
    return true;
}

typedef struct Probe { /* one leaf, whose elements are moved */
    Eval *eval;
    Node *loss;
    Sample *leaf;
    double base, noise; /* loss where nothing is moved; rounding error of one loss */
    Samples *samples;
    bool measured; /* that error: by stochastic arithmetic */
} Probe;

static double loss_at(const Probe *p, int64_t element, double value) {
    double saved = p->leaf->values[element];
    p->leaf->values[element] = value;
    eval_set(p->eval, p->leaf->leaf, p->leaf->values);
    double loss = eval_node(p->eval, p->loss)[0];
    p->leaf->values[element] = saved;
    return loss;
}

typedef enum Verdict { RIGHT, KINK, WRONG } Verdict;

/* Steps shrink until the central difference agrees. Where none does, and the one-sided differences
 * go on disagreeing however small the step, the element lies on a kink: any slope between is right.
 */
static Verdict compare(const Probe *p, int64_t element, double gradient, double scale,
                       double *error, double *difference) {
    double value = p->leaf->values[element], reach = fmax(fabs(value), 0.1), gap = 0, low = 0,
           high = 0, largest = fabs(p->base);
    *error = INFINITY;
    for (double h = 1e-4 * reach; h > 0.5e-8 * reach; h *= 0.1) {
        double up = loss_at(p, element, value + h), down = loss_at(p, element, value - h);
        double central = (up - down) / (2 * h), right = (up - p->base) / h,
               left = (p->base - down) / h;
        double noise = p->noise / h;
        largest = fmax(largest, fmax(fabs(up), fabs(down)));
        double size = fmax(scale, fmax(fabs(gradient), fabs(central)));
        double relative = fabs(central - gradient) / size;
        if (!(relative >= *error)) {
            *error = relative;
            *difference = central;
        }
        if (relative <= 1e-6 + noise / size) return RIGHT;
        gap = fabs(right - left) - 4 * noise;
        low = fmin(left, right) - 2 * noise;
        high = fmax(left, right) + 2 * noise;
    }
    bool on_kink =
        gap > 0.1 * fabs(gradient - *difference) && gradient >= low && gradient <= high;
    bool lost = p->measured && p->noise > 1e-6 * largest; /* no difference tells anything */
    return on_kink || lost ? KINK : WRONG;
}

enum { EVALUATIONS = 8 };

/* A loss that rounding carries far, as the cosine of 1e32 does, has no differences to compare with:
 * like a kink, such a place says nothing. */
static void measure_noise(Probe *p) {
    Arena *arena = arena_new();
    Eval *eval = samples_eval(arena, p->samples);
    for (uint64_t k = 0; k < EVALUATIONS; k++) {
        eval_noise(eval, 0x1p-53, k);
        p->noise = fmax(p->noise, 4 * fabs(eval_node(eval, p->loss)[0] - p->base));
    }
    eval_free(eval);
    arena_free(arena);
    p->measured = true;
}

static bool under(const char *path, const char *only) {
    size_t length = only ? strlen(only) : 0;
    return !only || !strcmp(path, only) || (!strncmp(path, only, length) && path[length] == '.');
}

static int64_t stride_for(int64_t count, double samples) {
    if (samples < 2) samples = 2;
    if ((double)count <= samples) return 1;
    int64_t stride = (int64_t)ceil((double)count / samples);
    return stride | 1; /* odd, so that it does not walk along one row or channel of even extents */
}

/* Arithmetic of one loss, in scalar steps of the interpreter. */
static double loss_work(Arena *arena, const Samples *s, Node *loss) {
    Program only = {0};
    VEC_PUSH(arena, only.results, (Result){.node = loss});
    NodeList nodes = program_nodes(arena, &only);
    double work = 1;
    for (int i = 0; i < nodes.len; i++)
        if (nodes.at[i]->kind == NODE_COMP)
            work += (double)node_count(nodes.at[i]) * (double)node_terms(nodes.at[i]) *
                    (nodes.at[i]->per_example || nodes.at[i]->over_batch ? (double)s->examples : 1);
    return work;
}

static void check_one(Probe *p, const double *gradient, double samples, GradientReport *report) {
    double largest = 0;
    for (int64_t i = 0; i < report->count; i++)
        largest = fmax(largest, fabs(gradient[i]));
    for (int64_t i = 0, stride = stride_for(report->count, samples); i < report->count;
         i += stride) {
        double error, difference = NAN;
        double scale = 1e-3 * largest + 1e-12;
        Verdict v = WRONG;
        if (isfinite(gradient[i])) v = compare(p, i, gradient[i], scale, &error, &difference);
        if (isfinite(gradient[i]) && v == WRONG && !p->measured) {
            measure_noise(p);
            v = compare(p, i, gradient[i], scale, &error, &difference);
        }
        if (!isfinite(gradient[i])) error = INFINITY;
        report->checked++;
        report->kinks += v == KINK;
        report->wrong += v == WRONG;
        if (v != KINK && !(error <= report->worst)) {
            report->worst = error;
            report->worst_element = i;
            report->gradient = gradient[i];
            report->difference = difference;
        }
    }
    eval_set(p->eval, p->leaf->leaf, p->leaf->values);
}

/* One gradient of the program: the leaf that it is by, and its values. */
typedef struct Gradient {
    Name path;
    Sample *leaf;
    double *value;
} Gradient;

static Gradient gradient_find(const Result *r, Samples *s, const char *only) {
    Gradient one = {NULL, NULL, NULL};
    if (!r->name || strncmp(r->name, "gradient:", 9) || !under(r->name + 9, only)) return one;
    one.path = r->name + 9;
    for (int k = 0; k < s->list.len; k++)
        if (!strcmp(s->list.at[k].leaf->name, one.path) && s->list.at[k].leaf->kind != NODE_HYPER)
            one.leaf = &s->list.at[k]; /* NULL: no program reads it */
    return one;
}

/* All gradients and the loss at once: they share most of what the interpreter computes. */
static int gradients_eval(Arena *arena, const Program *step, Samples *s, const char *only,
                          Gradient *list, Probe *probe) {
    Eval *eval = samples_eval(arena, s);
    int n = 0;
    for (int i = 0; i < step->results.len; i++) {
        Gradient one = gradient_find(&step->results.at[i], s, only);
        if (!one.leaf) continue;
        one.value = NEW_ARRAY(arena, double, one.leaf->count);
        Node *node = step->results.at[i].node; /* a gradient of zero may be shared */
        const double *value = eval_node(eval, node);
        for (int64_t k = 0, count = eval_count(eval, node); k < one.leaf->count; k++)
            one.value[k] = value[k % count];
        list[n++] = one;
    }
    probe->base = eval_node(eval, probe->loss)[0];
    /* Rounding of one loss. What the interpreter reports is a bound that grows with every layer. */
    probe->noise =
        4 * 0x1p-53 * fmin(eval_magnitude(eval, probe->loss)[0], 20 * fabs(probe->base) + 1);
    eval_free(eval);
    return n;
}

int gradients_check(const Unit *unit, uint64_t seed, const char *only, double work,
                    void (*report)(const GradientReport *, void *), void *context) {
    enum { EXAMPLES = 3 };
    Program *step = (Program *)(uintptr_t)unit_program(unit, "step");
    Result *loss = result_find(step, "loss");
    if (!loss) return GRADIENTS_NONE;
    Arena *arena = arena_new();
    Samples *s = samples_make(arena, unit, EXAMPLES, seed);
    Gradient *list = NEW_ARRAY(arena, Gradient, step->results.len);
    Probe p = {.loss = loss->node, .samples = s};
    int wrong = 0, n = gradients_eval(arena, step, s, only, list, &p);
    if (n && !isfinite(p.base)) {
        arena_free(arena);
        return GRADIENTS_NO_LOSS;
    }
    double each = work / (3 * loss_work(arena, s, loss->node) * (n ? n : 1));
    for (int i = 0; i < n; i++) {
        GradientReport one = {.path = list[i].path, .count = list[i].leaf->count};
        p.eval = samples_eval(arena, s);
        p.leaf = list[i].leaf;
        check_one(&p, list[i].value, each, &one);
        report(&one, context);
        wrong += one.wrong > 0;
        eval_free(p.eval);
    }
    arena_free(arena);
    return n ? wrong : GRADIENTS_NONE;
}
