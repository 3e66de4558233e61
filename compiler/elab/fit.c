/* SPDX-License-Identifier: MIT
 * Reductions over `data`: each is a fitted leaf, and the rule that adds a batch to it, in programs
 * by level: a value fitted on another comes after it. Needs ir. Runs nothing. */
#include "elab_internal.h"
#include <math.h>
#include <string.h>

/* What a fitted value is made of. */
typedef struct Reads {
    Elab *e;
    Map seen;
    int level;
    const Node *learned; /* a parameter or state that must not be there */
    bool draws;          /* nor may a draw of an example */
} Reads;

static void look(const Scalar *read, void *context);

static void look_at(Reads *r, const Scalar *s) {
    r->draws |= s->draws;
    sc_reads(s, look, r);
}

static void look_node(Reads *r, Node *node) {
    if (map_has(&r->seen, node)) return;
    map_put(&r->seen, node, node);
    if (node->kind == NODE_PARAM || node->kind == NODE_STATE) r->learned = node;
    if (node->kind == NODE_FITTED) {
        const FitRec *fit = map_get(&r->e->fits, node->name);
        if (fit && fit->level + 1 > r->level) r->level = fit->level + 1;
    }
    if (node->body) look_at(r, node->body);
    if (node->kind == NODE_GRAD) look_node(r, node->of);
    for (int i = 0; node->kind == NODE_CALL && i < call_info[node->call].operands; i++)
        look_node(r, node->operand[i]);
}

static void look(const Scalar *read, void *context) {
    look_node(context, read->node);
}

static bool learns(Elab *e, const Reads *reads, Span at) {
    if (reads->draws) {
        if (fail(e, at, "E0328",
                 "a value that is fitted to the data is of what a draw has changed"))
            fail_help(e, "in `augment` the def that it belongs to stands first in its chain");
        return true;
    }
    if (!reads->learned) return false;
    if (fail(e, at, "E0325",
             "a value that is fitted is computed before training, this one reads `%s`",
             reads->learned->name))
        fail_help(e, "it may depend on inputs and on other fitted values");
    return true;
}

static FitRec *fit_new(Elab *e, const Expr *x, Name name, Reduce reduce, const Scalar *body,
                       uint32_t reduced, double terms) {
    Reads reads = {.e = e};
    map_init(&reads.seen, e->arena);
    look_at(&reads, body);
    if (learns(e, &reads, x->at)) return NULL;
    int dims[LIVE_DIMS + 32], n = free_dims(body, reduced, dims), total = n;
    int64_t extent[MAX_RANK];
    for (int d = 0; d < 32; d++)
        if (reduced >> d & 1) dims[total++] = d;
    if (n > MAX_RANK) {
        fail(e, x->at, "E0313", "more than %d dimensions", MAX_RANK);
        return NULL;
    }
    for (int i = 0; i < n; i++)
        extent[i] = e->extent[dims[i]];
    if (!check_size(e, x->at, n, extent)) return NULL;
    FitRec *fit = NEW(e->arena, FitRec);
    fit->level = reads.level;
    fit->start = reduce_identity(reduce);
    fit->leaf = graph_leaf(e->g, NODE_FITTED, name, false, n, extent, 0, x->at);
    const Scalar *live =
        sc_op(e->g, OP_NE, sc_read(e->g, live_leaf(e), NULL, NULL), sc_const(e->g, 0), NULL);
    const Scalar *masked =
        sc_op(e->g, OP_SELECT, live, body, sc_const(e->g, reduce_identity(reduce)));
    Node *part = make_node(e, masked, n, total - n, dims, reduce, true, NULL, x->at);
    const Scalar *s = sc_read_all(e->g, part), *old = sc_read_all(e->g, fit->leaf);
    if (terms > 0) {
        Value *count = num_op(e, OP_MUL, hyper_value(e, "data.count", x->at),
                              value_const(e, terms, x->at), NULL, x->at);
        s = op_hoisted(e, OP_DIV, s, count->s, NULL);
    }
    s = sc_op(e->g, reduce == RED_SUM ? OP_ADD : reduce == RED_MAX ? OP_MAX : OP_MIN, old, s, NULL);
    fit->next = graph_map(e->g, n, extent, s, NULL, x->at);
    map_put(&e->fits, name, fit);
    VEC_PUSH(e->arena, e->fit_list, fit);
    return fit;
}

/* The place of a fitted value: its path and the name that it is given to, numbered where several
 * stand in one expression. */
static Name fit_name(Elab *e, Name target) {
    Name name = target ? path_join(e->scope->path, target) : e->scope->path;
    if (!name) name = name_of("fitted");
    Name key = name_printf("fit %s", name);
    int *count = MAP_NEW(&e->scope->draws, key, int);
    return ++*count == 1 ? name : name_printf("%s%d", name, *count);
}

Value *reduce_data(Elab *e, const Expr *x, Reduce reduce, const Scalar *body, uint32_t reduced,
                   double terms) {
    if (reduce == RED_PROD) {
        fail(e, x->at, "E0324", "`prod` does not run over `data`");
        return value_error(e);
    }
    if (e->mode == MODE_ORDER || e->mode == MODE_SPLIT) {
        if (fail(e, x->at, "E0325",
                 "a value over `data` is computed once, before there is an order"))
            fail_help(e, "`rank` and `quantile` look at all examples here");
        return value_error(e);
    }
    Name name = fit_name(e, e->frame->target);
    FitRec *fit = map_get(&e->fits, name);
    if (!fit && e->training) {
        fail(e, x->at, "E0326",
             "a value over `data` stands in a branch of training: it is computed without");
        return value_error(e);
    }
    if (!fit) fit = fit_new(e, x, name, reduce, body, reduced, terms);
    int dims[LIVE_DIMS + 32], n = free_dims(body, reduced, dims);
    if (!fit || fit->leaf->rank != n) return value_error(e);
    return value_scalar(e, read_dims(e, fit->leaf, dims), x->at);
}

/* ---- Functions of whole tensors */
static int call_of(Name name) {
    for (int i = 0; name && i < CALL_COUNT; i++)
        if (!strcmp(name, call_info[i].text)) return i;
    return -1;
}

bool tensor_call_known(Name name) {
    return call_of(name) >= 0;
}

static bool call_operands(Elab *e, Call call, Value **args, int n, Node **operand, Span at) {
    const CallInfo *info = &call_info[call];
    if (n != info->operands) {
        fail(e, at, "E0402", "`%s` takes %d value%s, it is given %d", info->text, info->operands,
             info->operands == 1 ? "" : "s", n);
        return false;
    }
    for (int i = 0; i < n; i++) {
        if (args[i]->kind == VAL_ERROR) return false;
        if (args[i]->kind != VAL_TENSOR || args[i]->npre) {
            fail(e, at, "E0327", "`%s` takes a whole tensor, this is %s", info->text,
                 value_text(e, args[i]));
            return false;
        }
        operand[i] = args[i]->node;
    }
    const char *fault = call_fault(e->g, call, operand);
    if (fault && fail(e, at, "E0327", "%s; this is %s", fault, value_text(e, args[0])) &&
        operand[0]->per_example)
        fail_help(e, "reduce it over the training set: `mean[data] …`");
    return !fault;
}

static FitRec *fit_call(Elab *e, Node *node, Name name, Span at) {
    Reads reads = {.e = e};
    map_init(&reads.seen, e->arena);
    look_node(&reads, node);
    if (learns(e, &reads, at)) return NULL;
    FitRec *fit = NEW(e->arena, FitRec);
    fit->level = reads.level;
    fit->once = true;
    fit->next = node;
    fit->leaf = graph_leaf(e->g, NODE_FITTED, name, false, node->rank, node->extent, 0, at);
    map_put(&e->fits, name, fit);
    VEC_PUSH(e->arena, e->fit_list, fit);
    return fit;
}

/* One result: a fitted value, or in an initializer the call itself. */
static Value *call_value(Elab *e, Node *node, Name target, Span at) {
    if (e->mode == MODE_INIT) return value_node(e, node, at);
    Name name = fit_name(e, target);
    FitRec *fit = map_get(&e->fits, name);
    if (!fit && e->training) {
        fail(e, at, "E0326",
             "a fitted value stands in a branch of training: it is computed without");
        return value_error(e);
    }
    if (!fit) fit = fit_call(e, node, name, at);
    if (!fit || fit->leaf->rank != node->rank) return value_error(e);
    return value_node(e, fit->leaf, at);
}

Value *tensor_call(Elab *e, Name name, Value **args, int n, Span at) {
    Call call = (Call)call_of(name);
    const CallInfo *info = &call_info[call];
    Node *operand[CALL_OPERANDS] = {0};
    if (e->mode == MODE_UPDATE || e->mode == MODE_EPOCH || e->mode == MODE_SPLIT ||
        e->mode == MODE_ORDER) {
        unavailable(e, at, arena_printf(e->arena, "`%s` outside of a fit or an initializer", name));
        return value_error(e);
    }
    if (!call_operands(e, call, args, n, operand, at)) return value_error(e);
    const Stmt *stmt = e->frame->stmt;
    bool named = stmt && stmt->targets.len == info->results;
    Value *all = value_new(e, VAL_TUPLE, at);
    for (int i = 0; i < info->results; i++) {
        Node *node = graph_call(e->g, call, operand, i, NULL, at);
        Name target = named ? stmt->targets.at[i].name : e->frame->target;
        Value *v = call_value(e, node, target, at);
        if (v->kind == VAL_ERROR) return v;
        VEC_PUSH(e->arena, all->items, v);
    }
    return info->results == 1 ? all->items.at[0] : all;
}
