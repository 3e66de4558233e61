/* SPDX-License-Identifier: MIT
 * Replaces NODE_GRAD by comprehensions in gather form, for every loss of every program.
 * Needs derivative.h (scalar expressions) and solve.h (index maps); breaks nothing.
 * Knows no layer: one rule for every comprehension and every reduction. */
#include "derivative.h"
#include "frozen.h"
#include "pass.h"
#include "solve.h"
#include <string.h>

/* What is known of one loss. Adjoints are made on demand; consumers in reverse order of use, so
 * contributions are summed in one order whatever is asked first. */
typedef struct Loss {
    Graph *g;
    Node *of;
    Map consumers; /* Node -> NodeList* of the comprehensions that read it, the last first */
    Map reads;     /* Node -> AdjointList* of its body */
    Map adjoint;   /* Node -> Node */
    NodeList scans;        /* references under the loss */
    Map carried;           /* reference -> a reference to its adjoint */
    NodeList open;         /* references whose adjoints are not bound yet */
} Loss;
static Node *adjoint_of(Loss *loss, Node *x);


static const Scalar *choose(Graph *g, const Scalar *condition, const Scalar *a, const Scalar *b) {
    return sc_op(g, OP_SELECT, condition, a, b);
}

/* ---- Seeds: d y[i] / d body(i, k), times the adjoint of y[i] */
/* Row-major number of the reduced position, as a form over y's dimensions. */
static const Ix *reduced_element(Graph *g, const Node *y) {
    const Ix *map[MAX_DIMS];
    for (int i = 0; i < y->nred; i++)
        map[i] = ix_dim(g, y->rank + i);
    return ix_subst(g, node_element(g, y->nred, y->extent + y->rank), map, y->nred, y->extent);
}

/* The terms of a reduction as a node: what is compared with them later must be of the same bits, and
 * an expression written again may be rounded otherwise where other things are known around it. */
static const Scalar *terms_kept(Graph *g, const Node *y) {
    if (node_dims(y) > MAX_RANK) return y->body;
    CompSpec spec = node_spec(y);
    spec.rank += spec.nred;
    spec.nred = 0;
    spec.reduce = RED_NONE;
    spec.over_batch = false;
    spec.name = NULL;
    return sc_read_all(g, graph_comp(g, &spec));
}

/* max, min: the first position of the extreme, as argmax takes it, gets all. Over the examples,
 * where no position names one, equal values share. */
static const Scalar *seed_extreme(Graph *g, Node *y, const Scalar *dy) {
    CompSpec spec = node_spec(y);
    if (!y->over_batch) {
        spec.reduce = y->reduce == RED_MAX ? RED_ARGMAX : RED_ARGMIN;
        const Scalar *first = sc_read_all(g, graph_comp(g, &spec));
        const Scalar *here = sc_index(g, reduced_element(g, y));
        return choose(g, op2(g, OP_EQ, first, here), dy, sc_const(g, 0));
    }
    spec.body = terms_kept(g, y);
    const Scalar *equal = op2(g, OP_EQ, spec.body, sc_read_all(g, graph_comp(g, &spec)));
    spec.reduce = RED_SUM;
    spec.body = choose(g, equal, sc_const(g, 1), sc_const(g, 0));
    const Scalar *ties = sc_read_all(g, graph_comp(g, &spec));
    return choose(g, equal, op2(g, OP_DIV, dy, ties), sc_const(g, 0));
}

/* prod: the product of the other terms, exact where one is zero. Over the examples, where the
 * others cannot be named, y / term; a term of zero gets no gradient there. */
static const Scalar *seed_product(Graph *g, Node *y, const Scalar *dy) {
    if (y->over_batch) {
        const Scalar *zero = op2(g, OP_EQ, y->body, sc_const(g, 0));
        const Scalar *others = op2(g, OP_DIV, sc_read_all(g, y), y->body);
        return choose(g, zero, sc_const(g, 0), op2(g, OP_MUL, dy, others));
    }
    int ndims = node_dims(y);
    if (ndims > MAX_RANK || ndims + y->nred > MAX_DIMS)
        bug("gradient of a product over %d dimensions into rank %d", y->nred, y->rank);
    CompSpec spec = node_spec(y);
    const Ix *map[MAX_DIMS] = {0};
    const Scalar *same = NULL;
    spec.rank = ndims;
    for (int k = 0; k < y->nred; k++) {
        spec.extent[ndims + k] = y->extent[y->rank + k];
        map[y->rank + k] = ix_dim(g, ndims + k);
        const Scalar *equal =
            op2(g, OP_EQ, sc_index(g, ix_dim(g, y->rank + k)), sc_index(g, ix_dim(g, ndims + k)));
        same = same ? op2(g, OP_AND, same, equal) : equal;
    }
    const Scalar *term = sc_subst(g, y->body, map, MAX_DIMS, spec.extent);
    spec.body = choose(g, same, sc_const(g, 1), term);
    return op2(g, OP_MUL, dy, sc_read_all(g, graph_comp(g, &spec)));
}

static const Scalar *seed_of(Loss *loss, Node *y) {
    Graph *g = loss->g;
    const Scalar *dy = sc_read_all(g, adjoint_of(loss, y));
    double value;
    if (sc_is_const(dy, &value) && value == 0) return dy;
    switch (y->reduce) {
    case RED_NONE:
    case RED_SUM:
        return dy;
    case RED_MAX:
    case RED_MIN:
        return seed_extreme(g, y, dy);
    case RED_PROD:
        return seed_product(g, y, dy);
    case RED_ARGMAX:
    case RED_ARGMIN:
        return sc_const(g, 0);
    }
    return dy;
}

/* ---- The adjoints of a body's reads */
/* Costly to compute again for each example: then the gradient reads the value instead. */
static bool costly(const Scalar *s, bool per_example) {
    if (s->kind != SC_OP || s->per_example != per_example) return false;
    if (op_info[s->op].costly) return true;
    if (s->op == OP_DIV && s->arg[1]->reads && s->arg[1]->per_example == per_example) return true;
    for (int i = 0; i < op_info[s->op].arity; i++)
        if (costly(s->arg[i], per_example)) return true;
    return false;
}

typedef struct Replace {
    Graph *g;
    Map done;
    const Scalar *from, *to;
} Replace;
static const Scalar *replace(Replace *r, const Scalar *s) {
    if (s == r->from) return r->to;
    if (s->kind != SC_OP) return s;
    const Scalar *done = map_get(&r->done, s), *arg[3] = {0};
    if (done) return done;
    for (int i = 0; i < op_info[s->op].arity; i++)
        arg[i] = replace(r, s->arg[i]);
    done = sc_op(r->g, s->op, arg[0], arg[1], arg[2]);
    map_put(&r->done, s, (void *)done);
    return done;
}

static const AdjointList *reads_of(Loss *loss, Node *y) {
    AdjointList *list = map_get(&loss->reads, y);
    if (list) return list;
    Graph *g = loss->g;
    list = NEW(g->arena, AdjointList);
    *list = derivative_reads(g, y->body, seed_of(loss, y));
    if (y->reduce == RED_NONE && costly(y->body, y->body->per_example))
        for (int i = 0; i < list->len; i++) {
            Replace r = {.g = g, .from = y->body, .to = sc_read_all(g, y)};
            map_init(&r.done, g->arena);
            list->at[i].value = replace(&r, list->at[i].value);
        }
    map_put(&loss->reads, y, list);
    return list;
}

/* ---- One contribution: d loss / d x through one read of x in y */
/* A read gives 0 outside where dimension d of y leaves its extent. */
static bool read_vanishes(const Scalar *read, int d, int64_t extent) {
    double value;
    if (read->outside && !(sc_is_const(read->outside, &value) && value == 0)) return false;
    for (int i = 0, dim; i < read->node->rank; i++)
        if (ix_is_dim(read->at[i], &dim) && dim == d && read->node->extent[i] <= extent)
            return true;
    return false;
}

/* True where s is 0 once dimension d has left its extent, as reads there give 0. */
static bool vanishes(const Scalar *s, int d, int64_t extent, uint32_t guarded) {
    double value;
    if (sc_is_const(s, &value)) return value == 0;
    if (s->kind == SC_READ) return read_vanishes(s, d, extent);
    if (s->kind != SC_OP) return false;
    const Scalar *a = s->arg[0], *b = s->arg[1], *c = s->arg[2];
    switch (s->op) {
    case OP_NEG:
        return vanishes(a, d, extent, guarded);
    case OP_MUL:
        return (vanishes(a, d, extent, guarded) && derivative_tame(b, guarded)) ||
               (vanishes(b, d, extent, guarded) && derivative_tame(a, guarded));
    case OP_DIV:
        return !(b->dims & guarded) && vanishes(a, d, extent, guarded);
    case OP_ADD:
    case OP_SUB:
        return vanishes(a, d, extent, guarded) && vanishes(b, d, extent, guarded);
    case OP_SELECT:
        return vanishes(b, d, extent, guarded) && vanishes(c, d, extent, guarded);
    default:
        return false;
    }
}

typedef struct Reach {
    const int64_t *extents;
    bool computed; /* a solved dimension is a computed position, whose range is not known */
} Reach;
/* Reads at solved positions may fall outside: a guard has made what they give irrelevant. */
static const Scalar *zero_outside(Graph *g, const Scalar *leaf, void *context) {
    const Reach *reach = context;
    if (leaf->kind != SC_READ || leaf->outside) return NULL;
    for (int i = 0; i < leaf->node->rank; i++) {
        int64_t lo, hi;
        bool known = ix_range(leaf->at[i], reach->extents, &lo, &hi);
        if (known ? lo < 0 || hi >= leaf->node->extent[i] : reach->computed)
            return sc_read(g, leaf->node, leaf->at, sc_const(g, 0));
    }
    return NULL;
}

static const Scalar *guarded_body(Graph *g, const Node *y, const Scalar *value,
                                  const Solution *way) {
    uint32_t guarded = 0;
    for (int i = 0; i < way->guards.len; i++)
        if (way->guards.at[i].dim >= 0) guarded |= (uint32_t)1 << way->guards.at[i].dim;
    const Scalar *condition = NULL;
    for (int i = 0; i < way->guards.len; i++) {
        int d = way->guards.at[i].dim;
        const Scalar *more = way->guards.at[i].condition;
        if (d >= 0 && vanishes(value, d, y->extent[d], guarded)) continue;
        condition = condition ? op2(g, OP_AND, condition, more) : more;
    }
    Reach reach = {.extents = way->extent};
    for (int d = 0; d < node_dims(y); d++) {
        int64_t lo, hi;
        reach.computed |= !ix_range(way->dim[d], way->extent, &lo, &hi);
    }
    const Scalar *body = sc_subst(g, value, way->dim, node_dims(y), way->extent);
    if (condition) body = choose(g, condition, body, sc_const(g, 0)); /* it may read positions */
    return sc_rewrite(g, body, zero_outside, &reach);
}

static Node *contribution(Graph *g, Node *y, const Adjoint *adjoint) {
    Node *x = adjoint->read->node;
    graph_from(g, y);
    Solution way = solve_read(g, adjoint->read, node_dims(y), y->extent);
    CompSpec spec = {.rank = x->rank, .nred = way.nred, .at = y->at};
    memcpy(spec.extent, way.extent, sizeof spec.extent);
    spec.over_batch = (y->per_example || y->over_batch) && !x->per_example;
    spec.reduce = spec.nred || spec.over_batch ? RED_SUM : RED_NONE;
    spec.body = guarded_body(g, y, adjoint->value, &way);
    return simplify_comp(g, &spec, true);
}

/* ---- Adjoints of nodes */
/* What a value gets through a reference comes from later steps, whose adjoints need its own first:
 * a reference again, to the adjoint of the reference. */
static Node *carried_of(Loss *loss, Node *scan) {
    Node *carried = map_get(&loss->carried, scan);
    if (!carried) {
        Name name = scan->name ? name_printf("%s.carried", scan->name) : NULL;
        carried = graph_scan(loss->g, scan->rank, scan->extent, name, scan->at);
        map_put(&loss->carried, scan, carried);
        VEC_PUSH(loss->g->arena, loss->open, scan);
    }
    return carried;
}

static void close_carried(Loss *loss) {
    for (int i = 0; i < loss->open.len; i++) {
        Node *scan = loss->open.at[i];
        Node *of = adjoint_of(loss, scan); /* may open others */
        scan_bind(loss->g, map_get(&loss->carried, scan), of);
    }
    loss->open.len = 0;
}

static Node *adjoint_new(Loss *loss, Node *x) {
    Graph *g = loss->g;
    if (x == loss->of) return graph_const(g, 0, NULL, 1);
    const NodeList *users = map_get(&loss->consumers, x);
    const Scalar *sum = sc_const(g, 0);
    for (int i = 0; users && i < users->len; i++) {
        const AdjointList *reads = reads_of(loss, users->at[i]);
        for (int j = 0; j < reads->len; j++)
            if (reads->at[j].read->node == x) {
                Node *part = contribution(g, users->at[i], &reads->at[j]);
                sum = op2(g, OP_ADD, sum, sc_read_all(g, part));
            }
    }
    for (int i = 0; i < loss->scans.len; i++)
        if (loss->scans.at[i]->of == x && map_has(&loss->consumers, loss->scans.at[i]))
            sum = op2(g, OP_ADD, sum, sc_read_all(g, carried_of(loss, loss->scans.at[i])));
    graph_from(g, x);
    Node *adjoint = graph_map(g, x->rank, x->extent, sum, NULL, x->at);
    if (!adjoint->name && x->name) adjoint->name = name_printf("%s.grad", x->name);
    return adjoint;
}

static Node *adjoint_of(Loss *loss, Node *x) {
    Node *adjoint = map_get(&loss->adjoint, x);
    if (!adjoint) {
        adjoint = adjoint_new(loss, x);
        map_put(&loss->adjoint, x, adjoint);
    }
    return adjoint;
}

typedef struct Use {
    Loss *loss;
    Node *user;
} Use;
static void add_use(const Scalar *read, void *context) {
    Use *use = context;
    Map *consumers = &use->loss->consumers;
    NodeList *list = MAP_NEW(consumers, read->node, NodeList);
    if (!list->len || list->at[list->len - 1] != use->user)
        VEC_PUSH(use->loss->g->arena, *list, use->user);
}

static Loss *loss_new(Graph *g, Node *of) {
    Loss *loss = NEW(g->arena, Loss);
    loss->g = g, loss->of = of;
    map_init(&loss->consumers, g->arena);
    map_init(&loss->reads, g->arena);
    map_init(&loss->adjoint, g->arena);
    map_init(&loss->carried, g->arena);
    Program program = {.kind = PROGRAM_KINDS};
    VEC_PUSH(g->arena, program.results, (Result){.node = of});
    NodeList nodes = program_nodes(g->arena, &program);
    for (int i = nodes.len - 1; i >= 0; i--)
        if (nodes.at[i]->kind == NODE_SCAN) VEC_PUSH(g->arena, loss->scans, nodes.at[i]);
    for (int i = nodes.len - 1; i >= 0; i--)
        if (nodes.at[i]->kind == NODE_COMP)
            sc_reads(nodes.at[i]->body, add_use, &(Use){loss, nodes.at[i]});
    return loss;
}

static Node *replace_grad(Graph *g, Node *node, void *context) {
    if (node->kind != NODE_GRAD) return node;
    Map *losses = context;
    Loss *loss = map_get(losses, node->of);
    if (!loss) {
        loss = loss_new(g, node->of);
        map_put(losses, node->of, loss);
    }
    g->differentiating = true;
    Node *adjoint = adjoint_of(loss, node->wrt);
    close_carried(loss);
    g->differentiating = false;
    return node_value(adjoint);
}

/* Reads along a diagonal of index 0 and another: their adjoints depend on other steps at once. */
static void check_recurrences(const Unit *unit, Arena *scratch) {
    for (int i = 0; i < unit->programs.len; i++) {
        Map groups;
        map_init(&groups, scratch);
        NodeList nodes = program_groups(scratch, &unit->programs.at[i], &groups);
        for (int k = 0; k < nodes.len; k++) {
            const ScanGroup *group = map_get(&groups, nodes.at[k]);
            if (!group || !group->fault || group->nodes.at[0] != nodes.at[k]) continue;
            diag_error(group->where->at, "E0590",
                       "the gradient of this recurrence is not available yet");
            return;
        }
    }
}

void pass_gradient(Unit *unit) {
    Arena *scratch = arena_new();
    Map losses;
    map_init(&losses, scratch);
    unit_rewrite(unit, replace_grad, &losses);
    check_recurrences(unit, scratch);
    arena_free(scratch);
}
