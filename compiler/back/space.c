/* SPDX-License-Identifier: MIT
 * The loops over a kernel's space, tile by tile with what is left over at the ends; one function a
 * kernel. Needs the plan's tiles and split. Knows nothing of what a tile computes. */
#include "emit.h"
#include <string.h>

typedef struct Space {
    Emitter *e;
    int axis[MAX_DIMS + 1]; /* order of the loops; BLOCK_AXIS is the blocks of a UNITS kernel */
    int n;
    int size[MAX_DIMS + 1]; /* tile along each axis now */
} Space;

/* Elements along the longest axis come last: of what is read along it alone, one value is live at a
 * time. */
static void tile_positions(const Space *space, Tile *tile) {
    memset(tile, 0, sizeof *tile);
    tile->n = 1;
    int order[MAX_DIMS + 1];
    for (int i = 0; i < space->n; i++) {
        int at = i;
        for (; at > 0 && space->size[order[at - 1]] > space->size[space->axis[i]]; at--)
            order[at] = order[at - 1];
        order[at] = space->axis[i];
    }
    for (int i = 0; i < space->n; i++) {
        int axis = order[i], have = tile->n;
        for (int k = 1; k < space->size[axis]; k++)
            for (int p = 0; p < have; p++) {
                if (tile->n == MAX_TILE) bug("a tile of more than %d elements", MAX_TILE);
                Pos *pos = &tile->pos[tile->n++];
                *pos = tile->pos[p];
                if (axis == BLOCK_AXIS)
                    pos->block = (int16_t)k;
                else
                    pos->off[axis] = (int16_t)k;
            }
    }
}

static void along(Space *space, int i);

static void inner(Space *space, int i, int axis, int size) {
    space->size[axis] = size;
    along(space, i + 1);
    space->size[axis] = 1;
}

/* Blocks at run time: full tiles, then the rest of a full batch at once, then one by one. */
static void along_blocks(Space *space, int i) {
    Emitter *e = space->e;
    int tile = e->kernel->block_tile, usual = e->program->blocks % tile;
    LLVMValueRef zero = emit_i64(e, 0), size = emit_i64(e, tile);
    LLVMValueRef full =
        LLVMBuildSub(e->builder, e->blocks, LLVMBuildURem(e->builder, e->blocks, size, ""), "");
    Loop loop = loop_begin(e, zero, full, tile);
    e->block = loop.index;
    inner(space, i, BLOCK_AXIS, tile);
    loop_end(e, &loop);
    if (tile == 1) {
        e->block = NULL;
        return;
    }
    LLVMValueRef at = full;
    if (usual > 1) {
        LLVMValueRef rest = LLVMBuildSub(e->builder, e->blocks, full, "");
        LLVMValueRef fits = LLVMBuildICmp(e->builder, LLVMIntEQ, rest, emit_i64(e, usual), "");
        LLVMBasicBlockRef after = when_begin(e, fits);
        e->block = full;
        inner(space, i, BLOCK_AXIS, usual);
        when_end(e, after);
        at = LLVMBuildSelect(e->builder, fits, e->blocks, full, "");
    }
    Loop single = loop_begin(e, at, e->blocks, 1);
    e->block = single.index;
    inner(space, i, BLOCK_AXIS, 1);
    loop_end(e, &single);
    e->block = NULL;
}

/* A dimension: `full` tiles of `size` steps, then a smaller one, whose last vector (along lanes) may
 * be a partial one. */
typedef struct Extent {
    int64_t step; /* elements in a step: 16 along lanes */
    int64_t size; /* steps in a tile */
    int64_t full, rest;
    int64_t tail;  /* elements of the partial vector, which `rest` counts; 0: none */
    int64_t items; /* tiles in all */
} Extent;

static Extent extent_of(const Emitter *e, int axis) {
    const Kernel *kernel = e->kernel;
    Extent x = {.step = 1, .size = kernel->tile[axis]};
    if (kernel->carrier == CARRY_DIM && axis == kernel->lane_axis) x.step = LANES;
    int64_t all = plan_places(kernel, axis, e->residue[axis]), steps = all / x.step;
    x.tail = all % x.step;
    x.full = steps / x.size;
    x.rest = steps % x.size + (x.tail > 0);
    x.items = x.full + (x.rest > 0);
    return x;
}

static void special(Space *space, int i, int64_t first, int64_t size, int64_t tail, int64_t item,
                    LLVMValueRef from, LLVMValueRef to) {
    Emitter *e = space->e;
    int axis = space->axis[i];
    LLVMBasicBlockRef after = NULL;
    if (from) {
        LLVMValueRef number = emit_i64(e, item);
        LLVMValueRef reached = LLVMBuildICmp(e->builder, LLVMIntSLE, from, number, "");
        LLVMValueRef before = LLVMBuildICmp(e->builder, LLVMIntSLT, number, to, "");
        after = when_begin(e, LLVMBuildAnd(e->builder, reached, before, ""));
    }
    int64_t outer = e->tail; /* another axis may be at its partial vector already */
    e->dim[axis] = emit_i64(e, first);
    if (tail) e->tail = tail, e->tail_at = (int)size - 1;
    inner(space, i, axis, (int)size);
    e->tail = outer;
    if (after) when_end(e, after);
}

/* Tiles along an axis at whose place terms fall outside that do not in the tiles between: they are
 * written on their own, where it is known which. */
typedef struct Edges {
    int64_t first, last;
} Edges;

typedef struct Inside {
    Emitter *e;
    int axis;
    bool all;
} Inside;

static void check_inside(const Scalar *read, void *context) {
    Inside *inside = context;
    const Kernel *kernel = inside->e->kernel;
    for (int m = 0; m < read->node->rank; m++) {
        uint32_t dims = ix_dims(read->at[m]);
        if (dims >> inside->axis & 1 && dims >> kernel->rank)
            inside->all &= read_is_inside(inside->e, read, m, NULL);
    }
}

static bool inside_between(Emitter *e, int axis, int64_t low, int64_t high) {
    Inside inside = {e, axis, true};
    e->low[axis] = low, e->high[axis] = high;
    sc_reads(emit_body_of(e, e->kernel->reductions.at[0]), check_inside, &inside);
    return inside.all;
}

enum { MOST_EDGES = 3 };

static Edges edges_of(Emitter *e, int axis, const Extent *x) {
    const Kernel *kernel = e->kernel;
    int64_t width = x->size * x->step, end = plan_places(kernel, axis, e->residue[axis]) - 1;
    Edges best = {0, 0};
    if (kernel->reductions.len != 1 || kernel->axes < kernel->rank || axis != kernel->axes - 1 ||
        kernel->kind != KERNEL_BLOCKS || x->size == 1 || x->full < 2 ||
        inside_between(e, axis, 0, end))
        return best;
    for (int64_t edges = 1; edges <= MOST_EDGES && edges <= x->full; edges++)
        for (int64_t last = 0; last <= edges && best.first + best.last == 0; last++) {
            int64_t to = x->full - last;
            if (edges == x->full || inside_between(e, axis, (edges - last) * width, to * width - 1))
                best = (Edges){edges - last, last};
        }
    e->low[axis] = 0, e->high[axis] = end;
    return best;
}

/* All full tiles where no thread has a share of its own: those at the edges one by one. */
static void full_tiles(Space *space, int i, const Extent *x) {
    Emitter *e = space->e;
    int axis = space->axis[i];
    int64_t width = x->size * x->step;
    Edges edges = edges_of(e, axis, x);
    int64_t high = e->high[axis];
    for (int64_t t = 0; t < x->full; t++) {
        bool edge = t < edges.first || t >= x->full - edges.last;
        e->dim[axis] = emit_i64(e, t * width);
        if (edge || x->full == 1) {
            inner(space, i, axis, (int)x->size);
            continue;
        }
        int64_t to = x->full - edges.last;
        e->low[axis] = t * width;
        if (edges.last) e->high[axis] = to * width - 1;
        Loop loop = loop_begin(e, emit_i64(e, t), emit_i64(e, to), 1);
        e->dim[axis] = LLVMBuildMul(e->builder, loop.index, emit_i64(e, width), "");
        inner(space, i, axis, (int)x->size);
        loop_end(e, &loop);
        e->low[axis] = 0, e->high[axis] = high;
        t = to - 1;
    }
}

const Scalar *emit_body_of(Emitter *e, const Node *node) {
    if (!e->parted) return plan_body(e->program, node);
    const Scalar *body = map_get(&e->bodies, node);
    if (body) return body;
    const Kernel *kernel = e->kernel;
    Graph *graph = e->plan->unit->graph;
    const Ix *map[MAX_DIMS] = {0};
    int64_t extent[MAX_DIMS];
    for (int d = 0; d < MAX_DIMS; d++) {
        bool apart = d < kernel->axes && kernel->apart[d];
        if (apart) map[d] = plan_place(graph, kernel, d, e->residue[d]);
        extent[d] = apart ? plan_places(kernel, d, e->residue[d]) : kernel->extent[d];
    }
    body = sc_subst(graph, plan_body(e->program, node), map, MAX_DIMS, extent);
    map_put(&e->bodies, node, (void *)(uintptr_t)body);
    return body;
}

/* One residue after the other, along all axes that have some: the body is another for each. */
static void residues(Space *space, int axis) {
    Emitter *e = space->e;
    const Kernel *kernel = e->kernel;
    while (axis < kernel->axes && !kernel->apart[axis])
        axis++;
    if (axis == kernel->axes) {
        map_init(&e->bodies, e->arena);
        along(space, 0);
        return;
    }
    int64_t high = e->high[axis];
    for (int r = 0; r < kernel->apart[axis]; r++) {
        e->residue[axis] = r;
        e->high[axis] = plan_places(kernel, axis, r) - 1;
        residues(space, axis + 1);
    }
    e->residue[axis] = 0, e->high[axis] = high;
}

static void along(Space *space, int i) {
    Emitter *e = space->e;
    if (i == space->n) {
        Tile tile;
        tile_positions(space, &tile);
        emit_tile(e, &tile);
        return;
    }
    int axis = space->axis[i];
    if (axis == BLOCK_AXIS) {
        along_blocks(space, i);
        return;
    }
    Extent x = extent_of(e, axis);
    LLVMValueRef from = NULL, to = NULL, start = emit_i64(e, 0), end = emit_i64(e, x.full);
    if (e->kernel->kind == KERNEL_UNITS && e->kernel->split == axis) { /* this thread's share */
        LLVMValueRef shares = emit_i64(e, SHARES), items = emit_i64(e, x.items);
        from = LLVMBuildUDiv(e->builder, LLVMBuildMul(e->builder, items, e->from, ""), shares, "");
        to = LLVMBuildUDiv(e->builder, LLVMBuildMul(e->builder, items, e->to, ""), shares, "");
        start = from;
        end = int_min(e, to, end);
    }
    int64_t width = x.size * x.step;
    if (!from) {
        full_tiles(space, i, &x);
    } else if (x.full) {
        Loop loop = loop_begin(e, start, end, 1);
        e->dim[axis] = LLVMBuildMul(e->builder, loop.index, emit_i64(e, width), "");
        inner(space, i, axis, (int)x.size);
        loop_end(e, &loop);
    }
    if (x.rest) special(space, i, x.full * width, x.rest, x.tail, x.full, from, to);
    e->dim[axis] = NULL;
}

static void order_axes(Space *space) {
    const Kernel *kernel = space->e->kernel;
    space->n = kernel->loops;
    memcpy(space->axis, kernel->loop, sizeof space->axis);
    for (int i = 0; i <= MAX_DIMS; i++)
        space->size[i] = 1;
}

/* Sixteen vectors of sixteen lanes, turned, in four rounds of exchanges. */
static void turn_16(Emitter *e, LLVMValueRef *v) {
    for (int half = 1; half < LANES; half *= 2) {
        LLVMValueRef low[LANES], high[LANES];
        for (int i = 0; i < LANES; i++) {
            bool second = i & half;
            low[i] = LLVMConstInt(e->i32, (unsigned)(second ? LANES + i - half : i), false);
            high[i] = LLVMConstInt(e->i32, (unsigned)(second ? LANES + i : i + half), false);
        }
        LLVMValueRef mask_low = LLVMConstVector(low, LANES),
                     mask_high = LLVMConstVector(high, LANES);
        for (int i = 0; i < LANES; i++) {
            if (i & half) continue;
            LLVMValueRef a = v[i], b = v[i + half];
            v[i] = LLVMBuildShuffleVector(e->builder, a, b, mask_low, "");
            v[i + half] = LLVMBuildShuffleVector(e->builder, a, b, mask_high, "");
        }
    }
}

/* Elements `first` to `first` + 15, turned; past the `live` ones the last of
 * them again: what follows it may belong to another thread's block. */
static void turn_group(Emitter *e, const Buffer *to, LLVMValueRef source, LLVMValueRef target,
                       LLVMValueRef first, int64_t live) {
    LLVMTypeRef type = emit_vector(to->bytes == 8 ? e->f64 : e->f32);
    LLVMValueRef v[LANES];
    for (int i = 0; i < LANES; i++) {
        LLVMValueRef element =
            LLVMBuildAdd(e->builder, first, emit_i64(e, i < live ? i : live - 1), "");
        LLVMValueRef at =
            LLVMBuildMul(e->builder, element, emit_i64(e, (int64_t)LANES * to->bytes), "");
        v[i] = emit_load(e, type, emit_offset(e, source, at), 64, true);
    }
    turn_16(e, v);
    for (int i = 0; i < LANES; i++) {
        LLVMValueRef at = LLVMBuildAdd(e->builder, first, emit_i64(e, i * to->elements), "");
        at = LLVMBuildMul(e->builder, at, emit_i64(e, to->bytes), "");
        emit_store(e, v[i], emit_offset(e, target, at), 64);
    }
}

static void emit_transpose(Emitter *e, const Buffer *to) {
    const Buffer *from = plan_buffer(e->plan, e->program, to->node);
    LLVMValueRef source = emit_buffer(e, from, 0), target = emit_buffer(e, to, 0);
    int64_t elements = node_count(to->node), whole = elements / LANES * LANES;
    if (whole) {
        Loop loop = loop_begin(e, emit_i64(e, 0), emit_i64(e, whole), LANES);
        turn_group(e, to, source, target, loop.index, LANES);
        loop_end(e, &loop);
    }
    if (whole < elements) turn_group(e, to, source, target, emit_i64(e, whole), elements - whole);
}

static void emit_copy(Emitter *e) {
    const Buffer *from = plan_buffer(e->plan, e->program, e->kernel->copy_from);
    const Buffer *to = plan_buffer(e->plan, e->program, e->kernel->copy_to);
    LLVMTypeRef in = from->bytes == 8 ? e->f64 : e->f32, out = to->bytes == 8 ? e->f64 : e->f32;
    LLVMValueRef source = emit_buffer(e, from, 0), target = emit_buffer(e, to, 0);
    Loop loop = loop_begin(e, emit_i64(e, 0), emit_i64(e, to->elements), 1);
    LLVMValueRef at = LLVMBuildMul(e->builder, loop.index, emit_i64(e, from->bytes), "");
    LLVMValueRef value = emit_load(e, in, emit_offset(e, source, at), (unsigned)from->bytes, false);
    if (from->bytes != to->bytes) value = LLVMBuildFPCast(e->builder, value, out, "");
    at = LLVMBuildMul(e->builder, loop.index, emit_i64(e, to->bytes), "");
    emit_store(e, value, emit_offset(e, target, at), (unsigned)to->bytes);
    loop_end(e, &loop);
}

/* The runtime's function for all results at once; where the table says, in float64. */
static void emit_call(Emitter *e) {
    const Kernel *kernel = e->kernel;
    const Node *node = kernel->calls.at[0];
    LLVMTypeRef type[CALL_RESULTS + CALL_OPERANDS + CALL_EXTENTS];
    LLVMValueRef arg[LENGTH(type)];
    unsigned n = 0;
    for (int i = 0; i < call_info[node->call].results; i++, n++) {
        type[n] = e->ptr;
        arg[n] = LLVMConstNull(e->ptr);
        for (int k = 0; k < kernel->calls.len; k++)
            if (kernel->calls.at[k]->result == i)
                arg[n] = emit_buffer(e, plan_buffer(e->plan, e->program, kernel->calls.at[k]), 0);
    }
    for (int i = 0; i < call_info[node->call].operands; i++, n++) {
        const Buffer *operand = plan_buffer(e->plan, e->program, node->operand[i]);
        if (!operand || operand->bytes != 8) bug("an operand of a call is not float64");
        type[n] = e->ptr;
        arg[n] = emit_buffer(e, operand, 0);
    }
    int64_t extent[CALL_EXTENTS];
    for (int i = 0, count = call_extents(node, extent); i < count; i++, n++) {
        type[n] = e->i64;
        arg[n] = emit_i64(e, extent[i]);
    }
    const char *name = arena_printf(e->arena, CALL_PREFIX "%s", call_info[node->call].text);
    LLVMTypeRef signature = LLVMFunctionType(e->nothing, type, n, false);
    LLVMValueRef function = LLVMGetNamedFunction(e->module, name);
    if (!function) function = LLVMAddFunction(e->module, name, signature);
    LLVMBuildCall2(e->builder, signature, function, arg, n, "");
}

static void alias_scopes(Emitter *e) {
    LLVMMetadataRef text = LLVMMDStringInContext2(e->context, "gradus", 6);
    LLVMMetadataRef domain = LLVMMDNodeInContext2(e->context, &text, 1);
    LLVMMetadataRef name = LLVMMDStringInContext2(e->context, "read", 4);
    LLVMMetadataRef both[2] = {name, domain};
    LLVMMetadataRef scope = LLVMMDNodeInContext2(e->context, both, 2);
    e->alias_read = LLVMMetadataAsValue(e->context, LLVMMDNodeInContext2(e->context, &scope, 1));
}

/* void kernel(mem, scratch, blocks, from, to): BLOCKS kernels run block `from` (step `to` of it, in
 * a recurrence), UNITS kernels their shares from..to, SERIAL ones all. */
static LLVMValueRef kernel_function(Emitter *e, Kernel *kernel, const char *name,
                                    const KernelShare *shared) {
    LLVMTypeRef parameters[6] = {e->ptr, e->ptr, e->i64, e->i64, e->i64, e->ptr};
    LLVMTypeRef type = LLVMFunctionType(e->nothing, parameters, shared ? 6 : 5, false);
    e->function = LLVMAddFunction(e->module, name, type);
    LLVMSetLinkage(e->function, LLVMInternalLinkage);
    e->kernel = kernel;
    e->element = kernel->wide ? e->f64 : e->f32;
    e->mode = kernel->carrier;
    e->mem = LLVMGetParam(e->function, 0);
    e->scratch = LLVMGetParam(e->function, 1);
    e->blocks = LLVMGetParam(e->function, 2);
    e->from = LLVMGetParam(e->function, 3);
    e->to = LLVMGetParam(e->function, 4);
    e->block = kernel->kind == KERNEL_BLOCKS ? e->from : NULL;
    e->example = NULL;
    e->tail = 0;
    e->nclipped = 0;
    memset(e->dim, 0, sizeof e->dim);
    memset(e->low, 0, sizeof e->low);
    memset(e->residue, 0, sizeof e->residue);
    e->parted = false;
    for (int d = 0; d < kernel->axes; d++)
        e->parted |= kernel->apart[d] > 0;
    for (int d = 0; d < MAX_DIMS; d++)
        e->high[d] = kernel->extent[d] - 1;
    if (kernel->group) e->dim[0] = e->to;
    alias_scopes(e);
    e->entry = LLVMAppendBasicBlockInContext(e->context, e->function, "entry");
    LLVMBasicBlockRef start = LLVMAppendBasicBlockInContext(e->context, e->function, "start");
    e->places = NULL;
    LLVMPositionBuilderAtEnd(e->builder, e->entry);
    if (shared) share_enter(e, shared, LLVMGetParam(e->function, 5));
    LLVMPositionBuilderAtEnd(e->builder, start);
    memo_forget(e);
    LLVMBasicBlockRef mine = NULL;
    if (kernel->kind == KERNEL_UNITS && kernel->split < 0) /* nothing to divide: one thread */
        mine = when_begin(e, LLVMBuildICmp(e->builder, LLVMIntEQ, e->from, emit_i64(e, 0), ""));
    if (kernel->transpose) {
        emit_transpose(e, kernel->transpose);
    } else if (kernel->calls.len) {
        emit_call(e);
    } else if (kernel->copy_to) {
        emit_copy(e);
    } else {
        Space space = {.e = e};
        order_axes(&space);
        residues(&space, 0);
    }
    if (mine) when_end(e, mine);
    LLVMBuildRetVoid(e->builder);
    LLVMPositionBuilderAtEnd(e->builder, e->entry);
    LLVMBuildBr(e->builder, start);
    return e->function;
}

LLVMValueRef emit_kernel(Emitter *e, Kernel *kernel, const char *name) {
    const KernelShare *mine = map_get(&e->sharing->share_of, kernel);
    if (!mine || mine->share->uses < 2) return kernel_function(e, kernel, name, NULL);
    if (!mine->share->function)
        mine->share->function =
            kernel_function(e, kernel, arena_printf(e->arena, "%s.shared", name), mine);
    return share_call(e, mine, name);
}
