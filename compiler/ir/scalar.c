/* SPDX-License-Identifier: MIT
 * Makes scalars: interning, derived flags, leaves.
 * Needs base and ir.h.
 * Does not fold operators (fold.c) or rebuild scalars (rewrite.c). */
#include "intern.h"
#include <string.h>

static uint64_t bits_of(double value) {
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

static bool same_scalar(const void *left, const void *right) {
    const Scalar *a = left, *b = right;
    if (a->kind != b->kind || bits_of(a->value) != bits_of(b->value) || a->ix != b->ix ||
        a->node != b->node || a->outside != b->outside || a->op != b->op || a->draw != b->draw ||
        a->place != b->place || a->shared != b->shared || memcmp(a->arg, b->arg, sizeof a->arg))
        return false;
    return !a->node || !a->node->rank ||
           !memcmp(a->at, b->at, sizeof *a->at * (size_t)a->node->rank);
}

/* Takes over what `part` depends on. */
static void depend(Scalar *s, bool *narrow, const Scalar *part) {
    if (!part) return;
    s->dims |= part->dims;
    s->per_example |= part->per_example;
    s->reads |= part->reads;
    s->draws |= part->draws;
    s->draws_own |= part->draws_own;
    *narrow |= part->reads && !part->wide;
}

static void depend_ix(Scalar *s, bool *narrow, const Ix *ix) {
    IxFacts facts = ix_facts(ix);
    s->dims |= ix_dims(ix);
    s->per_example |= facts.per_example;
    s->reads |= facts.reads;
    s->draws |= facts.draws;
    s->draws_own |= facts.draws_own;
    *narrow |= facts.narrow;
}

static void set_flags(Scalar *s) {
    bool narrow = s->kind == SC_DRAW;
    if (s->ix) depend_ix(s, &narrow, s->ix);
    for (int i = 0; i < 3; i++)
        depend(s, &narrow, s->arg[i]);
    depend(s, &narrow, s->outside);
    if (s->kind == SC_DRAW) {
        s->reads = s->draws = true;
        s->draws_own |= !s->shared;
        s->per_example |= !s->shared;
    }
    if (s->kind == SC_READ) {
        s->reads = true;
        s->per_example |= s->node->per_example;
        narrow |= !s->node->wide;
        for (int i = 0; i < s->node->rank; i++)
            depend_ix(s, &narrow, s->at[i]);
    }
    s->wide = s->reads && !narrow;
}

static const Scalar *intern(Graph *g, const Scalar *key) {
    uint32_t hash = hash_mix(5, (uint64_t)key->kind << 40 | (uint64_t)key->op << 32 | key->place);
    hash = hash_mix(hash, bits_of(key->value));
    hash = hash_mix(hash, (uint64_t)key->draw << 1 | key->shared);
    hash = hash_mix(hash, key->ix ? key->ix->id + 1u : 0u);
    hash = hash_mix(hash, key->outside ? key->outside->id + 1u : 0u);
    for (int i = 0; i < 3; i++)
        hash = hash_mix(hash, key->arg[i] ? key->arg[i]->id + 1u : 0u);
    if (key->node) {
        hash = hash_mix(hash, key->node->id);
        for (int i = 0; i < key->node->rank; i++)
            hash = hash_mix(hash, key->at[i]->id);
    }
    Scalar probe = *key;
    probe.hash = hash;
    Scalar *found = table_find(&tables_of(g)->scalar, &probe, same_scalar);
    if (found) return found;
    Scalar *s = NEW(g->arena, Scalar);
    *s = probe;
    if (key->node) {
        const Ix **at = NEW_ARRAY(g->arena, const Ix *, key->node->rank + 1);
        for (int i = 0; i < key->node->rank; i++)
            at[i] = key->at[i];
        s->at = at;
    }
    set_flags(s);
    table_add(g->arena, &tables_of(g)->scalar, s);
    return s;
}

const Scalar *sc_const(Graph *g, double value) {
    return intern(g, &(Scalar){.kind = SC_CONST, .value = value});
}

const Scalar *sc_index(Graph *g, const Ix *ix) {
    if (!ix->n) return sc_const(g, (double)ix->c);
    return intern(g, &(Scalar){.kind = SC_INDEX, .ix = ix});
}

const Scalar *sc_plain_op(Graph *g, Op op, const Scalar *a, const Scalar *b, const Scalar *c) {
    return intern(g, &(Scalar){.kind = SC_OP, .op = op, .arg = {a, b, c}});
}

const Scalar *sc_read(Graph *g, Node *node, const Ix *const *at, const Scalar *outside) {
    bool inside = true; /* all coordinates are constants within their extents */
    for (int i = 0; i < node->rank; i++) {
        int64_t c;
        if (!ix_is_const(at[i], &c))
            inside = false;
        else if (outside && (c < 0 || c >= node->extent[i]))
            return sc_number(g, outside);
    }
    if (inside) outside = NULL;
    if (outside) outside = sc_number(g, outside);
    if (node->kind == NODE_COMP && node->reduce == RED_NONE && node->body->kind == SC_CONST &&
        (!outside || outside == node->body))
        return node->body;
    return intern(g, &(Scalar){.kind = SC_READ, .node = node, .at = at, .outside = outside});
}

const Scalar *sc_read_all(Graph *g, Node *node) {
    const Ix *at[MAX_RANK];
    for (int i = 0; i < node->rank; i++)
        at[i] = ix_dim(g, i);
    return sc_read(g, node, at, NULL);
}

const Scalar *sc_draw(Graph *g, Draw draw, const Scalar *p, const Ix *element, uint32_t place,
                      bool shared) {
    if ((draw == DRAW_BERNOULLI) != (p != NULL))
        bug("a draw has a probability where it is of 0 or 1, and only there");
    if (p) {
        p = sc_number(g, p);
        if (p->kind == SC_CONST && (p->value <= 0 || p->value >= 1))
            return sc_const(g, p->value >= 1);
    }
    return intern(g, &(Scalar){.kind = SC_DRAW,
                               .draw = draw,
                               .arg = {p},
                               .ix = element,
                               .place = place,
                               .shared = shared});
}

bool sc_is_const(const Scalar *s, double *value) {
    if (s->kind == SC_CONST && value) *value = s->value;
    return s->kind == SC_CONST;
}

/* ---- Order by structure */
#define ORDER(a, b)                                                                                \
    do {                                                                                           \
        if ((a) != (b)) return (a) < (b) ? -1 : 1;                                                 \
    } while (0)

int sc_compare(const Scalar *a, const Scalar *b) {
    if (a == b) return 0;
    if (!a || !b) return a ? 1 : -1;
    ORDER(a->kind, b->kind);
    ORDER(bits_of(a->value), bits_of(b->value));
    ORDER(a->op, b->op);
    ORDER(a->draw, b->draw);
    ORDER(a->place, b->place);
    ORDER(a->shared, b->shared);
    int order = 0;
    if (a->node) {
        ORDER(a->node->id, b->node->id);
        for (int i = 0; !order && i < a->node->rank; i++)
            order = ix_compare(a->at[i], b->at[i]);
    }
    if (!order && a->ix) order = ix_compare(a->ix, b->ix);
    for (int i = 0; !order && i < 3; i++)
        order = sc_compare(a->arg[i], b->arg[i]);
    return order ? order : sc_compare(a->outside, b->outside);
}
