/* SPDX-License-Identifier: MIT
 * One def on inputs of given shapes, for tests: "conv(8, 3) on [3, 8, 8]", "f on [4], [4]",
 * "f on [10], class[10]". Needs front and ir. Trains nothing. */
#include "elab_internal.h"
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

/* The program's results: `y`; `loss`, the sum over examples and elements of y times the input
 * `weight`; `grad:x`, `grad:PARAM`, its gradients. */
void probe_results(Elab *e, Program *p, Node *y, bool gradients) {
    Node *weight = graph_leaf(e->g, NODE_INPUT, name_of("weight"), y->per_example, y->rank,
                              y->extent, 0, (Span){0});
    const Scalar *product =
        sc_op(e->g, OP_MUL, sc_read_all(e->g, y), sc_read_all(e->g, weight), NULL);
    const Scalar *live =
        sc_op(e->g, OP_NE, sc_read(e->g, live_leaf(e), NULL, NULL), sc_const(e->g, 0), NULL);
    CompSpec spec = {
        .nred = y->rank, .reduce = RED_SUM, .over_batch = y->per_example, .body = product};
    if (y->per_example) spec.body = sc_op(e->g, OP_SELECT, live, product, sc_const(e->g, 0));
    memcpy(spec.extent, y->extent, sizeof *y->extent * (size_t)y->rank);
    Node *loss = graph_comp(e->g, &spec);
    program_value(e, p, name_of("y"), y);
    program_value(e, p, name_of("loss"), loss);
    for (int i = 0; i < e->model_inputs.len && gradients; i++) {
        Node *leaf = e->unit->inputs.at[i];
        if (!leaf->classes)
            program_value(e, p, name_printf("grad:%s", leaf->name), graph_grad(e->g, loss, leaf));
    }
    for (int i = 0; i < e->param_list.len && gradients; i++) {
        Node *leaf = e->param_list.at[i]->leaf;
        program_value(e, p, name_printf("grad:%s", leaf->name), graph_grad(e->g, loss, leaf));
    }
    for (int i = 0; i < e->updates.len; i++)
        program_next(e, p, e->updates.at[i].target, e->updates.at[i].node);
}

static const char *skip_space(const char *at) {
    while (isspace((unsigned char)*at))
        at++;
    return at;
}

/* "[3, 8, 8], class[10]" */
static bool probe_inputs(Elab *e, const char *at) {
    for (int n = 0; *(at = skip_space(at)); n++) {
        bool class = !strncmp(at, "class", 5);
        at = skip_space(at + (class ? 5 : 0));
        if (*at++ != '[') return false;
        int64_t ext[MAX_RANK];
        int rank = 0;
        for (at = skip_space(at); *at && *at != ']' && rank < MAX_RANK; at = skip_space(at)) {
            char *end;
            ext[rank++] = strtoll(at, &end, 10);
            if (end == at || ext[rank - 1] < 1) return false;
            at = skip_space(end);
            at += *at == ',';
        }
        if (*at++ != ']' || (class && rank != 1)) return false;
        Name name = n ? name_printf("x%d", n + 1) : name_of("x");
        Node *leaf = graph_leaf(e->g, NODE_INPUT, name, true, class ? 0 : rank, ext,
                                class ? ext[0] : 0, (Span){0});
        VEC_PUSH(e->arena, e->unit->inputs, leaf);
        VEC_PUSH(e->arena, e->model_inputs, value_node(e, leaf, (Span){0}));
        at = skip_space(at);
        at += *at == ',';
    }
    return e->model_inputs.len > 0;
}

static Expr *probe_parse(Elab *e, const char *text) {
    const char *def = arena_printf(e->arena, "def probe(x) = x -> %s\n", text);
    VEC(Decl *) decls = {0};
    uint32_t file = source_add("probe", def, strlen(def), false);
    parse_text(e->arena, file, &decls);
    if (diag_errors() || decls.len != 1 || decls.at[0]->body.len != 1) return NULL;
    Expr *chain = decls.at[0]->body.at[0]->value;
    return chain->kind == EXPR_CHAIN ? chain : NULL;
}

static Node *probe_run(Elab *e, const Expr *chain) {
    map_init(&e->visits, e->arena);
    e->updates.len = 0;
    Scope *outer = e->scope;
    e->scope = scope_new(e, NULL, NULL, NULL);
    VEC(const Expr *) stages = {0};
    for (; chain->kind == EXPR_CHAIN; chain = chain->a)
        VEC_PUSH(e->arena, stages, chain->b);
    Value **args = e->model_inputs.at, *v = NULL;
    int n = e->model_inputs.len;
    for (int i = stages.len - 1; i >= 0; i--) {
        Value *def = eval_callable(e, stages.at[i]);
        if (def->kind != VAL_DEF) {
            fail(e, stages.at[i]->at, "E0416", "this is no def");
            break;
        }
        v = apply(e, def, args, n, stages.at[i]->at, NULL, NULL);
        if (v->kind == VAL_ERROR) break;
        args = &v;
        n = 1;
    }
    Node *node = v && !e->failed ? value_whole(e, v, name_of("y"), chain->at) : NULL;
    e->scope = outer;
    return node;
}

Unit *elab_def(Arena *arena, const Module *module, const char *application) {
    const char *on = NULL;
    for (const char *at = application; (at = strstr(at, " on ")); at++)
        on = at;
    Elab *e = elab_new(arena, module);
    Expr *chain =
        on ? probe_parse(e, arena_printf(arena, "%.*s", (int)(on - application), application))
           : NULL;
    if (!chain || !probe_inputs(e, on + 4)) {
        if (!diag_errors())
            diag_error((Span){0}, "E0580", "`%s` is no application: write `def(…) on [3, 8, 8]`",
                       application);
        return NULL;
    }
    e->mode = MODE_EVAL;
    Node *y = probe_run(e, chain);
    if (!y) return NULL;
    probe_results(e, program_new(e, PROGRAM_EVAL, "eval"), y, true);
    e->mode = MODE_STEP;
    e->training = true;
    y = probe_run(e, chain);
    if (!y) return NULL;
    probe_results(e, program_new(e, PROGRAM_STEP, "step"), y, true);
    e->training = false;
    program_fits(e);
    program_init(e);
    unit_finish(e);
    return e->failed ? NULL : e->unit;
}
