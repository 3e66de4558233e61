/* SPDX-License-Identifier: MIT
 * Reductions over `weights`. A def is run once for each parameter that it is applied to; what it
 * reduces over all of them stands as a leaf until all have run, and is put in its place then.
 * Needs ir. Knows nothing of what the defs are for. */
#include "elab_internal.h"
#include <string.h>

typedef struct WeightSum {
    const Expr *site;
    Node *leaf; /* stands for the result */
    Reduce reduce;
    bool mean;
    int members;
    double terms;
    Value *total;
} WeightSum;

typedef struct Move { /* `moved(e, w, v)`: what every parameter becomes, and what is wanted so */
    const Expr *site;
    Map to;   /* parameter as the model reads it -> Node* */
    Map leaf; /* Node -> the leaf that stands for it moved */
} Move;
typedef struct Moved {
    Move *move;
    Node *node;
} Moved;

struct Weights { /* of one def: its reductions in the order in which each parameter meets them */
    VEC(WeightSum *) sums;
    VEC(Move *) moves;
    int next, next_move, members;
};

void weights_begin(Elab *e) {
    e->weights = NEW(e->arena, Weights);
}

void weights_member(Elab *e) {
    e->weights->next = e->weights->next_move = 0;
    e->weights->members++;
}

Value *weights_add(Elab *e, const Expr *x, Reduce reduce, Value *part, double terms) {
    Weights *w = e->weights;
    WeightSum *sum = w->next < w->sums.len ? w->sums.at[w->next] : NULL;
    bool mean = x->name[0] == 'm' && x->name[1] == 'e';
    if (!sum && w->members == 1) {
        sum = NEW(e->arena, WeightSum);
        Name name = name_printf("weights %d", e->weight_sums.slots.len);
        *sum = (WeightSum){.site = x, .reduce = reduce, .mean = mean};
        /* a state for its type: shared, in the width of the parameters */
        sum->leaf = graph_leaf(e->g, NODE_STATE, name, false, 0, NULL, 0, x->at);
        map_put(&e->weight_sums, sum->leaf, sum);
        VEC_PUSH(e->arena, w->sums, sum);
    }
    if (!sum || sum->site != x) {
        fail(e, x->at, "E0325", "not every parameter comes to this reduction over `weights`");
        return value_error(e);
    }
    Op op = reduce == RED_SUM    ? OP_ADD
            : reduce == RED_PROD ? OP_MUL
            : reduce == RED_MAX  ? OP_MAX
                                 : OP_MIN;
    sum->total = sum->total ? num_op(e, op, sum->total, part, NULL, x->at) : part;
    sum->terms += terms;
    sum->members++;
    w->next++;
    return value_node(e, sum->leaf, x->at);
}

Value *weights_moved(Elab *e, const Expr *x, Node *node, Node *from, Node *to) {
    Weights *w = e->weights;
    Move *move = w->next_move < w->moves.len ? w->moves.at[w->next_move] : NULL;
    if (!move && w->members == 1) {
        move = NEW(e->arena, Move);
        move->site = x;
        map_init(&move->to, e->arena);
        map_init(&move->leaf, e->arena);
        VEC_PUSH(e->arena, w->moves, move);
    }
    if (!move || move->site != x) {
        fail(e, x->at, "E0325", "not every parameter comes to this `moved`");
        return value_error(e);
    }
    map_put(&move->to, from, to);
    w->next_move++;
    Node *leaf = map_get(&move->leaf, node);
    if (!leaf) {
        Moved *moved = NEW(e->arena, Moved);
        *moved = (Moved){move, node};
        Name name = name_printf("moved %d", e->weight_sums.slots.len);
        leaf = graph_leaf(e->g, NODE_STATE, name, false, node->rank, node->extent, 0, x->at);
        map_put(&e->weight_sums, leaf, NULL);
        map_put(&e->weight_moves, leaf, moved);
        map_put(&move->leaf, node, leaf);
    }
    return value_node(e, leaf, x->at);
}

bool weights_end(Elab *e) {
    Weights *w = e->weights;
    bool whole = true;
    e->weights = NULL;
    for (int i = 0; i < w->sums.len; i++) {
        WeightSum *sum = w->sums.at[i];
        if (sum->members != w->members && whole) {
            fail(e, sum->site->at, "E0325",
                 "not every parameter comes to this reduction over `weights`");
            whole = false;
        }
        if (sum->mean)
            sum->total = num_op(e, OP_DIV, sum->total, value_const(e, sum->terms, (Span){0}), NULL,
                                sum->site->at);
    }
    return whole;
}

static const Scalar *resolve_read(Graph *g, const Scalar *leaf, void *context) {
    if (leaf->kind != SC_READ) return NULL;
    Node *node = weights_resolve(context, leaf->node);
    return node == leaf->node ? NULL : sc_read(g, node, leaf->at, leaf->outside);
}

static Node *resolve_comp(Elab *e, Node *node) {
    CompSpec spec = node_spec(node);
    spec.body = sc_rewrite(e->g, node->body, resolve_read, e);
    return spec.body == node->body ? node : graph_comp(e->g, &spec);
}

static Node *resolve_call(Elab *e, Node *node) {
    Node *operand[CALL_OPERANDS] = {0};
    bool same = true;
    for (int i = 0; i < call_info[node->call].operands; i++) {
        operand[i] = weights_resolve(e, node->operand[i]);
        same = same && operand[i] == node->operand[i];
    }
    return same ? node : graph_call(e->g, node->call, operand, node->result, node->name, node->at);
}

/* A recurrence reads itself: it cannot be made anew with something else in it. */
static void refuse_scan(Elab *e, Node *node) {
    map_put(&e->weights_done, node, node);
    if (node->of && weights_resolve(e, node->of) != node->of)
        unavailable(e, node->at, "a reduction over `weights` in a recurrence");
}

/* ---- Values anew, with other nodes in them */
typedef struct Anew {
    Elab *e;
    Map done; /* Node -> Node */
    NodeList scans;
} Anew;
static Node *anew(Anew *a, Node *node);

static const Scalar *anew_read(Graph *g, const Scalar *leaf, void *context) {
    if (leaf->kind != SC_READ) return NULL;
    Node *node = anew(context, leaf->node);
    return node == leaf->node ? NULL : sc_read(g, node, leaf->at, leaf->outside);
}

static Node *anew(Anew *a, Node *node) {
    Node *made = map_get(&a->done, node);
    if (made) return made;
    Graph *g = a->e->g;
    made = node;
    if (node->kind == NODE_COMP) {
        CompSpec spec = node_spec(node);
        spec.body = sc_rewrite(g, node->body, anew_read, a);
        if (spec.body != node->body) made = graph_comp(g, &spec);
    } else if (node->kind == NODE_GRAD) {
        made = graph_grad(g, anew(a, node->of), anew(a, node->wrt));
    } else if (node->kind == NODE_SCAN) { /* what it stands for reads it: it is bound in the end */
        made = graph_scan(g, node->rank, node->extent, node->name, node->at);
        VEC_PUSH(a->e->arena, a->scans, node);
    }
    map_put(&a->done, node, made);
    return made;
}

/* A value with every parameter where it is moved to. */
static Node *moved_made(Elab *e, const Moved *moved) {
    const Move *move = moved->move;
    Anew a = {.e = e};
    map_init(&a.done, e->arena);
    for (int i = 0; i < move->to.slots.len; i++) {
        Node *to = move->to.slots.at[i].value;
        map_put(&a.done, move->to.slots.at[i].key, weights_resolve(e, to));
    }
    Node *made = anew(&a, weights_resolve(e, moved->node));
    for (int i = 0; i < a.scans.len; i++)
        scan_bind(e->g, map_get(&a.done, a.scans.at[i]), anew(&a, a.scans.at[i]->of));
    return made;
}

Node *weights_resolve(Elab *e, Node *node) {
    if (!e->weight_sums.slots.len) return node; /* moves have a row there, too */
    Node *known = map_get(&e->weights_done, node);
    if (known) return known;
    const WeightSum *sum = node->kind == NODE_STATE ? map_get(&e->weight_sums, node) : NULL;
    const Moved *moved = node->kind == NODE_STATE ? map_get(&e->weight_moves, node) : NULL;
    Node *made = node;
    if (moved) {
        made = moved_made(e, moved);
    } else if (sum && sum->total && sum->total->kind == VAL_NUMBER) {
        const Scalar *s = sc_rewrite(e->g, sum->total->s, resolve_read, e);
        made = graph_map(e->g, 0, NULL, s, NULL, sum->site->at);
    } else if (node->kind == NODE_COMP) {
        made = resolve_comp(e, node);
    } else if (node->kind == NODE_CALL) {
        made = resolve_call(e, node);
    } else if (node->kind == NODE_GRAD) {
        made = graph_grad(e->g, weights_resolve(e, node->of), weights_resolve(e, node->wrt));
    } else if (node->kind == NODE_SCAN)
        refuse_scan(e, node);
    map_put(&e->weights_done, node, made);
    return made;
}

Value *weights_value(Elab *e, Value *v) {
    Value *out = value_new(e, v->kind, v->at);
    *out = *v;
    if (v->kind == VAL_TENSOR) out->node = weights_resolve(e, v->node);
    if (v->kind == VAL_NUMBER) out->s = sc_rewrite(e->g, v->s, resolve_read, e);
    return out;
}
