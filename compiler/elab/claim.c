/* SPDX-License-Identifier: MIT
 * What a test says: its bindings, and one claim or one def to differentiate, as programs of a unit.
 * Needs ir. In tests alone: inputs of a written shape, `shape(e)`, `parameters(m)`, optimizers
 * called as functions, values known from a training. Runs nothing. */
#include "elab_internal.h"
#include <string.h>

/* ---- Names that only tests know */
static Value *known_value(Elab *e, Name name, Span at) {
    for (int i = 0; i < e->claim->nknown; i++) {
        const Known *k = &e->claim->known[i];
        if (k->name != name) continue;
        if (k->rank == 0) return value_const(e, k->values[0], at);
        return value_node(e, graph_leaf(e->g, NODE_INPUT, name, false, k->rank, k->extent, 0, at),
                          at);
    }
    return NULL;
}

/* Any tensor of this shape: `x[4, 8, 8]`; `class[10]` is one of ten classes. */
static Value *any_input(Elab *e, const Expr *x) {
    int64_t ext[MAX_RANK];
    int rank = 0;
    if (find_value(e, x->base->name) || map_has(&e->module->defs, x->base->name) ||
        map_has(&e->module->models, x->base->name) || x->outside)
        return NULL;
    for (; rank < x->args.len && rank < MAX_RANK; rank++) {
        int64_t n;
        if (!extent_eval(e, x->args.at[rank].value, &n)) return value_error(e);
        if (n < 1) {
            fail(e, x->args.at[rank].at, "E0811", "an extent of %lld", (long long)n);
            return value_error(e);
        }
        ext[rank] = n;
    }
    bool class = rank == 1 && !strcmp(x->base->name, "class");
    if (!check_size(e, x->at, rank, ext)) return value_error(e);
    /* of another shape it is another tensor */
    Name name = name_printf("%s%s", x->base->name, shape_text(e, rank, ext));
    Node *leaf =
        graph_leaf(e->g, NODE_INPUT, name, true, class ? 0 : rank, ext, class ? ext[0] : 0, x->at);
    return value_node(e, leaf, x->at);
}

static Value *shape_of(Elab *e, const Expr *x) {
    Value *v = eval_arg(e, x->args.at[0].value);
    if (v->kind == VAL_ERROR) return v;
    if (v->kind != VAL_TENSOR || !value_rank(v)) {
        fail(e, x->at, "E0811", "%s has no shape", value_text(e, v));
        return value_error(e);
    }
    const Scalar *body = sc_const(e->g, 0), *index = sc_index(e->g, ix_dim(e->g, 0));
    int64_t rank = value_rank(v);
    for (int i = 0; i < rank; i++) {
        const Scalar *at = sc_op(e->g, OP_EQ, index, sc_const(e->g, i), NULL);
        body = sc_op(e->g, OP_SELECT, at, sc_const(e->g, (double)value_extent(v)[i]), body);
    }
    return value_node(e, graph_map(e->g, 1, &rank, body, NULL, x->at), x->at);
}

static Value *parameters_of(Elab *e, const Expr *x) {
    const Expr *of = x->args.at[0].value;
    const Decl *model = of->kind == EXPR_NAME ? map_get(&e->module->models, of->name) : NULL;
    if (!model) {
        fail(e, of->at, "E0811", "`parameters(m)` counts the parameters of a model");
        return value_error(e);
    }
    Elab *other = elab_new(e->arena, e->module);
    other->model = model;
    double count = 0;
    if (!model_inputs_make(other) || !model_run(other, other->model_inputs.at)) {
        e->failed++;
        return value_error(e);
    }
    for (int i = 0; i < other->param_list.len; i++)
        count += (double)node_count(other->param_list.at[i]->leaf);
    return value_const(e, count, x->at);
}

Value *claim_eval(Elab *e, const Expr *x) {
    if (e->uses.len) return NULL; /* in the body of a def all is as ever */
    if (x->kind == EXPR_FIELD) {
        const char *text = field_text(e, x);
        return text ? known_value(e, name_of(text), x->at) : NULL;
    }
    if (x->kind == EXPR_READ && x->base->kind == EXPR_NAME) return any_input(e, x);
    if (x->kind != EXPR_CALL || x->base->kind != EXPR_NAME || x->args.len != 1) return NULL;
    if (map_has(&e->module->defs, x->base->name)) return NULL;
    if (!strcmp(x->base->name, "shape")) return shape_of(e, x);
    return !strcmp(x->base->name, "parameters") ? parameters_of(e, x) : NULL;
}

bool claim_updates(const Elab *e, const Decl *decl) {
    if (!e->claim || e->mode == MODE_UPDATE || !decl->params.len) return false;
    for (int i = 0; i < decl->body.len; i++) {
        const Stmt *s = decl->body.at[i];
        if (s->kind == STMT_BIND && s->targets.at[0].primed &&
            s->targets.at[0].name == decl->params.at[0].name)
            return true;
    }
    return false;
}

/* ---- Programs */
static bool reads(const Expr *x, Name name) {
    if (!x) return false;
    if (x->name == name) return true;
    for (int i = 0; i < x->args.len; i++)
        if (reads(x->args.at[i].value, name)) return true;
    for (int i = 0; i < x->indices.len; i++)
        if (reads(x->indices.at[i].extent, name)) return true;
    return reads(x->base, name) || reads(x->a, name) || reads(x->b, name) || reads(x->c, name) ||
           reads(x->outside, name);
}

static bool stmt_reads(const Stmt *s, const Target *target) {
    bool found = reads(s->value, target->name);
    for (int i = 0; i < s->where.len; i++)
        found |= reads(s->where.at[i]->value, target->name);
    for (int i = 0; i < s->targets.len; i++)
        for (int k = 0; k < s->targets.at[i].indices.len; k++)
            found |= reads(s->targets.at[i].indices.at[k].extent, target->name);
    return found;
}

/* Of the test's bindings before the claim those that it reads, and what these read. */
static bool *wanted_bindings(Arena *arena, const Claim *claim) {
    const StmtList *body = claim->body;
    bool *wanted = NEW_ARRAY(arena, bool, body->len + 1);
    int end = 0;
    while (end < body->len && body->at[end] != claim->stmt)
        end++;
    for (int i = end - 1; i >= 0; i--) {
        const Stmt *s = body->at[i];
        for (int t = 0; s->kind == STMT_BIND && t < s->targets.len; t++) {
            wanted[i] |= stmt_reads(claim->stmt, &s->targets.at[t]);
            for (int k = i + 1; k < end; k++)
                wanted[i] |= wanted[k] && stmt_reads(body->at[k], &s->targets.at[t]);
        }
    }
    return wanted;
}

static bool of_run(Name name) {
    static const char *const names[] = {"step", "epoch", "steps_per_epoch", "progress"};
    for (int i = 0; i < LENGTH(names); i++)
        if (!strcmp(name, names[i])) return true;
    return false;
}

/* The bindings before the claim; `training` and the numbers of the run that `at` gives. */
static bool claim_begin(Elab *e, Program *p) {
    const Stmt *claimed = e->claim->stmt;
    Decl *body = NEW(e->arena, Decl);
    *body = (Decl){.kind = DECL_DEF, .name = name_of("test"), .at = claimed->at};
    int failed = e->failed;
    e->scope = scope_new(e, body, NULL, NULL);
    map_init(&e->visits, e->arena);
    for (int i = 0; i < claimed->body.len; i++) {
        const Stmt *s = claimed->body.at[i];
        Name name = s->targets.at[0].name;
        Value *v = eval_with(e, s->value, frame_new(), NULL);
        bool known = v->kind == VAL_NUMBER && v->known, training = !strcmp(name, "training");
        if (known && v->truth && training)
            e->training = v->num != 0;
        else if (known && !v->truth && of_run(name))
            program_value(e, p, name_printf("at:%s", name), graph_const(e->g, 0, NULL, v->num));
        else if (v->kind != VAL_ERROR &&
                 fail(e, s->at, "E0812", "`at` gives a number of the run a value that is known"))
            fail_help(e, "these are step, epoch, steps_per_epoch, progress; and training, true or "
                         "false");
    }
    for (int i = 0; i < e->claim->nknown; i++) {
        Name name = e->claim->known[i].name;
        if (!strchr(name, '.')) map_put(&e->scope->values, name, known_value(e, name, claimed->at));
    }
    bool *wanted = wanted_bindings(e->arena, e->claim);
    for (int i = 0; i < e->claim->body->len; i++)
        if (wanted[i]) VEC_PUSH(e->arena, body->body, e->claim->body->at[i]);
    run_body(e, &body->body);
    run_where(e, claimed);
    return e->failed == failed;
}

static bool is_comparison(const Expr *x) {
    static const char *const words[] = {"<", "<=", ">", ">=", "==", "!=", "~"};
    for (int i = 0; x->kind == EXPR_BINARY && i < LENGTH(words); i++)
        if (!strcmp(x->name, words[i])) return true;
    return false;
}

static Node *claim_side(Elab *e, const Expr *x, const char *name) {
    Value *v = eval_with(e, x, frame_new(), name_of(name));
    if (v->kind == VAL_DEF) v = value_number(e, v, x->at);
    bool plain = v->kind == VAL_TENSOR || v->kind == VAL_NUMBER;
    return plain && !v->truth ? value_whole(e, v, name_of(name), x->at) : NULL;
}

/* Two values of one shape, or one of them a number; false where the claim is a condition as a
 * whole. */
static bool claim_sides(Elab *e, Program *p, const Expr *x) {
    Node *left = claim_side(e, x->a, "left"), *right = claim_side(e, x->b, "right");
    if (!left || !right) return false;
    bool same = left->rank == right->rank;
    for (int i = 0; same && i < left->rank; i++)
        same = left->extent[i] == right->extent[i];
    if (!same && left->rank && right->rank &&
        fail(e, x->at, "E0305", "shapes differ: %s and %s", shape_text(e, left->rank, left->extent),
             shape_text(e, right->rank, right->extent)))
        fail_help(e, "what is compared has one shape, or one of the two is a number");
    program_value(e, p, name_of("left"), left);
    program_value(e, p, name_of("right"), right);
    return true;
}

static Unit *claim_finish(Elab *e) {
    program_fits(e);
    program_init(e);
    unit_finish(e);
    return e->failed ? NULL : e->unit;
}

Unit *elab_claim(Arena *arena, const Module *module, const Claim *claim) {
    Elab *e = elab_new(arena, module);
    const Expr *x = claim->value;
    e->claim = claim;
    e->mode = MODE_EVAL;
    Program *p = program_new(e, PROGRAM_EVAL, "eval");
    if (!claim_begin(e, p)) return NULL;
    bool sides = is_comparison(x) && claim_sides(e, p, x),
         near = !strcmp(x->name ? x->name : "", "~");
    if (e->failed) return NULL;
    if (near && x->c) {
        Node *within = claim_side(e, x->c, "within");
        if (within && within->rank) fail(e, x->c->at, "E0813", "`within` takes one number");
        if (within) program_value(e, p, name_of("within"), within);
    }
    if (!sides && near)
        fail(e, x->at, "E0813", "`a ~ b within e` compares numbers");
    else if (!sides) {
        Value *v = eval_with(e, x, frame_new(), NULL);
        if (v->kind != VAL_ERROR && !v->truth) {
            if (fail(e, x->at, "E0810", "a test expects a condition, this is %s", value_text(e, v)))
                fail_help(e, "compare it: `expect … == …`");
        } else if (v->kind != VAL_ERROR) {
            Node *node = value_whole(e, v, name_of("holds"), x->at);
            if (node) program_value(e, p, name_of("holds"), node);
        }
    }
    return e->failed ? NULL : claim_finish(e);
}

Unit *elab_claim_def(Arena *arena, const Module *module, const Claim *claim) {
    Elab *e = elab_new(arena, module);
    e->claim = claim;
    for (int step = 0; step < 2; step++) {
        e->mode = step ? MODE_STEP : MODE_EVAL;
        e->training = step;
        e->updates.len = 0;
        Program *p =
            step ? program_new(e, PROGRAM_STEP, "step") : program_new(e, PROGRAM_EVAL, "eval");
        if (!claim_begin(e, p)) return NULL;
        Value *v = eval_with(e, claim->value, frame_new(), name_of("y"));
        Node *y = v->kind == VAL_ERROR ? NULL : value_whole(e, v, name_of("y"), claim->value->at);
        if (!y || e->failed) return NULL;
        probe_results(e, p, y, false);
    }
    e->training = false;
    return claim_finish(e);
}
