/* SPDX-License-Identifier: MIT
 * One register tile of a kernel: its reductions, then the maps that ride on them, then the stores.
 * Stores come last, so that a value that overwrites what it was made from is safe. */
#include "emit.h"

/* Where many shared terms are summed: sixteen partial sums by the term's number modulo 16, then the
 * lane tree (execution.md, point 4). */
static LLVMValueRef striped(Emitter *e, const Node *node, const Pos *pos) {
    LLVMTypeRef array = LLVMArrayType2(e->element, LANES);
    LLVMValueRef partial = emit_alloca(e, array), term = emit_alloca(e, e->i64);
    LLVMBuildStore(e->builder, LLVMConstNull(array), partial);
    LLVMBuildStore(e->builder, emit_i64(e, 0), term);
    Loop loop[MAX_DIMS];
    for (int d = node->rank; d < node_dims(node); d++) {
        loop[d] = loop_begin(e, emit_i64(e, 0), emit_i64(e, node->extent[d]), 1);
        e->dim[d] = loop[d].index;
    }
    LLVMValueRef number = LLVMBuildLoad2(e->builder, e->i64, term, "");
    LLVMValueRef index[2] = {emit_i64(e, 0),
                             LLVMBuildAnd(e->builder, number, emit_i64(e, LANES - 1), "")};
    LLVMValueRef place = LLVMBuildGEP2(e->builder, array, partial, index, 2, "");
    LLVMValueRef old = LLVMBuildLoad2(e->builder, e->element, place, ""), sum;
    const Scalar *body = node->body;
    if (body->kind == SC_OP && body->op == OP_MUL)
        sum = math_emit[OP_FMA](&e->math, emit_number(e, body->arg[0], pos),
                                emit_number(e, body->arg[1], pos), old);
    else
        sum = LLVMBuildFAdd(e->builder, old, emit_number(e, body, pos), "");
    LLVMBuildStore(e->builder, sum, place);
    LLVMBuildStore(e->builder, LLVMBuildAdd(e->builder, number, emit_i64(e, 1), ""), term);
    for (int d = node_dims(node) - 1; d >= node->rank; d--) {
        loop_end(e, &loop[d]);
        e->dim[d] = NULL;
    }
    LLVMValueRef lane[LANES];
    for (int i = 0; i < LANES; i++) {
        LLVMValueRef at[2] = {emit_i64(e, 0), emit_i64(e, i)};
        lane[i] = LLVMBuildLoad2(e->builder, e->element,
                                 LLVMBuildGEP2(e->builder, array, partial, at, 2, ""), "");
    }
    for (int half = LANES / 2; half; half /= 2)
        for (int i = 0; i < half; i++)
            lane[i] = LLVMBuildFAdd(e->builder, lane[i], lane[i + half], "");
    return lane[0];
}

static void reduce_here(Emitter *e, const Tile *tile, LLVMValueRef *results) {
    Kernel *kernel = e->kernel;
    bool lanes = e->mode != CARRY_NONE;
    LLVMTypeRef type = lanes ? emit_vector(e->element) : e->element;
    int n = kernel->reductions.len * tile->n;
    LLVMValueRef *sums = NEW_ARRAY(e->arena, LLVMValueRef, n),
                 *where = NEW_ARRAY(e->arena, LLVMValueRef, n);
    for (int i = 0; i < n; i++) {
        Reduce reduce = kernel->reductions.at[i / tile->n]->reduce;
        sums[i] = emit_alloca(e, type);
        LLVMBuildStore(e->builder, reduction_start(e, reduce, lanes), sums[i]);
        if (reduce != RED_ARGMAX && reduce != RED_ARGMIN) continue;
        where[i] = emit_alloca(e, type);
        LLVMBuildStore(e->builder, LLVMConstNull(type), where[i]);
    }
    emit_reduction_loops(e, tile, sums, where);
    for (int i = 0; i < n; i++)
        results[i] = LLVMBuildLoad2(e->builder, type, where[i] ? where[i] : sums[i], "");
}

static void emit_reductions(Emitter *e, const Tile *tile) {
    Kernel *kernel = e->kernel;
    LLVMValueRef results[MAX_TILE * 4];
    if (kernel->batch_sum) {
        emit_batch_tile(e, tile, results);
        if (kernel->batch_sum == BATCH_LANES) e->mode = CARRY_NONE;
    } else if (kernel->striped) {
        for (int r = 0; r < kernel->reductions.len; r++)
            for (int p = 0; p < tile->n; p++)
                results[r * tile->n + p] = striped(e, kernel->reductions.at[r], &tile->pos[p]);
    } else {
        reduce_here(e, tile, results);
    }
    memo_forget(e);
    for (int r = 0; r < kernel->reductions.len; r++)
        for (int p = 0; p < tile->n; p++)
            memo_put(e, kernel->reductions.at[r], pos_hash(&tile->pos[p], ~0u, true),
                     results[r * tile->n + p]);
}

static void emit_joined(Emitter *e, const Tile *tile) {
    Kernel *kernel = e->kernel;
    LLVMValueRef joined[MAX_TILE * 4];
    for (int i = 0; i < kernel->leaves.len; i++)
        for (int p = 0; p < tile->n; p++)
            joined[i * tile->n + p] = emit_leaves(e, kernel->leaves.at[i], &tile->pos[p]);
    for (int i = 0; i < kernel->leaves.len; i++)
        for (int p = 0; p < tile->n; p++)
            memo_put(e, kernel->leaves.at[i], pos_hash(&tile->pos[p], ~0u, true),
                     joined[i * tile->n + p]);
}

static void store_node(Emitter *e, const Node *node, const Tile *tile) {
    if (!map_has(&e->program->stored, node) && !e->kernel->makes_leaves) return;
    for (int p = 0; p < tile->n; p++) {
        LLVMValueRef value = memo_get(e, node, pos_hash(&tile->pos[p], ~0u, true));
        if (!value) bug("%%%u was not made in its tile", node->id);
        emit_write(e, node, &tile->pos[p], value);
    }
}

void emit_tile(Emitter *e, const Tile *tile) {
    Kernel *kernel = e->kernel;
    memo_forget(e);
    e->mode = kernel->carrier;
    if (kernel->reductions.len) ahead_of_maps(e, tile);
    if (kernel->reductions.len) emit_reductions(e, tile);
    if (kernel->leaves.len) emit_joined(e, tile);
    for (int i = 0; i < kernel->maps.len; i++)
        for (int p = 0; p < tile->n; p++) {
            LLVMValueRef value =
                emit_as_lanes(e, emit_number(e, emit_body_of(e, kernel->maps.at[i]), &tile->pos[p]));
            memo_put(e, kernel->maps.at[i], pos_hash(&tile->pos[p], ~0u, true), value);
        }
    for (int i = 0; i < kernel->leaves.len; i++)
        store_node(e, kernel->leaves.at[i], tile);
    for (int i = 0; i < kernel->reductions.len; i++)
        store_node(e, kernel->reductions.at[i], tile);
    for (int i = 0; i < kernel->maps.len; i++)
        store_node(e, kernel->maps.at[i], tile);
    memo_forget(e);
}
