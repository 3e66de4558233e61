/* SPDX-License-Identifier: MIT
 * The frozen algebra: factors leave sums, shared parts leave per-example code, wide parts leave
 * narrow code, copies vanish. Needs no NODE_GRAD (but the gradient pass makes its sums here, too).
 * Never turns a two-pass variance into one pass, and re-orders no sum. */
#include "derivative.h"
#include "frozen.h"
#include "pass.h"
#include <string.h>

static uint32_t low_bits(int n) {
    return n >= 32 ? ~0u : ((uint32_t)1 << n) - 1;
}

/* ---- Copies: a node whose body is one read at its own dimensions, in any order */
static bool is_copy(const Node *node) {
    if (node->kind != NODE_COMP || node->reduce != RED_NONE || node->body->kind != SC_READ ||
        node->body->outside)
        return false;
    for (int i = 0; i < node->body->node->rank; i++)
        if (!ix_is_dim(node->body->at[i], NULL) && !ix_is_const(node->body->at[i], NULL))
            return false;
    return true;
}

/* A read that falls outside of the copy must fall outside of the original. */
static bool same_reach(const Node *copy) {
    uint32_t reached = 0;
    for (int i = 0, dim; i < copy->body->node->rank; i++)
        if (ix_is_dim(copy->body->at[i], &dim) && copy->extent[dim] == copy->body->node->extent[i])
            reached |= (uint32_t)1 << dim;
    return reached == low_bits(copy->rank);
}

static const Scalar *read_through(Graph *g, const Scalar *leaf, void *context) {
    const int64_t *extents = context;
    const Scalar *begin = leaf;
    while (leaf->kind == SC_READ && is_copy(leaf->node) &&
           (!leaf->outside || same_reach(leaf->node))) {
        const Scalar *inner = leaf->node->body;
        const Ix *at[MAX_RANK];
        for (int i = 0; i < inner->node->rank; i++)
            at[i] = ix_subst(g, inner->at[i], leaf->at, leaf->node->rank, extents);
        leaf = sc_read(g, inner->node, at, leaf->outside);
    }
    return leaf == begin ? NULL : leaf;
}

/* ---- Shared parts of per-example bodies, wide parts of narrow ones */
typedef struct Hoist {
    Graph *g;
    const int64_t *extents;
    bool shared; /* hoists every shared part; else the wide ones alone */
    Map done;
} Hoist;

static bool is_apart(Hoist *h, const Scalar *s) {
    return s->reads && (s->wide || (h->shared && !s->per_example)) && !s->draws &&
           __builtin_popcount(s->dims) <= MAX_RANK;
}

/* A read of s made a node of its own, over just the dimensions that it uses. */
static const Scalar *set_apart(Hoist *h, const Scalar *s) {
    CompSpec spec = {.reduce = RED_NONE};
    const Ix *map[MAX_DIMS] = {0}, *at[MAX_RANK];
    for (int d = 0; d < MAX_DIMS; d++)
        if (s->dims >> d & 1) {
            at[spec.rank] = ix_dim(h->g, d);
            spec.extent[spec.rank] = h->extents[d];
            map[d] = ix_dim(h->g, spec.rank++);
        }
    spec.body = sc_subst(h->g, s, map, MAX_DIMS, spec.extent);
    return sc_read(h->g, simplify_comp(h->g, &spec, false), at, NULL);
}

static const Scalar *hoist(Hoist *h, const Scalar *s);

static const Scalar *hoist_new(Hoist *h, const Scalar *s) {
    Graph *g = h->g;
    if (s->kind == SC_DRAW && s->arg[0])
        return sc_draw(g, s->draw, hoist(h, s->arg[0]), s->ix, s->place, s->shared);
    if (s->kind != SC_OP) return s;
    bool truth = op_info[s->op].truth;
    if (is_apart(h, s) && !truth) return set_apart(h, s);
    if (is_apart(h, s) && s->wide) {
        const Scalar *number = sc_op(g, OP_SELECT, s, sc_const(g, 1), sc_const(g, 0));
        return op2(g, OP_NE, set_apart(h, number), sc_const(g, 0));
    }
    if (s->op == OP_DIV && h->shared && s->per_example && !s->arg[1]->per_example &&
        is_apart(h, s->arg[1])) {
        const Scalar *reciprocal = op2(g, OP_DIV, sc_const(g, 1), s->arg[1]);
        return op2(g, OP_MUL, hoist(h, s->arg[0]), set_apart(h, reciprocal));
    }
    const Scalar *arg[3] = {0};
    for (int i = 0; i < op_info[s->op].arity; i++)
        arg[i] = hoist(h, s->arg[i]);
    return sc_op(g, s->op, arg[0], arg[1], arg[2]);
}

static const Scalar *hoist(Hoist *h, const Scalar *s) {
    const Scalar *done = map_get(&h->done, s);
    if (!done) {
        done = hoist_new(h, s);
        map_put(&h->done, s, (void *)done);
    }
    return done;
}

static Node *comp_hoisted(Graph *g, CompSpec *spec) {
    if (!spec->body->wide && spec->body->reads) {
        Arena *scratch = arena_new();
        Hoist h = {.g = g, .extents = spec->extent, .shared = spec->body->per_example};
        map_init(&h.done, scratch);
        spec->body = hoist(&h, spec->body);
        arena_free(scratch);
    }
    return graph_comp(g, spec);
}

/* ---- Factors of a sum */
typedef struct Sum {
    Graph *g;
    const CompSpec *spec;
    uint32_t reduced; /* dimensions */
    bool split;
} Sum;
static const Scalar *sum_of(const Sum *sum, const Scalar *body);

static bool depends(const Sum *sum, const Scalar *s) {
    return (s->dims & sum->reduced) || (sum->spec->over_batch && s->per_example);
}

/* select(live, e, 0): examples that are not there count nothing. As some are, a factor of e that is
 * the same for all may leave; no other condition lets it, lest 0 * infinity stands for a branch. */
static bool is_live(const Scalar *s) {
    if (!is_op(s, OP_SELECT) || !is_value(s->arg[2], 0)) return false;
    const Scalar *c = s->arg[0];
    if (is_op(c, OP_NE) && is_value(c->arg[1], 0)) c = c->arg[0];
    return c->kind == SC_READ && c->node->kind == NODE_INPUT && c->node->name == name_of("live");
}

/* In products NULL stands for 1. */
static const Scalar *product(Graph *g, const Scalar *a, const Scalar *b) {
    return !a ? b : !b ? a : op2(g, OP_MUL, a, b);
}
static const Scalar *quotient(Graph *g, const Scalar *a, const Scalar *b) {
    return b ? op2(g, OP_DIV, a ? a : sc_const(g, 1), b) : a;
}

/* s = outer * inner, where outer does not depend on what is summed over. */
static void take_apart(const Sum *sum, const Scalar *s, const Scalar **outer,
                       const Scalar **inner) {
    Graph *g = sum->g;
    const Scalar *o[2] = {0}, *i[2] = {0};
    *outer = NULL, *inner = s;
    if (!depends(sum, s)) {
        *outer = is_value(s, 1) ? NULL : s;
        *inner = NULL;
    } else if (is_op(s, OP_MUL) || is_op(s, OP_DIV)) {
        take_apart(sum, s->arg[0], &o[0], &i[0]);
        take_apart(sum, s->arg[1], &o[1], &i[1]);
        *outer = s->op == OP_MUL ? product(g, o[0], o[1]) : quotient(g, o[0], o[1]);
        *inner = s->op == OP_MUL ? product(g, i[0], i[1]) : quotient(g, i[0], i[1]);
    } else if (is_op(s, OP_NEG)) {
        take_apart(sum, s->arg[0], &o[0], inner);
        *outer = sc_op(g, OP_NEG, o[0] ? o[0] : sc_const(g, 1), NULL, NULL);
    } else if (is_live(s)) {
        take_apart(sum, s->arg[1], outer, &i[0]);
        *inner = sc_op(g, OP_SELECT, s->arg[0], i[0] ? i[0] : sc_const(g, 1), sc_const(g, 0));
    }
}

/* The sum of a body without outer factors, as a read of a node of its own: over just the output
 * dimensions that it uses; a reduced dimension that it does not use counts its extent. */
static const Scalar *sum_node(const Sum *sum, const Scalar *body) {
    Graph *g = sum->g;
    const CompSpec *from = sum->spec;
    CompSpec spec = {.reduce = RED_SUM, .over_batch = from->over_batch, .at = from->at};
    const Ix *map[MAX_DIMS] = {0}, *at[MAX_RANK];
    double count = 1;
    int ndims = 0;
    for (int d = 0; d < from->rank + from->nred; d++) {
        bool reduced = d >= from->rank;
        if (!(body->dims >> d & 1) && (reduced || from->extent[d] > 1)) {
            count *= reduced ? (double)from->extent[d] : 1;
            continue;
        }
        if (reduced)
            spec.nred++;
        else
            at[spec.rank++] = ix_dim(g, d);
        spec.extent[ndims] = from->extent[d];
        map[d] = ix_dim(g, ndims++);
    }
    spec.body = sc_subst(g, body, map, MAX_DIMS, spec.extent);
    const Scalar *read = sc_read(g, comp_hoisted(g, &spec), at, NULL);
    return op2(g, OP_MUL, sc_const(g, count), read);
}

/* A term in a sum of terms whose own sum needs no pass over the data: a factor times a count. */
static bool has_plain_term(const Sum *sum, const Scalar *s) {
    if (is_op(s, OP_ADD) || is_op(s, OP_SUB))
        return has_plain_term(sum, s->arg[0]) || has_plain_term(sum, s->arg[1]);
    return is_op(s, OP_NEG) ? has_plain_term(sum, s->arg[0]) : !depends(sum, s);
}

static const Scalar *sum_split(const Sum *sum, const Scalar *body) {
    const Scalar *terms = is_live(body) ? body->arg[1] : body;
    if (!sum->split || !sum->spec->over_batch || !(is_op(terms, OP_ADD) || is_op(terms, OP_SUB)) ||
        !has_plain_term(sum, terms))
        return NULL;
    const Scalar *part[2];
    for (int i = 0; i < 2; i++) {
        part[i] = terms->arg[i];
        if (terms != body)
            part[i] = sc_op(sum->g, OP_SELECT, body->arg[0], part[i], sc_const(sum->g, 0));
        part[i] = sum_of(sum, part[i]);
    }
    return op2(sum->g, terms->op, part[0], part[1]);
}

/* How often a constant is added: the extents, times the number of examples that are there. NULL
 * where that is not known. */
static const Scalar *terms_of(const Sum *sum, const Scalar *body) {
    Graph *g = sum->g;
    bool batch = sum->spec->over_batch;
    if (batch ? !is_live(body) || body->arg[1]->kind != SC_CONST : body->kind != SC_CONST)
        return NULL;
    double terms = 1;
    for (int k = 0; k < sum->spec->nred; k++)
        terms *= (double)sum->spec->extent[sum->spec->rank + k];
    if (!batch) return sc_const(g, terms);
    Node *count = graph_leaf(g, NODE_HYPER, name_of("count"), false, 0, NULL, 0, (Span){0});
    return op2(g, OP_MUL, sc_read(g, count, NULL, NULL), sc_const(g, terms));
}

/* The sum of body over the reduced dimensions (and the examples), as a scalar over the output's. */
static const Scalar *sum_of(const Sum *sum, const Scalar *body) {
    Graph *g = sum->g;
    const Scalar *outer, *inner, *total;
    if (is_value(body, 0)) return body;
    take_apart(sum, body, &outer, &inner);
    if (!inner) inner = sc_const(g, 1);
    const Scalar *terms = terms_of(sum, inner);
    if (terms) {
        total = op2(g, OP_MUL, inner->kind == SC_CONST ? inner : inner->arg[1], terms);
    } else {
        total = sum_split(sum, inner);
        total = total ? total : sum_node(sum, inner);
    }
    return outer ? derivative_times(g, total, outer) : total;
}

Node *simplify_comp(Graph *g, const CompSpec *given, bool split) {
    CompSpec spec = *given;
    spec.body = sc_rewrite(g, spec.body, read_through, spec.extent);
    if (spec.reduce == RED_SUM) {
        Sum sum = {.g = g, .spec = &spec, .split = split};
        sum.reduced = low_bits(spec.rank + spec.nred) & ~low_bits(spec.rank);
        CompSpec map = {.rank = spec.rank, .name = spec.name, .at = spec.at};
        memcpy(map.extent, spec.extent, sizeof map.extent);
        map.body = sum_of(&sum, spec.body);
        Node *node = comp_hoisted(g, &map);
        if (!node->name) /* no map was needed around the sum */
            node->name = spec.name;
        return node;
    }
    return comp_hoisted(g, &spec);
}

/* ---- The pass */
typedef struct Strip {
    Graph *g;
    Map done;
} Strip;

/* stop_gradient has done its work. */
static const Scalar *strip_stop(Strip *strip, const Scalar *s) {
    if (s->kind != SC_OP || !s->reads) return s;
    const Scalar *done = map_get(&strip->done, s), *arg[3] = {0};
    if (done) return done;
    for (int i = 0; i < op_info[s->op].arity; i++)
        arg[i] = strip_stop(strip, s->arg[i]);
    done = s->op == OP_STOP || s->op == OP_STATED ? arg[0]
                                                  : sc_op(strip->g, s->op, arg[0], arg[1], arg[2]);
    map_put(&strip->done, s, (void *)done);
    return done;
}

static Node *simplify_node(Graph *g, Node *node, void *context) {
    (void)context;
    if (node->kind != NODE_COMP) return node;
    CompSpec spec = node_spec(node);
    Arena *scratch = arena_new();
    Strip strip = {.g = g};
    map_init(&strip.done, scratch);
    spec.body = strip_stop(&strip, node->body);
    arena_free(scratch);
    return simplify_comp(g, &spec, false);
}

void pass_simplify(Unit *unit) {
    unit_rewrite(unit, simplify_node, NULL);
}
