/* SPDX-License-Identifier: MIT
 * Reductions over `data`: each is a fitted leaf, and the rule that adds a batch to it, in programs
 * by level: a value fitted on another comes after it. Needs ir. Runs nothing. */
#include "elab_internal.h"
#include <math.h>
#include <string.h>

typedef struct Reads {
    Elab *e;
    Map seen;
    int level;
    const Node *learned; /* a parameter or state that must not be there */
} Reads;

static void look(const Scalar *read, void *context) {
    Reads *r = context;
    Node *node = read->node;
    if (map_has(&r->seen, node)) return;
    map_put(&r->seen, node, node);
    if (node->kind == NODE_PARAM || node->kind == NODE_STATE) r->learned = node;
    if (node->kind == NODE_FITTED) {
        const FitRec *fit = map_get(&r->e->fits, node->name);
        if (fit && fit->level + 1 > r->level) r->level = fit->level + 1;
    }
    if (node->body) sc_reads(node->body, look, r);
}

static FitRec *fit_new(Elab *e, const Expr *x, Name name, Reduce reduce, const Scalar *body,
                       uint32_t reduced, double terms) {
    Reads reads = {.e = e};
    map_init(&reads.seen, e->arena);
    sc_reads(body, look, &reads);
    if (reads.learned) {
        if (fail(e, x->at, "E0325",
                 "a value over `data` is computed before training, this one reads `%s`",
                 reads.learned->name))
            fail_help(e, "it may depend on inputs and on other fitted values");
        return NULL;
    }
    int dims[LIVE_DIMS + 32], n = free_dims(body, reduced, dims), total = n;
    int64_t extent[MAX_RANK];
    for (int d = 0; d < 32; d++)
        if (reduced >> d & 1) dims[total++] = d;
    if (n > MAX_RANK) {
        fail(e, x->at, "E0313", "more than %d dimensions", MAX_RANK);
        return NULL;
    }
    for (int i = 0; i < n; i++)
        extent[i] = e->extent[dims[i]];
    FitRec *fit = NEW(e->arena, FitRec);
    fit->level = reads.level;
    fit->start = reduce_identity(reduce);
    fit->leaf = graph_leaf(e->g, NODE_FITTED, name, false, n, extent, 0, x->at);
    const Scalar *live =
        sc_op(e->g, OP_NE, sc_read(e->g, live_leaf(e), NULL, NULL), sc_const(e->g, 0), NULL);
    const Scalar *masked =
        sc_op(e->g, OP_SELECT, live, body, sc_const(e->g, reduce_identity(reduce)));
    Node *part = make_node(e, masked, n, total - n, dims, reduce, true, NULL, x->at);
    const Scalar *s = sc_read_all(e->g, part), *old = sc_read_all(e->g, fit->leaf);
    if (terms > 0) {
        Value *count = num_op(e, OP_MUL, hyper_value(e, "data.count", x->at),
                              value_const(e, terms, x->at), NULL, x->at);
        s = op_hoisted(e, OP_DIV, s, count->s, NULL);
    }
    s = sc_op(e->g, reduce == RED_SUM ? OP_ADD : reduce == RED_MAX ? OP_MAX : OP_MIN, old, s, NULL);
    fit->next = graph_map(e->g, n, extent, s, NULL, x->at);
    map_put(&e->fits, name, fit);
    VEC_PUSH(e->arena, e->fit_list, fit);
    return fit;
}

/* The place of a fitted value: its path and the name that it is given to, numbered where several
 * stand in one expression. */
static Name fit_name(Elab *e) {
    Name name = e->frame->target ? path_join(e->scope->path, e->frame->target) : e->scope->path;
    if (!name) name = name_of("fitted");
    Name key = name_printf("fit %s", name);
    int *count = map_get(&e->scope->draws, key);
    if (!count) {
        count = NEW(e->arena, int);
        map_put(&e->scope->draws, key, count);
    }
    return ++*count == 1 ? name : name_printf("%s%d", name, *count);
}

Value *reduce_data(Elab *e, const Expr *x, Reduce reduce, const Scalar *body, uint32_t reduced,
                   double terms) {
    if (reduce == RED_PROD) {
        fail(e, x->at, "E0324", "`prod` does not run over `data`");
        return value_error(e);
    }
    Name name = fit_name(e);
    FitRec *fit = map_get(&e->fits, name);
    if (!fit && e->training) {
        fail(e, x->at, "E0326",
             "a value over `data` stands in a branch of training: it is computed without");
        return value_error(e);
    }
    if (!fit) fit = fit_new(e, x, name, reduce, body, reduced, terms);
    int dims[LIVE_DIMS + 32], n = free_dims(body, reduced, dims);
    if (!fit || fit->leaf->rank != n) return value_error(e);
    return value_scalar(e, read_dims(e, fit->leaf, dims), x->at);
}
