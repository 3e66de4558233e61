/* SPDX-License-Identifier: MIT
 * Bound indices: where they come from, what their ranges follow from, when they get dimensions;
 * extents of headers. Needs front and ir. Evaluates coordinates elsewhere (coordinate.c). */
#include "elab_internal.h"
#include <string.h>

Extents *extents_find(Elab *e, Name name) {
    return map_get(&e->scope->extents, name);
}

Bind *bind_find(Elab *e, Name name) {
    for (int i = e->binds.len - 1; i >= e->bind_base; i--)
        if (e->binds.at[i].name == name && !e->binds.at[i].masked) return &e->binds.at[i];
    return NULL;
}

/* ---- Where ranges come from */
static void claim(Elab *e, Bind *b, int n, const int64_t *extent, Span at, const char *whose,
                  bool weak) {
    if (b->known && weak) return;
    if (!b->known || b->weak) {
        b->known = true;
        b->weak = weak;
        b->n = n;
        memcpy(b->ext, extent, sizeof *extent * (size_t)n);
        b->from = at;
        b->whose = whose;
        return;
    }
    bool same = b->bad || (b->n == n && !memcmp(b->ext, extent, sizeof *extent * (size_t)n));
    if (same) return;
    if (fail(e, at, "E0301", "index `%s` runs over %s in `%s` but over %s in `%s`", b->name,
             shape_text(e, b->n, b->ext), b->whose, shape_text(e, n, extent), whose)) {
        fail_note(e, b->from, "`%s` of %s comes from here", b->name, shape_text(e, b->n, b->ext));
    }
    b->bad = true;
}

/* How many dimensions a pack stands for, or -1 where that is not known yet. */
static int pack_length(Elab *e, Name name) {
    Bind *b = bind_find(e, name);
    if (b && b->known) return b->n;
    Extents *x = extents_find(e, name);
    return x && x->pack ? x->n : -1;
}

/* Whose value a read is of, without evaluating anything: a local, or a state's next value. */
static Value *base_value(Elab *e, const Expr *base, const char **whose) {
    Value *v = NULL;
    if (base->kind == EXPR_NAME) {
        v = find_value(e, base->name);
        v = v ? v : recur_find(e, base->name, (Span){0});
    } else if (base->kind == EXPR_PRIMED) {
        v = find_primed(e, base->name);
        v = v ? v : find_value(e, base->name);
    }
    e->saw_error = e->saw_error || (v && v->kind == VAL_ERROR);
    if (!v || v->kind != VAL_TENSOR) return NULL;
    *whose = base->name;
    return v;
}

static void infer_read(Elab *e, int first, const Expr *x) {
    const char *whose;
    const Value *v = base_value(e, x->base, &whose);
    if (!v) return;
    int rank = value_rank(v), open = 0, fixed = 0;
    for (int i = 0; i < x->args.len; i++) {
        const Expr *c = x->args.at[i].value;
        int length = c->kind == EXPR_PACK ? pack_length(e, c->name) : 1;
        open += length < 0;
        fixed += length < 0 ? 0 : length;
    }
    if (open > 1 || fixed > rank || (!open && fixed != rank))
        return; /* eval_read says what is wrong */
    for (int i = 0, at = 0; i < x->args.len; i++) {
        const Expr *c = x->args.at[i].value;
        int length = c->kind == EXPR_PACK ? pack_length(e, c->name) : 1;
        length = length < 0 ? rank - fixed : length;
        Bind *b = c->kind == EXPR_NAME || c->kind == EXPR_PACK ? bind_find(e, c->name) : NULL;
        if (b && !b->written && b - e->binds.at >= first && b->pack == (c->kind == EXPR_PACK))
            claim(e, b, length, value_extent(v) + at, c->at, whose,
                  x->outside != NULL); /* it may leave */
        at += length;
    }
}

/* A tensor without brackets stands at its declared indices. */
static void infer_name(Elab *e, int first, const Expr *x) {
    const char *whose;
    const Value *v = base_value(e, x, &whose);
    if (!v || !v->axes) return;
    int rank = value_rank(v);
    for (int i = 0; i < rank;) {
        Bind *b = v->axes[i] ? bind_find(e, v->axes[i]) : NULL;
        int n = 1;
        if (!b || b - e->binds.at < first) return;
        while (b->pack && i + n < rank && v->axes[i + n] == v->axes[i])
            n++;
        if (!b->known) claim(e, b, n, value_extent(v) + i, x->at, whose, false);
        i += n;
    }
}

static void infer_reduce(Elab *e, int first, const Expr *x) {
    bool masked[16] = {0};
    Bind *hidden[16];
    int n = 0;
    for (int i = 0; i < x->indices.len && n < 16; i++) {
        Bind *b = x->indices.at[i].name ? bind_find(e, x->indices.at[i].name) : NULL;
        if (!b) continue;
        hidden[n] = b;
        masked[n++] = b->masked;
        b->masked = true;
    }
    bind_infer(e, first, x->a);
    for (int i = 0; i < n; i++)
        hidden[i]->masked = masked[i];
}

void bind_infer(Elab *e, int first, const Expr *x) {
    if (!x) return;
    if (x->kind == EXPR_REDUCE) {
        infer_reduce(e, first, x);
        return;
    }
    if (x->kind == EXPR_READ)
        infer_read(e, first, x);
    else if (x->kind == EXPR_NAME)
        infer_name(e, first, x);
    int truth = x->kind == EXPR_IF ? static_truth(e, x->a) : -1;
    for (int i = 0; i < x->args.len; i++)
        bind_infer(e, first, x->args.at[i].value);
    if (x->kind != EXPR_READ) bind_infer(e, first, x->base);
    bind_infer(e, first, x->a);
    if (truth != 0) bind_infer(e, first, x->b);
    if (truth != 1) bind_infer(e, first, x->c);
    bind_infer(e, first, x->outside);
}

/* A condition of names, numbers and operators alone can be asked for without consequences. */
static bool plain(const Expr *x) {
    if (!x) return true;
    switch (x->kind) {
    case EXPR_NUMBER:
    case EXPR_STRING:
    case EXPR_NAME:
        return true;
    case EXPR_UNARY:
    case EXPR_BINARY:
        return plain(x->a) && plain(x->b);
    default:
        return false;
    }
}

int static_truth(Elab *e, const Expr *x) {
    if (!plain(x)) return -1;
    e->quiet++;
    int failed = e->failed;
    Frame frame = frame_new(), *outer = e->frame;
    frame.anon_ok = false;
    e->frame = &frame;
    Value *v = eval(e, x);
    e->frame = outer;
    e->failed = failed;
    e->quiet--;
    return v->kind == VAL_NUMBER && v->known ? v->num != 0 : -1;
}

/* ---- Binding */
static bool reserved(Name name) {
    static const char *const names[] = {"batch", "data", "batches", "weights", "examples"};
    for (int i = 0; i < LENGTH(names); i++)
        if (!strcmp(name, names[i])) return true;
    return false;
}

/* Shapes that no memory holds are faults of the text, and would overflow later. */
bool check_size(Elab *e, Span at, int n, const int64_t *ext) {
    double size = 1;
    for (int i = 0; i < n; i++)
        size *= (double)ext[i];
    if (size <= 0x1p40) return true;
    fail(e, at, "E0314", "a value of %s elements", shape_text(e, n, ext));
    return false;
}

bool bind_push(Elab *e, const Index *index) {
    if (!index->name) {
        if (fail(e, index->at, "E0302", "an index wants a name here"))
            fail_help(e, "write `i: extent`");
        return false;
    }
    if (reserved(index->name)) {
        fail(e, index->at, "E0303", "`%s` crosses examples and cannot be an index here",
             index->name);
        return false;
    }
    if (find_value(e, index->name)) {
        fail(e, index->at, "E0204", "index `%s` shares its name with a value", index->name);
        return false;
    }
    Bind b = {.name = index->name, .pack = index->pack, .at = index->at, .whose = ""};
    if (index->extent) {
        const Extents *pack =
            index->extent->kind == EXPR_NAME ? extents_find(e, index->extent->name) : NULL;
        int64_t extent;
        if (pack && pack->pack && index->pack) {
            b.n = pack->n;
            memcpy(b.ext, pack->ext, sizeof b.ext);
        } else {
            if (!extent_eval(e, index->extent, &extent)) return false;
            if (extent < 1) {
                fail(e, index->at, "E0306", "the extent of `%s` comes out as %lld", index->name,
                     (long long)extent);
                return false;
            }
            b.n = 1;
            b.ext[0] = extent;
            if (!check_size(e, index->at, 1, b.ext)) return false;
        }
        b.known = b.written = true;
        b.from = index->extent->at;
    }
    VEC_PUSH(e->arena, e->binds, b);
    return true;
}

bool bind_finish(Elab *e, int first) {
    for (int i = first; i < e->binds.len; i++) {
        Bind *b = &e->binds.at[i];
        const Extents *x = extents_find(e, b->name);
        if (x && x->pack == b->pack && (!b->known || b->weak))
            claim(e, b, x->n, x->ext, x->at, x->whose, false);
        if (b->bad || (!b->known && e->saw_error)) return false; /* said before */
        if (!b->known) {
            if (fail(e, b->at, "E0307",
                     "the range of index `%s` cannot be seen from what it indexes", b->name))
                fail_help(e, "write it: `%s: extent`", b->name);
            return false;
        }
        if (b->pack != (x && x->pack) && x && x->pack) {
            fail(e, b->at, "E0308", "`%s...` stands for several dimensions: write `%s...`", b->name,
                 b->name);
            return false;
        }
        b->placed = true;
        for (int k = 0; k < b->n; k++)
            if ((b->dim[k] = dim_new(e, b->ext[k], b->at)) < 0) {
                b->n = k;
                return false;
            }
    }
    return true;
}

void bind_pop(Elab *e, int first) {
    for (int i = first; i < e->binds.len; i++)
        map_put(&e->scope->gone, e->binds.at[i].name, e->scope);
    for (int i = first; i < e->binds.len; i++)
        for (int k = 0; k < e->binds.at[i].n && e->binds.at[i].placed; k++)
            dim_free(e, e->binds.at[i].dim[k]);
    e->binds.len = first;
}

uint32_t reduced_dims(const Elab *e, int first) {
    uint32_t dims = 0;
    for (int i = first; i < e->binds.len; i++)
        for (int k = 0; k < e->binds.at[i].n && e->binds.at[i].placed; k++)
            dims |= 1u << e->binds.at[i].dim[k];
    return dims;
}

/* In the brackets of a parameter or state: `units`, `c`, `d...`, `28`, `k: window`. */
bool index_resolve(Elab *e, const Index *index, int *n, int64_t *ext) {
    const Extents *x = index->name && !index->extent ? extents_find(e, index->name) : NULL;
    if (index->pack && !x) {
        fail(e, index->at, "E0201", "`%s...` is not in a header of this def", index->name);
        return false;
    }
    int count = x ? x->n : 1;
    if (*n + count > MAX_RANK) {
        fail(e, index->at, "E0313", "more than %d dimensions", MAX_RANK);
        return false;
    }
    if (x && x->pack != index->pack) {
        fail(e, index->at, "E0308", "`%s` stands for several dimensions: write `%s...`",
             index->name, index->name);
        return false;
    }
    if (x) {
        memcpy(ext + *n, x->ext, sizeof *ext * (size_t)count);
        *n += count;
        return true;
    }
    Expr name = {.kind = EXPR_NAME, .name = index->name, .at = index->at};
    int64_t extent;
    if (!extent_eval(e, index->extent ? index->extent : &name, &extent)) return false;
    if (extent < 1) {
        fail(e, index->at, "E0306", "an extent comes out as %lld", (long long)extent);
        return false;
    }
    ext[(*n)++] = extent;
    return check_size(e, index->at, *n, ext);
}
