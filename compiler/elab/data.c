/* SPDX-License-Identifier: MIT
 * Data blocks: files by format, columns by name, sets and what they are taken from.
 * Needs front. Opens no file: headers are the driver's and the runtime's business. */
#include "elab_internal.h"
#include <string.h>

static bool known_set(Name name) {
    return !strcmp(name, "train") || !strcmp(name, "validation") || !strcmp(name, "test");
}

static int find_set(const Elab *e, Name name) {
    for (int i = 0; i < e->unit->sets.len; i++)
        if (e->unit->sets.at[i].name == name) return i;
    return -1;
}

/* ---- Files */
static bool same_source(const DataSource *a, const DataSource *b) {
    if (a->format != b->format || a->files.len != b->files.len || a->embed != b->embed ||
        a->columns.len != b->columns.len)
        return false;
    for (int i = 0; i < a->files.len; i++)
        if (a->files.at[i] != b->files.at[i]) return false;
    for (int i = 0; i < a->columns.len; i++)
        if (a->columns.at[i].name != b->columns.at[i].name ||
            a->columns.at[i].column != b->columns.at[i].column)
            return false;
    return true;
}

static bool bound_name(Elab *e, Name name) {
    for (int i = 0; i < e->unit->inputs.len; i++)
        if (e->unit->inputs.at[i]->name == name) return true;
    for (int i = 0; i < e->unit->outputs.len; i++)
        if (e->unit->outputs.at[i] == name) return true;
    return false;
}

/* `example.NAME` in the training or in the data: a column that is known of each example and is no
 * input of the model. */
static bool expr_uses(const Expr *x, Name name) {
    if (!x) return false;
    if (x->kind == EXPR_FIELD && x->name == name && x->base->kind == EXPR_NAME &&
        !strcmp(x->base->name, "example"))
        return true;
    for (int i = 0; i < x->args.len; i++)
        if (expr_uses(x->args.at[i].value, name)) return true;
    return expr_uses(x->base, name) || expr_uses(x->a, name) || expr_uses(x->b, name) ||
           expr_uses(x->c, name) || expr_uses(x->outside, name);
}

static bool column_used(const Elab *e, Name name) {
    const Decl *decls[] = {e->train, e->data};
    for (int d = 0; d < LENGTH(decls); d++)
        for (int i = 0; decls[d] && i < decls[d]->body.len; i++) {
            const Stmt *s = decls[d]->body.at[i];
            if (expr_uses(s->value, name)) return true;
            for (int k = 0; k < s->where.len; k++)
                if (expr_uses(s->where.at[k]->value, name)) return true;
        }
    return false;
}

static void take_column(Elab *e, DataSource *s, const Arg *a) {
    if (a->value->kind == EXPR_NAME && a->name == name_of("embed")) {
        s->embed = !strcmp(a->value->name, "true");
        return;
    }
    const DataFormat *format = s->format;
    if (!format->named) {
        if (fail(e, a->at, "E0520", "there is nothing that `%s` could name in a file of `%s`",
                 a->name, format->name))
            fail_help(e, "write `%s`, and `embed = true` where it is to travel in the executable",
                      format->use);
        return;
    }
    if (a->value->kind != EXPR_STRING) {
        fail(e, a->at, "E0520", "`%s = \"%s\"` names one %s of the file", a->name, format->named,
             format->named);
        return;
    }
    if (e->model && !bound_name(e, a->name) && !column_used(e, a->name)) {
        VEC(Name) names = {0};
        for (int i = 0; i < e->unit->inputs.len; i++)
            VEC_PUSH(e->arena, names, e->unit->inputs.at[i]->name);
        for (int i = 0; i < e->unit->outputs.len; i++)
            VEC_PUSH(e->arena, names, e->unit->outputs.at[i]);
        if (fail(e, a->at, "E0521", "`%s` is no input or output of model `%s`", a->name,
                 e->model->name)) {
            Name near = name_nearest(a->name, names.at, (size_t)names.len);
            if (near) fail_help(e, "did you mean `%s`?", near);
            else fail_help(e, "what is known of an example besides is used as `example.%s`", a->name);
        }
        return;
    }
    Column c = {.name = a->name, .column = name_of(a->value->text)};
    VEC_PUSH(e->arena, s->columns, c);
}

static int source_of(Elab *e, const Expr *x, Name set) {
    DataSource s = {.at = x->at};
    Name word = x->kind == EXPR_CALL && x->base->kind == EXPR_NAME ? x->base->name : NULL;
    if (word == name_of("generate")) {
        if (!generate_source(e, x, set, &s)) return -1;
        VEC_PUSH(e->arena, e->unit->sources, s);
        return e->unit->sources.len - 1;
    }
    if (!word || !(s.format = format_find(word))) return -1; /* front has said so */
    for (int i = 0; i < x->args.len; i++) {
        const Arg *a = &x->args.at[i];
        if (a->name)
            take_column(e, &s, a);
        else if (a->value->kind != EXPR_STRING || s.files.len == s.format->most) {
            if (fail(e, a->at, "E0520", "`%s` takes %s%d file name%s", word,
                     s.format->most > s.format->least ? "at most " : "", s.format->most,
                     s.format->most == 1 ? "" : "s"))
                fail_help(e, "write `%s`", s.format->use);
            return -1;
        } else
            VEC_PUSH(e->arena, s.files, name_of(a->value->text));
    }
    if (s.files.len < s.format->least) {
        if (fail(e, x->at, "E0520", "`%s` wants %s", word,
                 s.format->least == 1 ? "a file name" : "more file names"))
            fail_help(e, "write `%s`", s.format->use);
        return -1;
    }
    for (int i = 0; i < e->unit->sources.len; i++)
        if (same_source(&s, &e->unit->sources.at[i])) return i;
    VEC_PUSH(e->arena, e->unit->sources, s);
    return e->unit->sources.len - 1;
}

/* ---- Sets */
static int split_program(Elab *e, Name set, const Expr *condition) {
    Mode mode = e->mode;
    e->mode = MODE_SPLIT;
    Scope *outer = e->scope;
    e->scope = scope_new(e, NULL, name_printf("split.%s", set), NULL);
    for (int i = 0; i < e->settings.slots.len; i++)
        map_put(&e->scope->values, e->settings.slots.at[i].key, e->settings.slots.at[i].value);
    Frame frame = frame_new(), *outer_frame = e->frame;
    frame.anon_ok = false;
    e->frame = &frame;
    Value *v = value_condition(e, eval(e, condition), condition->at);
    e->frame = outer_frame;
    e->scope = outer;
    e->mode = mode;
    if (v->kind != VAL_NUMBER) return -1;
    const Scalar *s = sc_op(e->g, OP_SELECT, v->s, sc_const(e->g, 1), sc_const(e->g, 0));
    Node *node = graph_map(e->g, 0, NULL, s, NULL, condition->at);
    Program *p = program_new(e, PROGRAM_SPLIT, arena_printf(e->arena, "split:%s", set));
    order_stages(e, p);
    program_value(e, p, name_of("split"), node);
    return e->unit->programs.len - 1;
}

static void set_from(Elab *e, const Stmt *key) {
    const Expr *x = key->value;
    Name name = key->targets.at[0].name;
    DataSet set = {.name = name, .source = -1, .taken_from = -1, .split = -1};
    if (x->kind == EXPR_WHEN) {
        if (x->a->kind == EXPR_CALL) { /* of a file: the rest is in no set */
            set.source = source_of(e, x->a, name);
            if (set.source < 0) return;
        } else {
            Name from = x->a->kind == EXPR_NAME ? x->a->name : NULL;
            set.taken_from = from ? find_set(e, from) : -1;
            if (set.taken_from < 0) {
                fail(e, x->a->at, "E0523", "`%s` is taken from a set that stands above it", name);
                return;
            }
            set.source = e->unit->sets.at[set.taken_from].source;
        }
        set.split = split_program(e, name, x->b);
        if (set.split < 0) return;
    } else
        set.source = source_of(e, x, name);
    if (set.source >= 0) VEC_PUSH(e->arena, e->unit->sets, set);
}

void data_elaborate(Elab *e) {
    if (!e->data) return;
    for (int pass = 0; pass < 2; pass++) /* files first, whatever the order of the keys */
        for (int i = 0; i < e->data->body.len; i++) {
            const Stmt *key = e->data->body.at[i];
            Name name = key->targets.len ? key->targets.at[0].name : NULL;
            if (!name || !key->value || (key->value->kind == EXPR_WHEN) != pass) continue;
            if (!known_set(name)) {
                if (key->value->kind == EXPR_NUMBER) {
                    Value *v = value_const(e, key->value->number, key->value->at);
                    map_put(&e->settings, name, settable_value(e, v, name));
                } else if (pass == 0 || key->value->kind == EXPR_WHEN)
                    fail(e, key->targets.at[0].at, "E0501",
                         "a set is `train`, `validation` or `test`, not `%s`", name);
            } else
                set_from(e, key);
        }
    if (find_set(e, name_of("train")) < 0 && !e->failed)
        fail(e, e->data->at, "E0524", "data `%s` has no set `train`", e->data->name);
}
