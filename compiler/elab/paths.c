/* SPDX-License-Identifier: MIT
 * Paths of parameters and hyperparameters: `conv1.W` by kind and order, `stem.W` where the value
 * is named; and what the text of a def says before it is used (has it parameters, which of its
 * arguments change shapes). Needs front. Makes no nodes. */
#include "elab_internal.h"
#include <string.h>

Name path_join(Name prefix, Name name) {
    if (!prefix || !*prefix) return name;
    return name ? name_printf("%s.%s", prefix, name) : prefix;
}

static const Decl *decl_of(Elab *e, Name name) {
    const Decl *decl = map_get(&e->module->defs, name);
    return decl ? decl : map_get(&e->module->models, name);
}

/* ---- Has a def parameters or states, itself or in what it uses? */
static bool body_has_params(Elab *e, const StmtList *body) {
    for (int i = 0; i < body->len; i++) {
        const Stmt *s = body->at[i];
        int uses = 0, with = 0;
        if (s->kind == STMT_PARAM || s->kind == STMT_STATE) return true;
        if (s->value) count_uses(e, s->value, &uses, &with);
        if (with || body_has_params(e, &s->body)) return true;
    }
    return false;
}

bool decl_has_params(Elab *e, const Decl *decl) {
    enum { NO = 1, YES, LOOKING };
    static char mark[4];
    const char *known = map_get(&e->has_params, decl);
    if (known) return known == &mark[YES];
    map_put(&e->has_params, decl, &mark[LOOKING]);
    bool has = body_has_params(e, &decl->body);
    map_put(&e->has_params, decl, &mark[has ? YES : NO]);
    return has;
}

/* ---- Uses of defs in an expression. Named arguments hold defs that are not uses here. */
static void count_use(Elab *e, Name name, int *uses, int *with) {
    const Decl *decl = decl_of(e, name);
    if (!decl && !find_value(e, name)) return;
    ++*uses;
    *with += decl && decl_has_params(e, decl);
}

void count_uses(Elab *e, const Expr *x, int *uses, int *with) {
    if (!x) return;
    switch (x->kind) {
    case EXPR_CHAIN:
        count_uses(e, x->a, uses, with);
        if (x->b && x->b->kind == EXPR_NAME)
            count_use(e, x->b->name, uses, with);
        else
            count_uses(e, x->b, uses, with);
        return;
    case EXPR_CALL:
        if (x->base && x->base->kind == EXPR_NAME && decl_of(e, x->base->name))
            count_use(e, x->base->name, uses, with);
        for (int i = 0; i < x->args.len; i++)
            if (!x->args.at[i].name) count_uses(e, x->args.at[i].value, uses, with);
        return;
    case EXPR_TUPLE:
    case EXPR_READ:
        count_uses(e, x->base, uses, with);
        for (int i = 0; i < x->args.len; i++)
            count_uses(e, x->args.at[i].value, uses, with);
        return;
    default:
        count_uses(e, x->a, uses, with);
        count_uses(e, x->b, uses, with);
        count_uses(e, x->c, uses, with);
    }
}

/* The name is kept by scope, place in the text and number of the visit, so that every program gives
 * a use the same name although a branch may be built in one and not in another. */
Name name_use(Elab *e, const void *site, Name kind) {
    const Frame *f = e->frame;
    Name prefix = e->scope->path ? e->scope->path : "";
    Name visit = name_printf("%s@%p", prefix, site);
    int *count = MAP_NEW(&e->visits, visit, int);
    Name key = name_printf("%s@%p#%d", prefix, site, (*count)++);
    Name known = map_get(&e->site_names, key);
    if (known) return known;
    Name base = f->use ? path_join(e->scope->path, f->use) : e->scope->path;
    const Decl *decl = decl_of(e, kind);
    bool bare =
        f->use && (f->uses == 1 || (f->with_params == 1 && decl && decl_has_params(e, decl)));
    Name stem = bare ? base : path_join(base, kind);
    int *ordinal = MAP_NEW(&e->ordinals, stem, int);
    ++*ordinal;
    Name name = bare && *ordinal == 1 ? stem : name_printf("%s%d", stem, *ordinal);
    map_put(&e->site_names, key, (void *)(uintptr_t)name);
    return name;
}

/* ---- Does an argument of a def decide shapes? Then it cannot be set at run time. */
static bool mentions(const Expr *x, Name arg) {
    if (!x) return false;
    if (x->kind == EXPR_NAME && x->name == arg) return true;
    for (int i = 0; i < x->args.len; i++)
        if (mentions(x->args.at[i].value, arg)) return true;
    for (int i = 0; i < x->indices.len; i++)
        if (mentions(x->indices.at[i].extent, arg)) return true;
    return mentions(x->base, arg) || mentions(x->a, arg) || mentions(x->b, arg) ||
           mentions(x->c, arg) || mentions(x->outside, arg);
}

static bool index_mentions(const IndexList *list, Name arg) {
    for (int i = 0; i < list->len; i++)
        if (list->at[i].name == arg || mentions(list->at[i].extent, arg)) return true;
    return false;
}

static bool expr_structural(const Expr *x, Name arg, bool integer) {
    if (!x) return false;
    if (x->kind == EXPR_REDUCE && index_mentions(&x->indices, arg)) return true;
    for (int i = 0; i < x->args.len; i++) {
        const Expr *value = x->args.at[i].value;
        bool shapes = x->kind == EXPR_READ ||
                      (x->kind == EXPR_CALL && integer && !builtin_known(x->base->name));
        if ((shapes && mentions(value, arg)) || expr_structural(value, arg, integer)) return true;
    }
    return expr_structural(x->base, arg, integer) || expr_structural(x->a, arg, integer) ||
           expr_structural(x->b, arg, integer) || expr_structural(x->c, arg, integer) ||
           expr_structural(x->outside, arg, integer);
}

static bool body_structural(const StmtList *body, Name arg, bool integer) {
    for (int i = 0; i < body->len; i++) {
        const Stmt *s = body->at[i];
        for (int j = 0; j < s->targets.len; j++)
            if (index_mentions(&s->targets.at[j].indices, arg)) return true;
        if ((s->kind == STMT_REPEAT && mentions(s->value, arg)) ||
            expr_structural(s->value, arg, integer) || body_structural(&s->body, arg, integer) ||
            body_structural(&s->where, arg, integer))
            return true;
    }
    return false;
}

bool decl_structural(const Decl *decl, Name arg, bool integer) {
    for (int i = 0; i < decl->params.len; i++)
        if (index_mentions(&decl->params.at[i].indices, arg) ||
            (integer && mentions(decl->params.at[i].value, arg)))
            return true;
    return body_structural(&decl->body, arg, integer);
}
