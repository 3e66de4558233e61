/* SPDX-License-Identifier: MIT
 * Binds a def's header to what it is given: `x[c, h, w]`, `t: class`, numbers that can be set.
 * Needs front and ir. Runs no statement. */
#include "elab_internal.h"
#include <string.h>

static const char *header_text(Elab *e, const Param *p) {
    const char *text = arena_printf(e->arena, "%s[", p->name);
    for (int i = 0; i < p->indices.len; i++) {
        const Index *x = &p->indices.at[i];
        const char *part = x->name ? x->name
                           : x->extent && x->extent->kind == EXPR_NUMBER
                               ? arena_printf(e->arena, "%.0f", x->extent->number)
                               : "…";
        text = arena_printf(e->arena, "%s%s%s%s", text, i ? ", " : "", part, x->pack ? "..." : "");
    }
    return arena_printf(e->arena, "%s]", text);
}

static void shape_origin(Elab *e, const Value *v) {
    if (v->kind == VAL_TENSOR && v->node->at.file)
        fail_note(e, v->node->at, "%s comes from here", value_text(e, v));
    else if (v->at.file)
        fail_note(e, v->at, "%s comes from here", value_text(e, v));
}

static bool header_rank(Elab *e, const Param *p, const Value *v, Span at, int wanted, bool pack) {
    const char *who = e->scope->decl ? e->scope->decl->name : "this";
    if (fail(e, at, "E0330", "`%s` wants `%s`, %s%d dimension%s; it is given %s", who,
             header_text(e, p), pack ? "at least " : "", wanted, wanted == 1 ? "" : "s",
             value_text(e, v)))
        shape_origin(e, v);
    return false;
}

static bool header_differs(Elab *e, const Param *p, const Value *v, Span at, const char *name,
                           const Extents *x) {
    const char *who = e->scope->decl ? e->scope->decl->name : "this";
    if (fail(e, at, "E0331", "shapes differ in `%s`: `%s` is given %s, but `%s` is %s%s%s%s", who,
             header_text(e, p), value_text(e, v), name, shape_text(e, x->n, x->ext),
             *x->whose ? " in `" : "", x->whose, *x->whose ? "`" : "")) {
        shape_origin(e, v);
        const Value *other = *x->whose ? find_value(e, name_of(x->whose)) : NULL;
        if (other) shape_origin(e, other);
    }
    return false;
}

static bool header_index(Elab *e, const Param *p, const Index *index, const Value *v, Span at,
                         int n, const int64_t *ext) {
    Extents x = {.pack = index->pack, .n = n, .at = p->at, .whose = p->name};
    memcpy(x.ext, ext, sizeof *ext * (size_t)n);
    if (index->extent || (index->name && find_value(e, index->name))) { /* a number that is known */
        Expr name = {.kind = EXPR_NAME, .name = index->name, .at = index->at};
        Extents wanted = {.n = 1, .whose = ""};
        if (!extent_eval(e, index->extent ? index->extent : &name, &wanted.ext[0])) return false;
        if (n != 1 || wanted.ext[0] != ext[0])
            return header_differs(e, p, v, at, index->name ? index->name : header_text(e, p),
                                  &wanted);
        if (!index->name || !index->extent) return true;
    }
    const Extents *old = extents_find(e, index->name);
    if (!old) {
        Extents *keep = NEW(e->arena, Extents);
        *keep = x;
        map_put(&e->scope->extents, index->name, keep);
        return true;
    }
    if (old->n != n || memcmp(old->ext, ext, sizeof *ext * (size_t)n))
        return header_differs(e, p, v, at, index->name, old);
    return true;
}

static bool bind_dims(Elab *e, const Param *p, Value *v, Span at) {
    int rank = value_rank(v), packs = 0, length = 0;
    for (int i = 0; i < p->indices.len; i++) {
        const Index *x = &p->indices.at[i];
        const Extents *old = x->pack ? extents_find(e, x->name) : NULL;
        packs += x->pack && !old;
        length += x->pack ? (old ? old->n : 0) : 1;
    }
    int fixed = 0;
    for (int i = 0; i < p->indices.len; i++)
        fixed += !p->indices.at[i].pack;
    if (packs == 0 && length != rank && fixed != p->indices.len && rank >= fixed) {
        for (int i = 0, k = 0; i < p->indices.len; i++) /* a pack of another length */
            if (p->indices.at[i].pack)
                return header_differs(e, p, v, at, p->indices.at[i].name,
                                      extents_find(e, p->indices.at[i].name)) &&
                       k;
    }
    if (packs > 1 || rank < length || (packs == 0 && rank != length))
        return header_rank(e, p, v, at, length, packs > 0);
    Name *axes = NEW_ARRAY(e->arena, Name, rank + 1);
    static const int64_t nothing[1];
    const int64_t *ext = rank ? value_extent(v) : nothing;
    for (int i = 0, k = 0; i < p->indices.len; i++) {
        const Index *x = &p->indices.at[i];
        const Extents *old = x->pack ? extents_find(e, x->name) : NULL;
        int n = !x->pack ? 1 : old ? old->n : rank - length;
        if (!header_index(e, p, x, v, at, n, ext + k)) return false;
        for (int j = 0; j < n; j++)
            axes[k++] = x->name;
    }
    v->axes = axes;
    return true;
}

static bool bind_class(Elab *e, const Param *p, const Value *v, Span at) {
    const char *who = e->scope->decl ? e->scope->decl->name : "this";
    int64_t classes = v->kind == VAL_NUMBER ? v->classes : 0, wanted;
    if (!classes) {
        if (fail(e, at, "E0332", "`%s` wants a class for `%s`; it is given %s", who, p->name,
                 value_text(e, v)))
            shape_origin(e, v);
        return false;
    }
    Name name = p->classes && p->classes->kind == EXPR_NAME ? p->classes->name : NULL;
    if (name && !find_value(e, name) && !extents_find(e, name)) { /* `t: class[c]` binds c */
        Extents *x = NEW(e->arena, Extents);
        *x = (Extents){.n = 1, .ext = {classes}, .at = p->at, .whose = p->name};
        map_put(&e->scope->extents, name, x);
        return true;
    }
    if (p->classes && extent_eval(e, p->classes, &wanted) && wanted != classes) {
        fail(e, at, "E0332", "`%s` wants one of %lld classes for `%s`; it is given one of %lld",
             who, (long long)wanted, p->name, (long long)classes);
        return false;
    }
    return true;
}

bool bind_header(Elab *e, const Param *p, Value *value, Span at) {
    if (value->kind == VAL_DEF && (p->indexed || p->is_class) && value_is_generator(value))
        value = value_number(e, value, at);
    Value *v = value_new(e, value->kind, value->at);
    *v = *value;
    if (v->kind == VAL_ERROR) return false;
    bool ok = true;
    if (p->is_class)
        ok = bind_class(e, p, v, at);
    else if (p->indexed && v->kind != VAL_TENSOR && v->kind != VAL_NUMBER)
        ok = header_rank(e, p, v, at, p->indices.len, false);
    else if (p->indexed)
        ok = bind_dims(e, p, v, at);
    else if (v->kind == VAL_NUMBER && !v->fixed && e->scope->decl && e->scope->hyper &&
             (v->known || v->s->wide) &&
             !decl_structural(e->scope->decl, p->name, v->known && value_integer(v, &(int64_t){0})))
        v = settable_value(e, v, path_join(e->scope->hyper, p->name));
    map_put(&e->scope->values, p->name, v);
    return ok;
}
