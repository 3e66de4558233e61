/* SPDX-License-Identifier: MIT
 * `after training { … }`: what is collected over the training minibatches on the weights that are
 * kept, in float64, and the states that are made of it. Needs front and ir.
 * The model is run for it once more (train.c), as in a step but with the parameters as they are. */
#include "elab_internal.h"
#include <string.h>

/* The place of a collected value, as for fitted ones. The colon keeps it out of weights files. */
static Name batches_name(Elab *e) {
    Name name = e->frame->target ? path_join(e->scope->path, e->frame->target) : e->scope->path;
    Name key = name_printf("after:%s", name ? name : "value");
    int *count = MAP_NEW(&e->scope->draws, key, int);
    return ++*count == 1 ? key : name_printf("%s%d", key, *count);
}

Value *reduce_batches(Elab *e, const Expr *x, Reduce reduce, const Scalar *body, bool mean) {
    if (body->per_example) {
        if (fail(e, x->a->at, "E0428", "this differs from example to example"))
            fail_help(e, "reduce it over the minibatch first: `mean[batch] …`");
        return value_error(e);
    }
    if (reduce == RED_PROD || reduce == RED_ARGMAX || reduce == RED_ARGMIN) {
        fail(e, x->at, "E0324", "`%s` does not run over `batches`", x->name);
        return value_error(e);
    }
    int dims[LIVE_DIMS + 32], n = free_dims(body, 0, dims);
    int64_t extent[MAX_RANK];
    for (int i = 0; i < n; i++)
        extent[i] = e->extent[dims[i]];
    if (!check_size(e, x->at, n, extent)) return value_error(e);
    FitRec *rec = NEW(e->arena, FitRec);
    rec->leaf = graph_leaf(e->g, NODE_FITTED, batches_name(e), false, n, extent, 0, x->at);
    Node *part = make_node(e, body, n, 0, dims, RED_NONE, false, NULL, x->at);
    const Scalar *s = sc_read_all(e->g, part), *old = sc_read_all(e->g, rec->leaf);
    if (mean) s = sc_op(e->g, OP_DIV, s, hyper_value(e, "batches.count", x->at)->s, NULL);
    Op op = reduce == RED_SUM ? OP_ADD : reduce == RED_MAX ? OP_MAX : OP_MIN;
    const Scalar *first =
        sc_op(e->g, OP_EQ, hyper_value(e, "batches.number", x->at)->s, sc_const(e->g, 0), NULL);
    s = sc_op(e->g, OP_SELECT, first, s, sc_op(e->g, op, old, s, NULL));
    rec->next = graph_map(e->g, n, extent, s, NULL, x->at);
    VEC_PUSH(e->arena, e->after_list, rec);
    return value_scalar(e, read_dims(e, rec->leaf, dims), x->at);
}

void run_after(Elab *e, const Stmt *stmt) {
    e->has_after = true;
    if (e->mode != MODE_AFTER) return;
    bool outer = e->in_after;
    e->in_after = true;
    run_body(e, &stmt->body);
    e->in_after = outer;
}

/* "after" adds a minibatch to what is collected; "kept" makes the states of it. */
void after_programs(Elab *e) {
    if (!e->after_list.len) return; /* every block keeps what was there */
    Program *p = program_new(e, PROGRAM_AFTER, "after");
    for (int i = 0; i < e->after_list.len; i++)
        program_next(e, p, e->after_list.at[i]->leaf, e->after_list.at[i]->next);
    p = program_new(e, PROGRAM_KEPT, "kept");
    for (int i = 0; i < e->updates.len; i++)
        if (e->updates.at[i].node != e->updates.at[i].target)
            program_next(e, p, e->updates.at[i].target, e->updates.at[i].node);
}
