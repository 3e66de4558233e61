/* SPDX-License-Identifier: MIT
 * Reductions: over indices, over the batch, over the training data, over all parameters. Each is a
 * node of its own over the free indices of its body. Needs front and ir. */
#include "elab_internal.h"
#include <math.h>
#include <string.h>

enum { OVER_BATCH = 1, OVER_DATA = 2, OVER_WEIGHTS = 4 };

double reduce_identity(Reduce reduce) {
    switch (reduce) {
    case RED_PROD:
        return 1;
    case RED_MAX:
        return -INFINITY;
    case RED_MIN:
        return INFINITY;
    default:
        return 0;
    }
}

static Reduce reduce_of(const char *name) {
    static const struct {
        const char *text;
        Reduce reduce;
    } rows[] = {{"sum", RED_SUM},   {"mean", RED_SUM},      {"max", RED_MAX},      {"min", RED_MIN},
                {"prod", RED_PROD}, {"argmax", RED_ARGMAX}, {"argmin", RED_ARGMIN}};
    for (int i = 0; i < LENGTH(rows); i++)
        if (!strcmp(name, rows[i].text)) return rows[i].reduce;
    return RED_NONE;
}

/* Binds what the brackets name; `over` gets the reserved ones. */
static bool bind_reduced(Elab *e, const Expr *x, int *over) {
    *over = 0;
    for (int i = 0; i < x->indices.len; i++) {
        const Index *index = &x->indices.at[i];
        const char *name = index->name ? index->name : "";
        if (!strcmp(name, "batch"))
            *over |= OVER_BATCH;
        else if (!strcmp(name, "data"))
            *over |= OVER_DATA;
        else if (!strcmp(name, "weights"))
            *over |= OVER_WEIGHTS;
        else if (!strcmp(name, "batches") || !strcmp(name, "examples")) {
            unavailable(e, index->at,
                        name[5] == 'e' && name[6] == 's' ? "a reduction over `batches`"
                                                         : "a reduction over `examples`");
            return false;
        } else if (!bind_push(e, index))
            return false;
    }
    if (*over & (*over - 1)) {
        fail(e, x->at, "E0321", "a reduction crosses one of `batch`, `data`, `weights` only");
        return false;
    }
    if ((*over & OVER_BATCH) && !e->training && e->mode != MODE_UPDATE &&
        strcmp(x->name, "count")) {
        if (fail(e, x->at, "E0322",
                 "a prediction sees one example: there is no batch to reduce over"))
            fail_help(e, "say what stands for it without training: `if training then (mean[batch] "
                         "x) else moving_mean`");
        return false;
    }
    return true;
}

/* ---- count[...] */
static Value *eval_count(Elab *e, const Expr *x) {
    double terms = 1;
    Value *over = NULL;
    for (int i = 0; i < x->indices.len; i++) {
        const Index *index = &x->indices.at[i];
        int n = 0;
        int64_t ext[MAX_RANK];
        if (index->name && (!strcmp(index->name, "batch") || !strcmp(index->name, "data"))) {
            over = hyper_value(e, index->name[0] == 'b' ? "count" : "data.count", x->at);
            continue;
        }
        const Bind *b = index->name && !index->extent ? bind_find(e, index->name) : NULL;
        if (b && b->known && !extents_find(e, index->name)) {
            n = b->n;
            memcpy(ext, b->ext, sizeof ext);
        } else if (!index_resolve(e, index, &n, ext))
            return value_error(e);
        for (int k = 0; k < n; k++)
            terms *= (double)ext[k];
    }
    Value *count = value_const(e, terms, x->at);
    return over ? num_op(e, OP_MUL, over, count, NULL, x->at) : count;
}

/* ---- The node */
static const Scalar *reduce_node(Elab *e, const Expr *x, Reduce reduce, bool batch,
                                 const Scalar *body, uint32_t reduced) {
    int dims[LIVE_DIMS + 32], n = free_dims(body, reduced, dims), total = n;
    for (int d = 0; d < 32; d++)
        if (reduced >> d & 1) dims[total++] = d;
    if (batch) {
        const Scalar *live =
            sc_op(e->g, OP_NE, sc_read(e->g, live_leaf(e), NULL, NULL), sc_const(e->g, 0), NULL);
        body = sc_op(e->g, OP_SELECT, live, body, sc_const(e->g, reduce_identity(reduce)));
    }
    Node *node = make_node(e, body, n, total - n, dims, reduce, batch, NULL, x->at);
    return read_dims(e, node, dims);
}

static Value *reduce_weights(Elab *e, const Expr *x, Reduce reduce) {
    if (e->members == 0 || e->in_weights) {
        fail(e, x->at, "E0323",
             "`weights` is every parameter that a def is applied to: in `gradients` only");
        return value_error(e);
    }
    Frame *outer = e->frame;
    int member = e->member;
    Value *total = NULL;
    double terms = 0;
    e->in_weights = true;
    for (e->member = 0; e->member < e->members; e->member++) {
        Frame frame = *outer;
        frame.anon_ok = true;
        frame.nanon = -1;
        e->frame = &frame;
        Value *v = eval_number(e, x->a);
        uint32_t reduced = 0;
        double count = 1;
        for (int i = 0; i < frame.nanon; i++) {
            reduced |= 1u << frame.anon[i];
            count *= (double)e->extent[frame.anon[i]];
        }
        if (v->kind == VAL_NUMBER) {
            v = value_scalar(e, reduce_node(e, x, reduce, false, v->s, reduced), x->at);
            Op op = reduce == RED_SUM    ? OP_ADD
                    : reduce == RED_PROD ? OP_MUL
                    : reduce == RED_MAX  ? OP_MAX
                                         : OP_MIN;
            total = total ? num_op(e, op, total, v, NULL, x->at) : v;
        }
        terms += count;
        for (int i = 0; i < frame.nanon; i++)
            dim_free(e, frame.anon[i]);
    }
    e->in_weights = false;
    e->member = member;
    e->frame = outer;
    if (!total) return value_error(e);
    if (!strcmp(x->name, "mean"))
        total = num_op(e, OP_DIV, total, value_const(e, terms, x->at), NULL, x->at);
    return value_settle(e, total, NULL, x->at);
}

static Value *reduce_body(Elab *e, const Expr *x, int first, int over) {
    Reduce reduce = reduce_of(x->name);
    bool arg = reduce == RED_ARGMAX || reduce == RED_ARGMIN;
    if (arg && over) {
        fail(e, x->at, "E0324", "`%s` gives a position, and examples have none", x->name);
        return value_error(e);
    }
    e->saw_error = false;
    bind_infer(e, first, x->a);
    if (!bind_finish(e, first)) return value_error(e);
    Value *v = eval_number(e, x->a);
    if (v->kind != VAL_NUMBER) return v;
    if (v->truth) {
        if (fail(e, x->a->at, "E0414", "a condition is no number for `%s`", x->name))
            fail_help(e, "write `if … then 1 else 0`");
        return value_error(e);
    }
    uint32_t reduced = reduced_dims(e, first);
    double terms = 1;
    for (int d = 0; d < 32; d++)
        if (reduced >> d & 1) terms *= (double)e->extent[d];
    bool mean = !strcmp(x->name, "mean");
    if (over & OVER_DATA) return reduce_data(e, x, reduce, v->s, reduced, mean ? terms : 0);
    Value *sum =
        value_scalar(e, reduce_node(e, x, reduce, over & OVER_BATCH, v->s, reduced), x->at);
    if (!mean) return sum;
    Value *count = value_const(e, terms, x->at);
    if (over & OVER_BATCH)
        count = num_op(e, OP_MUL, hyper_value(e, "count", x->at), count, NULL, x->at);
    return num_op(e, OP_DIV, sum, count, NULL, x->at);
}

Value *eval_reduce(Elab *e, const Expr *x) {
    if (!strcmp(x->name, "count")) return eval_count(e, x);
    int first = e->binds.len, over;
    Value *v = value_error(e);
    if (bind_reduced(e, x, &over)) {
        if ((over & OVER_WEIGHTS) && e->binds.len > first)
            fail(e, x->at, "E0321", "`weights` takes every element: no other index beside it");
        else
            v = over & OVER_WEIGHTS ? reduce_weights(e, x, reduce_of(x->name))
                                    : reduce_body(e, x, first, over);
    }
    bind_pop(e, first);
    return v;
}
