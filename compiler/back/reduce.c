/* SPDX-License-Identifier: MIT
 * The loops of a reduction over a register tile: bounds clipped where a factor is zero outside,
 * the last loop unrolled, one accumulator for each element of the tile.
 * Sums accumulate by fma from +0 in the order of the graph; see execution.md, point 2. */
#include "emit.h"

enum {
    UNROLLED_FMAS = 160,
    WRITTEN_BORDER = 2, /* steps */
    STRAIGHT_TERMS = 12 /* of a sum without any loop: more, and LLVM would move their loads out of
                           the loops around it, into registers that there are not */
};

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
    const Scalar *body = emit_body_of(e, node);
    bool fused = node->body->kind == SC_OP && node->body->op == OP_MUL; /* as it was frozen */
    if (fused && node->reduce == RED_SUM && body->kind == SC_OP && body->op == OP_MUL) {
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

/* What the loops of a reduction work on. */
typedef struct Reducing {
    const Tile *tile;
    LLVMValueRef *sums, *where;
    int16_t step[MAX_DIMS]; /* reduced dimensions that are written out: how far from e->dim */
} Reducing;

/* Element p of the tile, at the steps that are written out now. */
static Pos reduced_pos(const Emitter *e, const Reducing *reducing, int p) {
    Pos pos = reducing->tile->pos[p];
    for (int d = e->kernel->rank; d < e->kernel->rank + e->kernel->nred; d++)
        pos.off[d] = reducing->step[d];
    return pos;
}

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

/* Is the term at pos known to have a factor that is read outside, as zero? */
static bool adds_nothing(Emitter *e, const Node *node, const Pos *pos) {
    Factors factors = {.n = 0};
    if (node->reduce == RED_SUM) find_factors(emit_body_of(e, node), &factors);
    for (int i = 0; i < factors.n; i++)
        if (read_is_outside(e, factors.read[i], pos)) return true;
    return false;
}

static void emit_body(Emitter *e, const Reducing *reducing) {
    const Kernel *kernel = e->kernel;
    const Tile *tile = reducing->tile;
    bool lanes = e->mode != CARRY_NONE;
    for (int r = 0; r < kernel->reductions.len; r++)
        for (int p = 0; p < tile->n; p++) {
            Pos pos = reduced_pos(e, reducing, p);
            if (adds_nothing(e, kernel->reductions.at[r], &pos)) continue;
            accumulate(e, kernel->reductions.at[r], &pos, reducing->sums[r * tile->n + p],
                       reducing->where ? reducing->where[r * tile->n + p] : NULL, lanes);
        }
    if (!kernel->makes_leaves) return;
    Tile here = {.n = tile->n};
    for (int p = 0; p < tile->n; p++)
        here.pos[p] = reduced_pos(e, reducing, p);
    ahead_of_walk(e, &here);
}

/* ---- Clipping: terms in which a factor is read outside, as zero, add nothing. */

/* Can coordinate m of the read bound the loop over `dim`, all else in it being known there? */
static bool bounds_dim(const Emitter *e, const Scalar *read, int m, int dim) {
    const Ix *ix = read->at[m];
    int64_t coef = ix_coef(ix, dim);
    if ((coef != 1 && coef != -1 && ix->n != 1) || !coef || read_is_inside(e, read, m, NULL)) return false;
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

/* Where the loop over a dimension must run, and where in it no guard is needed. */
typedef struct Bounds {
    LLVMValueRef start, end, free_start, free_end;
    bool clipped,
        peeled; /* the bounds are not the extent; the free part is smaller than the rest */
} Bounds;

static void note_clipped(Emitter *e, const Scalar *read, int m) {
    if (e->nclipped == LENGTH(e->clipped)) return;
    e->clipped[e->nclipped] = read;
    e->clipped_at[e->nclipped++] = m;
}

/* Over all elements of the tile: the union of what each needs, and what all need. */
static void coordinate_bounds(Emitter *e, const Reducing *reducing, const Scalar *read, int m,
                              int dim, Bounds *bounds) {
    Graph *graph = e->plan->unit->graph;
    int64_t coef = ix_coef(read->at[m], dim), extent = read->node->extent[m];
    if (read->at[m]->n == 1) { /* known now */
        int64_t first = 0, last = e->kernel->extent[dim] - 1, c = read->at[m]->c;
        while (first <= last && (c + coef * first < 0 || c + coef * first >= extent))
            first++;
        while (last >= first && (c + coef * last < 0 || c + coef * last >= extent))
            last--;
        LLVMValueRef start = emit_i64(e, first), end = emit_i64(e, last + 1);
        bounds->start = int_max(e, bounds->start, start);
        bounds->end = int_min(e, bounds->end, end);
        bounds->free_start = int_max(e, bounds->free_start, start);
        bounds->free_end = int_min(e, bounds->free_end, end);
        bounds->clipped = true;
        return;
    }
    const Ix *rest = ix_sub(graph, read->at[m], ix_scale(graph, ix_dim(graph, dim), coef));
    LLVMValueRef least = NULL, most = NULL;
    uint64_t seen[MAX_TILE];
    int nseen = 0;
    for (int p = 0; p < reducing->tile->n; p++) {
        Pos pos = reduced_pos(e, reducing, p);
        uint64_t place = pos_hash(&pos, ix_dims(rest), false);
        bool known = false;
        for (int i = 0; i < nseen; i++)
            known |= seen[i] == place;
        if (known) continue;
        seen[nseen++] = place;
        LLVMValueRef v = emit_ix(e, rest, &pos);
        least = least ? int_min(e, least, v) : v;
        most = most ? int_max(e, most, v) : v;
    }
    LLVMValueRef end = emit_i64(e, extent), before = emit_i64(e, extent - 1), one = emit_i64(e, 1);
    LLVMValueRef start_all, start_any, end_all, end_any;
    if (coef == 1) {
        start_any = LLVMBuildNeg(e->builder, most, "");
        start_all = LLVMBuildNeg(e->builder, least, "");
        end_any = LLVMBuildSub(e->builder, end, least, "");
        end_all = LLVMBuildSub(e->builder, end, most, "");
    } else {
        start_any = LLVMBuildSub(e->builder, least, before, "");
        start_all = LLVMBuildSub(e->builder, most, before, "");
        end_any = LLVMBuildAdd(e->builder, most, one, "");
        end_all = LLVMBuildAdd(e->builder, least, one, "");
    }
    bounds->start = int_max(e, bounds->start, start_any);
    bounds->end = int_min(e, bounds->end, end_any);
    bounds->free_start = int_max(e, bounds->free_start, start_all);
    bounds->free_end = int_min(e, bounds->free_end, end_all);
    bounds->clipped = true;
    bounds->peeled |= nseen > 1;
}

/* `mark`: the coordinates that are inside where the loop is free need no guard from here on. */
static Bounds clip(Emitter *e, const Reducing *reducing, int dim, bool mark) {
    LLVMValueRef zero = emit_i64(e, 0), extent = emit_i64(e, e->kernel->extent[dim]);
    Bounds bounds = {zero, extent, zero, extent, false, false};
    if (e->kernel->reductions.len != 1 || e->kernel->reductions.at[0]->reduce != RED_SUM)
        return bounds;
    Factors factors = {.n = 0};
    find_factors(emit_body_of(e, e->kernel->reductions.at[0]), &factors);
    for (int i = 0; i < factors.n; i++)
        for (int m = 0; m < factors.read[i]->node->rank; m++) {
            if (!bounds_dim(e, factors.read[i], m, dim)) continue;
            coordinate_bounds(e, reducing, factors.read[i], m, dim, &bounds);
            if (mark) note_clipped(e, factors.read[i], m);
        }
    return bounds;
}

typedef struct Overlap {
    const Kernel *kernel;
    int dim;
    bool found;
} Overlap;

static void find_overlap(const Scalar *read, void *context) {
    Overlap *overlap = context;
    const Kernel *kernel = overlap->kernel;
    for (int m = 0; m < read->node->rank; m++) {
        uint32_t dims = ix_dims(read->at[m]);
        for (int d = 0; d < kernel->rank && dims >> overlap->dim & 1; d++)
            overlap->found |= dims >> d & 1 && kernel->tile[plan_axis(kernel, d)] > 1;
    }
}

enum { BUSY_TILE = 4 };

/* Would steps of the loop find what elements of the tile found before? LLVM would then keep all of
 * it in registers that a busy tile does not have. */
static bool overlaps(Emitter *e, const Tile *tile, int dim) {
    Overlap overlap = {.kernel = e->kernel, .dim = dim};
    for (int r = 0; r < e->kernel->reductions.len; r++)
        sc_reads(emit_body_of(e, e->kernel->reductions.at[r]), find_overlap, &overlap);
    return overlap.found && tile->n * e->kernel->reductions.len >= BUSY_TILE;
}

/* How many steps of the loop over `dim`, with all loops in it, are written out. */
static int unroll(Emitter *e, const Tile *tile, int dim) {
    int64_t extent = e->kernel->extent[dim];
    int last = e->kernel->rank + e->kernel->nred - 1;
    int64_t each = (int64_t)tile->n * e->kernel->reductions.len;
    if (overlaps(e, tile, dim)) return 1;
    int64_t terms = extent, outside = 1;
    for (int d = dim + 1; d <= last; d++)
        terms *= e->kernel->extent[d];
    for (int d = e->kernel->rank; d < dim; d++)
        outside *= e->kernel->extent[d];
    bool all = outside == 1 && terms > STRAIGHT_TERMS;
    if (extent <= 8 && each * terms <= UNROLLED_FMAS && !all) return (int)extent;
    for (int u = 8; u > 1 && dim == last; u /= 2)
        if (extent % u == 0 && u * each <= UNROLLED_FMAS / 2) return u;
    return 1;
}

static void loops(Emitter *e, Reducing *reducing, int dim);

/* `step` steps of the loop are written out, one after the other. */
static void written_out(Emitter *e, Reducing *reducing, int dim, int step) {
    for (int u = 0; u < step; u++) {
        reducing->step[dim] = (int16_t)u;
        loops(e, reducing, dim + 1);
    }
    reducing->step[dim] = 0;
}

static void one_loop(Emitter *e, Reducing *reducing, int dim, LLVMValueRef start, LLVMValueRef end,
                     int step) {
    Loop loop = loop_begin(e, start, end, step);
    e->dim[dim] = loop.index;
    written_out(e, reducing, dim, step);
    loop_end(e, &loop);
}

/* A loop that is short and known is written out: what falls outside is known then, too. */
static void border(Emitter *e, Reducing *reducing, int dim, LLVMValueRef start, LLVMValueRef end) {
    int64_t first, last;
    if (!emit_known(start, &first) || !emit_known(end, &last) || last - first > WRITTEN_BORDER) {
        one_loop(e, reducing, dim, start, end, 1);
        return;
    }
    memo_forget(e);
    e->dim[dim] = start;
    written_out(e, reducing, dim, (int)(last - first));
    memo_forget(e);
}

static void loops(Emitter *e, Reducing *reducing, int dim) {
    const Kernel *kernel = e->kernel;
    if (dim == kernel->rank + kernel->nred) {
        emit_body(e, reducing);
        return;
    }
    int clipped_before = e->nclipped;
    Bounds bounds = clip(e, reducing, dim, false);
    int step = bounds.clipped ? 1 : unroll(e, reducing->tile, dim);
    if (bounds.peeled) /* the border, with guards; the interior; the border */
        border(e, reducing, dim, bounds.start, int_min(e, bounds.free_start, bounds.end));
    if (bounds.clipped) clip(e, reducing, dim, true);
    if (bounds.peeled) {
        one_loop(e, reducing, dim, bounds.free_start, bounds.free_end, 1);
        e->nclipped = clipped_before;
        border(e, reducing, dim, int_max(e, bounds.free_end, bounds.free_start), bounds.end);
    } else if (step == kernel->extent[dim] && !bounds.clipped) {
        e->dim[dim] = emit_i64(e, 0);
        written_out(e, reducing, dim, step);
    } else {
        one_loop(e, reducing, dim, bounds.start, bounds.end, step);
    }
    e->nclipped = clipped_before;
}

void emit_reduction_loops(Emitter *e, const Tile *tile, LLVMValueRef *sums, LLVMValueRef *where) {
    Reducing reducing = {.tile = tile, .sums = sums, .where = where};
    loops(e, &reducing, e->kernel->rank);
    memo_forget(e);
    for (int d = e->kernel->rank; d < e->kernel->rank + e->kernel->nred; d++)
        e->dim[d] = NULL;
}
