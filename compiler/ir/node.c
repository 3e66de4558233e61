/* SPDX-License-Identifier: MIT
 * Makes nodes, and checks each as it is made: an ill-shaped graph cannot exist.
 * Needs base and ir.h.
 * Does not simplify beyond what makes equal things the same node. */
#include "intern.h"
#include <math.h>
#include <string.h>

static bool same_node(const void *left, const void *right) {
    const Node *a = left, *b = right;
    if (a->kind != b->kind) return false;
    if (a->kind == NODE_SCAN) return a == b;
    if (a->kind == NODE_GRAD) return a->of == b->of && a->wrt == b->wrt;
    if (a->kind == NODE_CALL)
        return a->call == b->call && a->result == b->result &&
               !memcmp(a->operand, b->operand, sizeof a->operand);
    if (a->kind != NODE_COMP) return a->name == b->name;
    return a->body == b->body && a->reduce == b->reduce && a->rank == b->rank &&
           a->nred == b->nred && a->over_batch == b->over_batch &&
           !memcmp(a->extent, b->extent, sizeof *a->extent * (size_t)node_dims(a));
}

static uint32_t hash_node(const Node *n) {
    uint32_t hash = hash_mix(11, n->kind);
    if (n->kind == NODE_GRAD) return hash_mix(hash_mix(hash, n->of->id), n->wrt->id);
    if (n->kind == NODE_CALL) {
        hash = hash_mix(hash_mix(hash, n->call), (uint64_t)n->result);
        for (int i = 0; i < call_info[n->call].operands; i++)
            hash = hash_mix(hash, n->operand[i]->id);
        return hash;
    }
    if (n->kind != NODE_COMP) return hash_mix(hash, (uintptr_t)n->name);
    hash = hash_mix(hash, (uint64_t)n->reduce << 16 | (uint64_t)n->rank << 8 | (uint64_t)n->nred);
    hash = hash_mix(hash_mix(hash, n->over_batch), n->body->id);
    for (int i = 0; i < node_dims(n); i++)
        hash = hash_mix(hash, (uint64_t)n->extent[i]);
    return hash;
}

Node *node_intern(Graph *g, Node *key) {
    key->hash = hash_node(key);
    Node *node = table_find(&tables_of(g)->node, key, same_node);
    if (node) {
        if (!node->name) node->name = key->name;
        if (!node->at.file) node->at = key->at;
        return node;
    }
    node = NEW(g->arena, Node);
    *node = *key;
    table_add(g->arena, &tables_of(g)->node, node);
    VEC_PUSH(g->arena, g->nodes, node);
    return node;
}

static const char *shown(const char *name) {
    return name ? name : "(unnamed)";
}

static const char *extent_fault(Graph *g, int rank, int nred, const int64_t *extent) {
    if (rank < 0 || nred < 0 || rank > MAX_RANK || rank + nred > MAX_DIMS)
        return arena_printf(g->arena, "rank %d with %d reduced dimensions", rank, nred);
    int64_t count = 1;
    for (int i = 0; i < rank + nred; i++) {
        if (extent[i] < 1)
            return arena_printf(g->arena, "extent %lld of dimension %d", (long long)extent[i], i);
        if (count > ((int64_t)1 << 53) / extent[i]) return "more than 2^53 elements";
        count *= extent[i];
    }
    return NULL;
}

const char *leaf_fault(Graph *g, const Node *key) {
    if (!key->name || key->kind >= NODE_COMP) return "a leaf needs a name and the kind of a leaf";
    if (key->per_example && key->kind != NODE_INPUT) return "only an input is per example";
    if (key->kind == NODE_HYPER && key->rank) return "a hyperparameter is one number";
    const char *fault = extent_fault(g, key->rank, 0, key->extent);
    Node probe = *key;
    probe.hash = hash_node(key);
    const Node *old = fault ? NULL : table_find(&tables_of(g)->node, &probe, same_node);
    if (old && (old->rank != key->rank || old->per_example != key->per_example ||
                memcmp(old->extent, key->extent, sizeof *key->extent * (size_t)key->rank)))
        return "it was made before with another shape";
    return fault;
}

Node *graph_leaf(Graph *g, NodeKind kind, Name name, bool per_example, int rank,
                 const int64_t *extent, int64_t classes, Span at) {
    Node key = {.kind = kind,
                .name = name,
                .per_example = per_example,
                .rank = rank,
                .classes = classes,
                .at = at};
    key.wide = kind == NODE_FITTED || kind == NODE_HYPER;
    if (rank > 0)
        memcpy(key.extent, extent, sizeof *extent * (size_t)(rank < MAX_RANK ? rank : MAX_RANK));
    const char *fault = leaf_fault(g, &key);
    if (fault) bug("leaf %s: %s", shown(name), fault);
    Node *node = node_intern(g, &key);
    if (!node->classes) node->classes = classes;
    return node;
}

/* ---- Comprehensions */
/* Where a read falls: INSIDE always, OUTSIDE always, or MAYBE outside. */
typedef enum Falls { INSIDE, OUTSIDE, MAYBE } Falls;

static Falls read_falls(const Scalar *read, const int64_t *extents, int *coordinate) {
    Falls falls = INSIDE;
    for (int i = 0; i < read->node->rank; i++) {
        int64_t lo, hi, extent = read->node->extent[i];
        bool known = ix_range(read->at[i], extents, &lo, &hi);
        if (known && (hi < 0 || lo >= extent)) {
            *coordinate = i;
            return OUTSIDE;
        }
        if (!known || lo < 0 || hi >= extent) {
            /* a computed position is the caller's promise where no outside value is given */
            if (known || falls == INSIDE) *coordinate = known ? i : -1;
            falls = MAYBE;
        }
    }
    return falls;
}

static const Scalar *drop_outside(Graph *g, const Scalar *leaf, void *context) {
    if (leaf->kind != SC_READ || !leaf->outside) return NULL;
    int coordinate;
    switch (read_falls(leaf, context, &coordinate)) {
    case INSIDE:
        return sc_read(g, leaf->node, leaf->at, NULL);
    case OUTSIDE:
        return leaf->outside;
    case MAYBE:
        return NULL;
    }
    return NULL;
}

typedef struct ReadCheck {
    Graph *g;
    const CompSpec *spec;
    const char *fault; /* the first */
} ReadCheck;

static void check_read(const Scalar *read, void *context) {
    ReadCheck *check = context;
    int coordinate = -1;
    if (check->fault || read->outside ||
        read_falls(read, check->spec->extent, &coordinate) == INSIDE || coordinate < 0)
        return;
    int64_t lo = 0, hi = 0;
    ix_range(read->at[coordinate], check->spec->extent, &lo, &hi);
    check->fault = arena_printf(
        check->g->arena, "reads %s outside: coordinate %d is %lld to %lld, its extent is %lld",
        shown(read->node->name), coordinate, (long long)lo, (long long)hi,
        (long long)read->node->extent[coordinate]);
}

const char *comp_fault(Graph *g, const CompSpec *spec) {
    const char *fault = extent_fault(g, spec->rank, spec->nred, spec->extent);
    if (fault) return fault;
    if (spec->reduce == RED_NONE && (spec->nred || spec->over_batch))
        return "reduced dimensions without a reduction";
    if (spec->body->dims >> (spec->rank + spec->nred))
        return arena_printf(g->arena, "uses a dimension that it does not bind (dims %#x of %d)",
                            spec->body->dims, spec->rank + spec->nred);
    ReadCheck check = {.g = g, .spec = spec};
    sc_reads(spec->body, check_read, &check);
    return check.fault;
}

/* Sums that need no adding: of nothing but zeros, or of equal integers small enough to be exact in
 * any order; the extreme of equal values; a reduction over no dimension. */
static void fold_reduction(Graph *g, CompSpec *spec) {
    double value, terms = 1;
    for (int i = 0; i < spec->nred; i++)
        terms *= (double)spec->extent[spec->rank + i];
    bool known = sc_is_const(spec->body, &value);
    bool arg = spec->reduce == RED_ARGMAX || spec->reduce == RED_ARGMIN;
    if (arg && (known || terms == 1))
        spec->body = sc_const(g, 0);
    else if (spec->reduce == RED_SUM && known && value == 0)
        spec->body = sc_const(g, 0);
    else if (spec->reduce == RED_SUM && known && !spec->over_batch && value == floor(value) &&
             fabs(value * terms) <= 0x1p24)
        spec->body = sc_const(g, value * terms);
    else if (known && (spec->reduce == RED_MAX || spec->reduce == RED_MIN))
        ;
    else if (spec->nred || spec->over_batch)
        return;
    spec->reduce = RED_NONE, spec->nred = 0, spec->over_batch = false;
}

/* The node read where the body is that node at the own dimensions of the comprehension. */
static Node *plain_read(const CompSpec *spec) {
    const Scalar *s = spec->body;
    if (s->kind != SC_READ || s->outside || spec->reduce != RED_NONE || s->node->rank != spec->rank)
        return NULL;
    for (int i = 0; i < spec->rank; i++) {
        int dim;
        if (!ix_is_dim(s->at[i], &dim) || dim != i || s->node->extent[i] != spec->extent[i])
            return NULL;
    }
    return s->node;
}

static void note_outside(const Scalar *read, void *context) {
    *(bool *)context |= read->outside != NULL;
}

Node *graph_comp(Graph *g, const CompSpec *given) {
    CompSpec spec = *given;
    const char *fault = comp_fault(g, &spec);
    if (fault) bug("%s: %s", shown(spec.name), fault);
    spec.body = sc_number(g, spec.body);
    bool outside = false;
    sc_reads(spec.body, note_outside, &outside);
    if (outside) spec.body = sc_rewrite(g, spec.body, drop_outside, spec.extent);
    if (spec.reduce != RED_NONE) fold_reduction(g, &spec);
    Node *read = plain_read(&spec);
    if (read) return read;
    bool own = spec.origin.path || spec.origin.use.file;
    Node key = {.kind = NODE_COMP,
                .name = spec.name,
                .origin = own ? spec.origin : g->origin,
                .rank = spec.rank,
                .reduce = spec.reduce,
                .nred = spec.nred,
                .over_batch = spec.over_batch,
                .body = spec.body,
                .at = spec.at.file ? spec.at : g->at};
    key.origin.gradient |= g->differentiating;
    key.per_example = spec.body->per_example && !spec.over_batch;
    key.wide = spec.body->wide;
    memcpy(key.extent, spec.extent, sizeof *key.extent * (size_t)(spec.rank + spec.nred));
    return node_intern(g, &key);
}

void graph_from(Graph *g, const Node *node) {
    g->at = node->at;
    g->origin = node->origin;
}

Node *graph_map(Graph *g, int rank, const int64_t *extent, const Scalar *body, Name name, Span at) {
    CompSpec spec = {.rank = rank, .body = body, .name = name, .at = at};
    if (rank > 0)
        memcpy(spec.extent, extent, sizeof *extent * (size_t)(rank < MAX_RANK ? rank : MAX_RANK));
    return graph_comp(g, &spec);
}

Node *graph_const(Graph *g, int rank, const int64_t *extent, double value) {
    return graph_map(g, rank, extent, sc_const(g, value), NULL, (Span){0});
}

const char *grad_fault(Graph *g, const Node *of) {
    if (!of->rank && !of->per_example) return NULL;
    return arena_printf(g->arena, "the gradient of %s, which is not one shared number",
                        shown(of->name));
}

Node *graph_grad(Graph *g, Node *of, Node *wrt) {
    const char *fault = grad_fault(g, of);
    if (fault) bug("%s", fault);
    Node key = {.kind = NODE_GRAD,
                .of = of,
                .wrt = wrt,
                .rank = wrt->rank,
                .per_example = wrt->per_example,
                .wide = of->wide};
    memcpy(key.extent, wrt->extent, sizeof *key.extent * (size_t)wrt->rank);
    return node_intern(g, &key);
}

/* Each is another: what it stands for is not known yet. */
Node *graph_scan(Graph *g, int rank, const int64_t *extent, Name name, Span at) {
    const char *fault = rank ? extent_fault(g, rank, 0, extent) : "a reference without a first index";
    if (fault) bug("reference %s: %s", shown(name), fault);
    Node *node = NEW(g->arena, Node);
    *node = (Node){.kind = NODE_SCAN, .name = name, .per_example = true, .rank = rank, .at = at};
    memcpy(node->extent, extent, sizeof *extent * (size_t)rank);
    node->hash = hash_mix(hash_mix(11, NODE_SCAN), (uint64_t)g->nodes.len);
    table_add(g->arena, &tables_of(g)->node, node);
    VEC_PUSH(g->arena, g->nodes, node);
    return node;
}

/* ---- Facts */
int node_dims(const Node *node) {
    return node->rank + node->nred;
}

static int64_t product(const int64_t *extent, int n) {
    int64_t count = 1;
    for (int i = 0; i < n; i++)
        count *= extent[i];
    return count;
}

int64_t node_count(const Node *node) {
    return product(node->extent, node->rank);
}
int64_t node_terms(const Node *node) {
    return product(node->extent + node->rank, node->nred);
}

const Ix *node_element(Graph *g, int rank, const int64_t *extent) {
    const Ix *element = ix_const(g, 0);
    for (int i = 0; i < rank; i++)
        element = ix_add(g, ix_scale(g, element, extent[i]), ix_dim(g, i));
    return element;
}

CompSpec node_spec(const Node *node) {
    CompSpec spec = {.rank = node->rank,
                     .nred = node->nred,
                     .reduce = node->reduce,
                     .over_batch = node->over_batch,
                     .body = node->body,
                     .name = node->name,
                     .at = node->at,
                     .origin = node->origin};
    memcpy(spec.extent, node->extent, sizeof spec.extent);
    return spec;
}
