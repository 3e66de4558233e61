/* SPDX-License-Identifier: MIT
 * Builders of tree nodes for the parser's actions, and the limit on how deep trees may be.
 * Needs ast.h and arenas.
 * Does not check names or meaning. */
#include "tree.h"
#include "parser.h"

/* What recursive walks over the tree follow without fear for the stack. */
enum { DEEPEST = 1000 };

/** A new expression of this kind. */
Expr *build_expr(Parse *parse, ExprKind kind, Span at) {
    Expr *expr = NEW(parse->arena, Expr);
    expr->kind = kind;
    expr->at = at;
    return expr;
}

/** `text` a */
Expr *build_unary(Parse *parse, const char *text, Expr *a, Span at) {
    Expr *expr = build_pair(parse, EXPR_UNARY, a, NULL, at);
    expr->name = name_of(text);
    return expr;
}

/** a `text` b */
Expr *build_binary(Parse *parse, const char *text, Expr *a, Expr *b, Span at) {
    Expr *expr = build_pair(parse, EXPR_BINARY, a, b, at);
    expr->name = name_of(text);
    return expr;
}

/** An expression with the operands a and b (maybe NULL). */
Expr *build_pair(Parse *parse, ExprKind kind, Expr *a, Expr *b, Span at) {
    Expr *expr = build_expr(parse, kind, at);
    expr->a = a;
    expr->b = b;
    return expr;
}

/** A new statement of this kind. */
Stmt *build_stmt(Parse *parse, StmtKind kind, Span at) {
    Stmt *stmt = NEW(parse->arena, Stmt);
    stmt->kind = kind;
    stmt->at = at;
    return stmt;
}

/** `target = value` of one of the kinds that have a target. */
Stmt *build_binding(Parse *parse, StmtKind kind, const Target *target, Expr *value, Span at) {
    Stmt *stmt = build_stmt(parse, kind, at);
    VEC_PUSH(parse->arena, stmt->targets, *target);
    stmt->value = value;
    return stmt;
}

/** `expect value`, `expect curve ...`, `expect equal over ...` */
Stmt *build_expect(Parse *parse, const char *what, Expr *value, Span at) {
    Stmt *stmt = build_stmt(parse, STMT_EXPECT, at);
    stmt->name = what ? name_of(what) : NULL;
    stmt->value = value;
    return stmt;
}

/** `train amount steps` or `train amount epochs` */
Stmt *build_run(Parse *parse, const char *unit, Expr *amount, Span at) {
    Stmt *stmt = build_stmt(parse, STMT_RUN, at);
    stmt->name = name_of(unit);
    stmt->value = amount;
    return stmt;
}

/** What stands between brackets: a name alone may be an index or an extent. */
Index build_index(Expr *expr, Span at) {
    if (expr->kind == EXPR_NAME) return (Index){.name = expr->name, .at = at};
    return (Index){.extent = expr, .at = at};
}

/** A left-hand side; `indices` NULL where no brackets were written. */
Target build_target(Token token, const IndexList *indices, Span at) {
    Target target = {.name = token.name, .indexed = indices, .at = at};
    target.primed = token.kind == T_PRIMED;
    if (indices) target.indices = *indices;
    return target;
}

/** A declaration: `word` carries its doc comment, `name` its name and place. */
Decl *build_decl(Parse *parse, DeclKind kind, Token word, Token name) {
    Decl *decl = NEW(parse->arena, Decl);
    decl->kind = kind;
    decl->at = name.at;
    decl->name = name.name;
    decl->doc = word.text ? word.text : "";
    decl->library = source_get(parse->file)->library;
    return decl;
}

/* Cuts below `depth` levels; true where something was cut. */
static bool limit_expr(Expr **place, int depth);

static bool limit_indices(IndexList *indices, int depth) {
    bool cut = false;
    for (int i = 0; i < indices->len; i++)
        cut |= limit_expr(&indices->at[i].extent, depth);
    return cut;
}

static bool limit_expr(Expr **place, int depth) {
    Expr *expr = *place;
    if (!expr) return false;
    if (depth == 0) {
        *place = NULL;
        return true;
    }
    bool cut = limit_expr(&expr->base, depth - 1) || limit_expr(&expr->a, depth - 1) ||
               limit_expr(&expr->b, depth - 1) || limit_expr(&expr->c, depth - 1) ||
               limit_expr(&expr->outside, depth - 1) || limit_indices(&expr->indices, depth - 1);
    for (int i = 0; i < expr->args.len; i++)
        cut |= limit_expr(&expr->args.at[i].value, depth - 1);
    return cut;
}

static bool limit_stmts(StmtList *stmts, int depth) {
    bool cut = false;
    if (depth == 0) {
        cut = stmts->len > 0;
        stmts->len = 0;
    }
    for (int i = 0; i < stmts->len; i++) {
        Stmt *stmt = stmts->at[i];
        cut |= limit_expr(&stmt->value, DEEPEST);
        cut |= limit_stmts(&stmt->body, depth - 1) || limit_stmts(&stmt->where, 1);
        for (int j = 0; j < stmt->targets.len; j++)
            cut |= limit_indices(&stmt->targets.at[j].indices, DEEPEST);
    }
    return cut;
}

/** Diagnoses and empties a declaration whose tree is too deep to be walked. */
void build_limit(Parse *parse, Decl *decl) {
    (void)parse;
    enum { DEEPEST_BLOCK = 50 };
    bool cut = limit_stmts(&decl->body, DEEPEST_BLOCK);
    for (int i = 0; i < decl->params.len; i++) {
        Param *param = &decl->params.at[i];
        cut |= limit_expr(&param->value, DEEPEST) || limit_expr(&param->classes, DEEPEST) ||
               limit_indices(&param->indices, DEEPEST);
    }
    for (int i = 0; i < decl->outputs.len; i++) {
        cut |= limit_expr(&decl->outputs.at[i].classes, DEEPEST) ||
               limit_indices(&decl->outputs.at[i].indices, DEEPEST);
    }
    if (!cut) return;
    diag_error(decl->at, "E0109", "an expression or a block in here is nested too deeply");
    decl->body.len = 0;
    decl->params.len = decl->outputs.len = 0;
}
