/* SPDX-License-Identifier: MIT
 * The verifier: checks a unit again as its constructors did, and what spans nodes and programs.
 * Needs base and ir.h.
 * Looks for our faults: the first one is a bug(), but for text that is read, where it is told. */
#include "intern.h"
#include <setjmp.h>
#include <string.h>

typedef struct Verifier {
    Arena *scratch;
    jmp_buf escape; /* from the first fault */
    const char *found;
    Graph *g;
    int stage;
    const char *program;
    const Node *node;
    Map scalars; /* checked */
    Map listed;  /* leaves that the unit knows */
} Verifier;

static _Noreturn void fault(Verifier *v, const char *what) {
    const Node *n = v->node;
    Arena *arena = v->g->arena;
    v->found = n            ? arena_printf(arena, "program %s, node %u (%s): %s", v->program, n->id,
                                n->name ? n->name : "unnamed", what)
               : v->program ? arena_printf(arena, "program %s: %s", v->program, what)
                            : what;
    longjmp(v->escape, 1);
}

static void require(Verifier *v, bool holds, const char *what) {
    if (!holds) fault(v, what);
}

/* ---- Scalars: operands have the type their operator takes. */
static void verify_scalar(const Scalar *s, void *context) {
    Verifier *v = context;
    if (!s || map_has(&v->scalars, s)) return;
    map_put(&v->scalars, s, (void *)s);
    for (int i = 0; s->kind == SC_OP && i < 3; i++) {
        require(v, (i < op_info[s->op].arity) == (s->arg[i] != NULL),
                "operator with too many or too few operands");
        require(v, !s->arg[i] || sc_truth(s->arg[i]) == op_takes_truth(s->op, i),
                "operand of the wrong type");
    }
    require(v, s->kind != SC_READ || !s->outside || !sc_truth(s->outside),
            "outside value is a truth value");
    if (s->ix) ix_values(s->ix, verify_scalar, v);
    for (int i = 0; s->kind == SC_READ && i < s->node->rank; i++)
        ix_values(s->at[i], verify_scalar, v);
    for (int i = 0; i < 3; i++)
        verify_scalar(s->arg[i], v);
    verify_scalar(s->outside, v);
}

/* ---- Nodes */
static void verify_comp(Verifier *v, const Node *n) {
    CompSpec spec = node_spec(n);
    const char *wrong = comp_fault(v->g, &spec);
    require(v, !wrong, wrong);
    require(v, n->per_example == (n->body->per_example && !n->over_batch),
            "per example or shared, unlike its body");
    require(v, n->wide == n->body->wide, "wide or not, unlike its body");
    require(v, !sc_truth(n->body), "body is a truth value");
    verify_scalar(n->body, v);
}

static void verify_node(Verifier *v, const Node *n) {
    v->node = n;
    switch (n->kind) {
    case NODE_COMP:
        verify_comp(v, n);
        break;
    case NODE_GRAD:
        require(v, v->stage == 0, "a gradient stands after the gradient pass");
        require(v, !grad_fault(v->g, n->of), "gradient of what is not one shared number");
        require(v,
                n->rank == n->wrt->rank && n->per_example == n->wrt->per_example &&
                    !memcmp(n->extent, n->wrt->extent, sizeof *n->extent * (size_t)n->rank),
                "gradient of another shape than what it is taken by");
        break;
    case NODE_SCAN: {
        require(v, n->of != NULL, "a reference that stands for nothing");
        const char *wrong = scan_fault(v->g, n, n->of);
        require(v, !wrong, wrong);
        break;
    }
    case NODE_CALL: {
        const char *wrong = call_fault(v->g, n->call, n->operand);
        require(v, !wrong, wrong);
        require(v, n->wide && !n->per_example && n->result < call_info[n->call].results,
                "a call that is not shared and wide, or without such a result");
        for (int i = 0; i < call_info[n->call].operands; i++)
            require(v, n->operand[i]->kind != NODE_PARAM && n->operand[i]->kind != NODE_STATE,
                    "a call of a leaf that is not float64");
        break;
    }
    default: {
        const char *wrong = leaf_fault(v->g, n);
        require(v, !wrong, wrong);
        require(v, n->wide == (n->kind == NODE_FITTED || n->kind == NODE_HYPER),
                "leaf wide or not, unlike its kind");
        require(v, n->kind == NODE_INPUT || n->kind == NODE_HYPER || map_has(&v->listed, n),
                "a leaf that the unit does not list");
    }
    }
    v->node = NULL;
}

/* ---- Programs */
static bool same_shape(const Node *a, const Node *b) {
    return a->rank == b->rank && !memcmp(a->extent, b->extent, sizeof *a->extent * (size_t)a->rank);
}

/* Fitted values are set by the fit programs, and by init where those start from; everything else by
 * init and by what runs while training. */
static bool may_set(ProgramKind kind, NodeKind leaf) {
    if (leaf == NODE_FITTED)
        return kind == PROGRAM_FIT || kind == PROGRAM_INIT || kind == PROGRAM_AFTER;
    return (leaf == NODE_PARAM || leaf == NODE_STATE) && kind != PROGRAM_FIT;
}

static void verify_next(Verifier *v, ProgramKind kind, const Result *r) {
    require(v, r->target != NULL, "next value of nothing");
    v->node = r->target;
    require(v, map_has(&v->listed, r->target), "next value of a leaf that the unit does not list");
    require(v, may_set(kind, r->target->kind),
            "next value of a leaf that this program may not set");
    require(v, same_shape(r->target, r->node), "next value of another shape");
    require(v, !r->node->per_example, "next value differs from example to example");
}

static void verify_result(Verifier *v, ProgramKind kind, const Result *r) {
    require(v, r->node != NULL, "result without a node");
    v->node = r->node;
    switch (r->kind) {
    case RESULT_NEXT:
        verify_next(v, kind, r);
        break;
    case RESULT_VALUE:
        require(v, r->name && !r->target, "value without a name, or with a target");
        break;
    case RESULT_STOP:
        require(v, !r->node->rank && !r->node->per_example,
                "stop condition is not one shared number");
    }
    v->node = NULL;
}

/* Each parameter and state gets its first value exactly once. */
static void verify_init(Verifier *v, const Program *program, const NodeList *leaves) {
    for (int i = 0; i < leaves->len; i++) {
        int times = 0;
        for (int k = 0; k < program->results.len; k++)
            times += program->results.at[k].target == leaves->at[i];
        v->node = leaves->at[i];
        require(v, times == 1, times ? "initialized more than once" : "never initialized");
        v->node = NULL;
    }
}

static void verify_program(Verifier *v, const Unit *unit, const Program *program) {
    v->program = program->name ? program->name : "(unnamed)";
    map_init(&v->scalars, v->scratch);
    require(v, program->name != NULL, "program without a name");
    for (int i = 0; i < program->results.len; i++)
        verify_result(v, program->kind, &program->results.at[i]);
    Map groups;
    map_init(&groups, v->scratch);
    NodeList nodes = program_groups(v->scratch, program, &groups);
    for (int i = 0; i < nodes.len; i++) {
        verify_node(v, nodes.at[i]);
        const ScanGroup *group = map_get(&groups, nodes.at[i]);
        v->node = group ? group->where : NULL;
        require(v, !group || !group->fault || diag_errors() > 0, group ? group->fault : "");
        v->node = NULL;
    }
    if (program->kind == PROGRAM_INIT) {
        verify_init(v, program, &unit->params);
        verify_init(v, program, &unit->states);
    }
    v->program = NULL;
}

static void verify_list(Verifier *v, const NodeList *list, NodeKind kind, const char *what) {
    for (int i = 0; i < list->len; i++) {
        require(v, list->at[i]->kind == kind, what);
        map_put(&v->listed, list->at[i], list->at[i]);
    }
}

static void verify_unit(Verifier *v, const Unit *unit) {
    verify_list(v, &unit->inputs, NODE_INPUT, "inputs holds a node of another kind");
    verify_list(v, &unit->params, NODE_PARAM, "params holds a node of another kind");
    verify_list(v, &unit->states, NODE_STATE, "states holds a node of another kind");
    verify_list(v, &unit->fitted, NODE_FITTED, "fitted holds a node of another kind");
    require(v, !unit->params_at.len || unit->params_at.len == unit->params.len,
            "what stands for the parameters is of another number");
    for (int i = 0; i < unit->params_at.len; i++)
        require(v,
                same_shape(unit->params_at.at[i], unit->params.at[i]) &&
                    !unit->params_at.at[i]->per_example,
                "what stands for a parameter has another shape");
    for (int i = 0; i < unit->sets.len; i++)
        require(v,
                unit->sets.at[i].split < unit->programs.len &&
                    unit->sets.at[i].source < unit->sources.len,
                "a set names a program or source that is not there");
    for (int i = 0; i < unit->programs.len; i++)
        verify_program(v, unit, &unit->programs.at[i]);
}

const char *graph_fault(const Unit *unit, int stage) {
    Arena *scratch = arena_new();
    Verifier *v = NEW(scratch, Verifier);
    v->scratch = scratch, v->g = unit->graph, v->stage = stage;
    map_init(&v->listed, scratch);
    if (!setjmp(v->escape)) verify_unit(v, unit);
    const char *found = v->found;
    arena_free(scratch);
    return found;
}

void graph_verify(const Unit *unit, int stage) {
    const char *fault = graph_fault(unit, stage);
    if (fault) bug("verify: %s", fault);
}
