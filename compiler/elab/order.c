/* SPDX-License-Identifier: MIT
 * The order of examples: a sort key or a sampling weight for each, and what is known only of all of
 * them together, `rank` and `quantile`: the runtime makes these from results of the same program,
 * in the order of their making, and gives them back as inputs. Needs front and ir. Sorts nothing.
 */
#include "elab_internal.h"
#include <string.h>

/* ---- rank, quantile */
bool order_function(Name name) {
    return name && (!strcmp(name, "rank") || !strcmp(name, "quantile"));
}

static Node *known_number(Elab *e, const Expr *x, const char *what) {
    Value *v = value_number(e, eval(e, x), x->at);
    if (v->kind != VAL_NUMBER) return NULL;
    if (!v->truth && !v->s->dims) return graph_map(e->g, 0, NULL, v->s, NULL, x->at);
    fail(e, x->at, "E0592", "%s is one number, this is %s", what, value_text(e, v));
    return NULL;
}

static void stage_result(Elab *e, const char *kind, Name stage, Node *node) {
    Result r = {.kind = RESULT_VALUE, .name = name_printf("%s:%s", kind, stage), .node = node};
    VEC_PUSH(e->arena, e->stage_results, r);
}

/* rank(key), rank(key, within = group): how many examples (of the same group) have a smaller key;
 * of equal keys the earlier example is smaller. */
static Value *call_rank(Elab *e, const Expr *x) {
    const Expr *key = NULL, *group = NULL;
    for (int i = 0; i < x->args.len; i++) {
        const Arg *a = &x->args.at[i];
        bool within = a->name && !strcmp(a->name, "within");
        if ((a->name && !within) || (within ? group != NULL : key != NULL)) {
            fail(e, a->at, "E0401", "`rank` is written `rank(key)` or `rank(key, within = group)`");
            return value_error(e);
        }
        *(within ? &group : &key) = a->value;
    }
    Node *of = key ? known_number(e, key, "what is ranked") : NULL;
    Node *in = group ? known_number(e, group, "a group") : NULL;
    if (!key) fail(e, x->at, "E0405", "`rank` is not given what it ranks by");
    if (!of || (group && !in)) return value_error(e);
    Name name = name_printf("example.rank%d", e->stages++);
    stage_result(e, "key", name, of);
    if (in) stage_result(e, "group", name, in);
    return value_node(e, graph_leaf(e->g, NODE_INPUT, name, true, 0, NULL, 0, x->at), x->at);
}

/* quantile(q, value): below it lies the part q of the examples' values. */
static Value *call_quantile(Elab *e, const Expr *x) {
    if (x->args.len != 2 || x->args.at[0].name || x->args.at[1].name) {
        fail(e, x->at, "E0402", "`quantile` is written `quantile(0.9, value)`");
        return value_error(e);
    }
    Node *level = known_number(e, x->args.at[0].value, "the part below a quantile");
    Node *of = known_number(e, x->args.at[1].value, "what a quantile is taken of");
    if (!level || !of) return value_error(e);
    if (level->per_example) {
        fail(e, x->args.at[0].at, "E0592",
             "the part below a quantile is the same for all examples");
        return value_error(e);
    }
    Name name = name_printf("example.quantile%d", e->stages++);
    stage_result(e, "value", name, of);
    stage_result(e, "level", name, level);
    return hyper_value(e, name, x->at);
}

Value *order_call(Elab *e, const Expr *x) {
    if (e->mode != MODE_ORDER && e->mode != MODE_SPLIT) {
        fail(e, x->at, "E0591", "`%s` looks at all examples of a set: in `order` and in `when`",
             x->base->name);
        return value_error(e);
    }
    return strcmp(x->base->name, "rank") ? call_quantile(e, x) : call_rank(e, x);
}

void order_stages(Elab *e, Program *p) {
    for (int i = 0; i < e->stage_results.len; i++)
        VEC_PUSH(e->arena, p->results, e->stage_results.at[i]);
    e->stage_results.len = 0;
}

/* ---- The key `order` */
Value *order_form(Elab *e, const Expr *x) {
    const char *text = x->kind == EXPR_ORDER ? "order by" : "sample with";
    if (e->mode != MODE_ORDER || e->order_form) {
        fail(e, x->at, "E0593",
             e->order_form ? "an order of examples has one `%s`"
                           : "`%s` stands in the order of a training: `order = …`",
             text);
        return value_error(e);
    }
    e->order_form = x->kind;
    return eval_number(e, x->a);
}

void order_elaborate(Elab *e) {
    const Stmt *s = train_key(e, "order");
    if (!s) return;
    Scope *outer = e->scope;
    Frame frame = frame_new(), *outer_frame = e->frame;
    Name path = name_of("order");
    e->scope = scope_new(e, NULL, path, path);
    e->frame = &frame;
    e->mode = MODE_ORDER;
    e->order_form = EXPR_NUMBER;
    int failed = e->failed;
    run_where(e, s);
    Value *v = eval_callable(e, s->value), *example = value_new(e, VAL_EXAMPLE, s->value->at);
    if (v->kind == VAL_DEF && v->stages.at[0].decl)
        v = apply(e, v, &example, 1, s->value->at, path, path);
    e->mode = MODE_EVAL;
    e->frame = outer_frame;
    e->scope = outer;
    bool number = v->kind == VAL_NUMBER && !v->truth && !v->s->dims;
    if ((!number || !e->order_form) && e->failed == failed &&
        fail(e, s->value->at, "E0593", "this is no order of examples"))
        fail_help(
            e, "an order says `order by KEY` or `sample with WEIGHT`, a number for each example");
    if (e->failed > failed) return;
    e->sampled = e->order_form == EXPR_SAMPLE;
    Program *p = program_new(e, PROGRAM_ORDER, "order");
    order_stages(e, p);
    program_value(e, p, name_of(e->sampled ? "weight" : "key"),
                  graph_map(e->g, 0, NULL, v->s, NULL, s->value->at));
}

/* ---- What a sampled order offers to the loss */
static Node *weight_leaf(Elab *e) {
    return graph_leaf(e->g, NODE_INPUT, name_of("example.weight"), true, 0, NULL, 0, (Span){0});
}

/* One over how much more often than in a plain epoch an example comes; 1 where nothing is sampled.
 */
Value *order_weight(Elab *e, Span at) {
    if (e->mode == MODE_EVAL) return value_const(e, 1, at);
    if (e->mode == MODE_STEP) return value_node(e, weight_leaf(e), at);
    fail(e, at, "E0594", "`example.weight` follows from the order: in the loss only");
    return value_error(e);
}

typedef struct Replace {
    Elab *e;
    const Node *weight;
    Map done;
} Replace;

static const Scalar *replace_read(Graph *g, const Scalar *leaf, void *context);

static Node *replace(Replace *r, Node *node) {
    Node *done = map_get(&r->done, node);
    if (done || node->kind != NODE_COMP) return done ? done : node;
    CompSpec spec = node_spec(node);
    spec.body = sc_rewrite(r->e->g, node->body, replace_read, r);
    done = spec.body == node->body ? node : graph_comp(r->e->g, &spec);
    map_put(&r->done, node, done);
    return done;
}

static const Scalar *replace_read(Graph *g, const Scalar *leaf, void *context) {
    Replace *r = context;
    if (leaf->kind != SC_READ) return NULL;
    if (leaf->node == r->weight) return sc_const(g, 1);
    Node *node = replace(r, leaf->node);
    return node == leaf->node ? NULL : sc_read(g, node, leaf->at, leaf->outside);
}

Node *order_plain_loss(Elab *e, Node *loss) {
    Replace r = {.e = e, .weight = weight_leaf(e)};
    map_init(&r.done, e->arena);
    return replace(&r, loss);
}
