/* SPDX-License-Identifier: MIT
 * Quasi-affine index forms: canonical sums, floor division, substitution, ranges.
 * Needs base and ir.h.
 * Solves nothing: inverting a map is the gradient pass's business. */
#include "intern.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* A form while it is being built: the same as Ix, on the stack. */
enum { MAX_TERMS = 48 };
typedef struct Form {
    int64_t c;
    int n;
    IxTerm term[MAX_TERMS];
} Form;

static int64_t floor_div(int64_t a, int64_t k) {
    return a / k - (a % k < 0);
}
static int64_t gcd(int64_t a, int64_t b) {
    a = llabs(a), b = llabs(b);
    while (b) {
        int64_t rest = a % b;
        a = b, b = rest;
    }
    return a;
}

/* ---- Order and identity */
static int three_way(int64_t a, int64_t b) {
    return (a > b) - (a < b);
}

static int atom_compare(const IxTerm *a, const IxTerm *b) {
    if (a->kind != b->kind) return three_way(a->kind, b->kind);
    switch (a->kind) {
    case ATOM_DIM:
        return three_way(a->dim, b->dim);
    case ATOM_FLOOR:
        return a->by != b->by ? three_way(a->by, b->by) : ix_compare(a->inner, b->inner);
    case ATOM_VALUE:
        return sc_compare(a->value, b->value);
    }
    return 0;
}

int ix_compare(const Ix *a, const Ix *b) {
    if (a == b) return 0;
    for (int i = 0; i < a->n && i < b->n; i++) {
        int order = atom_compare(&a->term[i], &b->term[i]);
        if (!order) order = three_way(a->term[i].coef, b->term[i].coef);
        if (order) return order;
    }
    return a->n != b->n ? three_way(a->n, b->n) : three_way(a->c, b->c);
}

static bool same_ix(const void *left, const void *right) {
    const Ix *a = left, *b = right;
    if (a->c != b->c || a->n != b->n) return false;
    for (int i = 0; i < a->n; i++) {
        const IxTerm *s = &a->term[i], *t = &b->term[i];
        if (s->coef != t->coef || s->kind != t->kind || s->dim != t->dim || s->inner != t->inner ||
            s->by != t->by || s->value != t->value)
            return false;
    }
    return true;
}

static const Ix *intern(Graph *g, const Form *f) {
    size_t size = sizeof(Ix) + sizeof(IxTerm) * (size_t)f->n;
    union {
        Ix ix;
        char bytes[sizeof(Ix) + sizeof f->term];
    } key;
    uint32_t hash = hash_mix(17, (uint64_t)f->c);
    for (int i = 0; i < f->n; i++) {
        const IxTerm *t = &f->term[i];
        hash = hash_mix(hash, (uint64_t)t->coef);
        hash = hash_mix(hash, (uint64_t)t->kind << 32 | (uint64_t)t->dim);
        if (t->kind == ATOM_FLOOR) hash = hash_mix(hash, (uint64_t)t->by << 32 ^ t->inner->id);
        if (t->kind == ATOM_VALUE) hash = hash_mix(hash, t->value->id);
    }
    key.ix.id = 0, key.ix.hash = hash, key.ix.c = f->c, key.ix.n = f->n;
    memcpy(key.bytes + offsetof(Ix, term), f->term, sizeof(IxTerm) * (size_t)f->n);
    Ix *ix = table_find(&tables_of(g)->ix, &key, same_ix);
    if (!ix) {
        ix = arena_alloc(g->arena, size);
        memcpy(ix, &key, size);
        table_add(g->arena, &tables_of(g)->ix, ix);
    }
    return ix;
}

/* ---- Sums */
static void add_term(Form *f, int64_t coef, const IxTerm *atom) {
    if (!coef) return;
    int i = 0, order = 1;
    while (i < f->n && (order = atom_compare(&f->term[i], atom)) < 0)
        i++;
    if (i < f->n && !order) {
        f->term[i].coef += coef;
        if (!f->term[i].coef)
            memmove(&f->term[i], &f->term[i + 1], sizeof(IxTerm) * (size_t)(--f->n - i));
        return;
    }
    if (f->n == MAX_TERMS) bug("index form of more than %d terms", MAX_TERMS);
    memmove(&f->term[i + 1], &f->term[i], sizeof(IxTerm) * (size_t)(f->n++ - i));
    f->term[i] = *atom;
    f->term[i].coef = coef;
}

static void add_form(Form *f, int64_t scale, const Ix *a) {
    f->c += scale * a->c;
    for (int i = 0; i < a->n; i++)
        add_term(f, scale * a->term[i].coef, &a->term[i]);
}

static const Ix *combine(Graph *g, const Ix *a, int64_t scale, const Ix *b) {
    Form f;
    f.c = 0, f.n = 0;
    add_form(&f, 1, a);
    add_form(&f, scale, b);
    return intern(g, &f);
}

static const Ix *single(Graph *g, const IxTerm *term) {
    Form f;
    f.c = 0, f.n = 1, f.term[0] = *term;
    return intern(g, &f);
}

const Ix *ix_const(Graph *g, int64_t c) {
    Form f;
    f.c = c, f.n = 0;
    return intern(g, &f);
}

const Ix *ix_dim(Graph *g, int dim) {
    if (dim < 0 || dim >= MAX_DIMS) bug("dimension %d of an index form", dim);
    return single(g, &(IxTerm){.coef = 1, .kind = ATOM_DIM, .dim = dim});
}

const Ix *ix_value(Graph *g, const Scalar *value) {
    value = sc_number(g, value);
    while (value->kind == SC_OP && value->op == OP_FLOOR)
        value = value->arg[0]; /* it is rounded down here anyway */
    if (value->kind == SC_INDEX) return value->ix;
    if (value->kind == SC_CONST && fabs(value->value) < 0x1p53)
        return ix_const(g, (int64_t)floor(value->value));
    return single(g, &(IxTerm){.coef = 1, .kind = ATOM_VALUE, .value = value});
}

const Ix *ix_add(Graph *g, const Ix *a, const Ix *b) {
    return combine(g, a, 1, b);
}
const Ix *ix_sub(Graph *g, const Ix *a, const Ix *b) {
    return combine(g, a, -1, b);
}
const Ix *ix_scale(Graph *g, const Ix *a, int64_t k) {
    return combine(g, ix_const(g, 0), k, a);
}

/* ---- Ranges */
static bool form_range(const Form *f, const int64_t *extents, int64_t *lo, int64_t *hi);

static bool atom_range(const IxTerm *t, const int64_t *extents, int64_t *lo, int64_t *hi) {
    if (t->kind == ATOM_VALUE || !extents) return false;
    if (t->kind == ATOM_DIM) {
        *lo = 0, *hi = extents[t->dim] - 1;
        return true;
    }
    if (!ix_range(t->inner, extents, lo, hi)) return false;
    *lo = floor_div(*lo, t->by), *hi = floor_div(*hi, t->by);
    return true;
}

/* m (F - k floor(F / k)), a remainder, lies in m [0, k - 1], which interval arithmetic on its two
 * parts does not see. Where term i and a part of f make one, narrows lo .. hi. */
static void remainder_range(const Form *f, int i, const int64_t *extents, int64_t *lo,
                            int64_t *hi) {
    const IxTerm *t = &f->term[i];
    if (t->kind != ATOM_FLOOR || t->coef % t->by) return;
    int64_t m = -t->coef / t->by, rest_lo, rest_hi;
    Form rest = *f;
    add_term(&rest, -t->coef, t);
    add_form(&rest, -m, t->inner);
    if (rest.n != f->n - 1 - t->inner->n || !form_range(&rest, extents, &rest_lo, &rest_hi)) return;
    int64_t reach = m * (t->by - 1);
    rest_lo += reach < 0 ? reach : 0;
    rest_hi += reach > 0 ? reach : 0;
    *lo = rest_lo > *lo ? rest_lo : *lo;
    *hi = rest_hi < *hi ? rest_hi : *hi;
}

/* The same for m (floor(F / a) - k floor(F / (a k))), the middle digit of F. */
static void quotient_range(const Form *f, int i, const int64_t *extents, int64_t *lo, int64_t *hi) {
    const IxTerm *t = &f->term[i];
    for (int j = 0; j < f->n; j++) {
        const IxTerm *u = &f->term[j];
        if (t->kind != ATOM_FLOOR || u->kind != ATOM_FLOOR || i == j || t->inner != u->inner ||
            t->by % u->by || t->coef != -u->coef * (t->by / u->by))
            continue;
        int64_t rest_lo, rest_hi, reach = u->coef * (t->by / u->by - 1);
        Form rest = *f;
        add_term(&rest, -t->coef, t);
        add_term(&rest, -u->coef, u);
        if (rest.n != f->n - 2 || !form_range(&rest, extents, &rest_lo, &rest_hi)) return;
        rest_lo += reach < 0 ? reach : 0;
        rest_hi += reach > 0 ? reach : 0;
        *lo = rest_lo > *lo ? rest_lo : *lo;
        *hi = rest_hi < *hi ? rest_hi : *hi;
    }
}

static bool form_range(const Form *f, const int64_t *extents, int64_t *lo, int64_t *hi) {
    int64_t low = f->c, high = f->c;
    for (int i = 0; i < f->n; i++) {
        int64_t from, to, coef = f->term[i].coef;
        if (!atom_range(&f->term[i], extents, &from, &to)) return false;
        low += coef * (coef > 0 ? from : to);
        high += coef * (coef > 0 ? to : from);
    }
    for (int i = 0; i < f->n; i++)
        remainder_range(f, i, extents, &low, &high), quotient_range(f, i, extents, &low, &high);
    *lo = low, *hi = high;
    return true;
}

bool ix_range(const Ix *a, const int64_t *extents, int64_t *lo, int64_t *hi) {
    Form f;
    f.c = 0, f.n = 0;
    add_form(&f, 1, a);
    return form_range(&f, extents, lo, hi);
}

/* ---- Floor division */
/* Where terms that a factor g of k does not divide stay within one period of g, only their floor
 * counts: floor((g A + R) / (g k')) = floor((A + floor(R / g)) / k'). True where f got shorter. */
static bool drop_small_terms(Form *f, int64_t k, const int64_t *extents) {
    for (int i = -1; i < f->n; i++) {
        int64_t g = i < 0 ? k : gcd(f->term[i].coef, k), lo, hi;
        if (g == 1) continue;
        Form small, large;
        small.c = f->c, small.n = 0, large.c = 0, large.n = 0;
        for (int j = 0; j < f->n; j++) {
            Form *to = f->term[j].coef % g ? &small : &large;
            to->term[to->n++] = f->term[j];
        }
        if (small.n && form_range(&small, extents, &lo, &hi) &&
            floor_div(lo, g) == floor_div(hi, g)) {
            large.c = g * floor_div(lo, g);
            *f = large;
            return true;
        }
    }
    return false;
}

/* floor(floor(x / b) + y) / k) = floor((x + b y) / (b k)) for any integer y: merges the only inner
 * floor where its coefficient is 1. */
static bool merge_inner_floor(Form *f, int64_t *k) {
    int at = -1;
    for (int i = 0; i < f->n; i++)
        if (f->term[i].kind == ATOM_FLOOR) {
            if (at >= 0 || f->term[i].coef != 1) return false;
            at = i;
        }
    if (at < 0 || f->term[at].by > INT32_MAX || *k > INT32_MAX) return false;
    IxTerm inner = f->term[at];
    Form merged;
    merged.c = f->c * inner.by, merged.n = 0;
    for (int i = 0; i < f->n; i++)
        if (i != at) add_term(&merged, f->term[i].coef * inner.by, &f->term[i]);
    add_form(&merged, 1, inner.inner);
    *f = merged;
    *k *= inner.by;
    return true;
}

/* Moves whole multiples of k out of f into out; keeps the signs of coefficients, so that ranges
 * stay tight. */
static void split_multiples(Form *f, int64_t k, Form *out) {
    out->c += floor_div(f->c, k);
    f->c -= k * floor_div(f->c, k);
    Form rest;
    rest.c = f->c, rest.n = 0;
    for (int i = 0; i < f->n; i++) {
        add_term(out, f->term[i].coef / k, &f->term[i]);
        add_term(&rest, f->term[i].coef % k, &f->term[i]);
    }
    *f = rest;
}

const Ix *ix_div(Graph *g, const Ix *a, int64_t k, const int64_t *extents) {
    if (k <= 0) bug("division of an index by %lld", (long long)k);
    Form f, out;
    f.c = 0, f.n = 0, out.c = 0, out.n = 0;
    add_form(&f, 1, a);
    for (bool again = true; again;) {
        split_multiples(&f, k, &out);
        if (!f.n) return intern(g, &out);
        int64_t common = k;
        for (int i = 0; i < f.n; i++)
            common = gcd(common, f.term[i].coef);
        if (common > 1) {
            f.c = floor_div(f.c, common);
            for (int i = 0; i < f.n; i++)
                f.term[i].coef /= common;
            k /= common;
            continue;
        }
        again = merge_inner_floor(&f, &k) || (extents && drop_small_terms(&f, k, extents));
    }
    add_term(&out, 1, &(IxTerm){.kind = ATOM_FLOOR, .inner = intern(g, &f), .by = k});
    return intern(g, &out);
}

const Ix *ix_mod(Graph *g, const Ix *a, int64_t k, const int64_t *extents) {
    return combine(g, a, -k, ix_div(g, a, k, extents));
}

/* ---- Walks */
const Ix *ix_rebuild(Graph *g, const Ix *a, const Ix *const *map, int nmap, const int64_t *extents,
                     ValueMap *value, void *context) {
    Form f;
    f.c = a->c, f.n = 0;
    for (int i = 0; i < a->n; i++) {
        const IxTerm *t = &a->term[i];
        if (t->kind == ATOM_DIM && (t->dim >= nmap || !map[t->dim])) {
            add_term(&f, t->coef, t);
        } else if (t->kind == ATOM_DIM) {
            add_form(&f, t->coef, map[t->dim]);
        } else if (t->kind == ATOM_FLOOR) {
            const Ix *inner = ix_rebuild(g, t->inner, map, nmap, extents, value, context);
            add_form(&f, t->coef, ix_div(g, inner, t->by, extents));
        } else {
            add_form(&f, t->coef, ix_value(g, value(g, t->value, context)));
        }
    }
    return intern(g, &f);
}

typedef struct SubstContext {
    const Ix *const *map;
    int nmap;
    const int64_t *extents;
} SubstContext;
static const Scalar *subst_value(Graph *g, const Scalar *value, void *context) {
    const SubstContext *s = context;
    return sc_subst(g, value, s->map, s->nmap, s->extents);
}

const Ix *ix_subst(Graph *g, const Ix *a, const Ix *const *map, int nmap, const int64_t *extents) {
    SubstContext context = {map, nmap, extents};
    return ix_rebuild(g, a, map, nmap, extents, subst_value, &context);
}

void ix_values(const Ix *a, void (*visit)(const Scalar *, void *), void *context) {
    for (int i = 0; i < a->n; i++)
        if (a->term[i].kind == ATOM_FLOOR)
            ix_values(a->term[i].inner, visit, context);
        else if (a->term[i].kind == ATOM_VALUE)
            visit(a->term[i].value, context);
}

static void add_facts(const Scalar *value, void *context) {
    IxFacts *facts = context;
    facts->per_example |= value->per_example;
    facts->reads |= value->reads;
    facts->draws |= value->draws;
    facts->draws_own |= value->draws_own;
    facts->narrow |= value->reads && !value->wide;
}

IxFacts ix_facts(const Ix *a) {
    IxFacts facts = {0};
    ix_values(a, add_facts, &facts);
    return facts;
}

bool ix_is_const(const Ix *a, int64_t *value) {
    if (!a->n && value) *value = a->c;
    return !a->n;
}

bool ix_is_dim(const Ix *a, int *dim) {
    bool is = a->n == 1 && !a->c && a->term[0].kind == ATOM_DIM && a->term[0].coef == 1;
    if (is && dim) *dim = a->term[0].dim;
    return is;
}

int64_t ix_coef(const Ix *a, int dim) {
    for (int i = 0; i < a->n; i++)
        if (a->term[i].kind == ATOM_DIM && a->term[i].dim == dim) return a->term[i].coef;
    return 0;
}

uint32_t ix_dims(const Ix *a) {
    uint32_t dims = 0;
    for (int i = 0; i < a->n; i++) {
        const IxTerm *t = &a->term[i];
        dims |= t->kind == ATOM_DIM     ? 1u << t->dim
                : t->kind == ATOM_FLOOR ? ix_dims(t->inner)
                                        : t->value->dims;
    }
    return dims;
}

bool ix_affine(const Ix *a) {
    for (int i = 0; i < a->n; i++)
        if (a->term[i].kind != ATOM_DIM) return false;
    return true;
}

int64_t ix_eval(const Ix *a, const int64_t *dims, double (*value)(const Scalar *, void *),
                void *context) {
    int64_t sum = a->c;
    for (int i = 0; i < a->n; i++) {
        const IxTerm *t = &a->term[i];
        int64_t atom = t->kind == ATOM_DIM ? dims[t->dim]
                       : t->kind == ATOM_FLOOR
                           ? floor_div(ix_eval(t->inner, dims, value, context), t->by)
                           : 0;
        if (t->kind == ATOM_VALUE) {
            double position = floor(value(t->value, context));
            /* Far outside any extent, NaN too, so that a conversion cannot trap. */
            atom =
                position >= -0x1p40 && position <= 0x1p40 ? (int64_t)position : -((int64_t)1 << 40);
        }
        sum += t->coef * atom;
    }
    return sum;
}
