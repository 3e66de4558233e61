/* SPDX-License-Identifier: MIT
 * Trainings: the keys of `train`, the loss and the metrics per example, augmentation, stop rules.
 * Needs front and ir. What updates parameters is update.c's. */
#include "elab_internal.h"
#include <math.h>
#include <string.h>

const Stmt *train_key(const Elab *e, const char *key) {
    for (int i = 0; e->train && i < e->train->body.len; i++) {
        const Stmt *s = e->train->body.at[i];
        if (s->targets.len && s->value && !strcmp(s->targets.at[0].name, key)) return s;
    }
    return NULL;
}

/* ---- Numbers and choices */
static bool number_key(Elab *e, const char *key, double lo, double *out) {
    const Stmt *s = train_key(e, key);
    if (!s) return false;
    Scope *outer = e->scope;
    e->scope = scope_new(e, NULL, name_of(key), name_of(key));
    e->mode = MODE_UPDATE;
    run_where(e, s);
    const Value *v = eval_number(e, s->value);
    e->mode = MODE_EVAL;
    e->scope = outer;
    if (v->kind != VAL_NUMBER) return false;
    if (!v->known) {
        fail(e, s->value->at, "E0530", "`%s` must be known at compile time", key);
        return false;
    }
    if (!(v->num >= lo) || v->num > 0x1p40) {
        fail(e, s->value->at, "E0530", "`%s` is at least %.0f, not %.10g", key, lo, v->num);
        return false;
    }
    *out = floor(v->num);
    return true;
}

static void config_last(Elab *e) {
    const Stmt *s = train_key(e, "last");
    if (!s) return;
    const char *text = s->value->kind == EXPR_STRING ? s->value->text : "";
    if (strcmp(text, "drop") && strcmp(text, "keep"))
        fail(e, s->value->at, "E0531", "`last` is \"drop\" or \"keep\"");
    e->unit->config.last_drop = !strcmp(text, "drop");
}

/* The set that `best` looks at, or NULL: the one that there is for choosing. */
static Name best_set(Elab *e, const Expr *of) {
    if (of->kind != EXPR_FIELD) return NULL;
    Name name = of->base->kind == EXPR_NAME ? of->base->name : name_of("");
    if (!strcmp(name, "validation")) return NULL; /* where there is none, the test set */
    for (int i = 0; i < e->unit->sets.len; i++)
        if (e->unit->sets.at[i].name == name) return name;
    fail(e, of->at, "E0512", "the data have no set `%s`", name);
    return NULL;
}

/* best = min(validation.error_rate) */
static void config_best(Elab *e) {
    const Stmt *s = train_key(e, "best");
    if (!s) return;
    const Expr *x = s->value,
               *of = x->kind == EXPR_CALL && x->args.len == 1 ? x->args.at[0].value : NULL;
    const char *how = of && x->base->kind == EXPR_NAME ? x->base->name : "";
    bool max = !strcmp(how, "max");
    if (!of || (strcmp(how, "min") && !max) || (of->kind != EXPR_NAME && of->kind != EXPR_FIELD)) {
        if (fail(e, x->at, "E0532", "`best` says what and which way"))
            fail_help(e, "write `best = min(validation.error_rate)`");
        return;
    }
    if (strcmp(of->name, "loss") && !map_has(&e->metrics, of->name)) {
        if (fail(e, of->at, "E0510", "`%s` is not measured in this training", of->name))
            fail_help(e, "add `metric = %s`", of->name);
        return;
    }
    Name set = best_set(e, of);
    e->unit->config.best = set ? name_printf("%s.%s", set, of->name) : of->name;
    e->unit->config.best_max = max;
}

static Name metric_name(const Expr *x) {
    if (x->kind == EXPR_CALL) x = x->base;
    return x->kind == EXPR_NAME || x->kind == EXPR_FIELD ? x->name : name_of("metric");
}

static int key_items(const Stmt *s, const Expr **items, int most) {
    const Expr *x = s->value;
    int n = 0;
    if (x->kind != EXPR_TUPLE)
        items[n++] = x;
    else
        for (int i = 0; i < x->args.len && n < most; i++)
            items[n++] = x->args.at[i].value;
    return n;
}

enum { ITEMS = 64 };

static void config_metrics(Elab *e) {
    const Stmt *s = train_key(e, "metric");
    const Expr *items[ITEMS];
    for (int i = 0, n = s ? key_items(s, items, ITEMS) : 0; i < n; i++) {
        Name name = metric_name(items[i]);
        if (map_has(&e->metrics, name))
            fail(e, items[i]->at, "E0533", "two metrics are called `%s`", name);
        map_put(&e->metrics, name, (void *)(uintptr_t)items[i]);
    }
}

void train_config(Elab *e) {
    TrainConfig *c = &e->unit->config;
    double x;
    c->steps = number_key(e, "steps", 1, &x) ? (int64_t)x : 0;
    c->epochs = number_key(e, "epochs", 1, &x) ? (int64_t)x : c->steps ? 0 : 10;
    train_batch(e);
    c->seed = number_key(e, "seed", 0, &x) ? (uint64_t)x : 1;
    c->leaves = number_key(e, "leaves", 1, &x) ? (int64_t)x : 16;
    config_last(e);
    config_metrics(e);
    config_best(e);
}

/* ---- Expressions over the model's values */
Scope *train_scope(Elab *e) {
    Scope *s = scope_new(e, NULL, NULL, NULL);
    const Map *values = &e->model_scope->values;
    for (int i = 0; i < values->slots.len; i++)
        map_put(&s->values, values->slots.at[i].key, values->slots.at[i].value);
    for (int i = 0; i < e->model_outputs.len; i++)
        map_put(&s->values, e->unit->outputs.at[i], e->model_outputs.at[i]);
    return s;
}

static Value *train_expr(Elab *e, const Stmt *s, const Expr *x, Name use) {
    Scope *outer = e->scope;
    Frame frame = frame_new();
    e->scope = train_scope(e);
    frame.target = frame.use = use;
    count_uses(e, x, &frame.uses, &frame.with_params);
    Frame *outer_frame = e->frame;
    e->frame = &frame;
    run_where(e, s);
    e->frame = outer_frame;
    Value *v = eval_with(e, x, frame, use);
    e->scope = outer;
    return v;
}

/* A bare def is applied to the output and its target. */
static Value *applied(Elab *e, const Stmt *s, const Expr *x, Name name) {
    Value *v = train_expr(e, s, x, name);
    if (v->kind == VAL_DEF) {
        if (e->model_outputs.len != 1) {
            if (fail(e, x->at, "E0540", "the model has %d outputs: `%s` does not say of which",
                     e->model_outputs.len, name))
                fail_help(e, "write `%s = f(%s, %s.target)`", name, e->unit->outputs.at[0],
                          e->unit->outputs.at[0]);
            return value_error(e);
        }
        const Param *output = &e->model->outputs.at[0];
        Value *pair[2] = {e->model_outputs.at[0], value_node(e, target_leaf(e, output), x->at)};
        Scope *outer = e->scope;
        e->scope = train_scope(e);
        v = apply(e, v, pair, 2, x->at, name, name);
        e->scope = outer;
    }
    return v;
}

/* One number per example. */
static Node *per_example(Elab *e, Value *v, const Expr *x, Name name) {
    if (v->kind == VAL_ERROR) return NULL;
    if (v->kind != VAL_NUMBER || v->s->dims || v->truth) {
        if (fail(e, x->at, "E0541", "`%s` is one number for an example, this is %s", name,
                 value_text(e, v)) &&
            v->kind == VAL_TENSOR)
            fail_help(e, "reduce it over its indices, `mean[d...] …`");
        return NULL;
    }
    return graph_map(e->g, 0, NULL, v->s, name, x->at);
}

Node *train_loss(Elab *e) {
    const Stmt *s = train_key(e, "loss");
    if (!s) {
        fail(e, e->train->at, "E0503", "this training has no loss");
        return NULL;
    }
    return per_example(e, applied(e, s, s->value, name_of("loss")), s->value, name_of("loss"));
}

void train_metrics(Elab *e, Program *program) {
    const Stmt *s = train_key(e, "metric");
    const Expr *items[ITEMS];
    for (int i = 0, n = s ? key_items(s, items, ITEMS) : 0; i < n; i++) {
        Name name = metric_name(items[i]);
        e->in_metric = true;
        Value *v = applied(e, s, items[i], name);
        e->in_metric = false;
        if (v->kind == VAL_ERROR || examples_metric(e, name, v, items[i]->at)) continue;
        Node *node = per_example(e, v, items[i], name);
        if (node) program_value(e, program, name, node);
    }
    examples_programs(e);
}

/* ---- Augmentation: only what the step's forward pass sees */
static bool augment(Elab *e, Value **inputs) {
    const Stmt *s = train_key(e, "augment");
    const Expr *items[ITEMS];
    int failed = e->failed;
    for (int i = 0, n = s ? key_items(s, items, ITEMS) : 0; i < n; i++) {
        const Expr *x = items[i], *first = x;
        while (first->kind == EXPR_CHAIN)
            first = first->a;
        int input = -1;
        for (int k = 0; first->kind == EXPR_NAME && k < e->model->params.len; k++)
            if (e->model->params.at[k].name == first->name) input = k;
        if (input < 0 || first == x) {
            if (fail(e, x->at, "E0550", "`augment` changes an input of the model"))
                fail_help(e, "write `augment = %s -> …`",
                          e->model->params.len ? e->model->params.at[0].name : "x");
            continue;
        }
        Value *v = train_expr(e, s, x, name_of("augment"));
        const Node *leaf = e->unit->inputs.at[input];
        const Node *node = v->kind == VAL_ERROR ? NULL : value_whole(e, v, NULL, x->at);
        if (node &&
            (node->rank != leaf->rank ||
             memcmp(node->extent, leaf->extent, sizeof *leaf->extent * (size_t)leaf->rank))) {
            fail(e, x->at, "E0551", "`%s` is %s, augmented it would be %s", leaf->name,
                 shape_text(e, leaf->rank, leaf->extent), shape_text(e, node->rank, node->extent));
        } else if (node)
            inputs[input] = v;
    }
    return e->failed == failed;
}

/* What augmentation needs to know of the data is fitted to them as they are, `training` false. */
static bool augment_fits(Elab *e) {
    ValueList inputs = {0};
    for (int i = 0; i < e->model_inputs.len; i++)
        VEC_PUSH(e->arena, inputs, e->model_inputs.at[i]);
    int rows = e->unit->layers.len;
    e->mode = MODE_EVAL;
    map_init(&e->visits, e->arena);
    bool ok = augment(e, inputs.at);
    e->unit->layers.len = rows;
    return ok;
}

/* ---- Programs */
static Node *batch_mean(Elab *e, Node *node) {
    const Scalar *live =
        sc_op(e->g, OP_NE, sc_read(e->g, live_leaf(e), NULL, NULL), sc_const(e->g, 0), NULL);
    const Scalar *value = sc_read(e->g, node, NULL, NULL);
    CompSpec sum = {.reduce = RED_SUM,
                    .over_batch = true,
                    .at = node->at,
                    .body = sc_op(e->g, OP_SELECT, live, value, sc_const(e->g, 0))};
    const Scalar *total = sc_read(e->g, graph_comp(e->g, &sum), NULL, NULL);
    const Scalar *count = sc_read(e->g, hyper_leaf(e, "count"), NULL, NULL);
    return graph_map(e->g, 0, NULL, sc_op(e->g, OP_DIV, total, count, NULL), NULL, node->at);
}

static void step_program(Elab *e) {
    ValueList inputs = {0};
    for (int i = 0; i < e->model_inputs.len; i++)
        VEC_PUSH(e->arena, inputs, e->model_inputs.at[i]);
    if (!augment_fits(e)) return;
    e->mode = MODE_STEP;
    e->training = true;
    map_init(&e->visits, e->arena);
    e->updates.len = 0;
    bool ok = augment(e, inputs.at);
    bool watched = train_key(e, "watch");
    e->seeing = watched ? SEES_MODEL : SEES_NOTHING;
    e->seen.len = 0;
    ok = ok && model_run(e, inputs.at);
    e->seeing = watched ? SEES_LOSS : SEES_NOTHING;
    Node *loss = ok ? train_loss(e) : NULL;
    e->seeing = SEES_NOTHING;
    if (loss) {
        Node *total = batch_mean(e, loss), *penalty = train_penalty(e);
        if (penalty)
            total = graph_map(e->g, 0, NULL,
                              sc_op(e->g, OP_ADD, sc_read(e->g, total, NULL, NULL),
                                    sc_read(e->g, penalty, NULL, NULL), NULL),
                              NULL, loss->at);
        int step = e->unit->programs.len;
        Program *p = program_new(e, PROGRAM_STEP, "step");
        program_value(e, p, name_of("loss"), total);
        if (e->keeps_loss) program_value(e, p, name_of("example.loss"), order_plain_loss(e, loss));
        update_program(e, p, total);
        watch_program(e, step, total);
    }
    e->training = false;
    e->mode = MODE_EVAL;
}

/* The model once more as in a step, for what is done after training. */
static void after_program(Elab *e) {
    ValueList inputs = {0};
    for (int i = 0; i < e->model_inputs.len; i++)
        VEC_PUSH(e->arena, inputs, e->model_inputs.at[i]);
    e->mode = MODE_AFTER;
    e->training = true;
    map_init(&e->visits, e->arena);
    e->updates.len = 0;
    if (augment(e, inputs.at) && model_run(e, inputs.at)) after_programs(e);
    e->updates.len = 0;
    e->training = false;
    e->mode = MODE_EVAL;
}

void train_programs(Elab *e) {
    if (update_look_ahead(e)) { /* once more, on what is to be evaluated */
        e->unit->layers.len = e->clauses.len = 0;
        if (!model_run(e, e->model_inputs.at)) return;
        for (int i = 0; i < e->param_list.len; i++) {
            const ParamRec *rec = e->param_list.at[i];
            VEC_PUSH(e->arena, e->unit->params_at, rec->evaluate ? rec->evaluate : rec->leaf);
        }
    }
    Node *loss = train_loss(e);
    if (!loss) return;
    Program *p = program_new(e, PROGRAM_EVAL, "eval");
    program_value(e, p, name_of("loss"), loss);
    train_metrics(e, p);
    Scope *scope = e->model_scope;
    ValueList outputs = e->model_outputs;
    step_program(e);
    if (e->has_after && !e->failed) after_program(e);
    train_load(e);
    e->model_scope = scope; /* prediction is without training again */
    e->model_outputs = outputs;
    train_epoch(e);
}
