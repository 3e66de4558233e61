/* SPDX-License-Identifier: MIT
 * The checks of a module that need names alone: defs and models; keys.c has trainings and data.
 * Needs scopes.
 * Does not know shapes, and leaves alone what a def means only where it is used. */
#include "scope.h"

/* A name alone in the brackets of a parameter is an extent: it must come from somewhere. */
static void check_param_extents(Scope *scope, const IndexList *indices) {
    for (int i = 0; i < indices->len; i++) {
        const Index *index = &indices->at[i];
        if (!index->name || index->extent) continue;
        if (!scope_local(scope, index->name) && !scope_inner(scope, index->name))
            scope_unknown(scope, index->name, index->at);
    }
}

static void bind_target(Scope *scope, const Stmt *stmt, const Target *target) {
    scope_extents(scope, &target->indices);
    bool extents = stmt->kind == STMT_PARAM || stmt->kind == STMT_STATE;
    if (stmt->kind == STMT_PARAM) check_param_extents(scope, &target->indices);
    if (!extents) {
        scope_bind_indices(scope, &target->indices);
        return;
    }
    /* `param W[units, d...]`: no new indices, but `state old[k: n]` has one. */
    for (int i = 0; i < target->indices.len; i++) {
        const Index *index = &target->indices.at[i];
        if (index->name)
            VEC_PUSH(scope->arena, scope->inner, ((Local){index->name, LOCAL_EXTENT, index->at}));
    }
}

static void check_primed(Scope *scope, const Target *target) {
    if (!target->primed) return;
    const Local *local = scope_local(scope, target->name);
    if (local && (local->kind == LOCAL_STATE || local->kind == LOCAL_ARGUMENT)) return;
    if (local) {
        diag_error(target->at, "E0209", "`%s` is not a state", target->name);
        diag_note(local->at, "declared here");
        return;
    }
    diag_error(target->at, "E0209", "there is no state `%s`", target->name);
    const Map *locals = &scope->locals;
    Name *names = NEW_ARRAY(scope->arena, Name, locals->slots.len + 1);
    for (int i = 0; i < locals->slots.len; i++)
        names[i] = locals->slots.at[i].key;
    Name near = name_nearest(target->name, names, (size_t)locals->slots.len);
    if (near)
        diag_help("did you mean `%s'`?", near);
    else
        diag_help("declare it: state %s = 0", target->name);
}

static void check_body(Scope *scope, const StmtList *body);

static void check_stmt(Scope *scope, const Stmt *stmt) {
    int mark = scope->inner.len;
    if (stmt->kind == STMT_DERIVATIVE) {
        const Target *target = &stmt->targets.at[0];
        if (!scope_local(scope, target->name)) scope_unknown(scope, target->name, target->at);
    }
    for (int i = 0; i < stmt->targets.len; i++) {
        if (stmt->kind == STMT_BIND) check_primed(scope, &stmt->targets.at[i]);
        bind_target(scope, stmt, &stmt->targets.at[i]);
    }
    for (int i = 0; i < stmt->where.len; i++) {
        const Stmt *binding = stmt->where.at[i];
        const Target *target = &binding->targets.at[0];
        int inner = scope->inner.len;
        bind_target(scope, binding, target);
        scope_expr(scope, binding->value);
        scope->inner.len = inner;
        VEC_PUSH(scope->arena, scope->inner, ((Local){target->name, LOCAL_VALUE, target->at}));
    }
    scope_expr(scope, stmt->value);
    check_body(scope, &stmt->body);
    scope->inner.len = mark;
}

static void check_body(Scope *scope, const StmtList *body) {
    for (int i = 0; i < body->len; i++)
        check_stmt(scope, body->at[i]);
}

/* Values, updates of an argument, and the statements that are a def's whole purpose. */
static bool gives_something(const Scope *scope, const StmtList *body) {
    for (int i = 0; i < body->len; i++) {
        const Stmt *stmt = body->at[i];
        if (stmt->kind == STMT_VALUE || stmt->kind == STMT_STOP_WHEN ||
            stmt->kind == STMT_EVALUATE_AT)
            return true;
        if (stmt->kind == STMT_REPEAT && gives_something(scope, &stmt->body)) return true;
        for (int j = 0; stmt->kind == STMT_BIND && j < stmt->targets.len; j++) {
            const Target *target = &stmt->targets.at[j];
            const Local *local = scope_local(scope, target->name);
            if (!target->primed || (local && local->kind == LOCAL_ARGUMENT)) return true;
        }
    }
    return false;
}

static void check_outputs(const ParamList *outputs) {
    for (int i = 0; i < outputs->len; i++) {
        for (int j = 0; j < i; j++) {
            if (outputs->at[i].name != outputs->at[j].name) continue;
            diag_error(outputs->at[i].at, "E0202", "`%s` is declared twice", outputs->at[i].name);
            diag_note(outputs->at[j].at, "first here");
            break;
        }
    }
}

/** Checks the names of a def or a model. */
void check_def(const Module *module, const Decl *decl) {
    Scope scope;
    scope_init(&scope, module, decl);
    scope_add_params(&scope, &decl->params);
    int errors = diag_errors();
    scope_add_body(&scope, &decl->body);
    const ParamList *lists[] = {&decl->params, &decl->outputs};
    for (int i = 0; i < LENGTH(lists); i++) {
        for (int j = 0; j < lists[i]->len; j++) {
            const Param *param = &lists[i]->at[j];
            scope_extents(&scope, &param->indices);
            scope_expr(&scope, param->classes);
            scope_expr(&scope, param->value);
        }
    }
    check_outputs(&decl->outputs);
    check_body(&scope, &decl->body);
    if (gives_something(&scope, &decl->body) || diag_errors() > errors) return;
    diag_error(decl->at, "E0208", "`%s` has no value", decl->name);
    diag_help("its value is its last expression or its last binding without `'`");
}

/** Checks every declaration of a module; the library's too. */
void check_module(const Module *module) {
    for (int i = 0; i < module->decls.len; i++) {
        const Decl *decl = module->decls.at[i];
        switch (decl->kind) {
        case DECL_DEF:
        case DECL_MODEL:
            check_def(module, decl);
            break;
        case DECL_DATA:
        case DECL_TRAIN:
            check_keys(module, decl);
            break;
        default:
            break;
        }
    }
    for (int i = 0; i < module->trains.len; i++) {
        for (int j = 0; j < i; j++) {
            const Decl *a = module->trains.at[j], *b = module->trains.at[i];
            if (!b->name || a->name != b->name) continue;
            diag_error(b->at, "E0202", "the training `%s` is declared twice", b->name);
            diag_note(a->at, "first here");
        }
    }
}
