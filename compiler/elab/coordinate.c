/* SPDX-License-Identifier: MIT
 * Integers: extents, which are known, and coordinates, which are index forms. `/` rounds down.
 * Needs front and ir. Binds no names. */
#include "elab_internal.h"
#include <math.h>
#include <string.h>

static int64_t floor_div(int64_t a, int64_t k) {
    return a / k - (a % k != 0 && (a < 0) != (k < 0));
}

static bool overflow(Elab *e, const Expr *x) {
    fail(e, x->at, "E0309", "an integer here does not fit in 52 bits");
    return false;
}

static bool extent_binary(Elab *e, const Expr *x, int64_t *out) {
    int64_t a, b;
    if (!extent_eval(e, x->a, &a) || !extent_eval(e, x->b, &b)) return false;
    bool bad = false;
    switch (x->name[0]) {
    case '+':
        bad = __builtin_add_overflow(a, b, out);
        break;
    case '-':
        bad = __builtin_sub_overflow(a, b, out);
        break;
    case '*':
        bad = __builtin_mul_overflow(a, b, out);
        break;
    case '/':
    case '%':
        if (b == 0) {
            fail(e, x->at, "E0310", "division by zero in an extent");
            return false;
        }
        *out = x->name[0] == '/' ? floor_div(a, b) : a - floor_div(a, b) * b;
        break;
    case '^': {
        double power = pow((double)a, (double)b);
        bad = !(fabs(power) < 0x1p52);
        *out = bad ? 0 : (int64_t)power;
        break;
    }
    default:
        bug("`%s` is no operator of integers", x->name);
    }
    return bad || *out > (int64_t)1 << 52 || *out < -((int64_t)1 << 52) ? overflow(e, x) : true;
}

static bool extent_number(Elab *e, const Expr *x, int64_t *out) {
    Value *v = eval_number(e, x);
    if (v->kind != VAL_NUMBER) return false;
    if (v->truth) {
        fail(e, x->at, "E0311", "a condition is not an extent");
        return false;
    }
    if (value_integer(v, out)) return true;
    if (v->known)
        fail(e, x->at, "E0311", "an extent is a whole number, this is %.10g", v->num);
    else if (fail(e, x->at, "E0311", "an extent must be known at compile time"))
        fail_help(e, "shapes cannot depend on data, parameters or the step");
    return false;
}

bool extent_eval(Elab *e, const Expr *x, int64_t *out) {
    if (!x) return false;
    if (x->kind == EXPR_NAME) {
        const Extents *extents = extents_find(e, x->name);
        if (extents && !extents->pack && !find_value(e, x->name)) {
            *out = extents->ext[0];
            return true;
        }
        if (extents && extents->pack) {
            fail(e, x->at, "E0308",
                 "`%s...` stands for several dimensions; `count[%s...]` is their product", x->name,
                 x->name);
            return false;
        }
        return extent_number(e, x, out);
    }
    if (x->kind == EXPR_BINARY && !x->name[1] && strchr("+-*/%^", x->name[0]))
        return extent_binary(e, x, out);
    if (x->kind == EXPR_UNARY && x->name[0] == '-') {
        bool ok = extent_eval(e, x->a, out);
        *out = -*out;
        return ok;
    }
    if (x->kind == EXPR_IF) {
        int truth = static_truth(e, x->a);
        if (truth >= 0) return extent_eval(e, truth ? x->b : x->c, out);
    }
    return extent_number(e, x, out);
}

/* ---- Coordinates */
static const Ix *ix_of_value(Elab *e, const Expr *x, Value *v) {
    int64_t c;
    if (v->kind != VAL_NUMBER) return NULL;
    if (value_integer(v, &c)) return ix_const(e->g, c);
    if (v->known) {
        fail(e, x->at, "E0315", "a coordinate is a whole number, this is %.10g", v->num);
        return NULL;
    }
    if (v->truth) {
        fail(e, x->at, "E0315", "a condition is not a coordinate");
        return NULL;
    }
    const Scalar *s = v->s;
    while (s->kind == SC_OP && s->op == OP_FLOOR && s->arg[0]->kind == SC_INDEX)
        s = s->arg[0];
    return s->kind == SC_INDEX ? s->ix : ix_value(e->g, s);
}

static const Ix *ix_name(Elab *e, const Expr *x) {
    const Bind *b = bind_find(e, x->name);
    if (b && b->pack) {
        fail(e, x->at, "E0308", "`%s` stands for several indices: write `%s...`", x->name, x->name);
        return NULL;
    }
    if (b && b->known) return ix_dim(e->g, b->dim[0]);
    const Extents *extents = find_value(e, x->name) ? NULL : extents_find(e, x->name);
    if (extents && !extents->pack) return ix_const(e->g, extents->ext[0]);
    return ix_of_value(e, x, eval_number(e, x));
}

static const Ix *ix_binary(Elab *e, const Expr *x) {
    const Ix *a = ix_expr(e, x->a), *b = a ? ix_expr(e, x->b) : NULL;
    if (!b) return NULL;
    int64_t ca = 0, cb = 0;
    bool ka = ix_is_const(a, &ca), kb = ix_is_const(b, &cb);
    switch (x->name[0]) {
    case '+':
        return ix_add(e->g, a, b);
    case '-':
        return ix_sub(e->g, a, b);
    case '*':
        if (ka || kb) return ix_scale(e->g, ka ? b : a, ka ? ca : cb);
        break;
    case '/':
    case '%':
        if (kb && cb == 0) {
            fail(e, x->at, "E0310", "division by zero in a coordinate");
            return NULL;
        }
        if (kb && cb > 0)
            return x->name[0] == '/' ? ix_div(e->g, a, cb, e->extent)
                                     : ix_mod(e->g, a, cb, e->extent);
        break;
    default:
        break;
    }
    Value *va = value_scalar(e, sc_index(e->g, a), x->at),
          *vb = value_scalar(e, sc_index(e->g, b), x->at);
    Op op = x->name[0] == '*'   ? OP_MUL
            : x->name[0] == '/' ? OP_DIV
            : x->name[0] == '%' ? OP_MOD
                                : OP_POW;
    return ix_of_value(e, x, num_op(e, op, va, vb, NULL, x->at));
}

const Ix *ix_expr(Elab *e, const Expr *x) {
    switch (x->kind) {
    case EXPR_NAME:
        return ix_name(e, x);
    case EXPR_UNARY:
        if (x->name[0] == '-') {
            const Ix *a = ix_expr(e, x->a);
            return a ? ix_scale(e->g, a, -1) : NULL;
        }
        break;
    case EXPR_BINARY:
        if (!x->name[1] && strchr("+-*/%^", x->name[0])) return ix_binary(e, x);
        break;
    case EXPR_IF: {
        int truth = static_truth(e, x->a);
        if (truth >= 0) return ix_expr(e, truth ? x->b : x->c);
        break;
    }
    default:
        break;
    }
    return ix_of_value(e, x, eval_number(e, x));
}
