/* SPDX-License-Identifier: MIT
 * Values: making them, reading them as one number where they stand, operators, nodes.
 * Needs ir. Knows nothing of syntax beyond places. */
#include "elab_internal.h"
#include <math.h>
#include <string.h>

Value *value_new(Elab *e, ValueKind kind, Span at) {
    Value *v = NEW(e->arena, Value);
    v->kind = kind;
    v->at = at;
    return v;
}

Value *value_error(Elab *e) {
    return value_new(e, VAL_ERROR, (Span){0});
}

Value *value_const(Elab *e, double x, Span at) {
    Value *v = value_new(e, VAL_NUMBER, at);
    v->known = true;
    v->num = x;
    v->s = sc_const(e->g, x);
    return v;
}

Value *value_scalar(Elab *e, const Scalar *s, Span at) {
    Value *v = value_new(e, VAL_NUMBER, at);
    v->s = s;
    v->known = sc_is_const(s, &v->num);
    v->classes = s->kind == SC_READ ? s->node->classes : 0;
    v->truth = s->kind == SC_OP && op_info[s->op].truth;
    return v;
}

Value *value_truth(Elab *e, bool x, Span at) {
    Value *v = value_const(e, x, at);
    v->truth = true;
    return v;
}

Value *value_node(Elab *e, Node *node, Span at) {
    if (node->rank == 0) return value_scalar(e, sc_read(e->g, node, NULL, NULL), at);
    Value *v = value_new(e, VAL_TENSOR, at);
    v->node = node;
    return v;
}

int value_rank(const Value *v) {
    return v->kind == VAL_TENSOR ? v->node->rank - v->npre : 0;
}
const int64_t *value_extent(const Value *v) {
    return v->node->extent + v->npre;
}

const char *value_text(Elab *e, const Value *v) {
    switch (v->kind) {
    case VAL_NONE:
        return "none";
    case VAL_STRING:
        return arena_printf(e->arena, "the string \"%s\"", v->text);
    case VAL_NUMBER:
        if (v->classes) return "a class";
        return v->truth ? "a condition" : "one number";
    case VAL_TENSOR:
        return shape_text(e, value_rank(v), value_extent(v));
    case VAL_DEF: {
        const Stage *s = &v->stages.at[0];
        return arena_printf(e->arena, "the %s `%s`",
                            s->decl && s->decl->kind == DECL_MODEL ? "model" : "def",
                            s->decl ? s->decl->name : s->builtin);
    }
    case VAL_TUPLE:
        return arena_printf(e->arena, "a tuple of %d", v->items.len);
    case VAL_EXAMPLE:
        return "an example";
    case VAL_ERROR:
        break;
    }
    return "a value";
}

bool value_integer(const Value *v, int64_t *out) {
    if (v->kind != VAL_NUMBER || !v->known || v->num != floor(v->num) || fabs(v->num) > 0x1p52)
        return false;
    *out = (int64_t)v->num;
    return true;
}

/* ---- A tensor without brackets */
static bool axes_bound(Elab *e, const Value *v, const Ix **at) {
    if (!v->axes) return false;
    int rank = value_rank(v);
    for (int i = 0; i < rank;) {
        Bind *b = v->axes[i] ? bind_find(e, v->axes[i]) : NULL;
        if (!b || !b->known || i + b->n > rank || b->n == 0) return false;
        for (int k = 0; k < b->n; k++, i++) {
            if (b->ext[k] != value_extent(v)[i]) return false;
            at[i] = ix_dim(e->g, b->dim[k]);
        }
    }
    return true;
}

static bool anon_take(Elab *e, const Value *v, Span at) {
    Frame *f = e->frame;
    int rank = value_rank(v);
    const int64_t *extent = value_extent(v);
    if (!f->anon_ok) {
        if (fail(e, at, "E0304", "a tensor of shape %s stands here without its indices",
                 value_text(e, v)))
            fail_help(e, "the left-hand side has indices: read it at them, `name[i, …]`");
        return false;
    }
    if (f->nanon < 0) {
        for (int i = 0; i < rank; i++)
            if ((f->anon[i] = dim_new(e, extent[i], at)) < 0) return false;
        f->nanon = rank;
        f->anon_from = at;
        return true;
    }
    bool same = f->nanon == rank;
    int64_t other[MAX_RANK];
    for (int i = 0; i < f->nanon; i++) {
        other[i] = e->extent[f->anon[i]];
        same = same && other[i] == extent[i];
    }
    if (same) return true;
    if (fail(e, at, "E0305", "shapes differ: %s and %s", shape_text(e, f->nanon, other),
             value_text(e, v))) {
        fail_note(e, f->anon_from, "%s stands here", shape_text(e, f->nanon, other));
        if (v->node->at.file) fail_note(e, v->node->at, "%s comes from here", value_text(e, v));
        fail_help(e, "element by element needs equal shapes; nothing is repeated silently");
    }
    return false;
}

static Value *tensor_number(Elab *e, Value *v, Span at) {
    const Ix *coordinate[MAX_RANK];
    int rank = value_rank(v);
    for (int i = 0; i < v->npre; i++)
        coordinate[i] = v->pre[i];
    if (rank > 0 && !axes_bound(e, v, coordinate + v->npre)) {
        if (!anon_take(e, v, at)) return value_error(e);
        for (int i = 0; i < rank; i++)
            coordinate[v->npre + i] = ix_dim(e->g, e->frame->anon[i]);
    }
    const Scalar *s = sc_read(e->g, v->node, coordinate, NULL);
    return value_scalar(e, v->truth ? sc_op(e->g, OP_NE, s, sc_const(e->g, 0), NULL) : s, at);
}

Value *value_number(Elab *e, Value *v, Span at) {
    switch (v->kind) {
    case VAL_ERROR:
    case VAL_NUMBER:
        return v;
    case VAL_TENSOR:
        return tensor_number(e, v, at);
    case VAL_DEF:
        if (value_is_generator(v))
            return value_number(e, apply(e, v, NULL, 0, at, e->scope->path, e->scope->hyper), at);
        if (fail(e, at, "E0411", "%s is used as a number", value_text(e, v)))
            fail_help(e, "it is a def: give it its arguments, or a value by `->`");
        return value_error(e);
    default:
        fail(e, at, "E0411", "%s is used as a number", value_text(e, v));
        return value_error(e);
    }
}

Value *value_condition(Elab *e, Value *v, Span at) {
    v = value_number(e, v, at);
    if (v->kind == VAL_NUMBER && !v->truth) {
        if (fail(e, at, "E0412", "a condition is wanted here, this is a number"))
            fail_help(e, "compare it: `x > 0`, `x != 0`");
        return value_error(e);
    }
    return v;
}

/* ---- Operators. What is computed in float64, what is the same for all examples, and a costly
 * function of fewer indices, is a node of its own where it meets something else: once per update,
 * example or index, not once per element. */
static bool costly(const Scalar *s) {
    if (s->kind != SC_OP) return false;
    if (op_info[s->op].costly) return true;
    for (int i = 0; i < op_info[s->op].arity; i++)
        if (costly(s->arg[i])) return true;
    return false;
}

static const Scalar *own_node(Elab *e, const Scalar *s) {
    int dims[LIVE_DIMS], n = free_dims(s, 0, dims);
    if (n > MAX_RANK) return s;
    return read_dims(e, make_node(e, s, n, 0, dims, RED_NONE, false, NULL, (Span){0}), dims);
}

static const Scalar *hoist(Elab *e, const Scalar *s, const Scalar *result) {
    if (s->kind != SC_OP || !s->reads || op_info[s->op].truth) return s;
    bool wide = s->wide && !result->wide, shared = !s->per_example && result->per_example;
    bool fewer = s->dims != result->dims && costly(s);
    return wide || shared || fewer ? own_node(e, s) : s;
}

const Scalar *scalar_once(Elab *e, const Scalar *s) {
    return s->kind == SC_OP && s->reads && !s->per_example && !op_info[s->op].truth ? own_node(e, s)
                                                                                    : s;
}

const Scalar *op_hoisted(Elab *e, Op op, const Scalar *a, const Scalar *b, const Scalar *c) {
    const Scalar *arg[3] = {a, b, c}, *plain = sc_op(e->g, op, a, b, c);
    if (plain->kind != SC_OP) return plain;
    for (int i = 0; i < 3; i++)
        if (arg[i]) arg[i] = hoist(e, arg[i], plain);
    return sc_op(e->g, op, arg[0], arg[1], arg[2]);
}

Value *num_op(Elab *e, Op op, Value *a, Value *b, Value *c, Span at) {
    Value *arg[3] = {a, b, c};
    double num[3] = {0};
    bool known = true;
    for (int i = 0; i < 3; i++)
        if (arg[i]) {
            if (arg[i]->kind != VAL_NUMBER) return value_error(e);
            known = known && arg[i]->known;
            num[i] = arg[i]->num;
        }
    const Scalar *exponent = b ? b->s : NULL;
    int64_t n;
    if (op == OP_POW && value_integer(b, &n) && n >= -8 && n <= 8)
        exponent = sc_const(e->g, b->num); /* repeated multiplication, whatever `--set` says */
    Value *v = value_scalar(e, op_hoisted(e, op, a->s, exponent, c ? c->s : NULL), at);
    v->truth = op_info[op].truth || (op == OP_SELECT && b->truth && c->truth);
    if (op == OP_SELECT && b->classes == c->classes) v->classes = b->classes;
    if (known) {
        v->known = true;
        v->num = op_info[op].value(num[0], num[1], num[2]);
    }
    return v;
}

/* ---- Nodes */
int free_dims(const Scalar *s, uint32_t reduced, int *dims) {
    int n = 0;
    for (int d = 0; d < 32; d++)
        if ((s->dims & ~reduced) >> d & 1) dims[n++] = d;
    return n;
}

/* Coordinates of which the gradient of a read makes dimensions of their own. */
static void count_solved(const Scalar *read, void *context) {
    int more = 0, *most = context, dim;
    uint32_t seen = 0;
    for (int i = 0; i < read->node->rank; i++) {
        bool own = ix_is_dim(read->at[i], &dim) && !(seen >> dim & 1);
        if (own) seen |= 1u << dim;
        more += !own;
    }
    if (more > *most) *most = more;
}

static bool check_dims(Elab *e, const Scalar *s, int rank, int nred, Reduce reduce, Span at) {
    int more = reduce == RED_PROD ? nred : 0; /* a product's terms are gone through twice */
    sc_reads(s, count_solved, &more);
    if (rank > MAX_RANK || rank + nred > MAX_DIMS)
        fail(e, at, "E0313", "a value of %d dimensions over %d indices: at most %d and %d", rank,
             rank + nred, MAX_RANK, MAX_DIMS);
    else if (rank + nred + more > MAX_DIMS || (reduce == RED_PROD && rank + nred > MAX_RANK))
        fail(e, at, "E0313", "a value of %d dimensions over %d indices, too many for a gradient",
             rank, rank + nred);
    else
        return true;
    return false;
}

Node *make_node(Elab *e, const Scalar *s, int rank, int nred, const int *dims, Reduce reduce,
                bool over_batch, Name label, Span at) {
    const Ix *map[32] = {0};
    CompSpec spec = {.rank = rank,
                     .nred = nred,
                     .reduce = reduce,
                     .over_batch = over_batch,
                     .name = label,
                     .at = at};
    if (!check_dims(e, s, rank, nred, reduce, at)) return graph_const(e->g, 0, NULL, 0);
    double all = 1; /* the gradient of a product runs over its terms twice */
    for (int i = 0; i < rank + nred; i++) {
        map[dims[i]] = ix_dim(e->g, i);
        spec.extent[i] = e->extent[dims[i]];
        all *= (double)spec.extent[i];
        all *= i >= rank && reduce == RED_PROD ? (double)spec.extent[i] : 1;
    }
    if (!check_size(e, at, rank, spec.extent)) return graph_const(e->g, 0, NULL, 0);
    if (all > 0x1p50) {
        fail(e, at, "E0314", "a reduction of %s terms", shape_text(e, rank + nred, spec.extent));
        return graph_const(e->g, 0, NULL, 0);
    }
    spec.body = sc_subst(e->g, s, map, 32, spec.extent);
    return graph_comp(e->g, &spec);
}

const Scalar *read_dims(Elab *e, Node *node, const int *dims) {
    const Ix *at[MAX_RANK];
    for (int i = 0; i < node->rank; i++)
        at[i] = ix_dim(e->g, dims[i]);
    return sc_read(e->g, node, at, NULL);
}

/* Outer dimensions first, then those of the unnamed left-hand side. */
static Value *settle_tensor(Elab *e, Value *v, Name label, Span at) {
    const Frame *f = e->frame;
    uint32_t anon = 0;
    int dims[LIVE_DIMS + MAX_RANK];
    for (int i = 0; i < f->nanon; i++)
        anon |= 1u << f->anon[i];
    int outer = free_dims(v->s, anon, dims);
    for (int i = 0; i < f->nanon; i++)
        dims[outer + i] = f->anon[i];
    Node *node = make_node(e, v->s, outer + f->nanon, 0, dims, RED_NONE, false, label, at);
    Value *t = value_new(e, VAL_TENSOR, at);
    t->node = node;
    t->truth = v->truth;
    if (node->rank != outer + f->nanon) return value_error(e);
    t->npre = outer;
    for (int i = 0; i < outer; i++)
        t->pre[i] = ix_dim(e->g, dims[i]);
    return t;
}

Value *value_settle(Elab *e, Value *v, Name label, Span at) {
    if (v->kind != VAL_NUMBER) return v;
    if (e->frame->nanon > 0) return settle_tensor(e, v, label, at);
    if (!v->s->reads || v->s->kind == SC_READ) return v;
    int dims[LIVE_DIMS], n = free_dims(v->s, 0, dims);
    Node *node = make_node(e, v->s, n, 0, dims, RED_NONE, false, label, at);
    if (node->rank != n) return value_error(e);
    Value *t = value_new(e, VAL_NUMBER, at);
    *t = *v;
    t->at = at;
    t->s = read_dims(e, node, dims);
    if (v->truth) t->s = sc_op(e->g, OP_NE, t->s, sc_const(e->g, 0), NULL);
    return t;
}

Node *value_whole(Elab *e, Value *v, Name label, Span at) {
    if (v->kind == VAL_TENSOR && v->npre == 0) return v->node;
    if (v->kind != VAL_NUMBER) {
        if (v->kind != VAL_ERROR)
            fail(e, at, "E0413", "a tensor or a number is wanted here, this is %s",
                 value_text(e, v));
        return NULL;
    }
    if (v->s->dims) return NULL;
    return graph_map(e->g, 0, NULL, v->s, label, at);
}
