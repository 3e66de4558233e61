/* SPDX-License-Identifier: MIT
 * Expressions: names, fields, operators, conditions, and values that stand on their own.
 * Needs front and ir. Reads, reductions and calls have files of their own. */
#include "elab_internal.h"
#include <math.h>
#include <string.h>

Value *find_value(Elab *e, Name name) {
    return map_get(&e->scope->values, name);
}
Value *find_primed(Elab *e, Name name) {
    return map_get(&e->scope->primed, name);
}

/* ---- Names */
static Value *run_number(Elab *e, const Expr *x) {
    static const char *const names[] = {"step", "epoch", "steps_per_epoch", "progress"};
    for (int i = 0; i < LENGTH(names); i++)
        if (!strcmp(x->name, names[i])) return hyper_value(e, names[i], x->at);
    if (e->mode == MODE_UPDATE && e->loss && !strcmp(x->name, "loss"))
        return value_node(e, e->loss, x->at);
    if (e->train && !strcmp(x->name, "full_batch")) return value_truth(e, e->full_batch, x->at);
    return NULL;
}

static Value *constant(Elab *e, const Expr *x) {
    if (!strcmp(x->name, "none")) return value_new(e, VAL_NONE, x->at);
    if (!strcmp(x->name, "pi")) return value_const(e, 3.14159265358979323846, x->at);
    if (!strcmp(x->name, "infinity")) return value_const(e, INFINITY, x->at);
    if (!strcmp(x->name, "true") || !strcmp(x->name, "false"))
        return value_truth(e, x->name[0] == 't', x->at);
    if (!strcmp(x->name, "training") && e->mode == MODE_SAMPLE)
        return value_truth(e, map_has(&e->sample_true, x), x->at);
    if (!strcmp(x->name, "training")) return value_truth(e, e->training, x->at);
    if (!strcmp(x->name, "example")) return value_new(e, VAL_EXAMPLE, x->at);
    return NULL;
}

static void unknown_name(Elab *e, const Expr *x) {
    if (map_has(&e->scope->gone, x->name)) {
        if (fail(e, x->at, "E0203", "index `%s` is used outside what binds it", x->name))
            fail_help(e, "a reduction ends before `+` and `-`: put its body in parentheses");
        return;
    }
    VEC(Name) near = {0};
    Map *maps[] = {&e->scope->values, &e->scope->extents, (Map *)&e->module->defs,
                   (Map *)&e->module->models};
    for (int m = 0; m < LENGTH(maps); m++)
        for (int i = 0; i < maps[m]->slots.len; i++)
            VEC_PUSH(e->arena, near, maps[m]->slots.at[i].key);
    if (!fail(e, x->at, "E0201", "unknown name `%s`", x->name)) return;
    Name best = name_nearest(x->name, near.at, (size_t)near.len);
    if (best) fail_help(e, "did you mean `%s`?", best);
}

static Value *eval_name(Elab *e, const Expr *x) {
    const Bind *b = bind_find(e, x->name);
    if (b && b->pack) {
        fail(e, x->at, "E0308", "`%s...` stands for several indices; it has no value of its own",
             x->name);
        return value_error(e);
    }
    if (b && b->placed) return value_scalar(e, sc_index(e->g, ix_dim(e->g, b->dim[0])), x->at);
    Value *v = find_value(e, x->name);
    if (v) return v;
    const Extents *extents = extents_find(e, x->name);
    if (extents && !extents->pack) return value_const(e, (double)extents->ext[0], x->at);
    if (extents) {
        fail(e, x->at, "E0308",
             "`%s...` stands for several dimensions; `count[%s...]` is their product", x->name,
             x->name);
        return value_error(e);
    }
    if ((v = constant(e, x)) || (v = run_number(e, x))) return v;
    const Decl *decl = map_get(&e->module->defs, x->name);
    decl = decl ? decl : map_get(&e->module->models, x->name);
    if (decl) return def_value(e, decl, x, x->at);
    if (builtin_known(x->name)) return builtin_value(e, x->name, x, x->at);
    if (e->frame->target == x->name) {
        if (fail(e, x->at, "E0350", "`%s` is read while it is being made", x->name))
            fail_help(e, "a value may be read at its own earlier index: `%s[t - 1, …; 0]`", x->name);
    } else
        unknown_name(e, x);
    return value_error(e);
}

static Value *eval_primed(Elab *e, const Expr *x) {
    Value *v = find_primed(e, x->name);
    if (v) return v;
    v = find_value(e, x->name);
    if (v && !e->training && (e->mode == MODE_EVAL || e->mode == MODE_SAMPLE)) return v; /* nothing is updated in prediction */
    if (fail(e, x->at, "E0420", "`%s'` is read before it is given its new value", x->name))
        fail_help(e, "write `%s' = …` above", x->name);
    return value_error(e);
}

/* ---- Operators */
static const struct {
    const char *text;
    Op op;
    bool truth; /* operands are conditions */
} binary_ops[] = {
    {"+", OP_ADD, false},  {"-", OP_SUB, false}, {"*", OP_MUL, false}, {"/", OP_DIV, false},
    {"%", OP_MOD, false},  {"^", OP_POW, false}, {"<", OP_LT, false},  {"<=", OP_LE, false},
    {">", OP_GT, false},   {">=", OP_GE, false}, {"==", OP_EQ, false}, {"!=", OP_NE, false},
    {"and", OP_AND, true}, {"or", OP_OR, true},
};

static int binary_op(const char *text) {
    for (int i = 0; i < LENGTH(binary_ops); i++)
        if (!strcmp(text, binary_ops[i].text)) return i;
    bug("operator `%s`", text);
}

/* `==` and `!=` of strings, none and defs are known. */
static Value *compare_things(Elab *e, const Expr *x, Value *a, Value *b) {
    bool same;
    if (a->kind == VAL_STRING && b->kind == VAL_STRING)
        same = !strcmp(a->text, b->text);
    else if (a->kind == VAL_NONE || b->kind == VAL_NONE)
        same = a->kind == b->kind;
    else if (a->kind == VAL_STRING || b->kind == VAL_STRING) {
        fail(e, x->at, "E0414", "%s is compared with %s", value_text(e, a), value_text(e, b));
        return value_error(e);
    } else
        return NULL;
    return value_truth(e, same == (x->name[0] == '='), x->at);
}

/* What decides already is not asked further, but for what is known and can be set all the same. */
static Value *eval_logic(Elab *e, const Expr *x, Op op) {
    Value *a = value_condition(e, eval(e, x->a), x->a->at);
    double constant;
    if (a->kind != VAL_NUMBER) return a;
    bool fixed = a->known && sc_is_const(a->s, &constant);
    if (fixed && (a->num != 0) == (op == OP_OR)) return value_truth(e, op == OP_OR, x->at);
    Value *b = value_condition(e, eval(e, x->b), x->b->at);
    return fixed ? b : num_op(e, op, a, b, NULL, x->at);
}

static Value *eval_binary(Elab *e, const Expr *x) {
    int row = binary_op(x->name);
    Op op = binary_ops[row].op;
    if (binary_ops[row].truth) return eval_logic(e, x, op);
    Value *a = eval(e, x->a), *b = eval(e, x->b);
    if (a->kind == VAL_ERROR || b->kind == VAL_ERROR) return value_error(e);
    if (op == OP_EQ || op == OP_NE) {
        Value *known = compare_things(e, x, a, b);
        if (known) return known;
    }
    if (op == OP_ADD || op == OP_SUB) { /* a parameter that is none adds nothing */
        if (b->kind == VAL_NONE) return a;
        if (a->kind == VAL_NONE && op == OP_ADD) return b;
    }
    a = value_number(e, a, x->a->at);
    b = value_number(e, b, x->b->at);
    if (a->kind == VAL_NUMBER && b->kind == VAL_NUMBER && (a->truth || b->truth) &&
        !(a->truth && b->truth && (op == OP_EQ || op == OP_NE))) {
        if (fail(e, (a->truth ? x->a : x->b)->at, "E0414", "a condition is no number for `%s`",
                 x->name))
            fail_help(e, "write `if … then 1 else 0`");
        return value_error(e);
    }
    return num_op(e, op, a, b, NULL, x->at);
}

static Value *eval_unary(Elab *e, const Expr *x) {
    if (x->name[0] == '-') {
        Value *a = eval_number(e, x->a);
        if (a->kind == VAL_NUMBER && a->truth) {
            fail(e, x->at, "E0414", "a condition is no number for `-`");
            return value_error(e);
        }
        return num_op(e, OP_NEG, a, NULL, NULL, x->at);
    }
    return num_op(e, OP_NOT, value_condition(e, eval(e, x->a), x->a->at), NULL, NULL, x->at);
}

static bool asks_training(const Expr *x) {
    return x && ((x->kind == EXPR_NAME && !strcmp(x->name, "training")) || asks_training(x->a) ||
                 asks_training(x->b));
}

static Value *eval_if(Elab *e, const Expr *x) {
    Value *condition = eval(e, x->a);
    if (condition->kind == VAL_ERROR) return condition;
    condition = value_condition(e, condition, x->a->at);
    if (condition->kind != VAL_NUMBER) return condition;
    if (condition->known) {
        int asks = asks_training(x->a);
        e->training_decides += asks;
        Value *v = eval(e, condition->num != 0 ? x->b : x->c);
        e->training_decides -= asks;
        return v;
    }
    Value *b = eval(e, x->b), *c = eval(e, x->c);
    if (b->kind == VAL_ERROR || c->kind == VAL_ERROR) return value_error(e);
    Value *nb = value_number(e, b, x->b->at), *nc = value_number(e, c, x->c->at);
    if (nb->kind == VAL_NUMBER && nc->kind == VAL_NUMBER && nb->truth != nc->truth) {
        fail(e, x->at, "E0414", "one branch is a condition, the other a number");
        return value_error(e);
    }
    return num_op(e, OP_SELECT, condition, nb, nc, x->at);
}

/* ---- Values on their own */
/* The first tensor without brackets gives the dimensions of an unnamed left-hand side, before a
 * draw in the same expression asks how many elements there are. */
void anon_prepare(Elab *e, const Expr *x) {
    Frame *f = e->frame;
    if (!x || !f->anon_ok || f->nanon >= 0) return;
    switch (x->kind) {
    case EXPR_NAME: {
        Value *v = bind_find(e, x->name) ? NULL : find_value(e, x->name);
        if (v && v->kind == VAL_TENSOR) value_number(e, v, x->at);
        return;
    }
    case EXPR_UNARY:
    case EXPR_BINARY:
        anon_prepare(e, x->a);
        anon_prepare(e, x->b);
        return;
    case EXPR_IF: {
        int truth = static_truth(e, x->a);
        if (truth < 0) anon_prepare(e, x->a);
        if (truth != 0) anon_prepare(e, x->b);
        if (truth != 1) anon_prepare(e, x->c);
        return;
    }
    case EXPR_CALL:
        if (x->base->kind == EXPR_NAME && builtin_known(x->base->name) &&
            gradient_shape(x->base->name) < 0 && !find_value(e, x->base->name))
            for (int i = 0; i < x->args.len; i++)
                anon_prepare(e, x->args.at[i].value);
        return;
    default:
        return;
    }
}

void frame_end(Elab *e, Frame *outer) {
    for (int i = 0; i < e->frame->nanon; i++)
        dim_free(e, e->frame->anon[i]);
    e->frame = outer;
}

Value *eval_with(Elab *e, const Expr *x, Frame frame, Name label) {
    Frame *outer = e->frame;
    e->frame = &frame;
    anon_prepare(e, x);
    Value *v = eval(e, x);
    /* what needs the unnamed left-hand side only in the end: `x` alone is x itself */
    if (v->kind == VAL_NUMBER) v = value_settle(e, v, label, x->at);
    frame_end(e, outer);
    return v;
}

Value *eval_arg(Elab *e, const Expr *x) {
    Frame frame = *e->frame;
    frame.anon_ok = true;
    frame.nanon = -1;
    Frame *outer = e->frame;
    e->frame = &frame;
    anon_prepare(e, x);
    if (frame.nanon > 0) frame.nlhs = 0; /* a value of its own: one draw for each of its elements */
    Value *v = x->kind == EXPR_CALL ? eval_call(e, x, true, false) : eval(e, x);
    if (v->kind == VAL_NUMBER && !v->truth &&
        (frame.nanon > 0 || (v->s->kind == SC_OP && v->s->reads)))
        v = value_settle(e, v, NULL, x->at);
    frame_end(e, outer);
    return v;
}

static Value *eval_tuple(Elab *e, const Expr *x) {
    Value *v = value_new(e, VAL_TUPLE, x->at);
    for (int i = 0; i < x->args.len; i++)
        VEC_PUSH(e->arena, v->items, eval_arg(e, x->args.at[i].value));
    return v;
}

static Value *eval_string(Elab *e, const Expr *x) {
    Value *v = value_new(e, VAL_STRING, x->at);
    v->text = x->text;
    return v;
}

Value *eval_number(Elab *e, const Expr *x) {
    return value_number(e, eval(e, x), x->at);
}

/* The element of a list at dimensions `depth` and beyond; NULL where it is none (diagnosed). */
static const Scalar *list_scalar(Elab *e, const Expr *x, int depth, int *rank, int64_t *ext) {
    if (x->kind != EXPR_LIST) {
        Value *v = eval_number(e, x);
        if (v->kind != VAL_NUMBER) return NULL;
        if (v->known && !v->truth && depth == *rank) return sc_const(e->g, v->num);
        fail(e, x->at, "E0415",
             depth == *rank ? "a list holds numbers known at compile time"
                            : "the rows of a list have one length");
        return NULL;
    }
    bool first = ext[depth] == 0;
    if (first) ext[depth] = x->args.len, *rank = depth + 1;
    if (x->args.len < 1 || depth >= *rank || depth + 1 >= MAX_RANK || ext[depth] != x->args.len) {
        fail(e, x->at, "E0415",
             x->args.len < 1 ? "a list has at least one number"
                             : "the rows of a list have one length");
        return NULL;
    }
    const Scalar *body = NULL, *index = sc_index(e->g, ix_dim(e->g, depth));
    for (int i = 0; i < x->args.len; i++) {
        const Scalar *one = list_scalar(e, x->args.at[i].value, depth + 1, rank, ext);
        if (!one) return NULL;
        const Scalar *at = sc_op(e->g, OP_EQ, index, sc_const(e->g, i), NULL);
        body = body ? sc_op(e->g, OP_SELECT, at, one, body) : one;
    }
    return body;
}

/* `[10, 5]`, `[[1, 0], [0, 1]]`: numbers that are known, as a tensor. */
static Value *eval_list(Elab *e, const Expr *x) {
    int rank = 0;
    int64_t ext[MAX_RANK] = {0};
    const Scalar *body = list_scalar(e, x, 0, &rank, ext);
    if (!body) return value_error(e);
    return value_node(e, graph_map(e->g, rank, ext, body, NULL, x->at), x->at);
}

Value *eval(Elab *e, const Expr *x) {
    Value *special = e->claim ? claim_eval(e, x) : NULL;
    if (special) return special;
    switch (x->kind) {
    case EXPR_NUMBER:
        return value_const(e, x->number, x->at);
    case EXPR_STRING:
        return eval_string(e, x);
    case EXPR_NAME:
        return eval_name(e, x);
    case EXPR_FIELD:
        return eval_field(e, x);
    case EXPR_READ:
        return eval_read(e, x);
    case EXPR_CALL:
        return eval_call(e, x, false, false);
    case EXPR_UNARY:
        return eval_unary(e, x);
    case EXPR_BINARY:
        return eval_binary(e, x);
    case EXPR_IF:
        return eval_if(e, x);
    case EXPR_REDUCE:
        return eval_reduce(e, x);
    case EXPR_CHAIN:
        return eval_chain(e, x);
    case EXPR_PRIMED:
        return eval_primed(e, x);
    case EXPR_TUPLE:
        return eval_tuple(e, x);
    case EXPR_LIST:
        return eval_list(e, x);
    case EXPR_ON:
        fail(e, x->at, "E0415", "`on` does not stand here");
        return value_error(e);
    case EXPR_PACK: /* coordinates alone */
    case EXPR_WHEN: /* in `data` alone: front says so */
        break;
    case EXPR_ORDER:
    case EXPR_SAMPLE:
        return order_form(e, x);
    }
    return value_error(e);
}
