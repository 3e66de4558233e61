/* SPDX-License-Identifier: MIT
 * What each kernel and phase has to do: arithmetic and memory touched, counted from the graph, and
 * a name to know it by. Needs everything else of the plan. Decides nothing. */
#include "plan.h"
#include <string.h>

static void add(PlanWork *sum, const PlanWork *more) {
    sum->flops += more->flops;
    sum->flops_each += more->flops_each;
    sum->bytes += more->bytes;
    sum->bytes_each += more->bytes_each;
}

/* ---- Arithmetic. Positions, comparisons of them and choices are not counted: a convolution's
 * border is skipped or masked, as the code generator likes. */
static double ops_of(Map *seen, const Scalar *s) {
    if (s->kind != SC_OP || map_has(seen, s)) return 0;
    map_put(seen, s, (void *)(uintptr_t)s);
    double count = op_info[s->op].truth || s->op == OP_SELECT || s->op == OP_STOP ? 0 : 1;
    if (s->op == OP_FMA) count = 2;
    for (int i = 0; i < op_info[s->op].arity; i++)
        count += ops_of(seen, s->arg[i]);
    return count;
}

enum { MOST_POSITIONS = 1 << 20 };

/* The part of all positions at which a coordinate is inside of its extent. */
static double part_inside(const Ix *at, const int64_t *extent, int64_t limit) {
    int64_t low, high, dims[MAX_DIMS] = {0};
    if (!ix_range(at, extent, &low, &high) || (low >= 0 && high < limit)) return 1;
    uint32_t used = ix_dims(at);
    double count = 1, inside = 0;
    for (int d = 0; d < MAX_DIMS; d++)
        if (used >> d & 1) count *= (double)extent[d];
    if (count > (double)MOST_POSITIONS) return 1;
    for (int d = 0; d < MAX_DIMS;) {
        int64_t value = ix_eval(at, dims, NULL, NULL);
        inside += value >= 0 && value < limit;
        for (d = 0; d < MAX_DIMS; d++) { /* the next position */
            if (!(used >> d & 1)) continue;
            if (++dims[d] < extent[d]) break;
            dims[d] = 0;
        }
    }
    return inside / count;
}

typedef struct Inside {
    const Node *node;
    Map seen; /* coordinates: two reads at the same place are inside together */
    double part;
} Inside;

static void count_inside(const Scalar *read, void *context) {
    Inside *inside = context;
    for (int m = 0; read->outside && m < read->node->rank; m++) {
        if (map_has(&inside->seen, read->at[m])) continue;
        map_put(&inside->seen, read->at[m], (void *)(uintptr_t)read);
        inside->part *= part_inside(read->at[m], inside->node->extent, read->node->extent[m]);
    }
}

static PlanWork node_work(const ProgramPlan *program, const Node *node) {
    Arena *arena = arena_new();
    Map seen;
    map_init(&seen, arena);
    double ops = ops_of(&seen, plan_body(program, node)) + (node->reduce != RED_NONE ? 1 : 0);
    Inside inside = {.node = node, .part = 1};
    map_init(&inside.seen, arena);
    sc_reads(plan_body(program, node), count_inside, &inside);
    double flops = ops * (double)node_count(node) * (double)node_terms(node) * inside.part;
    arena_free(arena);
    return node->per_example || node->over_batch ? (PlanWork){.flops_each = flops}
                                                 : (PlanWork){.flops = flops};
}

/* ---- Memory: each buffer once where it is read, once where it is written. What a thread keeps in
 * its scratch stays in its cache. */
typedef struct Touch {
    const Plan *plan;
    const ProgramPlan *program;
    PlanWork *work;
    Map read, written;
} Touch;

static void touch(Touch *t, Map *as, const Buffer *buffer) {
    if (!buffer || buffer->scratch || map_has(as, buffer)) return;
    if (as == &t->read && map_has(&t->written, buffer)) return; /* still in a cache */
    map_put(as, buffer, (void *)(uintptr_t)buffer);
    double bytes = (double)node_count(buffer->node) * buffer->bytes;
    if (buffer->leaf)
        t->work->bytes_each += bytes / (double)LANES;
    else
        *(buffer->node->per_example ? &t->work->bytes_each : &t->work->bytes) += bytes;
}

static void touch_read(const Scalar *read, void *context) {
    Touch *t = context;
    const Buffer *turned = map_get(&t->program->of_node_transposed, node_value(read->node));
    const Buffer *buffer = plan_buffer(t->plan, t->program, read->node);
    touch(t, &t->read, buffer ? buffer : turned);
}

static void touch_kernel(Touch *t, const Kernel *kernel) {
    for (int i = 0; i < kernel->reductions.len + kernel->maps.len; i++) {
        Node *node = i < kernel->reductions.len ? kernel->reductions.at[i]
                                                : kernel->maps.at[i - kernel->reductions.len];
        sc_reads(plan_body(t->program, node), touch_read, t);
        if (kernel->makes_leaves)
            touch(t, &t->written, map_get(&t->program->of_node_leaf, node));
        else if (map_has(&t->program->stored, node))
            touch(t, &t->written, plan_buffer(t->plan, t->program, node));
    }
    for (int i = 0; i < kernel->leaves.len; i++) {
        const Node *node = kernel->leaves.at[i];
        touch(t, &t->read, map_get(&t->program->of_node_leaf, node));
        if (map_has(&t->program->stored, node))
            touch(t, &t->written, plan_buffer(t->plan, t->program, node));
    }
    for (int i = 0; i < kernel->calls.len; i++) {
        const Node *call = kernel->calls.at[i];
        for (int k = 0; k < call_info[call->call].operands; k++)
            touch(t, &t->read, plan_buffer(t->plan, t->program, call->operand[k]));
        touch(t, &t->written, plan_buffer(t->plan, t->program, call));
    }
    if (kernel->transpose) {
        touch(t, &t->read, plan_buffer(t->plan, t->program, kernel->transpose->node));
        touch(t, &t->written, kernel->transpose);
    }
    if (kernel->copy_to) {
        touch(t, &t->read, plan_buffer(t->plan, t->program, kernel->copy_from));
        touch(t, &t->written, plan_buffer(t->plan, t->program, kernel->copy_to));
    }
}

static void touches(const Plan *plan, const ProgramPlan *program, PlanWork *work,
                    Kernel *const *kernels, int count) {
    Arena *arena = arena_new();
    Touch t = {.plan = plan, .program = program, .work = work};
    map_init(&t.read, arena);
    map_init(&t.written, arena);
    for (int k = 0; k < count; k++)
        touch_kernel(&t, kernels[k]);
    arena_free(arena);
}

/* ---- Names: of the value, with the factors of a contraction; in brackets what it was made from. */
typedef struct Naming {
    Arena *arena;
    const char *text;
    Name first;
    bool more; /* than two */
    Map seen;
} Naming;

static void name_read(const Scalar *read, void *context) {
    Naming *n = context;
    Name name = read->node->name;
    if (!name && read->node->kind == NODE_COMP) { /* what that was made from */
        if (n->more || map_has(&n->seen, read->node)) return;
        map_put(&n->seen, read->node, read->node);
        sc_reads(read->node->body, name_read, n);
        return;
    }
    if (!name || name == n->first || n->more) return;
    n->more = n->text != n->first;
    n->text = n->more ? arena_printf(n->arena, "%s, ...", n->text)
              : n->first ? arena_printf(n->arena, "%s, %s", n->first, name)
                         : name;
    if (!n->first) n->first = name;
}

static const char *made_from(Arena *arena, const Node *node) {
    Naming naming = {.arena = arena};
    map_init(&naming.seen, arena);
    if (node->kind == NODE_COMP) sc_reads(node->body, name_read, &naming);
    return naming.text ? naming.text : "constants";
}

static const char *node_name(Arena *arena, const Node *node) {
    return node->name ? node->name : arena_printf(arena, "(%s)", made_from(arena, node));
}

/* "a * b" of a contraction of two values, or NULL. */
static const char *product(Arena *arena, const Node *node) {
    const Scalar *body = node->body;
    if (node->reduce != RED_SUM || body->kind != SC_OP || body->op != OP_MUL ||
        body->arg[0]->kind != SC_READ || body->arg[1]->kind != SC_READ)
        return NULL;
    return arena_printf(arena, "%s * %s", node_name(arena, body->arg[0]->node),
                        node_name(arena, body->arg[1]->node));
}

static const char *kernel_name(Arena *arena, const Kernel *kernel) {
    Name name = NULL;
    if (kernel->transpose)
        return arena_printf(arena, "turn %s", node_name(arena, kernel->transpose->node));
    if (kernel->copy_to) return arena_printf(arena, "keep %s", kernel->copy_to->name);
    if (kernel->calls.len) return call_info[kernel->calls.at[0]->call].text;
    for (int i = kernel->maps.len - 1; i >= 0 && !kernel->reductions.len; i--)
        if (!name) name = kernel->maps.at[i]->name;
    for (int i = 0; i < kernel->reductions.len; i++)
        if (!name) name = kernel->reductions.at[i]->name;
    for (int i = 0; i < kernel->maps.len; i++)
        if (!name) name = kernel->maps.at[i]->name;
    for (int i = 0; i < kernel->leaves.len; i++)
        if (!name) name = kernel->leaves.at[i]->name;
    const Node *first = kernel->reductions.len ? kernel->reductions.at[0]
                        : kernel->leaves.len   ? kernel->leaves.at[0]
                                               : kernel->maps.at[0];
    const char *factors = product(arena, first);
    if (factors) return name ? arena_printf(arena, "%s: %s", name, factors) : factors;
    return name ? name : arena_printf(arena, "(%s)", made_from(arena, first));
}

void plan_work(const Plan *plan, ProgramPlan *program) {
    for (int p = 0; p < program->phases.len; p++) {
        PlanPhase *phase = &program->phases.at[p];
        for (int k = 0; k < phase->kernels.len; k++) {
            Kernel *kernel = phase->kernels.at[k];
            kernel->name = kernel_name(plan->arena, kernel);
            for (int i = 0; i < kernel->reductions.len + kernel->maps.len; i++) {
                PlanWork one = node_work(program, i < kernel->reductions.len
                                             ? kernel->reductions.at[i]
                                             : kernel->maps.at[i - kernel->reductions.len]);
                add(&kernel->work, &one);
            }
            for (int i = 0; i < kernel->leaves.len; i++)
                kernel->work.flops_each += (double)node_count(kernel->leaves.at[i]) / (double)LANES;
            touches(plan, program, &kernel->work, &kernel, 1);
            phase->work.flops += kernel->work.flops;
            phase->work.flops_each += kernel->work.flops_each;
        }
        touches(plan, program, &phase->work, phase->kernels.at, phase->kernels.len);
    }
}

/* ---- The table of `check --plan` */
typedef struct Limits {
    double gflops, gigabytes;
    int batch;
} Limits;

/* Microseconds: arithmetic and memory overlap, the longer one counts. */
static double least_time(const Limits *limits, double flops, double bytes) {
    double compute = 1e-3 * flops / limits->gflops, move = 1e-3 * bytes / limits->gigabytes;
    return compute > move ? compute : move;
}

static double print_amounts(FILE *out, const Limits *limits, const PlanWork *work) {
    double flops = work->flops + work->flops_each * limits->batch;
    double bytes = work->bytes + work->bytes_each * limits->batch;
    double time = least_time(limits, flops, bytes);
    fprintf(out, "%10.3f %9.3f %9.1f  ", 1e-6 * flops, 1e-6 * bytes, time);
    return time;
}

static void print_extents(FILE *out, const int64_t *extent, int count) {
    for (int d = 0; d < count; d++)
        fprintf(out, "%s%lld", d ? ", " : "", (long long)extent[d]);
}

static void print_kernel(FILE *out, const Limits *limits, const Kernel *kernel) {
    static const char *const lanes[] = {"", "examples", "elements"};
    print_amounts(out, limits, &kernel->work);
    fprintf(out, "    %s [", kernel->name);
    print_extents(out, kernel->axis, kernel->axes);
    fputc(']', out);
    if (kernel->nred) {
        fprintf(out, " over [");
        print_extents(out, kernel->extent + kernel->rank, kernel->nred);
        fputc(']', out);
    }
    if (kernel->batch_sum) fprintf(out, " and the batch");
    if (kernel->carrier) fprintf(out, ", lanes along %s", lanes[kernel->carrier]);
    int64_t tile = 1;
    for (int d = 0; d < kernel->axes; d++)
        tile *= kernel->tile[d] > 1 ? kernel->tile[d] : 1;
    for (int d = 0, first = 1; tile > 1 && d < kernel->axes; d++, first = 0)
        fprintf(out, "%s%d", first ? ", tile " : " x ", kernel->tile[d] > 1 ? kernel->tile[d] : 1);
    if (kernel->block_tile > 1) fprintf(out, ", %d blocks together", kernel->block_tile);
    fputc('\n', out);
}

void plan_work_print(FILE *out, const Plan *plan, double gflops, double gigabytes) {
    static const char *const kinds[] = {"one thread", "by blocks of examples", "by units"};
    for (int i = 0; i < plan->programs.len; i++) {
        const ProgramPlan *program = plan->programs.at[i];
        if (program->program->kind != PROGRAM_STEP) continue;
        Limits limits = {gflops, gigabytes, program->batch};
        PlanWork all = {0};
        double time = 0;
        fprintf(out, "plan of a step with %d examples; at least, with one thread at %.1f GFLOP/s "
                     "and %.1f GB/s:\n", program->batch, gflops, gigabytes);
        fprintf(out, "%10s %9s %9s\n", "MFLOP", "MB", "us");
        for (int p = 0; p < program->phases.len; p++) {
            const PlanPhase *phase = &program->phases.at[p];
            time += print_amounts(out, &limits, &phase->work);
            fprintf(out, "phase %d, %s\n", p, kinds[phase->kind]);
            for (int k = 0; k < phase->kernels.len; k++)
                print_kernel(out, &limits, phase->kernels.at[k]);
            add(&all, &phase->work);
        }
        print_amounts(out, &limits, &all);
        fprintf(out, "the step; phase by phase %.1f us\n", time);
    }
}
