/* SPDX-License-Identifier: MIT
 * Every row of ops.def: its value is sane over its sample domain, the interpreter gives it, and its
 * derivative columns agree with central differences.
 * Needs ir, pass/derivative.h, eval and Criterion. */
#include "derivative.h"
#include "eval.h"
#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <math.h>

enum { SAMPLES = 400 };
static uint64_t state;
static double random_unit(void) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (double)(state >> 11) * 0x1p-53;
}

/* The operands as inputs of one number for each of SAMPLES examples, and their samples. */
typedef struct Setting {
    Arena *arena;
    Graph *g;
    Eval *eval;
    const Scalar *arg[3], *result;
    double sample[3][SAMPLES];
} Setting;

static bool takes_truth(Op op, int i) {
    return op == OP_AND || op == OP_OR || op == OP_NOT || (op == OP_SELECT && i == 0);
}

static void setting_init(Setting *s, Op op) {
    const OpInfo *info = &op_info[op];
    state = 77 + (uint64_t)op;
    s->arena = arena_new();
    s->g = graph_new(s->arena);
    s->eval = eval_new(s->arena, SAMPLES, 1);
    for (int i = 0; i < info->arity; i++) {
        Name name = name_printf("x%d", i);
        Node *leaf = graph_leaf(s->g, NODE_INPUT, name, true, 0, NULL, 0, (Span){0});
        for (int k = 0; k < SAMPLES; k++) {
            double u = info->lo + (info->hi - info->lo) * random_unit();
            s->sample[i][k] = takes_truth(op, i) ? random_unit() < 0.5 : u;
            if (i && op >= OP_LT && op <= OP_NE && k % 4 == 0)
                s->sample[i][k] = s->sample[0][k]; /* equals must occur */
        }
        eval_set(s->eval, leaf, s->sample[i]);
        s->arg[i] = sc_read_all(s->g, leaf);
    }
    s->result = sc_op(s->g, op, s->arg[0], s->arg[1], s->arg[2]);
}

/* For each sample, also where the body is the same for all. */
static const double *values_of(Setting *s, const Scalar *body) {
    Node *node = graph_map(s->g, 0, NULL, body, NULL, (Span){0});
    const double *value = eval_node(s->eval, node);
    double *each = NEW_ARRAY(s->arena, double, SAMPLES);
    for (int k = 0; k < SAMPLES; k++)
        each[k] = value[node->per_example ? k : 0];
    return each;
}

ParameterizedTestParameters(ops, rows) {
    static int all[OP_COUNT];
    for (int i = 0; i < OP_COUNT; i++)
        all[i] = i;
    return cr_make_param_array(int, all, OP_COUNT);
}

/* What every operator is by hand: the interpreter is the definition, so nothing else can say. */
static const struct {
    Op op;
    double a, b, c, value;
} known[] = {
    {OP_NEG, 1.5, 0, 0, -1.5},
    {OP_ADD, 1.5, -4, 0, -2.5},
    {OP_SUB, 1.5, -4, 0, 5.5},
    {OP_MUL, 1.5, -4, 0, -6},
    {OP_DIV, 3, -4, 0, -0.75},
    {OP_FMA, 3, -4, 0.5, -11.5},
    {OP_MIN, 2, -3, 0, -3},
    {OP_MIN, -3, 2, 0, -3},
    {OP_MAX, 2, -3, 0, 2},
    {OP_MAX, -3, 2, 0, 2},
    {OP_POW, 4, 1.5, 0, 8},
    {OP_MOD, 7, 4, 0, 3},
    {OP_MOD, -7, 4, 0, 1},
    {OP_MOD, 7, -4, 0, -1},
    {OP_ABS, -3, 0, 0, 3},
    {OP_ABS, 3, 0, 0, 3},
    {OP_SIGN, -3, 0, 0, -1},
    {OP_SIGN, 0, 0, 0, 0},
    {OP_SIGN, 3, 0, 0, 1},
    {OP_FLOOR, -1.25, 0, 0, -2},
    {OP_FLOOR, 1.75, 0, 0, 1},
    {OP_CEIL, -1.25, 0, 0, -1},
    {OP_CEIL, 1.25, 0, 0, 2},
    {OP_ROUND, 2.5, 0, 0, 2},
    {OP_ROUND, -3.5, 0, 0, -4},
    {OP_ROUND, 2.75, 0, 0, 3},
    {OP_SQRT, 9, 0, 0, 3},
    {OP_EXP, 1, 0, 0, 2.718281828459045},
    {OP_LOG, 10, 0, 0, 2.302585092994046},
    {OP_SIN, 1, 0, 0, 0.8414709848078965},
    {OP_COS, 1, 0, 0, 0.5403023058681398},
    {OP_TANH, 1, 0, 0, 0.7615941559557649},
    {OP_ERF, 1, 0, 0, 0.8427007929497149},
    {OP_LT, 1, 2, 0, 1},
    {OP_LT, 2, 2, 0, 0},
    {OP_LT, 2, 1, 0, 0},
    {OP_LE, 1, 2, 0, 1},
    {OP_LE, 2, 2, 0, 1},
    {OP_LE, 2, 1, 0, 0},
    {OP_GT, 1, 2, 0, 0},
    {OP_GT, 2, 2, 0, 0},
    {OP_GT, 2, 1, 0, 1},
    {OP_GE, 1, 2, 0, 0},
    {OP_GE, 2, 2, 0, 1},
    {OP_GE, 2, 1, 0, 1},
    {OP_EQ, 1, 2, 0, 0},
    {OP_EQ, 2, 2, 0, 1},
    {OP_NE, 1, 2, 0, 1},
    {OP_NE, 2, 2, 0, 0},
    {OP_AND, 1, 0, 0, 0},
    {OP_AND, 0, 1, 0, 0},
    {OP_AND, 1, 1, 0, 1},
    {OP_OR, 1, 0, 0, 1},
    {OP_OR, 0, 1, 0, 1},
    {OP_OR, 0, 0, 0, 0},
    {OP_NOT, 1, 0, 0, 0},
    {OP_NOT, 0, 0, 0, 1},
    {OP_SELECT, 1, 2, 3, 2},
    {OP_SELECT, 0, 2, 3, 3},
    {OP_STOP, 1.5, 0, 0, 1.5},
    {OP_STATED, 1.5, 2, 3, 1.5},
};

Test(ops, values_known_by_hand) {
    bool seen[OP_COUNT] = {0};
    for (int i = 0; i < LENGTH(known); i++) {
        double value = op_info[known[i].op].value(known[i].a, known[i].b, known[i].c);
        cr_assert(fabs(value - known[i].value) <= 4e-16 * fabs(known[i].value),
                  "%s: %.17g, not %.17g", op_info[known[i].op].text, value, known[i].value);
        seen[known[i].op] = true;
    }
    for (int i = 0; i < OP_COUNT; i++)
        cr_assert(seen[i], "%s stands not in the table", op_info[i].text);
}

/* No slope: of truth values, and of an operand that is one. */
Test(ops, flat_operands_have_no_derivative) {
    for (int i = 0; i < OP_COUNT; i++) {
        Op op = (Op)i;
        Setting s = {0};
        setting_init(&s, op);
        for (int k = 0; k < op_info[op].arity; k++)
            if (op_info[op].truth || takes_truth(op, k))
                cr_assert_null(derivative_of(s.g, s.result, k), "%s by operand %d",
                               op_info[op].text, k);
        eval_free(s.eval);
        arena_free(s.arena);
    }
}

/* 1 / a by 1 / a is its square, which is there already; by 1 / b it is a quotient. */
Test(ops, reciprocals_by_reciprocals) {
    Setting s = {0};
    setting_init(&s, OP_MUL);
    const Scalar *one = sc_const(s.g, 1), *a[2];
    for (int i = 0; i < 2; i++)
        a[i] = sc_op(s.g, OP_DIV, one, s.arg[i], NULL);
    cr_assert_eq(derivative_times(s.g, a[0], a[0]), sc_op(s.g, OP_MUL, a[0], a[0], NULL));
    cr_assert_eq(derivative_times(s.g, a[0], a[1]), sc_op(s.g, OP_DIV, a[0], s.arg[1], NULL));
    eval_free(s.eval);
    arena_free(s.arena);
}

static double value_at(const Setting *s, Op op, int sample, int operand, double shift) {
    double v[3] = {0};
    for (int i = 0; i < op_info[op].arity; i++)
        v[i] = s->sample[i][sample];
    v[operand] += shift;
    return op_info[op].value(v[0], v[1], v[2]);
}

static void check_values(Setting *s, Op op) {
    const double *got = values_of(s, s->result);
    double least = INFINITY, most = -INFINITY;
    for (int k = 0; k < SAMPLES; k++) {
        double expected = value_at(s, op, k, 0, 0);
        cr_assert(isfinite(expected), "%s", op_info[op].text);
        cr_assert(got[k] == expected, "%s: %.17g, not %.17g", op_info[op].text, got[k], expected);
        cr_assert(!op_info[op].truth || expected == 0 || expected == 1);
        least = fmin(least, expected), most = fmax(most, expected);
    }
    cr_assert_lt(least, most, "%s is constant over its sample domain", op_info[op].text);
    for (int k = 0; k < SAMPLES; k++)
        cr_assert(eval_magnitude(s->eval, graph_map(s->g, 0, NULL, s->result, NULL,
                                                    (Span){0}))[k] >= fabs(got[k]));
}

/* Central differences by steps h and h / 2; where they disagree a kink is near and the sample is
 * left out. A column that is ZERO must be flat, but for the operator that cuts gradients. */
static void check_slope(Setting *s, Op op, int operand) {
    const Scalar *d = derivative_of(s->g, s->result, operand);
    const double *slope = d ? values_of(s, d) : NULL;
    int checked = 0;
    for (int k = 0; k < SAMPLES; k++) {
        double h = 1e-4 * fmax(0.05, fabs(s->sample[operand][k])), d1, d2, d3;
        d1 = (value_at(s, op, k, operand, h) - value_at(s, op, k, operand, -h)) / (2 * h);
        h /= 2;
        d2 = (value_at(s, op, k, operand, h) - value_at(s, op, k, operand, -h)) / (2 * h);
        d3 = (4 * d2 - d1) / 3; /* Richardson */
        if (fabs(d1 - d2) > 1e-4 * (1 + fabs(d2))) continue;
        checked++;
        double expected = slope ? slope[k] : 0;
        cr_assert(fabs(expected - d3) <= 1e-6 * (1e-2 + fabs(d3)),
                  "%s by operand %d at %g: %.9g, not %.9g", op_info[op].text, operand,
                  s->sample[operand][k], expected, d3);
    }
    cr_assert_gt(checked, SAMPLES / 2, "%s: %d samples", op_info[op].text, checked);
}

ParameterizedTest(int *row, ops, rows) {
    Op op = (Op)*row;
    Setting s = {0};
    setting_init(&s, op);
    check_values(&s, op);
    for (int i = 0; i < op_info[op].arity && !op_info[op].truth; i++)
        if (op == OP_STATED && i == 1) { /* what was stated, whatever the value does */
            const double *slope = values_of(&s, derivative_of(s.g, s.result, i));
            for (int k = 0; k < SAMPLES; k++)
                cr_assert_eq(slope[k], s.sample[2][k]);
        } else if (op == OP_STOP)
            cr_assert_null(derivative_of(s.g, s.result, i));
        else if (!takes_truth(op, i))
            check_slope(&s, op, i);
    eval_free(s.eval);
    arena_free(s.arena);
}
