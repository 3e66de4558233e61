/* SPDX-License-Identifier: MIT
 * Builds small graphs by hand, runs the frozen passes on them and compares with differences.
 * Needs ir, pass, eval and Criterion.
 * Holds no test: pass*.c do. */
#ifndef GRADUS_PASS_KIT_H
#define GRADUS_PASS_KIT_H
#include "eval.h"
#include "pass.h"
#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

typedef struct Leaf {
    Node *node;
    double *value;
    int64_t count;
} Leaf;
enum { EXAMPLES = 5, MAX_WRT = 16 };
typedef struct Kit {
    Arena *arena;
    Graph *g;
    uint64_t seed;
    Leaf leaf[32];
    int leaves;
} Kit;
#define KIT static inline __attribute__((unused))

KIT Kit kit_new(uint64_t seed) {
    Kit k = {.arena = arena_new(), .seed = seed};
    k.g = graph_new(k.arena);
    return k;
}

KIT double kit_random(Kit *k) /* in -1 .. 1 */
{
    k->seed = k->seed * 6364136223846793005u + 1442695040888963407u;
    return (double)(k->seed >> 11) * 0x1p-52 - 1;
}
KIT int kit_pick(Kit *k, int n) {
    return (int)((kit_random(k) + 1) * 0.49999 * n);
}

KIT Node *kit_leaf(Kit *k, NodeKind kind, const char *name, int rank, const int64_t *extent) {
    Node *node =
        graph_leaf(k->g, kind, name_of(name), kind == NODE_INPUT, rank, extent, 0, (Span){0});
    Leaf *leaf = &k->leaf[k->leaves++];
    leaf->node = node;
    leaf->count = node_count(node) * (kind == NODE_INPUT ? EXAMPLES : 1);
    leaf->value = NEW_ARRAY(k->arena, double, leaf->count);
    for (int64_t i = 0; i < leaf->count; i++)
        leaf->value[i] = kit_random(k);
    return node;
}
#define SHAPE(...)                                                                                 \
    ((int)(sizeof((int64_t[]){__VA_ARGS__}) / 8)), (int64_t[]) {                                   \
        __VA_ARGS__                                                                                \
    }
KIT Leaf *kit_find(Kit *k, const Node *node) {
    for (int i = 0; i < k->leaves; i++)
        if (k->leaf[i].node == node) return &k->leaf[i];
    return NULL;
}

/* ---- Scalars. They need a `Kit *k` in scope. */
#define N(x) sc_const(k->g, (x))
#define D(d) ix_dim(k->g, (d))
#define C(c) ix_const(k->g, (c))
#define PLUS(a, b) ix_add(k->g, (a), (b))
#define TIMES(a, n) ix_scale(k->g, (a), (n))
#define READ(node, ...) sc_read(k->g, (node), (const Ix *[]){__VA_ARGS__}, NULL)
#define PADDED(node, out, ...) sc_read(k->g, (node), (const Ix *[]){__VA_ARGS__}, (out))
#define ALL(node) sc_read_all(k->g, (node))
#define OP1(op, a) sc_op(k->g, OP_##op, (a), NULL, NULL)
#define OP2(op, a, b) sc_op(k->g, OP_##op, (a), (b), NULL)
#define SELECT(a, b, c) sc_op(k->g, OP_SELECT, (a), (b), (c))

/* comp(k, RED_SUM, 2, body, SHAPE(o, i, c)): the first `rank` extents are the output's. */
KIT Node *comp(Kit *k, Reduce reduce, int rank, const Scalar *body, int dims,
               const int64_t *extent) {
    CompSpec spec = {.rank = rank, .nred = dims - rank, .reduce = reduce, .body = body};
    if (dims) memcpy(spec.extent, extent, sizeof *extent * (size_t)dims);
    return graph_comp(k->g, &spec);
}
KIT Node *comp_batch(Kit *k, Reduce reduce, int rank, const Scalar *body, int dims,
                     const int64_t *extent) {
    CompSpec spec = {
        .rank = rank, .nred = dims - rank, .reduce = reduce, .body = body, .over_batch = true};
    if (dims) memcpy(spec.extent, extent, sizeof *extent * (size_t)dims);
    return graph_comp(k->g, &spec);
}
KIT Node *kit_live(Kit *k) {
    Node *live = graph_leaf(k->g, NODE_INPUT, name_of("live"), true, 0, NULL, 0, (Span){0});
    if (!kit_find(k, live)) {
        Leaf *leaf = &k->leaf[k->leaves++];
        *leaf = (Leaf){live, NEW_ARRAY(k->arena, double, EXAMPLES), EXAMPLES};
        for (int i = 0; i < EXAMPLES; i++)
            leaf->value[i] = i != 3; /* one is not there */
    }
    return live;
}
#define LIVE(e) SELECT(ALL(kit_live(k)), (e), N(0))

/* A loss that sees every element of y with a weight of its own: mean over the live examples. */
KIT Node *kit_loss(Kit *k, Node *y) {
    const Scalar *weight = N(1.5);
    if (y->rank)
        weight = OP1(COS, OP2(MUL, N(1.7),
                              sc_index(k->g, PLUS(node_element(k->g, y->rank, y->extent), C(1)))));
    Node *one =
        comp(k, y->rank ? RED_SUM : RED_NONE, 0, OP2(MUL, weight, ALL(y)), y->rank, y->extent);
    if (!one->per_example) return one;
    Node *total = comp_batch(k, RED_SUM, 0, LIVE(ALL(one)), 0, NULL);
    Node *count = comp_batch(k, RED_SUM, 0, LIVE(N(1)), 0, NULL);
    return comp(k, RED_NONE, 0, OP2(DIV, ALL(total), ALL(count)), 0, NULL);
}

/* ---- Running */
KIT Eval *kit_eval(Kit *k) {
    Eval *eval = eval_new(k->arena, EXAMPLES, 7);
    for (int i = 0; i < k->leaves; i++)
        eval_set(eval, k->leaf[i].node, k->leaf[i].value);
    return eval;
}

/* A unit of one program with these results. */
KIT Unit *unit_of(Kit *k, int n, Node **results) {
    Unit *unit = NEW(k->arena, Unit);
    Program step = {.kind = PROGRAM_STEP, .name = name_of("step")};
    for (int i = 0; i < n; i++)
        VEC_PUSH(k->arena, step.results,
                 (Result){RESULT_VALUE, name_printf("result%d", i), NULL, results[i]});
    unit->arena = k->arena, unit->graph = k->g;
    for (int i = 0; i < k->leaves; i++) {
        Node *leaf = k->leaf[i].node;
        if (leaf->kind == NODE_PARAM) VEC_PUSH(k->arena, unit->params, leaf);
        if (leaf->kind == NODE_STATE) VEC_PUSH(k->arena, unit->states, leaf);
        if (leaf->kind == NODE_FITTED) VEC_PUSH(k->arena, unit->fitted, leaf);
    }
    VEC_PUSH(k->arena, unit->programs, step);
    return unit;
}
#define RESULT(unit, i) ((unit)->programs.at[0].results.at[i].node)

typedef struct Checked {
    Unit *unit;
    Node *loss;
    int n;
    Node *wrt[MAX_WRT];
    const double *gradient[MAX_WRT]; /* after the gradient pass */
} Checked;
KIT Node *grad_node(const Checked *c, int i) {
    return RESULT(c->unit, i + 1);
}

/* Equal to a tolerance of the largest, and to `noise`. */
KIT void compare_noisy(const char *what, const double *a, const double *b, int64_t n,
                       double tolerance, double noise) {
    double scale = 1e-3;
    for (int64_t i = 0; i < n; i++)
        scale = fmax(scale, fabs(b[i]));
    for (int64_t i = 0; i < n; i++)
        cr_assert(fabs(a[i] - b[i]) <= tolerance * scale + noise, "%s[%d]: %.17g, expected %.17g",
                  what, (int)i, a[i], b[i]);
}
KIT void compare(const char *what, const double *a, const double *b, int64_t n, double tolerance) {
    compare_noisy(what, a, b, n, tolerance, 0);
}

KIT void kit_differences(Kit *k, Checked *c, int i) {
    Leaf *leaf = kit_find(k, c->wrt[i]);
    if (!leaf) return; /* not a leaf: the test looks itself */
    double *expected = NEW_ARRAY(k->arena, double, leaf->count), h = 2e-5;
    Eval *eval = kit_eval(k);
    for (int64_t e = 0; e < leaf->count; e++) {
        const double step[] = {h, -h, 2 * h, -2 * h};
        double old = leaf->value[e], at[4];
        for (int s = 0; s < 4; s++) {
            leaf->value[e] = old + step[s];
            eval_set(eval, leaf->node, leaf->value);
            at[s] = *eval_node(eval, c->loss);
        }
        leaf->value[e] = old;
        eval_set(eval, leaf->node, leaf->value);
        expected[e] = (8 * (at[0] - at[1]) - (at[2] - at[3])) / (12 * h); /* fourth order */
    }
    double noise = 1e-14 / h * *eval_magnitude(eval, c->loss); /* of a difference of losses */
    compare_noisy(leaf->node->name, c->gradient[i], expected, leaf->count, 1e-6, noise);
    eval_free(eval);
}

KIT const double *kit_gradient(Kit *k, Eval *eval, const Checked *c, int i) {
    Node *g = grad_node(c, i);
    int64_t count = node_count(c->wrt[i]), all = count * (c->wrt[i]->per_example ? EXAMPLES : 1);
    double *copy = NEW_ARRAY(k->arena, double, all);
    const double *value = eval_node(eval, g);
    for (int64_t e = 0; e < all; e++) /* one for all examples may be kept once */
        copy[e] = value[g->per_example ? e : e % count];
    return copy;
}

/* Takes the gradient of loss by each of wrt, checks it by differences, runs the other frozen passes
 * and checks that they keep every value. */
KIT Checked kit_check(Kit *k, Node *loss, int n, Node **wrt) {
    Checked c = {.loss = loss, .n = n};
    Node *results[MAX_WRT + 1] = {loss};
    for (int i = 0; i < n; i++) {
        c.wrt[i] = wrt[i];
        results[i + 1] = graph_grad(k->g, loss, wrt[i]);
    }
    c.unit = unit_of(k, n + 1, results);
    double before = *eval_node(kit_eval(k), loss);
    for (int p = 0; p < 4; p++) {
        pass_table[p].run(c.unit);
        graph_verify(c.unit, 1);
        Eval *eval = kit_eval(k);
        double after = *eval_node(eval, RESULT(c.unit, 0));
        compare("loss", &after, &before, 1, 1e-12);
        for (int i = 0; i < n; i++) {
            const double *value = kit_gradient(k, eval, &c, i);
            int64_t count = node_count(wrt[i]) * (wrt[i]->per_example ? EXAMPLES : 1);
            if (p == 0) {
                c.gradient[i] = value;
                kit_differences(k, &c, i);
            } else {
                compare(pass_table[p].name, value, c.gradient[i], count, 1e-12);
            }
        }
        eval_free(eval);
    }
    return c;
}
#define CHECK(loss, ...)                                                                           \
    kit_check(k, (loss), (int)(sizeof((Node *[]){__VA_ARGS__}) / sizeof(Node *)),                  \
              (Node *[]){__VA_ARGS__})

/* ---- Looking at what was made */
KIT NodeList kit_nodes(Kit *k, const Checked *c) {
    return program_nodes(k->arena, &c->unit->programs.at[0]);
}
KIT int count_batch_sums(Kit *k, const Checked *c) {
    NodeList nodes = kit_nodes(k, c);
    int count = 0;
    for (int i = 0; i < nodes.len; i++)
        count += nodes.at[i]->over_batch;
    return count;
}
KIT bool has_op(const Scalar *s, Op op) {
    if (s->kind != SC_OP) return false;
    bool has = s->op == op;
    for (int i = 0; i < op_info[s->op].arity; i++)
        has |= has_op(s->arg[i], op);
    return has;
}
KIT bool is_plain_product(const Scalar *s) {
    return s->kind == SC_OP && s->op == OP_MUL && s->arg[0]->kind == SC_READ &&
           s->arg[1]->kind == SC_READ;
}
#endif
