/* SPDX-License-Identifier: MIT
 * Orders kernels and cuts the order into phases: a barrier stands only where a value is reduced
 * over the batch or all blocks run together. Decides which new values overwrite the old in place.
 * Needs grouped kernels; keeps every bit. */
#include "plan.h"

typedef struct Uses {
    Plan *plan;
    ProgramPlan *program;
    Map readers; /* Node -> NodeReaders */
    Kernel *kernel;
    int *mark, stamp;
} Uses;
typedef struct NodeReaders {
    VEC(Kernel *) kernels;
    VEC(const Scalar *) reads;
} NodeReaders;

static NodeReaders *readers_of(Uses *uses, const Node *node) {
    return MAP_NEW(&uses->readers, node, NodeReaders);
}

static void note_read(const Scalar *read, void *context) {
    Uses *uses = context;
    NodeReaders *readers = readers_of(uses, node_value(read->node));
    VEC_PUSH(uses->plan->arena, readers->kernels, uses->kernel);
    VEC_PUSH(uses->plan->arena, readers->reads, read);
}

static void note_kernel(Uses *uses, Kernel *kernel) {
    uses->kernel = kernel;
    for (int i = 0; i < kernel->reductions.len; i++)
        sc_reads(kernel->reductions.at[i]->body, note_read, uses);
    for (int i = 0; i < kernel->maps.len; i++)
        sc_reads(kernel->maps.at[i]->body, note_read, uses);
}

static void note_whole(Uses *uses, Kernel *kernel, const Node *node);

static void note_call(Uses *uses, Kernel *kernel) {
    const Node *call = kernel->calls.len ? kernel->calls.at[0] : NULL;
    for (int i = 0; call && i < call_info[call->call].operands; i++)
        note_whole(uses, kernel, call->operand[i]);
}

static void note_whole(Uses *uses, Kernel *kernel, const Node *node) {
    NodeReaders *readers = readers_of(uses, node);
    VEC_PUSH(uses->plan->arena, readers->kernels, kernel);
    VEC_PUSH(uses->plan->arena, readers->reads, NULL);
}

static void add_copy(Uses *uses, Node *from, Node *to) {
    Arena *arena = uses->plan->arena;
    Kernel *copy = NEW(arena, Kernel);
    copy->number = uses->program->kernels.len;
    copy->kind = KERNEL_SERIAL;
    copy->copy_from = from;
    copy->copy_to = to;
    copy->split = -1;
    Kernel *made = map_get(&uses->program->kernel_of, from);
    if (made) VEC_PUSH(arena, copy->after, made);
    note_whole(uses, copy, from);
    VEC_PUSH(arena, uses->program->kernels, copy);
}

/* Every reader of the old value must be able to run before the kernel that overwrites it. */
static bool can_overwrite(Uses *uses, const Result *result, Kernel *kernel) {
    Node *value = result->node, *leaf = result->target;
    if (map_has(&uses->program->in_place, value)) return false;
    if (plan_wide(uses->program, value, uses->plan->target.float_bytes) !=
        plan_wide(uses->program, leaf, uses->plan->target.float_bytes))
        return false;
    NodeReaders *readers = map_get(&uses->readers, leaf);
    for (int i = 0; readers && i < readers->kernels.len; i++) {
        Kernel *reader = readers->kernels.at[i];
        if (reader == kernel) {
            if (!readers->reads.at[i] || !plan_identity(readers->reads.at[i], value->rank))
                return false;
        } else if (plan_follows(uses->program, reader, kernel, uses->mark, ++uses->stamp)) {
            return false;
        }
    }
    return true;
}

static void wait_for_readers(Uses *uses, Kernel *kernel, const Node *leaf) {
    NodeReaders *readers = map_get(&uses->readers, leaf);
    for (int i = 0; readers && i < readers->kernels.len; i++)
        if (readers->kernels.at[i] != kernel)
            VEC_PUSH(uses->plan->arena, kernel->after, readers->kernels.at[i]);
}

static void overwrite(Uses *uses, const Result *result) {
    Kernel *kernel = map_get(&uses->program->kernel_of, result->node);
    if (can_overwrite(uses, result, kernel)) {
        map_put(&uses->program->in_place, result->node, result->target);
    } else {
        add_copy(uses, result->node, result->target);
        kernel = uses->program->kernels.at[uses->program->kernels.len - 1];
    }
    wait_for_readers(uses, kernel, result->target);
}

static void decide_results(Uses *uses) {
    const Program *source = uses->program->program;
    int first_copy = uses->program->kernels.len;
    for (int i = 0; i < source->results.len; i++) { /* a leaf copied to another reads it first */
        const Result *result = &source->results.at[i];
        if (result->kind == RESULT_NEXT && result->node->kind != NODE_COMP &&
            result->node != result->target)
            add_copy(uses, result->node, result->target);
    }
    for (int k = first_copy; k < uses->program->kernels.len; k++)
        wait_for_readers(uses, uses->program->kernels.at[k], uses->program->kernels.at[k]->copy_to);
    for (int i = 0; i < source->results.len; i++) {
        const Result *result = &source->results.at[i];
        if (result->kind == RESULT_NEXT && result->node->kind == NODE_COMP) overwrite(uses, result);
    }
}

/* Values that some other kernel, or the world, reads must be in memory. */
static void decide_stored(Uses *uses) {
    ProgramPlan *program = uses->program;
    for (int i = 0; i < program->nodes.len; i++) {
        Node *node = program->nodes.at[i];
        if (node->kind == NODE_CALL) map_put(&program->stored, node, node);
        if (node->kind != NODE_COMP) continue;
        Kernel *home = map_get(&program->kernel_of, node);
        NodeReaders *readers = map_get(&uses->readers, node);
        bool stored = map_has(&program->of_node_transposed, node);
        for (int r = 0; readers && r < readers->kernels.len; r++)
            stored |= readers->kernels.at[r] != home ||
                      plan_carried(program, home, readers->reads.at[r]);
        if (stored) map_put(&program->stored, node, node);
    }
    for (int i = 0; i < program->program->results.len; i++) {
        Node *node = program->program->results.at[i].node;
        if (node->kind == NODE_COMP) map_put(&program->stored, node, node);
    }
}

static bool ready(const Kernel *kernel, KernelKind kind, int phase) {
    for (int i = 0; i < kernel->after.len; i++) {
        const Kernel *before = kernel->after.at[i];
        if (before->phase < 0) return false;
        if (before->phase == phase && kind == KERNEL_UNITS) return false;
    }
    return true;
}

/* Adds every ready kernel of one kind to a new phase; BLOCKS and SERIAL ones may follow each other
 * inside it. False where none was ready. */
static bool fill_phase(Plan *plan, ProgramPlan *program, KernelKind kind, bool constant) {
    PlanPhase phase = {.kind = kind};
    int number = program->phases.len;
    for (bool more = true; more;) {
        more = false;
        for (int k = 0; k < program->kernels.len; k++) {
            Kernel *kernel = program->kernels.at[k];
            if (kernel->phase >= 0 || kernel->kind != kind || (constant && !kernel->constant) ||
                (!kernel->group && !ready(kernel, kind, number)))
                continue;
            if (kernel->group) {
                if (!plan_group_ready(program, kernel->group)) continue;
                plan_group_place(plan, program, kernel->group, number, &phase);
                more = true;
                continue;
            }
            kernel->phase = number;
            VEC_PUSH(plan->arena, phase.kernels, kernel);
            more = kind != KERNEL_UNITS;
        }
    }
    if (!phase.kernels.len) return false;
    VEC_PUSH(plan->arena, program->phases, phase);
    return true;
}

static void fill_phases(Plan *plan, ProgramPlan *program, bool constant) {
    while (fill_phase(plan, program, KERNEL_SERIAL, constant) ||
           fill_phase(plan, program, KERNEL_BLOCKS, constant) ||
           fill_phase(plan, program, KERNEL_UNITS, constant)) {
    }
}

static void note_leaf(const Scalar *read, void *context) {
    NodeKind kind = read->node->kind;
    *(bool *)context &= kind == NODE_PARAM || kind == NODE_STATE || kind == NODE_FITTED;
}

/* What a program of one example makes of leaves alone: copies that lanes run along. */
static void find_constants(ProgramPlan *program) {
    for (int k = 0; program->program->kind == PROGRAM_ONE && k < program->kernels.len; k++) {
        Kernel *kernel = program->kernels.at[k];
        kernel->constant = !kernel->reductions.len && !kernel->calls.len;
        for (int i = 0; i < kernel->maps.len; i++)
            sc_reads(kernel->maps.at[i]->body, note_leaf, &kernel->constant);
    }
}

void plan_schedule(Plan *plan, ProgramPlan *program) {
    map_init(&program->stored, plan->arena);
    map_init(&program->in_place, plan->arena);
    Uses uses = {.plan = plan, .program = program};
    int most = program->kernels.len + program->program->results.len + 1;
    uses.mark = NEW_ARRAY(plan->arena, int, most);
    map_init(&uses.readers, plan->arena);
    for (int k = 0; k < program->kernels.len; k++) {
        Kernel *kernel = program->kernels.at[k];
        note_call(&uses, kernel);
        if (!kernel->transpose) {
            note_kernel(&uses, kernel);
            continue;
        }
        Node *node = kernel->transpose->node;
        Kernel *made = map_get(&program->kernel_of, node);
        if (made) VEC_PUSH(plan->arena, kernel->after, made);
        note_whole(&uses, kernel, node);
    }
    for (int k = 0; k < program->kernels.len; k++) { /* who reads along lanes waits for the turn */
        Kernel *kernel = program->kernels.at[k];
        if (!kernel->transpose) continue;
        NodeReaders *readers = map_get(&uses.readers, kernel->transpose->node);
        for (int i = 0; i < readers->kernels.len; i++)
            if (readers->kernels.at[i]->batch_sum == BATCH_SEQUENCE)
                VEC_PUSH(plan->arena, readers->kernels.at[i]->after, kernel);
    }
    decide_results(&uses);
    decide_stored(&uses);
    for (int k = 0; k < program->kernels.len; k++)
        program->kernels.at[k]->phase = -1;
    find_constants(program);
    fill_phases(plan, program, true);
    program->ready = program->phases.len;
    fill_phases(plan, program, false);
    for (int k = 0; k < program->kernels.len; k++)
        if (program->kernels.at[k]->phase < 0)
            bug("kernels of %s wait for each other", program->program->name);
}
