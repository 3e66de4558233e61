/* SPDX-License-Identifier: MIT
 * Rematerialization: a map that a later phase reads is made again there, not stored, where it is cheap
 * and all that it is made from is in memory then anyway. The value is the same: the same operators
 * on the same operands, in the same precision. Needs phases; only maps that ride by lanes take part. */
#include "plan.h"

enum { MOST_OPS = 8, MOST_OPERANDS = 2 /* of each example: each is a load in place of one */ };

typedef struct Reader {
    Kernel *kernel;
    Node *node;     /* whose body reads it */
    bool as_a_map;  /* element by element, in a map */
} Reader;

typedef struct Readers {
    VEC(Reader) at;
    bool whole; /* somebody takes all of it */
} Readers;

typedef struct Remat {
    Plan *plan;
    ProgramPlan *program;
    Map readers;      /* Node -> Readers */
    Map overwritten;  /* leaf -> the kernel that writes it */
    Map dropped;      /* nodes that need no memory any more */
    Kernel *kernel;   /* whose reads are noted; then the one that the map is made again in */
    Node *node;
    bool is_map;
    const Node *value; /* that is made again */
    int ops, operands;
    bool no;
} Remat;

const Scalar *plan_body(const ProgramPlan *program, const Node *node) {
    const Scalar *body = map_get(&program->bodies, node);
    return body ? body : node->body;
}

static Readers *readers_of(Remat *r, const Node *node) {
    return MAP_NEW(&r->readers, node, Readers);
}

static void note_read(const Scalar *read, void *context) {
    Remat *r = context;
    Node *node = node_value(read->node);
    bool map = r->is_map && read->node == node && plan_identity(read, r->kernel->rank);
    Reader reader = {r->kernel, r->node, map};
    VEC_PUSH(r->plan->arena, readers_of(r, node)->at, reader);
}

static void note_kernel(Remat *r, Kernel *kernel) {
    r->kernel = kernel;
    for (int i = 0; i < kernel->reductions.len + kernel->maps.len; i++) {
        r->is_map = i >= kernel->reductions.len;
        r->node = r->is_map ? kernel->maps.at[i - kernel->reductions.len] : kernel->reductions.at[i];
        sc_reads(r->node->body, note_read, r);
        const Node *leaf = map_get(&r->program->in_place, r->node);
        if (leaf) map_put(&r->overwritten, leaf, kernel);
    }
    for (int i = 0; kernel->calls.len && i < call_info[kernel->calls.at[0]->call].operands; i++)
        readers_of(r, kernel->calls.at[0]->operand[i])->whole = true;
    if (kernel->copy_from) readers_of(r, kernel->copy_from)->whole = true;
    if (kernel->copy_to) map_put(&r->overwritten, kernel->copy_to, kernel);
}

static int last_phase(Remat *r, const Node *node) {
    const Readers *readers = readers_of(r, node);
    int last = -1;
    for (int i = 0; i < readers->at.len; i++)
        if (readers->at.at[i].kernel->phase > last) last = readers->at.at[i].kernel->phase;
    return last;
}

static const Scalar *made_again(Remat *r, const Node *node);

static bool in_memory(const Remat *r, const Node *node) {
    return map_has(&r->program->stored, node) && !map_has(&r->dropped, node);
}

/* What stands for an operand: itself where it is in memory at that time, else its body. */
static const Scalar *operand(Graph *graph, const Scalar *leaf, void *context) {
    Remat *r = context;
    (void)graph;
    if (leaf->kind != SC_READ) return NULL;
    Node *node = node_value(leaf->node);
    const Kernel *writes = map_get(&r->overwritten, node);
    r->no |= node != leaf->node || (writes && writes->phase <= r->kernel->phase);
    if (node->kind == NODE_COMP && !in_memory(r, node)) {
        if (!plan_identity(leaf, r->kernel->rank) || node->reduce != RED_NONE) r->no = true;
        return r->no ? NULL : made_again(r, node);
    }
    if (!node->per_example) return NULL;
    r->operands++;
    r->no |= node->kind == NODE_COMP && last_phase(r, node) < r->kernel->phase;
    return NULL;
}

static int count_ops(Remat *r, const Scalar *s) {
    if (s->kind == SC_DRAW || (s->kind == SC_OP && op_info[s->op].costly)) r->no = true;
    if (s->kind != SC_OP) return 0;
    int n = 1;
    for (int i = 0; i < op_info[s->op].arity; i++)
        n += count_ops(r, s->arg[i]);
    return n;
}

/* The map's body in the kernel of its reader, or `no`. */
static const Scalar *made_again(Remat *r, const Node *node) {
    const Kernel *home = map_get(&r->program->kernel_of, node), *to = r->kernel;
    const Scalar *body = plan_body(r->program, node);
    if (!home || home->wide != to->wide || home->group || body->draws || body->kind == SC_CONST ||
        plan_wide(r->program, node, r->plan->target.float_bytes) != to->wide ||
        (to->axes < to->rank && !plan_merges(r->plan, r->program, to, node, to->axes - 1)))
        r->no = true;
    r->ops += count_ops(r, body);
    if (r->no || r->ops > MOST_OPS) {
        r->no = true;
        return NULL;
    }
    return sc_rewrite(r->plan->unit->graph, body, operand, r);
}

static bool may(Remat *r, const Reader *reader) {
    r->kernel = reader->kernel;
    r->ops = r->operands = 0;
    r->no = !reader->as_a_map || reader->kernel->carrier != CARRY_BATCH ||
            reader->kernel->batch_sum || reader->kernel->group;
    if (!r->no) made_again(r, r->value);
    return !r->no && r->operands <= MOST_OPERANDS;
}

static const Scalar *replaced(Graph *graph, const Scalar *leaf, void *context) {
    Remat *r = context;
    (void)graph;
    if (leaf->kind != SC_READ || leaf->node != r->value) return NULL;
    r->ops = 0;
    return made_again(r, r->value);
}

static void rematerialize(Remat *r, Node *node) {
    const Kernel *home = map_get(&r->program->kernel_of, node);
    const Readers *readers = readers_of(r, node);
    bool later = false, here = false;
    if (node->kind != NODE_COMP || !node->per_example || node->reduce != RED_NONE ||
        readers->whole || !map_has(&r->program->stored, node))
        return;
    r->value = node;
    for (int i = 0; i < readers->at.len; i++) {
        const Reader *reader = &readers->at.at[i];
        if (reader->kernel->phase > home->phase) {
            if (!may(r, reader)) return;
            later = true;
        } else {
            here |= reader->kernel != home;
        }
    }
    for (int i = 0; i < readers->at.len && later; i++) {
        const Reader *reader = &readers->at.at[i];
        if (reader->kernel->phase == home->phase) continue;
        r->kernel = reader->kernel;
        const Scalar *body = sc_rewrite(r->plan->unit->graph, plan_body(r->program, reader->node),
                                        replaced, r);
        map_put(&r->program->bodies, reader->node, (void *)(uintptr_t)body);
    }
    if (later && !here) map_put(&r->dropped, node, node);
}

void plan_rematerialize(Plan *plan, ProgramPlan *program) {
    Remat r = {.plan = plan, .program = program};
    map_init(&program->bodies, plan->arena);
    if (program->trace || plan->target.apart) return;
    map_init(&r.readers, plan->arena);
    map_init(&r.overwritten, plan->arena);
    map_init(&r.dropped, plan->arena);
    for (int k = 0; k < program->kernels.len; k++)
        note_kernel(&r, program->kernels.at[k]);
    for (int i = 0; i < program->program->results.len; i++)
        readers_of(&r, program->program->results.at[i].node)->whole = true;
    for (int i = 0; i < program->nodes.len; i++)
        rematerialize(&r, program->nodes.at[i]);
    Map stored = program->stored;
    map_init(&program->stored, plan->arena);
    for (int i = 0; i < stored.slots.len; i++)
        if (!map_has(&r.dropped, stored.slots.at[i].key))
            map_put(&program->stored, stored.slots.at[i].key, stored.slots.at[i].value);
}
