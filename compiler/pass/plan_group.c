/* SPDX-License-Identifier: MIT
 * Groups the nodes of a program into kernels: reductions that share their loops, and the maps that
 * can ride on them. Needs a frozen graph; keeps every value. Does not order kernels or place
 * buffers. */
#include "plan.h"
#include <string.h>

typedef struct Reads {
    Arena *arena;
    const Scalar **at;
    int n, cap;
} Reads;

static void reads_add(const Scalar *read, void *context) {
    Reads *reads = context;
    if (reads->n == reads->cap)
        reads->at = vec_grow(reads->arena, reads->at, reads->n, &reads->cap, sizeof *reads->at);
    reads->at[reads->n++] = read;
}

bool plan_identity(const Scalar *read, int rank) {
    if (read->node->rank != rank) return false;
    for (int m = 0; m < rank; m++) {
        int dim;
        if (!ix_is_dim(read->at[m], &dim) || dim != m) return false;
    }
    return true;
}

bool plan_stride(const Scalar *read, int dim, int64_t *stride) {
    int64_t step = 1, sum = 0;
    for (int m = read->node->rank - 1; m >= 0; m--) {
        const Ix *ix = read->at[m];
        for (int t = 0; t < ix->n; t++) {
            const IxTerm *term = &ix->term[t];
            if (term->kind == ATOM_DIM) continue;
            uint32_t dims = term->kind == ATOM_VALUE ? term->value->dims : ix_dims(term->inner);
            if (dims >> dim & 1) return false;
        }
        sum += ix_coef(ix, dim) * step;
        step *= read->node->extent[m];
    }
    *stride = sum;
    return true;
}

bool plan_wide(const ProgramPlan *program, const Node *node, int float_bytes) {
    if (node->kind == NODE_PARAM || node->kind == NODE_STATE) return float_bytes == 8;
    return node->wide || program->wide || float_bytes == 8 || map_has(&program->doubles, node);
}

static bool same_space(const Kernel *kernel, const Node *node) {
    if (kernel->rank != node->rank || kernel->per_example != node->per_example) return false;
    for (int d = 0; d < node->rank; d++)
        if (kernel->extent[d] != node->extent[d]) return false;
    return true;
}

typedef struct Grouping {
    Plan *plan;
    ProgramPlan *program;
    int *mark, stamp;
} Grouping;

static Kernel *kernel_of(const ProgramPlan *program, const Scalar *read) {
    return map_get(&program->kernel_of, node_value(read->node));
}

/* A node may join a kernel unless another of its operands needs that kernel's result. */
static bool may_join(Grouping *grouping, const Kernel *home, const Reads *reads) {
    for (int i = 0; i < reads->n; i++) {
        Kernel *made = kernel_of(grouping->program, reads->at[i]);
        if (made && made != home && !plan_carried(grouping->program, home, reads->at[i]) &&
            plan_follows(grouping->program, made, home, grouping->mark, ++grouping->stamp))
            return false;
    }
    return true;
}

static void join(Grouping *grouping, Kernel *home, Node *node, const Reads *reads) {
    Arena *arena = grouping->plan->arena;
    if (node->reduce == RED_NONE)
        VEC_PUSH(arena, home->maps, node);
    else if (home->batch_sum == BATCH_LEAVES)
        VEC_PUSH(arena, home->leaves, node);
    else
        VEC_PUSH(arena, home->reductions, node);
    for (int i = 0; i < reads->n; i++) {
        Kernel *made = kernel_of(grouping->program, reads->at[i]);
        if (made && made != home && !plan_carried(grouping->program, home, reads->at[i]))
            VEC_PUSH(arena, home->after, made);
    }
    map_put(&grouping->program->kernel_of, node, home);
}

/* A map may ride on the kernel of its newest operand if it needs that kernel's values only where
 * they are in registers. */
static bool map_rides(Plan *plan, const ProgramPlan *program, const Kernel *kernel,
                      const Node *node, const Reads *reads) {
    if (!same_space(kernel, node) || kernel->calls.len || kernel->group != map_get(&program->groups, node)) return false;
    if (kernel->axes < kernel->rank && !plan_merges(plan, program, kernel, node, kernel->axes - 1))
        return false;
    if (kernel->batch_sum == BATCH_LANES) return false;
    if (kernel->batch_sum == BATCH_SEQUENCE && kernel->carrier == CARRY_NONE) return false;
    for (int i = 0; i < reads->n; i++)
        if (kernel_of(program, reads->at[i]) == kernel &&
            !plan_identity(reads->at[i], node->rank) &&
            !plan_carried(program, kernel, reads->at[i]))
            return false;
    return true;
}

bool plan_may_ride(Plan *plan, const ProgramPlan *program, const Kernel *kernel, const Node *node) {
    Reads reads = {.arena = plan->arena};
    sc_reads(node->body, reads_add, &reads);
    return map_rides(plan, program, kernel, node, &reads);
}

enum { STRIPED_TERMS = 64 };

/* What is shared is summed by sixteen partials where the terms are many; the value of one example as
 * each example's is in a batch, in order. */
static bool in_stripes(const ProgramPlan *program, const Node *node) {
    return !node->per_example && !node->over_batch && node->reduce == RED_SUM &&
           node_terms(node) >= STRIPED_TERMS && !map_has(&program->ones, node);
}

static bool reduction_joins(const Plan *plan, const ProgramPlan *program, const Kernel *kernel,
                            const Node *node, const Reads *reads) {
    bool leaves = kernel->batch_sum == BATCH_LEAVES;
    const Node *first = leaves                   ? kernel->leaves.at[0]
                        : kernel->reductions.len ? kernel->reductions.at[0]
                                                 : NULL;
    if (!first || (kernel->maps.len && !leaves) || !same_space(kernel, node)) return false;
    if (!leaves && kernel->axes < kernel->rank &&
        !plan_merges(plan, program, kernel, node, kernel->axes - 1))
        return false;
    if (kernel->batch_sum == BATCH_SEQUENCE && kernel->carrier == CARRY_DIM) return false;
    if (first->nred != node->nred || first->over_batch != node->over_batch) return false;
    if ((first->reduce == RED_SUM) != (node->reduce == RED_SUM)) return false;
    if (in_stripes(program, first) != in_stripes(program, node)) return false;
    for (int d = 0; d < node->nred; d++)
        if (first->extent[first->rank + d] != node->extent[node->rank + d]) return false;
    Reads mine = {.arena = arena_new()};
    bool common = false;
    sc_reads(first->body, reads_add, &mine);
    for (int i = 0; i < reads->n; i++)
        for (int j = 0; j < mine.n; j++)
            common |= reads->at[i] == mine.at[j];
    arena_free(mine.arena);
    return common && kernel->reductions.len + kernel->leaves.len < 4;
}

static Kernel *kernel_new(Plan *plan, ProgramPlan *program, const Node *node) {
    Kernel *kernel = NEW(plan->arena, Kernel);
    kernel->number = program->kernels.len;
    kernel->group = map_get(&program->groups, node);
    kernel->per_example = node->per_example;
    kernel->wide = plan_wide(program, node, plan->target.float_bytes);
    kernel->rank = node->rank;
    kernel->nred = node->nred;
    memcpy(kernel->extent, node->extent, sizeof kernel->extent);
    kernel->axes = node->rank;
    memcpy(kernel->axis, node->extent, sizeof kernel->axis);
    for (int d = 0; d < MAX_DIMS; d++)
        kernel->tile[d] = 1;
    kernel->block_tile = 1;
    kernel->split = -1;
    VEC_PUSH(plan->arena, program->kernels, kernel);
    return kernel;
}

static void merge(Kernel *kernel, int from) {
    kernel->axes = from + 1;
    for (int d = from + 1; d < kernel->rank; d++)
        kernel->axis[from] *= kernel->extent[d];
}

/* Can a read fall outside for some lanes along the last dimension, and not for others? */
static bool leaves_by_lanes(const Kernel *kernel, const Scalar *read) {
    for (int m = 0; read->outside && m < read->node->rank; m++) {
        int64_t lo, hi;
        bool known = ix_range(read->at[m], kernel->extent, &lo, &hi);
        if (known && lo >= 0 && hi < read->node->extent[m]) continue;
        if (!known || ix_dims(read->at[m]) >> (kernel->rank - 1) & 1) return true;
    }
    return false;
}

/* Do lanes fit along the last axis: every operand constant or contiguous there? Then examples can
 * be summed in sequence with sixteen results side by side. Merged dimensions count as one. */
static bool sequence_lanes(const Plan *plan, const ProgramPlan *program, Kernel *kernel,
                           const Node *node, const Reads *reads) {
    if (!node->rank) return false;
    for (int from = 0; from < node->rank; from++) {
        if (from < node->rank - 1 && !plan_merges(plan, program, kernel, node, from))
            continue;
        bool fits = true, any = false;
        for (int i = 0; i < reads->n && fits; i++) {
            int64_t stride;
            fits = !leaves_by_lanes(kernel, reads->at[i]) &&
                   plan_stride(reads->at[i], node->rank - 1, &stride) &&
                   (stride == 0 || stride == 1);
            any |= fits && stride == 1;
        }
        if (!fits || !any) return false;
        if (from < node->rank - 1) merge(kernel, from);
        kernel->lane_axis = kernel->axes - 1;
        return kernel->axis[kernel->lane_axis] >= LANES / 2;
    }
    return false;
}

enum { SERIAL_WORK = 16384 };

/* Each lane block sums its own examples where they are still in cache; the blocks are joined later,
 * where the optimizer can ride along. That takes a leaf to be one block. */
static void carry_leaves(const ProgramPlan *program, Kernel *kernel, const Node *node) {
    int64_t count = node_count(node);
    kernel->batch_sum = BATCH_LEAVES;
    kernel->kind = count * program->blocks > SERIAL_WORK ? KERNEL_UNITS : KERNEL_SERIAL;
    kernel->carrier = count >= LANES / 2 ? CARRY_DIM : CARRY_NONE;
    if (node->rank > 1) merge(kernel, 0);
    kernel->lane_axis = 0;
}

static void carry_batch_sum(Plan *plan, const ProgramPlan *program, Kernel *kernel,
                            const Node *node, const Reads *reads) {
    kernel->kind = KERNEL_UNITS;
    if (node->reduce == RED_SUM && node_terms(node) >= LANES && program->leaf_blocks == 1 &&
        program->blocks > 1 && !program->trace && !plan->target.apart) {
        carry_leaves(program, kernel, node);
        return;
    }
    if (node->reduce != RED_SUM || node_terms(node) >= LANES) {
        kernel->batch_sum = BATCH_LANES;
        kernel->carrier = CARRY_BATCH;
        return;
    }
    kernel->batch_sum = BATCH_SEQUENCE;
    bool lanes = !program->trace && sequence_lanes(plan, program, kernel, node, reads);
    kernel->carrier = lanes ? CARRY_DIM : CARRY_NONE;
}

/* A plain copy of what lies apart: sixteen loads for a store gain nothing. */
static bool copies_apart(const Node *node) {
    int64_t stride;
    return node->rank && node->reduce == RED_NONE && node->body->kind == SC_READ &&
           !(plan_stride(node->body, node->rank - 1, &stride) && stride >= 0 && stride <= 1);
}

static void carry_shared(const ProgramPlan *program, Kernel *kernel, const Node *node) {
    double work = (double)node_count(node) * (double)node_terms(node);
    kernel->kind = work > (double)SERIAL_WORK ? KERNEL_UNITS : KERNEL_SERIAL;
    kernel->striped = in_stripes(program, node);
    int last = node->rank - 1;
    bool lanes = !kernel->striped && !copies_apart(node) && last >= 0 && node->extent[last] >= LANES / 2;
    kernel->carrier = lanes ? CARRY_DIM : CARRY_NONE;
    kernel->lane_axis = last;
}

enum { BUSY_OPERAND = 16 }; /* uses of each element in a block that pay for reading it again */

/* An operand larger than half the cache that a block uses only a few times: all blocks together, so
 * that it is read once. */
static bool big_operand(const Plan *plan, const Node *reader, const Reads *reads) {
    int64_t terms = node_count(reader) * node_terms(reader);
    for (int i = 0; i < reads->n; i++) {
        const Node *node = reads->at[i]->node;
        int64_t count = node_count(node);
        if (!node->per_example && count * plan->target.float_bytes > plan->target.shared_limit &&
            terms / count < BUSY_OPERAND)
            return true;
    }
    return false;
}

static void carry(Plan *plan, ProgramPlan *program, Kernel *kernel, const Node *node,
                  const Reads *reads) {
    if (node->over_batch) {
        carry_batch_sum(plan, program, kernel, node, reads);
    } else if (node->per_example) {
        kernel->carrier = CARRY_BATCH;
        bool together = !kernel->group && node->nred && program->blocks > 1 && big_operand(plan, node, reads);
        kernel->kind = together ? KERNEL_UNITS : KERNEL_BLOCKS;
    } else {
        carry_shared(program, kernel, node);
    }
}

/* Fewer, longer loops: trailing dimensions that all members run through together become one. */
static void merge_axes(const Plan *plan, const ProgramPlan *program, Kernel *kernel) {
    if (kernel->transpose || kernel->calls.len || kernel->axes < kernel->rank) return;
    for (int from = kernel->group ? 1 : 0; from < kernel->rank - 1; from++) {
        bool ok = true;
        for (int i = 0; i < kernel->reductions.len && ok; i++)
            ok = plan_merges(plan, program, kernel, kernel->reductions.at[i], from);
        for (int i = 0; i < kernel->maps.len && ok; i++)
            ok = plan_merges(plan, program, kernel, kernel->maps.at[i], from);
        if (!ok) continue;
        merge(kernel, from);
        break;
    }
    kernel->lane_axis = kernel->axes - 1;
    if (kernel->carrier == CARRY_NONE && !kernel->reductions.len && kernel->maps.len &&
        !copies_apart(kernel->maps.at[0]) && kernel->axes &&
        kernel->axis[kernel->lane_axis] >= LANES / 2)
        kernel->carrier = CARRY_DIM;
}

/* The operand of `kernel` that its lanes run along must lie example by example. */
static void want_transposes(Plan *plan, ProgramPlan *program, Kernel *kernel) {
    if (kernel->batch_sum != BATCH_SEQUENCE || kernel->carrier != CARRY_DIM) return;
    for (int r = 0; r < kernel->reductions.len; r++) {
        Reads reads = {.arena = plan->arena};
        sc_reads(kernel->reductions.at[r]->body, reads_add, &reads);
        for (int i = 0; i < reads.n; i++) {
            Node *node = node_value(reads.at[i]->node);
            int64_t stride;
            if (!node->per_example || !plan_lane_stride(kernel, reads.at[i], &stride) ||
                stride == 0 || map_has(&program->of_node_transposed, node))
                continue;
            Buffer *buffer = NEW(plan->arena, Buffer);
            buffer->node = node;
            buffer->transposed = true;
            map_put(&program->of_node_transposed, node, buffer);
            VEC_PUSH(plan->arena, program->buffers, buffer);
            Kernel *turn = kernel_new(plan, program, node);
            turn->kind = KERNEL_BLOCKS;
            turn->group = NULL;
            turn->carrier = CARRY_BATCH;
            turn->nred = 0;
            turn->transpose = buffer;
        }
    }
}

/* The kernel of lane blocks that sums what `kernel` joins. */
static void make_leaves(Plan *plan, ProgramPlan *program, Kernel *kernel) {
    if (kernel->batch_sum != BATCH_LEAVES) return;
    Kernel *maker = kernel_new(plan, program, kernel->leaves.at[0]);
    maker->kind = KERNEL_BLOCKS;
    maker->carrier = CARRY_BATCH;
    maker->batch_sum = BATCH_LANES;
    maker->makes_leaves = true;
    for (int i = 0; i < kernel->leaves.len; i++) {
        Node *node = kernel->leaves.at[i];
        Reads reads = {.arena = plan->arena};
        sc_reads(node->body, reads_add, &reads);
        for (int r = 0; r < reads.n; r++) {
            Kernel *made = kernel_of(program, reads.at[r]);
            if (made) VEC_PUSH(plan->arena, maker->after, made);
        }
        VEC_PUSH(plan->arena, maker->reductions, node);
        Buffer *buffer = NEW(plan->arena, Buffer);
        buffer->node = node;
        buffer->leaf = true;
        map_put(&program->of_node_leaf, node, buffer);
        VEC_PUSH(plan->arena, program->buffers, buffer);
    }
    VEC_PUSH(plan->arena, kernel->after, maker);
    merge_axes(plan, program, maker);
}

/* Riding on the newest kernel keeps the value in a register longest. */
static Kernel *home_of_map(Grouping *grouping, const Node *node, const Reads *reads, bool wide) {
    Kernel *home = NULL;
    for (int i = 0; i < reads->n; i++) {
        Kernel *made = kernel_of(grouping->program, reads->at[i]);
        if (made && made->wide == wide && (!home || made->number > home->number) &&
            map_rides(grouping->plan, grouping->program, made, node, reads) &&
            may_join(grouping, made, reads))
            home = made;
    }
    if (home || node->rank > 0 || node->per_example) return home;
    /* Numbers of a step (rates, corrections): all in one kernel where order allows. */
    for (int k = grouping->program->kernels.len - 1; k >= 0; k--) {
        Kernel *kernel = grouping->program->kernels.at[k];
        if (kernel->kind == KERNEL_SERIAL && kernel->wide == wide && !kernel->reductions.len &&
            !kernel->calls.len &&
            same_space(kernel, node) && may_join(grouping, kernel, reads))
            return kernel;
    }
    return NULL;
}

static Kernel *home_of_reduction(Grouping *grouping, const Node *node, const Reads *reads,
                                 bool wide) {
    for (int k = 0; k < grouping->program->kernels.len; k++) {
        Kernel *kernel = grouping->program->kernels.at[k];
        bool own = false; /* a reduction cannot read what its own loops make */
        for (int i = 0; i < reads->n; i++)
            own |= kernel_of(grouping->program, reads->at[i]) == kernel &&
                   !plan_carried(grouping->program, kernel, reads->at[i]);
        if (!own && kernel->wide == wide &&
            kernel->group == map_get(&grouping->program->groups, node) &&
            reduction_joins(grouping->plan, grouping->program, kernel, node, reads) &&
            may_join(grouping, kernel, reads))
            return kernel;
    }
    return NULL;
}

static void group_node(Grouping *grouping, Node *node) {
    Plan *plan = grouping->plan;
    ProgramPlan *program = grouping->program;
    Reads reads = {.arena = plan->arena};
    sc_reads(node->body, reads_add, &reads);
    bool wide = plan_wide(program, node, plan->target.float_bytes);
    Kernel *home = plan->target.apart          ? NULL
                   : node->reduce == RED_NONE ? home_of_map(grouping, node, &reads, wide)
                                              : home_of_reduction(grouping, node, &reads, wide);
    if (!home) {
        home = kernel_new(plan, program, node);
        carry(plan, program, home, node, &reads);
    }
    join(grouping, home, node, &reads);
}

/* All results of a call are made at once. */
static void group_call(Grouping *grouping, Node *node) {
    Plan *plan = grouping->plan;
    ProgramPlan *program = grouping->program;
    Kernel *home = NULL;
    for (int k = 0; k < program->kernels.len && !home; k++) {
        Kernel *kernel = program->kernels.at[k];
        if (!kernel->calls.len) continue;
        const Node *first = kernel->calls.at[0];
        if (first->call == node->call &&
            !memcmp(first->operand, node->operand, sizeof node->operand))
            home = kernel;
    }
    if (!home) {
        home = kernel_new(plan, program, node);
        home->kind = KERNEL_SERIAL;
        for (int i = 0; i < call_info[node->call].operands; i++) {
            Kernel *made = map_get(&program->kernel_of, node->operand[i]);
            if (made) VEC_PUSH(plan->arena, home->after, made);
        }
    }
    VEC_PUSH(plan->arena, home->calls, node);
    map_put(&program->kernel_of, node, home);
}

void plan_group(Plan *plan, ProgramPlan *program) {
    map_init(&program->of_node_transposed, plan->arena);
    map_init(&program->of_node_leaf, plan->arena);
    map_init(&program->kernel_of, plan->arena);
    Grouping grouping = {plan, program, NEW_ARRAY(plan->arena, int, program->nodes.len + 1), 0};
    for (int i = 0; i < program->nodes.len; i++)
        if (program->nodes.at[i]->kind == NODE_COMP) {
            group_node(&grouping, program->nodes.at[i]);
        } else if (program->nodes.at[i]->kind == NODE_CALL) {
            group_call(&grouping, program->nodes.at[i]);
        }
    if (!plan->target.apart) plan_sink(plan, program);
    int made = program->kernels.len;
    for (int k = 0; k < made; k++) {
        Kernel *kernel = program->kernels.at[k];
        merge_axes(plan, program, kernel);
        want_transposes(plan, program, kernel);
        make_leaves(plan, program, kernel);
    }
}
