/* SPDX-License-Identifier: MIT
 * Gives every stored value a buffer and every buffer a place: values that live and die within one
 * phase of lane blocks in the running thread's scratch, one block of them; the rest in mem.
 * Needs scheduled kernels. */
#include "plan.h"
#include <stdlib.h>

typedef struct Life {
    Plan *plan;
    ProgramPlan *program;
    Kernel *kernel;
    int order; /* of the kernel among all: the clock of scratch; -1 while phases are the clock */
} Life;

static int64_t align64(int64_t n) {
    return (n + 63) & ~(int64_t)63;
}

static Buffer *buffer_new(Plan *plan, ProgramPlan *program, Node *node) {
    Buffer *buffer = NEW(plan->arena, Buffer);
    buffer->node = node;
    map_put(&program->of_node, node, buffer);
    VEC_PUSH(plan->arena, program->buffers, buffer);
    return buffer;
}

Buffer *plan_buffer(const Plan *plan, const ProgramPlan *program, const Node *node) {
    node = node_value((Node *)(uintptr_t)node);
    Buffer *buffer = map_get(&plan->leaf, node);
    if (buffer) return buffer;
    const Node *leaf = map_get(&program->in_place, node);
    if (leaf) return map_get(&plan->leaf, leaf);
    return map_get(&program->of_node, node);
}

static void size_buffer(Plan *plan, ProgramPlan *program, Buffer *buffer) {
    const Node *node = buffer->node;
    buffer->bytes = plan_wide(program, node, plan->target.float_bytes) ? 8 : 4;
    buffer->elements = node_count(node);
    if (buffer->leaf) { /* read sixteen at a time, past the last one too */
        buffer->elements = (buffer->elements + LANES - 1) / LANES * LANES;
        buffer->block_stride = align64(buffer->elements * buffer->bytes);
        buffer->size = buffer->block_stride * program->blocks;
        return;
    }
    if (!node->per_example) {
        buffer->size = align64(buffer->elements * buffer->bytes);
        return;
    }
    /* Turning writes whole groups of 16 elements; nobody looks at what is past the last one. */
    if (buffer->transposed) buffer->elements = (buffer->elements + LANES - 1) / LANES * LANES;
    else if (node->rank) buffer->elements = plan_pitch(program, node) * node->extent[0];
    buffer->block_stride = align64(buffer->elements * LANES * buffer->bytes);
    buffer->size = buffer->block_stride * program->blocks;
}

static void touch(Life *life, Buffer *buffer) {
    if (!buffer || buffer->persistent || (life->order >= 0 && !buffer->scratch)) return;
    bool private = life->kernel->kind == KERNEL_BLOCKS && !life->program->trace;
    int phase = life->order >= 0 ? life->order : life->kernel->phase;
    if (buffer->first < 0) {
        buffer->first = buffer->last = phase;
        if (life->order < 0) buffer->scratch = private && buffer->node->per_example;
    }
    if (phase < buffer->first) buffer->first = phase;
    if (phase > buffer->last) buffer->last = phase;
    if (life->order < 0 && (buffer->first != buffer->last || !private)) buffer->scratch = false;
}

static void touch_read(const Scalar *read, void *context) {
    Life *life = context;
    touch(life, plan_buffer(life->plan, life->program, read->node));
    touch(life, map_get(&life->program->of_node_transposed, node_value(read->node)));
}

static void touch_kernel(Life *life) {
    Kernel *kernel = life->kernel;
    for (int i = 0; i < kernel->reductions.len + kernel->maps.len; i++) {
        Node *node = i < kernel->reductions.len ? kernel->reductions.at[i]
                                                : kernel->maps.at[i - kernel->reductions.len];
        if (kernel->makes_leaves)
            touch(life, map_get(&life->program->of_node_leaf, node));
        else if (map_has(&life->program->stored, node))
            touch(life, plan_buffer(life->plan, life->program, node));
        sc_reads(plan_body(life->program, node), touch_read, life);
    }
    for (int i = 0; i < kernel->leaves.len; i++) {
        touch(life, map_get(&life->program->of_node_leaf, kernel->leaves.at[i]));
        if (map_has(&life->program->stored, kernel->leaves.at[i]))
            touch(life, plan_buffer(life->plan, life->program, kernel->leaves.at[i]));
    }
    for (int i = 0; i < kernel->calls.len; i++) {
        const Node *call = kernel->calls.at[i];
        touch(life, plan_buffer(life->plan, life->program, call));
        for (int k = 0; k < call_info[call->call].operands; k++)
            touch(life, plan_buffer(life->plan, life->program, call->operand[k]));
    }
    if (kernel->transpose) {
        touch(life, kernel->transpose);
        touch(life, plan_buffer(life->plan, life->program, kernel->transpose->node));
    }
    if (kernel->copy_from) touch(life, plan_buffer(life->plan, life->program, kernel->copy_from));
}

static int by_size(const void *a, const void *b) {
    const Buffer *x = *(Buffer *const *)a, *y = *(Buffer *const *)b;
    if (x->size != y->size) return x->size < y->size ? 1 : -1;
    return x->first != y->first ? (x->first < y->first ? -1 : 1) : 0;
}

/* Largest first, each at the lowest place free throughout its life. */
static int64_t place(Buffer **buffers, int n, bool scratch) {
    int64_t top = 0;
    for (int i = 0; i < n; i++) {
        Buffer *buffer = buffers[i];
        if (buffer->scratch != scratch) continue;
        int64_t size = (scratch ? buffer->block_stride : buffer->size) + GUARD, at = 0;
        for (bool moved = true; moved;) {
            moved = false;
            for (int j = 0; j < i; j++) {
                const Buffer *other = buffers[j];
                bool apart = other->last < buffer->first || buffer->last < other->first;
                if (other->scratch != scratch || (apart && !GUARD)) continue; /* guards stay */
                int64_t other_size = (scratch ? other->block_stride : other->size) + GUARD;
                if (at < other->offset + other_size && other->offset < at + size) {
                    at = other->offset + other_size;
                    moved = true;
                }
            }
        }
        buffer->offset = at;
        if (at + size > top) top = at + size;
    }
    return top;
}

static Buffer *words(Plan *plan, ProgramPlan *program) {
    Buffer *buffer = NEW(plan->arena, Buffer);
    buffer->bytes = 4;
    buffer->elements = 1;
    buffer->block_stride = LANES * 4;
    buffer->size = align64(buffer->block_stride * program->blocks);
    buffer->first = 0;
    buffer->last = program->phases.len;
    VEC_PUSH(plan->arena, program->buffers, buffer);
    return buffer;
}

/* Touches what every kernel uses, in order. */
static void live(Plan *plan, ProgramPlan *program, bool scratch) {
    int order = 0;
    for (int p = 0; p < program->phases.len; p++)
        for (int k = 0; k < program->phases.at[p].kernels.len; k++) {
            Kernel *kernel = program->phases.at[p].kernels.at[k];
            /* the kernels of a recurrence take turns: what they use lives through all of them */
            bool again = k && kernel->group && program->phases.at[p].kernels.at[k - 1]->group == kernel->group;
            if (k || p) order += !again;
            Life life = {plan, program, kernel, scratch ? order : -1};
            touch_kernel(&life);
        }
}

/* Inputs stay, so that a run can be repeated; results stay until they are read. */
static void keep(ProgramPlan *program, Node *node, int first) {
    Buffer *buffer = map_get(&program->of_node, node);
    if (!buffer) return;
    if (first == 0) buffer->first = 0;
    buffer->last = program->phases.len;
    buffer->scratch = false;
}

void plan_memory(Plan *plan, ProgramPlan *program) {
    map_init(&program->of_node, plan->arena);
    bool draws = false;
    for (int i = 0; i < program->nodes.len; i++) {
        Node *node = program->nodes.at[i];
        if (node->kind == NODE_INPUT || node->kind == NODE_CALL) buffer_new(plan, program, node);
        if (node->kind != NODE_COMP) continue;
        draws |= node->body->draws_own;
        if (map_has(&program->stored, node) && !map_has(&program->in_place, node))
            buffer_new(plan, program, node);
    }
    for (int i = 0; i < program->buffers.len; i++) {
        size_buffer(plan, program, program->buffers.at[i]);
        program->buffers.at[i]->first = program->buffers.at[i]->last = -1;
    }
    live(plan, program, false);
    for (int i = 0; i < program->nodes.len; i++)
        if (program->nodes.at[i]->kind == NODE_INPUT) keep(program, program->nodes.at[i], 0);
    for (int i = 0; program->trace && i < program->nodes.len; i++)
        keep(program, program->nodes.at[i], 0);
    for (int i = 0; i < program->program->results.len; i++)
        keep(program, program->program->results.at[i].node, -1);
    for (int k = 0; k < program->kernels.len; k++)
        for (int i = 0; program->kernels.at[k]->constant && i < program->kernels.at[k]->maps.len; i++)
            keep(program, program->kernels.at[k]->maps.at[i], 0);
    if (draws) program->number = words(plan, program), program->presentation = words(plan, program);
    for (int i = 0; i < program->buffers.len; i++)
        if (program->buffers.at[i]->scratch) program->buffers.at[i]->first = -1;
    live(plan, program, true); /* the layers of one block share its scratch */
    Buffer **order = NEW_ARRAY(plan->arena, Buffer *, program->buffers.len + 1);
    for (int i = 0; i < program->buffers.len; i++)
        order[i] = program->buffers.at[i];
    qsort(order, (size_t)program->buffers.len, sizeof *order, by_size);
    program->mem = place(order, program->buffers.len, false);
    program->scratch = place(order, program->buffers.len, true);
}
