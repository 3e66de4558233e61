/* SPDX-License-Identifier: MIT
 * Kernels of one structure share one function: it takes the places of its buffers from a table.
 * Needs the plan with buffers placed. Says what is equal; emits nothing but the tables and the
 * calls. */
#include "emit.h"
#include <stdio.h>
#include <stdlib.h>

typedef struct Signature { /* the text of all that emission looks at, but for places in memory */
    Emitter *e;
    const Kernel *kernel;
    FILE *out;
    Map nodes, scalars, numbers; /* what was met -> its number + 1; numbers: of buffers */
    int nnodes, nscalars;
    VEC(Buffer *) buffers;
} Signature;

static void sign_buffer(Signature *s, Buffer *buffer) {
    if (!buffer) {
        fputs(" -", s->out);
        return;
    }
    uintptr_t number = (uintptr_t)map_get(&s->numbers, buffer);
    if (!number) {
        VEC_PUSH(s->e->arena, s->buffers, buffer);
        number = (uintptr_t)s->buffers.len;
        map_put(&s->numbers, buffer, (void *)number);
        fprintf(s->out, " (%d %d %d %d %d %lld %lld)", buffer->scratch, buffer->leaf,
                buffer->transposed, buffer->bytes, buffer->node ? buffer->node->per_example : 2,
                (long long)buffer->elements, (long long)buffer->block_stride);
    }
    fprintf(s->out, " b%d", (int)number);
}

static void sign_node(Signature *s, Node *node) {
    uintptr_t number = (uintptr_t)map_get(&s->nodes, node);
    if (!number) {
        Node *value = node_value(node);
        const ProgramPlan *program = s->e->program;
        number = (uintptr_t)++s->nnodes;
        map_put(&s->nodes, node, (void *)number);
        fprintf(s->out, " {%d %d %d %d", node->per_example,
                map_get(&program->kernel_of, value) == s->kernel, map_has(&program->stored, value),
                node->rank);
        for (int d = 0; d < node->rank; d++)
            fprintf(s->out, " %lld", (long long)node->extent[d]);
        sign_buffer(s, plan_buffer(s->e->plan, program, node));
        sign_buffer(s, map_get(&program->of_node_transposed, value));
        sign_buffer(s, map_get(&program->of_node_leaf, value));
        fputc('}', s->out);
    }
    fprintf(s->out, " n%d", (int)number);
}

static void sign_scalar(Signature *s, const Scalar *x);

static void sign_ix(Signature *s, const Ix *ix) {
    fprintf(s->out, " [%lld", (long long)ix->c);
    for (int t = 0; t < ix->n; t++) {
        const IxTerm *term = &ix->term[t];
        fprintf(s->out, " %lld*", (long long)term->coef);
        if (term->kind == ATOM_DIM) {
            fprintf(s->out, "d%d", term->dim);
        } else if (term->kind == ATOM_FLOOR) {
            sign_ix(s, term->inner);
            fprintf(s->out, "/%lld", (long long)term->by);
        } else {
            sign_scalar(s, term->value);
        }
    }
    fputc(']', s->out);
}

static void sign_scalar(Signature *s, const Scalar *x) {
    uintptr_t number = (uintptr_t)map_get(&s->scalars, x);
    if (number) {
        fprintf(s->out, " $%d", (int)number);
        return;
    }
    map_put(&s->scalars, x, (void *)(uintptr_t)++s->nscalars);
    fprintf(s->out, " (%d", x->kind);
    if (x->kind == SC_CONST) fprintf(s->out, " %a", x->value);
    if (x->kind == SC_INDEX) sign_ix(s, x->ix);
    if (x->kind == SC_OP) {
        fprintf(s->out, " %d", x->op);
        for (int i = 0; i < op_info[x->op].arity; i++)
            sign_scalar(s, x->arg[i]);
    }
    if (x->kind == SC_READ) {
        sign_node(s, x->node);
        for (int m = 0; m < x->node->rank; m++)
            sign_ix(s, x->at[m]);
        if (x->outside) sign_scalar(s, x->outside);
    }
    fputc(')', s->out);
}

static void sign_made(Signature *s, Node *node) {
    fprintf(s->out, "\n%d %d", node->reduce, node->nred);
    for (int d = node->rank; d < node_dims(node); d++)
        fprintf(s->out, " %lld", (long long)node->extent[d]);
    sign_node(s, node);
    sign_scalar(s, plan_body(s->e->program, node));
}

static void sign_kernel(Signature *s) {
    const Kernel *k = s->kernel;
    const ProgramPlan *program = s->e->program;
    fprintf(s->out, "%d %d %d %d %d %d %d %d %d %d %d %d %d %d", program->trace, k->kind,
            k->per_example, k->wide, k->rank, k->nred, k->axes, k->batch_sum, k->carrier,
            k->lane_axis, k->block_tile, k->split, k->makes_leaves, k->striped);
    for (int d = 0; d < MAX_DIMS; d++)
        fprintf(s->out, " %lld %lld %d %d", (long long)k->extent[d], (long long)k->axis[d],
                k->tile[d], k->apart[d]);
    for (int i = 0; i < k->loops; i++)
        fprintf(s->out, " %d", k->loop[i]);
    if (k->kind != KERNEL_BLOCKS) fprintf(s->out, " %d %d", program->blocks, program->leaf_blocks);
    for (int i = 0; i < k->reductions.len; i++)
        sign_made(s, k->reductions.at[i]);
    fputs("\nleaves", s->out);
    for (int i = 0; i < k->leaves.len; i++)
        sign_made(s, k->leaves.at[i]);
    if (k->transpose || k->copy_from) { /* nothing but a way from one buffer to another */
        fputs(k->transpose ? "\ntranspose" : "\ncopy", s->out);
        sign_node(s, k->transpose ? k->transpose->node : k->copy_from);
        sign_buffer(s, k->transpose ? k->transpose : plan_buffer(s->e->plan, program, k->copy_to));
    }
    fputs("\nmaps", s->out);
    for (int i = 0; i < k->maps.len; i++)
        sign_made(s, k->maps.at[i]);
}

static bool can_share(const Kernel *kernel) {
    bool draws = kernel->draws;
    for (int i = 0; i < kernel->reductions.len; i++)
        draws |= kernel->reductions.at[i]->body->draws;
    for (int i = 0; i < kernel->maps.len; i++)
        draws |= kernel->maps.at[i]->body->draws;
    return !draws && !kernel->group && !kernel->calls.len;
}

static void find_share(Emitter *e, const Kernel *kernel) {
    Signature s = {.e = e, .kernel = kernel};
    char *text = NULL;
    size_t length = 0;
    s.out = open_memstream(&text, &length);
    if (!s.out) return; /* no memory for it: then nothing is shared */
    map_init(&s.nodes, e->arena);
    map_init(&s.scalars, e->arena);
    map_init(&s.numbers, e->arena);
    sign_kernel(&s);
    if (fclose(s.out) == 0) {
        Name key = name_of(text);
        Share *share = MAP_NEW(&e->sharing->shares, key, Share);
        share->uses++;
        KernelShare *mine = NEW(e->arena, KernelShare);
        *mine = (KernelShare){share, s.buffers.at, s.buffers.len};
        map_put(&e->sharing->share_of, kernel, mine);
    }
    free(text);
}

Sharing *share_new(Arena *arena) {
    Sharing *sharing = NEW(arena, Sharing);
    map_init(&sharing->shares, arena);
    map_init(&sharing->share_of, arena);
    return sharing;
}

void share_find(Emitter *e) {
    for (int i = 0; i < e->plan->programs.len; i++) {
        e->program = e->plan->programs.at[i];
        for (int p = 0; p < e->program->phases.len && e->program->alias < 0; p++)
            for (int k = 0; k < e->program->phases.at[p].kernels.len; k++) {
                const Kernel *kernel = e->program->phases.at[p].kernels.at[k];
                if (can_share(kernel)) find_share(e, kernel);
            }
    }
}

/* The function reads the table once, at its entry. */
void share_enter(Emitter *e, const KernelShare *mine, LLVMValueRef table) {
    e->places = mine;
    e->place = NEW_ARRAY(e->arena, LLVMValueRef, mine->nbuffers + 1);
    for (int i = 0; i < mine->nbuffers; i++) {
        LLVMValueRef index = emit_i64(e, i);
        LLVMValueRef at = LLVMBuildGEP2(e->builder, e->i64, table, &index, 1, "");
        e->place[i] = LLVMBuildLoad2(e->builder, e->i64, at, "");
    }
}

LLVMValueRef share_place(Emitter *e, const Buffer *buffer) {
    for (int i = 0; e->places && i < e->places->nbuffers; i++)
        if (e->places->buffer[i] == buffer) return e->place[i];
    if (e->places) bug("a buffer that the kernel's signature does not know");
    return emit_i64(e, buffer->offset);
}

LLVMValueRef share_call(Emitter *e, const KernelShare *mine, const char *name) {
    LLVMTypeRef type[6] = {e->ptr, e->ptr, e->i64, e->i64, e->i64, e->ptr};
    LLVMValueRef arg[6],
        function = LLVMAddFunction(e->module, name, LLVMFunctionType(e->nothing, type, 5, false));
    LLVMSetLinkage(function, LLVMInternalLinkage);
    LLVMValueRef *offset = NEW_ARRAY(e->arena, LLVMValueRef, mine->nbuffers + 1);
    for (int i = 0; i < mine->nbuffers; i++)
        offset[i] = emit_i64(e, mine->buffer[i]->offset);
    LLVMValueRef values = LLVMConstArray2(e->i64, offset, (uint64_t)mine->nbuffers);
    arg[5] = LLVMAddGlobal(e->module, LLVMTypeOf(values), "");
    LLVMSetInitializer(arg[5], values);
    LLVMSetLinkage(arg[5], LLVMPrivateLinkage);
    LLVMSetGlobalConstant(arg[5], true);
    for (unsigned i = 0; i < 5; i++)
        arg[i] = LLVMGetParam(function, i);
    LLVMPositionBuilderAtEnd(e->builder, LLVMAppendBasicBlockInContext(e->context, function, ""));
    LLVMBuildCall2(e->builder, LLVMFunctionType(e->nothing, type, 6, false), mine->share->function,
                   arg, 6, "");
    LLVMBuildRetVoid(e->builder);
    return function;
}
