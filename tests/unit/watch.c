/* SPDX-License-Identifier: MIT
 * What `watch` gives: numbers by hand, masks, names, and that a step is the same with and without it.
 * Needs elab, pass, eval and Criterion. --watch itself is tested by process (tests/errors/data/watch). */
#include "elab_kit.h"

#define HEAD                                                                                       \
    "def kept(x[c]) {\n param W[c] = 1\n y[c] = W[c] * x[c]\n}\n"                                  \
    "data d {\n train = csv(\"a.csv\", y = \"y\")\n}\n"                                            \
    "model m(x[3]) -> y[3] { h = x -> kept -> relu\n h -> dense(3) }\n"
#define TRAIN(KEYS) HEAD "train m on d {\n loss = mse\n optimizer = sgd(1)\n" KEYS "\n}\n"

static Kit begin(const char *text) {
    static const double x[9] = {-1, 2, 0, -3, -1, 0, 5, 5, 5}, live[64] = {1, 1}, one[3] = {1, 1, 1};
    Kit k = kit_text(text);
    pass_run(k.unit, NULL, NULL, NULL);
    kit_begin(&k, 3);
    kit_set(&k, "x", x);
    kit_set(&k, "live", live); /* the third is not there */
    kit_number(&k, "count", 2);
    kit_set(&k, "h.W", one);
    return k;
}

static double number(Kit *k, const char *name) {
    return kit_get(k, kit_value(k, "watch", name))[0];
}

Test(watch, layers) {
    Kit k = begin(TRAIN(" watch = dead_units on h.relu1, activation_mean, activation_sd on relu, saturated(low = 0, high = 2) on h"));
    EXPECT_NEAR(number(&k, "watch:dead_units.h.relu1"), 2.0 / 3);
    EXPECT_NEAR(number(&k, "watch:activation_mean.h.relu1"), 2.0 / 6);
    EXPECT_NEAR(number(&k, "watch:activation_mean.h"), -3.0 / 6); /* the layer of that path */
    EXPECT_NEAR(number(&k, "watch:activation_sd.h.relu1"), sqrt(4.0 / 6 - 1.0 / 9));
    EXPECT_NEAR(number(&k, "watch:saturated.h"), 1); /* `on h`: the value of that name, behind relu */
    kit_free(&k);
}

/* With a rate of 1 the step is the gradient. */
Test(watch, parameters) {
    static const char *const paths[] = {"h.W", "dense1.W", "dense1.b"};
    Kit k = begin(TRAIN(" watch = gradient_norm, whole_gradient_norm, update_ratio on W"));
    double all = 0;
    for (int i = 0; i < 3; i++) {
        Node *leaf = kit_leaf(&k, paths[i]), *next = kit_next(&k, "step", paths[i]);
        const double *w = kit_get(&k, leaf), *v = kit_get(&k, next);
        double step = 0, size = 0;
        for (int64_t e = 0; e < node_count(leaf); e++) {
            step += (v[e] - w[e]) * (v[e] - w[e]);
            size += w[e] * w[e];
        }
        all += step;
        cr_expect_gt(step, 0);
        EXPECT_NEAR(number(&k, name_printf("watch:gradient_norm.%s", paths[i])), sqrt(step));
        if (i < 2) EXPECT_NEAR(number(&k, name_printf("watch:update_ratio.%s", paths[i])), sqrt(step / size));
    }
    EXPECT_NEAR(number(&k, "watch:whole_gradient_norm"), sqrt(all));
    cr_expect_null(kit_result(&k, "watch", RESULT_VALUE, "watch:update_ratio.dense1.b"));
    kit_free(&k);
}

/* Before `gradients`; a frozen parameter is not watched. */
Test(watch, plain_gradient) {
    Kit a = begin(TRAIN(" watch = gradient_norm")),
        b = begin(TRAIN(" watch = gradient_norm\n gradients = clip_norm(1e-3)\n freeze = dense1.b"));
    EXPECT_NEAR(number(&b, "watch:gradient_norm.h.W"), number(&a, "watch:gradient_norm.h.W"));
    cr_expect_null(kit_result(&b, "watch", RESULT_VALUE, "watch:gradient_norm.dense1.b"));
    kit_free(&a);
    kit_free(&b);
}

Test(watch, flags) {
    Kit k = begin(TRAIN(" watch = critical_point(1e9), vanishing_gradient(0) on h.W, exploding_gradient(1e-9) on h.W"));
    EXPECT_NEAR(number(&k, "flag:critical_point"), 1);
    EXPECT_NEAR(number(&k, "flag:vanishing_gradient.h.W"), 0);
    EXPECT_NEAR(number(&k, "flag:exploding_gradient.h.W"), 1);
    kit_free(&k);
}

/* m = 0.5 g1, 0.25 g1 + 0.5 g2; both corrected. With the same gradient twice there is no variance. */
Test(watch, states) {
    Kit k = begin(TRAIN(" watch = gradient_variance(decay = 0.5) on h.W"));
    EXPECT_NEAR(number(&k, "watch:gradient_variance.h.W") + 1, 1);
    static const double zero[3] = {0};
    kit_set(&k, "h.W.gradient_variance.m", zero);
    kit_set(&k, "h.W.gradient_variance.s", zero);
    kit_set(&k, "h.W.gradient_variance.n", zero);
    kit_run(&k, "watch");
    cr_expect_eq(kit_get(&k, kit_leaf(&k, "h.W.gradient_variance.n"))[0], 1);
    kit_run(&k, "step"); /* which knows nothing of it */
    cr_expect_eq(kit_get(&k, kit_leaf(&k, "h.W.gradient_variance.n"))[0], 1);
    double v = number(&k, "watch:gradient_variance.h.W");
    cr_expect(v > 0 && v < 1, "%g", v);
    kit_free(&k);
}

/* A step is what it is without the key: the same nodes in both programs, and no more of them. */
Test(watch, costs_nothing) {
    Kit a = kit_text(TRAIN("")), b = kit_text(TRAIN(" watch = dead_units, gradient_norm, update_ratio"));
    const Program *plain = unit_program(b.unit, "step"), *watched = unit_program(b.unit, "watch");
    cr_expect_null(unit_program(a.unit, "watch"));
    cr_assert(plain && watched);
    cr_expect_eq(program_nodes(a.arena, unit_program(a.unit, "step")).len, program_nodes(b.arena, plain).len);
    cr_expect_eq(unit_program(a.unit, "step")->results.len, plain->results.len);
    for (int i = 0; i < plain->results.len; i++) {
        cr_expect_eq(plain->results.at[i].node, watched->results.at[i].node);
        cr_expect_eq(plain->results.at[i].target, watched->results.at[i].target);
    }
    kit_free(&a);
    kit_free(&b);
}

Test(watch, faults) {
    static const char *const keys[] = {
        " watch = 1",
        " watch = dead_units on rellu1",             /* no such layer */
        " watch = gradient_norm on V",               /* no such parameter */
        " watch = dead_units on h, dead_units on h", /* twice */
        " watch = gradient_norm(1, 2, 3)",
    };
    for (int i = 0; i < (int)(sizeof keys / sizeof *keys); i++)
        cr_expect_gt(kit_errors(name_printf(TRAIN("%s"), keys[i])), 0, "%s", keys[i]);
}
