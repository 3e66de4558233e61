/* SPDX-License-Identifier: MIT
 * The program `sample`: prediction with the draws of training. `training` is true in conditions
 * that decide on a draw, and false elsewhere, so that statistics of a batch are those of
 * prediction. Needs front and ir. How often it is run is the runtime's business. */
#include "elab_internal.h"
#include <string.h>

typedef struct Marks {
    Elab *e;
    Map defs; /* Decl* -> 1 draws, 2 does not, or is being looked at */
} Marks;
static char mark[3];

static bool draws(Marks *m, const Expr *x);

static bool body_draws(Marks *m, const StmtList *body) {
    for (int i = 0; i < body->len; i++) {
        const Stmt *s = body->at[i];
        if (draws(m, s->value) || body_draws(m, &s->body) || body_draws(m, &s->where)) return true;
    }
    return false;
}

static bool name_draws(Marks *m, Name name) {
    if (builtin_draws(name)) return true;
    const Decl *decl = map_get(&m->e->module->defs, name);
    if (!decl) return false;
    if (!map_has(&m->defs, decl)) {
        map_put(&m->defs, decl, &mark[2]);
        if (body_draws(m, &decl->body)) map_put(&m->defs, decl, &mark[1]);
    }
    return map_get(&m->defs, decl) == &mark[1];
}

static bool draws(Marks *m, const Expr *x) {
    if (!x) return false;
    if (x->kind == EXPR_NAME) return name_draws(m, x->name);
    for (int i = 0; i < x->args.len; i++)
        if (draws(m, x->args.at[i].value)) return true;
    return draws(m, x->base) || draws(m, x->a) || draws(m, x->b) || draws(m, x->c) ||
           draws(m, x->outside);
}

static void mark_training(Marks *m, const Expr *condition) {
    if (!condition) return;
    if (condition->kind == EXPR_NAME && !strcmp(condition->name, "training"))
        map_put(&m->e->sample_true, condition, (void *)(uintptr_t)condition);
    mark_training(m, condition->a);
    mark_training(m, condition->b);
}

static void mark_expr(Marks *m, const Expr *x) {
    if (!x) return;
    if (x->kind == EXPR_IF && (draws(m, x->b) || draws(m, x->c))) mark_training(m, x->a);
    for (int i = 0; i < x->args.len; i++)
        mark_expr(m, x->args.at[i].value);
    mark_expr(m, x->base);
    mark_expr(m, x->a);
    mark_expr(m, x->b);
    mark_expr(m, x->c);
    mark_expr(m, x->outside);
}

static void mark_body(Marks *m, const StmtList *body) {
    for (int i = 0; i < body->len; i++) {
        mark_expr(m, body->at[i]->value);
        mark_body(m, &body->at[i]->body);
        mark_body(m, &body->at[i]->where);
    }
}

static bool same_outputs(const ValueList *a, const ValueList *b) {
    for (int i = 0; i < a->len && i < b->len; i++)
        if (a->at[i]->node != b->at[i]->node || a->at[i]->s != b->at[i]->s) return false;
    return true;
}

/* Nothing where the model draws nothing, or where it cannot be evaluated so. */
void program_sample(Elab *e) {
    Marks m = {.e = e};
    map_init(&m.defs, e->arena);
    map_init(&e->sample_true, e->arena);
    for (int i = 0; i < e->module->decls.len; i++)
        mark_body(&m, &e->module->decls.at[i]->body);
    Scope *scope = e->model_scope;
    ValueList outputs = e->model_outputs;
    int failed = e->failed, rows = e->unit->layers.len;
    e->mode = MODE_SAMPLE;
    e->quiet++;
    e->clauses.len = 0;
    bool ok = model_run(e, e->model_inputs.at) && (!e->train || train_loss(e));
    e->quiet--;
    e->mode = MODE_EVAL;
    e->unit->layers.len = rows;
    if (ok && e->failed == failed && !same_outputs(&outputs, &e->model_outputs))
        program_outputs(e, PROGRAM_SAMPLE, "sample");
    e->failed = failed;
    e->model_scope = scope;
    e->model_outputs = outputs;
}
