/* SPDX-License-Identifier: MIT
 * `watch`: defs over the outputs of layers, or over parameters and their gradients; the program
 * "watch" gives their numbers beside what a step does. Needs ir. Changes nothing of "step". */
#include "elab_internal.h"
#include <string.h>

enum { ITEMS = 64 };

typedef struct Watched {
    const Expr *at, *on; /* on: NULL where all are meant */
    Value *def;
    Name name;
} Watched;

typedef struct Watcher {
    Elab *e;
    int step;        /* program */
    bool evaluation; /* what looks at an evaluation, not at a step */
    Node *loss;
    VEC(Result) results;
} Watcher;

/* ---- Layers: what the model's defs give in a step, kept while it is run */
void watch_see(Elab *e, const Stage *stage, const Value *v, Name path, Value *input) {
    if (!e->seeing || e->mode != MODE_STEP || e->quiet) return;
    Node *node = v->kind == VAL_TENSOR && !v->npre                               ? v->node
                 : v->kind == VAL_NUMBER && v->s->kind == SC_READ && !v->s->dims ? v->s->node
                                                                                 : NULL;
    if (!node) return;
    SeenLayer row = {.path = path ? path : name_use(e, stage->site, stage->builtin),
                     .def = stage->decl ? stage->decl->name : stage->builtin,
                     .output = node,
                     .classes = v->classes,
                     .input = input,
                     .inside = e->seeing == SEES_LOSS || e->scope->table != e->uses.len,
                     .at = v->at};
    VEC_PUSH(e->arena, e->seen, row);
}

static void no_layer(Elab *e, const Expr *on, const char *pattern) {
    VEC(Name) names = {0};
    const char *all = "";
    for (int i = 0; i < e->seen.len; i++) {
        VEC_PUSH(e->arena, names, e->seen.at[i].path);
        if (!e->seen.at[i].inside && names.len <= 12)
            all = arena_printf(e->arena, "%s%s%s", all, *all ? ", " : "", e->seen.at[i].path);
    }
    if (!fail(e, on->at, "E0578", "the model has no layer `%s`", pattern)) return;
    Name near = name_nearest(name_of(pattern), names.at, (size_t)names.len);
    fail_help(e, "the layers are %s%s", all, names.len > 12 ? ", …" : "");
    if (near) fail_help(e, "did you mean `%s`?", near);
}

/* ---- Results */
static void watch_result(Watcher *w, const Watched *item, Name path, Value *v) {
    Elab *e = w->e;
    if (v->kind == VAL_ERROR || v->kind == VAL_NONE) return; /* none: not of this layer */
    v = weights_value(e, v);
    bool number = v->kind == VAL_NUMBER && !v->s->dims, one = number && !v->s->per_example;
    if ((!number && v->kind != VAL_TENSOR) || (v->truth && !one) || (w->evaluation && !one)) {
        if (fail(e, item->at->at, "E0579", "what is watched is %s, `%s` gives %s%s",
                 w->evaluation ? "one number" : "a number, a tensor or one condition", item->name,
                 value_text(e, v), number && !one ? " for each example" : "") &&
            (number || v->kind == VAL_TENSOR))
            fail_help(e, "reduce it, `mean[batch, d...] …`");
        return;
    }
    Node *node = v->truth ? graph_map(e->g, 0, NULL,
                                      sc_op(e->g, OP_SELECT, v->s, sc_const(e->g, 1),
                                            sc_const(e->g, 0)),
                                      NULL, item->at->at)
                          : value_whole(e, v, NULL, item->at->at);
    if (!node) return;
    if (node->kind == NODE_PARAM || node->kind == NODE_STATE) { /* the step writes over it */
        if (fail(e, item->at->at, "E0579", "`%s` gives `%s` as it is in memory", item->name,
                 node->name))
            fail_help(e, "the value before the step: `if step > 0 then w else g`");
        return;
    }
    Name name = name_printf("%s:%s%s%s", v->truth ? "flag" : "watch", item->name, path ? "." : "",
                            path ? path : "");
    for (int i = 0; i < w->results.len; i++)
        if (w->results.at[i].name == name) {
            fail(e, item->at->at, "E0533", "`%s` is watched twice", strchr(name, ':') + 1);
            return;
        }
    VEC_PUSH(e->arena, w->results,
             ((Result){.kind = RESULT_VALUE, .name = name, .node = node}));
}

static Value *watch_apply(Elab *e, const Watched *item, Value **args, int n, Name path) {
    return apply(e, item->def, args, n, item->at->at, name_printf("%s.%s", path, item->name),
                 name_printf("watch.%s", item->name));
}

/* A def over y is offered `input` and the layer's own parameters by their names. */
static void watch_layer(Watcher *w, const Watched *item, const SeenLayer *row) {
    Elab *e = w->e;
    VEC(Offer) offers = {0};
    if (row->input && (row->input->kind == VAL_TENSOR || row->input->kind == VAL_NUMBER)) {
        Offer input = {.name = name_of("input"), .value = row->input, .at = item->at->at};
        VEC_PUSH(e->arena, offers, input);
    }
    size_t length = strlen(row->path);
    for (int i = 0; i < e->param_list.len; i++) {
        const ParamRec *rec = e->param_list.at[i];
        const char *name = rec->leaf->name;
        if (strncmp(name, row->path, length) || name[length] != '.' ||
            strchr(name + length + 1, '.'))
            continue;
        Offer param = {.name = name_of(name + length + 1),
                       .value =
                           value_node(e, rec->forward ? rec->forward : rec->leaf, item->at->at),
                       .at = item->at->at};
        VEC_PUSH(e->arena, offers, param);
    }
    Value *y = value_node(e, row->output, row->at);
    if (row->classes) y->classes = row->classes;
    Name path = name_printf("%s.%s", row->path, item->name);
    Value *v = apply_offered(e, item->def, offers.at, offers.len, &y, 1, item->at->at, path,
                             name_printf("watch.%s", item->name));
    watch_result(w, item, row->path, v);
}

static void watch_layers(Watcher *w, const Watched *item, const Expr *on) {
    Elab *e = w->e;
    int found = 0;
    if (on && on->kind == EXPR_TUPLE) {
        for (int i = 0; i < on->args.len; i++)
            watch_layers(w, item, on->args.at[i].value);
        return;
    }
    const char *pattern = on ? field_text(e, on) : NULL;
    if (on && !pattern) {
        fail(e, on->at, "E0570", "layers are selected by a name or a path: `relu1`, `trunk.*`");
        return;
    }
    Value *named = pattern ? map_get(&e->model_scope->values, name_of(pattern)) : NULL;
    if (named && (named->kind == VAL_TENSOR || named->kind == VAL_NUMBER)) {
        Node *node = value_whole(e, named, NULL, on->at);
        SeenLayer row = {.path = name_of(pattern), .output = node, .at = on->at};
        if (node) watch_layer(w, item, &row);
        return;
    }
    for (int i = 0; i < e->seen.len; i++) {
        const SeenLayer *seen = &e->seen.at[i];
        bool chosen =
            pattern ? path_ends(pattern, seen->path) || !strcmp(pattern, seen->def) : !seen->inside;
        if (!chosen) continue;
        watch_layer(w, item, seen);
        found++;
    }
    if (pattern && !found) no_layer(e, on, pattern);
}

/* ---- Parameters: the value before the step, the gradient of the loss, the value after it */
static Node *next_of(const Watcher *w, const Node *leaf) {
    const Program *step = &w->e->unit->programs.at[w->step];
    for (int i = 0; i < step->results.len; i++)
        if (step->results.at[i].kind == RESULT_NEXT && step->results.at[i].target == leaf)
            return step->results.at[i].node;
    return NULL;
}

static void watch_params(Watcher *w, const Watched *item, int wanted) {
    Elab *e = w->e;
    int n = e->param_list.len, failed = e->failed, members = 0;
    bool *chosen = NEW_ARRAY(e->arena, bool, n + 1);
    if (item->on && !select_params(e, item->on, chosen)) return;
    Value **v = NEW_ARRAY(e->arena, Value *, n + 1);
    int updates = e->updates.len;
    weights_begin(e);
    for (int i = 0; i < n && e->failed == failed; i++) {
        const ParamRec *rec = e->param_list.at[i];
        Node *next = next_of(w, rec->leaf);
        if (rec->frozen || !next || (item->on && !chosen[i])) continue;
        Node *read = rec->forward ? rec->forward : rec->leaf;
        Value *args[3] = {value_node(e, rec->leaf, item->at->at),
                          value_node(e, graph_grad(e->g, w->loss, read), item->at->at),
                          value_node(e, next, item->at->at)};
        weights_member(e);
        v[i] = watch_apply(e, item, args, wanted, rec->leaf->name);
        members++;
    }
    bool whole = weights_end(e) && e->failed == failed, one = members > 1;
    Value *first = NULL;
    for (int i = 0; whole && i < n; i++) {
        if (!v[i]) continue;
        if (!first) first = v[i];
        one = one && v[i]->kind == VAL_NUMBER && first->kind == VAL_NUMBER && v[i]->s == first->s;
    }
    if (whole && one) /* of all together: it does not look at any parameter alone */
        watch_result(w, item, NULL, first);
    for (int i = 0; whole && !one && i < n; i++)
        if (v[i]) watch_result(w, item, e->param_list.at[i]->leaf->name, v[i]);
    for (int i = updates; whole && i < e->updates.len; i++)
        e->updates.at[i].node = weights_resolve(e, e->updates.at[i].node);
}

/* ---- The key */
static bool is_named(const Stage *stage, Name name) {
    for (int i = 0; i < stage->named.len; i++)
        if (stage->named.at[i].name == name) return true;
    return false;
}

/* What a def looks at: its leading arguments without a default that are not given by name, as many
 * as leave room for what is given by place. */
static int watch_wants(const Stage *stage) {
    if (!stage->decl) return 1;
    const ParamList *params = &stage->decl->params;
    int leading = 0, room = -stage->given.len;
    for (int i = 0; i < params->len; i++)
        room += !is_named(stage, params->at[i].name);
    while (leading < params->len && !params->at[leading].value &&
           !is_named(stage, params->at[leading].name))
        leading++;
    return leading < room ? leading : room;
}

static void watch_item(Watcher *w, const Expr *x) {
    Elab *e = w->e;
    Watched item = {.at = x};
    const Expr *def = x;
    if (x->kind == EXPR_ON) {
        def = x->a;
        item.on = x->b;
    }
    item.def = schedule_callable(e, def);
    if (item.def->kind == VAL_ERROR) return;
    if (item.def->kind != VAL_DEF) {
        fail(e, def->at, "E0572", "`watch` wants a def, this is %s", value_text(e, item.def));
        return;
    }
    const Stage *last = &item.def->stages.at[item.def->stages.len - 1];
    item.name = last->decl ? last->decl->name : last->builtin;
    int wanted = watch_wants(&item.def->stages.at[0]);
    if (w->evaluation != (wanted == 0)) return;
    if (wanted == 0)
        watch_result(w, &item, NULL, watch_apply(e, &item, NULL, 0, name_of("watch")));
    else if (wanted == 1)
        watch_layers(w, &item, item.on);
    else if (wanted == 2 || wanted == 3)
        watch_params(w, &item, wanted);
    else if (fail(e, def->at, "E0579", "`%s` is left %d arguments to watch by", item.name, wanted))
        fail_help(e, "one is a layer's output; two are a parameter and its gradient, a third the "
                     "parameter after the step; none a number of the metrics");
}

static void watch_key(Watcher *w, const Stmt *s) {
    Elab *e = w->e;
    Scope *outer = e->scope;
    Frame frame = frame_new(), *outer_frame = e->frame;
    frame.shared = true;
    e->scope = train_scope(e);
    e->frame = &frame;
    run_where(e, s);
    if (s->value->kind != EXPR_TUPLE) watch_item(w, s->value);
    for (int i = 0; s->value->kind == EXPR_TUPLE && i < s->value->args.len && i < ITEMS; i++)
        watch_item(w, s->value->args.at[i].value);
    e->frame = outer_frame;
    e->scope = outer;
}

void watch_program(Elab *e, int step, Node *loss) {
    const Stmt *s = train_key(e, "watch");
    if (!s || e->failed) return;
    Watcher w = {.e = e, .step = step, .loss = loss};
    int updates = e->updates.len;
    e->mode = MODE_UPDATE; /* it may reduce over the batch, as an optimizer does */
    e->loss = loss;
    watch_key(&w, s);
    e->loss = NULL;
    e->mode = MODE_STEP;
    if (e->failed) return;
    Program *p = program_new(e, PROGRAM_WATCH, "watch");
    const Program *plain = &e->unit->programs.at[step];
    for (int i = 0; i < plain->results.len; i++)
        VEC_PUSH(e->arena, p->results, plain->results.at[i]);
    for (int i = 0; i < w.results.len; i++)
        VEC_PUSH(e->arena, p->results, w.results.at[i]);
    for (int i = updates; i < e->updates.len; i++) /* a watcher's own states */
        program_next(e, p, e->updates.at[i].target, e->updates.at[i].node);
}

void watch_epoch(Elab *e) {
    const Stmt *s = train_key(e, "watch");
    if (!s || e->failed) return;
    Watcher w = {.e = e, .evaluation = true};
    e->mode = MODE_EPOCH;
    e->updates.len = 0;
    watch_key(&w, s);
    schedule_take(e, 0);
    e->mode = MODE_EVAL;
    for (int i = 0; i < w.results.len; i++)
        VEC_PUSH(e->arena, e->epoch_watched, w.results.at[i]);
}
