/* SPDX-License-Identifier: MIT
 * `derivative x = …`: a def that says the derivative of its value by an argument. The argument is
 * cut off for the formulas of the def, and the value leads to it by what was stated. Needs front
 * and ir. */
#include "elab_internal.h"
#include <string.h>

static Value *cut_off(Elab *e, Value *v) {
    Value *cut = value_new(e, v->kind, v->at);
    *cut = *v;
    if (v->kind == VAL_NUMBER) {
        cut->s = sc_op(e->g, OP_STOP, v->s, NULL, NULL);
        return cut;
    }
    const Scalar *body = sc_op(e->g, OP_STOP, sc_read_all(e->g, v->node), NULL, NULL);
    cut->node = graph_map(e->g, v->node->rank, v->node->extent, body, NULL, v->at);
    return cut;
}

/* Before the body: the arguments that a derivative is stated by. */
void stated_begin(Elab *e, const Decl *decl) {
    for (int i = 0; i < decl->body.len; i++) {
        const Stmt *s = decl->body.at[i];
        if (s->kind != STMT_DERIVATIVE) continue;
        Name name = s->targets.len ? s->targets.at[0].name : s->name;
        bool argument = false;
        for (int k = 0; k < decl->params.len; k++)
            argument = argument || decl->params.at[k].name == name;
        Value *v = find_value(e, name);
        if (!argument || !v || (v->kind != VAL_TENSOR && v->kind != VAL_NUMBER)) {
            if (!v || v->kind != VAL_ERROR)
                fail(e, s->at, "E0433",
                     "`derivative` is by an argument that is a number or a tensor");
            continue;
        }
        if (map_has(&e->scope->derivatives, name))
            fail(e, s->at, "E0433", "the derivative by `%s` is stated twice", name);
        Value **pair = NEW_ARRAY(e->arena, Value *, 2);
        pair[0] = v;
        map_put(&e->scope->derivatives, name, pair);
        map_put(&e->scope->values, name, cut_off(e, v));
    }
}

void run_derivative(Elab *e, const Stmt *stmt) {
    Name name = stmt->targets.len ? stmt->targets.at[0].name : stmt->name;
    Value **pair = map_get(&e->scope->derivatives, name), *result = e->scope->result;
    if (!pair) return; /* said before */
    if (stmt->targets.len && stmt->targets.at[0].indexed)
        pair[1] = run_indexed(e, &stmt->targets.at[0], stmt, NULL);
    else {
        Frame f = *e->frame;
        f.anon_ok = true;
        f.nanon = -1;
        run_where(e, stmt);
        pair[1] = eval_with(e, stmt->value, f, NULL);
    }
    e->scope->result = result;
}

static Value *plain(Elab *e, const Value *v) { /* without names of indices: element by element */
    Value *copy = value_new(e, v->kind, v->at);
    *copy = *v;
    copy->axes = NULL;
    return copy;
}

/* A number by a tensor: the tensor's elements times what was stated for each. */
static Value *by_tensor(Elab *e, Value *y, Value *x, Value *d, Span at) {
    Frame f = *e->frame, *outer = e->frame;
    f.anon_ok = true;
    f.nanon = -1;
    e->frame = &f;
    Value *by = value_number(e, plain(e, x), at), *slope = value_number(e, plain(e, d), at);
    Value *sum = value_error(e);
    if (by->kind == VAL_NUMBER && slope->kind == VAL_NUMBER) {
        uint32_t own = 0;
        for (int i = 0; i < f.nanon; i++)
            own |= 1u << f.anon[i];
        const Scalar *s =
            sc_op(e->g, OP_MUL, sc_op(e->g, OP_STOP, slope->s, NULL, NULL), by->s, NULL);
        int dims[LIVE_DIMS + MAX_RANK], n = free_dims(s, own, dims);
        for (int i = 0; i < f.nanon; i++)
            dims[n + i] = f.anon[i];
        Node *node = make_node(e, s, n, f.nanon, dims, RED_SUM, false, NULL, at);
        s = sc_op(e->g, OP_STATED, y->s, read_dims(e, node, dims), sc_const(e->g, 1));
        sum = value_new(e, VAL_NUMBER, y->at);
        *sum = *y;
        sum->s = s;
        sum->known = false;
    }
    frame_end(e, outer);
    return sum;
}

static Value *by_element(Elab *e, Value *y, Value *x, Value *d, Span at) {
    Frame f = *e->frame, *outer = e->frame;
    f.anon_ok = true;
    f.nanon = -1;
    e->frame = &f;
    Value *v[3] = {y, x, d};
    bool ok = true;
    for (int i = 0; i < 3 && ok; i++)
        ok = (v[i] = value_number(e, plain(e, v[i]), at))->kind == VAL_NUMBER;
    Value *out = value_error(e);
    if (ok) {
        out = value_new(e, VAL_NUMBER, y->at);
        *out = *v[0];
        out->known = false;
        out->s = sc_op(e->g, OP_STATED, v[0]->s, v[1]->s, v[2]->s);
        if (y->kind == VAL_TENSOR) out = value_settle(e, out, NULL, at);
        if (out->kind == VAL_TENSOR && value_rank(out) == value_rank(y)) out->axes = y->axes;
    }
    frame_end(e, outer);
    return out;
}

Value *stated_end(Elab *e, const Decl *decl, Value *y) {
    for (int i = 0; i < decl->params.len && y->kind != VAL_ERROR; i++) {
        Value **pair = map_get(&e->scope->derivatives, decl->params.at[i].name);
        if (!pair || !pair[1] || pair[1]->kind == VAL_ERROR) continue;
        bool number = y->kind == VAL_NUMBER, fits = number || y->kind == VAL_TENSOR;
        const Value *x = pair[0], *d = pair[1];
        fits = fits && (d->kind == VAL_NUMBER || d->kind == VAL_TENSOR) &&
               (number || x->kind == VAL_TENSOR) &&
               (d->kind == VAL_NUMBER || x->kind == VAL_TENSOR);
        if (!fits) {
            fail(e, decl->at, "E0433",
                 "the value is %s, `%s` %s and its derivative %s: one number, or one for each "
                 "element, is wanted",
                 value_text(e, y), decl->params.at[i].name, value_text(e, x), value_text(e, d));
            return value_error(e);
        }
        y = number && x->kind == VAL_TENSOR ? by_tensor(e, y, pair[0], pair[1], decl->at)
                                            : by_element(e, y, pair[0], pair[1], decl->at);
    }
    return y;
}
