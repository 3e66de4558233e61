/* SPDX-License-Identifier: MIT
 * Inverts index maps: a coordinate at a time, eliminates the dimension that leaves least to sum
 * over. Needs ir. Does not prove anything beyond ranges: what it cannot solve becomes a guard of
 * equality. */
#include "solve.h"
#include <stdlib.h>
#include <string.h>

/* While solving, dimensions keep the reader's numbers; a coordinate of what is read that is exactly
 * one of them shares its number, any other gets a new one behind them. A dimension that is solved
 * by strip-mining leaves its number to the strips. */
typedef struct Solve {
    Graph *g;
    const Scalar *read;
    int ndims, used;           /* of the reader; numbers in use */
    int64_t extent[MAX_DIMS];  /* by number */
    bool free[MAX_DIMS];       /* a dimension that is to be summed over, as things stand */
    int64_t strips[MAX_DIMS];  /* a number that strips took over: how many; else 0 */
    const Ix *form[MAX_DIMS];  /* reader's dimension -> form; NULL: itself */
    int place[MAX_RANK];       /* coordinate -> number of its dimension of p */
    const Ix *left[MAX_RANK];  /* coordinate's equation, over what is not yet solved: */
    const Ix *right[MAX_RANK]; /* left == right; right stands on p alone, but after peeling */
    bool solved[MAX_RANK];
    struct {
        const Ix *left, *right; /* left == right; right NULL: 0 <= left < bound */
        int64_t bound;
    } guard[3 * MAX_RANK];
    int nguards;
} Solve;

static int64_t ceil_div(int64_t a, int64_t b) {
    return (a + b - 1) / b;
}
static int64_t gcd(int64_t a, int64_t b) {
    a = llabs(a), b = llabs(b);
    while (b) {
        int64_t rest = a % b;
        a = b, b = rest;
    }
    return a;
}

static void add_guard(Solve *s, const Ix *left, const Ix *right, int64_t bound) {
    if (s->nguards == LENGTH(s->guard)) bug("too many guards on one read");
    s->guard[s->nguards].left = left;
    s->guard[s->nguards].right = right;
    s->guard[s->nguards++].bound = bound;
}

/* Replaces the reader's dimensions d and e by their forms everywhere, at the same time: a strip has
 * the number of the dimension that it is a part of. */
static void assign_two(Solve *s, int d, const Ix *to_d, int e, const Ix *to_e) {
    const Ix *map[MAX_DIMS] = {0};
    map[d] = to_d, map[e] = to_e;
    for (int i = 0; i < s->ndims; i++)
        if (s->form[i]) s->form[i] = ix_subst(s->g, s->form[i], map, MAX_DIMS, s->extent);
    for (int c = 0; c < s->read->node->rank; c++) {
        s->left[c] = ix_subst(s->g, s->left[c], map, MAX_DIMS, s->extent);
        s->right[c] = ix_subst(s->g, s->right[c], map, MAX_DIMS, s->extent);
    }
    for (int i = 0; i < s->nguards; i++) {
        s->guard[i].left = ix_subst(s->g, s->guard[i].left, map, MAX_DIMS, s->extent);
        if (s->guard[i].right)
            s->guard[i].right = ix_subst(s->g, s->guard[i].right, map, MAX_DIMS, s->extent);
    }
    s->form[d] = s->form[d] ? s->form[d] : to_d;
    s->form[e] = s->form[e] ? s->form[e] : to_e;
    if (s->strips[d]) /* dimensions of the reader are guarded in the end, strips here */
        add_guard(s, to_d, NULL, s->strips[d]);
    if (e != d && s->strips[e]) add_guard(s, to_e, NULL, s->strips[e]);
}

static void assign(Solve *s, int d, const Ix *form) {
    assign_two(s, d, form, d, form);
}

/* ---- Taking a form apart */
static uint32_t atom_dims(const IxTerm *t) {
    return t->kind == ATOM_DIM ? 0 : t->kind == ATOM_FLOOR ? ix_dims(t->inner) : t->value->dims;
}

static uint32_t bit(int d) {
    return (uint32_t)1 << d;
}

/* Free dimensions that stand in form only as themselves; *coef by dimension. */
static uint32_t clean_dims(const Solve *s, const Ix *form, int64_t *coef) {
    uint32_t clean = 0, hidden = 0;
    for (int i = 0; i < form->n; i++) {
        const IxTerm *t = &form->term[i];
        hidden |= atom_dims(t);
        if (t->kind == ATOM_DIM && s->free[t->dim]) {
            clean |= bit(t->dim);
            coef[t->dim] = t->coef;
        }
    }
    return clean & ~hidden;
}

static const Ix *term_ix(Graph *g, int d, int64_t coef) {
    return ix_scale(g, ix_dim(g, d), coef);
}

/* ---- Moves on  sum coef d + rest = p */
typedef enum MoveKind { MOVE_NONE, MOVE_UNIT, MOVE_STRIP, MOVE_RESIDUE } MoveKind;
typedef struct Move {
    MoveKind kind;
    int i, q;
    double cost; /* positions left to sum over */
} Move;

static Move best_move(const Solve *s, uint32_t clean, const int64_t *coef) {
    Move best = {.kind = MOVE_NONE};
    double total = 1;
    for (int d = 0; d < s->ndims; d++)
        total *= clean & bit(d) ? (double)s->extent[d] : 1;
    for (MoveKind kind = MOVE_UNIT; kind <= MOVE_RESIDUE; kind++)
        for (int i = 0; i < s->ndims; i++)
            for (int q = 0; q < s->ndims && (clean & bit(i)); q++) {
                bool pair = kind == MOVE_STRIP;
                if (pair ? q == i || !(clean & bit(q)) : q > 0) continue;
                if (kind == MOVE_UNIT && llabs(coef[i]) != 1) continue;
                double cost = total / (double)s->extent[i];
                if (pair) {
                    int64_t period = llabs(coef[i]) / gcd(coef[i], coef[q]);
                    cost = cost / (double)s->extent[q] * (double)ceil_div(s->extent[q], period);
                }
                if (best.kind == MOVE_NONE || cost < best.cost) best = (Move){kind, i, q, cost};
            }
    return best;
}

/* u = b q (mod s) with b prime to s: the inverse of b. */
static int64_t inverse_mod(int64_t b, int64_t s) {
    int64_t x = 0;
    while (((b * x - 1) % s + s) % s)
        x++;
    return x;
}

/* Demands that g divides u; returns u / g. */
static const Ix *divide_exactly(Solve *s, const Ix *u, int64_t g) {
    if (g == 1) return u;
    add_guard(s, ix_mod(s->g, u, g, s->extent), ix_const(s->g, 0), 0);
    return ix_div(s->g, u, g, s->extent);
}

/* a i + b q = u: q runs over the residues that make u - b q a multiple of a. */
static void strip_mine(Solve *s, int i, int64_t a, int q, int64_t b, const Ix *u) {
    Graph *g = s->g;
    int64_t common = gcd(a, b);
    u = divide_exactly(s, u, common);
    a /= common, b /= common;
    int64_t period = llabs(a);
    const Ix *residue = ix_mod(g, ix_scale(g, u, inverse_mod(b, period)), period, s->extent);
    s->extent[q] = ceil_div(s->extent[q], period);
    const Ix *strip = s->extent[q] > 1 ? term_ix(g, q, period) : ix_const(g, 0);
    s->free[q] = s->extent[q] > 1;
    const Ix *to_q = ix_add(g, residue, strip);
    const Ix *to_i = ix_div(g, ix_sub(g, u, ix_scale(g, to_q, b)), period, s->extent);
    s->free[i] = false;
    assign_two(s, i, a < 0 ? ix_scale(g, to_i, -1) : to_i, q, to_q);
    s->strips[q] = s->extent[q];
}

static void make_move(Solve *s, int c, const int64_t *coef, Move move) {
    Graph *g = s->g;
    int64_t a = coef[move.i], b = move.kind == MOVE_STRIP ? coef[move.q] : 0;
    const Ix *rest = ix_sub(g, s->left[c], term_ix(g, move.i, a));
    if (b) rest = ix_sub(g, rest, term_ix(g, move.q, b));
    const Ix *u = ix_sub(g, s->right[c], rest);
    if (move.kind == MOVE_STRIP) {
        strip_mine(s, move.i, a, move.q, b, u);
        return;
    }
    u = divide_exactly(s, a < 0 ? ix_scale(g, u, -1) : u, llabs(a));
    s->free[move.i] = false;
    assign(s, move.i, u);
}

/* Mixed radix, as in 12 a + 4 b + c: where all other coefficients share a factor that is no less
 * than the extent of q, the residue is q, and a shorter equation is left. */
static bool peel(Solve *s, int c, uint32_t clean, const int64_t *coef) {
    Graph *g = s->g;
    if (__builtin_popcount(clean) < 3) return false;
    for (int q = 0; q < s->ndims; q++) {
        int64_t factor = 0;
        for (int d = 0; d < s->ndims; d++)
            factor = (clean & bit(d)) && d != q ? gcd(factor, coef[d]) : factor;
        if (!(clean & bit(q)) || factor < s->extent[q] || gcd(factor, coef[q]) != 1) continue;
        const Ix *others = ix_const(g, 0);
        for (int d = 0; d < s->ndims; d++)
            if ((clean & bit(d)) && d != q) others = ix_add(g, others, term_ix(g, d, coef[d]));
        const Ix *rest = ix_sub(g, ix_sub(g, s->left[c], others), term_ix(g, q, coef[q]));
        const Ix *u = ix_sub(g, s->right[c], rest);
        const Ix *to_q = ix_mod(g, ix_scale(g, u, inverse_mod(coef[q], factor)), factor, s->extent);
        u = ix_sub(g, u, ix_scale(g, to_q, coef[q]));
        s->left[c] = ix_div(g, others, factor, s->extent);
        s->right[c] = ix_div(g, u, factor, s->extent);
        s->free[q] = false;
        assign(s, q, to_q);
        return true;
    }
    return false;
}

/* ---- Floor forms */
/* A free dimension with coefficient 1 or -1 in inner that stands nowhere else in it; -1: none. */
static int unit_dim(const Solve *s, const Ix *inner, uint32_t forbidden, int64_t *sign) {
    int64_t coef[MAX_DIMS] = {0};
    uint32_t clean = clean_dims(s, inner, coef) & ~forbidden;
    for (int d = 0; d < s->ndims; d++)
        if ((clean & bit(d)) && llabs(coef[d]) == 1) {
            *sign = coef[d];
            return d;
        }
    return -1;
}

/* inner = value + strips: solves d; d's number goes to the strips. */
static void assign_inner(Solve *s, int d, int64_t sign, const Ix *inner, const Ix *value,
                         int64_t strips, int64_t step) {
    Graph *g = s->g;
    const Ix *rest = ix_sub(g, inner, term_ix(g, d, sign));
    s->extent[d] = strips;
    s->free[d] = strips > 1;
    if (strips > 1) value = ix_add(g, value, term_ix(g, d, step));
    value = ix_sub(g, value, rest);
    assign(s, d, sign < 0 ? ix_scale(g, value, -1) : value);
    s->strips[d] = strips;
}

/* m floor(inner / by) + rest = p with m = +-1: inner = by m (p - rest) + strip, by strips. */
static bool solve_floor(Solve *s, int c) {
    Graph *g = s->g;
    const Ix *form = s->left[c];
    for (int i = 0; i < form->n; i++) {
        const IxTerm *t = &form->term[i];
        if (t->kind != ATOM_FLOOR || llabs(t->coef) != 1) continue;
        const Ix *atom = ix_div(g, t->inner, t->by, NULL);
        const Ix *rest = ix_sub(g, form, ix_scale(g, atom, t->coef));
        int64_t sign;
        int d = unit_dim(s, t->inner, ix_dims(rest), &sign);
        if (d < 0 || t->by > s->extent[d]) continue;
        const Ix *value = ix_scale(g, ix_sub(g, s->right[c], rest), t->coef * t->by);
        assign_inner(s, d, sign, t->inner, value, t->by, 1);
        return true;
    }
    return false;
}

/* m (inner mod by) + rest = p with m = +-1: inner = m (p - rest) + by strip. */
static bool solve_mod(Solve *s, int c) {
    Graph *g = s->g;
    const Ix *form = s->left[c];
    for (int i = 0; i < form->n; i++) {
        const IxTerm *t = &form->term[i];
        if (t->kind != ATOM_FLOOR || llabs(t->coef) != t->by) continue;
        int64_t m = -t->coef / t->by, sign, lo, hi;
        const Ix *mod = ix_mod(g, t->inner, t->by, NULL);
        const Ix *rest = ix_sub(g, form, ix_scale(g, mod, m));
        int d = unit_dim(s, t->inner, ix_dims(rest), &sign);
        if (d < 0 || !ix_range(t->inner, s->extent, &lo, &hi)) continue;
        const Ix *value = ix_scale(g, ix_sub(g, s->right[c], rest), m);
        add_guard(s, value, NULL, t->by);
        int64_t first = lo >= 0 ? lo / t->by : -ceil_div(-lo, t->by);
        int64_t last = hi >= 0 ? hi / t->by : -ceil_div(-hi, t->by);
        assign_inner(s, d, sign, t->inner, ix_add(g, value, ix_const(g, first * t->by)),
                     last - first + 1, t->by);
        return true;
    }
    return false;
}

/* ---- The rounds */
static bool solve_coordinate(Solve *s, int c, bool easy) {
    int64_t coef[MAX_DIMS] = {0};
    uint32_t clean = clean_dims(s, s->left[c], coef);
    Move move = best_move(s, clean, coef);
    if (easy && (move.kind != MOVE_UNIT || (clean & (clean - 1)))) return false;
    if (peel(s, c, clean, coef)) return true;
    if (move.kind != MOVE_NONE)
        make_move(s, c, coef, move);
    else if (!solve_mod(s, c) && !solve_floor(s, c))
        return false;
    s->solved[c] = true;
    return true;
}

static bool solve_one(Solve *s) {
    for (int easy = 1; easy >= 0; easy--)
        for (int c = 0; c < s->read->node->rank; c++)
            if (!s->solved[c] && solve_coordinate(s, c, easy)) return true;
    return false;
}

static void begin(Solve *s, int ndims, const int64_t *extents) {
    const Node *x = s->read->node;
    int dim;
    s->ndims = s->used = ndims;
    memcpy(s->extent, extents, sizeof *extents * (size_t)ndims);
    for (int d = 0; d < ndims; d++)
        s->free[d] = true;
    for (int c = 0; c < x->rank; c++) { /* a coordinate that is a dimension: they share a number */
        if (!ix_is_dim(s->read->at[c], &dim) || !s->free[dim]) continue;
        s->free[dim] = false, s->solved[c] = true;
        s->place[c] = dim, s->extent[dim] = x->extent[c];
    }
    for (int c = 0; c < x->rank; c++) {
        s->left[c] = s->read->at[c];
        if (s->solved[c]) continue;
        if (s->used == MAX_DIMS) bug("gradient of a read needs more than %d dimensions", MAX_DIMS);
        s->place[c] = s->used, s->extent[s->used++] = x->extent[c];
    }
    for (int c = 0; c < x->rank; c++)
        s->right[c] = ix_dim(s->g, s->place[c]);
    for (int d = 0; d < ndims; d++)
        if (s->free[d] && s->extent[d] == 1) {
            s->free[d] = false;
            assign(s, d, ix_const(s->g, 0));
        }
}

/* An index form as a number; a computed position is rounded down. */
static const Scalar *number_of(Graph *g, const Ix *ix) {
    const Scalar *sum = NULL;
    const Ix *plain = ix;
    for (int i = 0; i < ix->n; i++) {
        const IxTerm *t = &ix->term[i];
        if (t->kind != ATOM_VALUE) continue;
        bool whole = t->value->kind == SC_READ && t->value->node->classes > 0;
        const Scalar *v = whole ? t->value : sc_op(g, OP_FLOOR, t->value, NULL, NULL);
        v = sc_op(g, OP_MUL, sc_const(g, (double)t->coef), v, NULL);
        sum = sum ? sc_op(g, OP_ADD, sum, v, NULL) : v;
        plain = ix_sub(g, plain, ix_scale(g, ix_value(g, t->value), t->coef));
    }
    const Scalar *rest = sc_index(g, plain);
    return sum ? sc_op(g, OP_ADD, sum, rest, NULL) : rest;
}

static const Scalar *range_condition(Graph *g, const Ix *ix, int64_t bound,
                                     const int64_t *extents) {
    int64_t lo, hi;
    bool known = ix_range(ix, extents, &lo, &hi);
    const Scalar *number = number_of(g, ix), *condition = NULL;
    if (!known || lo < 0) condition = sc_op(g, OP_GE, number, sc_const(g, 0), NULL);
    if (!known || hi >= bound) {
        const Scalar *below = sc_op(g, OP_LT, number, sc_const(g, (double)bound), NULL);
        condition = condition ? sc_op(g, OP_AND, condition, below, NULL) : below;
    }
    return condition;
}

/* Renumbers: p first, then what is still free, in the reader's order. */
static Solution finish(Solve *s, const int64_t *extents) {
    Graph *g = s->g;
    Solution out = {0};
    const Ix *map[MAX_DIMS] = {0};
    int rank = s->read->node->rank;
    for (int c = 0; c < rank; c++) {
        map[s->place[c]] = ix_dim(g, c);
        out.extent[c] = s->read->node->extent[c];
    }
    for (int d = 0; d < s->ndims; d++)
        if (s->free[d]) {
            if (rank + out.nred == MAX_DIMS)
                bug("gradient of a read sums over more than %d dimensions", MAX_DIMS);
            map[d] = ix_dim(g, rank + out.nred);
            out.extent[rank + out.nred++] = s->extent[d];
        }
    for (int d = 0; d < s->ndims; d++) {
        const Ix *form = s->form[d] ? s->form[d] : ix_dim(g, d);
        out.dim[d] = ix_subst(g, form, map, MAX_DIMS, out.extent);
        const Scalar *condition = range_condition(g, out.dim[d], extents[d], out.extent);
        if (condition) VEC_PUSH(g->arena, out.guards, (Guard){d, condition});
    }
    for (int i = 0; i < s->nguards; i++) {
        const Ix *left = ix_subst(g, s->guard[i].left, map, MAX_DIMS, out.extent), *right = NULL;
        if (s->guard[i].right) right = ix_subst(g, s->guard[i].right, map, MAX_DIMS, out.extent);
        const Scalar *condition =
            right ? sc_op(g, OP_EQ, number_of(g, left), number_of(g, right), NULL)
                  : range_condition(g, left, s->guard[i].bound, out.extent);
        int64_t lo, hi;
        if (right && ix_range(ix_sub(g, left, right), out.extent, &lo, &hi) && !lo && !hi)
            condition = NULL;
        if (condition) VEC_PUSH(g->arena, out.guards, (Guard){-1, condition});
    }
    return out;
}

Solution solve_read(Graph *g, const Scalar *read, int ndims, const int64_t *extents) {
    Solve s = {.g = g, .read = read};
    begin(&s, ndims, extents);
    while (solve_one(&s))
        ;
    for (int c = 0; c < read->node->rank; c++)
        if (!s.solved[c]) add_guard(&s, s.right[c], s.left[c], 0);
    return finish(&s, extents);
}
