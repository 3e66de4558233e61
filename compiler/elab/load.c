/* SPDX-License-Identifier: MIT
 * The key `load`: weights that a training starts from, `weights("base.safetensors") on trunk`, as
 * the names of what is taken from each file. Needs front and ir. Opens no file: the run does. */
#include "elab_internal.h"
#include <string.h>

typedef struct Loading {
    Elab *e;
    Load load;
    const Expr *selector; /* NULL: everything that the model has */
} Loading;

static bool selected(Elab *e, const Expr *x, Name path) {
    if (!x) return true;
    if (x->kind == EXPR_TUPLE) {
        for (int i = 0; i < x->args.len; i++)
            if (selected(e, x->args.at[i].value, path)) return true;
        return false;
    }
    const char *pattern = field_text(e, x);
    return pattern && path_selected(pattern, path);
}

static void take(Loading *l, const Node *leaf) {
    if (selected(l->e, l->selector, leaf->name)) VEC_PUSH(l->e->arena, l->load.leaves, leaf->name);
}

/* Every path selects something, a fitted value or a state of the model too. */
static bool selects(Elab *e, const Expr *x) {
    if (x->kind == EXPR_TUPLE) {
        bool all = true;
        for (int i = 0; i < x->args.len; i++)
            all = selects(e, x->args.at[i].value) && all;
        return all;
    }
    for (int i = 0; i < e->state_list.len; i++)
        if (!e->state_list.at[i]->of_training && selected(e, x, e->state_list.at[i]->leaf->name))
            return true;
    for (int i = 0; i < e->fit_list.len; i++)
        if (selected(e, x, e->fit_list.at[i]->leaf->name)) return true;
    bool *chosen = NEW_ARRAY(e->arena, bool, e->param_list.len + 1);
    return select_params(e, x, chosen) > 0;
}

static void load_one(Elab *e, const Expr *x) {
    const Expr *call = x->kind == EXPR_ON ? x->a : x;
    Loading l = {.e = e, .selector = x->kind == EXPR_ON ? x->b : NULL};
    if (call->kind != EXPR_CALL || call->base->kind != EXPR_NAME ||
        strcmp(call->base->name, "weights") || call->args.len != 1 || call->args.at[0].name ||
        call->args.at[0].value->kind != EXPR_STRING) {
        if (fail(e, x->at, "E0536", "`load` names a file of weights"))
            fail_help(e, "write `load = weights(\"base.safetensors\") on trunk`");
        return;
    }
    if (l.selector && !selects(e, l.selector)) return;
    l.load.file = name_of(call->args.at[0].value->text);
    for (int i = 0; i < e->param_list.len; i++)
        take(&l, e->param_list.at[i]->leaf);
    for (int i = 0; i < e->state_list.len; i++)
        if (!e->state_list.at[i]->of_training) take(&l, e->state_list.at[i]->leaf);
    for (int i = 0; i < e->fit_list.len; i++)
        take(&l, e->fit_list.at[i]->leaf);
    VEC_PUSH(e->arena, e->unit->config.loads, l.load);
}

void train_load(Elab *e) {
    const Stmt *s = train_key(e, "load");
    if (!s) return;
    if (s->value->kind != EXPR_TUPLE) load_one(e, s->value);
    for (int i = 0; s->value->kind == EXPR_TUPLE && i < s->value->args.len; i++)
        load_one(e, s->value->args.at[i].value);
}
