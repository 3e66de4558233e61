/* SPDX-License-Identifier: MIT
 * Warnings about what is allowed but probably not meant, from the tree alone; a function each.
 * Needs the tree. Changes nothing, and looks at the program's own defs only. */
#include "tree.h"
#include <string.h>

/* The same name, or the same element of the same tensor. */
static bool same(const Expr *a, const Expr *b) {
    if (!a || !b || a->kind != b->kind) return a == b;
    if (a->kind == EXPR_NAME || a->kind == EXPR_PACK) return a->name == b->name;
    if (a->kind == EXPR_NUMBER) return a->number == b->number;
    if (a->kind != EXPR_READ || !same(a->base, b->base) || a->args.len != b->args.len) return false;
    for (int i = 0; i < a->args.len; i++)
        if (!same(a->args.at[i].value, b->args.at[i].value)) return false;
    return true;
}

static bool is_zero(const Expr *x) {
    return x->kind == EXPR_NUMBER && x->number == 0;
}

static const Expr *default_of(const Decl *def, const Expr *x) {
    for (int i = 0; x->kind == EXPR_NAME && i < def->params.len; i++)
        if (def->params.at[i].name == x->name) return def->params.at[i].value;
    return x->kind == EXPR_NUMBER ? x : NULL;
}

/* The factor of `a * x` or `x * a`, where it is a number between -1 and 1 or has such a default. */
static const Expr *slope_of(const Decl *def, const Expr *product, const Expr *x) {
    if (!product || product->kind != EXPR_BINARY || strcmp(product->name, "*")) return NULL;
    const Expr *factor = same(product->b, x) ? product->a : same(product->a, x) ? product->b : NULL;
    const Expr *value = factor ? default_of(def, factor) : NULL;
    bool small = value && value->kind == EXPR_NUMBER && value->number < 1 && value->number > -1;
    return small ? factor : NULL;
}

/* `if x > 0 then a * x else x`, and the same said with `<`: the side that is cut down is the one
 * that such functions leave alone. */
static void exchanged_branches(const Decl *def, const Expr *e) {
    const Expr *test = e->a;
    if (e->kind != EXPR_IF || test->kind != EXPR_BINARY) return;
    bool greater = test->name[0] == '>', less = test->name[0] == '<';
    if ((!greater && !less) || is_zero(test->a) == is_zero(test->b)) return;
    const Expr *x = is_zero(test->b) ? test->a : test->b;
    if (x->kind != EXPR_NAME && x->kind != EXPR_READ) return;
    bool then_is_positive = greater == is_zero(test->b);
    const Expr *positive = then_is_positive ? e->b : e->c,
               *negative = then_is_positive ? e->c : e->b;
    const Expr *factor = same(negative, x) ? slope_of(def, positive, x) : NULL;
    if (!factor) return;
    const char *name = x->kind == EXPR_READ && x->base->name ? x->base->name : x->name;
    diag_warning(e->at, "W0401",
                 "positive `%s` is scaled down and negative passes unchanged: are the branches "
                 "exchanged?",
                 name ? name : "x");
    diag_help("a slope for the negative side is written `if %s > 0 then %s else a * %s`",
              name ? name : "x", name ? name : "x", name ? name : "x");
}

static void lint_expr(const Decl *def, const Expr *e) {
    if (!e) return;
    exchanged_branches(def, e);
    const Expr *parts[] = {e->base, e->a, e->b, e->c, e->outside};
    for (int i = 0; i < LENGTH(parts); i++)
        lint_expr(def, parts[i]);
    for (int i = 0; i < e->args.len; i++)
        lint_expr(def, e->args.at[i].value);
}

static void lint_body(const Decl *def, const StmtList *body) {
    for (int i = 0; i < body->len; i++) {
        const Stmt *stmt = body->at[i];
        lint_expr(def, stmt->value);
        for (int j = 0; j < stmt->where.len; j++)
            lint_expr(def, stmt->where.at[j]->value);
        lint_body(def, &stmt->body);
    }
}

/** Warns about the program's own defs and models. */
void lint_module(const Module *module) {
    for (int i = 0; i < module->decls.len; i++) {
        const Decl *decl = module->decls.at[i];
        if (decl->library || (decl->kind != DECL_DEF && decl->kind != DECL_MODEL)) continue;
        lint_body(decl, &decl->body);
    }
}
