/* SPDX-License-Identifier: MIT
 * Moves a map to the kernel of its only readers where its value then need not go through memory,
 * and nothing else must that did not before. Needs grouped kernels whose axes are not merged yet;
 * keeps every value. */
#include "plan.h"

typedef struct Readers {
    Kernel *kernel; /* the one that reads it, outside of its own; or NULL */
    bool several;   /* more than one of those */
    bool own;       /* read in its own kernel */
    bool kept;      /* read by a reduction or not element by element, or a result, or unknown */
} Readers;

typedef struct Sinking {
    Plan *plan;
    ProgramPlan *program;
    Map readers; /* Node -> Readers */
    Kernel *kernel;
    bool map;
    bool stays; /* the node looked at: an operand would have to be stored for it */
} Sinking;

static Readers *readers_of(Sinking *sinking, const Node *node) {
    return MAP_NEW(&sinking->readers, node, Readers);
}

static void note(const Scalar *read, void *context) {
    Sinking *sinking = context;
    Node *node = node_value(read->node);
    Kernel *home = map_get(&sinking->program->kernel_of, node);
    if (!home) return;
    Readers *readers = readers_of(sinking, node);
    if (!sinking->map || read->node != node || !plan_identity(read, sinking->kernel->rank))
        readers->kept = true;
    readers->own |= home == sinking->kernel;
    if (home == sinking->kernel) return;
    readers->several |= readers->kernel && readers->kernel != sinking->kernel;
    readers->kernel = sinking->kernel;
}

static void note_all(Sinking *sinking) {
    ProgramPlan *program = sinking->program;
    map_init(&sinking->readers, sinking->plan->arena);
    for (int k = 0; k < program->kernels.len; k++) {
        Kernel *kernel = sinking->kernel = program->kernels.at[k];
        for (int i = 0; i < kernel->reductions.len + kernel->leaves.len + kernel->maps.len; i++) {
            int sums = kernel->reductions.len + kernel->leaves.len;
            const Node *node = i < kernel->reductions.len ? kernel->reductions.at[i]
                               : i < sums ? kernel->leaves.at[i - kernel->reductions.len]
                                          : kernel->maps.at[i - sums];
            sinking->map = i >= sums;
            sc_reads(node->body, note, sinking);
        }
        for (int i = 0; kernel->calls.len && i < call_info[kernel->calls.at[0]->call].operands; i++)
            readers_of(sinking, kernel->calls.at[0]->operand[i])->kept = true;
    }
    for (int i = 0; i < program->program->results.len; i++)
        readers_of(sinking, program->program->results.at[i].node)->kept = true;
}

/* An operand made in the same kernel must be in memory already, for others. */
static void check_operand(const Scalar *read, void *context) {
    Sinking *sinking = context;
    const Node *node = node_value(read->node);
    if (map_get(&sinking->program->kernel_of, node) != sinking->kernel) return;
    const Readers *readers = map_get(&sinking->readers, node);
    sinking->stays |= !plan_identity(read, sinking->kernel->rank) || !readers || !readers->kernel;
}

/* What is known of the readers of a moved node's operands is of yesterday: until the next round. */
static void wait_for(const Scalar *read, void *context) {
    Sinking *sinking = context;
    readers_of(sinking, node_value(read->node))->kept = true;
    Kernel *made = map_get(&sinking->program->kernel_of, node_value(read->node));
    if (made && made != sinking->kernel)
        VEC_PUSH(sinking->plan->arena, sinking->kernel->after, made);
}

/* Moves map number i of its kernel to the front of its readers' kernel, which is as wide: values of
 * each example are, all of them. */
static bool sink(Sinking *sinking, Kernel *home, int i) {
    Node *node = home->maps.at[i];
    const Readers *readers = map_get(&sinking->readers, node);
    if (!node->per_example || !readers || !readers->kernel || readers->several || readers->kept ||
        readers->own || node->body->draws || home->group)
        return false;
    Kernel *to = readers->kernel;
    if (!plan_may_ride(sinking->plan, sinking->program, to, node)) return false;
    sinking->kernel = home;
    sinking->stays = false;
    sc_reads(node->body, check_operand, sinking);
    if (sinking->stays) return false;
    for (int k = i; k + 1 < home->maps.len; k++)
        home->maps.at[k] = home->maps.at[k + 1];
    home->maps.len--;
    VEC_PUSH(sinking->plan->arena, to->maps, node);
    for (int k = to->maps.len - 1; k > 0; k--)
        to->maps.at[k] = to->maps.at[k - 1];
    to->maps.at[0] = node;
    map_put(&sinking->program->kernel_of, node, to);
    sinking->kernel = to;
    sc_reads(node->body, wait_for, sinking);
    return true;
}

static bool is_empty(const Kernel *kernel) {
    return !kernel->reductions.len && !kernel->maps.len && !kernel->leaves.len &&
           !kernel->calls.len;
}

/* Kernels that have lost all they made; whoever waited for one waits for its operands' by now. */
static void drop_empty(ProgramPlan *program) {
    int n = 0;
    for (int k = 0; k < program->kernels.len; k++) {
        Kernel *kernel = program->kernels.at[k];
        int after = 0;
        for (int i = 0; i < kernel->after.len; i++)
            if (!is_empty(kernel->after.at[i])) kernel->after.at[after++] = kernel->after.at[i];
        kernel->after.len = after;
    }
    for (int k = 0; k < program->kernels.len; k++)
        if (!is_empty(program->kernels.at[k])) {
            program->kernels.at[n] = program->kernels.at[k];
            program->kernels.at[n]->number = n;
            n++;
        }
    program->kernels.len = n;
}

enum { ROUNDS = 4 }; /* a chain of maps moves one link a round at least */

void plan_sink(Plan *plan, ProgramPlan *program) {
    Sinking sinking = {.plan = plan, .program = program};
    bool moved = true;
    for (int round = 0; round < ROUNDS && moved; round++) {
        moved = false;
        note_all(&sinking);
        for (int k = program->kernels.len - 1; k >= 0; k--)
            for (int i = program->kernels.at[k]->maps.len - 1; i >= 0; i--)
                moved |= sink(&sinking, program->kernels.at[k], i);
    }
    drop_empty(program);
}
