/* SPDX-License-Identifier: MIT
 * The program of one example: where a block of lanes would hold one example and fifteen idle lanes,
 * its values are rebuilt without the axis of examples, and lanes run along one of their own axes.
 * Needs a frozen program. Keeps the terms of every sum and their order, so every bit. */
#include "plan.h"
#include <math.h>
#include <string.h>

enum { WORTH_TERMS = 1 << 13 }; /* of an example: with less, a block of sixteen takes a microsecond */

typedef struct Value { /* of the batch's program */
    Node *node, *made; /* made: of the program of one example */
    int lane;          /* dimension that lies innermost there and that lanes run along */
    int lead;          /* the value whose loops it is made in: both have one lane dimension */
    bool result;
    VEC(const Scalar *) reads;
} Value;

typedef struct One {
    Plan *plan;
    Graph *g;
    Value *value;
    int n, at; /* at: being noted, or rebuilt */
    Map place; /* Node -> its number + 1 */
    Map *ones;
} One;

static Value *value_of(const One *one, const Node *node) {
    uintptr_t place = (uintptr_t)map_get(&one->place, node);
    return place ? &one->value[place - 1] : NULL;
}

static void note_read(const Scalar *read, void *context) {
    One *one = context;
    VEC_PUSH(one->plan->arena, one->value[one->at].reads, read);
}

/* Dimension k of the value as it is stored: the lane dimension comes last. */
static int stored_dim(const Node *node, int lane, int k) {
    return k == node->rank - 1 ? lane : k < lane ? k : k + 1;
}

/* ---- Which dimension */

/* Coordinate of a shared operand that a copy of it could have innermost, for lanes along `lane`;
 * -1: none, or it lies there already. */
static int turned(const Scalar *read, int lane) {
    int found = -1;
    for (int m = 0; m < read->node->rank; m++) {
        int dim;
        if (!(ix_dims(read->at[m]) >> lane & 1)) continue;
        if (found >= 0 || !ix_is_dim(read->at[m], &dim)) return -1;
        found = m;
    }
    return found == read->node->rank - 1 ? -1 : found;
}

static const double once = 0.3, aside = 0.5, gathered = 32;

/* What it costs to have sixteen operands along dimension `lane` of the reader: one for all of them, a
 * vector, or each by itself. `of`, if it is the node read, is stored along `of_lane`. */
static double read_cost(const One *one, const Node *reader, int lane, const Scalar *read,
                        const Node *of, int of_lane) {
    const Node *node = read->node;
    const Value *value = value_of(one, node);
    int inner = node == of ? of_lane : value ? value->lane : node->rank - 1;
    bool along = false;
    for (int m = 0; m < node->rank; m++) {
        int64_t lo, hi;
        if (!(ix_dims(read->at[m]) >> lane & 1)) continue;
        bool inside = ix_range(read->at[m], reader->extent, &lo, &hi) && lo >= 0 &&
                      hi < node->extent[m];
        if (!inside || !ix_affine(read->at[m])) return gathered;
        along = true;
    }
    if (!along) return once;
    if (node->per_example && inner < 0) return aside; /* not known yet: it will suit */
    if (!node->per_example && turned(read, lane) >= 0) return aside;
    for (int m = 0; m < node->rank; m++)
        if (ix_coef(read->at[m], lane) != (m == inner)) return gathered;
    return aside;
}

static double cost(const One *one, const Value *value, int lane, const Node *of, int of_lane) {
    const Node *node = value->node;
    double extent = (double)node->extent[lane], each = 1;
    double vectors = extent < LANES / 2 ? extent : ceil(extent / (double)LANES);
    for (int i = 0; i < value->reads.len; i++) {
        double reading = read_cost(one, node, lane, value->reads.at[i], of, of_lane);
        each += extent < LANES / 2 ? aside : reading;
    }
    return (double)node_count(node) * (double)node_terms(node) / extent * vectors * each;
}

/* Its members, and what reads them: each reader along whatever dimension suits it best. */
static double class_cost(const One *one, int lead, int lane) {
    double sum = 0;
    for (int i = lead; i < one->n; i++) {
        const Value *reader = &one->value[i];
        if (!reader->node->rank || reader->node->kind != NODE_COMP || !reader->node->per_example)
            continue;
        if (reader->lead == lead) sum += cost(one, reader, lane, NULL, 0);
        for (int r = 0; r < reader->reads.len; r++) {
            const Value *of = value_of(one, reader->reads.at[r]->node);
            if (of->lead != lead || reader->lead == lead || !of->node->per_example) continue;
            double best = HUGE_VAL;
            for (int d = 0; d < reader->node->rank; d++) {
                double here = cost(one, reader, d, of->node, lane);
                best = here < best ? here : best;
            }
            sum += best;
            break;
        }
    }
    return sum;
}

static void choose_lane(One *one, int lead) {
    int rank = one->value[lead].node->rank, best = rank - 1;
    bool free = true;
    for (int i = lead; i < one->n; i++) /* the world reads results row-major */
        if (one->value[i].lead == lead) free &= !one->value[i].result;
    double least = free && rank > 1 ? class_cost(one, lead, best) : 0;
    for (int d = rank - 2; d >= 0 && free; d--) {
        double here = class_cost(one, lead, d);
        if (here < least) least = here, best = d;
    }
    for (int i = lead; i < one->n; i++)
        if (one->value[i].lead == lead) one->value[i].lane = best;
}

/* A map is made in the loops of the newest value that it reads element by element. */
static void find_lead(One *one, int i) {
    Value *value = &one->value[i];
    value->lead = i;
    for (int r = 0; r < value->reads.len && value->node->reduce == RED_NONE; r++) {
        const Value *of = value_of(one, value->reads.at[r]->node);
        if (!of->node->per_example || of->node->kind != NODE_COMP ||
            !plan_identity(value->reads.at[r], value->node->rank) ||
            memcmp(of->node->extent, value->node->extent,
                   sizeof *value->node->extent * (size_t)value->node->rank))
            continue;
        if (value->lead == i || of->lead > value->lead) value->lead = of->lead;
    }
}

/* ---- The values anew */

/* A copy of a shared value with coordinate m innermost. */
static const Scalar *read_turned(One *one, const Scalar *read, int m) {
    Node *node = read->node;
    const Ix *from[MAX_RANK], *at[MAX_RANK];
    int64_t extent[MAX_RANK];
    for (int k = 0; k < node->rank; k++) {
        int stored = stored_dim(node, m, k);
        extent[k] = node->extent[stored];
        from[stored] = ix_dim(one->g, k);
        at[k] = read->at[stored];
    }
    Node *copy = graph_map(one->g, node->rank, extent, sc_read(one->g, node, from, NULL),
                           node->name, node->at);
    return sc_read(one->g, copy, at, read->outside);
}

static const Scalar *read_one(Graph *g, const Scalar *leaf, void *context) {
    One *one = context;
    if (leaf->kind != SC_READ) return NULL;
    const Node *node = leaf->node;
    if (!node->per_example) {
        int rank = one->value[one->at].node->rank;
        int m = rank && one->value[one->at].node->extent[one->value[one->at].lane] >= LANES / 2
                    ? turned(leaf, rank - 1)
                    : -1;
        return m < 0 ? NULL : read_turned(one, leaf, m);
    }
    const Value *of = value_of(one, node);
    const Ix *at[MAX_RANK];
    for (int k = 0; k < node->rank; k++)
        at[k] = leaf->at[stored_dim(node, of->lane, k)];
    return sc_read(g, of->made, at, leaf->outside);
}

static Node *input_one(One *one, const Node *node) {
    const char *name = arena_printf(one->g->arena, "%s of one", node->name);
    return graph_leaf(one->g, node->kind, name_of(name), false, node->rank, node->extent,
                      node->classes, node->at);
}

static void rebuild(One *one, int i) {
    Value *value = &one->value[i];
    Node *node = value->node;
    one->at = i;
    if (!node->per_example) {
        value->made = node;
        return;
    }
    if (node->kind == NODE_INPUT) {
        value->made = input_one(one, node);
        map_put(one->ones, value->made, node);
        return;
    }
    CompSpec spec = node_spec(node);
    const Ix *dim[MAX_DIMS] = {NULL};
    for (int k = 0; k < node->rank; k++) {
        int stored = stored_dim(node, value->lane, k);
        spec.extent[k] = node->extent[stored];
        dim[stored] = ix_dim(one->g, k);
    }
    spec.body = sc_subst(one->g, node->body, dim, node->rank, spec.extent);
    spec.body = sc_rewrite(one->g, spec.body, read_one, one);
    value->made = graph_comp(one->g, &spec);
    map_put(one->ones, value->made, node);
}

static void note(One *one, Node *node, int i) {
    Value *value = &one->value[i];
    value->node = node;
    value->lane = node->kind == NODE_COMP && node->rank ? -1 : node->rank - 1;
    map_put(&one->place, node, (void *)(uintptr_t)(i + 1));
    one->at = i;
    if (node->kind != NODE_COMP) {
        value->lead = i;
        return;
    }
    sc_reads(node->body, note_read, one);
    find_lead(one, i);
}

static double terms_of(const NodeList *nodes) {
    double terms = 0;
    for (int i = 0; i < nodes->len; i++)
        if (nodes->at[i]->kind == NODE_COMP && nodes->at[i]->per_example)
            terms += (double)node_count(nodes->at[i]) * (double)node_terms(nodes->at[i]);
    return terms;
}

typedef struct Unfit {
    Map nodes; /* those that do not fit */
    bool read;
} Unfit;

static void read_unfit(const Scalar *read, void *context) {
    Unfit *unfit = context;
    unfit->read |= map_has(&unfit->nodes, read->node);
}

/* The results that one example is enough for: not those of a batch, of draws or of recurrences.
 * Where there are others nothing is made, but for tests. */
static Program *fitting(Plan *plan, const Program *source) {
    Map groups;
    Unfit unfit = {.read = false};
    map_init(&groups, plan->arena);
    map_init(&unfit.nodes, plan->arena);
    NodeList nodes = program_groups(plan->arena, source, &groups);
    if (terms_of(&nodes) < (double)WORTH_TERMS && !plan->target.one) return NULL;
    for (int i = 0; i < nodes.len; i++) {
        Node *node = nodes.at[i];
        unfit.read = map_has(&groups, node) || node->over_batch;
        if (node->body) sc_reads(node->body, read_unfit, &unfit);
        for (int k = 0; node->kind == NODE_CALL && k < call_info[node->call].operands; k++)
            unfit.read |= map_has(&unfit.nodes, node->operand[k]);
        if (unfit.read || (node->body && node->body->draws_own)) map_put(&unfit.nodes, node, node);
    }
    Program *made = NEW(plan->arena, Program);
    *made = (Program){.kind = PROGRAM_ONE, .name = name_of("one")};
    for (int i = 0; i < source->results.len; i++)
        if (!map_has(&unfit.nodes, source->results.at[i].node))
            VEC_PUSH(plan->arena, made->results, source->results.at[i]);
    bool all = made->results.len == source->results.len;
    return made->results.len && (all || plan->target.one) ? made : NULL;
}

const Program *plan_one(Plan *plan, const Program *source, Map *ones) {
    Program *program = fitting(plan, source);
    if (!program) return NULL;
    NodeList nodes = program_nodes(plan->arena, program);
    One one = {.plan = plan, .g = plan->unit->graph, .n = nodes.len, .ones = ones};
    one.value = NEW_ARRAY(plan->arena, Value, nodes.len);
    map_init(&one.place, plan->arena);
    for (int i = 0; i < nodes.len; i++)
        note(&one, nodes.at[i], i);
    for (int i = 0; i < program->results.len; i++)
        value_of(&one, program->results.at[i].node)->result = true;
    for (int i = 0; i < nodes.len; i++)
        if (one.value[i].lane < 0 && one.value[i].node->rank) choose_lane(&one, i);
    for (int i = 0; i < nodes.len; i++)
        rebuild(&one, i);
    for (int i = 0; i < program->results.len; i++)
        program->results.at[i].node = value_of(&one, program->results.at[i].node)->made;
    return program;
}
