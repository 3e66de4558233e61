/* SPDX-License-Identifier: MIT
 * The names that are seen at a place of a declaration. Needs tree.h; used by scope.c, check.c and
 * keys.c alone. Does not hold types or shapes. */
#ifndef GRADUS_SCOPE_H
#define GRADUS_SCOPE_H
#include "tree.h"

typedef enum LocalKind {
    LOCAL_ARGUMENT,
    LOCAL_EXTENT,
    LOCAL_STATE,
    LOCAL_PARAM,
    LOCAL_VALUE
} LocalKind;

typedef struct Local {
    Name name;
    LocalKind kind;
    Span at;
} Local;

typedef struct Scope {
    const Module *module;
    const Decl *decl;
    Arena *arena;
    Map locals;       /* Name -> Local*: seen in the whole declaration */
    Map indices;      /* Name -> Span*: every index that is bound anywhere in it */
    VEC(Local) inner; /* indices and `where` names that are bound at this place, a stack */
    bool paths;       /* names of parameters and layers may stand here: unknown names pass */
} Scope;

void scope_init(Scope *scope, const Module *module, const Decl *decl);
void scope_add(Scope *scope, Name name, LocalKind kind, Span at);
void scope_add_params(Scope *scope, const ParamList *params);
/* Adds what the statements bind and notes their indices; tells what is bound twice. */
void scope_add_body(Scope *scope, const StmtList *body);
const Local *scope_local(const Scope *scope, Name name);
bool scope_inner(const Scope *scope, Name name);
/* Walks an expression: unknown names, indices out of place, arguments of known defs. */
void scope_expr(Scope *scope, const Expr *expr);
/* Binds indices for what follows; scope->inner.len before it undoes that. */
void scope_bind_indices(Scope *scope, const IndexList *indices);
void scope_extents(Scope *scope, const IndexList *indices);
void scope_unknown(const Scope *scope, Name name, Span at);
#endif
