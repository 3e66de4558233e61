/* SPDX-License-Identifier: MIT
 * Constants of the tables that the runtime reads, member by member, array by array.
 * Needs runtime/abi.h and LLVM. Private to this folder. */
#ifndef GRADUS_ROW_H
#define GRADUS_ROW_H
#include "abi.h"
#include "emit.h"
#include <string.h>

typedef struct Row { /* members of one struct constant */
    LLVMValueRef at[64];
    unsigned n;
} Row;

static inline void put(Row *row, LLVMValueRef value) {
    if (row->n == LENGTH(row->at)) bug("a table row too long");
    row->at[row->n++] = value;
}
static inline void put_i32(Emitter *e, Row *row, int64_t value) {
    put(row, LLVMConstInt(e->i32, (unsigned long long)value, true));
}
static inline void put_i64(Emitter *e, Row *row, int64_t value) {
    put(row, emit_i64(e, value));
}
static inline void put_f64(Emitter *e, Row *row, double value) {
    put(row, LLVMConstReal(e->f64, value));
}

static inline LLVMValueRef constant_global(Emitter *e, LLVMValueRef value, const char *name) {
    LLVMValueRef global = LLVMAddGlobal(e->module, LLVMTypeOf(value), name);
    LLVMSetInitializer(global, value);
    LLVMSetGlobalConstant(global, true);
    LLVMSetLinkage(global, LLVMPrivateLinkage);
    LLVMSetUnnamedAddress(global, LLVMGlobalUnnamedAddr);
    return global;
}

static inline void put_text(Emitter *e, Row *row, const char *text) {
    if (!text) {
        put(row, LLVMConstNull(e->ptr));
        return;
    }
    put(row,
        constant_global(
            e, LLVMConstStringInContext(e->context, text, (unsigned)strlen(text), false), "text"));
}

static inline LLVMValueRef row_value(Emitter *e, Row *row) {
    return LLVMConstStructInContext(e->context, row->at, row->n, false);
}

typedef VEC(LLVMValueRef) ValueList;

/* An array of rows; its pointer (null where empty) and then, as i32, its length. */
static inline void put_array(Emitter *e, Row *row, ValueList *rows, const char *name) {
    if (!rows->len) {
        put(row, LLVMConstNull(e->ptr));
    } else {
        LLVMTypeRef type = LLVMTypeOf(rows->at[0]);
        put(row, constant_global(e, LLVMConstArray2(type, rows->at, (uint64_t)rows->len), name));
    }
    put_i32(e, row, rows->len);
}

/* GrBuffer */
static inline LLVMValueRef buffer_row(Emitter *e, const char *name, const Buffer *buffer, const Node *node,
                               int64_t classes) {
    Row row = {.n = 0};
    put_text(e, &row, name);
    put_i64(e, &row, buffer->offset);
    put_i64(e, &row, node_count(node));
    put_i32(e, &row, node->rank);
    LLVMValueRef extent[GR_MAX_RANK];
    for (int d = 0; d < GR_MAX_RANK; d++)
        extent[d] = emit_i64(e, d < node->rank ? node->extent[d] : 0);
    put(&row, LLVMConstArray2(e->i64, extent, GR_MAX_RANK));
    put_i32(e, &row, buffer->bytes);
    put_i32(e, &row, node->per_example);
    put_i32(e, &row, classes);
    return row_value(e, &row);
}

/* guard.c: the two members of a program on the guards of its buffers. */
void emit_guards(Emitter *e, Row *program);
/* trace.c: the three members on the program "trace". */
void emit_traces(Emitter *e, Row *model);
#endif
