/* SPDX-License-Identifier: MIT
 * `gradient(e, x)`: the derivative of e, added up over its elements and the batch, by a value; and
 * `moved(e, w, v)`: what e would be with all weights moved. Needs ir. Differentiates nothing: a
 * gradient is a NODE_GRAD, and may stand in another. */
#include "elab_internal.h"
#include <string.h>

int gradient_shape(Name name) {
    return !strcmp(name, "gradient") ? 1 : !strcmp(name, "moved") ? 0 : -1;
}

/* A parameter is what the model reads of it in a step. */
static Node *as_read(Elab *e, Node *node) {
    const ParamRec *rec = node->kind == NODE_PARAM ? map_get(&e->params, node->name) : NULL;
    return rec && rec->forward && e->mode == MODE_UPDATE ? rec->forward : node;
}

/* What it is taken by: a whole value that has a name; another, equal or not, is read by nothing
 * that the derivative could be of. */
static Node *gradient_by(Elab *e, const Expr *x, const Value *v) {
    bool named = x->kind == EXPR_NAME || x->kind == EXPR_PRIMED;
    Node *node = !named                                                                ? NULL
                 : v->kind == VAL_TENSOR && !v->npre                                   ? v->node
                 : v->kind == VAL_NUMBER && v->s->kind == SC_READ && !v->s->node->rank ? v->s->node
                                                                                       : NULL;
    if (!node) {
        if (v->kind != VAL_ERROR &&
            fail(e, x->at, "E0333", "`gradient` is taken by a value as a whole, by its name"))
            fail_help(e, "give it a name first: `c[k] = …`, then `gradient(e, c)`");
        return NULL;
    }
    return as_read(e, node);
}

/* The sum over all elements and the live examples, one shared number. */
static Node *gradient_of(Elab *e, Value *v, Span at) {
    bool number = v->kind == VAL_NUMBER && !v->truth && !v->s->dims;
    if (!number && !(v->kind == VAL_TENSOR && !v->truth && !v->npre)) {
        if (v->kind != VAL_ERROR)
            fail(e, at, "E0333", "`gradient` is of a number or a tensor as a whole, this is %s",
                 value_text(e, v));
        return NULL;
    }
    CompSpec spec = {.at = at, .body = number ? v->s : sc_read_all(e->g, v->node)};
    if (!number) {
        spec.nred = v->node->rank;
        memcpy(spec.extent, v->node->extent, sizeof *spec.extent * (size_t)spec.nred);
    }
    spec.over_batch = spec.body->per_example;
    spec.reduce = spec.nred || spec.over_batch ? RED_SUM : RED_NONE;
    if (spec.over_batch) {
        const Scalar *live = sc_read(e->g, live_leaf(e), NULL, NULL);
        live = sc_op(e->g, OP_NE, live, sc_const(e->g, 0), NULL);
        spec.body = sc_op(e->g, OP_SELECT, live, spec.body, sc_const(e->g, 0));
    }
    return graph_comp(e->g, &spec);
}

/* Without names; `n` of them. */
static bool given(Elab *e, const Expr *x, int n, const char *text) {
    bool ok = x->args.len == n;
    for (int i = 0; i < x->args.len; i++)
        ok = ok && !x->args.at[i].name;
    if (!ok) fail(e, x->at, "E0402", "%s", text);
    return ok;
}

/* moved(e, w, v): each run of the def says where its own parameter goes. */
static Value *moved_call(Elab *e, const Expr *x) {
    if (!given(e, x, 3, "`moved` takes a number, a parameter and what is added to it"))
        return value_error(e);
    if (!e->weights) {
        unavailable(e, x->at, "`moved` outside of an optimizer and `watch`");
        return value_error(e);
    }
    Value *of = eval_arg(e, x->args.at[0].value), *w = eval_arg(e, x->args.at[1].value);
    Value *v = eval_arg(e, x->args.at[2].value);
    if (of->kind == VAL_ERROR || w->kind == VAL_ERROR || v->kind == VAL_ERROR)
        return value_error(e);
    Node *leaf = w->kind == VAL_TENSOR && !w->npre                ? w->node
                 : w->kind == VAL_NUMBER && w->s->kind == SC_READ ? w->s->node
                                                                  : NULL;
    if (!leaf || leaf->kind != NODE_PARAM) {
        fail(e, x->args.at[1].value->at, "E0333", "`moved` moves a parameter, this is %s",
             value_text(e, w));
        return value_error(e);
    }
    Node *node = of->truth ? NULL : value_whole(e, of, NULL, x->at);
    if (!node || node->per_example) {
        fail(e, x->args.at[0].value->at, "E0333",
             "what is `moved` is the same for all examples, this is %s%s", value_text(e, of),
             node ? " for each" : "");
        return value_error(e);
    }
    Node *by = update_fits(e, v, leaf, x->args.at[2].value->at), *from = as_read(e, leaf);
    if (!by) return value_error(e);
    const Scalar *sum = sc_op(e->g, OP_ADD, sc_read_all(e->g, from), sc_read_all(e->g, by), NULL);
    Node *to = graph_map(e->g, leaf->rank, leaf->extent, sum, NULL, x->at);
    return weights_moved(e, x, node, from, to);
}

Value *gradient_call(Elab *e, const Expr *x) {
    if (!strcmp(x->base->name, "moved")) return moved_call(e, x);
    if (!given(e, x, 2, "`gradient` takes a value and what it is derived by"))
        return value_error(e);
    if (e->mode != MODE_EVAL && e->mode != MODE_STEP && e->mode != MODE_UPDATE &&
        e->mode != MODE_AFTER && e->mode != MODE_SAMPLE) {
        unavailable(e, x->at, "`gradient` outside of a model, a loss, an optimizer and `watch`");
        return value_error(e);
    }
    const Expr *by = x->args.at[1].value;
    Node *of = gradient_of(e, eval_arg(e, x->args.at[0].value), x->args.at[0].value->at);
    Node *wrt = gradient_by(e, by, eval_arg(e, by));
    return of && wrt ? value_node(e, graph_grad(e->g, of, wrt), x->at) : value_error(e);
}
