/* SPDX-License-Identifier: MIT
 * The loops of a reduction over a register tile: bounds clipped where a factor is zero outside,
 * the last loop unrolled, one accumulator for each element of the tile.
 * Sums accumulate by fma from +0 in the order of the graph; see execution.md, point 2. */
#include "emit.h"

enum { UNROLLED_FMAS = 160 };

LLVMValueRef reduction_start(Emitter *e, Reduce reduce, bool lanes) {
    double infinity = __builtin_inf();
    double start = reduce == RED_PROD                          ? 1
                   : reduce == RED_MAX || reduce == RED_ARGMAX ? -infinity
                   : reduce == RED_MIN || reduce == RED_ARGMIN ? infinity
                                                               : 0;
    LLVMValueRef value = LLVMConstReal(e->element, start);
    return lanes ? emit_splat(e, value) : value;
}

/* Is `b` better than the best so far? The first of equals stays. */
static LLVMValueRef better(Emitter *e, Reduce reduce, LLVMValueRef a, LLVMValueRef b) {
    bool up = reduce == RED_MAX || reduce == RED_ARGMAX;
    return LLVMBuildFCmp(e->builder, up ? LLVMRealOGT : LLVMRealOLT, b, a, "");
}

LLVMValueRef reduction_join(Emitter *e, Reduce reduce, LLVMValueRef a, LLVMValueRef b) {
    if (reduce == RED_SUM) return LLVMBuildFAdd(e->builder, a, b, "");
    if (reduce == RED_PROD) return LLVMBuildFMul(e->builder, a, b, "");
    return LLVMBuildSelect(e->builder, better(e, reduce, a, b), b, a, "");
}

/* Row-major number of the reduced element, for argmax. */
static LLVMValueRef reduced_element(Emitter *e, const Pos *pos) {
    const Kernel *kernel = e->kernel;
    LLVMValueRef at = emit_i64(e, 0);
    for (int d = kernel->rank; d < kernel->rank + kernel->nred; d++) {
        LLVMValueRef here = LLVMBuildAdd(e->builder, e->dim[d], emit_i64(e, pos->off[d]), "");
        at = LLVMBuildMul(e->builder, at, emit_i64(e, kernel->extent[d]), "");
        at = LLVMBuildAdd(e->builder, at, here, "");
    }
    return LLVMBuildSIToFP(e->builder, at, e->element, "");
}

static LLVMValueRef sum_type_value(Emitter *e, LLVMValueRef value, bool lanes) {
    return lanes && !emit_is_vector(value) ? emit_splat(e, value) : value;
}

static void accumulate(Emitter *e, const Node *node, const Pos *pos, LLVMValueRef sum,
                       LLVMValueRef where, bool lanes) {
    LLVMTypeRef type = lanes ? emit_vector(e->element) : e->element;
    LLVMValueRef old = LLVMBuildLoad2(e->builder, type, sum, "");
    const Scalar *body = node->body;
    if (node->reduce == RED_SUM && body->kind == SC_OP && body->op == OP_MUL) {
        LLVMValueRef a = sum_type_value(e, emit_number(e, body->arg[0], pos), lanes);
        LLVMValueRef b = sum_type_value(e, emit_number(e, body->arg[1], pos), lanes);
        LLVMBuildStore(e->builder, math_emit[OP_FMA](&e->math, a, b, old), sum);
        return;
    }
    LLVMValueRef value = sum_type_value(e, emit_number(e, body, pos), lanes);
    if (node->reduce == RED_ARGMAX || node->reduce == RED_ARGMIN) {
        LLVMValueRef better_here = better(e, node->reduce, old, value);
        LLVMValueRef number = sum_type_value(e, reduced_element(e, pos), lanes);
        LLVMValueRef first = LLVMBuildLoad2(e->builder, type, where, "");
        LLVMBuildStore(e->builder, LLVMBuildSelect(e->builder, better_here, number, first, ""),
                       where);
        LLVMBuildStore(e->builder, LLVMBuildSelect(e->builder, better_here, value, old, ""), sum);
        return;
    }
    LLVMBuildStore(e->builder, reduction_join(e, node->reduce, old, value), sum);
}

static void emit_body(Emitter *e, const Tile *tile, int dim, int offset, LLVMValueRef *sums,
                      LLVMValueRef *where) {
    bool lanes = e->mode != CARRY_NONE;
    for (int r = 0; r < e->kernel->reductions.len; r++)
        for (int p = 0; p < tile->n; p++) {
            Pos pos = tile->pos[p];
            if (dim >= 0) pos.off[dim] = (int16_t)offset;
            accumulate(e, e->kernel->reductions.at[r], &pos, sums[r * tile->n + p],
                       where ? where[r * tile->n + p] : NULL, lanes);
        }
}

/* ---- Clipping: terms in which a factor is read outside, as zero, add nothing. */

typedef struct Factors {
    const Scalar *read[16];
    int n;
} Factors;

static void find_factors(const Scalar *s, Factors *factors) {
    double zero;
    if (s->kind == SC_OP && s->op == OP_MUL) {
        find_factors(s->arg[0], factors);
        find_factors(s->arg[1], factors);
    } else if (s->kind == SC_READ && s->outside && sc_is_const(s->outside, &zero) && zero == 0 &&
               factors->n < LENGTH(factors->read)) {
        factors->read[factors->n++] = s;
    }
}

/* Can coordinate m of the read bound the loop over `dim`, all else in it being known there? */
static bool bounds_dim(const Emitter *e, const Scalar *read, int m, int dim) {
    const Ix *ix = read->at[m];
    int64_t coef = ix_coef(ix, dim);
    if ((coef != 1 && coef != -1) || read_stays_inside(e, read, m)) return false;
    uint32_t later = 0;
    for (int d = dim + 1; d < e->kernel->rank + e->kernel->nred; d++)
        later |= 1u << d;
    if (e->mode == CARRY_DIM) later |= 1u << e->kernel->lane_axis;
    if (ix_dims(ix) & later) return false;
    for (int t = 0; t < ix->n; t++) {
        if (ix->term[t].kind == ATOM_VALUE) return false;
        if (ix->term[t].kind == ATOM_FLOOR && ix_dims(ix->term[t].inner) >> dim & 1) return false;
    }
    return true;
}

typedef struct Bounds {
    LLVMValueRef start, end;
} Bounds;

/* Over all elements of the tile: the union of what each needs. */
static Bounds coordinate_bounds(Emitter *e, const Tile *tile, const Scalar *read, int m, int dim) {
    Graph *graph = e->plan->unit->graph;
    int64_t coef = ix_coef(read->at[m], dim), extent = read->node->extent[m];
    const Ix *rest = ix_sub(graph, read->at[m], ix_scale(graph, ix_dim(graph, dim), coef));
    Bounds all = {NULL, NULL};
    uint64_t seen[MAX_TILE];
    int nseen = 0;
    for (int p = 0; p < tile->n; p++) {
        uint64_t place = pos_hash(&tile->pos[p], ix_dims(rest), false);
        bool known = false;
        for (int i = 0; i < nseen; i++)
            known |= seen[i] == place;
        if (known) continue;
        seen[nseen++] = place;
        LLVMValueRef v = emit_ix(e, rest, &tile->pos[p]), start, end;
        if (coef == 1) {
            start = LLVMBuildNeg(e->builder, v, "");
            end = LLVMBuildSub(e->builder, emit_i64(e, extent), v, "");
        } else {
            start = LLVMBuildSub(e->builder, v, emit_i64(e, extent - 1), "");
            end = LLVMBuildAdd(e->builder, v, emit_i64(e, 1), "");
        }
        all.start = all.start ? int_min(e, all.start, start) : start;
        all.end = all.end ? int_max(e, all.end, end) : end;
    }
    if (nseen == 1 && e->nclipped < LENGTH(e->clipped)) {
        e->clipped[e->nclipped] = read;
        e->clipped_at[e->nclipped++] = m;
    }
    return all;
}

static bool clip(Emitter *e, const Tile *tile, int dim, Bounds *bounds) {
    if (e->kernel->reductions.len != 1 || e->kernel->reductions.at[0]->reduce != RED_SUM)
        return false;
    Factors factors = {.n = 0};
    find_factors(e->kernel->reductions.at[0]->body, &factors);
    bool clipped = false;
    for (int i = 0; i < factors.n; i++)
        for (int m = 0; m < factors.read[i]->node->rank; m++) {
            if (!bounds_dim(e, factors.read[i], m, dim)) continue;
            Bounds more = coordinate_bounds(e, tile, factors.read[i], m, dim);
            bounds->start = int_max(e, bounds->start, more.start);
            bounds->end = int_min(e, bounds->end, more.end);
            clipped = true;
        }
    return clipped;
}

/* How many steps of the last loop are written out. */
static int unroll(const Emitter *e, const Tile *tile, int64_t extent) {
    int each = tile->n * e->kernel->reductions.len;
    if (extent <= 8 && extent * each <= UNROLLED_FMAS) return (int)extent;
    for (int u = 8; u > 1; u /= 2)
        if (extent % u == 0 && u * each <= UNROLLED_FMAS / 2) return u;
    return 1;
}

static void loops(Emitter *e, const Tile *tile, int dim, LLVMValueRef *sums, LLVMValueRef *where) {
    int last = e->kernel->rank + e->kernel->nred - 1;
    if (dim > last) {
        emit_body(e, tile, -1, 0, sums, where);
        return;
    }
    int64_t extent = e->kernel->extent[dim];
    int clipped_before = e->nclipped;
    Bounds bounds = {emit_i64(e, 0), emit_i64(e, extent)};
    bool clipped = clip(e, tile, dim, &bounds);
    int step = dim == last && !clipped ? unroll(e, tile, extent) : 1;
    if (step == extent && !clipped) { /* written out, or a single step */
        e->dim[dim] = emit_i64(e, 0);
        for (int u = 0; u < step && dim == last; u++)
            emit_body(e, tile, dim, u, sums, where);
        if (dim < last) loops(e, tile, dim + 1, sums, where);
    } else {
        Loop loop = loop_begin(e, bounds.start, bounds.end, step);
        e->dim[dim] = loop.index;
        if (dim == last)
            for (int u = 0; u < step; u++)
                emit_body(e, tile, dim, u, sums, where);
        else
            loops(e, tile, dim + 1, sums, where);
        loop_end(e, &loop);
    }
    e->nclipped = clipped_before;
}

void emit_reduction_loops(Emitter *e, const Tile *tile, LLVMValueRef *sums, LLVMValueRef *where) {
    loops(e, tile, e->kernel->rank, sums, where);
    memo_forget(e);
    for (int d = e->kernel->rank; d < e->kernel->rank + e->kernel->nred; d++)
        e->dim[d] = NULL;
}
