/* SPDX-License-Identifier: MIT
 * Sums over the examples, in the order that execution.md (point 3) fixes: within a leaf of lane
 * blocks by lane accumulators or example by example, lanes by the tree +8 +4 +2 +1, leaves by the
 * aligned binary tree, joined by binary carry so that few partial sums exist. */
#include "emit.h"

enum { MAX_LEVELS = 12 };

/* One step of the lane tree on two vectors at once: in groups of `width` lanes, the upper half is
 * added to the lower; the halves of both lie side by side in the result. */
static LLVMValueRef fold_pair(Emitter *e, LLVMValueRef a, LLVMValueRef b, int width) {
    LLVMValueRef low[LANES], high[LANES];
    int n = 0;
    for (int start = 0; start < 2 * LANES; start += width)
        for (int i = 0; i < width / 2; i++, n++) {
            low[n] = LLVMConstInt(e->i32, (unsigned)(start + i), false);
            high[n] = LLVMConstInt(e->i32, (unsigned)(start + i + width / 2), false);
        }
    LLVMValueRef x = LLVMBuildShuffleVector(e->builder, a, b, LLVMConstVector(low, LANES), "");
    LLVMValueRef y = LLVMBuildShuffleVector(e->builder, a, b, LLVMConstVector(high, LANES), "");
    return LLVMBuildFAdd(e->builder, x, y, "");
}

/* Lane i of the result is the sum over the lanes of v[i]. */
static LLVMValueRef lane_sums(Emitter *e, LLVMValueRef *v, int n) {
    LLVMValueRef level[LANES];
    for (int i = 0; i < LANES; i++)
        level[i] = i < n ? v[i] : LLVMConstNull(emit_vector(e->element));
    for (int width = LANES, count = LANES; width > 1; width /= 2, count /= 2)
        for (int i = 0; i < count / 2; i++)
            level[i] = fold_pair(e, level[2 * i], level[2 * i + 1], width);
    return level[0];
}

typedef struct BatchSums {
    int n;     /* sums: reductions times tile */
    int items; /* values that carry them from leaf to leaf: sixteen sums in one, by lanes */
    LLVMTypeRef sum_type, item_type, level_type;
    LLVMValueRef *sum;  /* allocas */
    LLVMValueRef *item; /* allocas */
    LLVMValueRef stack; /* [levels][items] */
    int levels;
    const Tile *tile; /* whose terms are summed */
    const Node *left; /* or what blocks left of this node, at pos; else NULL */
    const Pos *pos;
} BatchSums;

static void zero(Emitter *e, const BatchSums *sums) {
    for (int i = 0; i < sums->n; i++)
        LLVMBuildStore(e->builder, LLVMConstNull(sums->sum_type), sums->sum[i]);
}

static void sum_blocks(Emitter *e, const Tile *tile, LLVMValueRef from, LLVMValueRef to,
                       LLVMValueRef *sum, LLVMValueRef *where) {
    Loop block = loop_begin(e, from, to, 1);
    e->block = block.index;
    if (e->kernel->batch_sum == BATCH_SEQUENCE) {
        Loop example = loop_begin(e, emit_i64(e, 0), emit_i64(e, LANES), 1);
        e->example = example.index;
        emit_reduction_loops(e, tile, sum, where);
        loop_end(e, &example);
        e->example = NULL;
    } else {
        emit_reduction_loops(e, tile, sum, where);
    }
    loop_end(e, &block);
    e->block = NULL;
}

static void make_items(Emitter *e, const BatchSums *sums) {
    LLVMValueRef value[MAX_TILE * 4];
    for (int i = 0; i < sums->n; i++)
        value[i] = LLVMBuildLoad2(e->builder, sums->sum_type, sums->sum[i], "");
    for (int i = 0; i < sums->items; i++) {
        LLVMValueRef item = value[i];
        if (e->kernel->batch_sum == BATCH_LANES) {
            int left = sums->n - i * LANES;
            item = lane_sums(e, value + i * LANES, left < LANES ? left : LANES);
        }
        LLVMBuildStore(e->builder, item, sums->item[i]);
    }
}

static LLVMValueRef stack_at(Emitter *e, const BatchSums *sums, LLVMValueRef level, int item) {
    LLVMValueRef index[2] = {level, emit_i64(e, item)};
    return LLVMBuildGEP2(e->builder, sums->level_type, sums->stack, index, 2, "");
}

static void add_level(Emitter *e, const BatchSums *sums, LLVMValueRef level) {
    for (int i = 0; i < sums->items; i++) {
        LLVMValueRef older =
            LLVMBuildLoad2(e->builder, sums->item_type, stack_at(e, sums, level, i), "");
        LLVMValueRef item = LLVMBuildLoad2(e->builder, sums->item_type, sums->item[i], "");
        LLVMBuildStore(e->builder, LLVMBuildFAdd(e->builder, older, item, ""), sums->item[i]);
    }
}

/* Adding leaf number `leaf` is like adding one to a binary counter: each carry joins two partial
 * sums of equal size. */
static void carry(Emitter *e, const BatchSums *sums, LLVMValueRef leaf) {
    LLVMBasicBlockRef test = LLVMAppendBasicBlockInContext(e->context, e->function, "carry.test");
    LLVMBasicBlockRef body = LLVMAppendBasicBlockInContext(e->context, e->function, "carry");
    LLVMBasicBlockRef done = LLVMAppendBasicBlockInContext(e->context, e->function, "carried");
    LLVMBasicBlockRef before = LLVMGetInsertBlock(e->builder);
    LLVMBuildBr(e->builder, test);
    LLVMPositionBuilderAtEnd(e->builder, test);
    LLVMValueRef level = LLVMBuildPhi(e->builder, e->i64, "level"), none = emit_i64(e, 0);
    LLVMAddIncoming(level, &none, &before, 1);
    LLVMValueRef bit =
        LLVMBuildAnd(e->builder, LLVMBuildLShr(e->builder, leaf, level, ""), emit_i64(e, 1), "");
    LLVMBuildCondBr(e->builder, LLVMBuildICmp(e->builder, LLVMIntNE, bit, none, ""), body, done);
    LLVMPositionBuilderAtEnd(e->builder, body);
    add_level(e, sums, level);
    LLVMValueRef next = LLVMBuildAdd(e->builder, level, emit_i64(e, 1), "");
    LLVMAddIncoming(level, &next, &body, 1);
    LLVMBuildBr(e->builder, test);
    LLVMPositionBuilderAtEnd(e->builder, done);
    for (int i = 0; i < sums->items; i++)
        LLVMBuildStore(e->builder, LLVMBuildLoad2(e->builder, sums->item_type, sums->item[i], ""),
                       stack_at(e, sums, level, i));
}

/* What is left on the stack, smallest first: one partial sum for each bit of the number of leaves.
 */
static void join_levels(Emitter *e, const BatchSums *sums, LLVMValueRef leaves) {
    LLVMValueRef any = emit_alloca(e, e->i1);
    LLVMBuildStore(e->builder, LLVMConstInt(e->i1, 0, false), any);
    for (int level = 0; level < sums->levels; level++) {
        LLVMValueRef bit = LLVMBuildAnd(e->builder, leaves, emit_i64(e, (int64_t)1 << level), "");
        LLVMBasicBlockRef after =
            when_begin(e, LLVMBuildICmp(e->builder, LLVMIntNE, bit, emit_i64(e, 0), ""));
        LLVMValueRef older = LLVMBuildLoad2(e->builder, e->i1, any, "");
        for (int i = 0; i < sums->items; i++) {
            LLVMValueRef part = LLVMBuildLoad2(e->builder, sums->item_type,
                                               stack_at(e, sums, emit_i64(e, level), i), "");
            LLVMValueRef item = LLVMBuildLoad2(e->builder, sums->item_type, sums->item[i], "");
            LLVMValueRef both = LLVMBuildFAdd(e->builder, part, item, "");
            LLVMBuildStore(e->builder, LLVMBuildSelect(e->builder, older, both, part, ""),
                           sums->item[i]);
        }
        LLVMBuildStore(e->builder, LLVMConstInt(e->i1, 1, false), any);
        when_end(e, after);
    }
}

/* What leaf number `leaf` adds: the terms of its blocks, or what its one block left in memory. */
static void make_leaf(Emitter *e, const BatchSums *sums, LLVMValueRef leaf) {
    if (sums->left) {
        e->block = leaf;
        LLVMBuildStore(e->builder, emit_leaf(e, sums->left, sums->pos), sums->item[0]);
        e->block = NULL;
        return;
    }
    LLVMValueRef size = emit_i64(e, e->program->leaf_blocks);
    LLVMValueRef from = LLVMBuildMul(e->builder, leaf, size, "");
    LLVMValueRef to = LLVMBuildAdd(e->builder, from, size, "");
    if (e->program->leaf_blocks > 1) to = int_min(e, to, e->blocks);
    zero(e, sums);
    sum_blocks(e, sums->tile, from, to, sums->sum, NULL);
    make_items(e, sums);
}

/* The aligned tree over leaves from .. from + n - 1 in straight code: what a loop with a carry
 * keeps on its stack stays in registers or goes there once. */
static void leaf_tree(Emitter *e, const BatchSums *sums, int from, int n, LLVMValueRef *out) {
    if (n == 1) {
        make_leaf(e, sums, emit_i64(e, from));
        for (int i = 0; i < sums->items; i++)
            out[i] = LLVMBuildLoad2(e->builder, sums->item_type, sums->item[i], "");
        return;
    }
    LLVMValueRef before[MAX_TILE * 4];
    int left = 1;
    while (2 * left < n)
        left *= 2;
    leaf_tree(e, sums, from, left, before);
    leaf_tree(e, sums, from + left, n - left, out);
    for (int i = 0; i < sums->items; i++)
        out[i] = LLVMBuildFAdd(e->builder, before[i], out[i], "");
}

static int leaves_at_most(const Emitter *e) {
    return (e->program->blocks + e->program->leaf_blocks - 1) / e->program->leaf_blocks;
}

/* Any number of leaves, by binary carry. */
static void leaf_loop(Emitter *e, BatchSums *sums) {
    while (1 << sums->levels <= leaves_at_most(e))
        sums->levels++;
    sums->level_type = LLVMArrayType2(sums->item_type, (uint64_t)sums->items);
    sums->stack = emit_alloca(e, LLVMArrayType2(sums->level_type, (uint64_t)sums->levels));
    LLVMValueRef size = emit_i64(e, e->program->leaf_blocks);
    LLVMValueRef more =
        LLVMBuildAdd(e->builder, e->blocks, emit_i64(e, e->program->leaf_blocks - 1), "");
    LLVMValueRef leaves = LLVMBuildUDiv(e->builder, more, size, "");
    Loop leaf = loop_begin(e, emit_i64(e, 0), leaves, 1);
    make_leaf(e, sums, leaf.index);
    carry(e, sums, leaf.index);
    loop_end(e, &leaf);
    join_levels(e, sums, leaves);
}

/* A full batch has as many leaves as the plan says: where they are few, their tree is written out.
 */
static void join_leaves(Emitter *e, BatchSums *sums, int few) {
    int most = leaves_at_most(e);
    if (e->program->leaf_blocks > 1 || most > few) {
        leaf_loop(e, sums);
        return;
    }
    LLVMValueRef full = LLVMBuildICmp(e->builder, LLVMIntEQ, e->blocks, emit_i64(e, most), "");
    LLVMValueRef out[MAX_TILE * 4];
    LLVMBasicBlockRef after = when_begin(e, full);
    leaf_tree(e, sums, 0, most, out);
    for (int i = 0; i < sums->items; i++)
        LLVMBuildStore(e->builder, out[i], sums->item[i]);
    when_end(e, after);
    after = when_begin(e, LLVMBuildNot(e->builder, full, ""));
    leaf_loop(e, sums);
    when_end(e, after);
}

enum { FEW_SUMMED = 8, FEW_READ = 16 }; /* leaves in straight code: each with loops, each a load */

static void unpack(Emitter *e, const BatchSums *sums, LLVMValueRef *results) {
    for (int i = 0; i < sums->n; i++) {
        bool lanes = e->kernel->batch_sum == BATCH_LANES;
        LLVMValueRef item =
            LLVMBuildLoad2(e->builder, sums->item_type, sums->item[lanes ? i / LANES : i], "");
        if (lanes)
            item = LLVMBuildExtractElement(e->builder, item,
                                           LLVMConstInt(e->i32, (unsigned)i % LANES, false), "");
        results[i] = item;
    }
}

/* Largest, smallest, product: no order of leaves matters to the first two; products go example by
 * example, lanes last. */
static void batch_other(Emitter *e, const Tile *tile, LLVMValueRef *results) {
    int n = e->kernel->reductions.len * tile->n;
    LLVMValueRef best[MAX_TILE * 4];
    LLVMTypeRef type = emit_vector(e->element);
    for (int i = 0; i < n; i++) {
        Reduce reduce = e->kernel->reductions.at[i / tile->n]->reduce;
        if (reduce == RED_ARGMAX || reduce == RED_ARGMIN) bug("argmax over the batch has no code");
        best[i] = emit_alloca(e, type);
        LLVMBuildStore(e->builder, reduction_start(e, reduce, true), best[i]);
    }
    sum_blocks(e, tile, emit_i64(e, 0), e->blocks, best, NULL);
    for (int i = 0; i < n; i++) {
        Reduce reduce = e->kernel->reductions.at[i / tile->n]->reduce;
        LLVMValueRef lanes = LLVMBuildLoad2(e->builder, type, best[i], "");
        for (unsigned lane = 0; lane < LANES; lane++) {
            LLVMValueRef one =
                LLVMBuildExtractElement(e->builder, lanes, LLVMConstInt(e->i32, lane, false), "");
            results[i] = lane ? reduction_join(e, reduce, results[i], one) : one;
        }
    }
}

void emit_batch_tile(Emitter *e, const Tile *tile, LLVMValueRef *results) {
    if (e->kernel->reductions.at[0]->reduce != RED_SUM) {
        batch_other(e, tile, results);
        return;
    }
    BatchSums sums = {.n = e->kernel->reductions.len * tile->n, .tile = tile};
    bool lanes = e->kernel->batch_sum == BATCH_LANES;
    sums.sum_type = e->mode == CARRY_NONE ? e->element : emit_vector(e->element);
    sums.item_type = lanes ? emit_vector(e->element) : sums.sum_type;
    sums.items = lanes ? (sums.n + LANES - 1) / LANES : sums.n;
    sums.sum = NEW_ARRAY(e->arena, LLVMValueRef, sums.n);
    sums.item = NEW_ARRAY(e->arena, LLVMValueRef, sums.items);
    for (int i = 0; i < sums.n; i++)
        sums.sum[i] = emit_alloca(e, sums.sum_type);
    for (int i = 0; i < sums.items; i++)
        sums.item[i] = emit_alloca(e, sums.item_type);
    if (e->kernel->makes_leaves) { /* of one block */
        zero(e, &sums);
        emit_reduction_loops(e, tile, sums.sum, NULL);
        make_items(e, &sums);
    } else if (leaves_at_most(e) == 1) {
        make_leaf(e, &sums, emit_i64(e, 0));
    } else {
        join_leaves(e, &sums, FEW_SUMMED);
    }
    unpack(e, &sums, results);
}

LLVMValueRef emit_leaves(Emitter *e, const Node *node, const Pos *pos) {
    LLVMTypeRef type = e->mode == CARRY_DIM ? emit_vector(e->element) : e->element;
    LLVMValueRef item = emit_alloca(e, type);
    BatchSums sums = {.items = 1, .item_type = type, .item = &item, .left = node, .pos = pos};
    join_leaves(e, &sums, FEW_READ);
    return LLVMBuildLoad2(e->builder, type, item, "");
}
