/* SPDX-License-Identifier: MIT
 * Scopes: what a declaration binds, which names are seen where, and expressions checked against it.
 * Needs the tree. Tells what is certain to be wrong; what depends on shapes or on the place where a
 * def is used is left to elaboration. */
#include "scope.h"
#include <string.h>

/** An empty scope for a declaration. */
void scope_init(Scope *scope, const Module *module, const Decl *decl) {
    *scope = (Scope){.module = module, .decl = decl, .arena = module->arena};
    map_init(&scope->locals, scope->arena);
    map_init(&scope->indices, scope->arena);
}

/** The local of this name in the whole declaration, or NULL. */
const Local *scope_local(const Scope *scope, Name name) {
    return map_get(&scope->locals, name);
}

/** Whether the name is bound around this place as an index or by `where`. */
bool scope_inner(const Scope *scope, Name name) {
    for (int i = 0; i < scope->inner.len; i++) {
        if (scope->inner.at[i].name == name) return true;
    }
    return false;
}

/** Adds a local; the first of a name stays. */
void scope_add(Scope *scope, Name name, LocalKind kind, Span at) {
    if (map_has(&scope->locals, name)) return;
    Local *local = NEW(scope->arena, Local);
    *local = (Local){name, kind, at};
    map_put(&scope->locals, name, local);
}

/** Adds arguments and the extents of their headers; tells arguments that are there twice. */
void scope_add_params(Scope *scope, const ParamList *params) {
    for (int i = 0; i < params->len; i++) {
        const Param *param = &params->at[i];
        const Local *old = scope_local(scope, param->name);
        if (old) {
            diag_error(param->at, "E0202", "`%s` is declared twice", param->name);
            diag_note(old->at, "first here");
        }
        if (builtin_is_constant(param->name))
            diag_error(param->at, "E0210", "`%s` is a word of the language", param->name);
        scope_add(scope, param->name, LOCAL_ARGUMENT, param->at);
    }
    for (int i = 0; i < params->len; i++) {
        const IndexList *indices = &params->at[i].indices;
        for (int j = 0; j < indices->len; j++) {
            const Index *index = &indices->at[j];
            if (!index->name) continue;
            /* `p[units]` where `units` is an argument: its value is the extent. */
            scope_add(scope, index->name, LOCAL_EXTENT, index->at);
        }
        const Expr *classes = params->at[i].classes; /* `t: class[c]` binds c in a def */
        if (classes && classes->kind == EXPR_NAME && scope->decl->kind == DECL_DEF)
            scope_add(scope, classes->name, LOCAL_EXTENT, classes->at);
    }
}

static void note_indices(Scope *scope, const IndexList *indices) {
    for (int i = 0; i < indices->len; i++) {
        const Index *index = &indices->at[i];
        if (!index->name || map_has(&scope->indices, index->name)) continue;
        Span *at = NEW(scope->arena, Span);
        *at = index->at;
        map_put(&scope->indices, index->name, at);
    }
}

static void note_expr(Scope *scope, const Expr *expr) {
    if (!expr) return;
    note_indices(scope, &expr->indices);
    note_expr(scope, expr->base);
    note_expr(scope, expr->a);
    note_expr(scope, expr->b);
    note_expr(scope, expr->c);
    note_expr(scope, expr->outside);
    for (int i = 0; i < expr->args.len; i++)
        note_expr(scope, expr->args.at[i].value);
}

static LocalKind kind_of(const Stmt *stmt) {
    if (stmt->kind == STMT_STATE) return LOCAL_STATE;
    return stmt->kind == STMT_PARAM ? LOCAL_PARAM : LOCAL_VALUE;
}

static bool binds(const Stmt *stmt) {
    return stmt->kind == STMT_BIND || stmt->kind == STMT_STATE || stmt->kind == STMT_PARAM ||
           stmt->kind == STMT_PREDICT;
}

static void add_target(Scope *scope, Map *here, const Stmt *stmt, const Target *target) {
    /* s and s' are two things: the key of s' is its interned text. */
    Name key = target->primed ? name_printf("%s'", target->name) : target->name;
    const Local *old = map_get(here, key);
    const Local *outer = scope_local(scope, target->name);
    bool argument =
        outer && outer->kind == LOCAL_ARGUMENT && !target->primed && stmt->kind != STMT_PREDICT;
    if (old || argument) {
        diag_error(target->at, "E0207", "`%s` is bound twice", key);
        diag_note(old ? old->at : outer->at, "first here");
        return;
    }
    if (builtin_is_constant(target->name))
        diag_error(target->at, "E0210", "`%s` is a word of the language", target->name);
    Local *local = NEW(scope->arena, Local);
    *local = (Local){target->name, kind_of(stmt), target->at};
    map_put(here, key, local);
    if (!target->primed) scope_add(scope, target->name, kind_of(stmt), target->at);
}

/** Adds what statements bind, blocks within them too. */
void scope_add_body(Scope *scope, const StmtList *body) {
    Map here; /* a name may be bound anew in a `repeat`, but not in the same block */
    map_init(&here, scope->arena);
    for (int i = 0; i < body->len; i++) {
        const Stmt *stmt = body->at[i];
        for (int j = 0; j < stmt->targets.len; j++) {
            const Target *target = &stmt->targets.at[j];
            if (binds(stmt)) add_target(scope, &here, stmt, target);
            note_indices(scope, &target->indices);
        }
        note_expr(scope, stmt->value);
        for (int j = 0; j < stmt->where.len; j++) {
            note_indices(scope, &stmt->where.at[j]->targets.at[0].indices);
            note_expr(scope, stmt->where.at[j]->value);
        }
        scope_add_body(scope, &stmt->body);
    }
}

static bool is_reserved_index(Name name) {
    static const char *const words[] = {"batch", "data", "batches", "weights", "examples"};
    for (int i = 0; i < LENGTH(words); i++) {
        if (strcmp(name, words[i]) == 0) return true;
    }
    return false;
}

/** Binds the indices in brackets; an index may not be called like a tensor. */
void scope_bind_indices(Scope *scope, const IndexList *indices) {
    for (int i = 0; i < indices->len; i++) {
        const Index *index = &indices->at[i];
        if (!index->name) continue;
        const Local *local = scope_local(scope, index->name);
        if (local && local->kind != LOCAL_EXTENT && !is_reserved_index(index->name)) {
            diag_error(index->at, "E0204", "the index `%s` has the name of %s", index->name,
                       local->kind == LOCAL_ARGUMENT ? "an argument" : "a local");
            diag_note(local->at, "declared here");
            if (!index->extent) diag_help("give the index a name of its own: [i: %s]", index->name);
        }
        VEC_PUSH(scope->arena, scope->inner, ((Local){index->name, LOCAL_EXTENT, index->at}));
    }
}

/** Checks what stands after `:` or instead of a name between brackets. */
void scope_extents(Scope *scope, const IndexList *indices) {
    for (int i = 0; i < indices->len; i++)
        scope_expr(scope, indices->at[i].extent);
}

typedef VEC(Name) NameList;

static void push_keys(Arena *arena, NameList *list, const Map *map) {
    for (int i = 0; i < map->slots.len; i++)
        VEC_PUSH(arena, *list, map->slots.at[i].key);
}

static Name suggestion(const Scope *scope, Name name) {
    NameList list = {0};
    for (int i = scope->inner.len - 1; i >= 0; i--)
        VEC_PUSH(scope->arena, list, scope->inner.at[i].name);
    push_keys(scope->arena, &list, &scope->locals);
    push_keys(scope->arena, &list, &scope->module->defs);
    push_keys(scope->arena, &list, &scope->module->models);
    int count;
    const Name *builtins = builtin_all(&count);
    for (int i = 0; i < count; i++)
        VEC_PUSH(scope->arena, list, builtins[i]);
    return name_nearest(name, list.at, (size_t)list.len);
}

/** Tells that a name means nothing at its place, and what may have been meant. */
void scope_unknown(const Scope *scope, Name name, Span at) {
    const Span *index = map_get(&scope->indices, name);
    if (index) {
        diag_error(at, "E0203", "`%s` is used outside the brackets that bind it", name);
        diag_note(*index, "`%s` is bound here", name);
        diag_help("a reduction ends before `+` and `-`: put its body in brackets to go on");
        return;
    }
    diag_error(at, "E0201", "unknown name `%s`", name);
    Name near = suggestion(scope, name);
    if (near) diag_help("did you mean `%s`?", near);
}

static bool is_known(const Scope *scope, Name name) {
    return scope_inner(scope, name) || scope_local(scope, name) ||
           map_get(&scope->module->defs, name) || map_get(&scope->module->models, name) ||
           builtin_is(name);
}

static const Param *param_of(const Decl *def, Name name) {
    for (int i = 0; i < def->params.len; i++) {
        if (def->params.at[i].name == name) return &def->params.at[i];
    }
    return NULL;
}

static void check_named_arg(const Scope *scope, const Decl *def, const Arg *arg) {
    if (param_of(def, arg->name)) return;
    NameList list = {0};
    const char *text = "";
    for (int i = 0; i < def->params.len; i++) {
        VEC_PUSH(scope->arena, list, def->params.at[i].name);
        text = arena_printf(scope->arena, "%s%s%s", text, i ? ", " : "", def->params.at[i].name);
    }
    diag_error(arg->at, "E0401", "`%s` has no argument `%s`", def->name, arg->name);
    Name near = name_nearest(arg->name, list.at, (size_t)list.len);
    if (near) diag_help("did you mean `%s`?", near);
    diag_note(def->at, "its arguments: %s", list.len ? text : "none");
}

/* The arguments of a call to a def that is named directly. */
static void check_args(const Scope *scope, const Expr *call) {
    const Expr *base = call->base;
    if (base->kind != EXPR_NAME || scope_inner(scope, base->name)) return;
    if (scope_local(scope, base->name)) return;
    const Decl *def = map_get(&scope->module->defs, base->name);
    bool named = false;
    for (int i = 0; i < call->args.len; i++) {
        const Arg *arg = &call->args.at[i];
        if (named && !arg->name) {
            diag_error(arg->at, "E0404", "an argument by position after one by name");
            diag_help("values by position come first");
        }
        named |= arg->name != NULL;
        for (int j = 0; j < i && arg->name; j++) {
            if (call->args.at[j].name == arg->name)
                diag_error(arg->at, "E0403", "`%s` is given twice", arg->name);
        }
        if (def && arg->name) check_named_arg(scope, def, arg);
    }
    if (def && call->args.len > def->params.len) {
        diag_error(call->at, "E0402", "`%s` takes %d argument%s, here are %d", def->name,
                   def->params.len, def->params.len == 1 ? "" : "s", call->args.len);
        diag_note(def->at, "declared here");
    }
}

static void check_path(Scope *scope, const Expr *expr) {
    bool paths = scope->paths;
    scope->paths = true;
    scope_expr(scope, expr);
    scope->paths = paths;
}

static void misplaced(const Scope *scope, const Expr *expr) {
    DeclKind kind = scope->decl->kind;
    bool body = kind == DECL_DEF || kind == DECL_MODEL;
    if (expr->kind == EXPR_ON && (body || kind == DECL_DATA))
        diag_error(expr->at, "E0111", "`on` selects parameters in `train`, not here");
    if (expr->kind == EXPR_WHEN && kind != DECL_DATA)
        diag_error(expr->at, "E0111", "`when` selects examples in `data`, not here");
}

/** Checks the names in an expression (NULL is allowed) and the arguments of its calls. */
void scope_expr(Scope *scope, const Expr *expr) {
    if (!expr) return;
    int mark = scope->inner.len;
    switch (expr->kind) {
    case EXPR_NAME:
    case EXPR_PACK:
        if (!scope->paths && !is_known(scope, expr->name))
            scope_unknown(scope, expr->name, expr->at);
        return;
    case EXPR_PRIMED:
        if (!scope_local(scope, expr->name)) scope_unknown(scope, expr->name, expr->at);
        return;
    case EXPR_REDUCE:
        scope_extents(scope, &expr->indices);
        scope_bind_indices(scope, &expr->indices);
        scope_expr(scope, expr->a);
        scope->inner.len = mark;
        return;
    case EXPR_ON:
        misplaced(scope, expr);
        scope_expr(scope, expr->a);
        check_path(scope, expr->b);
        return;
    default:
        break;
    }
    misplaced(scope, expr);
    if (expr->kind == EXPR_CALL) check_args(scope, expr);
    scope_expr(scope, expr->base);
    scope_expr(scope, expr->a);
    scope_expr(scope, expr->b);
    scope_expr(scope, expr->c);
    scope_expr(scope, expr->outside);
    for (int i = 0; i < expr->args.len; i++)
        scope_expr(scope, expr->args.at[i].value);
}
