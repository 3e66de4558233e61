/* SPDX-License-Identifier: MIT
 * Derivatives of scalar expressions by the columns of ops.def; reverse accumulation over a body.
 * Needs ir.
 * Does not solve index maps (solve.c) or make nodes (gradient.c). */
#include "derivative.h"
#include "frozen.h"

static const Scalar *op1(Graph *g, Op op, const Scalar *a) {
    return sc_op(g, op, a, NULL, NULL);
}

static const Scalar *negate(Graph *g, const Scalar *a) {
    return is_op(a, OP_NEG) ? a->arg[0] : op1(g, OP_NEG, a);
}

/* a / b; (1 / b) / b is the square of the reciprocal, which is there already. */
static const Scalar *divide(Graph *g, const Scalar *a, const Scalar *b) {
    if (is_op(a, OP_DIV) && a->arg[1] == b && is_value(a->arg[0], 1)) return op2(g, OP_MUL, a, a);
    return op2(g, OP_DIV, a, b);
}

/* The builders that the derivative columns of ops.def are written with. */
#define K(x) sc_const(g, (x))
#define ZERO NULL
#define NONE NULL
#define neg(x) negate(g, (x))
#define add(x, y) op2(g, OP_ADD, (x), (y))
#define sub(x, y) op2(g, OP_SUB, (x), (y))
#define mul(x, y) op2(g, OP_MUL, (x), (y))
#define div(x, y) divide(g, (x), (y))
#define pow(x, y) op2(g, OP_POW, (x), (y))
#define le(x, y) op2(g, OP_LE, (x), (y))
#define ge(x, y) op2(g, OP_GE, (x), (y))
#define select(x, y, z) sc_op(g, OP_SELECT, (x), (y), (z))
#define sign(x) op1(g, OP_SIGN, (x))
#define floor(x) op1(g, OP_FLOOR, (x))
#define exp(x) op1(g, OP_EXP, (x))
#define log(x) op1(g, OP_LOG, (x))
#define sin(x) op1(g, OP_SIN, (x))
#define cos(x) op1(g, OP_COS, (x))

const Scalar *derivative_of(Graph *g, const Scalar *s, int k) {
    const Scalar *a = s->arg[0], *b = s->arg[1], *c = s->arg[2], *r = s;
    (void)a, (void)b, (void)c, (void)r;
    switch (s->op) {
#define OP(id, text, arity, result, lo, hi, value, d0, d1, d2, emit)                               \
    case OP_##id:                                                                                  \
        return k == 0 ? (d0) : k == 1 ? (d1) : (d2);
#include "ops.def"
#undef OP
    case OP_COUNT:
        break;
    }
    bug("derivative of operator %d", (int)s->op);
}

/* True where s holds a branch that is 0 because another was taken: a factor must stay inside. */
static bool masks(const Scalar *s) {
    if (is_op(s, OP_SELECT))
        return is_value(s->arg[1], 0) || is_value(s->arg[2], 0) || masks(s->arg[1]) ||
               masks(s->arg[2]);
    return (is_op(s, OP_ADD) && (masks(s->arg[0]) || masks(s->arg[1]))) ||
           (is_op(s, OP_NEG) && masks(s->arg[0]));
}

bool derivative_tame(const Scalar *s, uint32_t dims) {
    if (s->kind != SC_OP) return true;
    switch (s->op) {
    case OP_DIV:
    case OP_EXP:
    case OP_LOG:
    case OP_POW:
    case OP_MOD:
    case OP_SQRT:
        if (s->dims & dims) return false;
        break;
    default:
        break;
    }
    for (int i = 0; i < op_info[s->op].arity; i++)
        if (!derivative_tame(s->arg[i], dims)) return false;
    return true;
}

const Scalar *derivative_times(Graph *g, const Scalar *p, const Scalar *d) {
    if (is_value(d, 0) || is_value(p, 0)) return K(0);
    if (is_value(d, 1)) return p;
    if (is_value(p, 1)) return d;
    if (is_value(d, -1)) return neg(p);
    if (is_op(d, OP_NEG)) return neg(derivative_times(g, p, d->arg[0]));
    if (is_op(d, OP_SELECT))
        return select(d->arg[0], derivative_times(g, p, d->arg[1]),
                      derivative_times(g, p, d->arg[2]));
    if (is_op(p, OP_NEG)) return neg(derivative_times(g, p->arg[0], d));
    if (is_op(p, OP_SELECT) && masks(p))
        return select(p->arg[0], derivative_times(g, p->arg[1], d),
                      derivative_times(g, p->arg[2], d));
    if (is_op(p, OP_ADD) && masks(p) && !derivative_tame(d, ~0u))
        return derivative_plus(g, derivative_times(g, p->arg[0], d),
                               derivative_times(g, p->arg[1], d));
    if (is_op(d, OP_DIV) && is_value(d->arg[0], 1)) return div(p, d->arg[1]);
    return mul(p, d);
}

/* 2 a, on the first factor of a product, which is more likely the same for all examples. */
static const Scalar *twice(Graph *g, const Scalar *a) {
    if (is_op(a, OP_NEG)) return neg(twice(g, a->arg[0]));
    if (is_op(a, OP_SELECT)) return select(a->arg[0], twice(g, a->arg[1]), twice(g, a->arg[2]));
    return is_op(a, OP_MUL) ? mul(twice(g, a->arg[0]), a->arg[1]) : mul(K(2), a);
}

const Scalar *derivative_plus(Graph *g, const Scalar *a, const Scalar *b) {
    if (is_value(a, 0)) return b;
    if (is_value(b, 0)) return a;
    if (a == b) return twice(g, a);
    if (is_op(a, OP_SELECT) && is_op(b, OP_SELECT) && a->arg[0] == b->arg[0])
        return select(a->arg[0], derivative_plus(g, a->arg[1], b->arg[1]),
                      derivative_plus(g, a->arg[2], b->arg[2]));
    return add(a, b);
}

/* ---- Reverse accumulation */
typedef struct Walk {
    Graph *g;
    Map adjoint;               /* Scalar -> Scalar; every visited scalar is present */
    VEC(const Scalar *) order; /* operands first */
} Walk;

static void walk(Walk *w, const Scalar *s) {
    if (!s->reads || map_has(&w->adjoint, s)) return;
    map_put(&w->adjoint, s, NULL);
    if (s->kind == SC_OP && s->op != OP_STOP)
        for (int i = 0; i < op_info[s->op].arity; i++)
            walk(w, s->arg[i]);
    if (s->kind == SC_READ && s->outside) walk(w, s->outside);
    VEC_PUSH(w->g->arena, w->order, s);
}

static void give(Walk *w, const Scalar *to, const Scalar *amount) {
    if (!to->reads || !amount || is_value(amount, 0)) return;
    const Scalar *old = map_get(&w->adjoint, to);
    map_put(&w->adjoint, to, (void *)(old ? derivative_plus(w->g, old, amount) : amount));
}

/* The outside value of a read gets the adjoint wherever a coordinate leaves its extent. */
static void give_outside(Walk *w, const Scalar *read, const Scalar *adjoint) {
    Graph *g = w->g;
    const Scalar *inside = NULL;
    for (int i = 0; i < read->node->rank; i++) {
        const Scalar *at = sc_index(g, read->at[i]);
        const Scalar *here =
            op2(g, OP_AND, ge(at, K(0)), op2(g, OP_LT, at, K((double)read->node->extent[i])));
        inside = inside ? op2(g, OP_AND, inside, here) : here;
    }
    if (inside) give(w, read->outside, derivative_times(g, adjoint, select(inside, K(0), K(1))));
}

AdjointList derivative_reads(Graph *g, const Scalar *body, const Scalar *seed) {
    Walk w = {.g = g};
    AdjointList list = {0};
    map_init(&w.adjoint, g->arena);
    walk(&w, body);
    give(&w, body, seed);
    for (int i = w.order.len - 1; i >= 0; i--) {
        const Scalar *s = w.order.at[i], *adjoint = map_get(&w.adjoint, s);
        if (!adjoint) continue;
        if (s->kind == SC_READ && s->outside && s->outside->reads) give_outside(&w, s, adjoint);
        if (s->kind != SC_OP || s->op == OP_STOP) continue;
        for (int k = 0; k < op_info[s->op].arity; k++)
            if (s->arg[k]->reads) {
                const Scalar *d = derivative_of(g, s, k);
                if (d) give(&w, s->arg[k], derivative_times(g, adjoint, d));
            }
    }
    for (int i = 0; i < w.order.len; i++) {
        const Scalar *s = w.order.at[i], *adjoint = map_get(&w.adjoint, s);
        if (s->kind == SC_READ && adjoint) VEC_PUSH(g->arena, list, (Adjoint){s, adjoint});
    }
    return list;
}
