/* SPDX-License-Identifier: MIT
 * Index forms and memory: where an element of a tensor lies for the lanes that run now, how it is
 * loaded, and what stands in for it outside. Needs buffers placed by the plan. */
#include "emit.h"
#include <string.h>

enum { LINE = 64 /* bytes that come at once */ };

static LLVMValueRef lift(Emitter *e, LLVMValueRef value, bool vector) {
    return vector && !emit_is_vector(value) ? emit_splat(e, value) : value;
}

static LLVMValueRef constant_like(Emitter *e, LLVMValueRef like, int64_t value) {
    LLVMValueRef scalar = emit_i64(e, value);
    return emit_is_vector(like) ? emit_splat(e, scalar) : scalar;
}

static LLVMValueRef add_ix(Emitter *e, LLVMValueRef a, LLVMValueRef b) {
    if (!a) return b;
    bool vector = emit_is_vector(a) || emit_is_vector(b);
    return LLVMBuildAdd(e->builder, lift(e, a, vector), lift(e, b, vector), "");
}

static LLVMValueRef scale_ix(Emitter *e, LLVMValueRef a, int64_t k) {
    return k == 1 ? a : LLVMBuildMul(e->builder, a, constant_like(e, a, k), "");
}

/* A dimension at pos: the tile's first element plus the offset; along the lanes a vector. */
static LLVMValueRef emit_dim(Emitter *e, int dim, const Pos *pos) {
    LLVMValueRef value = e->dim[dim];
    if (!value) bug("dimension %d has no value in kernel %d", dim, e->kernel->number);
    bool lanes = e->mode == CARRY_DIM && dim == e->kernel->lane_axis;
    int64_t offset = (int64_t)pos->off[dim] * (lanes ? LANES : 1);
    if (offset) value = LLVMBuildAdd(e->builder, value, emit_i64(e, offset), "");
    return lanes ? LLVMBuildAdd(e->builder, emit_splat(e, value), emit_iota(e), "") : value;
}

/* floor(a / k). Canonical forms have no negative terms: a is negative only where a computed value is. */
static LLVMValueRef floor_div(Emitter *e, const Ix *inner, int64_t by, const Pos *pos) {
    LLVMValueRef value = emit_ix(e, inner, pos);
    int64_t lo, hi;
    if (ix_range(inner, e->kernel->extent, &lo, &hi) && lo >= 0)
        return LLVMBuildUDiv(e->builder, value, constant_like(e, value, by), "");
    LLVMValueRef k = constant_like(e, value, by), zero = constant_like(e, value, 0);
    LLVMValueRef quotient = LLVMBuildSDiv(e->builder, value, k, "");
    LLVMValueRef rest = LLVMBuildSRem(e->builder, value, k, "");
    LLVMValueRef below = LLVMBuildICmp(e->builder, LLVMIntSLT, rest, zero, "");
    return LLVMBuildSelect(e->builder, below,
                           LLVMBuildSub(e->builder, quotient, constant_like(e, value, 1), ""),
                           quotient, "");
}

/* Largest position that a computed coordinate may name; beyond it is simply outside. */
static const double FAR_AWAY = 1099511627776.0; /* 2^40 */

static LLVMValueRef computed(Emitter *e, const Scalar *value, const Pos *pos) {
    LLVMValueRef number = emit_number(e, value, pos);
    LLVMTypeRef type = LLVMTypeOf(number);
    number = math_emit[OP_FLOOR](&e->math, number, NULL, NULL);
    LLVMValueRef far = LLVMConstReal(e->element, FAR_AWAY),
                 near = LLVMConstReal(e->element, -FAR_AWAY);
    if (emit_is_vector(number)) far = emit_splat(e, far), near = emit_splat(e, near);
    LLVMValueRef inside = LLVMBuildFCmp(e->builder, LLVMRealOLT, number, far, "");
    number = LLVMBuildSelect(e->builder, inside, number, far, ""); /* NaN goes far too */
    inside = LLVMBuildFCmp(e->builder, LLVMRealOGT, number, near, "");
    number = LLVMBuildSelect(e->builder, inside, number, near, "");
    LLVMTypeRef wide = LLVMGetTypeKind(type) == LLVMVectorTypeKind ? emit_vector(e->i64) : e->i64;
    return LLVMBuildFPToSI(e->builder, number, wide, "");
}

LLVMValueRef emit_ix(Emitter *e, const Ix *ix, const Pos *pos) {
    LLVMValueRef sum = ix->c || !ix->n ? emit_i64(e, ix->c) : NULL;
    for (int t = 0; t < ix->n; t++) {
        const IxTerm *term = &ix->term[t];
        LLVMValueRef atom = term->kind == ATOM_DIM     ? emit_dim(e, term->dim, pos)
                            : term->kind == ATOM_FLOOR ? floor_div(e, term->inner, term->by, pos)
                                                       : computed(e, term->value, pos);
        sum = add_ix(e, sum, scale_ix(e, atom, term->coef));
    }
    return sum;
}

static int64_t floor_of(int64_t a, int64_t by) {
    return a >= 0 ? a / by : -((-a + by - 1) / by);
}

/* Does the dimension take several values at one place: by lanes, or as one of those that are
 * merged? */
static bool runs_along(const Emitter *e, int dim) {
    const Kernel *kernel = e->kernel;
    if (e->mode == CARRY_DIM && dim == kernel->lane_axis) return true;
    return kernel->axes < kernel->rank && dim >= kernel->axes - 1 && dim < kernel->rank;
}

/* The least and the greatest that a form can be now: at pos, or (NULL) over the whole tile. */
static bool span(const Emitter *e, const Ix *ix, const Pos *pos, int64_t *lo, int64_t *hi) {
    *lo = *hi = ix->c;
    for (int t = 0; t < ix->n; t++) {
        const IxTerm *term = &ix->term[t];
        int64_t from = 0, to = 0, first;
        if (term->kind == ATOM_VALUE) return false;
        if (term->kind == ATOM_FLOOR) {
            if (!span(e, term->inner, pos, &from, &to)) return false;
            from = floor_of(from, term->by), to = floor_of(to, term->by);
        } else {
            from = e->low[term->dim], to = e->high[term->dim];
            if (pos && !runs_along(e, term->dim) && emit_known(e->dim[term->dim], &first))
                from = to = first + pos->off[term->dim];
        }
        *lo += term->coef * (term->coef > 0 ? from : to);
        *hi += term->coef * (term->coef > 0 ? to : from);
    }
    return true;
}

bool read_is_inside(const Emitter *e, const Scalar *read, int m, const Pos *pos) {
    int64_t lo, hi;
    for (int i = 0; i < e->nclipped; i++)
        if (e->clipped[i] == read && e->clipped_at[i] == m) return true;
    if (ix_range(read->at[m], e->kernel->extent, &lo, &hi) && lo >= 0 && hi < read->node->extent[m])
        return true; /* wherever it stands: this knows remainders, too */
    return span(e, read->at[m], pos, &lo, &hi) && lo >= 0 && hi < read->node->extent[m];
}

bool read_is_outside(const Emitter *e, const Scalar *read, const Pos *pos) {
    int64_t lo, hi;
    for (int m = 0; m < read->node->rank; m++)
        if (span(e, read->at[m], pos, &lo, &hi) && (hi < 0 || lo >= read->node->extent[m]))
            return true;
    return false;
}

LLVMValueRef emit_buffer(Emitter *e, const Buffer *buffer, int block) {
    LLVMValueRef base = buffer->scratch ? e->scratch : e->mem;
    base = emit_offset(e, base, share_place(e, buffer));
    bool blocked = !buffer->scratch && (!buffer->node || buffer->node->per_example || buffer->leaf);
    if (!blocked) return base;
    LLVMValueRef at = e->block;
    if (!at) bug("a per-example value outside of any block");
    if (block) at = LLVMBuildAdd(e->builder, at, emit_i64(e, block), "");
    return emit_offset(e, base,
                       LLVMBuildMul(e->builder, at, emit_i64(e, buffer->block_stride), ""));
}

/* Where a read stands: row-major element number, and whether it is inside. */
typedef struct Place {
    LLVMValueRef variable; /* i64, in elements; NULL: none */
    int64_t fixed;         /* in elements */
    LLVMValueRef inside;   /* i1 or <16 x i1>; NULL: always */
    bool lanes;            /* lanes are not where a vector load would find them: gather */
    int64_t stride;        /* elements from lane to lane, by the affine parts */
} Place;

static void place_guarded(Emitter *e, const Scalar *read, int m, int64_t step, const Pos *pos,
                          Place *place) {
    LLVMValueRef at = emit_ix(e, read->at[m], pos);
    LLVMValueRef zero = constant_like(e, at, 0), end = constant_like(e, at, read->node->extent[m]);
    LLVMValueRef inside = LLVMBuildICmp(e->builder, LLVMIntULT, at, end, ""); /* below 0 is huge */
    at = LLVMBuildSelect(e->builder, inside, at, zero, "");
    if (emit_is_vector(at)) place->lanes = true;
    place->variable = add_ix(e, place->variable, scale_ix(e, at, step));
    if (place->inside) {
        bool vector = emit_is_vector(place->inside) || emit_is_vector(inside);
        inside =
            LLVMBuildAnd(e->builder, lift(e, place->inside, vector), lift(e, inside, vector), "");
    }
    place->inside = inside;
}

/* Affine parts: the tile's offsets are constants, so that neighbours share one address register. */
static void place_affine(Emitter *e, const Ix *ix, int64_t step, const Pos *pos, Place *place) {
    place->fixed += ix->c * step;
    for (int t = 0; t < ix->n; t++) {
        const IxTerm *term = &ix->term[t];
        if (term->kind != ATOM_DIM) {
            LLVMValueRef atom = term->kind == ATOM_FLOOR ? floor_div(e, term->inner, term->by, pos)
                                                         : computed(e, term->value, pos);
            if (emit_is_vector(atom)) place->lanes = true;
            place->variable = add_ix(e, place->variable, scale_ix(e, atom, term->coef * step));
            continue;
        }
        bool lanes = e->mode == CARRY_DIM && term->dim == e->kernel->lane_axis;
        place->fixed += term->coef * step * pos->off[term->dim] * (lanes ? LANES : 1);
        place->stride += lanes ? term->coef * step : 0;
        LLVMValueRef base = e->dim[term->dim];
        if (!base) bug("dimension %d has no value in kernel %d", term->dim, e->kernel->number);
        place->variable = add_ix(e, place->variable, scale_ix(e, base, term->coef * step));
    }
}

/* Merged dimensions: the last of them stands for all, the others are part of its number. */
static bool place_merged(Emitter *e, const Ix *ix, int64_t step, const Pos *pos, Place *place) {
    const Kernel *kernel = e->kernel;
    int dim, axis = kernel->axes - 1;
    if (kernel->axes == kernel->rank || !ix_is_dim(ix, &dim) || dim < axis || dim >= kernel->rank)
        return false;
    if (dim != kernel->rank - 1) return true;
    bool lanes = e->mode == CARRY_DIM && axis == kernel->lane_axis;
    place->fixed += step * pos->off[axis] * (lanes ? LANES : 1);
    place->stride += lanes ? step : 0;
    place->variable = add_ix(e, place->variable, scale_ix(e, e->dim[axis], step));
    return true;
}

/* `guarded`: coordinates that may fall outside are held inside. */
static Place place_read(Emitter *e, const Scalar *read, const Pos *pos, bool guarded) {
    Place place = {0};
    const Node *node = read->node;
    int64_t step = 1;
    for (int m = node->rank - 1; m >= 0; m--) {
        if (!m) step = plan_pitch(e->program, node);
        if (place_merged(e, read->at[m], step, pos, &place)) {
            step *= node->extent[m];
            continue;
        }
        if (!guarded || read_is_inside(e, read, m, pos))
            place_affine(e, read->at[m], step, pos, &place);
        else
            place_guarded(e, read, m, step, pos, &place);
        step *= node->extent[m];
    }
    if (place.lanes &&
        place.stride) /* one coordinate is computed by lane, another lies along them */
        place.variable = add_ix(e, place.variable, scale_ix(e, emit_iota(e), place.stride));
    return place;
}

static LLVMValueRef to_element(Emitter *e, LLVMValueRef value, int bytes) {
    bool vector = emit_is_vector(value);
    if (bytes == 8 && e->element == e->f32)
        return LLVMBuildFPTrunc(e->builder, value, vector ? emit_vector(e->f32) : e->f32, "");
    if (bytes == 4 && e->element == e->f64)
        return LLVMBuildFPExt(e->builder, value, vector ? emit_vector(e->f64) : e->f64, "");
    return value;
}

static bool only_read(Emitter *e, const Scalar *read) {
    const Kernel *kernel = e->kernel;
    const Buffer *buffer = plan_buffer(e->plan, e->program, read->node);
    for (int i = 0; i < kernel->maps.len + kernel->reductions.len; i++) {
        const Node *node =
            i < kernel->maps.len ? kernel->maps.at[i] : kernel->reductions.at[i - kernel->maps.len];
        if (plan_buffer(e->plan, e->program, node) == buffer) return false;
    }
    return true;
}

/* Sixteen loads, one a lane. `at`: element numbers; `own`: lanes lie side by side (per example). */
static LLVMValueRef gather(Emitter *e, LLVMValueRef base, LLVMValueRef at, LLVMTypeRef type,
                           int bytes, bool own) {
    LLVMValueRef result = LLVMGetPoison(emit_vector(type));
    for (int lane = 0; lane < LANES; lane++) {
        LLVMValueRef number = LLVMConstInt(e->i32, (unsigned)lane, false);
        LLVMValueRef element = LLVMBuildExtractElement(e->builder, at, number, "");
        LLVMValueRef byte = scale_ix(e, element, own ? bytes * LANES : bytes);
        if (own) byte = LLVMBuildAdd(e->builder, byte, emit_i64(e, lane * bytes), "");
        LLVMValueRef value = emit_load(e, type, emit_offset(e, base, byte), (unsigned)bytes, false);
        result = LLVMBuildInsertElement(e->builder, result, value, number, "");
    }
    return result;
}

/* Lanes past a tail may name any element: there they name the last one. */
static LLVMValueRef within(Emitter *e, const Node *node, LLVMValueRef at) {
    if (e->mode != CARRY_DIM || !emit_is_vector(at)) return at;
    LLVMValueRef last = emit_splat(e, emit_i64(e, node_count(node) - 1));
    LLVMValueRef over = LLVMBuildICmp(e->builder, LLVMIntUGT, at, last, ""); /* below 0 is huge */
    return LLVMBuildSelect(e->builder, over, last, at, "");
}

static LLVMValueRef load_strided(Emitter *e, LLVMValueRef base, const Place *place, int64_t stride,
                                 const Scalar *read, LLVMTypeRef type, int bytes) {
    LLVMValueRef at = add_ix(e, place->variable, emit_i64(e, place->fixed));
    at = add_ix(e, emit_splat(e, at),
                LLVMBuildMul(e->builder, emit_iota(e), emit_splat(e, emit_i64(e, stride)), ""));
    return gather(e, base, within(e, read->node, at), type, bytes, false);
}

/* Bytes from the base of the buffer; `unit` is the distance of two elements. */
static LLVMValueRef address(Emitter *e, LLVMValueRef base, const Place *place, int64_t unit) {
    if (place->variable) base = emit_offset(e, base, scale_ix(e, place->variable, unit));
    return place->fixed ? emit_offset(e, base, emit_i64(e, place->fixed * unit)) : base;
}

static LLVMValueRef load_lanes(Emitter *e, const Scalar *read, const Buffer *buffer,
                               const Place *place, const Pos *pos, LLVMTypeRef type) {
    int bytes = buffer->bytes;
    LLVMValueRef base = emit_buffer(e, buffer, pos->block);
    if (place->lanes) {
        LLVMValueRef at = add_ix(e, place->variable, emit_i64(e, place->fixed));
        return gather(e, base, at, type, bytes, true);
    }
    return emit_load(e, emit_vector(type), address(e, base, place, (int64_t)LANES * bytes), 64,
                     only_read(e, read));
}

/* In a sum over the examples one by one: this example's element, or sixteen elements of it. */
static LLVMValueRef load_example(Emitter *e, const Scalar *read, const Place *place, const Pos *pos,
                                 LLVMTypeRef type, int64_t stride) {
    const Buffer *turned = map_get(&e->program->of_node_transposed, node_value(read->node));
    if (e->mode == CARRY_DIM && stride != 0) {
        int bytes = turned->bytes;
        LLVMValueRef base = emit_buffer(e, turned, pos->block);
        base = emit_offset(
            e, base,
            LLVMBuildMul(e->builder, e->example, emit_i64(e, turned->elements * bytes), ""));
        return emit_load(e, emit_vector(type), address(e, base, place, bytes), (unsigned)bytes,
                         true);
    }
    const Buffer *buffer = plan_buffer(e->plan, e->program, read->node);
    LLVMValueRef base = emit_buffer(e, buffer, pos->block);
    base =
        emit_offset(e, base, LLVMBuildMul(e->builder, e->example, emit_i64(e, buffer->bytes), ""));
    return emit_load(e, type, address(e, base, place, (int64_t)LANES * buffer->bytes),
                     (unsigned)buffer->bytes, true);
}

static LLVMValueRef load_shared(Emitter *e, const Scalar *read, const Buffer *buffer,
                                const Place *place, const Pos *pos, LLVMTypeRef type,
                                int64_t stride) {
    int bytes = buffer->bytes;
    LLVMValueRef base = emit_buffer(e, buffer, pos->block);
    if (place->lanes) {
        LLVMValueRef at = add_ix(e, place->variable, emit_i64(e, place->fixed));
        return gather(e, base, within(e, read->node, at), type, bytes, false);
    }
    if (e->mode == CARRY_DIM && stride != 0 && stride != 1)
        return load_strided(e, base, place, stride, read, type, bytes);
    LLVMTypeRef loaded = e->mode == CARRY_DIM && stride == 1 ? emit_vector(type) : type;
    return emit_load(e, loaded, address(e, base, place, bytes), (unsigned)bytes,
                     only_read(e, read));
}

LLVMValueRef emit_read(Emitter *e, const Scalar *read, const Pos *pos) {
    const Buffer *buffer = plan_buffer(e->plan, e->program, read->node);
    if (!buffer) bug("%%%u has no buffer in %s", read->node->id, e->program->program->name);
    LLVMTypeRef type = buffer->bytes == 8 ? e->f64 : e->f32;
    Place place = place_read(e, read, pos, true);
    int64_t stride = 0;
    if (e->mode == CARRY_DIM && !place.lanes) plan_lane_stride(e->kernel, read, &stride);
    LLVMValueRef value;
    if (!read->node->per_example)
        value = load_shared(e, read, buffer, &place, pos, type, stride);
    else if (e->mode == CARRY_BATCH)
        value = load_lanes(e, read, buffer, &place, pos, type);
    else
        value = load_example(e, read, &place, pos, type, stride);
    value = to_element(e, value, buffer->bytes);
    if (!place.inside) return value;
    LLVMValueRef outside = emit_number(e, read->outside, pos);
    bool vector = emit_is_vector(value) || emit_is_vector(outside) || emit_is_vector(place.inside);
    value = lift(e, value, vector), outside = lift(e, outside, vector);
    return LLVMBuildSelect(e->builder, place.inside, value, outside, "");
}

bool emit_prefetch(Emitter *e, const Scalar *read, const Pos *pos) {
    const Buffer *buffer = plan_buffer(e->plan, e->program, read->node);
    bool each = e->mode == CARRY_BATCH;
    int64_t stride = 0;
    if (!buffer || each != read->node->per_example) return false;
    if (!each && !plan_lane_stride(e->kernel, read, &stride)) return false;
    if (!each && stride != 1) return false;
    Place place = place_read(e, read, pos, false);
    if (place.lanes) return false;
    LLVMValueRef at = address(e, emit_buffer(e, buffer, pos->block), &place,
                              (int64_t)buffer->bytes * (each ? LANES : 1));
    LLVMTypeRef type[4] = {e->ptr, e->i32, e->i32, e->i32};
    unsigned id = LLVMLookupIntrinsicID("llvm.prefetch", strlen("llvm.prefetch"));
    LLVMValueRef function = LLVMGetIntrinsicDeclaration(e->module, id, type, 1);
    for (int line = 0; line < LANES * buffer->bytes; line += LINE) {
        LLVMValueRef arg[4] = {emit_offset(e, at, emit_i64(e, line)),
                               LLVMConstInt(e->i32, 0, false),  /* for reading */
                               LLVMConstInt(e->i32, 3, false),  /* into the first cache */
                               LLVMConstInt(e->i32, 1, false)}; /* data */
        LLVMBuildCall2(e->builder, LLVMFunctionType(e->nothing, type, 4, false), function, arg, 4,
                       "");
    }
    return true;
}

static LLVMValueRef from_element(Emitter *e, LLVMValueRef value, int bytes) {
    bool vector = emit_is_vector(value);
    if (bytes == 8 && e->element == e->f32)
        return LLVMBuildFPExt(e->builder, value, vector ? emit_vector(e->f64) : e->f64, "");
    if (bytes == 4 && e->element == e->f64)
        return LLVMBuildFPTrunc(e->builder, value, vector ? emit_vector(e->f32) : e->f32, "");
    return value;
}

/* Where the element of the kernel's space at pos lies in memory of that shape. */
static Place place_element(Emitter *e, const Node *node, const Pos *pos) {
    LLVMValueRef at = NULL;
    int64_t fixed = 0, step = 1;
    for (int d = e->kernel->axes - 1; d >= 0; d--) {
        bool lanes = e->mode == CARRY_DIM && d == e->kernel->lane_axis;
        if (!d && e->kernel->axes > 1) step = plan_pitch(e->program, node);
        int64_t apart = e->kernel->apart[d] ? e->kernel->apart[d] : 1;
        at = add_ix(e, at, scale_ix(e, e->dim[d], step * apart));
        fixed += ((int64_t)pos->off[d] * apart * (lanes ? LANES : 1) + e->residue[d]) * step;
        step *= e->kernel->axis[d];
    }
    return (Place){.variable = at, .fixed = fixed};
}

LLVMValueRef emit_leaf(Emitter *e, const Node *node, const Pos *pos) {
    const Buffer *buffer = map_get(&e->program->of_node_leaf, node);
    LLVMTypeRef type = buffer->bytes == 8 ? e->f64 : e->f32;
    Place place = place_element(e, node, pos);
    LLVMValueRef from = address(e, emit_buffer(e, buffer, 0), &place, buffer->bytes);
    return emit_load(e, e->mode == CARRY_DIM ? emit_vector(type) : type, from,
                     (unsigned)buffer->bytes, true);
}

void emit_write(Emitter *e, const Node *node, const Pos *pos, LLVMValueRef value) {
    const Buffer *buffer = e->kernel->makes_leaves ? map_get(&e->program->of_node_leaf, node)
                                                   : plan_buffer(e->plan, e->program, node);
    Place place = place_element(e, node, pos);
    LLVMValueRef base = emit_buffer(e, buffer, pos->block);
    value = from_element(e, value, buffer->bytes);
    unsigned bytes = (unsigned)buffer->bytes;
    if (e->mode == CARRY_BATCH) {
        emit_store(e, value, address(e, base, &place, (int64_t)LANES * buffer->bytes), 64);
        return;
    }
    LLVMValueRef to = address(e, base, &place, buffer->bytes);
    bool whole = !e->tail || e->mode == CARRY_NONE || pos->off[e->kernel->lane_axis] != e->tail_at;
    if (whole) {
        emit_store(e, value, to, bytes);
        return;
    }
    for (int64_t lane = 0; lane < e->tail; lane++) { /* the rest belongs to what follows */
        LLVMValueRef one = LLVMBuildExtractElement(e->builder, value,
                                                   LLVMConstInt(e->i32, (unsigned)lane, false), "");
        emit_store(e, one, emit_offset(e, to, emit_i64(e, lane * buffer->bytes)), bytes);
    }
}
