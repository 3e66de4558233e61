/* SPDX-License-Identifier: MIT
 * The checks of `train` and `data` blocks: their keys, and the names in the keys' values.
 * Needs scopes.
 * Does not know what a key's value must be: that is elaboration's. */
#include "scope.h"
#include <string.h>

static const char *const train_keys[] = {"loss",   "optimizer", "batch",   "last",       "epochs",
                                         "steps",  "metric",    "best",    "stop",       "augment",
                                         "order",  "gradients", "penalty", "constraint", "watch",
                                         "freeze", "load",      "leaves",  "seed"};
static const char *const data_keys[] = {"train", "validation", "test"};

/* Keys whose values name parameters and layers, which elaboration alone knows. */
static const char *const path_keys[] = {"freeze", "leaves", "load"};

static bool is_one_of(Name name, const char *const *words, int count) {
    for (int i = 0; i < count; i++) {
        if (strcmp(words[i], name) == 0) return true;
    }
    return false;
}

/* `fold = 0` in a data block: a number that conditions may look at and `--set` may change. */
static bool is_setting(const Stmt *key) {
    return key->value && key->value->kind == EXPR_NUMBER;
}

static void check_key(const Decl *decl, int i) {
    bool train = decl->kind == DECL_TRAIN;
    const char *const *keys = train ? train_keys : data_keys;
    int count = train ? LENGTH(train_keys) : LENGTH(data_keys);
    const Target *key = &decl->body.at[i]->targets.at[0];
    for (int j = 0; j < i; j++) {
        const Target *old = &decl->body.at[j]->targets.at[0];
        if (old->name != key->name) continue;
        diag_error(key->at, "E0502", "the key `%s` is given twice", key->name);
        diag_note(old->at, "first here");
        return;
    }
    if (is_one_of(key->name, keys, count)) return;
    if (!train && is_setting(decl->body.at[i])) return;
    Name names[LENGTH(train_keys)];
    for (int j = 0; j < count; j++)
        names[j] = name_of(keys[j]);
    diag_error(key->at, "E0501", "`%s` has no key `%s`", train ? "train" : "data", key->name);
    Name near = name_nearest(key->name, names, (size_t)count);
    if (near)
        diag_help("did you mean `%s`?", near);
    else if (!train)
        diag_help("its keys are train, validation and test, and numbers that conditions look at");
}

static void no_such(const Decl *decl, const char *what, Name name, const Map *map, Arena *arena) {
    diag_error(decl->at, "E0504", "there is no %s `%s`", what, name);
    Name *names = NEW_ARRAY(arena, Name, map->slots.len + 1);
    for (int i = 0; i < map->slots.len; i++)
        names[i] = map->slots.at[i].key;
    Name near = name_nearest(name, names, (size_t)map->slots.len);
    if (near) diag_help("did you mean `%s`?", near);
}

/* Every value that the model names is seen in its training, and what training itself measures. */
static void add_model(Scope *scope, const Decl *model) {
    Scope inside;
    scope_init(&inside, scope->module, model);
    const ParamList *lists[] = {&model->params, &model->outputs};
    for (int i = 0; i < LENGTH(lists); i++) {
        for (int j = 0; j < lists[i]->len; j++) {
            const Param *param = &lists[i]->at[j];
            scope_add(scope, param->name, LOCAL_VALUE, param->at);
            for (int k = 0; k < param->indices.len; k++) {
                const Index *index = &param->indices.at[k];
                if (index->name) scope_add(scope, index->name, LOCAL_EXTENT, index->at);
            }
        }
    }
    for (int i = 0; i < model->body.len; i++) {
        const Stmt *stmt = model->body.at[i];
        for (int j = 0; j < stmt->targets.len; j++) {
            const Target *target = &stmt->targets.at[j];
            scope_add(scope, target->name, LOCAL_VALUE, target->at);
        }
    }
}

static void add_words(Scope *scope, Span at) {
    static const char *const words[] = {"output", "loss", "train", "validation", "test"};
    for (int i = 0; i < LENGTH(words); i++)
        scope_add(scope, name_of(words[i]), LOCAL_VALUE, at);
}

static void check_value(Scope *scope, const Stmt *key) {
    int mark = scope->inner.len;
    for (int i = 0; i < key->where.len; i++) {
        const Stmt *binding = key->where.at[i];
        const Target *target = &binding->targets.at[0];
        scope_expr(scope, binding->value);
        VEC_PUSH(scope->arena, scope->inner, ((Local){target->name, LOCAL_VALUE, target->at}));
    }
    scope->paths = is_one_of(key->targets.at[0].name, path_keys, LENGTH(path_keys));
    scope_expr(scope, key->value);
    scope->paths = false;
    scope->inner.len = mark;
}

/* A set is read from files, made by a def, or, behind `when`, taken from another: whether it says so. */
static bool check_set(const Scope *scope, const Stmt *key) {
    static const struct {
        const char *name, *use;
    } table[] = {
#define FORMAT(name, least, most, named, use, ...) {#name, use},
#include "formats.def"
#undef FORMAT
        {"generate", "generate(200, def)"},
    };
    const Expr *x = key->value->kind == EXPR_WHEN ? key->value->a : key->value;
    Name word = x->kind == EXPR_CALL && x->base->kind == EXPR_NAME ? x->base->name : NULL;
    Name names[LENGTH(table)];
    char *uses = "";
    if (x != key->value && x->kind == EXPR_NAME) return true;
    for (int i = 0; i < LENGTH(table); i++) {
        names[i] = name_of(table[i].name);
        if (word == names[i]) return true;
        uses = arena_printf(scope->arena, "%s%s`%s`", uses, i ? ", " : "", table[i].use);
    }
    diag_error(x->at, "E0522", word ? "`%s` is no format of data files" : "this is no set", word);
    Name near = word ? name_nearest(word, names, LENGTH(table)) : NULL;
    if (near) diag_help("did you mean `%s`?", near);
    diag_help("a set comes from %s", uses);
    diag_help("or from another: `validation = train when example.number >= 55000`");
    return false;
}

/** Checks a `train` or `data` block. */
void check_keys(const Module *module, const Decl *decl) {
    Scope scope;
    scope_init(&scope, module, decl);
    const Decl *model = NULL;
    bool train = decl->kind == DECL_TRAIN, loss = false;
    if (train) {
        model = map_get(&module->models, decl->model);
        if (!model) no_such(decl, "model", decl->model, &module->models, module->arena);
        if (decl->data && !map_get(&module->datas, decl->data))
            no_such(decl, "data set", decl->data, &module->datas, module->arena);
        if (model) add_model(&scope, model);
    }
    add_words(&scope, decl->at);
    for (int i = 0; !train && i < decl->body.len; i++)
        if (is_setting(decl->body.at[i]))
            scope_add(&scope, decl->body.at[i]->targets.at[0].name, LOCAL_VALUE, decl->at);
    for (int i = 0; i < decl->body.len; i++) {
        const Stmt *key = decl->body.at[i];
        check_key(decl, i);
        loss |= strcmp(key->targets.at[0].name, "loss") == 0;
        if (!train && key->value && !is_setting(key) && !check_set(&scope, key)) continue;
        if (model || !train) check_value(&scope, key);
    }
    if (train && !loss) {
        diag_error(decl->at, "E0503", "this training has no loss");
        diag_help("add a key: loss = ...");
    }
}
