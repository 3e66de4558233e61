/* SPDX-License-Identifier: MIT
 * The text form: units built by hand are written, read back, and written again to the same bytes;
 * faults in a text are diagnosed, never crashed on.
 * Needs ir and Criterion. */
#include "ir.h"
#include <criterion/criterion.h>
#include <criterion/redirect.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static Arena *arena;
static Graph *g;
static Unit *unit;

static void begin(void) {
    arena = arena_new();
    g = graph_new(arena);
    unit = NEW(arena, Unit);
    unit->arena = arena, unit->graph = g;
    cr_redirect_stderr();
}
static void end(void) {
    arena_free(arena);
}
TestSuite(ir_text, .init = begin, .fini = end);

static char *text_of(const Unit *u) {
    char *text;
    size_t size;
    FILE *out = open_memstream(&text, &size);
    graph_print(out, u);
    fclose(out);
    return text;
}

static Unit *unit_of(const char *text) {
    return graph_read(arena, source_add("graph", text, strlen(text), false));
}

/* Written, read and written again: the same. Gives the text. */
static char *round_trip(void) {
    char *text = text_of(unit);
    Unit *read = unit_of(text);
    cr_assert_not_null(read, "%s", text);
    graph_verify(read, 0);
    char *again = text_of(read);
    cr_assert_str_eq(again, text);
    free(again);
    return text;
}

static const Ix *d(int dim) {
    return ix_dim(g, dim);
}
static const Ix *c(int64_t value) {
    return ix_const(g, value);
}
static const Ix *plus(const Ix *a, const Ix *b) {
    return ix_add(g, a, b);
}
static const Scalar *k(double value) {
    return sc_const(g, value);
}
static const Scalar *op1(Op op, const Scalar *a) {
    return sc_op(g, op, a, NULL, NULL);
}
static const Scalar *op2(Op op, const Scalar *a, const Scalar *b) {
    return sc_op(g, op, a, b, NULL);
}
#define READ(node, outside, ...) sc_read(g, (node), (const Ix *[]){__VA_ARGS__}, (outside))
#define LEAF(kind, name, rank, ...)                                                                \
    graph_leaf(g, (kind), name_of(name), (kind) == NODE_INPUT, (rank), (int64_t[]){__VA_ARGS__},   \
               0, (Span){0})

static Program *program(ProgramKind kind, const char *name) {
    VEC_PUSH(arena, unit->programs, ((Program){.kind = kind, .name = name_of(name)}));
    return &unit->programs.at[unit->programs.len - 1];
}
static void result(Program *p, const char *name, Node *node) {
    VEC_PUSH(arena, p->results, ((Result){RESULT_VALUE, name_of(name), NULL, node}));
}

Test(ir_text, convolution_with_pooling_and_update) {
    Node *image = LEAF(NODE_INPUT, "image", 3, 1, 8, 8),
         *W = LEAF(NODE_PARAM, "conv1.W", 4, 5, 1, 3, 3);
    const Ix *i = plus(plus(d(1), d(4)), c(-1)), *j = plus(plus(d(2), d(5)), c(-1));
    CompSpec spec = {
        .rank = 3,
        .nred = 3,
        .extent = {5, 8, 8, 1, 3, 3},
        .reduce = RED_SUM,
        .name = name_of("conv1.y"),
        .body = op2(OP_MUL, READ(W, NULL, d(0), d(3), d(4), d(5)), READ(image, k(0), d(3), i, j))};
    Node *conv = graph_comp(g, &spec);
    const Ix *r = plus(ix_scale(g, d(1), 2), d(3)), *s = plus(ix_scale(g, d(2), 2), d(4));
    spec = (CompSpec){.rank = 3,
                      .nred = 2,
                      .extent = {5, 3, 3, 3, 3},
                      .reduce = RED_MAX,
                      .name = name_of("pool"),
                      .body = READ(conv, NULL, d(0), r, s)};
    Node *pool = graph_comp(g, &spec);
    spec = (CompSpec){.nred = 3,
                      .extent = {5, 3, 3},
                      .reduce = RED_SUM,
                      .over_batch = true,
                      .body = sc_read_all(g, pool)};
    Node *loss = graph_comp(g, &spec), *grad = graph_grad(g, loss, W);
    Node *next = graph_map(
        g, 4, W->extent, op2(OP_SUB, sc_read_all(g, W), op2(OP_MUL, k(0.1), sc_read_all(g, grad))),
        NULL, (Span){0});
    unit->model = name_of("net"), unit->train_name = name_of("net"), unit->model_path = "net.gr";
    unit->model_hash = 0xfedcba9876543210u;
    unit->config =
        (TrainConfig){.batch = 64,
                      .epochs = 10,
                      .seed = UINT64_MAX,
                      .leaves = 16,
                      .last_drop = true,
                      .best = name_of("error_rate"),
                      .has_stop = true};
    VEC_PUSH(arena, unit->config.stages, ((BatchStage){0, 32}));
    VEC_PUSH(arena, unit->config.stages, ((BatchStage){5, 64}));
    VEC_PUSH(arena, unit->inputs, image);
    VEC_PUSH(arena, unit->params, W);
    VEC_PUSH(arena, unit->outputs, name_of("digit"));
    VEC_PUSH(arena, unit->hypers, ((Hyper){name_of("set:optimizer.lr"), 0.1}));
    VEC_PUSH(arena, unit->layers,
             ((LayerRow){.path = name_of("conv1"), .def = name_of("conv"), .output = conv}));
    DataSource source = {
        .format = format_find("csv"), .embed = true};
    VEC_PUSH(arena, source.files, name_of("with \"quotes\" and \\.csv"));
    VEC_PUSH(arena, source.columns, ((Column){name_of("kind"), name_of("the class")}));
    VEC_PUSH(arena, unit->sources, source);
    VEC_PUSH(arena, unit->sets, ((DataSet){name_of("train"), 0, -1, 1}));
    Program *init = program(PROGRAM_INIT, "init");
    VEC_PUSH(arena, init->results,
             ((Result){RESULT_NEXT, W->name, W, graph_const(g, 4, W->extent, 0.125)}));
    Program *p = program(PROGRAM_STEP, "step");
    result(p, "loss", loss);
    VEC_PUSH(arena, p->results, ((Result){RESULT_NEXT, W->name, W, next}));
    char *text = round_trip();
    cr_assert(strstr(text,
                     "conv1.y = sum[d3: 1, d4: 3, d5: 3] -> [d0: 5, d1: 8, d2: 8] per example : "
                     "mul(%1[d0, d3, d4, d5], %0[d3, d1 + d4 - 1, d2 + d5 - 1; 0])"),
              "%s", text);
    cr_assert(strstr(text, "config batch 64 epochs 10 steps 0 seed 18446744073709551615 leaves 16 "
                           "last_drop stage 0 32 stage 5 64 has_stop best error_rate\n"),
              "%s", text);
    cr_assert(
        strstr(
            text,
            "source csv file \"with \\\"quotes\\\" and \\\\.csv\" embed column kind \"the class\"\n"),
        "%s", text);
    cr_assert(strstr(text, " = grad %4 by %1\n"), "%s", text);
    Unit *read = unit_of(text);
    cr_assert(read->config.seed == UINT64_MAX && read->config.has_stop &&
              read->config.best == name_of("error_rate"));
    cr_assert(read->sets.at[0].split == 1 && read->sources.at[0].files.len == 1);
    cr_assert_eq(read->params.at[0], read->programs.at[1].results.at[1].target);
    free(text);
}

Test(ir_text, normalization_draws_and_parts_used_twice) {
    Node *x = LEAF(NODE_INPUT, "x", 2, 4, 6), *live = LEAF(NODE_INPUT, "live", 0, 0),
         *mean = LEAF(NODE_FITTED, "mu", 1, 4);
    VEC_PUSH(arena, unit->fitted, mean);
    const Scalar *centered = op2(OP_SUB, sc_read_all(g, x), READ(mean, NULL, d(0)));
    CompSpec spec = {
        .rank = 1,
        .nred = 1,
        .extent = {4, 6},
        .reduce = RED_SUM,
        .over_batch = true,
        .body = sc_op(g, OP_SELECT, sc_read_all(g, live), op2(OP_POW, centered, k(8)), k(0))};
    Node *v = graph_comp(g, &spec);
    const Scalar *noise =
        sc_draw(g, DRAW_NORMAL, NULL, node_element(g, 2, x->extent), 0xfeedbeef, false);
    const Scalar *mask =
        sc_draw(g, DRAW_BERNOULLI, op1(OP_EXP, READ(mean, NULL, d(0))), d(1), 1, true);
    Node *y = graph_map(g, 2, x->extent,
                        op2(OP_MUL, op2(OP_ADD, centered, noise),
                            op2(OP_ADD, mask, op1(OP_SQRT, READ(v, NULL, d(0))))),
                        name_of("y"), (Span){0});
    Node *wide = graph_map(g, 1, mean->extent,
                           op2(OP_MUL, sc_read_all(g, mean), sc_index(g, ix_div(g, d(0), 3, NULL))),
                           NULL, (Span){0});
    Program *p = program(PROGRAM_EVAL, "eval");
    result(p, "y", y);
    result(p, "wide", wide);
    char *text = round_trip();
    cr_assert(strstr(text, "select(ne(%1, 0), mul($1 = mul($2 = mul($3 = sub(%0[d0, d1], %2[d0]), "
                           "$3), $2), $1), 0)"),
              "%s", text);
    cr_assert(strstr(text, "normal(0xfeedbeef, 6*d0 + d1)"), "%s", text);
    cr_assert(strstr(text, "shared bernoulli(0x00000001, d1, exp(%2[d0]))"), "%s", text);
    cr_assert(strstr(text, "-> [d0: 4] wide : mul(%2[d0], index(floor((d0)/3)))"), "%s", text);
    free(text);
}

Test(ir_text, computed_positions_and_floors) {
    Node *x = LEAF(NODE_INPUT, "x", 1, 9), *t = LEAF(NODE_INPUT, "t", 0, 0),
         *a = LEAF(NODE_INPUT, "a", 0, 0);
    const Ix *at = ix_value(g, op2(OP_MUL, sc_read_all(g, a), k(0.5))),
             *other = ix_value(g, sc_read_all(g, t));
    /* Two computed positions in one sum, made in the opposite order of their nodes. */
    const Ix *both = plus(plus(ix_scale(g, at, -2), other), plus(d(0), c(7)));
    const Scalar *up = READ(x, NULL, ix_div(g, plus(d(0), c(1)), 2, NULL));
    const Scalar *mod = READ(x, NULL, ix_mod(g, plus(d(0), c(1)), 4, NULL));
    const Ix *plain = plus(ix_scale(g, ix_value(g, sc_read_all(g, a)), 3), other);
    const Scalar *inner = READ(x, op1(OP_EXP, READ(x, k(0), plain)), both);
    Node *y =
        graph_map(g, 1, (int64_t[]){9},
                  op2(OP_ADD, op2(OP_ADD, inner, up), op2(OP_MUL, mod, inner)), NULL, (Span){0});
    CompSpec spec = {.nred = 1, .extent = {9}, .reduce = RED_ARGMAX, .body = sc_read_all(g, y)};
    Program *p = program(PROGRAM_PREDICT, "predict");
    result(p, "class", graph_comp(g, &spec));
    char *text = round_trip();
    cr_assert(strstr(text, "%0[floor((d0 + 1)/2)]"), "%s", text);
    cr_assert(strstr(text, "%0[at(%1) + 3*at(%2); 0]"), "%s", text);
    cr_assert(strstr(text, "%0[d0 - 4*floor((d0 + 1)/4) + 1]"), "%s", text);
    cr_assert(strstr(text, "argmax[d0: 9] -> [] per example : "), "%s", text);
    free(text);
}

Test(ir_text, numbers_come_back_to_the_bit) {
    const double values[] = {0.1,  1e-300,        5e-324,   -0.0,      1.0 / 3,
                             1e22, 123456789.125, INFINITY, -INFINITY, 0x1.fffffffffffffp1023,
                             -2};
    Program *p = program(PROGRAM_EVAL, "eval");
    for (int i = 0; i < LENGTH(values); i++)
        result(p, arena_printf(arena, "v%d", i), graph_const(g, 0, NULL, values[i]));
    result(p, "nan", graph_const(g, 0, NULL, (double)NAN));
    char *text = round_trip();
    Unit *read = unit_of(text);
    for (int i = 0; i < LENGTH(values); i++) {
        double value = read->programs.at[0].results.at[i].node->body->value;
        cr_assert(value == values[i] && signbit(value) == signbit(values[i]));
    }
    cr_assert(isnan(read->programs.at[0].results.at[LENGTH(values)].node->body->value));
    free(text);
}

/* ---- Random graphs */
static uint64_t state;
static int64_t random_below(int64_t n) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (int64_t)((state >> 33) % (uint64_t)n);
}

static const Ix *random_ix(int depth) {
    switch (depth ? random_below(6) : random_below(2)) {
    case 0:
        return c(random_below(9) - 4);
    case 1:
        return d((int)random_below(3));
    case 2:
        return plus(random_ix(depth - 1), random_ix(depth - 1));
    case 3:
        return ix_sub(g, random_ix(depth - 1), random_ix(depth - 1));
    case 4:
        return ix_scale(g, random_ix(depth - 1), random_below(7) - 3);
    default:
        return ix_div(g, random_ix(depth - 1), 1 + random_below(5), NULL);
    }
}

static const Scalar *random_scalar(int depth) {
    if (!depth || !random_below(4)) {
        Node *node = g->nodes.at[random_below(g->nodes.len)];
        const Ix *at[MAX_RANK];
        switch (random_below(5)) {
        case 0:
            return k((double)random_below(5) / 2);
        case 1:
            return sc_index(g, random_ix(2));
        case 2:
            return sc_draw(g, DRAW_UNIFORM, NULL, random_ix(2), (uint32_t)random_below(9),
                           random_below(2));
        default:
            for (int i = 0; i < node->rank; i++)
                at[i] = depth && !random_below(6) ? ix_value(g, random_scalar(depth - 1))
                                                  : random_ix(2);
            return sc_read(g, node, at, random_scalar(depth ? depth - 1 : 0));
        }
    }
    Op op = (Op)random_below(OP_COUNT);
    const Scalar *arg[3] = {0};
    for (int i = 0; i < op_info[op].arity; i++)
        arg[i] = random_scalar(depth - 1);
    return sc_op(g, op, arg[0], arg[1], arg[2]);
}

Test(ir_text, random_graphs) {
    for (uint64_t seed = 1; seed <= 300; seed++) {
        state = seed;
        arena_free(arena);
        begin();
        LEAF(NODE_INPUT, "x", 2, 3, 4);
        VEC_PUSH(arena, unit->params, LEAF(NODE_PARAM, "w", 1, 5));
        VEC_PUSH(arena, unit->fitted, LEAF(NODE_FITTED, "m", 0, 0));
        for (int i = 0; i < 6; i++) {
            CompSpec spec = {.rank = 1,
                             .nred = 2,
                             .extent = {2, 3, 4},
                             .reduce = (Reduce)(1 + random_below(6)),
                             .over_batch = random_below(2),
                             .body = random_scalar(4)};
            if (random_below(2))
                spec.reduce = RED_NONE, spec.rank = 3, spec.nred = 0, spec.over_batch = false;
            graph_comp(g, &spec);
        }
        Program *p = program(PROGRAM_EVAL, "eval");
        for (int i = g->nodes.len - 1; i >= 0; i -= 2)
            result(p, "v", g->nodes.at[i]);
        free(round_trip());
    }
}

/* ---- Faults */
static const char *const faulty[] = {
    "",
    "gradus",
    "gradus graph 2",
    "gradus graph 1 %1 = param []",
    "gradus graph 1 %0 = thing []",
    "gradus graph 1 %0 = param []",
    "gradus graph 1 %0 x = param [0]",
    "gradus graph 1 %0 x = param [1, 2",
    "gradus graph 1 %0 x = param [] per example",
    "gradus graph 1 %0 x = hyper [3]",
    "gradus graph 1 %0 x = param [99999999999999999999]",
    "gradus graph 1 %0 x = param [2147483648, 2147483648]",
    "gradus graph 1 %0 x = param [1,1,1,1,1,1,1,1,1]",
    "gradus graph 1 %0 = map -> [d0: 4] : index(d1)",
    "gradus graph 1 %0 = map -> [d1: 4] : 1",
    "gradus graph 1 %0 = sum[d0: 4] -> [d0: 4] : 1",
    "gradus graph 1 %0 = map -> [d0: 4] : mul(1)",
    "gradus graph 1 %0 = map -> [d0: 4] : foo(1)",
    "gradus graph 1 %0 = map -> [d0: 4] : %0[d0]",
    "gradus graph 1 %0 = map -> [d0: 4] : $1",
    "gradus graph 1 %0 = map -> [d0: 4] : $2 = 3",
    "gradus graph 1 %0 = map -> [d0: 4] : $1 = add($1, 2)",
    "gradus graph 1 %0 = map -> [d0: 4] : floor(",
    "gradus graph 1 %0 = map -> [d0: 4] : index(floor((d0)/0))",
    "gradus graph 1 %0 = map -> [d0: 4] per example : 1",
    "gradus graph 1 %0 = map -> [d0: 4] wide : 1",
    "gradus graph 1 %0 x = param [4] %1 = map -> [d0: 5] : %0[d0]",
    "gradus graph 1 %0 x = param [4] %1 = map -> [d0: 4] : %0[d0 - 1]",
    "gradus graph 1 %0 x = param [4] %1 = map -> [d0: 4] : %0[d0, d0]",
    "gradus graph 1 %0 x = param [4] %1 x = param [5]",
    "gradus graph 1 %0 x = param [4] %1 = grad %0 by %0",
    "gradus graph 1 %0 = map -> [] : uniform(0x123456789, 0)",
    "gradus graph 1 %0 = map -> [] : shared 3",
    "gradus graph 1 program run run",
    "gradus graph 1 program step -",
    "gradus graph 1 program step s value x = %0",
    "gradus graph 1 params %0",
    "gradus graph 1 set train source 0 from -1 split -1",
    "gradus graph 1 model \"x",
    "gradus graph 1 source xml a b",
    "gradus graph 1 config batch",
    "gradus graph 1 hyper x y",
    "gradus graph 1 ?",
    "gradus graph 1 %0 x = param [4] program eval e value v = %0",
    "gradus graph 1 %0 x = param [4] states %0",
    "gradus graph 1 %0 x = param [4] params %0 program init init",
    "gradus graph 1 %0 x = param [4] params %0 program step s next x %0 = %1",
    "gradus graph 1 %0 x = param [4] %1 = map -> [] : 2 params %0 program step s next x %0 = %1",
};

Test(ir_text, faults_are_diagnosed) {
    for (int i = 0; i < LENGTH(faulty); i++) {
        diag_reset();
        cr_assert_null(unit_of(faulty[i]), "%s", faulty[i]);
        cr_assert_eq(diag_errors(), 1, "%s", faulty[i]);
    }
    diag_reset();
    const size_t deep = 100000;
    char *text = malloc(deep * 4 + 100), *to = text;
    to += sprintf(to, "gradus graph 1 %%0 = map -> [] : ");
    for (size_t i = 0; i < deep; i++)
        to += sprintf(to, "neg(");
    cr_assert_null(unit_of(text));
    free(text);
}

/* Each byte of a text changed in turn: read or diagnosed, never crashed on. */
Test(ir_text, changed_texts_never_crash) {
    const char text[] =
        "gradus graph 1\nmodel a\n%0 x = input [3, 4] per example\n%1 w = param [4]\n"
        "%2 y = sum[d1: 4] -> [d0: 3] per example : mul($1 = neg(%0[d0, d1]), add($1, %1[d1 - 1; "
        "0.5]))\n"
        "%3 = map -> [d0: 3] per example : %2[floor((d0 + 1)/2)]\nparams %1\nprogram eval e\n  value v = %3\n";
    cr_assert_not_null(unit_of(text));
    const char with[] = "0-[](),;:%$=\"d9 \x01z";
    char changed[sizeof text];
    for (size_t i = 0; i < sizeof text - 1; i++)
        for (size_t k2 = 0; k2 < sizeof with - 1; k2++) {
            memcpy(changed, text, sizeof text);
            changed[i] = with[k2];
            diag_reset();
            Unit *read = unit_of(changed);
            cr_assert((read == NULL) == (diag_errors() > 0));
        }
}
