/* SPDX-License-Identifier: MIT
 * The life of a training: stop rules and schedules on curves by hand, what is done after training,
 * penalties, constraints and noise, averages over masks, stated derivatives.
 * Needs elab, pass, eval and Criterion. Runs programs in the interpreter; executables are process
 * tests'. */
#include "elab_kit.h"

#define DATA                                                                                       \
    "data d {\n train = csv(\"a.csv\", y = \"y\")\n validation = train when example.number > "     \
    "5\n}\n"
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
    cr_expect_eq(STOPS("stop = error_change(validation.loss, window = 3)", 5, 4, 3, 3, 4, 5, 6, 7),
                 6);
    /* a tie is no new best, a new best starts the window again */
    cr_expect_eq(STOPS("stop = error_change(validation.loss, window = 3)", 5, 5, 5, 4, 5, 5, 5, 5),
                 7);
    cr_expect_eq(STOPS("stop = error_change(validation.loss, window = 3)", 9, 8, 7, 6, 5, 4, 3, 2),
                 0);
    /* and two more epochs after the window */
    cr_expect_eq(STOPS("stop = error_change(validation.loss, window = 3, extra = 2)", 5, 4, 3, 3, 4,
                       5, 6, 7, 8),
                 8);
}

Test(training, generalization_loss) {
    /* 100 (e / best - 1): 0, 0, 2.5, 5, 7.5 */
    cr_expect_eq(
        STOPS("stop = generalization_loss(validation.loss, alpha = 6)", 5, 4, 4.1, 4.2, 4.3), 5);
    cr_expect_eq(
        STOPS("stop = generalization_loss(validation.loss, alpha = 2)", 5, 4, 4.1, 4.2, 4.3), 3);
}

Test(training, several_rules_stop_by_the_first) {
    cr_expect_eq(
        STOPS("stop = (error_below(validation.loss, 1), after_epochs(6))", 5, 4, 3, 2, 1, 0), 5);
    cr_expect_eq(
        STOPS("stop = (error_below(validation.loss, 1), after_epochs(3))", 5, 4, 3, 2, 1, 0), 3);
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
    /* the norm is sqrt(5 + w^2): 0.375 / sqrt(5 + 3.125^2) = 0.0978 at epoch 5, 0.5 / 3.74 = 0.13
     * before */
    cr_expect_eq(
        weights_stop("stop = weight_change(window = 2, rho = 0.1, relative = true)", halves, 7), 5);
    cr_expect_eq(
        weights_stop("stop = weight_change(window = 2, rho = 0.097, relative = true)", halves, 7),
        6);
}

/* ---- Schedules: the rate that the steps of each epoch see, against that of the first */
static void rates(const char *rate, const double *curve, const double *expected, int epochs,
                  int stop) {
    Kit k =
        kit_text(name_printf(DATA MODEL "train m on d {\n loss = mse\n optimizer = sgd(lr = %s)\n"
                                        " epochs = 99\n}\n",
                             rate));
    pass_run(k.unit, NULL, NULL, NULL);
    kit_begin(&k, 4);
    kit_run(&k, "init");
    double first = 0, w[6] = {0.5, -0.25, 1, 0, 0.125, -1};
    for (int epoch = 0; epoch < epochs; epoch++) {
        kit_set(&k, "dense1.W", w);
        kit_number(&k, "epoch", epoch);
        double change = kit_get(&k, kit_next(&k, "step", "dense1.W"))[0] - w[0];
        if (!epoch) first = change;
        cr_expect(fabs(change / first - expected[epoch]) < 1e-9, "%s in epoch %d: %.17g, not %.17g",
                  rate, epoch + 1, change / first, expected[epoch]);
        kit_number(&k, "validation.loss", curve[epoch]);
        bool now = kit_get(&k, kit_result(&k, "epoch", RESULT_STOP, "stop"))[0] != 0;
        cr_expect_eq(now, epoch + 1 == stop, "%s in epoch %d", rate, epoch + 1);
        kit_run(&k, "epoch");
    }
    kit_free(&k);
}
#define RATES(RATE, STOP, ...)                                                                     \
    rates(RATE, (double[]){5, 4, 3, 3, 4, 5, 6, 7}, (double[]){__VA_ARGS__},                       \
          (int)(sizeof((double[]){__VA_ARGS__}) / 8), STOP)

Test(training, schedules_with_states) {
    RATES("0.1 * error_change(validation.loss, window = 3, extra = 2, lr_factor = 0.1)", 8, 1, 1, 1,
          1, 1, 1, 0.1, 0.1);
    RATES("0.1 * step_down([3, 2], factor = 0.5)", 5, 1, 1, 1, 0.5, 0.5);
    RATES("step_down([2, 1, 1], factor = 0.1)", 4, 1, 1, 0.1, 0.01);
}

Test(training, schedule_faults) {
    cr_expect_gt(kit_errors(TRAIN("stop = 0.1")), 0);
    cr_expect_gt(kit_errors("def f(w, g) {\n stop when 1 > 0\n w' = w - g\n}\n" DATA MODEL
                            "train m on d {\n loss = mse\n optimizer = f\n}\n"),
                 0);
    cr_expect_gt(kit_errors("def f(x) = mean[batches] x\n" DATA
                            "model m(x[3]) -> y[2] { x -> f -> dense(2) }\n"),
                 0);
}

/* ---- After training */
#define NORMALIZED(KEYS)                                                                           \
    DATA "model m(x[3]) -> y[2] { x -> dense(2, bias = none) -> batchnorm(" KEYS ") }\n"           \
         "train m on d {\n loss = mse\n optimizer = nesterov(lr = 0.1)\n batch = 4\n}\n"

Test(training, population_statistics) {
    /* Ioffe & Szegedy 2015, Alg. 2, step 10: E[x] = mean of mu_B, Var[x] = m/(m-1) mean of
     * sigma_B^2 */
    Kit k = kit_text(NORMALIZED("inference = \"population\""));
    pass_run(k.unit, NULL, NULL, NULL);
    kit_begin(&k, 4);
    kit_run(&k, "init");
    const double w[6] = {1, 0, 0, 0, 1, 0}; /* the units are the first two inputs */
    kit_set(&k, "dense1.W", w);
    double mean[2] = {0}, var[2] = {0};
    kit_number(&k, "batches.count", 3);
    for (int b = 0; b < 3; b++) {
        double x[12];
        for (int i = 0; i < 12; i++)
            x[i] = 3 * kit_random(&k) + b;
        for (int u = 0; u < 2; u++) {
            double mu = (x[u] + x[3 + u] + x[6 + u] + x[9 + u]) / 4, v = 0;
            for (int n = 0; n < 4; n++)
                v += (x[3 * n + u] - mu) * (x[3 * n + u] - mu) / 4;
            mean[u] += mu / 3;
            var[u] += v * 4 / 3 / 3;
        }
        kit_set(&k, "x", x);
        kit_number(&k, "batches.number", b);
        kit_run(&k, "after");
    }
    kit_run(&k, "kept");
    const double *m = kit_get(&k, kit_leaf(&k, "batchnorm1.moving_mean")),
                 *v = kit_get(&k, kit_leaf(&k, "batchnorm1.moving_var"));
    for (int u = 0; u < 2; u++) {
        EXPECT_NEAR(m[u], mean[u]);
        EXPECT_NEAR(v[u], var[u]);
    }
    kit_free(&k);
    k = kit_text(NORMALIZED("inference = \"moving\"")); /* nothing to do after training */
    cr_expect_null(unit_program(k.unit, "after"));
    kit_free(&k);
}

Test(training, normalization_forgets_the_scale) {
    /* BN((aW)u) = BN(Wu), but for eps */
    Kit k = kit_text(NORMALIZED("eps = 0"));
    kit_begin(&k, 16);
    double w[6], before[1], still[6] = {0};
    for (int i = 0; i < 6; i++)
        w[i] = kit_random(&k);
    kit_set(&k, "dense1.W.optimizer.v", still); /* the step is taken at w + gamma v */
    kit_set(&k, "dense1.W", w);
    Node *loss = kit_value(&k, "step", "loss");
    before[0] = kit_get(&k, loss)[0];
    for (int i = 0; i < 6; i++)
        w[i] *= 1000;
    kit_set(&k, "dense1.W", w);
    EXPECT_NEAR(kit_get(&k, loss)[0], before[0]);
    kit_free(&k);
}

Test(training, folded_prediction) {
    /* simplify moves the normalization into the weights: the same outputs to 1e-5 */
    Kit plain = kit_text(NORMALIZED("")), folded = kit_text(NORMALIZED(""));
    Kit *both[2] = {&plain, &folded};
    const double *y[2];
    pass_run(folded.unit, NULL, NULL, NULL);
    for (int i = 0; i < 2; i++) {
        double var[2] = {0.5, 20}, mean[2] = {3, -1}, gamma[2] = {2, -0.5}, beta[2] = {0.25, 7},
               w[6], x[48];
        both[i]->seed = 3;
        kit_begin(both[i], 16);
        both[i]->seed = 4;
        for (int j = 0; j < 48; j++)
            x[j] = kit_random(both[i]);
        for (int j = 0; j < 6; j++)
            w[j] = kit_random(both[i]);
        kit_set(both[i], "x", x);
        kit_set(both[i], "dense1.W", w);
        kit_set(both[i], "batchnorm1.moving_var", var);
        kit_set(both[i], "batchnorm1.moving_mean", mean);
        kit_set(both[i], "batchnorm1.gamma", gamma);
        kit_set(both[i], "batchnorm1.beta", beta);
        y[i] = kit_get(both[i], kit_value(both[i], "predict", "y"));
    }
    for (int j = 0; j < 32; j++)
        cr_expect(fabs(y[0][j] - y[1][j]) <= 1e-5 * (1 + fabs(y[0][j])), "%g and %g", y[0][j],
                  y[1][j]);
    kit_free(&plain);
    kit_free(&folded);
}

/* ---- Penalties, constraints, gradients */
/* The new value of W where lr = 1 and the gradient comes from the keys alone: loss zero at t = y.
 */
static double *updated(Kit *k, const char *keys, const double *w) {
    *k = kit_text(name_printf("def nothing(y[d], t[d]) = mean[d] 0 * y[d]\n" DATA MODEL
                              "train m on d {\n loss = nothing\n optimizer = sgd(lr = 1)\n%s\n}\n",
                              keys));
    pass_run(k->unit, NULL, NULL, NULL);
    kit_begin(k, 4);
    double b[2] = {0, 0};
    kit_set(k, "dense1.W", w);
    kit_set(k, "dense1.b", b);
    return (double *)(uintptr_t)kit_get(k, kit_next(k, "step", "dense1.W"));
}

Test(training, penalties_and_constraints) {
    const double w[6] = {3, -4, 0, 0.3, 0.4, 0};
    Kit k;
    double *next = updated(&k, "penalty = l2(0.25)", w); /* gradient 0.25 w */
    for (int i = 0; i < 6; i++)
        EXPECT_NEAR(next[i], 0.75 * w[i]);
    EXPECT_NEAR(kit_get(&k, kit_value(&k, "step", "loss"))[0], 0.125 * 25.25);
    kit_free(&k);
    next = updated(&k, "penalty = l1(0.25) on W", w); /* 0.25 sign w */
    for (int i = 0; i < 6; i++)
        EXPECT_NEAR(next[i], w[i] - 0.25 * ((w[i] > 0) - (w[i] < 0)));
    EXPECT_NEAR(kit_get(&k, kit_value(&k, "step", "loss"))[0], 0.25 * 7.7);
    kit_free(&k);
    next = updated(&k, "constraint = max_norm(2) on W", w); /* rows of norm 5 and 0.5 */
    for (int i = 0; i < 6; i++)
        EXPECT_NEAR(next[i], i < 3 ? 0.4 * w[i] : w[i]);
    kit_free(&k);
    next = updated(&k, "penalty = l2(1)\n gradients = clip_value(0.35)", w);
    for (int i = 0; i < 6; i++)
        EXPECT_NEAR(next[i], w[i] - fmax(-0.35, fmin(0.35, w[i])));
    kit_free(&k);
    next = updated(&k, "penalty = l2(1)\n gradients = clip_norm(0.5)",
                   w); /* of all gradients: sqrt 25.25 */
    for (int i = 0; i < 6; i++)
        EXPECT_NEAR(next[i], w[i] - w[i] * 0.5 / sqrt(25.25));
    kit_free(&k);
    next = updated(&k, "penalty = l2(1)\n gradients = clip_norm(6)", w); /* short enough */
    for (int i = 0; i < 6; i++)
        EXPECT_NEAR(next[i], 0);
    kit_free(&k);
}

/* Neelakantan et al. 2015, eq. 1: sigma_t^2 = eta / (1 + t)^gamma with t from 0, after clipping. */
Test(training, gradient_noise) {
    Kit k = kit_text("def nothing(y[d], t[d]) = mean[d] 0 * y[d]\n" DATA
                     "model m(x[90, 90]) -> y[2] { x -> dense(2) }\n"
                     "train m on d {\n loss = nothing\n optimizer = sgd(lr = 1)\n"
                     " gradients = clip_norm(1e-9) -> gradient_noise(eta = 0.3)\n}\n");
    pass_run(k.unit, NULL, NULL, NULL);
    k.examples = 2;
    k.eval = eval_new(k.arena, 2, 42);
    static double zero[16200 + 2], one[2] = {1, 1};
    const Graph *g = k.unit->graph;
    for (int i = 0; i < g->nodes.len; i++)
        if (g->nodes.at[i]->kind < NODE_HYPER) eval_set(k.eval, g->nodes.at[i], zero);
    double nan = NAN;
    for (int i = 0; i < g->nodes.len; i++)
        if (g->nodes.at[i]->kind == NODE_HYPER) eval_set(k.eval, g->nodes.at[i], &nan);
    kit_number(&k, "count", 2);
    if (kit_has_leaf(&k, "live")) kit_set(&k, "live", one);
    static const double steps[] = {1, 2, 10, 1000};
    for (int s = 0; s < 4; s++) {
        static const uint32_t none[2];
        double sum = 0, square = 0;
        int n = 0;
        for (uint32_t repeat = 0; repeat < 16; repeat++) { /* other draws, the same variance */
            kit_number(&k, "step", steps[s]);
            eval_draws(k.eval, none, none, (uint32_t)(steps[s] * 16) + repeat);
            const double *w = kit_get(&k, kit_next(&k, "step", "dense1.W"));
            for (int i = 0; i < 16200; i++, n++)
                sum += w[i], square += w[i] * w[i];
        }
        double mean = sum / n, variance = square / n - mean * mean,
               wanted = 0.3 / pow(steps[s], 0.55);
        /* of 259 200 draws: 1% is 3.6 standard deviations */
        cr_expect(fabs(variance / wanted - 1) < 0.01, "step %g: variance %g, not %g", steps[s],
                  variance, wanted);
        cr_expect(fabs(mean) < 5 * sqrt(wanted / n), "step %g: mean %g", steps[s], mean);
    }
    kit_free(&k);
}

/* ---- Averages over masks */
static void predict_with(Kit *k, const char *net, double *out) {
    *k = kit_text(name_printf("def mean_loss(y[c], t[c]) = mean[c] (y[c] - t[c])^2\n"
                              "model m(x[7]) -> y[4] { %s }\n",
                              net));
    kit_begin(k, 5);
    k->seed = 11;
    double w[28], b[4], x[35];
    for (int i = 0; i < 28; i++)
        w[i] = 2 * kit_random(k);
    for (int i = 0; i < 4; i++)
        b[i] = kit_random(k);
    for (int i = 0; i < 35; i++)
        x[i] = 2 * kit_random(k);
    const Graph *g = k->unit->graph;
    for (int i = 0; i < g->nodes.len; i++) {
        Node *n = g->nodes.at[i];
        if (n->kind == NODE_PARAM) eval_set(k->eval, n, n->rank == 2 ? w : b);
    }
    kit_set(k, "x", x);
    memcpy(out, kit_get(k, kit_value(k, "predict", "y")), sizeof(double) * 20);
    kit_free(k);
}

Test(training, mean_over_masks) {
    Kit k;
    double net[20], geometric[20], arithmetic[20], far = 0;
    predict_with(&k, "x -> dropout(0.5) -> dense(4) -> softmax", net);
    predict_with(&k, "x -> mask_average(dense(4) -> softmax, 4, geometric = true)", geometric);
    predict_with(&k, "x -> mask_average(dense(4) -> softmax, 4)", arithmetic);
    for (int i = 0; i < 20; i++) {
        cr_expect(fabs(net[i] - geometric[i]) < 1e-12, "%.17g and %.17g", net[i], geometric[i]);
        far = fmax(far, fabs(net[i] - arithmetic[i]));
    }
    cr_expect_gt(far, 1e-3);
    predict_with(&k, "x -> mask_average(dense(4) -> softmax, 4, p = 0.2, geometric = true)",
                 geometric);
    for (int i = 0; i < 20; i++)
        cr_expect(fabs(net[i] - geometric[i]) < 1e-12, "%.17g and %.17g", net[i], geometric[i]);
    k = kit_def("mask_average(dense(4) -> softmax, 4) on [7]", "");
    cr_expect_eq(k.unit->params.len, 2, "what predicts is not what is trained");
    kit_free(&k);
}

Test(training, dropconnect_moments) {
    /* with no activation the average over samples nears the mean net; with relu it is above it */
    Kit k;
    double mean[20], linear[20], rectified[20], off = 0, above = 0;
    predict_with(&k, "x -> dropconnect(4)", mean);
    predict_with(&k, "x -> dropconnect(4, samples = 4000)", linear);
    predict_with(&k, "x -> dropconnect(4, activation = relu, samples = 4000)", rectified);
    for (int i = 0; i < 20; i++) {
        off = fmax(off, fabs(mean[i] - linear[i]));
        above += rectified[i] - fmax(mean[i], 0);
        cr_expect_geq(rectified[i], 0);
    }
    cr_expect_lt(off, 0.4);
    cr_expect_gt(off, 0);
    cr_expect_gt(above, 5);
}

/* ---- Stated derivatives */
Test(training, stated_derivatives) {
    Kit k = kit_def("softplus on [3]", "");
    pass_run(k.unit, NULL, NULL, NULL);
    kit_begin(&k, 1);
    const double x[3] = {0, 800, -800}, one[3] = {1, 1, 1};
    kit_set(&k, "x", x);
    kit_set(&k, "weight", one);
    const double *g = kit_get(&k, kit_value(&k, "step", "grad:x"));
    EXPECT_NEAR(g[0], 0.5);
    EXPECT_NEAR(g[1], 1);
    EXPECT_NEAR(g[2], 0);
    kit_free(&k);
    /* by a tensor, where the value is one number; other arguments keep their own */
    k = kit_def("f on [3]",
                "def f(x[d]) {\n param s = 2\n derivative x[d] = 7 * d\n s * (sum[d] x[d])\n}\n");
    pass_run(k.unit, NULL, NULL, NULL);
    kit_begin(&k, 1);
    kit_set(&k, "x", (double[]){1, 2, 4});
    kit_set(&k, "weight", one);
    g = kit_get(&k, kit_value(&k, "step", "grad:x"));
    for (int i = 0; i < 3; i++)
        EXPECT_NEAR(g[i], 7 * i);
    for (int i = 0; i < k.unit->params.len; i++)
        EXPECT_NEAR(kit_get(&k, kit_value(&k, "step",
                                          name_printf("grad:%s", k.unit->params.at[i]->name)))[0],
                    7);
    kit_free(&k);
    cr_expect_gt(kit_errors("def f(x[d]) {\n y[d] = x[d]\n derivative z = 1\n y\n}\nmodel m(x[3]) "
                            "-> y[3] { x -> f }\n"),
                 0);
    cr_expect_gt(kit_errors("def f(x[d]) {\n derivative x[k: 2] = 1\n sum[d] x[d]\n}\nmodel "
                            "m(x[3]) -> y[1] { x -> f -> dense(1) }\n"),
                 0);
}

/* ---- Prediction with draws: those of dropout, but no statistics of the batch */
Test(training, sampled_prediction) {
    Kit k = kit_text(DATA "model m(x[3]) -> y[2] { x -> dense(2) -> batchnorm -> dropout(0.5) }\n"
                          "train m on d {\n loss = mse\n optimizer = sgd\n}\n");
    kit_begin(&k, 8);
    kit_run(&k, "init");
    const double *y = kit_get(&k, kit_value(&k, "predict", "y")),
                 *s = kit_get(&k, kit_value(&k, "sample", "y"));
    int dropped = 0;
    for (int i = 0; i < 16; i++) {
        cr_expect(s[i] == 0 || fabs(s[i] - 2 * y[i]) < 1e-12, "%g and %g", s[i], y[i]);
        dropped += s[i] == 0;
    }
    cr_expect(dropped > 0 && dropped < 16);
    kit_free(&k);
    k = kit_text(DATA MODEL "train m on d {\n loss = mse\n optimizer = sgd\n}\n");
    cr_expect_null(unit_program(k.unit, "sample"));
    kit_free(&k);
}
