/* SPDX-License-Identifier: MIT
 * What lives from evaluation to evaluation: stop rules, and hyperparameters with states of their
 * own. Their updates and `stop when` make the program `epoch`. Needs front and ir.
 * Decides nothing at run time. */
#include "elab_internal.h"
#include <string.h>

enum { ITEMS = 64 };

static void stop_push(Elab *e, const Scalar *s) {
    for (int i = 0; i < e->stops.len; i++)
        if (e->stops.at[i] == s) return;
    VEC_PUSH(e->arena, e->stops, s);
}

/* ---- Hyperparameters with states */
/* States that were updated while a hyperparameter was evaluated are so after the evaluation. */
void schedule_take(Elab *e, int updates) {
    for (int i = updates; i < e->updates.len; i++) {
        const Result *r = &e->updates.at[i];
        bool known = false;
        for (int k = 0; k < e->epoch_updates.len && !known; k++)
            if (e->epoch_updates.at[k].target == r->target) {
                e->epoch_updates.at[k] = *r;
                known = true;
            }
        if (!known) VEC_PUSH(e->arena, e->epoch_updates, *r);
    }
    e->updates.len = updates;
}

static void settle_args(Elab *e, Stage *stage);

/* `lr = f(…)` where nothing is missing is one number for the whole training, not one for each
 * parameter that the optimizer is applied to. */
static Value *settle_arg(Elab *e, Value *v) {
    if (v->kind != VAL_DEF) return v;
    if (v->stages.len == 1 && v->stages.at[0].decl && value_is_generator(v) &&
        v->stages.at[0].decl->kind == DECL_DEF)
        return apply(e, v, NULL, 0, v->at, NULL, NULL);
    for (int i = 0; i < v->stages.len; i++)
        settle_args(e, &v->stages.at[i]);
    return v;
}

static void settle_args(Elab *e, Stage *stage) {
    for (int i = 0; i < stage->given.len; i++)
        stage->given.at[i] = settle_arg(e, stage->given.at[i]);
    for (int i = 0; i < stage->named.len; i++)
        stage->named.at[i].value = settle_arg(e, stage->named.at[i].value);
}

Value *schedule_callable(Elab *e, const Expr *x) {
    int updates = e->updates.len;
    bool outer = e->scheduling;
    e->scheduling = true;
    Value *v = eval_callable(e, x);
    for (int i = 0; v->kind == VAL_DEF && i < v->stages.len; i++)
        settle_args(e, &v->stages.at[i]);
    e->scheduling = outer;
    schedule_take(e, updates);
    return v;
}

void schedule_stop(Elab *e, const Scalar *s) {
    stop_push(e, s);
}

/* ---- Stop rules */
/* A rule whose first argument is missing looks at every parameter. */
static void stop_weights(Elab *e, Value *rule, Span at) {
    int from = e->stops.len, updates = e->updates.len;
    weights_begin(e);
    for (int i = 0; i < e->param_list.len; i++) {
        const ParamRec *rec = e->param_list.at[i];
        if (rec->frozen) continue;
        Value *w = value_node(e, rec->leaf, rec->leaf->at);
        weights_member(e);
        apply(e, rule, &w, 1, at, name_printf("%s.stop", rec->leaf->name), name_of("stop"));
    }
    if (!weights_end(e)) return;
    for (int i = from; i < e->stops.len; i++)
        e->stops.at[i] = weights_value(e, value_scalar(e, e->stops.at[i], at))->s;
    for (int i = updates; i < e->updates.len; i++)
        e->updates.at[i].node = weights_resolve(e, e->updates.at[i].node);
}

static void stop_rule(Elab *e, const Expr *x, int rules) {
    Scope *outer = e->scope;
    Frame frame = frame_new(), *outer_frame = e->frame;
    frame.shared = true;
    frame.use = frame.target = name_of("stop");
    frame.uses = rules; /* several rules are told apart by kind and order */
    e->scope = scope_new(e, NULL, NULL, NULL);
    int stops = e->stops.len, failed = e->failed;
    Value *v = eval_with(e, x, frame, name_of("stop"));
    if (v->kind == VAL_DEF && stage_missing(&v->stages.at[0], 0) == 1 &&
        stage_missing(&v->stages.at[0], 1) == 0) {
        e->frame = &frame;
        stop_weights(e, v, x->at);
        e->frame = outer_frame;
    } else if (v->kind == VAL_DEF && value_is_generator(v)) {
        e->frame = &frame;
        v = apply(e, v, NULL, 0, x->at, NULL, NULL);
        e->frame = outer_frame;
    }
    e->scope = outer;
    if (e->failed > failed || e->stops.len > stops) return;
    if (v->kind == VAL_NUMBER && v->truth && !v->s->dims)
        stop_push(e, v->s);
    else if (v->kind == VAL_DEF && stage_missing(&v->stages.at[0], 0) > 1)
        fail(e, x->at, "E0560",
             "a stop rule wants what it looks at: %s is not given all of its arguments",
             value_text(e, v));
    else
        fail(e, x->at, "E0560", "this is no stop rule: it has no `stop when`");
}

static void stop_rules(Elab *e, const Stmt *key) {
    const Expr *x = key->value;
    e->mode = MODE_EPOCH;
    e->updates.len = 0;
    map_init(&e->visits, e->arena);
    if (x->kind != EXPR_TUPLE) stop_rule(e, x, 1);
    for (int i = 0; x->kind == EXPR_TUPLE && i < x->args.len && i < ITEMS; i++)
        stop_rule(e, x->args.at[i].value, x->args.len);
    schedule_take(e, 0);
    e->mode = MODE_EVAL;
}

/* ---- The program */
void train_epoch(Elab *e) {
    const Stmt *key = train_key(e, "stop");
    Span at = key ? key->at : e->train->at;
    if (key) stop_rules(e, key);
    watch_epoch(e);
    if (e->failed || (!e->stops.len && !e->epoch_updates.len && !e->epoch_watched.len)) return;
    bool validation = false;
    for (int i = 0; i < e->unit->sets.len; i++)
        validation = validation || !strcmp(e->unit->sets.at[i].name, "validation");
    if (!validation && e->data && e->looks_at_test)
        diag_warning(at, "W0501",
                     "the data have no validation set: stopping looks at the test set");
    Program *p = program_new(e, PROGRAM_EPOCH, "epoch");
    const Scalar *any = e->stops.len ? e->stops.at[0] : NULL;
    for (int i = 1; i < e->stops.len; i++)
        any = sc_op(e->g, OP_OR, any, e->stops.at[i], NULL);
    if (any) {
        const Scalar *one = sc_op(e->g, OP_SELECT, any, sc_const(e->g, 1), sc_const(e->g, 0));
        Result r = {.kind = RESULT_STOP,
                    .name = name_of("stop"),
                    .node = graph_map(e->g, 0, NULL, one, NULL, at)};
        VEC_PUSH(e->arena, p->results, r);
    }
    for (int i = 0; i < e->epoch_updates.len; i++)
        program_next(e, p, e->epoch_updates.at[i].target, e->epoch_updates.at[i].node);
    for (int i = 0; i < e->epoch_watched.len; i++)
        VEC_PUSH(e->arena, p->results, e->epoch_watched.at[i]);
    e->unit->config.has_stop = any != NULL;
    if (any) stop_check(e, p, at);
}
