/* SPDX-License-Identifier: MIT
 * Reads: `x[c, i * stride + p - pad; 0]`, `y[t]` at a class, and what a dot names.
 * Needs front and ir. Coordinates are coordinate.c's. */
#include "elab_internal.h"
#include <string.h>

/* ---- y[t]: compare and select, a sum of its own */
static const Value *class_of(const Value *v) {
    return v->kind == VAL_NUMBER && v->classes ? v : NULL;
}

static Value *read_at_class(Elab *e, const Expr *x, Value *base, const Ix **at, int axis,
                            const Value *class) {
    int64_t extent = value_extent(base)[axis];
    if (class->classes != extent) {
        if (fail(e, x->at, "E0320", "a class of %lld indexes %lld values",
                 (long long)class->classes, (long long)extent))
            fail_note(e, class->s->kind == SC_READ ? class->s->node->at : class->at,
                      "the class comes from here");
        return value_error(e);
    }
    int k = dim_new(e, extent, x->at);
    if (k < 0) return value_error(e);
    at[base->npre + axis] = ix_dim(e->g, k);
    const Scalar *here = sc_op(e->g, OP_EQ, sc_index(e->g, ix_dim(e->g, k)), class->s, NULL);
    const Scalar *body =
        sc_op(e->g, OP_SELECT, here, sc_read(e->g, base->node, at, NULL), sc_const(e->g, 0));
    int dims[LIVE_DIMS + 1], n = free_dims(body, 1u << k, dims);
    dims[n] = k;
    Node *node = make_node(e, body, n, 1, dims, RED_SUM, false, NULL, x->at);
    const Scalar *s = read_dims(e, node, dims);
    dim_free(e, k);
    return value_scalar(e, s, x->at);
}

/* ---- Coordinates against the shape */
static bool check_range(Elab *e, const Expr *x, Value *base, const Expr *c, const Ix *ix,
                        int axis) {
    int64_t lo, hi, extent = value_extent(base)[axis];
    bool known = ix_range(ix, e->extent, &lo, &hi);
    if (known && lo >= 0 && hi < extent) return true;
    if (x->outside) return false;
    if (!known) {
        if (fail(e, c->at, "E0317", "a computed position could leave its %lld elements",
                 (long long)extent))
            fail_help(e, "give the value to take outside: `[…; 0]`");
    } else if (lo == hi) {
        fail(e, c->at, "E0316", "position %lld of %lld elements", (long long)lo, (long long)extent);
    } else if (fail(e, c->at, "E0316",
                    "this goes from %lld to %lld, but the operand %s has 0 to %lld here",
                    (long long)lo, (long long)hi, value_text(e, base), (long long)extent - 1)) {
        if (base->node->at.file)
            fail_note(e, base->node->at, "%s comes from here", value_text(e, base));
        fail_help(e, "give the value to take outside: `[…; 0]`");
    }
    return false;
}

static bool wrong_rank(Elab *e, const Expr *x, const Value *base, int given) {
    if (fail(e, x->at, "E0318", "%d coordinates for a value of shape %s", given,
             value_text(e, base)) &&
        base->kind == VAL_TENSOR)
        fail_note(e, base->node->at, "%s comes from here", value_text(e, base));
    return false;
}

/* Coordinates in order, packs spread; `parts[i]` is the expression of coordinate i. */
static bool spread(Elab *e, const Expr *x, const Value *base, const Ix **at, const Expr **parts) {
    int rank = value_rank(base), n = 0, given = 0;
    bool ok = true;
    for (int i = 0; i < x->args.len; i++) {
        const Expr *c = x->args.at[i].value;
        const Bind *b = c->kind == EXPR_PACK ? bind_find(e, c->name) : NULL;
        if (c->kind == EXPR_PACK && (!b || !b->pack || !b->placed)) {
            if (fail(e, c->at, "E0203", "`%s...` is not bound here", c->name))
                fail_help(
                    e, "an index is bound by the brackets of a left-hand side or of a reduction");
            return false;
        }
        int length = b ? b->n : 1;
        given += length;
        for (int k = 0; k < length && n < rank; k++, n++) {
            parts[n] = c;
            at[n] = b ? ix_dim(e->g, b->dim[k]) : NULL;
        }
    }
    if (given != rank) return wrong_rank(e, x, base, given);
    return ok;
}

static Value *read_tensor(Elab *e, const Expr *x, Value *base) {
    const Ix *at[MAX_RANK];
    const Expr *parts[MAX_RANK];
    memcpy(at, base->pre, sizeof at);
    const Ix **own = at + base->npre;
    if (!spread(e, x, base, own, parts)) return value_error(e);
    int rank = value_rank(base), class_axis = -1;
    const Value *class = NULL;
    bool inside = true, ok = true;
    int failed = e->failed;
    for (int i = 0; i < rank; i++) {
        if (!own[i] && parts[i]->kind == EXPR_NAME && !bind_find(e, parts[i]->name)) {
            Value *v = find_value(e, parts[i]->name);
            const Value *c = v ? class_of(v) : NULL;
            if (c && class_axis < 0) {
                class = c, class_axis = i;
                own[i] = ix_const(e->g, 0);
                continue;
            }
        }
        if (!own[i]) own[i] = ix_expr(e, parts[i]);
        if (!own[i])
            ok = false;
        else if (!check_range(e, x, base, parts[i], own[i], i))
            inside = false;
    }
    if (!ok || e->failed > failed) return value_error(e);
    if (base->node->kind == NODE_SCAN && !base->node->of &&
        !recur_read(e, x, base, own, parts[0]->at))
        return value_error(e);
    if (class_axis >= 0 && inside) return read_at_class(e, x, base, at, class_axis, class);
    const Scalar *outside = NULL;
    if (!inside) {
        if (class_axis >= 0) own[class_axis] = ix_value(e->g, class->s);
        Value *v = eval_number(e, x->outside);
        if (v->kind != VAL_NUMBER) return v;
        outside = v->s;
    }
    return value_scalar(e, sc_read(e->g, base->node, at, outside), x->at);
}

Value *eval_read(Elab *e, const Expr *x) {
    Value *base =
        x->base->kind == EXPR_NAME ? recur_find(e, x->base->name, x->base->at) : NULL;
    if (!base) base = eval(e, x->base);
    switch (base->kind) {
    case VAL_ERROR:
    case VAL_NONE:
        return base; /* a parameter that is none adds nothing */
    case VAL_TENSOR:
        return read_tensor(e, x, base);
    case VAL_NUMBER: {
        bool empty = true; /* `y[d...]` of a def that is applied to one number */
        for (int i = 0; i < x->args.len; i++) {
            const Expr *c = x->args.at[i].value;
            const Bind *b = c->kind == EXPR_PACK ? bind_find(e, c->name) : NULL;
            empty = empty && b && b->pack && b->n == 0;
        }
        if (empty) return base;
        if (fail(e, x->at, "E0318", "%s has no indices", value_text(e, base)))
            fail_note(e, base->at, "it comes from here");
        return value_error(e);
    }
    default:
        fail(e, x->at, "E0318", "%s has no indices", value_text(e, base));
        return value_error(e);
    }
}

/* ---- Dots */
const char *field_text(Elab *e, const Expr *x) {
    if (x->kind == EXPR_NAME) return x->name;
    if (x->kind != EXPR_FIELD) return NULL;
    const char *base = field_text(e, x->base);
    return base ? arena_printf(e->arena, "%s.%s", base, x->name) : NULL;
}

static Value *example_field(Elab *e, const Expr *x) {
    const Param *output = e->model && e->model->outputs.len ? &e->model->outputs.at[0] : NULL;
    if (!strcmp(x->name, "label") && output && output->is_class)
        return value_node(e, target_leaf(e, output), x->at);
    if (!strcmp(x->name, "loss")) {
        if (e->mode != MODE_ORDER) {
            fail(e, x->at, "E0594",
                 "`example.loss` is the last loss seen of an example: in `order` only");
            return value_error(e);
        }
        e->keeps_loss = true;
    }
    if (!strcmp(x->name, "weight") && e->sampled) return order_weight(e, x->at);
    Name name = name_printf("example.%s", x->name);
    return value_node(e, graph_leaf(e->g, NODE_INPUT, name, true, 0, NULL, 0, x->at), x->at);
}

static Value *metric_field(Elab *e, const Expr *x) {
    const char *set = x->base->name;
    bool known = false, test = false;
    for (int i = 0; i < e->unit->sets.len; i++)
        test = test || !strcmp(e->unit->sets.at[i].name, "test");
    for (int i = 0; i < e->unit->sets.len; i++)
        known = known || !strcmp(e->unit->sets.at[i].name, set);
    if (strcmp(x->name, "loss") && !map_has(&e->metrics, x->name)) {
        if (fail(e, x->at, "E0510", "`%s` is not measured in this training", x->name))
            fail_help(e, "add `metric = %s`", x->name);
        return value_error(e);
    }
    if (map_has(&e->tables, x->name)) {
        const Node *node = map_get(&e->tables, x->name);
        fail(e, x->at, "E0513", "`%s` is %s, no single number", x->name,
             shape_text(e, node->rank, node->extent));
        return value_error(e);
    }
    if (e->mode != MODE_EPOCH && e->mode != MODE_UPDATE) {
        fail(e, x->at, "E0511",
             "a metric is known after an evaluation only: in `stop`, `best` and hyperparameters");
        return value_error(e);
    }
    if (!known && e->unit->sets.len && strcmp(set, "validation")) {
        fail(e, x->at, "E0512", "the data have no set `%s`", set);
        return value_error(e);
    }
    e->looks_at_test = e->looks_at_test || (!known && test);
    if (!known && test) set = "test"; /* stopping looks at it where there is no validation set */
    return hyper_value(e, arena_printf(e->arena, "%s.%s", set, x->name), x->at);
}

Value *eval_field(Elab *e, const Expr *x) {
    const Expr *base = x->base;
    if (base->kind == EXPR_NAME && !find_value(e, base->name)) {
        if (!strcmp(base->name, "example")) return example_field(e, x);
        static const char *const sets[] = {"train", "validation", "test"};
        for (int i = 0; i < LENGTH(sets); i++)
            if (!strcmp(base->name, sets[i])) return metric_field(e, x);
    }
    if (base->kind == EXPR_NAME && find_value(e, base->name)) {
        if (find_value(e, base->name)->kind == VAL_EXAMPLE) return example_field(e, x);
        const ParamList *outputs = e->model ? &e->model->outputs : NULL;
        for (int i = 0; outputs && i < outputs->len; i++)
            if (outputs->at[i].name == base->name && !strcmp(x->name, "target"))
                return value_node(e, target_leaf(e, &outputs->at[i]), x->at);
    }
    const char *text = field_text(e, x);
    if (fail(e, x->at, "E0201", "`%s` is not known here", text ? text : x->name))
        fail_help(e, "an output has `.target`, an example `.number`, `.label` and its columns, a "
                     "set its metrics");
    return value_error(e);
}
