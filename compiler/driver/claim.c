/* SPDX-License-Identifier: MIT
 * `expect EXPR` and `check gradients`: claims of a test, evaluated by the float64 interpreter.
 * Needs elab's claims, eval, sampled leaves and what a session knows. Trains nothing. */
#include "test.h"
#include "equal.h"
#include "sample.h"
#include "io.h"
#include <math.h>
#include <string.h>

/* ---- check gradients */
static void gradient_report(const GradientReport *r, void *context) {
    Test *test = context;
    const char *kinks =
        r->kinks ? arena_printf(test->arena, ", %lld on a kink", (long long)r->kinks) : "";
    test_say(test, "%s: %lld of %lld elements, worst relative error %.1e%s", r->path,
             (long long)r->checked, (long long)r->count, r->worst, kinks);
    if (r->wrong)
        test_say(test, "%s: %lld wrong; element %lld: gradient %.12g, difference %.12g", r->path,
                 (long long)r->wrong, (long long)r->worst_element, r->gradient, r->difference);
}

static const char no_loss[] = "the loss is nan or infinite: its differences say nothing";

static void grow_gradients(Unit *unit) {
    gradients_add(unit, false);
}

/* Each training of the file is a unit of its own, or the one of --only. */
void check_gradients(Test *test, const char *of) {
    const Module *module = test->module;
    const char *what =
        of ? arena_printf(test->arena, "check gradients of %s", of) : "check gradients";
    for (int i = 0; i < module->trains.len || i == 0; i++) {
        const Decl *train = i < module->trains.len ? module->trains.at[i] : NULL;
        const char *only = test->options->only;
        if (train && only && (!train->name || strcmp(train->name, only))) continue;
        Arena *arena = arena_new();
        only = train ? train->name : NULL;
        Work work = {.arena = arena,
                     .options = test->options,
                     .path = test->path,
                     .only = only,
                     .elaborated = grow_gradients};
        int wrong = 1;
        if (!stages_run(&work, STAGE_PASS)) {
            test_diagnosed(test);
        } else if ((wrong = gradients_check(work.unit, 1, of, 2e9, gradient_report, test)) < 0) {
            test_say(test, "%s",
                     wrong == GRADIENTS_NO_LOSS ? no_loss
                     : of                       ? "no parameter of that name"
                          : "the file has no training, or its model no parameter");
        }
        test_point(test, wrong == 0,
                   only ? arena_printf(test->arena, "%s (%s)", what, only) : what);
        arena_free(arena);
    }
}

bool claim_gradients(Test *test, const Stmt *stmt) {
    Claim claim = {.body = &test->decl->body, .stmt = stmt, .value = stmt->value};
    Unit *unit = elab_claim_def(test->arena, test->module, &claim);
    if (!unit) return false;
    graph_verify(unit, 0);
    gradients_add(unit, true);
    pass_run(unit, NULL, NULL, NULL);
    int wrong = gradients_check(unit, 1, NULL, 2e9, gradient_report, test);
    if (wrong < 0)
        test_say(test, "%s",
                 wrong == GRADIENTS_NO_LOSS
                     ? no_loss
                     : "it has no parameter, and no input that is a tensor of numbers");
    return wrong == 0;
}

/* ---- expect */
static const Known *known_find(const Test *test, const char *name) {
    for (int i = 0; i < test->session.known.len; i++)
        if (!strcmp(test->session.known.at[i].name, name)) return &test->session.known.at[i];
    return NULL;
}

/* What a leaf is: as trained, where the test trained its model; else as the first step finds it. */
static void leaf_set(const Test *test, Eval *start, const Unit *unit, Sample *one) {
    static const struct {
        const char *name;
        double value;
    } first[] = {{"step", 1}, {"epoch", 0}, {"progress", 0}};
    Node *leaf = one->leaf;
    const Unit *trained = test->unit;
    const char *name = leaf->name;
    size_t length = trained ? strlen(trained->model) : 0,
           size = sizeof(double) * (size_t)one->count;
    if (leaf->kind == NODE_HYPER) {
        for (int i = 0; i < LENGTH(first); i++)
            if (!strcmp(name, first[i].name)) *one->values = first[i].value;
        return;
    }
    if (leaf->kind != NODE_INPUT && trained && !strncmp(name, trained->model, length) &&
        name[length] == '.')
        name += length + 1; /* of the model, called as a def */
    else if (leaf->kind != NODE_INPUT)
        name = "";
    const Known *known = leaf->per_example ? NULL : known_find(test, name);
    if (known) {
        memcpy(one->values, known->values, size);
        return;
    }
    const Program *init = unit_program(unit, "init");
    for (int i = 0; init && i < init->results.len; i++)
        if (init->results.at[i].target == leaf && leaf->kind != NODE_FITTED)
            memcpy(one->values, eval_node(start, init->results.at[i].node), size);
}

static Node *result_node(const Program *program, const char *name) {
    for (int i = 0; i < program->results.len; i++)
        if (program->results.at[i].name && !strcmp(program->results.at[i].name, name))
            return program->results.at[i].node;
    return NULL;
}

static void numbers_set(Eval *start, Samples *samples, const Program *program) {
    for (int i = 0; i < program->results.len; i++) {
        const Result *r = &program->results.at[i];
        if (!r->name || strncmp(r->name, "at:", 3)) continue;
        for (int k = 0; k < samples->list.len; k++)
            if (samples->list.at[k].leaf->kind == NODE_HYPER &&
                !strcmp(samples->list.at[k].leaf->name, r->name + 3))
                *samples->list.at[k].values = eval_node(start, r->node)[0];
    }
}

static bool compared(const char *op, double a, double b, double within) {
    bool equal = op[1] == '=';
    switch (op[0]) {
    case '<':
        return equal ? a <= b : a < b;
    case '>':
        return equal ? a >= b : a > b;
    case '=':
        return a == b;
    case '!':
        return a != b;
    default:
        return fabs(a - b) <= within;
    }
}

/* Element by element; a number, or a value that is the same for all examples, stands for all. */
static bool sides_hold(Test *test, const Expr *x, Eval *eval, Node *left, Node *right,
                       double within) {
    int64_t n = eval_count(eval, left), m = eval_count(eval, right), count = n > m ? n : m;
    const double *a = eval_node(eval, left), *b = eval_node(eval, right);
    int64_t wrong = 0, first = 0;
    for (int64_t i = count - 1; i >= 0; i--)
        if (!compared(x->name, a[i % n], b[i % m], within)) wrong++, first = i;
    if (!wrong) return true;
    double l = a[first % n], r = b[first % m];
    const char *where =
        count > 1 ? arena_printf(test->arena, "element %lld: ", (long long)first) : "";
    char left_text[NUMBER_TEXT], right_text[NUMBER_TEXT], difference[40] = "";
    if (!isnan(l - r)) snprintf(difference, sizeof difference, ", their difference %.3g", l - r);
    test_say(test, "%sthe left side is %s, the right side %s%s", where,
             number_text(l, 8, left_text), number_text(r, 8, right_text), difference);
    if (wrong > 1)
        test_say(test, "it does not hold for %lld of %lld elements", (long long)wrong,
                 (long long)count);
    return false;
}

static void say_compiled(const char *line, void *context) {
    test_say(context, "compiled: %s", line);
}

/* Compiled code gives what the interpreter gives: the claim is one of both. What a training came to
 * was compiled code's before. */
static bool compiled_same(Test *test, Unit *unit, Samples *samples, Eval *eval) {
    Native native;
    BackOptions how;
    if (test->session.out) return true;
    if (!options_back(test->options, test->arena, EMIT_LIB, &how)) return false;
    how.float_bytes = 8;
    if (!test->options->level) how.level = 0; /* the bits are those of every level */
    if (!native_open(&native, test->arena, unit, &how)) {
        test_say(test, "it cannot be compiled");
        return false;
    }
    Equal equal = {.arena = test->arena,
                   .unit = unit,
                   .samples = samples,
                   .eval = eval,
                   .native = &native,
                   .say = say_compiled,
                   .context = test};
    bool same = equal_check(&equal) == 0;
    native_close(&native);
    return same;
}

/* A metric that nothing has measured yet is but a def. */
static bool asks_metric(const Test *test, const Expr *x) {
    if (!x) return false;
    for (int i = 0; x->kind == EXPR_NAME && i < test->module->trains.len; i++) {
        const Decl *train = test->module->trains.at[i];
        for (int k = 0; k < train->body.len; k++)
            if (!strcmp(train->body.at[k]->targets.at[0].name, "metric") &&
                strstr(test_text(test->arena, train->body.at[k]->at), x->name))
                return true;
    }
    return asks_metric(test, x->a) || asks_metric(test, x->b);
}

/* A part of `a and b` is a claim of its own: what is said of it is the more exact. */
static bool holds(Test *test, const Stmt *stmt, const Expr *x) {
    if (x->kind == EXPR_BINARY && !strcmp(x->name, "and"))
        return holds(test, stmt, x->a) && holds(test, stmt, x->b);
    Claim claim = {.body = &test->decl->body,
                   .stmt = stmt,
                   .value = x,
                   .known = test->session.known.at,
                   .nknown = test->session.known.len};
    Unit *unit = elab_claim(test->arena, test->module, &claim);
    if (!unit || diag_errors()) {
        if (!test->session.out && asks_metric(test, x))
            test_say(test, "metrics have values behind `train N steps`");
        return false;
    }
    graph_verify(unit, 0);
    pass_run(unit, NULL, NULL, NULL);
    enum { EXAMPLES = 3 };
    const Program *program = unit_program(unit, "eval");
    Samples *samples = samples_make(test->arena, unit, EXAMPLES, 1);
    Eval *start = samples_eval(test->arena, samples);
    for (int i = 0; i < samples->list.len; i++)
        leaf_set(test, start, unit, &samples->list.at[i]);
    numbers_set(start, samples, program);
    samples->step = 1;
    Eval *eval = samples_eval(test->arena, samples);
    if (!compiled_same(test, unit, samples, eval)) return false;
    Node *left = result_node(program, "left"), *right = result_node(program, "right"),
         *within = result_node(program, "within"), *truth = result_node(program, "holds");
    if (left && right)
        return sides_hold(test, x, eval, left, right, within ? eval_node(eval, within)[0] : 0);
    const double *values = eval_node(eval, truth);
    for (int64_t i = 0; i < eval_count(eval, truth); i++)
        if (values[i] == 0) {
            test_say(test, "element %lld does not hold", (long long)i);
            return false;
        }
    return true;
}

bool claim_run(Test *test, const Stmt *stmt) {
    return session_know(test) && holds(test, stmt, stmt->value);
}
