/* SPDX-License-Identifier: MIT
 * Random index maps: shifts, strides, windows, flips, foldings, floor divisions, remainders,
 * computed positions, values outside, guards.
 * Needs ir. Makes reads and conditions, no nodes. */
#include "make.h"

int64_t any_extent(Make *m) {
    static const int64_t common[] = {1, 2, 3, 2, 3, 4, 5, 6, 7, 8, 15, 16, 17, 31, 33};
    return common[pick(m, LENGTH(common))];
}

double space_size(const Space *space) {
    double size = 1;
    for (int i = 0; i < space->n; i++)
        size *= (double)space->extent[i];
    return size;
}

static const Ix *dim_new(Make *m, Space *space, int64_t extent) {
    space->extent[space->n] = extent;
    return ix_dim(m->g, space->n++);
}

/* Is there room for dimensions that make the space so many times larger? */
static bool room(const Make *m, const Space *space, int64_t factor) {
    return !space->closed && space->n < 6 && space_size(space) * (double)factor <= (double)m->work;
}

static const Ix *dim_like(Make *m, const Space *space, int64_t extent) {
    for (int tries = 0; tries < 4 && space->n; tries++) {
        int d = pick(m, space->n);
        if (space->extent[d] == extent) return ix_dim(m->g, d);
    }
    return NULL;
}

/* A strided window: s i + d p - o over two new dimensions. */
static const Ix *window(Make *m, Space *space, int64_t extent) {
    int64_t stride = 1 + pick(m, 3), dilation = 1 + pick(m, 2), size = 1 + pick(m, 3);
    int64_t span = dilation * (size - 1) + 1, pad = pick(m, 2);
    int64_t places = extent + 2 * pad >= span ? (extent + 2 * pad - span) / stride + 1 : 1;
    const Ix *at = ix_scale(m->g, dim_new(m, space, places), stride);
    at = ix_add(m->g, at, ix_scale(m->g, dim_new(m, space, size), dilation));
    return ix_sub(m->g, at, ix_const(m->g, pad));
}

/* A part of the extent, forwards or backwards, in steps; never outside. */
static const Ix *part(Make *m, Space *space, int64_t extent) {
    int64_t stride = 1 + pick(m, 3), offset = pick(m, extent < 3 ? (int)extent : 3);
    int64_t places = (extent - 1 - offset) / stride + 1;
    const Ix *at = ix_scale(m->g, dim_new(m, space, places), stride);
    at = ix_add(m->g, at, ix_const(m->g, offset));
    return one_in(m, 2) ? ix_sub(m->g, ix_const(m->g, extent - 1), at) : at;
}

/* One coordinate from two dimensions: q i + j. */
static const Ix *split(Make *m, Space *space, int64_t extent) {
    int64_t inner = 2 + pick(m, 3);
    const Ix *at = ix_scale(m->g, dim_new(m, space, (extent + inner - 1) / inner), inner);
    return ix_add(m->g, at, dim_new(m, space, inner));
}

/* Whatever the dimensions that are there give. */
static const Ix *odd_form(Make *m, Space *space, int64_t extent) {
    Graph *g = m->g;
    if (!space->n) return ix_const(g, pick(m, (int)extent));
    const Ix *ix = ix_scale(g, ix_dim(g, pick(m, space->n)), 1 + pick(m, 2) - 2 * one_in(m, 4));
    if (one_in(m, 2)) ix = ix_add(g, ix, ix_dim(g, pick(m, space->n)));
    if (one_in(m, 3)) ix = ix_div(g, ix, 2 + pick(m, 2), space->extent);
    if (one_in(m, 4)) ix = ix_mod(g, ix, 1 + pick(m, (int)extent), space->extent);
    return ix_add(g, ix, ix_const(g, pick(m, 4) - 1));
}

/* A position that is known only when it runs: a class, a rounded value, a number drawn. */
static const Ix *computed(Make *m, Space *space, int64_t extent) {
    const Scalar *s = sc_read_all(m->g, m->pool[1]); /* the class */
    int how = pick(m, 3);
    if (how == 1)
        s = op2(m, OP_MUL, number(m, (double)extent), op1(m, OP_TANH, s));
    else if (how == 2)
        s = op2(m, OP_MUL, number(m, (double)extent + 0.5),
                sc_draw(m->g, DRAW_UNIFORM, NULL, ix_const(m->g, 0), (uint32_t)pick(m, 65536),
                        one_in(m, 3)));
    const Ix *at = ix_value(m->g, s);
    return space->n && one_in(m, 2) ? ix_add(m->g, at, ix_dim(m->g, pick(m, space->n))) : at;
}

static const Ix *coordinate(Make *m, Space *space, int64_t extent) {
    const Ix *like = one_in(m, 2) ? dim_like(m, space, extent) : NULL;
    if (like) return like;
    int how = pick(m, 12);
    if (!room(m, space, extent * 4))
        return how < 10 ? odd_form(m, space, extent) : computed(m, space, extent);
    if (how < 5) return dim_new(m, space, extent);
    if (how < 7) return window(m, space, extent);
    if (how == 7) return part(m, space, extent);
    if (how == 8) return split(m, space, extent);
    return how < 11 ? odd_form(m, space, extent) : computed(m, space, extent);
}

static bool may_leave(const Space *space, const Node *node, const Ix *const *at) {
    for (int i = 0; i < node->rank; i++) {
        int64_t lo, hi;
        if (!ix_range(at[i], space->extent, &lo, &hi) || lo < 0 || hi >= node->extent[i])
            return true;
    }
    return false;
}

/* The value outside: a number, or one more read, of a parameter. */
static const Scalar *outside(Make *m, Space *space) {
    static const double some[] = {0, 0, 0.5, -1};
    if (!one_in(m, 6)) return number(m, some[pick(m, LENGTH(some))]);
    Node *b = m->pool[3];
    const Ix *at = odd_form(m, space, b->extent[0]);
    return sc_read(m->g, b, &at, number(m, 0.25));
}

const Scalar *random_read(Make *m, Space *space, Node *node) {
    const Ix *at[MAX_RANK];
    for (int i = 0; i < node->rank; i++) {
        int64_t next = i + 1 < node->rank ? node->extent[i + 1] : 0;
        if (next && room(m, space, node->extent[i] * next) && one_in(m, 8)) { /* two from one */
            const Ix *e = dim_new(m, space, node->extent[i] * next);
            at[i] = ix_div(m->g, e, next, space->extent);
            at[i + 1] = ix_mod(m->g, e, next, space->extent);
            i++;
        } else {
            at[i] = coordinate(m, space, node->extent[i]);
        }
    }
    bool leaves = may_leave(space, node, at);
    return sc_read(m->g, node, at, leaves || one_in(m, 4) ? outside(m, space) : NULL);
}

/* d <= k, d < e, (d + e) % 2 = 0: parts and parities of the space. */
const Scalar *random_guard(Make *m, const Space *space) {
    static const Op compare[] = {OP_LE, OP_GT, OP_EQ, OP_NE};
    Graph *g = m->g;
    if (!space->n) return op2(m, OP_EQ, sc_read_all(g, m->pool[1]), number(m, pick(m, 5)));
    int d = pick(m, space->n), e = pick(m, space->n);
    const Ix *at = ix_dim(g, d), *other = ix_const(g, space->extent[d] / 2);
    if (one_in(m, 3)) other = ix_dim(g, e);
    if (one_in(m, 3)) at = ix_mod(g, ix_add(g, at, ix_dim(g, e)), 2, space->extent);
    return op2(m, compare[pick(m, LENGTH(compare))], sc_index(g, at), sc_index(g, other));
}

const Scalar *random_draw(Make *m, const Space *space) {
    const Ix *element = node_element(m->g, space->n, space->extent);
    Draw kind = (Draw)pick(m, 3);
    const Scalar *p = kind == DRAW_BERNOULLI ? number(m, 0.3) : NULL;
    return sc_draw(m->g, kind, p, element, (uint32_t)pick(m, 65536), one_in(m, 3));
}

const Scalar *space_place(Make *m, const Space *space) {
    const Scalar *element = sc_index(m->g, node_element(m->g, space->n, space->extent));
    return op2(m, OP_DIV, element, number(m, space_size(space)));
}
