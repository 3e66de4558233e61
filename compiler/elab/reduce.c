/* SPDX-License-Identifier: MIT
 * Reductions: over indices, over the batch, over the training data, over all parameters. Each is a
 * node of its own over the free indices of its body. Needs front and ir. */
#include "elab_internal.h"
#include <math.h>
#include <string.h>

enum { OVER_BATCHES = 64, OVER_BATCH = 1, OVER_DATA = 2, OVER_WEIGHTS = 4, OVER_EXAMPLES = 8 };

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
        else if (!strcmp(name, "examples")) {
            *over |= OVER_EXAMPLES;
            if (e->in_metric) continue;
            fail(e, index->at, "E0546", "`examples` are those of the evaluated set: in `metric` only");
            return false;
        } else if (!strcmp(name, "batches")) {
            *over |= OVER_BATCHES;
            if (e->in_after) continue;
            fail(e, index->at, "E0329",
                 "`batches` are the training minibatches: in `after training` only");
            return false;
        } else if (!bind_push(e, index))
            return false;
    }
    if (*over & (*over - 1)) {
        fail(e, x->at, "E0321", "a reduction crosses one of `batch`, `data`, `examples`, `weights` only");
        return false;
    }
    if ((*over & OVER_BATCH) && !e->training && e->mode != MODE_UPDATE &&
        strcmp(x->name, "count")) {
        if (e->training_decides && e->mode != MODE_INIT) {
            if (e->mode == MODE_EVAL && !e->quiet && !e->warned_batch)
                diag_warning(e->uses.len ? e->uses.at[0].at : x->at, "W0503",
                             "a prediction here depends on the other examples of its batch");
            e->warned_batch = true;
            return true;
        }
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
        if (index->name && (!strcmp(index->name, "batch") || !strcmp(index->name, "data") ||
                            (e->in_metric && !strcmp(index->name, "examples")))) {
            over = hyper_value(e,
                               index->name[0] == 'b'   ? "count"
                               : index->name[0] == 'd' ? "data.count"
                                                       : "examples.count",
                               x->at);
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

/* Inside a reduction over `weights` the indices of the header are bound: `old[k, d...]`. What stands
 * without brackets stands at them too. */
static bool bind_header_indices(Elab *e, Frame *frame) {
    int first = e->binds.len;
    const Decl *decl = e->scope->decl;
    const Param *p = decl && decl->params.len ? &decl->params.at[0] : NULL;
    for (int i = 0; p && p->indexed && i < p->indices.len; i++) {
        const Index *index = &p->indices.at[i];
        const Extents *x = index->name ? extents_find(e, index->name) : NULL;
        if (!x) {
            e->binds.len = first;
            return true;
        }
        Bind b = {.name = index->name, .pack = index->pack, .known = true, .n = x->n,
                  .at = index->at, .whose = ""};
        memcpy(b.ext, x->ext, sizeof b.ext);
        VEC_PUSH(e->arena, e->binds, b);
    }
    if (e->binds.len == first) return true;
    if (!bind_finish(e, first)) return false;
    frame->nanon = 0;
    for (int i = first; i < e->binds.len; i++)
        for (int k = 0; k < e->binds.at[i].n; k++)
            frame->anon[frame->nanon++] = e->binds.at[i].dim[k];
    return true;
}

/* This parameter's part, over the dimensions of its tensors; weights.c adds them up. */
static Value *reduce_weights(Elab *e, const Expr *x, Reduce reduce) {
    if (!e->weights || e->mode == MODE_INIT) {
        fail(e, x->at, "E0323",
             "`weights` is every parameter that a def is applied to: in optimizers and `gradients`");
        return value_error(e);
    }
    if (reduce == RED_ARGMAX || reduce == RED_ARGMIN) {
        fail(e, x->at, "E0324", "`%s` gives a position, and parameters have none", x->name);
        return value_error(e);
    }
    Frame *outer = e->frame, frame = *outer;
    int first = e->binds.len;
    frame.anon_ok = true;
    frame.nanon = -1;
    if (!bind_header_indices(e, &frame)) return value_error(e);
    e->frame = &frame;
    anon_prepare(e, x->a);
    Value *v = eval_number(e, x->a);
    uint32_t reduced = 0;
    double terms = 1;
    for (int i = 0; i < frame.nanon; i++) {
        reduced |= 1u << frame.anon[i];
        terms *= (double)e->extent[frame.anon[i]];
    }
    if (v->kind == VAL_NUMBER && v->truth) {
        fail(e, x->a->at, "E0414", "a condition is no number for `%s`", x->name);
        v = value_error(e);
    }
    if (v->kind == VAL_NUMBER && v->s->dims & ~reduced) {
        fail(e, x->a->at, "E0321", "`weights` takes every element: no other index in it");
        v = value_error(e);
    }
    if (v->kind == VAL_NUMBER) {
        v = value_scalar(e, reduce_node(e, x, reduce, false, v->s, reduced), x->at);
        v = weights_add(e, x, reduce, v, terms);
    }
    if (e->binds.len > first) frame.nanon = 0; /* those dimensions are the bound indices' */
    bind_pop(e, first);
    frame_end(e, outer);
    return v;
}

/* The mean of one number is that number: nothing is left of it after it is subtracted. */
static void wants_two(Elab *e, const Expr *x) {
    TrainConfig *config = &e->unit->config;
    if (config->batch == 1 && !config->stages.len && !config->batch_all && !config->wants_two &&
        fail(e, x->at, "E0545", "a mean over the batch is of one number where `batch = 1`"))
        fail_help(e, "take a larger batch, or a normalization within one example");
    config->wants_two = true;
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
    if (over & OVER_EXAMPLES) return reduce_examples(e, x, reduce, v->s, reduced, mean ? terms : 0);
    Value *sum =
        value_scalar(e, reduce_node(e, x, reduce, over & OVER_BATCH, v->s, reduced), x->at);
    int axis = arg ? __builtin_ffs((int)reduced) - 1 : -1; /* a position along one index is a class */
    if (arg && reduced == 1u << axis) sum->classes = e->extent[axis];
    if (over & OVER_BATCHES) {
        sum = reduce_batches(e, x, reduce, sum->s, mean);
        return mean && terms > 1 ? num_op(e, OP_DIV, sum, value_const(e, terms, x->at), NULL, x->at)
                                 : sum;
    }
    if (!mean) return sum;
    Value *count = value_const(e, terms, x->at);
    if ((over & OVER_BATCH) && terms == 1 && e->mode == MODE_STEP) wants_two(e, x);
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
