/* SPDX-License-Identifier: MIT
 * The small change of emission: types, constants, loops, memory, and the memo of values that are
 * still valid. Needs LLVM. Knows nothing of tensors. */
#include "emit.h"
#include <string.h>

enum { MEMO_SIZE = 1 << 16 };

void emit_init(Emitter *e, Plan *plan, Sharing *sharing, LLVMContextRef context,
               LLVMModuleRef module) {
    memset(e, 0, sizeof *e);
    e->plan = plan;
    e->sharing = sharing;
    e->arena = plan->arena;
    e->context = context;
    e->module = module;
    e->builder = LLVMCreateBuilderInContext(context);
    e->i1 = LLVMInt1TypeInContext(context);
    e->i8 = LLVMInt8TypeInContext(context);
    e->i32 = LLVMInt32TypeInContext(context);
    e->i64 = LLVMInt64TypeInContext(context);
    e->f32 = LLVMFloatTypeInContext(context);
    e->f64 = LLVMDoubleTypeInContext(context);
    e->ptr = LLVMPointerTypeInContext(context, 0);
    e->nothing = LLVMVoidTypeInContext(context);
    e->math.context = context;
    e->math.module = module;
    e->math.builder = e->builder;
    e->memo = NEW_ARRAY(plan->arena, MemoSlot, MEMO_SIZE);
    e->kind_scope = LLVMGetMDKindIDInContext(context, "alias.scope", 11);
    e->kind_noalias = LLVMGetMDKindIDInContext(context, "noalias", 7);
}

LLVMValueRef emit_i64(Emitter *e, int64_t value) {
    return LLVMConstInt(e->i64, (unsigned long long)value, true);
}

LLVMTypeRef emit_vector(LLVMTypeRef element) {
    return LLVMVectorType(element, LANES);
}

bool emit_is_vector(LLVMValueRef value) {
    return LLVMGetTypeKind(LLVMTypeOf(value)) == LLVMVectorTypeKind;
}

LLVMValueRef emit_splat(Emitter *e, LLVMValueRef scalar) {
    LLVMTypeRef vector = emit_vector(LLVMTypeOf(scalar));
    LLVMTypeRef mask = LLVMVectorType(e->i32, LANES);
    LLVMValueRef one = LLVMBuildInsertElement(e->builder, LLVMGetPoison(vector), scalar,
                                              LLVMConstInt(e->i32, 0, false), "");
    return LLVMBuildShuffleVector(e->builder, one, LLVMGetPoison(vector), LLVMConstNull(mask), "");
}

LLVMValueRef emit_iota(Emitter *e) {
    LLVMValueRef lane[LANES];
    for (int i = 0; i < LANES; i++)
        lane[i] = emit_i64(e, i);
    return LLVMConstVector(lane, LANES);
}

LLVMValueRef emit_alloca(Emitter *e, LLVMTypeRef type) {
    LLVMBasicBlockRef here = LLVMGetInsertBlock(e->builder);
    LLVMValueRef first = LLVMGetFirstInstruction(e->entry);
    if (first)
        LLVMPositionBuilderBefore(e->builder, first);
    else
        LLVMPositionBuilderAtEnd(e->builder, e->entry);
    LLVMValueRef place = LLVMBuildAlloca(e->builder, type, "");
    LLVMSetAlignment(place, 64);
    LLVMPositionBuilderAtEnd(e->builder, here);
    return place;
}

LLVMValueRef emit_load(Emitter *e, LLVMTypeRef type, LLVMValueRef pointer, unsigned align,
                       bool only_read) {
    LLVMValueRef value = LLVMBuildLoad2(e->builder, type, pointer, "");
    LLVMSetAlignment(value, align);
    if (only_read) LLVMSetMetadata(value, e->kind_scope, e->alias_read);
    return value;
}

void emit_store(Emitter *e, LLVMValueRef value, LLVMValueRef pointer, unsigned align) {
    LLVMValueRef store = LLVMBuildStore(e->builder, value, pointer);
    LLVMSetAlignment(store, align);
    LLVMSetMetadata(store, e->kind_noalias, e->alias_read);
}

LLVMValueRef emit_offset(Emitter *e, LLVMValueRef pointer, LLVMValueRef bytes) {
    if (!bytes) return pointer;
    return LLVMBuildGEP2(e->builder, e->i8, pointer, &bytes, 1, "");
}

LLVMValueRef int_min(Emitter *e, LLVMValueRef a, LLVMValueRef b) {
    LLVMValueRef less = LLVMBuildICmp(e->builder, LLVMIntSLT, a, b, "");
    return LLVMBuildSelect(e->builder, less, a, b, "");
}

LLVMValueRef int_max(Emitter *e, LLVMValueRef a, LLVMValueRef b) {
    LLVMValueRef more = LLVMBuildICmp(e->builder, LLVMIntSGT, a, b, "");
    return LLVMBuildSelect(e->builder, more, a, b, "");
}

bool emit_known(LLVMValueRef value, int64_t *number) {
    if (!value || !LLVMIsAConstantInt(value)) return false;
    *number = LLVMConstIntGetSExtValue(value);
    return true;
}

/* Test at the bottom; a test in front only where the loop may not run at all. */
Loop loop_begin(Emitter *e, LLVMValueRef start, LLVMValueRef end, int64_t step) {
    Loop loop = {.end = end, .step = step};
    int64_t first = 0, last = 0;
    bool runs = emit_known(start, &first) && emit_known(end, &last) && first < last;
    loop.body = LLVMAppendBasicBlockInContext(e->context, e->function, "loop");
    loop.exit = LLVMAppendBasicBlockInContext(e->context, e->function, "done");
    LLVMBasicBlockRef before = LLVMGetInsertBlock(e->builder);
    if (runs) {
        LLVMBuildBr(e->builder, loop.body);
    } else {
        LLVMValueRef some = LLVMBuildICmp(e->builder, LLVMIntSLT, start, end, "");
        LLVMBuildCondBr(e->builder, some, loop.body, loop.exit);
    }
    LLVMPositionBuilderAtEnd(e->builder, loop.body);
    loop.index = LLVMBuildPhi(e->builder, e->i64, "i");
    LLVMAddIncoming(loop.index, &start, &before, 1);
    memo_forget(e);
    return loop;
}

void loop_end(Emitter *e, const Loop *loop) {
    LLVMValueRef next = LLVMBuildNSWAdd(e->builder, loop->index, emit_i64(e, loop->step), "");
    LLVMValueRef more = LLVMBuildICmp(e->builder, LLVMIntSLT, next, loop->end, "");
    LLVMBasicBlockRef last = LLVMGetInsertBlock(e->builder);
    LLVMBuildCondBr(e->builder, more, loop->body, loop->exit);
    LLVMAddIncoming(loop->index, &next, &last, 1);
    LLVMPositionBuilderAtEnd(e->builder, loop->exit);
    memo_forget(e);
}

LLVMBasicBlockRef when_begin(Emitter *e, LLVMValueRef condition) {
    LLVMBasicBlockRef then = LLVMAppendBasicBlockInContext(e->context, e->function, "then");
    LLVMBasicBlockRef after = LLVMAppendBasicBlockInContext(e->context, e->function, "after");
    LLVMBuildCondBr(e->builder, condition, then, after);
    LLVMPositionBuilderAtEnd(e->builder, then);
    memo_forget(e);
    return after;
}

void when_end(Emitter *e, LLVMBasicBlockRef after) {
    LLVMBuildBr(e->builder, after);
    LLVMPositionBuilderAtEnd(e->builder, after);
    memo_forget(e);
}

void memo_forget(Emitter *e) {
    e->generation++;
}

static MemoSlot *memo_slot(Emitter *e, const void *key, uint64_t place) {
    uint64_t hash =
        ((uint64_t)(uintptr_t)key * 0x9E3779B97F4A7C15u) ^ (place * 0xC2B2AE3D27D4EB4Fu);
    for (uint64_t i = hash >> 20, tries = 0; tries < 16; i++, tries++) {
        MemoSlot *slot = &e->memo[i % MEMO_SIZE];
        if (slot->generation != e->generation || (slot->key == key && slot->place == place))
            return slot;
    }
    return NULL;
}

LLVMValueRef memo_get(Emitter *e, const void *key, uint64_t place) {
    MemoSlot *slot = memo_slot(e, key, place);
    bool valid =
        slot && slot->generation == e->generation && slot->key == key && slot->place == place;
    return valid ? slot->value : NULL;
}

void memo_put(Emitter *e, const void *key, uint64_t place, LLVMValueRef value) {
    MemoSlot *slot = memo_slot(e, key, place);
    if (slot) *slot = (MemoSlot){key, place, e->generation, value};
}

/* Exact, not only likely to differ: offsets are small. */
uint64_t pos_hash(const Pos *pos, uint32_t dims, bool block) {
    uint64_t place = block ? (uint64_t)pos->block + 1 : 0;
    for (int d = 0; d < MAX_DIMS; d++)
        if (dims >> d & 1) place = place * 131 + (uint64_t)pos->off[d] + 1 + (uint64_t)d * 7;
    return place;
}
