/* SPDX-License-Identifier: MIT
 * Elaborates model texts and single defs, and runs their programs in the interpreter.
 * Needs elab, pass, eval and Criterion.
 * Holds no test: elab*.c do. */
#ifndef GRADUS_ELAB_KIT_H
#define GRADUS_ELAB_KIT_H
#include "elab.h"
#include "eval.h"
#include "pass.h"
#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

typedef struct Kit {
    Arena *arena;
    Unit *unit;
    Eval *eval;
    int64_t examples;
    uint64_t seed;
} Kit;
#define KIT static inline __attribute__((unused))

KIT Kit kit_text(const char *text) {
    Kit k = {.arena = arena_new(), .seed = 7};
    diag_reset();
    Module *module = module_load_text(k.arena, "model.gr", text);
    k.unit = module && !diag_errors() ? elab_unit(k.arena, module, NULL) : NULL;
    diag_flush();
    cr_assert(k.unit, "the model has errors:\n%s", text);
    graph_verify(k.unit, 0);
    return k;
}

KIT Kit kit_file(const char *path) {
    Kit k = {.arena = arena_new(), .seed = 7};
    diag_reset();
    Module *module = module_load(k.arena, path);
    k.unit = module && !diag_errors() ? elab_unit(k.arena, module, NULL) : NULL;
    diag_flush();
    cr_assert(k.unit, "%s has errors", path);
    graph_verify(k.unit, 0);
    return k;
}

/* `text` holds defs of the test's own, "" where the library's are enough. */
KIT Kit kit_def(const char *application, const char *text) {
    Kit k = {.arena = arena_new(), .seed = 7};
    diag_reset();
    Module *module = module_load_text(k.arena, "model.gr", text);
    k.unit = module && !diag_errors() ? elab_def(k.arena, module, application) : NULL;
    diag_flush();
    cr_assert(k.unit, "%s has errors", application);
    graph_verify(k.unit, 0);
    return k;
}

/* Does the text have an error with these words? */
KIT int kit_errors(const char *text) {
    Arena *arena = arena_new();
    diag_reset();
    Module *module = module_load_text(arena, "model.gr", text);
    if (module && !diag_errors()) cr_expect_null(elab_unit(arena, module, NULL));
    int errors = diag_errors();
    diag_reset();
    arena_free(arena);
    return errors;
}

KIT void kit_free(Kit *k) {
    if (k->eval) eval_free(k->eval);
    arena_free(k->arena);
}

KIT Node *kit_result(const Kit *k, const char *program, ResultKind kind, const char *name) {
    const Program *p = unit_program(k->unit, program);
    cr_assert(p, "no program %s", program);
    for (int i = 0; i < p->results.len; i++)
        if (p->results.at[i].kind == kind && !strcmp(p->results.at[i].name, name))
            return p->results.at[i].node;
    return NULL;
}

KIT Node *kit_value(const Kit *k, const char *program, const char *name) {
    Node *node = kit_result(k, program, RESULT_VALUE, name);
    cr_assert(node, "program %s has no value %s", program, name);
    return node;
}
KIT Node *kit_next(const Kit *k, const char *program, const char *name) {
    Node *node = kit_result(k, program, RESULT_NEXT, name);
    cr_assert(node, "program %s does not update %s", program, name);
    return node;
}

KIT Node *kit_leaf(const Kit *k, const char *name) {
    const Graph *g = k->unit->graph;
    for (int i = 0; i < g->nodes.len; i++)
        if (g->nodes.at[i]->kind < NODE_COMP && !strcmp(g->nodes.at[i]->name, name))
            return g->nodes.at[i];
    cr_assert(false, "no leaf %s", name);
    return NULL;
}
KIT bool kit_has_leaf(const Kit *k, const char *name) {
    const Graph *g = k->unit->graph;
    for (int i = 0; i < g->nodes.len; i++)
        if (g->nodes.at[i]->kind < NODE_COMP && !strcmp(g->nodes.at[i]->name, name)) return true;
    return false;
}

KIT double kit_random(Kit *k) /* in -1 .. 1 */
{
    k->seed = k->seed * 6364136223846793005u + 1442695040888963407u;
    return (double)(k->seed >> 11) * 0x1p-52 - 1;
}

KIT void kit_set(Kit *k, const char *name, const double *values) {
    eval_set(k->eval, kit_leaf(k, name), values);
}
KIT void kit_number(Kit *k, const char *name, double value) {
    if (kit_has_leaf(k, name)) eval_set(k->eval, kit_leaf(k, name), &value);
}
KIT const double *kit_get(Kit *k, Node *node) {
    return eval_node(k->eval, node);
}

/* An interpreter for `examples`: random inputs and classes, all live, hyperparameters unset. */
KIT void kit_begin(Kit *k, int64_t examples) {
    k->examples = examples;
    k->eval = eval_new(k->arena, examples, 42);
    const Graph *g = k->unit->graph;
    for (int i = 0; i < g->nodes.len; i++) {
        Node *n = g->nodes.at[i];
        if (n->kind > NODE_HYPER) continue;
        double values[8192];
        int64_t count = eval_count(k->eval, n);
        cr_assert(count <= 8192);
        for (int64_t j = 0; j < count; j++)
            values[j] = n->classes ? floor((kit_random(k) + 1) / 2 * (double)n->classes)
                        : n->kind == NODE_HYPER ? NAN
                                                : kit_random(k);
        eval_set(k->eval, n, values);
    }
    double live[64];
    for (int i = 0; i < 64; i++)
        live[i] = 1;
    if (kit_has_leaf(k, "live")) kit_set(k, "live", live);
    kit_number(k, "count", (double)examples);
    kit_number(k, "step", 1);
    kit_number(k, "epoch", 0);
    kit_number(k, "progress", 0);
    kit_number(k, "data.count", (double)examples);
}

/* Every leaf that a program gives a next value gets it. */
KIT void kit_run(Kit *k, const char *program) {
    const Program *p = unit_program(k->unit, program);
    cr_assert(p, "no program %s", program);
    double **next = NEW_ARRAY(k->arena, double *, p->results.len);
    for (int i = 0; i < p->results.len; i++) {
        const Result *r = &p->results.at[i];
        if (r->kind != RESULT_NEXT) continue;
        int64_t count = eval_count(k->eval, r->node);
        next[i] = NEW_ARRAY(k->arena, double, count);
        memcpy(next[i], eval_node(k->eval, r->node), sizeof(double) * (size_t)count);
    }
    for (int i = 0; i < p->results.len; i++)
        if (p->results.at[i].kind == RESULT_NEXT)
            eval_set(k->eval, p->results.at[i].target, next[i]);
}

KIT void kit_shape(const Node *node, const char *what, int rank, const int64_t *extent) {
    cr_expect(node->rank == rank, "%s has rank %d, not %d", what, node->rank, rank);
    for (int i = 0; i < rank && i < node->rank; i++)
        cr_expect(node->extent[i] == extent[i], "%s: extent %d is %lld, not %lld", what, i,
                  (long long)node->extent[i], (long long)extent[i]);
}
#define EXPECT_SHAPE(node, ...)                                                                    \
    kit_shape((node), #node, (int)(sizeof((int64_t[]){__VA_ARGS__}) / 8), (int64_t[]){__VA_ARGS__})
#define EXPECT_NEAR(a, b)                                                                          \
    do {                                                                                           \
        double a_ = (a), b_ = (b);                                                                 \
        cr_expect(fabs(a_ - b_) <= 1e-12 * (1 + fabs(b_)), #a " is %.17g, not %.17g", a_, b_);     \
    } while (0)
#endif
