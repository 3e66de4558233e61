/* SPDX-License-Identifier: MIT
 * Metrics over the evaluated set: each reduction over `examples` is what a batch adds to it, a
 * result of a program that is run over the set, and a leaf that holds the total; metrics are made
 * of totals by a program of their own. Needs ir. Adds nothing up: the runtime does, in float64. */
#include "elab_internal.h"
#include <string.h>

typedef struct Reads {
    Elab *e;
    Map seen;
    int level;           /* of what needs totals */
    const Node *learned; /* a parameter, a state or a datum that is no total */
} Reads;

static void look(const Scalar *read, void *context);

static void look_node(Reads *r, Node *node) {
    if (map_has(&r->seen, node)) return;
    map_put(&r->seen, node, node);
    bool total = false;
    for (int i = 0; i < r->e->sums.len; i++)
        if (r->e->sums.at[i]->leaf == node) {
            total = true;
            if (r->e->sums.at[i]->level + 1 > r->level) r->level = r->e->sums.at[i]->level + 1;
        }
    if (!total &&
        (node->kind == NODE_INPUT || node->kind == NODE_PARAM || node->kind == NODE_STATE))
        r->learned = node;
    if (node->body) sc_reads(node->body, look, r);
    for (int i = 0; node->kind == NODE_CALL && i < call_info[node->call].operands; i++)
        look_node(r, node->operand[i]);
}

static void look(const Scalar *read, void *context) {
    look_node(context, read->node);
}

static Reads reads_of(Elab *e, const Scalar *s) {
    Reads r = {.e = e};
    map_init(&r.seen, e->arena);
    sc_reads(s, look, &r);
    return r;
}

static SumRec *sum_new(Elab *e, Reduce reduce, Node *part, int level, Span at) {
    for (int i = 0; i < e->sums.len; i++)
        if (e->sums.at[i]->part == part) return e->sums.at[i];
    static const char *const how[] = {[RED_SUM] = "sum", [RED_MAX] = "max", [RED_MIN] = "min"};
    SumRec *sum = NEW(e->arena, SumRec);
    sum->part = part;
    sum->level = level;
    sum->leaf = graph_leaf(e->g, NODE_INPUT, name_printf("%s:%d", how[reduce], e->sums.len), false,
                           part->rank, part->extent, 0, at);
    VEC_PUSH(e->arena, e->sums, sum);
    return sum;
}

Value *reduce_examples(Elab *e, const Expr *x, Reduce reduce, const Scalar *body, uint32_t reduced,
                       double terms) {
    if (reduce == RED_PROD) {
        fail(e, x->at, "E0324", "`prod` does not run over `examples`");
        return value_error(e);
    }
    int dims[LIVE_DIMS + 32], n = free_dims(body, reduced, dims), total = n;
    for (int d = 0; d < 32; d++)
        if (reduced >> d & 1) dims[total++] = d;
    Reads reads = reads_of(e, body);
    const Scalar *live =
        sc_op(e->g, OP_NE, sc_read(e->g, live_leaf(e), NULL, NULL), sc_const(e->g, 0), NULL);
    const Scalar *masked =
        sc_op(e->g, OP_SELECT, live, body, sc_const(e->g, reduce_identity(reduce)));
    Node *part = make_node(e, masked, n, total - n, dims, reduce, true, NULL, x->at);
    if (part->rank != n) return value_error(e);
    SumRec *sum = sum_new(e, reduce, part, reads.level, x->at);
    Value *v = value_scalar(e, read_dims(e, sum->leaf, dims), x->at);
    if (!(terms > 0)) return v;
    Value *count = num_op(e, OP_MUL, hyper_value(e, "examples.count", x->at),
                          value_const(e, terms, x->at), NULL, x->at);
    return num_op(e, OP_DIV, v, count, NULL, x->at);
}

static Program *program_of(Elab *e, ProgramKind kind, const char *name) {
    for (int i = 0; i < e->unit->programs.len; i++)
        if (!strcmp(e->unit->programs.at[i].name, name)) return &e->unit->programs.at[i];
    return program_new(e, kind, name);
}

/* A metric that is no number of each example: made of totals alone. */
bool examples_metric(Elab *e, Name name, Value *v, Span at) {
    bool number = v->kind == VAL_NUMBER && !v->s->dims && !v->truth;
    if (v->kind != VAL_TENSOR && !number) return false;
    Node *node = value_whole(e, v, name, at);
    if (!node) return false;
    Reads reads = reads_of(e, sc_read_all(e->g, node));
    if (!reads.level) return false;
    if (reads.learned || node->per_example) {
        if (fail(e, at, "E0542", "`%s` mixes sums over `examples` with what is of one example",
                 name))
            fail_help(e, "reduce that too: `mean[examples] …`");
        return true;
    }
    if (node->rank) map_put(&e->tables, name, node);
    Name best = e->unit->config.best;
    const char *dot = strchr(best, '.');
    if (node->rank && !strcmp(dot ? dot + 1 : best, name))
        fail(e, train_key(e, "best")->at, "E0513", "`%s` is %s: the best is chosen by one number",
             name, shape_text(e, node->rank, node->extent));
    Result r = {.kind = RESULT_VALUE, .name = name, .node = node};
    VEC_PUSH(e->arena, e->stage_results, r); /* kept until the programs of sums stand before it */
    return true;
}

/* After all metrics: sums by level, then the metrics. */
void examples_programs(Elab *e) {
    int levels = 0;
    for (int i = 0; i < e->sums.len; i++)
        levels = e->sums.at[i]->level + 1 > levels ? e->sums.at[i]->level + 1 : levels;
    for (int level = 0; level < levels; level++) {
        const char *name = level ? arena_printf(e->arena, "sums%d", level) : "eval";
        Program *p = program_of(e, level ? PROGRAM_SUMS : PROGRAM_EVAL, name);
        for (int i = 0; i < e->sums.len; i++)
            if (e->sums.at[i]->level == level)
                program_value(e, p, e->sums.at[i]->leaf->name, e->sums.at[i]->part);
    }
    if (e->stage_results.len) order_stages(e, program_of(e, PROGRAM_METRIC, "metric"));
}
