/* SPDX-License-Identifier: MIT
 * Rebuilds scalars with other dimensions or other leaves, and visits their reads.
 * Needs base and ir.h.
 * Decides nothing: what replaces what is the caller's business. */
#include "intern.h"

typedef struct Rebuild {
    Graph *g;
    Map done;
    const Ix *const *map; /* substitution of dimensions */
    int nmap;
    const int64_t *extents;
    const Scalar *(*leaf)(Graph *, const Scalar *, void *); /* rewriting of leaves, or NULL */
    void *context;
} Rebuild;
static const Scalar *rebuild(Rebuild *r, const Scalar *s);

static const Scalar *rebuild_value(Graph *g, const Scalar *value, void *context) {
    (void)g;
    return rebuild(context, value);
}

static const Ix *rebuild_ix(Rebuild *r, const Ix *ix) {
    return ix_rebuild(r->g, ix, r->map, r->nmap, r->extents, rebuild_value, r);
}

static const Scalar *rebuild_new(Rebuild *r, const Scalar *s) {
    const Ix *at[MAX_RANK];
    const Scalar *arg[3] = {0};
    for (int i = 0; i < 3; i++)
        arg[i] = s->arg[i] ? rebuild(r, s->arg[i]) : NULL;
    switch (s->kind) {
    case SC_CONST:
        return s;
    case SC_INDEX:
        return sc_index(r->g, rebuild_ix(r, s->ix));
    case SC_OP:
        return sc_op(r->g, s->op, arg[0], arg[1], arg[2]);
    case SC_DRAW:
        s = sc_draw(r->g, s->draw, arg[0], rebuild_ix(r, s->ix), s->place, s->shared);
        break;
    case SC_READ:
        for (int i = 0; i < s->node->rank; i++)
            at[i] = rebuild_ix(r, s->at[i]);
        s = sc_read(r->g, s->node, at, s->outside ? rebuild(r, s->outside) : NULL);
    }
    const Scalar *other =
        r->leaf && (s->kind == SC_READ || s->kind == SC_DRAW) ? r->leaf(r->g, s, r->context) : NULL;
    return other ? other : s;
}

static const Scalar *rebuild(Rebuild *r, const Scalar *s) {
    if (r->leaf ? !s->reads : !s->dims) return s;
    const Scalar *done = map_get(&r->done, s);
    if (!done) {
        done = rebuild_new(r, s);
        map_put(&r->done, s, (void *)done);
    }
    return done;
}

const Scalar *sc_subst(Graph *g, const Scalar *s, const Ix *const *map, int nmap,
                       const int64_t *extents) {
    Arena *scratch = arena_new();
    Rebuild r = {.g = g, .map = map, .nmap = nmap, .extents = extents};
    map_init(&r.done, scratch);
    const Scalar *result = rebuild(&r, s);
    arena_free(scratch);
    return result;
}

const Scalar *sc_rewrite(Graph *g, const Scalar *s,
                         const Scalar *(*leaf)(Graph *, const Scalar *, void *), void *context) {
    Arena *scratch = arena_new();
    Rebuild r = {.g = g, .leaf = leaf, .context = context};
    map_init(&r.done, scratch);
    const Scalar *result = rebuild(&r, s);
    arena_free(scratch);
    return result;
}

/* What was met: a few in place, so that short bodies need no arena; more in a map. */
typedef struct Visit {
    const Scalar *few[24];
    int n;
    Arena *scratch; /* NULL while few is enough */
    Map many;
    void (*visit)(const Scalar *read, void *);
    void *context;
} Visit;

static bool met(Visit *v, const Scalar *s) {
    for (int i = 0; i < v->n; i++)
        if (v->few[i] == s) return true;
    if (v->n < LENGTH(v->few)) {
        v->few[v->n++] = s;
        return false;
    }
    if (!v->scratch) {
        v->scratch = arena_new();
        map_init(&v->many, v->scratch);
    }
    if (map_has(&v->many, s)) return true;
    map_put(&v->many, s, (void *)s);
    return false;
}

static void visit_scalar(const Scalar *s, void *context) {
    Visit *v = context;
    if (!s || !s->reads || met(v, s)) return;
    if (s->kind == SC_READ) {
        v->visit(s, v->context);
        for (int i = 0; i < s->node->rank; i++)
            ix_values(s->at[i], visit_scalar, v);
    }
    if (s->ix) ix_values(s->ix, visit_scalar, v);
    for (int i = 0; i < 3; i++)
        visit_scalar(s->arg[i], v);
    visit_scalar(s->outside, v);
}

void sc_reads(const Scalar *s, void (*visit)(const Scalar *, void *), void *context) {
    Visit v;
    v.n = 0, v.scratch = NULL, v.visit = visit, v.context = context;
    visit_scalar(s, &v);
    arena_free(v.scratch);
}
