/* SPDX-License-Identifier: MIT
 * Functions of the language itself: the scalar operators that have a name in ops.def, and draws.
 * Needs ir. Knows no def of the library. */
#include "elab_internal.h"
#include <string.h>

static const char *const draw_names[] = {"uniform", "normal", "bernoulli"}; /* as in Draw */

static int draw_of(const char *name) {
    for (int i = 0; i < LENGTH(draw_names); i++)
        if (!strcmp(name, draw_names[i])) return i;
    return -1;
}

/* What is written with a sign or a word of its own is not a function too. */
static bool written_otherwise(Op op) {
    switch (op) {
    case OP_NEG:
    case OP_ADD:
    case OP_SUB:
    case OP_MUL:
    case OP_DIV:
    case OP_POW:
    case OP_MOD:
    case OP_LT:
    case OP_LE:
    case OP_GT:
    case OP_GE:
    case OP_EQ:
    case OP_NE:
    case OP_AND:
    case OP_OR:
    case OP_NOT:
    case OP_SELECT:
    case OP_STATED:
        return true;
    default:
        return false;
    }
}

static int op_of(const char *name) {
    for (int op = 0; op < OP_COUNT; op++)
        if (!written_otherwise((Op)op) && !strcmp(name, op_info[op].text)) return op;
    return -1;
}

static bool planned(const char *name) {
    static const char *const names[] = {"rank", "quantile"};
    for (int i = 0; i < LENGTH(names); i++)
        if (!strcmp(name, names[i])) return true;
    return false;
}

bool builtin_known(Name name) {
    return name && (draw_of(name) >= 0 || op_of(name) >= 0 || tensor_call_known(name) ||
                    gradient_shape(name) >= 0 || planned(name));
}

bool builtin_draws(Name name) {
    return name && draw_of(name) >= 0;
}

/* The place of a draw: the path of names to it, numbered where several stand in one expression. */
static uint32_t draw_place(Elab *e) {
    const Scope *s = e->scope;
    Name text = e->frame->target ? path_join(s->path, e->frame->target)
                : s->path        ? s->path
                                 : name_of("value");
    int *count = MAP_NEW(&e->scope->draws, text, int);
    return hash_place(++*count == 1 ? text : name_printf("%s#%d", text, *count));
}

static const Ix *draw_element(Elab *e) {
    const Frame *f = e->frame;
    const Ix *element = ix_const(e->g, 0);
    for (int i = 0; i < f->nlhs + (f->nanon > 0 ? f->nanon : 0); i++) {
        int d = i < f->nlhs ? f->lhs[i] : f->anon[i - f->nlhs];
        element = ix_add(e->g, ix_scale(e->g, element, e->extent[d]), ix_dim(e->g, d));
    }
    return element;
}

static Value *draw_call(Elab *e, int draw, Value **args, int n, Span at) {
    int wanted = draw == DRAW_BERNOULLI ? 1 : 2;
    if (n != wanted) {
        fail(e, at, "E0402", "`%s` takes %d numbers, it is given %d", draw_names[draw], wanted, n);
        return value_error(e);
    }
    if (e->mode == MODE_EPOCH) {
        fail(e, at, "E0421", "nothing can be drawn here");
        return value_error(e);
    }
    bool shared = e->frame->shared || e->mode == MODE_INIT || e->mode == MODE_UPDATE;
    const Ix *element = draw_element(e);
    uint32_t place = draw_place(e);
    if (draw == DRAW_BERNOULLI)
        return value_scalar(
            e, sc_draw(e->g, DRAW_BERNOULLI, scalar_once(e, args[0]->s), element, place, shared),
            at);
    Value *d = value_scalar(e, sc_draw(e->g, (Draw)draw, NULL, element, place, shared), at);
    Value *scale = args[1];
    if (draw == DRAW_UNIFORM) scale = num_op(e, OP_SUB, args[1], args[0], NULL, at);
    return num_op(e, OP_ADD, args[0], num_op(e, OP_MUL, scale, d, NULL, at), NULL, at);
}

Value *builtin_call(Elab *e, Name name, Value **args, int n, Span at) {
    if (gradient_shape(name) >= 0) {
        fail(e, at, "E0333", "`%s` is called with all that it looks at", name);
        return value_error(e);
    }
    if (planned(name)) {
        fail(e, at, "E0591", "`%s` is called with what it looks at, in `order` and in `when`", name);
        return value_error(e);
    }
    if (tensor_call_known(name)) return tensor_call(e, name, args, n, at);
    Value *number[3];
    int draw = draw_of(name), op = op_of(name), wanted = draw >= 0 ? n : op_info[op].arity;
    if (n != wanted || n > 3) {
        if (fail(e, at, "E0402", "`%s` takes %d numbers, it is given %d", name,
                 draw >= 0 ? 2 : wanted, n) &&
            (op == OP_MAX || op == OP_MIN))
            fail_help(e, "over an index it is a reduction: `%s[i] …`", name);
        return value_error(e);
    }
    Value *v = NULL;
    for (int i = 0; i < n; i++) {
        number[i] = value_number(e, args[i], at);
        if (number[i]->kind == VAL_NUMBER && number[i]->truth) {
            fail(e, at, "E0414", "a condition is no number for `%s`", name);
            number[i] = value_error(e);
        }
        if (number[i]->kind != VAL_NUMBER) v = value_error(e);
    }
    if (!v)
        v = draw >= 0 ? draw_call(e, draw, number, n, at)
                      : num_op(e, (Op)op, number[0], n > 1 ? number[1] : NULL,
                               n > 2 ? number[2] : NULL, at);
    return v;
}
