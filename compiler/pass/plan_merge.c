/* SPDX-License-Identifier: MIT
 * Which trailing dimensions of a space can be run as one loop: those that every operand either
 * ignores or reads side by side, in full. Needs ir. Decides nothing about lanes or tiles. */
#include "plan.h"

typedef struct Merging {
    const ProgramPlan *program;
    const Kernel *kernel;
    int from;
    bool ok;
    const Ix *element;
    Map seen;
} Merging;

static bool touches(const Merging *merging, uint32_t dims) {
    uint32_t merged = 0;
    for (int d = merging->from; d < merging->kernel->rank; d++)
        merged |= 1u << d;
    return dims & merged;
}

/* Coordinates that name merged dimensions must be exactly these, in order, each over its extent. */
static bool read_merges(const Merging *merging, const Scalar *read) {
    const Kernel *kernel = merging->kernel;
    int next = merging->from;
    for (int m = 0; m < read->node->rank; m++) {
        if (!touches(merging, ix_dims(read->at[m]))) {
            if (next != merging->from && next != kernel->rank) return false;
            continue;
        }
        int dim;
        if (!ix_is_dim(read->at[m], &dim) || dim != next) return false;
        if (!m && map_has(&merging->program->padded, node_value(read->node))) return false;
        if (dim > merging->from && read->node->extent[m] != kernel->extent[dim]) return false;
        next++;
    }
    if (next == merging->from) return true;
    return next == kernel->rank && !read->outside;
}

static void check(Merging *merging, const Scalar *s) {
    if (!merging->ok || map_has(&merging->seen, s)) return;
    map_put(&merging->seen, s, (void *)(uintptr_t)s);
    switch (s->kind) {
    case SC_CONST:
        break;
    case SC_INDEX:
        merging->ok = !touches(merging, s->dims);
        break;
    case SC_READ:
        merging->ok = read_merges(merging, s);
        if (s->outside) check(merging, s->outside);
        break;
    case SC_DRAW:
        merging->ok = s->ix == merging->element;
        if (s->arg[0]) check(merging, s->arg[0]);
        break;
    case SC_OP:
        for (int i = 0; i < op_info[s->op].arity; i++)
            check(merging, s->arg[i]);
        break;
    }
}

bool plan_merges(const Plan *plan, const ProgramPlan *program, const Kernel *kernel,
                 const Node *node, int from) {
    Graph *graph = plan->unit->graph;
    Merging merging = {.program = program, .kernel = kernel, .from = from, .ok = true};
    if (!from && map_has(&program->padded, node)) return false;
    merging.element = node_element(graph, kernel->rank, kernel->extent);
    map_init(&merging.seen, graph->arena);
    check(&merging, node->body);
    return merging.ok;
}

int plan_axis(const Kernel *kernel, int dim) {
    return dim < kernel->rank && dim >= kernel->axes ? kernel->axes - 1 : dim;
}

bool plan_lane_stride(const Kernel *kernel, const Scalar *read, int64_t *stride) {
    bool merged = kernel->lane_axis == kernel->axes - 1;
    return plan_stride(read, merged ? kernel->rank - 1 : kernel->lane_axis, stride);
}

int64_t plan_places(const Kernel *kernel, int dim, int r) {
    int64_t step = dim < kernel->axes && kernel->apart[dim] ? kernel->apart[dim] : 1;
    int64_t all = dim < kernel->axes ? kernel->axis[dim] : kernel->extent[dim];
    return (all - r + step - 1) / step;
}

const Ix *plan_place(Graph *graph, const Kernel *kernel, int dim, int r) {
    return ix_add(graph, ix_scale(graph, ix_dim(graph, dim), kernel->apart[dim]), ix_const(graph, r));
}
