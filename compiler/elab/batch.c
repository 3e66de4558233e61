/* SPDX-License-Identifier: MIT
 * The key `batch`: a number, `all`, or an expression of `epoch` or `step`, whose values are all
 * computed here, so that memory is planned for the largest. Needs front and ir. Opens no file. */
#include "elab_internal.h"
#include <math.h>
#include <string.h>

enum { MOST_VALUES = 1 << 22 };

typedef struct Course { /* what the expression sees */
    double epoch, step;
    bool by_epoch, by_step;
    Name other; /* what it may not depend on */
} Course;

static double course_value(Course *c, const Scalar *s);

static double course_node(Course *c, const Node *node) {
    if (node->kind == NODE_COMP && node->rank == 0 && node->reduce == RED_NONE)
        return course_value(c, node->body);
    if (node->kind == NODE_HYPER && node->name == name_of("epoch")) {
        c->by_epoch = true;
        return c->epoch;
    }
    if (node->kind == NODE_HYPER && node->name == name_of("step")) {
        c->by_step = true;
        return c->step;
    }
    if (node->kind == NODE_HYPER && !strncmp(node->name, "set:", 4)) return NAN; /* not given */
    c->other = node->name ? node->name : name_of("a value");
    return NAN;
}

static double course_value(Course *c, const Scalar *s) {
    double v[3] = {0};
    switch (s->kind) {
    case SC_CONST:
        return s->value;
    case SC_READ:
        return course_node(c, s->node);
    case SC_OP:
        for (int i = 0; i < op_info[s->op].arity; i++)
            v[i] = course_value(c, s->arg[i]);
        return op_info[s->op].value(v[0], v[1], v[2]);
    default:
        c->other = name_of("a draw");
        return NAN;
    }
}

static bool check_course(Elab *e, const Course *c, const Expr *x) {
    const TrainConfig *config = &e->unit->config;
    if (c->other || (c->by_epoch && c->by_step)) {
        if (fail(e, x->at, "E0535", "`batch` depends on %s", c->other ? c->other : "both"))
            fail_help(e, "it is a number, `all`, or an expression of `epoch` or of `step`");
        return false;
    }
    if (c->by_epoch && config->steps) {
        if (fail(e, x->at, "E0535", "`batch` depends on `epoch`, but the training is by `steps`"))
            fail_help(e, "say how many `epochs` there are: every size is planned for");
        return false;
    }
    if (c->by_step && !config->steps) {
        if (fail(e, x->at, "E0535", "`batch` depends on `step`, but the training is by `epochs`"))
            fail_help(e, "say how many `steps` there are: every size is planned for");
        return false;
    }
    if (config->epochs <= MOST_VALUES && config->steps <= MOST_VALUES) return true;
    fail(e, x->at, "E0535", "a batch that changes over more than %d updates", MOST_VALUES);
    return false;
}

/* All sizes, in stages of equal ones. */
static void batch_changes(Elab *e, const Value *v, const Expr *x) {
    TrainConfig *config = &e->unit->config;
    Course c = {.step = 1};
    course_value(&c, v->s);
    c.by_epoch = c.by_step = false; /* a branch may hide the other: seen below */
    c.other = NULL;
    int64_t first = 0, last = config->steps ? config->steps : config->epochs - 1;
    if (config->steps) first = 1;
    for (int64_t i = first; i <= last; i++) {
        c.step = config->steps ? (double)i : 1;
        c.epoch = config->steps ? 0 : (double)i;
        double size = floor(course_value(&c, v->s));
        if (i == first && !check_course(e, &c, x)) return;
        if (!(size >= 1) || size > 0x1p30) {
            fail(e, x->at, "E0530", "`batch` is at least 1; it comes out as %.10g in %s %lld", size,
                 config->steps ? "step" : "epoch", (long long)i);
            return;
        }
        int n = config->stages.len;
        if (n && config->stages.at[n - 1].size == (int64_t)size) continue;
        BatchStage stage = {.from = i, .size = (int64_t)size};
        VEC_PUSH(e->arena, config->stages, stage);
        if (stage.size > config->batch) config->batch = stage.size;
    }
    config->stages_by_step = config->steps > 0;
}

/* After `steps` and `epochs` are known. */
void train_batch(Elab *e) {
    const Stmt *s = train_key(e, "batch");
    TrainConfig *config = &e->unit->config;
    config->batch = 32;
    if (!s) return;
    if (s->value->kind == EXPR_NAME && !strcmp(s->value->name, "all")) {
        config->batch_all = e->full_batch = true;
        return;
    }
    Scope *outer = e->scope;
    e->scope = scope_new(e, NULL, name_of("batch"), name_of("batch"));
    e->mode = MODE_UPDATE;
    run_where(e, s);
    Value *v = eval_number(e, s->value);
    e->mode = MODE_EVAL;
    e->scope = outer;
    if (v->kind != VAL_NUMBER) return;
    config->batch = 1;
    if (!v->known) {
        batch_changes(e, v, s->value);
    } else if (!(v->num >= 1) || v->num > 0x1p30) {
        fail(e, s->value->at, "E0530", "`batch` is at least 1, not %.10g", v->num);
    } else
        config->batch = (int64_t)floor(v->num);
}
