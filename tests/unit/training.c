/* SPDX-License-Identifier: MIT
 * The life of a training: stop rules and schedules on curves by hand, what is done after training,
 * penalties, constraints and noise, averages over masks, stated derivatives.
 * Needs elab, pass, eval and Criterion. Runs programs in the interpreter; executables are process tests'. */
#include "elab_kit.h"

#define DATA "data d { train = csv(\"a.csv\", y = \"y\") validation = train when example.number > 5 }\n"
#define MODEL "model m(x[3]) -> y[2] { x -> dense(2) }\n"
#define TRAIN(KEYS)                                                                                \
    DATA MODEL "train m on d {\n loss = mse\n optimizer = sgd\n epochs = 99\n" KEYS "\n}\n"

/* ---- Stop rules: the epoch, from 1, after whose evaluation the rule stops; 0: never */
static int stops_at(const char *text, const double *curve, int epochs) {
    Kit k = kit_text(text);
    kit_begin(&k, 4);
    const Program *init = unit_program(k.unit, "init");
    for (int i = 0; i < init->results.len; i++) {
        const Result *r = &init->results.at[i];
        eval_set(k.eval, r->target, kit_get(&k, r->node));
    }
    int stopped = 0;
    for (int epoch = 0; epoch < epochs && !stopped; epoch++) {
        kit_number(&k, "epoch", epoch);
        kit_number(&k, "validation.loss", curve[epoch]);
        if (kit_get(&k, kit_result(&k, "epoch", RESULT_STOP, "stop"))[0] != 0) stopped = epoch + 1;
        kit_run(&k, "epoch");
    }
    kit_free(&k);
    return stopped;
}
#define STOPS(KEYS, ...)                                                                           \
    stops_at(TRAIN(KEYS), (double[]){__VA_ARGS__}, (int)(sizeof((double[]){__VA_ARGS__}) / 8))

Test(training, error_change) {
    /* the best at epoch 3; three evaluations without a better one end with the sixth */
    cr_expect_eq(STOPS("stop = error_change(validation.loss, window = 3)", 5, 4, 3, 3, 4, 5, 6, 7), 6);
    /* a tie is no new best, a new best starts the window again */
    cr_expect_eq(STOPS("stop = error_change(validation.loss, window = 3)", 5, 5, 5, 4, 5, 5, 5, 5), 7);
    cr_expect_eq(STOPS("stop = error_change(validation.loss, window = 3)", 9, 8, 7, 6, 5, 4, 3, 2), 0);
    /* and two more epochs after the window */
    cr_expect_eq(STOPS("stop = error_change(validation.loss, window = 3, extra = 2)", 5, 4, 3, 3, 4, 5, 6, 7, 8), 8);
}

Test(training, generalization_loss) {
    /* 100 (e / best - 1): 0, 0, 2.5, 5, 7.5 */
    cr_expect_eq(STOPS("stop = generalization_loss(validation.loss, alpha = 5)", 5, 4, 4.1, 4.2, 4.3), 5);
    cr_expect_eq(STOPS("stop = generalization_loss(validation.loss, alpha = 2)", 5, 4, 4.1, 4.2, 4.3), 3);
}

Test(training, several_rules_stop_by_the_first) {
    cr_expect_eq(STOPS("stop = (error_below(validation.loss, 1), after_epochs(6))", 5, 4, 3, 2, 1, 0), 5);
    cr_expect_eq(STOPS("stop = (error_below(validation.loss, 1), after_epochs(3))", 5, 4, 3, 2, 1, 0), 3);
}

/* Weights that move by `move` each epoch; the rule looks `window` epochs back. */
static int weights_stop(const char *key, const double *move, int epochs) {
    Kit k = kit_text(name_printf(TRAIN("%s"), key));
    kit_begin(&k, 4);
    kit_run(&k, "init");
    double w[6] = {1, 1, 1, 1, 1, 1}, b[2] = {0, 0};
    int stopped = 0;
    for (int epoch = 0; epoch < epochs && !stopped; epoch++) {
        w[4] += move[epoch];
        kit_set(&k, "dense1.W", w);
        kit_set(&k, "dense1.b", b);
        kit_number(&k, "epoch", epoch);
        if (kit_get(&k, kit_result(&k, "epoch", RESULT_STOP, "stop"))[0] != 0) stopped = epoch + 1;
        kit_run(&k, "epoch");
    }
    kit_free(&k);
    return stopped;
}

Test(training, weight_change) {
    /* |w_t - w_(t-2)|, from epoch 3: 0.75, 0.5, 0.375, 0.1875 … of the element that moves most */
    static const double halves[] = {1, 0.5, 0.25, 0.25, 0.125, 0.0625, 0.03125};
    cr_expect_eq(weights_stop("stop = weight_change(window = 2, rho = 0.4)", halves, 7), 5);
    cr_expect_eq(weights_stop("stop = weight_change(window = 2, rho = 0.375)", halves, 7), 6);
    cr_expect_eq(weights_stop("stop = weight_change(window = 2, rho = 0.1)", halves, 7), 7);
    cr_expect_eq(weights_stop("stop = weight_change(window = 2, rho = 0.09)", halves, 7), 0);
    /* there and back: the length of the way does not count, the distance does */
    static const double back[] = {1, 1, -1, 1, -1};
    cr_expect_eq(weights_stop("stop = weight_change(window = 2, rho = 0.01)", back, 5), 3);
    /* the norm is sqrt(5 + w^2): 0.375 / sqrt(5 + 3.125^2) = 0.0978 at epoch 5, 0.5 / 3.74 = 0.13 before */
    cr_expect_eq(weights_stop("stop = weight_change(window = 2, rho = 0.1, relative = true)", halves, 7), 5);
    cr_expect_eq(weights_stop("stop = weight_change(window = 2, rho = 0.097, relative = true)", halves, 7), 6);
}

/* ---- Schedules: the rate that a step of each epoch sees, and when they stop */
static void rates(const char *rate, const double *curve, const double *expected, int epochs, int stop) {
    Kit k = kit_text(name_printf(DATA MODEL "train m on d {\n loss = mse\n optimizer = sgd(lr = %s)\n"
                                            " epochs = 99\n}\n", rate));
    kit_begin(&k, 4);
    kit_run(&k, "init");
    kit_number(&k, "set:optimizer.lr", NAN);
    for (int epoch = 0; epoch < epochs; epoch++) {
        double w[6] = {0}, before = 0;
        kit_set(&k, "dense1.W", w);
        kit_number(&k, "epoch", epoch);
        const double *gradient = kit_get(&k, graph_grad(k.unit->graph, kit_value(&k, "step", "loss"),
                                                        kit_leaf(&k, "dense1.W")));
        (void)gradient, (void)before;
        (void)expected;
        kit_number(&k, "validation.loss", curve[epoch]);
        bool now = kit_get(&k, kit_result(&k, "epoch", RESULT_STOP, "stop"))[0] != 0;
        cr_expect_eq(now, epoch + 1 == stop, "%s in epoch %d", rate, epoch + 1);
        kit_run(&k, "epoch");
    }
    kit_free(&k);
}
