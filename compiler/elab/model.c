/* SPDX-License-Identifier: MIT
 * Models: inputs and targets as leaves, running the body, outputs against what the model promises.
 * Needs front and ir. Trainings are train.c's. */
#include "elab_internal.h"
#include <string.h>

static bool param_shape(Elab *e, const Param *p, int *rank, int64_t *ext) {
    *rank = 0;
    for (int i = 0; i < p->indices.len; i++)
        if (!index_resolve(e, &p->indices.at[i], rank, ext)) return false;
    return true;
}

static bool classes_of(Elab *e, const Param *p, int64_t *classes) {
    *classes = 0;
    if (!p->is_class) return true;
    if (!p->classes) {
        fail(e, p->at, "E0341", "how many classes has `%s`? write `%s: class[n]`", p->name,
             p->name);
        return false;
    }
    if (!extent_eval(e, p->classes, classes)) return false;
    if (*classes < 2 || *classes > 1 << 24) {
        fail(e, p->at, "E0341", "`%s` is one of %lld classes", p->name, (long long)*classes);
        return false;
    }
    return true;
}

bool model_inputs_make(Elab *e) {
    const Decl *m = e->model;
    Scope *outer = e->scope;
    bool ok = true;
    e->scope = scope_new(e, m, NULL, NULL);
    for (int i = 0; i < m->params.len; i++) {
        const Param *p = &m->params.at[i];
        int rank;
        int64_t ext[MAX_RANK], classes;
        if (!param_shape(e, p, &rank, ext) || !classes_of(e, p, &classes)) {
            ok = false;
            continue;
        }
        if (p->value) {
            fail(e, p->at, "E0342", "an input of a model has no default: it comes from the data");
            ok = false;
        }
        Node *leaf = graph_leaf(e->g, NODE_INPUT, p->name, true, rank, ext, classes, p->at);
        VEC_PUSH(e->arena, e->unit->inputs, leaf);
        Value *v = value_node(e, leaf, p->at);
        VEC_PUSH(e->arena, e->model_inputs, v);
        ok = bind_header(e, p, v, p->at) && ok;
    }
    if (!m->params.len) {
        fail(e, m->at, "E0344", "model `%s` has no input", m->name);
        ok = false;
    }
    for (int i = 0; i < m->outputs.len; i++) {
        const Param *p = &m->outputs.at[i];
        int rank;
        int64_t ext[MAX_RANK], classes;
        VEC_PUSH(e->arena, e->unit->outputs, p->name);
        if (!param_shape(e, p, &rank, ext) || !classes_of(e, p, &classes)) {
            ok = false;
            continue;
        }
        for (int k = 0; k < m->params.len; k++)
            if (m->params.at[k].name == p->name) {
                fail(e, p->at, "E0202", "`%s` is an input and an output", p->name);
                ok = false;
            }
        Name name = name_printf("%s.target", p->name);
        map_put(&e->targets, p,
                graph_leaf(e->g, NODE_INPUT, name, true, rank, ext, classes, p->at));
    }
    if (!m->outputs.len) {
        if (fail(e, m->at, "E0343", "model `%s` says no output", m->name))
            fail_help(e, "write `model %s(…) -> y[1] { … }`", m->name);
        ok = false;
    }
    e->scope = outer;
    return ok;
}

Node *target_leaf(Elab *e, const Param *output) {
    Node *node = map_get(&e->targets, output);
    if (!node) /* of another model, or after an error */
        return graph_leaf(e->g, NODE_INPUT, name_printf("%s.target", output->name), true, 0, NULL,
                          0, output->at);
    for (int i = 0; i < e->unit->inputs.len; i++)
        if (e->unit->inputs.at[i] == node) return node;
    VEC_PUSH(e->arena, e->unit->inputs, node);
    return node;
}

/* ---- Outputs */
static bool output_fits(Elab *e, const Param *p, const Value *v) {
    const Node *target = map_get(&e->targets, p);
    if (!target || (v->kind != VAL_TENSOR && v->kind != VAL_NUMBER)) return false;
    int rank = value_rank(v);
    const int64_t *ext = rank ? value_extent(v) : NULL;
    if (p->is_class && !p->indexed)
        return (rank == 1 && ext[0] == target->classes) ||
               (target->classes == 2 && (rank == 0 || (rank == 1 && ext[0] == 1)));
    if (p->is_class)
        return rank == target->rank + 1 && ext[rank - 1] == target->classes &&
               !memcmp(ext, target->extent, sizeof *ext * (size_t)target->rank);
    return rank == target->rank &&
           (rank == 0 || !memcmp(ext, target->extent, sizeof *ext * (size_t)rank));
}

static const char *output_text(Elab *e, const Param *p) {
    const Node *target = map_get(&e->targets, p);
    if (!target) return p->name;
    const char *shape = target->rank ? shape_text(e, target->rank, target->extent) : "";
    return p->is_class ? arena_printf(e->arena, "%s%s: class[%lld]", p->name, shape,
                                      (long long)target->classes)
                       : arena_printf(e->arena, "%s%s", p->name, shape);
}

static void check_output(Elab *e, const Decl *m, const Param *p, const Value *v) {
    if (v->kind == VAL_ERROR || !map_has(&e->targets, p) || output_fits(e, p, v)) return;
    const Stmt *last = m->body.len ? m->body.at[m->body.len - 1] : NULL;
    if (!fail(e, last && last->value ? last->value->at : p->at, "E0340",
              "`%s` promises `%s`, but its value is %s", m->name, output_text(e, p),
              value_text(e, v)))
        return;
    if (v->kind == VAL_TENSOR) fail_note(e, v->node->at, "%s comes from here", value_text(e, v));
    fail_note(e, p->at, "`%s` is promised here", p->name);
    const Node *target = map_get(&e->targets, p);
    if (p->is_class && target)
        fail_help(e, "the model ends in one number for each of the %lld classes",
                  (long long)target->classes);
}

static Value *output_value(Elab *e, const Decl *m, int i, Value *result) {
    Value *named = map_get(&e->scope->values, m->outputs.at[i].name);
    if (m->outputs.len == 1)
        return result && result->kind == VAL_TUPLE && result->items.len == 1 ? result->items.at[0]
               : result                                                      ? result
                                                                             : named;
    if (result && result->kind == VAL_TUPLE && result->items.len == m->outputs.len)
        return result->items.at[i];
    return named;
}

static bool take_outputs(Elab *e, const Decl *m, ValueList *out) {
    Value *result = e->scope->result;
    int failed = e->failed;
    for (int i = 0; i < m->outputs.len; i++) {
        const Param *p = &m->outputs.at[i];
        Value *v = output_value(e, m, i, result);
        if (!v) {
            if (fail(e, p->at, "E0343", "model `%s` gives no value to `%s`", m->name, p->name))
                fail_help(e, "bind it, `%s = …`, or end with a tuple of all outputs", p->name);
            v = value_error(e);
        }
        check_output(e, m, p, v);
        VEC_PUSH(e->arena, *out, v);
    }
    return e->failed == failed;
}

static bool only_values(const ValueList *list) {
    for (int i = 0; i < list->len; i++)
        if (list->at[i]->kind != VAL_TENSOR && list->at[i]->kind != VAL_NUMBER) return false;
    return true;
}

bool model_run(Elab *e, Value **inputs) {
    const Decl *m = e->model;
    Scope *outer = e->scope;
    Frame *outer_frame = e->frame, frame = frame_new();
    e->scope = e->model_scope = scope_new(e, m, NULL, NULL);
    e->scope->table = e->uses.len;
    e->frame = &frame;
    map_init(&e->visits, e->arena);
    memset(&e->model_outputs, 0, sizeof e->model_outputs);
    bool ok = true;
    for (int i = 0; i < m->params.len; i++)
        ok = bind_header(e, &m->params.at[i], inputs[i], m->params.at[i].at) && ok;
    if (ok) run_body(e, &m->body);
    if (ok && !m->body.len) fail(e, m->at, "E0343", "model `%s` is empty", m->name);
    ok = ok && take_outputs(e, m, &e->model_outputs) && only_values(&e->model_outputs);
    e->scope = outer;
    e->frame = outer_frame;
    return ok;
}

/* A model inside another: one set of parameters under its own name, however often it is used. */
Value *model_call(Elab *e, const Decl *decl, Value **args, Span at) {
    Map visits = e->visits;
    map_init(&e->visits, e->arena);
    Value *v = run_decl(e, decl, args, at, decl->name, decl->name);
    e->visits = visits;
    return v;
}
