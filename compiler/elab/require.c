/* SPDX-License-Identifier: MIT
 * `require condition, "text"`: asked while a def is elaborated where the condition is known, and by
 * the program "check" where it hangs on what `--set` or a schedule says. Needs front and ir. */
#include "elab_internal.h"
#include <string.h>

/* Whether the expression asks for an argument whose value changes during training (a schedule). */
static bool asks_schedule(Elab *e, const Expr *x) {
    if (!x) return false;
    if (x->kind == EXPR_NAME) {
        const Value *v = find_value(e, x->name);
        if (v && v->kind == VAL_NUMBER && !v->known && !v->s->dims)
            for (int i = 0; e->scope->decl && i < e->scope->decl->params.len; i++)
                if (e->scope->decl->params.at[i].name == x->name) return true;
    }
    for (int i = 0; i < x->args.len; i++)
        if (asks_schedule(e, x->args.at[i].value)) return true;
    return asks_schedule(e, x->base) || asks_schedule(e, x->a) || asks_schedule(e, x->b) ||
           asks_schedule(e, x->c);
}

/* What a condition is made of, the most of its parts. */
typedef enum Made { OF_NOTHING, OF_SETTINGS, OF_RUN, OF_MORE } Made;

static Made made_of(const Scalar *s, Map *seen) {
    Made most = OF_NOTHING, part;
    if (s->kind == SC_READ) {
        const Node *node = s->node;
        if (node->rank || node->per_example) return OF_MORE;
        if (node->kind == NODE_HYPER) return strncmp(node->name, "set:", 4) ? OF_RUN : OF_SETTINGS;
        if (node->kind == NODE_STATE) return OF_RUN;
        if (node->kind != NODE_COMP || node->reduce != RED_NONE) return OF_MORE;
        if (!map_has(seen, node))
            map_put(seen, node, (void *)(intptr_t)(made_of(node->body, seen) + 1));
        return (Made)((intptr_t)map_get(seen, node) - 1);
    }
    if (s->kind != SC_OP) return s->kind == SC_CONST ? OF_NOTHING : OF_MORE;
    for (int i = 0; i < op_info[s->op].arity; i++)
        if ((part = made_of(s->arg[i], seen)) > most) most = part;
    return most;
}

/* A result of "check": its name says when it is asked and what to tell. False where the condition
 * is not made of numbers of a run. */
static bool check_later(Elab *e, const Stmt *stmt, const Scalar *s) {
    Map seen;
    map_init(&seen, e->arena);
    Made made = made_of(s, &seen);
    if (made == OF_NOTHING || made == OF_MORE) return made == OF_NOTHING;
    if (e->quiet) return true;
    Span place = user_place(e, stmt->at);
    const Source *source = source_get(place.file);
    int line = 0, column = 0;
    source_position(place, &line, &column);
    const Scalar *one = sc_op(e->g, OP_SELECT, s, sc_const(e->g, 1), sc_const(e->g, 0));
    Result r = {.name = name_printf("%s %s:%d:%d: %s", made == OF_RUN ? "step" : "start",
                                    source ? source->path : "", line, column, stmt->text),
                .node = graph_map(e->g, 0, NULL, one, NULL, stmt->at)};
    for (int i = 0; i < e->checks.len; i++)
        if (e->checks.at[i].node == r.node && e->checks.at[i].name == r.name) return true;
    VEC_PUSH(e->arena, e->checks, r);
    return true;
}

/* The fault is the one who uses the def. False where the rest of the def makes no sense. */
bool require_run(Elab *e, const Stmt *stmt, Value *v, Span at) {
    if (v->kind != VAL_NUMBER || (v->known && v->num == 0)) {
        if (v->kind == VAL_NUMBER) fail(e, stmt->at, "E0431", "%s", stmt->text);
    } else if (check_later(e, stmt, v->s) || asks_schedule(e, stmt->value)) {
        return true;
    } else {
        fail(e, at, "E0432", "`require` wants what is known at compile time or set for a run");
    }
    e->scope->result = value_error(e);
    return false;
}

void require_program(Elab *e) {
    if (!e->checks.len) return;
    Program *p = program_new(e, PROGRAM_CHECK, "check");
    for (int i = 0; i < e->checks.len; i++)
        VEC_PUSH(e->arena, p->results, e->checks.at[i]);
}
