/* SPDX-License-Identifier: MIT
 * Calls: arguments by position and by name, calls with leading arguments missing, chains.
 * Needs front. Bodies of defs are run by def.c, functions of the language by builtin.c. */
#include "elab_internal.h"
#include <string.h>

static const char *stage_name(const Stage *s) {
    return s->decl ? s->decl->name : s->builtin;
}

static Value *def_new(Elab *e, const Decl *decl, Name builtin, const Expr *site, Span at) {
    Value *v = value_new(e, VAL_DEF, at);
    Stage stage = {.decl = decl, .builtin = builtin, .site = site, .at = at};
    VEC_PUSH(e->arena, v->stages, stage);
    return v;
}

Value *def_value(Elab *e, const Decl *decl, const Expr *site, Span at) {
    return def_new(e, decl, NULL, site, at);
}

Value *builtin_value(Elab *e, Name name, const Expr *site, Span at) {
    return def_new(e, NULL, name, site, at);
}

/* ---- Which arguments are given */
static int find_param(const Decl *decl, Name name) {
    for (int i = 0; i < decl->params.len; i++)
        if (decl->params.at[i].name == name) return i;
    return -1;
}

int stage_missing(const Stage *s, int supplied) {
    if (!s->decl) return builtin_draws(s->builtin) ? 0 : 1 - (supplied + s->given.len > 0);
    bool filled[64] = {0};
    int n = s->decl->params.len < 64 ? s->decl->params.len : 64, missing = 0, at = 0;
    for (int i = 0; i < s->named.len; i++) {
        int p = find_param(s->decl, s->named.at[i].name);
        if (p >= 0 && p < n) filled[p] = true;
    }
    for (int left = supplied + s->given.len; left > 0 && at < n; at++)
        if (!filled[at]) filled[at] = true, left--;
    for (int i = 0; i < n; i++)
        missing += !filled[i] && !s->decl->params.at[i].value;
    return missing;
}

bool value_is_generator(const Value *v) {
    return v->kind == VAL_DEF && stage_missing(&v->stages.at[0], 0) == 0;
}

static void header_note(Elab *e, const Decl *decl) {
    const char *text = "";
    for (int i = 0; i < decl->params.len; i++)
        text = arena_printf(e->arena, "%s%s%s", text, i ? ", " : "", decl->params.at[i].name);
    fail_note(e, decl->at, "`%s(%s)` is declared here", decl->name, text);
}

static bool match_named(Elab *e, const Stage *s, Value **arg) {
    for (int i = 0; i < s->named.len; i++) {
        const Offer *o = &s->named.at[i];
        int p = find_param(s->decl, o->name);
        if (p >= 0) {
            if (!arg[p]) arg[p] = o->value;
        } else if (!o->value->fixed) { /* what is offered is taken by those that declare it */
            VEC(Name) names = {0};
            for (int k = 0; k < s->decl->params.len; k++)
                VEC_PUSH(e->arena, names, s->decl->params.at[k].name);
            if (fail(e, o->at, "E0401", "`%s` has no argument `%s`", stage_name(s), o->name)) {
                Name near = name_nearest(o->name, names.at, (size_t)names.len);
                header_note(e, s->decl);
                if (near) fail_help(e, "did you mean `%s`?", near);
            }
            return false;
        }
    }
    return true;
}

static void say_missing(Elab *e, const Stage *s, const Param *p, Span at, bool offered) {
    if (offered &&
        fail(e, at, "E0406", "`%s` wants a value; an initializer is offered fan_in and fan_out",
             stage_name(s))) {
        fail_help(e, "to apply `%s` to the layer's value write `-> %s` after the layer",
                  stage_name(s), stage_name(s));
        header_note(e, s->decl);
    } else if (!offered &&
               fail(e, at, "E0405", "`%s` is not given its argument `%s`", stage_name(s), p->name))
        header_note(e, s->decl);
}

/* Leading values, then those given by position, go to the arguments that have no name yet. */
static bool match(Elab *e, const Stage *s, Value **supplied, int n, Value **arg, Span at) {
    const ParamList *params = &s->decl->params;
    bool offered = false;
    for (int i = 0; i < s->named.len; i++)
        offered = offered || s->named.at[i].value->fixed;
    if (!match_named(e, s, arg)) return false;
    int next = 0, total = n + s->given.len;
    for (int i = 0; i < total; i++) {
        bool named = next < params->len && arg[next];
        while (next < params->len && arg[next] && arg[next]->fixed)
            next++, named = next < params->len && arg[next];
        if (named && i < n)
            while (next < params->len && arg[next])
                next++;
        else if (named) {
            fail(e, at, "E0403", "`%s` is given twice to `%s`", params->at[next].name,
                 stage_name(s));
            return false;
        }
        if (next >= params->len) {
            if (fail(e, at, "E0402", "`%s` takes %d arguments, it is given %d", stage_name(s),
                     params->len, total))
                header_note(e, s->decl);
            return false;
        }
        arg[next++] = i < n ? supplied[i] : s->given.at[i - n];
    }
    for (int i = 0; i < params->len; i++)
        if (!arg[i] && !params->at[i].value) {
            say_missing(e, s, &params->at[i], at, offered);
            return false;
        }
    return true;
}

/* ---- Calling one stage */
static void table_row(Elab *e, const Stage *s, Value *v, Name path, Span at) {
    if (e->scope->table != e->uses.len || e->mode != MODE_EVAL || e->quiet) return;
    Node *node = v->kind == VAL_TENSOR                            ? v->node
                 : v->kind == VAL_NUMBER && v->s->kind == SC_READ ? v->s->node
                                                                  : NULL;
    if (!node) return;
    LayerRow row = {
        .path = path ? path : stage_name(s), .def = stage_name(s), .output = node, .at = at};
    VEC_PUSH(e->arena, e->unit->layers, row);
}

/* In a chain a function of the language takes a whole value and gives one. */
static Value *call_builtin(Elab *e, const Stage *s, Value **supplied, int n, Span at) {
    ValueList all = {0};
    Frame frame = *e->frame, *outer = e->frame;
    frame.anon_ok = true;
    frame.nanon = -1;
    for (int i = 0; i < n + s->given.len; i++) {
        Value *v = i < n ? supplied[i] : s->given.at[i - n];
        if (v->kind == VAL_TENSOR) frame.nlhs = 0;
        VEC_PUSH(e->arena, all, v);
    }
    if (s->named.len && !s->named.at[0].value->fixed) {
        fail(e, at, "E0401", "`%s` has no named arguments", s->builtin);
        return value_error(e);
    }
    e->frame = &frame;
    Value *v = value_settle(e, builtin_call(e, s->builtin, all.at, all.len, at), NULL, at);
    frame_end(e, outer);
    table_row(e, s, v, NULL, at);
    watch_see(e, s, v, NULL, all.len ? all.at[0] : NULL);
    return v;
}

static Value *call_stage(Elab *e, const Stage *s, Value **supplied, int n, Span at, Name path,
                         Name hyper) {
    if (!s->decl) return call_builtin(e, s, supplied, n, at);
    Value **arg = NEW_ARRAY(e->arena, Value *, s->decl->params.len + 1);
    if (!match(e, s, supplied, n, arg, at)) return value_error(e);
    for (int i = 0; i < s->decl->params.len; i++)
        if (arg[i] && arg[i]->kind == VAL_ERROR) return arg[i];
    if (s->decl->kind == DECL_MODEL) {
        Value *v = model_call(e, s->decl, arg, at);
        table_row(e, s, v, s->decl->name, at);
        return v;
    }
    if (!path) {
        path = name_use(e, s->site, s->decl->name);
        size_t skip = e->scope->path ? strlen(e->scope->path) : 0;
        hyper =
            e->scope->hyper == e->scope->path
                ? path
                : path_join(e->scope->hyper, name_of(path + skip + (skip && path[skip] == '.')));
    }
    Value *v = run_decl(e, s->decl, arg, at, path, hyper);
    table_row(e, s, v, path, at);
    watch_see(e, s, v, path, arg[0]);
    return v;
}

Value *apply(Elab *e, Value *def, Value **supplied, int n, Span at, Name path, Name hyper) {
    Value *v = NULL;
    if (n == 1 && supplied[0]->kind == VAL_TUPLE) {
        n = supplied[0]->items.len;
        supplied = supplied[0]->items.at;
    }
    for (int i = 0; i < def->stages.len; i++) {
        const Stage *s = &def->stages.at[i];
        bool alone = def->stages.len == 1;
        Name step =
            alone || !path || !s->decl ? path : name_printf("%s.%s%d", path, s->decl->name, i + 1);
        v = call_stage(e, s, supplied, n, at.file && i == 0 && !s->at.file ? at : s->at, step,
                       alone || !hyper || !s->decl
                           ? hyper
                           : name_printf("%s.%s%d", hyper, s->decl->name, i + 1));
        if (v->kind == VAL_ERROR) return v;
        supplied = &v, n = 1;
        if (v->kind == VAL_TUPLE) n = v->items.len, supplied = v->items.at;
    }
    return v;
}

/* To an initializer the language itself offers the parameter's shape as a matrix: `rows`, its first
 * extent, and `columns`, the product of the others. */
static void offer_shape(Elab *e, Stage *stage, Span at) {
    double rows = 1, columns = 1;
    for (int i = 0; i < e->frame->nlhs; i++) {
        double extent = (double)e->extent[e->frame->lhs[i]];
        if (i == 0)
            rows = extent;
        else
            columns *= extent;
    }
    for (int i = 0; i < 2; i++) {
        Offer offer = {.name = name_of(i ? "columns" : "rows"), .at = at};
        bool given = false;
        for (int k = 0; k < stage->named.len; k++)
            given = given || stage->named.at[k].name == offer.name;
        if (given) continue;
        offer.value = value_const(e, i ? columns : rows, at);
        offer.value->fixed = true;
        VEC_PUSH(e->arena, stage->named, offer);
    }
}

/* Calling what a local name holds: named arguments are offers, taken by defs that declare them. A
 * number or a tensor stands for itself, so that `init = 0` is an initializer. */
static Value *with_offers(Elab *e, Value *def, const Offer *offers, int n) {
    Value *copy = value_new(e, VAL_DEF, def->at);
    *copy = *def;
    memset(&copy->stages, 0, sizeof copy->stages);
    for (int i = 0; i < def->stages.len; i++)
        VEC_PUSH(e->arena, copy->stages, def->stages.at[i]);
    Stage *first = &copy->stages.at[0];
    memset(&first->named, 0, sizeof first->named);
    for (int i = 0; i < def->stages.at[0].named.len; i++)
        VEC_PUSH(e->arena, first->named, def->stages.at[0].named.at[i]);
    for (int i = 0; i < n; i++)
        VEC_PUSH(e->arena, first->named, offers[i]);
    if (e->mode == MODE_INIT) offer_shape(e, first, def->at);
    return copy;
}

Value *apply_init(Elab *e, Value *def, Offer *offers, int n, Span at) {
    if (def->kind != VAL_DEF) return def;
    return apply(e, with_offers(e, def, offers, n), NULL, 0, at, e->scope->path, e->scope->hyper);
}

Value *apply_offered(Elab *e, Value *def, Offer *offers, int noffers, Value **supplied, int n,
                     Span at, Name path, Name hyper) {
    for (int i = 0; i < noffers; i++) {
        Value *fixed = value_new(e, offers[i].value->kind, at);
        *fixed = *offers[i].value;
        fixed->fixed = true;
        offers[i].value = fixed;
    }
    return apply(e, with_offers(e, def, offers, noffers), supplied, n, at, path, hyper);
}

/* ---- Call expressions */
static bool call_args(Elab *e, const Expr *x, Stage *stage, bool offers) {
    bool ok = true;
    for (int i = 0; i < x->args.len; i++) {
        const Arg *a = &x->args.at[i];
        Value *v = eval_arg(e, a->value);
        ok = ok && v->kind != VAL_ERROR;
        if (!a->name) {
            VEC_PUSH(e->arena, stage->given, v);
            continue;
        }
        if (offers && v->kind == VAL_NUMBER) {
            Value *fixed = value_new(e, VAL_NUMBER, v->at);
            *fixed = *v;
            fixed->fixed = true;
            v = fixed;
        }
        Offer offer = {.name = a->name, .value = v, .at = a->at};
        VEC_PUSH(e->arena, stage->named, offer);
    }
    return ok;
}

static Value *call_local(Elab *e, const Expr *x, Value *local) {
    Stage args = {0};
    if (!call_args(e, x, &args, true)) return value_error(e);
    if (local->kind != VAL_DEF && args.given.len) {
        fail(e, x->at, "E0416", "%s cannot be called", value_text(e, local));
        return value_error(e);
    }
    if (!args.given.len) return apply_init(e, local, args.named.at, args.named.len, x->at);
    Value *def = with_offers(e, local, args.named.at, args.named.len);
    return apply(e, def, args.given.at, args.given.len, x->at, NULL, NULL);
}

static bool constant_args(const Stage *s) {
    for (int i = 0; i < s->given.len; i++) {
        const Value *v = s->given.at[i];
        if (v->kind == VAL_TENSOR ||
            (v->kind == VAL_NUMBER && v->s->per_example) || (v->kind == VAL_NUMBER && v->s->dims))
            return false;
    }
    return true;
}

Value *eval_call(Elab *e, const Expr *x, bool delay, bool callable) {
    Name name = x->base->kind == EXPR_NAME ? x->base->name : NULL;
    Value *local = name ? find_value(e, name) : NULL;
    Value *special = e->claim ? claim_eval(e, x) : NULL;
    if (special) return special;
    if (local) return call_local(e, x, local);
    if (order_function(name) && !map_has(&e->module->defs, name)) return order_call(e, x);
    if (name && gradient_shape(name) >= 0) return gradient_call(e, x);
    Value *base = name && strcmp(name, "none") ? eval(e, x->base) : value_error(e);
    if (base->kind != VAL_DEF) {
        if (!name || base->kind != VAL_ERROR)
            fail(e, x->at, "E0416", "%s cannot be called", name ? value_text(e, base) : "this");
        for (int i = 0; i < x->args.len; i++)
            eval_arg(e, x->args.at[i].value); /* their faults too */
        return value_error(e);
    }
    Stage *stage = &base->stages.at[0];
    stage->site = x;
    stage->at = x->at;
    base->at = x->at;
    if (!stage->decl && !callable && !(delay && builtin_draws(name))) { /* plain functions */
        ValueList args = {0};
        for (int i = 0; i < x->args.len; i++) {
            if (x->args.at[i].name) {
                fail(e, x->args.at[i].at, "E0401", "`%s` has no named arguments", name);
                return value_error(e);
            }
            const Expr *arg = x->args.at[i].value;
            VEC_PUSH(e->arena, args, tensor_call_known(name) ? eval_arg(e, arg) : eval(e, arg));
        }
        return builtin_call(e, name, args.at, args.len, x->at);
    }
    if (!call_args(e, x, stage, false)) return value_error(e);
    bool wants_value = stage->decl && stage->decl->params.len && !stage->decl->params.at[0].value;
    if (callable || (delay && (!wants_value || constant_args(stage)))) return base;
    if (stage_missing(stage, 0) > 0 && stage->decl)
        return base; /* the place where it stands supplies the rest */
    return apply(e, base, NULL, 0, x->at, NULL, NULL);
}

Value *eval_callable(Elab *e, const Expr *x) {
    if (x->kind == EXPR_CALL) {
        Value *local = x->base->kind == EXPR_NAME ? find_value(e, x->base->name) : NULL;
        return local ? eval_arg(e, x) : eval_call(e, x, true, true);
    }
    if (x->kind != EXPR_CHAIN) return eval_arg(e, x);
    Value *a = eval_callable(e, x->a), *b = eval_callable(e, x->b);
    if (a->kind != VAL_DEF || b->kind != VAL_DEF) return a->kind == VAL_ERROR ? a : b;
    Value *chain = value_new(e, VAL_DEF, x->at);
    for (int i = 0; i < a->stages.len + b->stages.len; i++)
        VEC_PUSH(e->arena, chain->stages,
                 i < a->stages.len ? a->stages.at[i] : b->stages.at[i - a->stages.len]);
    return chain;
}

Value *eval_chain(Elab *e, const Expr *x) {
    Value *a = x->a->kind == EXPR_CHAIN ? eval_chain(e, x->a) : eval_arg(e, x->a);
    Value *b = eval_callable(e, x->b);
    if (a->kind == VAL_ERROR || b->kind == VAL_ERROR) return value_error(e);
    if (b->kind != VAL_DEF) {
        if (fail(e, x->b->at, "E0416", "`->` gives its value to a def, this is %s",
                 value_text(e, b)))
            fail_help(
                e, "on the right of `->` stands a def or a call with its first argument missing");
        return value_error(e);
    }
    if (a->kind == VAL_DEF) {
        Value *chain = value_new(e, VAL_DEF, x->at);
        for (int i = 0; i < a->stages.len; i++)
            VEC_PUSH(e->arena, chain->stages, a->stages.at[i]);
        for (int i = 0; i < b->stages.len; i++)
            VEC_PUSH(e->arena, chain->stages, b->stages.at[i]);
        return chain;
    }
    return apply(e, b, &a, 1, x->b->at, NULL, NULL);
}
