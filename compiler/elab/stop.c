/* SPDX-License-Identifier: MIT
 * Would a stop rule ever stop? Its program is run on some courses that a metric can take.
 * Needs ir. Rules that look at more than single numbers are believed. */
#include "elab_internal.h"
#include <math.h>

enum { MOST_STEPS = 5000000 };

typedef struct Course {
    Elab *e;
    const Program *epoch;
    Map state; /* Node* -> double*, values now */
    double metric, epoch_number;
    int steps;     /* taken so far */
    bool believed; /* something that this cannot follow */
} Course;

static double course_scalar(Course *c, const Scalar *s, int depth);

static double course_node(Course *c, const Node *node, int depth) {
    const double *value = map_get(&c->state, node);
    if (value) return *value;
    if (node->kind == NODE_HYPER)
        return node->name == name_of("epoch")                 ? c->epoch_number
               : node->name == name_of("step")                ? c->epoch_number + 1
               : node->name[0] == 's' && node->name[3] == ':' ? NAN
                                                              : c->metric;
    if (node->kind == NODE_COMP && node->rank == 0 && node->reduce == RED_NONE && depth < 200)
        return course_scalar(c, node->body, depth + 1);
    c->believed = true;
    return NAN;
}

static double course_scalar(Course *c, const Scalar *s, int depth) {
    double v[3] = {0};
    c->believed = c->believed || ++c->steps > MOST_STEPS;
    if (c->believed) return NAN;
    switch (s->kind) {
    case SC_CONST:
        return s->value;
    case SC_READ:
        return course_node(c, s->node, depth);
    case SC_OP:
        for (int i = 0; i < op_info[s->op].arity; i++)
            v[i] = course_scalar(c, s->arg[i], depth);
        return op_info[s->op].value(v[0], v[1], v[2]);
    default:
        c->believed = true;
        return NAN;
    }
}

/* The metric goes from `first` by `change` each time; true where the rule stops within the epochs.
 */
static bool fires(Course *c, double first, double change, int64_t epochs) {
    const Program *p = c->epoch;
    map_init(&c->state, c->e->arena);
    double *now = NEW_ARRAY(c->e->arena, double, p->results.len),
           *next = NEW_ARRAY(c->e->arena, double, p->results.len);
    for (int i = 0; i < c->e->state_list.len; i++) {
        const StateRec *rec = c->e->state_list.at[i];
        for (int k = 0; k < p->results.len; k++)
            if (p->results.at[k].target == rec->leaf) {
                now[k] = course_node(c, rec->init, 0);
                map_put(&c->state, rec->leaf, &now[k]);
            }
    }
    bool stop = false;
    for (int64_t epoch = 0; epoch < epochs && !stop && !c->believed; epoch++) {
        c->metric = first + change * (double)epoch;
        c->epoch_number = (double)epoch;
        for (int k = 0; k < p->results.len; k++) {
            next[k] = course_node(c, p->results.at[k].node, 0);
            stop = stop || (p->results.at[k].kind == RESULT_STOP && next[k] != 0);
        }
        for (int k = 0; k < p->results.len; k++)
            now[k] = next[k];
    }
    return stop || c->believed;
}

void stop_check(Elab *e, const Program *epoch, Span at) {
    Course c = {.e = e, .epoch = epoch};
    int64_t epochs = e->unit->config.epochs;
    static const double courses[][2] = {{1, 0},     {0, 0},    {1e-3, 1}, {1, -1e-3},
                                        {1e6, 1e6}, {-1e6, 0}, {1e6, 0}};
    if (epochs < 1 || epochs > 10000) return;
    for (int i = 0; i < LENGTH(courses); i++)
        if (fires(&c, courses[i][0], courses[i][1], epochs)) return;
    diag_warning(at, "W0502", "this rule cannot stop a training of %lld epochs", (long long)epochs);
    diag_help("its window is longer, or its bound is never reached");
}
