/* SPDX-License-Identifier: MIT
 * Runs the body of a def: its statements in order, in names of its own.
 * Needs front. Headers are header.c's; parameters, states and updates are state.c's. */
#include "elab_internal.h"
#include <string.h>

/* ---- Statements */
static Frame statement_frame(Elab *e, const Stmt *stmt) {
    Frame f = *e->frame;
    f.anon_ok = true;
    f.nanon = -1;
    f.shared = f.shared || stmt->shared;
    f.stmt = stmt;
    f.target = f.use = NULL;
    if (stmt->kind == STMT_BIND && stmt->targets.len == 1) {
        f.target = f.use = stmt->targets.at[0].name;
        f.uses = f.with_params = 0;
        count_uses(e, stmt->value, &f.uses, &f.with_params);
    } else if (stmt->targets.len)
        f.target = stmt->targets.at[0].name;
    return f;
}

static Name label_of(Elab *e, Name name) {
    return path_join(e->scope->path, name);
}

void run_where(Elab *e, const Stmt *stmt) {
    for (int i = 0; i < stmt->where.len; i++) {
        const Stmt *s = stmt->where.at[i];
        Frame outer = *e->frame, f = statement_frame(e, s);
        Name name = s->targets.at[0].name;
        f.nlhs = outer.nlhs;
        Value *v = s->targets.at[0].indexed
                       ? run_indexed(e, &s->targets.at[0], s, label_of(e, name))
                       : eval_with(e, s->value, f, label_of(e, name));
        map_put(&e->scope->values, name, v);
    }
}

static bool indexed_value(Elab *e, const Target *target, const Stmt *stmt, int first, Frame *f,
                          Value **out) {
    bool ok = true;
    for (int i = 0; i < target->indices.len; i++)
        ok = ok && bind_push(e, &target->indices.at[i]);
    if (!ok) return false;
    e->saw_error = false;
    bind_infer(e, first, stmt->value);
    for (int i = 0; i < stmt->where.len; i++)
        bind_infer(e, first, stmt->where.at[i]->value);
    if (!bind_finish(e, first)) return false;
    if (e->mode == MODE_INIT) f->nlhs = 0; /* one tensor, not one for each element of a parameter */
    for (int i = first; i < e->binds.len; i++)
        for (int k = 0; k < e->binds.at[i].n && f->nlhs < LIVE_DIMS; k++)
            f->lhs[f->nlhs++] = e->binds.at[i].dim[k];
    f->lhs_target = target;
    f->lhs_bind = first;
    f->time = e->binds.len > first && e->binds.at[first].n ? e->binds.at[first].dim[0] : -1;
    e->frame = f;
    run_where(e, stmt);
    Value *v = eval(e, stmt->value);
    if (v->kind == VAL_NONE)
        fail(e, stmt->value->at, "E0411", "none is no value here");
    else
        v = value_number(e, v, stmt->value->at);
    *out = v;
    return v->kind == VAL_NUMBER;
}

static Value *indexed_node(Elab *e, const Target *target, int first, const Value *v, Name label) {
    uint32_t own = reduced_dims(e, first);
    int dims[2 * LIVE_DIMS], outer = free_dims(v->s, own, dims), n = outer;
    Name *axes = NEW_ARRAY(e->arena, Name, LIVE_DIMS);
    for (int i = first; i < e->binds.len; i++)
        for (int k = 0; k < e->binds.at[i].n; k++) {
            axes[n - outer] = e->binds.at[i].name;
            dims[n++] = e->binds.at[i].dim[k];
        }
    Node *node = make_node(e, v->s, n, 0, dims, RED_NONE, false, label, target->at);
    if (node->rank != n) return value_error(e);
    if (n == outer && n == 0) {
        Value *number = value_node(e, node, target->at);
        number->truth = false;
        return number;
    }
    Value *t = value_new(e, VAL_TENSOR, target->at);
    t->node = node;
    t->truth = v->truth;
    t->npre = outer;
    for (int i = 0; i < outer; i++)
        t->pre[i] = ix_dim(e->g, dims[i]);
    t->axes = axes;
    if (n == outer) /* a pack of no dimensions */
        return value_scalar(e, sc_read(e->g, node, t->pre, NULL), target->at);
    return t;
}

Value *run_indexed(Elab *e, const Target *target, const Stmt *stmt, Name label) {
    int first = e->binds.len;
    Frame *outer = e->frame, f = statement_frame(e, stmt);
    f.anon_ok = false;
    f.target = target->name;
    Value *v = NULL, *result = value_error(e);
    if (indexed_value(e, target, stmt, first, &f, &v))
        result = indexed_node(e, target, first, v, label);
    e->frame = outer;
    bind_pop(e, first);
    recur_close(e, target, result);
    return result;
}

static Value *bind_one(Elab *e, const Stmt *stmt) {
    const Target *t = &stmt->targets.at[0];
    if (t->indexed) return run_indexed(e, t, stmt, label_of(e, t->name));
    run_where(e, stmt);
    return eval_with(e, stmt->value, statement_frame(e, stmt), label_of(e, t->name));
}

static void run_bind(Elab *e, const Stmt *stmt) {
    Value *v = bind_one(e, stmt);
    if (stmt->targets.len == 1) {
        map_put(&e->scope->values, stmt->targets.at[0].name, v);
        e->scope->result = v;
        return;
    }
    if (v->kind != VAL_ERROR && (v->kind != VAL_TUPLE || v->items.len != stmt->targets.len))
        fail(e, stmt->value->at, "E0417", "%d names are bound to %s", stmt->targets.len,
             value_text(e, v));
    for (int i = 0; i < stmt->targets.len; i++) {
        bool has = v->kind == VAL_TUPLE && v->items.len == stmt->targets.len;
        map_put(&e->scope->values, stmt->targets.at[i].name, has ? v->items.at[i] : value_error(e));
    }
    e->scope->result = v;
}

static Node *whole_node(Elab *e, const Value *v, Name label, Span at) {
    return value_whole(e, (Value *)(uintptr_t)v, label, at);
}

static void run_predict(Elab *e, const Stmt *stmt) {
    if (e->training || (e->mode != MODE_EVAL && e->mode != MODE_SAMPLE)) return;
    Value *v = bind_one(e, stmt);
    map_put(&e->scope->values, stmt->targets.at[0].name, v);
    const Decl *decl = e->scope->decl;
    Value *first = decl && decl->params.len ? find_value(e, decl->params.at[0].name) : NULL;
    if (v->kind == VAL_ERROR || !first) return;
    Clause clause = {.name = stmt->targets.at[0].name,
                     .node = whole_node(e, v, label_of(e, stmt->targets.at[0].name), stmt->at),
                     .output = first->kind == VAL_TENSOR ? first->node
                               : first->kind == VAL_NUMBER && first->s->kind == SC_READ
                                   ? first->s->node
                                   : NULL};
    if (clause.node) VEC_PUSH(e->arena, e->clauses, clause);
}

static void run_stop(Elab *e, const Stmt *stmt) {
    if (e->mode != MODE_EPOCH && !e->scheduling) {
        fail(e, stmt->at, "E0422", "`stop when` stands in a stop rule: `stop = rule(…)`");
        return;
    }
    Frame f = statement_frame(e, stmt), *outer = e->frame;
    e->frame = &f;
    Value *v = value_condition(e, eval(e, stmt->value), stmt->value->at);
    frame_end(e, outer);
    if (v->kind != VAL_NUMBER) return;
    if (v->s->dims) {
        fail(e, stmt->value->at, "E0422",
             "`stop when` wants one condition; reduce it over its indices");
        return;
    }
    schedule_stop(e, v->s);
}

static void run_repeat(Elab *e, const Stmt *stmt) {
    int64_t n;
    if (!extent_eval(e, stmt->value, &n)) return;
    if (n < 0 || n > 10000) {
        fail(e, stmt->value->at, "E0418", "`repeat` of %lld rounds", (long long)n);
        return;
    }
    int failed = e->failed;
    for (int64_t i = 0; i < n && e->failed == failed; i++)
        run_body(e, &stmt->body);
}

static void run_value(Elab *e, const Stmt *stmt) {
    run_where(e, stmt);
    Name label = e->scope->path;
    e->scope->result = eval_with(e, stmt->value, statement_frame(e, stmt), label);
}

/* `at e`, `evaluate at e`: found by update.c when it looks ahead. */
static void run_at(Elab *e, const Stmt *stmt) {
    if (e->mode != MODE_UPDATE) {
        fail(e, stmt->at, "E0415", "`at` belongs in an optimizer");
        return;
    }
    run_where(e, stmt);
    Value **place = stmt->kind == STMT_AT ? &e->look_at : &e->look_eval;
    *place = eval_with(e, stmt->value, statement_frame(e, stmt), NULL);
}

static bool run_require(Elab *e, const Stmt *stmt) {
    run_where(e, stmt);
    Frame f = statement_frame(e, stmt), *outer = e->frame;
    e->frame = &f;
    Value *v = value_condition(e, eval(e, stmt->value), stmt->value->at);
    frame_end(e, outer);
    return require_run(e, stmt, v, stmt->value->at);
}

void run_body(Elab *e, const StmtList *body) {
    for (int i = 0; i < body->len; i++) {
        const Stmt *s = body->at[i];
        switch (s->kind) {
        case STMT_PARAM:
            run_param(e, s);
            break;
        case STMT_STATE:
            run_state(e, s);
            break;
        case STMT_BIND:
            if (s->targets.at[0].primed)
                run_update(e, s);
            else
                run_bind(e, s);
            break;
        case STMT_VALUE:
            run_value(e, s);
            break;
        case STMT_PREDICT:
            run_predict(e, s);
            break;
        case STMT_AT:
        case STMT_EVALUATE_AT:
            run_at(e, s);
            break;
        case STMT_REQUIRE:
            if (!run_require(e, s)) return;
            break;
        case STMT_STOP_WHEN:
            run_stop(e, s);
            break;
        case STMT_REPEAT:
            run_repeat(e, s);
            break;
        case STMT_AFTER_TRAINING:
            run_after(e, s);
            break;
        case STMT_DERIVATIVE:
            run_derivative(e, s);
            break;
        default: /* of tests: the grammar has it nowhere else */
            break;
        }
    }
}

/* ---- A def */
/* Draws inside are one for each element that the def is applied for: of what its numbers depend on;
 * of the whole left-hand side where it is given no tensor. */
static void outer_lhs(const Frame *caller, Value **args, int n, Frame *f) {
    uint32_t dims = 0;
    bool tensor = false;
    for (int i = 0; i < n; i++) {
        const Value *v = args[i];
        if (!v) continue;
        tensor = tensor || v->kind == VAL_TENSOR;
        dims |= v->kind == VAL_NUMBER ? v->s->dims : 0;
        for (int k = 0; v->kind == VAL_TENSOR && k < v->npre; k++)
            dims |= ix_dims(v->pre[k]);
    }
    f->nlhs = 0;
    for (int i = 0; i < caller->nlhs + (caller->nanon > 0 ? caller->nanon : 0); i++) {
        int d = i < caller->nlhs ? caller->lhs[i] : caller->anon[i - caller->nlhs];
        if ((dims >> d & 1) || (!tensor && !dims)) f->lhs[f->nlhs++] = d;
        dims &= ~(1u << d);
    }
    for (int d = 0; d < 32; d++)
        if ((dims >> d & 1) && f->nlhs < LIVE_DIMS) f->lhs[f->nlhs++] = d;
}

static Value *decl_result(Elab *e, const Decl *decl, Span at) {
    Scope *s = e->scope;
    Value *updated = decl->params.len ? map_get(&s->primed, decl->params.at[0].name) : NULL;
    if (updated) return updated;
    if (s->result) return s->result;
    if (e->mode != MODE_EPOCH) fail(e, at, "E0208", "`%s` has no value", decl->name);
    return value_error(e);
}

Value *run_decl(Elab *e, const Decl *decl, Value **args, Span at, Name path, Name hyper) {
    if (e->uses.len >= USE_DEPTH || e->nuses++ > USES_AT_MOST) {
        if (e->nuses <= USES_AT_MOST + 1 || e->uses.len >= USE_DEPTH) {
            int uses = e->uses.len;
            e->uses.len = uses > 3 ? 3 : uses;
            fail(e, e->uses.len ? e->uses.at[0].at : at, "E0430",
                 "`%s` is used inside itself without end", decl->name);
            e->uses.len = uses;
            e->nuses = USES_AT_MOST + 1; /* one that uses itself twice has 2^depth more to say */
        }
        return value_error(e);
    }
    Scope *outer = e->scope, *scope = scope_new(e, decl, path, hyper);
    Frame *outer_frame = e->frame, frame = frame_new();
    int base = e->bind_base;
    frame.shared = outer_frame->shared;
    const Origin outer_origin = e->g->origin;
    const Source *source = source_get(at.file);
    e->g->origin.path = path;
    if (source && !source->library) e->g->origin.use = at;
    outer_lhs(outer_frame, args, decl->params.len, &frame);
    VEC_PUSH(e->arena, e->uses, (Use){.decl = decl, .at = at});
    e->scope = scope;
    e->frame = &frame;
    e->bind_base = e->binds.len;
    bool ok = true;
    for (int i = 0; i < decl->params.len; i++) {
        const Param *p = &decl->params.at[i];
        Value *v = args[i] ? args[i] : eval_arg(e, p->value);
        /* a header that does not fit is the caller's business: said at the use */
        Use use = e->uses.at[--e->uses.len];
        ok = bind_header(e, p, v, at) && ok;
        VEC_PUSH(e->arena, e->uses, use);
    }
    Mode mode = e->mode;
    bool updates = claim_updates(e, decl);
    if (updates) {
        e->mode = MODE_UPDATE;
        weights_begin(e);
        weights_member(e);
    }
    if (ok) stated_begin(e, decl);
    if (ok) run_body(e, &decl->body);
    Value *result = ok ? decl_result(e, decl, decl->at) : value_error(e);
    if (updates && weights_end(e)) result = weights_value(e, result);
    e->mode = mode;
    if (ok && scope->derivatives.slots.len) result = stated_end(e, decl, result);
    e->uses.len--;
    e->scope = outer;
    e->frame = outer_frame;
    e->bind_base = base;
    e->g->origin = outer_origin;
    return result;
}
