/* SPDX-License-Identifier: MIT
 * Scalar expressions at one element of a tile: leaves by access.c, operators by the table of
 * math.c, draws by draw.c. What depends on the same offsets is made once. */
#include "draw.h"
#include "emit.h"

/* Does the value differ from block to block or from example to example? */
static bool block_matters(const Emitter *e, const Scalar *s) {
    return s->per_example && e->block;
}

static LLVMValueRef emit_constant(Emitter *e, double value) {
    return LLVMConstReal(e->element, value);
}

static LLVMValueRef emit_index(Emitter *e, const Scalar *s, const Pos *pos) {
    LLVMValueRef at = emit_ix(e, s->ix, pos);
    LLVMTypeRef type = emit_is_vector(at) ? emit_vector(e->element) : e->element;
    return LLVMBuildSIToFP(e->builder, at, type, "");
}

static LLVMValueRef to_i32(Emitter *e, LLVMValueRef value) {
    LLVMTypeRef type = emit_is_vector(value) ? emit_vector(e->i32) : e->i32;
    return LLVMBuildTrunc(e->builder, value, type, "");
}

/* Of the element that stands at this place of the kernel? Draws in computed positions have their
 * own. */
static bool draws_own_place(const Emitter *e, const Scalar *s) {
    return s->ix == node_element(e->plan->unit->graph, e->kernel->rank, e->kernel->extent);
}

/* Row-major number of the element, whether or not dimensions are merged. */
static LLVMValueRef draw_element(Emitter *e, const Scalar *s, const Pos *pos) {
    const Kernel *kernel = e->kernel;
    if (kernel->axes == kernel->rank || !draws_own_place(e, s))
        return to_i32(e, emit_ix(e, s->ix, pos));
    LLVMValueRef at = emit_i64(e, 0);
    bool lanes = e->mode == CARRY_DIM;
    for (int d = 0; d < kernel->axes; d++) {
        int64_t offset = (int64_t)pos->off[d] * (lanes && d == kernel->lane_axis ? LANES : 1);
        LLVMValueRef here = LLVMBuildAdd(e->builder, e->dim[d], emit_i64(e, offset), "");
        at = LLVMBuildMul(e->builder, at, emit_i64(e, kernel->axis[d]), "");
        at = LLVMBuildAdd(e->builder, at, here, "");
    }
    if (lanes) at = LLVMBuildAdd(e->builder, emit_splat(e, at), emit_iota(e), "");
    return to_i32(e, at);
}

static LLVMValueRef example_word(Emitter *e, const Buffer *buffer, const Pos *pos) {
    LLVMValueRef base = emit_buffer(e, buffer, pos->block);
    if (e->mode == CARRY_BATCH) return emit_load(e, emit_vector(e->i32), base, 64, true);
    base = emit_offset(e, base, LLVMBuildMul(e->builder, e->example, emit_i64(e, 4), ""));
    return emit_load(e, e->i32, base, 4, true);
}

/* The tile begins at a multiple of 8: which word an element takes is known now, and one evaluation
 * of the generator serves its neighbours. */
static LLVMValueRef draw_from_block(Emitter *e, const Scalar *s, const Pos *pos, LLVMValueRef seed,
                                    LLVMValueRef who, LLVMValueRef times, LLVMValueRef p) {
    int last = e->kernel->axes - 1, span = (int)draw_span(s->draw);
    int first = pos->off[last] / span * span, within = pos->off[last] % span;
    Pos start = *pos;
    start.off[last] = (int16_t)first;
    DrawBlock block = {{NULL}};
    uint64_t place = pos_hash(&start, ~0u, true);
    for (int w = 0; w < 4; w++)
        block.word[w] = memo_get(e, (const char *)s + 1 + w, place);
    if (!block.word[0]) {
        LLVMValueRef counter = LLVMBuildUDiv(e->builder, draw_element(e, s, &start),
                                             LLVMConstInt(e->i32, (unsigned)span, false), "");
        block = draw_block(&e->math, seed, s->place, counter, who, times);
        for (int w = 0; w < 4; w++)
            memo_put(e, (const char *)s + 1 + w, place, block.word[w]);
    }
    return draw_value(&e->math, s->draw, e->element, &block,
                      LLVMConstInt(e->i32, (unsigned)within, false), p);
}

static LLVMValueRef emit_draw(Emitter *e, const Scalar *s, const Pos *pos) {
    LLVMValueRef seed =
        emit_load(e, e->i64, emit_offset(e, e->mem, emit_i64(e, e->plan->seed_offset)), 8, true);
    LLVMValueRef who, times = LLVMConstInt(e->i32, 0, false);
    if (s->shared) {
        LLVMValueRef step = emit_load(
            e, e->f64, emit_offset(e, e->mem, emit_i64(e, e->plan->step_offset)), 8, true);
        who = LLVMBuildFPToUI(e->builder, step, e->i32, "");
    } else {
        who = example_word(e, e->program->number, pos);
        times = example_word(e, e->program->presentation, pos);
    }
    LLVMValueRef p = s->arg[0] ? emit_number(e, s->arg[0], pos) : NULL;
    if (e->kernel->draws && !s->shared && draws_own_place(e, s))
        return draw_from_block(e, s, pos, seed, who, times, p);
    LLVMValueRef element = draw_element(e, s, pos);
    return draw_emit(&e->math, s->draw, e->element, seed, s->place, element, who, times, p);
}

static LLVMValueRef to_number(Emitter *e, LLVMValueRef value) {
    bool vector = emit_is_vector(value);
    LLVMTypeRef scalar = vector ? LLVMGetElementType(LLVMTypeOf(value)) : LLVMTypeOf(value);
    if (scalar != e->i1) return value;
    LLVMTypeRef type = vector ? emit_vector(e->element) : e->element;
    return LLVMBuildUIToFP(e->builder, value, type, "");
}

static LLVMValueRef emit_op(Emitter *e, const Scalar *s, const Pos *pos) {
    LLVMValueRef arg[3] = {NULL, NULL, NULL};
    bool vector = false;
    int arity = op_info[s->op].arity;
    for (int i = 0; i < arity; i++) {
        arg[i] = emit_scalar(e, s->arg[i], pos);
        vector |= emit_is_vector(arg[i]);
    }
    for (int i = 0; i < arity && vector; i++)
        if (!emit_is_vector(arg[i])) arg[i] = emit_splat(e, arg[i]);
    return math_emit[s->op](&e->math, arg[0], arg[1], arg[2]);
}

LLVMValueRef emit_scalar(Emitter *e, const Scalar *s, const Pos *pos) {
    if (s->kind == SC_CONST) return emit_constant(e, s->value);
    uint64_t place = pos_hash(pos, s->dims, block_matters(e, s));
    LLVMValueRef value = memo_get(e, s, place);
    if (value) return value;
    switch (s->kind) {
    case SC_INDEX:
        value = emit_index(e, s, pos);
        break;
    case SC_READ: {
        Node *node = node_value(s->node);
        Kernel *home = map_get(&e->program->kernel_of, node);
        if (home == e->kernel && !plan_carried(e->program, home, s))
            value = memo_get(e, node, pos_hash(pos, ~0u, true));
        else
            value = emit_read(e, s, pos);
        if (!value) bug("%%%u is read in kernel %d before it is made", s->node->id, home->number);
        break;
    }
    case SC_DRAW:
        value = emit_draw(e, s, pos);
        break;
    default:
        value = emit_op(e, s, pos);
        break;
    }
    memo_put(e, s, place, value);
    return value;
}

LLVMValueRef emit_number(Emitter *e, const Scalar *s, const Pos *pos) {
    return to_number(e, emit_scalar(e, s, pos));
}

LLVMValueRef emit_as_lanes(Emitter *e, LLVMValueRef value) {
    return e->mode == CARRY_NONE || emit_is_vector(value) ? value : emit_splat(e, value);
}
