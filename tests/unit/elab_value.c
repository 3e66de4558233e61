/* SPDX-License-Identifier: MIT
 * What elaborated programs compute, against loops written by hand.
 * Needs elab, eval, pass and Criterion. Knows no node. */
#include "elab_kit.h"

enum { B = 4 }; /* examples */

Test(elab_value, dense) {
    Kit k = kit_def("dense(5) on [3, 2]", "");
    kit_begin(&k, B);
    kit_run(&k, "init");
    const double *x = kit_get(&k, kit_leaf(&k, "x")), *w = kit_get(&k, kit_leaf(&k, "dense1.W"));
    const double *y = kit_get(&k, kit_value(&k, "eval", "y"));
    double bound = sqrt(6.0 / (6 + 5)), largest = 0;
    for (int i = 0; i < 30; i++)
        largest = fmax(largest, fabs(w[i]));
    cr_expect(largest <= bound && largest > bound / 2, "xavier's bound is %g, the largest %g",
              bound, largest);
    for (int b = 0; b < B; b++)
        for (int u = 0; u < 5; u++) {
            double sum = 0;
            for (int d = 0; d < 6; d++)
                sum += w[u * 6 + d] * x[b * 6 + d];
            EXPECT_NEAR(y[b * 5 + u], sum);
        }
    kit_free(&k);
}

Test(elab_value, conv) {
    enum {
        C = 2,
        H = 7,
        W = 6,
        F = 3,
        K = 3,
        S = 2,
        P = 1,
        OH = (H + 2 * P - K) / S + 1,
        OW = (W + 2 * P - K) / S + 1
    };
    Kit k = kit_def("conv(3, 3, stride = 2, pad = 1, bias = 0.5) on [2, 7, 6]", "");
    kit_begin(&k, B);
    kit_run(&k, "init");
    const double *x = kit_get(&k, kit_leaf(&k, "x")), *w = kit_get(&k, kit_leaf(&k, "conv1.W"));
    Node *node = kit_value(&k, "eval", "y");
    EXPECT_SHAPE(node, F, OH, OW);
    const double *y = kit_get(&k, node);
    for (int b = 0; b < B; b++)
        for (int o = 0; o < F; o++)
            for (int i = 0; i < OH; i++)
                for (int j = 0; j < OW; j++) {
                    double sum = 0.5;
                    for (int c = 0; c < C; c++)
                        for (int p = 0; p < K; p++)
                            for (int q = 0; q < K; q++) {
                                int r = i * S + p - P, s = j * S + q - P;
                                if (r >= 0 && r < H && s >= 0 && s < W)
                                    sum += w[((o * C + c) * K + p) * K + q] *
                                           x[((b * C + c) * H + r) * W + s];
                            }
                    EXPECT_NEAR(y[((b * F + o) * OH + i) * OW + j], sum);
                }
    kit_free(&k);
}

Test(elab_value, maxpool) {
    Kit k = kit_def("maxpool(2) on [1, 5, 4]", "");
    kit_begin(&k, B);
    const double *x = kit_get(&k, kit_leaf(&k, "x")), *y = kit_get(&k, kit_value(&k, "eval", "y"));
    for (int b = 0; b < B; b++)
        for (int i = 0; i < 2; i++)
            for (int j = 0; j < 2; j++) {
                const double *at = x + b * 20 + 8 * i + 2 * j;
                cr_expect_eq(y[b * 4 + 2 * i + j], fmax(fmax(at[0], at[1]), fmax(at[4], at[5])));
            }
    kit_free(&k);
}

/* Only live examples count; the states move; prediction reads them. */
Test(elab_value, batchnorm) {
    enum { C = 2, N = 3, LIVE = 3 };
    Kit k = kit_def("batchnorm(eps = 1e-3, decay = 0.8) on [2, 3]", "");
    kit_begin(&k, B);
    kit_run(&k, "init");
    kit_set(&k, "live", (double[]){1, 1, 1, 0});
    kit_number(&k, "count", LIVE);
    const double *x = kit_get(&k, kit_leaf(&k, "x"));
    double mean[C] = {0}, var[C] = {0};
    for (int c = 0; c < C; c++) {
        for (int i = 0; i < LIVE * N; i++)
            mean[c] += x[(i / N) * C * N + c * N + i % N] / (LIVE * N);
        for (int i = 0; i < LIVE * N; i++)
            var[c] += pow(x[(i / N) * C * N + c * N + i % N] - mean[c], 2) / (LIVE * N);
    }
    const double *y = kit_get(&k, kit_value(&k, "step", "y"));
    for (int b = 0; b < LIVE; b++)
        for (int i = 0; i < C * N; i++)
            EXPECT_NEAR(y[b * C * N + i],
                        (x[b * C * N + i] - mean[i / N]) / sqrt(var[i / N] + 1e-3));
    kit_run(&k, "step");
    const double *mu = kit_get(&k, kit_leaf(&k, "batchnorm1.moving_mean")),
                 *v = kit_get(&k, kit_leaf(&k, "batchnorm1.moving_var"));
    for (int c = 0; c < C; c++) {
        EXPECT_NEAR(mu[c], 0.2 * mean[c]);
        EXPECT_NEAR(v[c], 0.8 + 0.2 * var[c] * LIVE * N / (LIVE * N - 1));
    }
    y = kit_get(&k, kit_value(&k, "eval", "y"));
    for (int b = 0; b < B; b++)
        for (int i = 0; i < C * N; i++)
            EXPECT_NEAR(y[b * C * N + i], (x[b * C * N + i] - mu[i / N]) / sqrt(v[i / N] + 1e-3));
    kit_free(&k);
}

Test(elab_value, cross_entropy) {
    Kit k = kit_text(
        "data d { train = csv(\"a.csv\", y = \"y\") }\nmodel m(x[5]) -> y: class[5] { x }\n"
        "train m on d {\n loss = cross_entropy\n optimizer = sgd\n metric = error_rate\n}\n");
    kit_begin(&k, B);
    const double *x = kit_get(&k, kit_leaf(&k, "x")), *t = kit_get(&k, kit_leaf(&k, "y.target"));
    const double *loss = kit_get(&k, kit_value(&k, "eval", "loss")),
                 *p = kit_get(&k, kit_value(&k, "predict", "y.p"));
    const double *wrong = kit_get(&k, kit_value(&k, "eval", "error_rate"));
    double total = 0;
    for (int b = 0; b < B; b++) {
        double sum = 0;
        int best = 0;
        for (int c = 0; c < 5; c++) {
            sum += exp(x[b * 5 + c]);
            if (x[b * 5 + c] > x[b * 5 + best]) best = c;
        }
        for (int c = 0; c < 5; c++)
            EXPECT_NEAR(p[b * 5 + c], exp(x[b * 5 + c]) / sum);
        EXPECT_NEAR(loss[b], log(sum) - x[b * 5 + (int)t[b]]);
        cr_expect_eq(wrong[b], best != (int)t[b]);
        total += loss[b] / B;
    }
    EXPECT_NEAR(kit_get(&k, kit_value(&k, "step", "loss"))[0], total);
    kit_free(&k);
}

/* Fitted in two passes over two batches of the training set, the second not full. */
Test(elab_value, standardize) {
    enum { D = 3, ALL = 7 };
    Kit k = kit_def("standardize on [3]", "");
    kit_begin(&k, B);
    kit_run(&k, "init");
    kit_number(&k, "data.count", ALL);
    double data[ALL + 1][D], mean[D] = {0}, var[D] = {0};
    for (int b = 0; b < ALL; b++)
        for (int d = 0; d < D; d++)
            data[b][d] = d == 1 ? 2 : kit_random(&k) * (d + 1); /* the middle one never varies */
    memset(data[ALL], 0, sizeof data[ALL]);
    for (int b = 0; b < ALL; b++)
        for (int d = 0; d < D; d++)
            mean[d] += data[b][d] / ALL;
    for (int b = 0; b < ALL; b++)
        for (int d = 0; d < D; d++)
            var[d] += pow(data[b][d] - mean[d], 2) / ALL;
    for (int level = 0; level < 2; level++)
        for (int batch = 0; batch < 2; batch++) {
            kit_set(&k, "x", data[batch * B]);
            kit_set(&k, "live", batch ? (double[]){1, 1, 1, 0} : (double[]){1, 1, 1, 1});
            kit_run(&k, level ? "fit1" : "fit0");
        }
    const double *mu = kit_get(&k, kit_leaf(&k, "standardize1.mu")),
                 *v = kit_get(&k, kit_leaf(&k, "standardize1.v"));
    for (int d = 0; d < D; d++) {
        EXPECT_NEAR(mu[d], mean[d]);
        EXPECT_NEAR(v[d], var[d]);
    }
    kit_set(&k, "x", data[0]);
    const double *y = kit_get(&k, kit_value(&k, "eval", "y"));
    for (int i = 0; i < B * D; i++)
        EXPECT_NEAR(y[i], i % D == 1 ? 0 : (data[i / D][i % D] - mean[i % D]) / sqrt(var[i % D]));
    kit_free(&k);
}

/* ---- Updates: y = w x, loss (y - t)^2, one weight; by hand over three steps */
static Kit one_weight(const char *optimizer, const char *more) {
    Kit k = kit_text(
        name_printf("def weigh(x) {\n param w = 0.5\n w * x\n}\n"
                    "data d { train = csv(\"a.csv\", y = \"y\") }\nmodel m(x) -> y { x -> weigh }\n"
                    "train m on d {\n loss = (y - y.target)^2\n optimizer = %s\n%s\n}\n",
                    optimizer, more));
    pass_run(k.unit, "gradient", NULL, NULL);
    graph_verify(k.unit, 1);
    kit_begin(&k, B);
    kit_run(&k, "init");
    return k;
}

static double slope(Kit *k, double w) {
    const double *x = kit_get(k, kit_leaf(k, "x")), *t = kit_get(k, kit_leaf(k, "y.target"));
    double g = 0;
    for (int b = 0; b < B; b++)
        g += 2 * (w * x[b] - t[b]) * x[b] / B;
    return g;
}

Test(elab_value, optimizer_nesterov) {
    Kit k = one_weight("nesterov(lr = 0.1, gamma = 0.7)", "");
    double w = 0.5, v = 0;
    for (int step = 1; step <= 3; step++) {
        v = 0.7 * v - 0.1 * slope(&k, w + 0.7 * v);
        w += v;
        kit_number(&k, "step", step);
        kit_run(&k, "step");
        EXPECT_NEAR(kit_get(&k, kit_leaf(&k, "weigh1.w"))[0], w);
    }
    kit_free(&k);
}

Test(elab_value, optimizer_adam) {
    Kit k = one_weight("adam(lr = 0.01)", "");
    double w = 0.5, s = 0, r = 0;
    for (int step = 1; step <= 3; step++) {
        double g = slope(&k, w);
        s = 0.9 * s + 0.1 * g;
        r = 0.999 * r + 0.001 * g * g;
        w -= 0.01 * (s / (1 - pow(0.9, step))) / (1e-8 + sqrt(r / (1 - pow(0.999, step))));
        kit_number(&k, "step", step);
        kit_run(&k, "step");
        EXPECT_NEAR(kit_get(&k, kit_leaf(&k, "weigh1.w"))[0], w);
    }
    kit_free(&k);
}

/* The other optimizers, one step each: from w, g and two memories to the new ones. */
typedef struct Memory {
    double w, a, b;
} Memory;
static void by_sgd(Memory *m, double g, int t) {
    (void)t;
    m->w -= 0.1 * g;
}
static void by_momentum(Memory *m, double g, int t) {
    (void)t;
    m->a = 0.8 * m->a - 0.1 * g;
    m->w += m->a;
}
static void by_adagrad(Memory *m, double g, int t) {
    (void)t;
    m->a += g * g;
    m->w -= 0.1 * g / (1e-7 + sqrt(m->a));
}
static void by_adadelta(Memory *m, double g, int t) {
    (void)t;
    m->a = 0.95 * m->a + 0.05 * g * g;
    double dx = sqrt(m->b + 1e-6) / sqrt(m->a + 1e-6) * g;
    m->b = 0.95 * m->b + 0.05 * dx * dx;
    m->w -= dx;
}
static void by_rmsprop(Memory *m, double g, int t) {
    (void)t;
    m->a = 0.9 * m->a + 0.1 * g * g;
    m->w -= 0.1 * g / (1e-6 + sqrt(m->a));
}
static void by_rmsprop_inside(Memory *m, double g, int t) {
    (void)t;
    m->a = 0.9 * m->a + 0.1 * g * g;
    m->w -= 0.1 * g / sqrt(1e-6 + m->a);
}
static void by_adamw(Memory *m, double g, int t) {
    m->a = 0.9 * m->a + 0.1 * g;
    m->b = 0.999 * m->b + 0.001 * g * g;
    m->w -=
        0.1 * (m->a / (1 - pow(0.9, t)) / (1e-8 + sqrt(m->b / (1 - pow(0.999, t)))) + 0.2 * m->w);
}
static void by_nadam(Memory *m, double g, int t) {
    m->a = 0.9 * m->a + 0.1 * g;
    m->b = 0.999 * m->b + 0.001 * g * g;
    double ahead = 0.9 * m->a / (1 - pow(0.9, t + 1)) + 0.1 * g / (1 - pow(0.9, t));
    m->w -= 0.1 * ahead / (1e-8 + sqrt(m->b / (1 - pow(0.999, t))));
}
static void by_lion(Memory *m, double g, int t) {
    (void)t;
    double c = 0.9 * m->a + 0.1 * g;
    m->a = 0.99 * m->a + 0.01 * g;
    m->w -= 0.1 * ((c > 0) - (c < 0));
}
static void by_rprop(Memory *m, double g, int t) {
    double last = m->a, now = (g > 0) - (g < 0), size = t == 1 ? 0.2 : m->b;
    m->a = now;
    m->b = last * now > 0 ? fmin(size * 1.2, 1) : last * now < 0 ? fmax(size * 0.5, 1e-6) : size;
    m->w -= m->b * now;
}

Test(elab_value, optimizers) {
    static const struct {
        const char *text;
        void (*step)(Memory *, double, int);
    } rows[] = {{"sgd(0.1)", by_sgd},
                {"momentum(lr = 0.1, gamma = 0.8)", by_momentum},
                {"adagrad(0.1)", by_adagrad},
                {"adadelta", by_adadelta},
                {"rmsprop(0.1)", by_rmsprop},
                {"rmsprop(0.1, inside = true)", by_rmsprop_inside},
                {"adamw(0.1, decay = 0.2)", by_adamw},
                {"nadam(0.1)", by_nadam},
                {"lion(0.1)", by_lion},
                {"rprop(start = 0.2)", by_rprop}};
    for (int i = 0; i < LENGTH(rows); i++) {
        Kit k = one_weight(rows[i].text, "");
        Memory m = {.w = 0.5};
        for (int step = 1; step <= 5; step++) {
            rows[i].step(&m, slope(&k, m.w), step);
            kit_number(&k, "step", step);
            kit_run(&k, "step");
            double w = kit_get(&k, kit_leaf(&k, "weigh1.w"))[0];
            cr_expect(fabs(w - m.w) <= 1e-12, "%s: w is %.17g after step %d, not %.17g",
                      rows[i].text, w, step, m.w);
        }
        kit_free(&k);
    }
}

/* Trained on w, evaluated on its average; the average starts as the first w. */
Test(elab_value, optimizer_averaged) {
    Kit k = one_weight("averaged(momentum(lr = 0.1, gamma = 0.8), decay = 0.75)",
                       " metric = absolute(y, y.target)");
    Memory m = {.w = 0.5};
    double average = 0.5;
    for (int step = 1; step <= 3; step++) {
        by_momentum(&m, slope(&k, m.w), step);
        average = 0.75 * average + 0.25 * m.w;
        kit_run(&k, "step");
        EXPECT_NEAR(kit_get(&k, kit_leaf(&k, "weigh1.w"))[0], m.w);
    }
    const double *x = kit_get(&k, kit_leaf(&k, "x")),
                 *y = kit_get(&k, kit_value(&k, "predict", "y"));
    for (int b = 0; b < B; b++)
        EXPECT_NEAR(y[b], average * x[b]);
    cr_expect_eq(k.unit->params_at.len, 1);
    kit_free(&k);
}

Test(elab_value, set_and_schedule) {
    Kit k = one_weight("sgd(lr = 0.1 * 0.5^epoch)", "");
    kit_number(&k, "epoch", 2);
    double w = 0.5 - 0.1 * 0.25 * slope(&k, 0.5);
    kit_run(&k, "step");
    EXPECT_NEAR(kit_get(&k, kit_leaf(&k, "weigh1.w"))[0], w);
    kit_number(&k, "set:optimizer.lr", 0.3);
    w -= 0.3 * slope(&k, w);
    kit_run(&k, "step");
    EXPECT_NEAR(kit_get(&k, kit_leaf(&k, "weigh1.w"))[0], w);
    kit_free(&k);
}

Test(elab_value, penalty_clip_constraint) {
    Kit k = one_weight(
        "sgd(lr = 1)",
        " penalty = l2(3) on w\n gradients = clip_norm(0.25)\n constraint = clip_value(0.6)");
    double g = slope(&k, 0.5) + 3 * 0.5, w;
    cr_assert_gt(fabs(g), 0.25);
    w = fmax(-0.6, fmin(0.6, 0.5 - copysign(0.25, g)));
    double plain = kit_get(&k, kit_value(&k, "step", "loss"))[0], loss = 1.5 * 0.25;
    const double *x = kit_get(&k, kit_leaf(&k, "x")), *t = kit_get(&k, kit_leaf(&k, "y.target"));
    for (int b = 0; b < B; b++)
        loss += pow(0.5 * x[b] - t[b], 2) / B;
    EXPECT_NEAR(plain, loss);
    kit_run(&k, "step");
    EXPECT_NEAR(kit_get(&k, kit_leaf(&k, "weigh1.w"))[0], w);
    kit_free(&k);
}

/* The norm is that of all gradients together. */
Test(elab_value, clip_norm_over_all) {
    Kit k = kit_text(
        "data d { train = csv(\"a.csv\", y = \"y\") }\nmodel m(x[3]) -> y[2] { x -> dense(2) }\n"
        "train m on d {\n loss = 100 * mse(y, y.target)\n optimizer = sgd(lr = 1)\n gradients = "
        "clip_norm(0.5)\n}\n");
    pass_run(k.unit, "gradient", NULL, NULL);
    kit_begin(&k, B);
    kit_run(&k, "init");
    double w[6], b[2], norm = 0;
    memcpy(w, kit_get(&k, kit_leaf(&k, "dense1.W")), sizeof w);
    memcpy(b, kit_get(&k, kit_leaf(&k, "dense1.b")), sizeof b);
    kit_run(&k, "step");
    for (int i = 0; i < 6; i++)
        norm += pow(kit_get(&k, kit_leaf(&k, "dense1.W"))[i] - w[i], 2);
    for (int i = 0; i < 2; i++)
        norm += pow(kit_get(&k, kit_leaf(&k, "dense1.b"))[i] - b[i], 2);
    EXPECT_NEAR(norm, 0.25);
    kit_free(&k);
}

/* ---- Draws */
Test(elab_value, dropout) {
    Kit k = kit_def("dropout(0.25) on [200]", "");
    kit_begin(&k, B);
    const uint32_t number[B] = {5, 6, 7, 8}, presentation[B] = {0};
    eval_draws(k.eval, number, presentation, 1);
    const double *x = kit_get(&k, kit_leaf(&k, "x")), *y = kit_get(&k, kit_value(&k, "step", "y"));
    int dropped = 0, same = 0;
    for (int i = 0; i < B * 200; i++) {
        if (y[i] == 0)
            dropped++;
        else
            EXPECT_NEAR(y[i], x[i] / 0.75);
        same += i >= 200 && (y[i] == 0) == (y[i - 200] == 0);
    }
    cr_expect(dropped > 130 && dropped < 270, "%d of 800 dropped", dropped);
    cr_expect(same < 520, "examples share their draws"); /* 5/8 of 600 agree by chance */
    kit_free(&k);
}

/* One shift for the whole image, another for the next one; outside is 0. */
Test(elab_value, shift) {
    enum { H = 6, W = 6 };
    Kit k = kit_def("shift(2) on [1, 6, 6]", "");
    kit_begin(&k, B);
    const uint32_t number[B] = {1, 2, 3, 4}, presentation[B] = {0};
    eval_draws(k.eval, number, presentation, 1);
    const double *x = kit_get(&k, kit_leaf(&k, "x")), *y = kit_get(&k, kit_value(&k, "step", "y"));
    for (int b = 0; b < B; b++) {
        int found = 0;
        for (int di = -2; di <= 2; di++)
            for (int dj = -2; dj <= 2; dj++) {
                bool fits = true;
                for (int i = 0; i < H; i++)
                    for (int j = 0; j < W; j++) {
                        int r = i + di, s = j + dj;
                        double want =
                            r < 0 || r >= H || s < 0 || s >= W ? 0 : x[b * 36 + r * W + s];
                        fits = fits && y[b * 36 + i * W + j] == want;
                    }
                found += fits;
            }
        cr_expect_eq(found, 1, "example %d is shifted in %d ways", b, found);
    }
    kit_free(&k);
}

/* A quarter turn takes pixels to pixels, up to the rounding of pi. */
Test(elab_value, rotate) {
    Kit k = kit_def("turn on [1, 5, 5]", "def turn(x[c, h, w]) {\n  a = pi / 2\n"
                                         "  y[c, i: h, j: w] = bilinear(x, c, (h - 1)/2 + cos(a) * "
                                         "(i - (h - 1)/2) - sin(a) * (j - (w - 1)/2),\n"
                                         "                              (w - 1)/2 + sin(a) * (i - "
                                         "(h - 1)/2) + cos(a) * (j - (w - 1)/2))\n}\n");
    kit_begin(&k, B);
    const double *x = kit_get(&k, kit_leaf(&k, "x")), *y = kit_get(&k, kit_value(&k, "eval", "y"));
    for (int i = 0; i < 5; i++)
        for (int j = 0; j < 5; j++)
            cr_expect(fabs(y[i * 5 + j] - x[(4 - j) * 5 + i]) < 1e-12, "at %d, %d", i, j);
    kit_free(&k);
}

/* The place of a draw is its path: a layer added before does not change what comes after. */
Test(elab_value, draws_by_path) {
    const char *with =
        "model m(x[3]) -> y[2] {\n  a = x -> tanh\n  last = a -> dense(2)\n  last\n}\n";
    const char *without = "model m(x[3]) -> y[2] {\n\n\n  last = x -> dense(2)\n  last\n}\n";
    Kit k = kit_text(with), l = kit_text(without);
    kit_begin(&k, 1);
    kit_begin(&l, 1);
    kit_run(&k, "init");
    kit_run(&l, "init");
    cr_expect_eq(memcmp(kit_get(&k, kit_leaf(&k, "last.W")), kit_get(&l, kit_leaf(&l, "last.W")),
                        6 * sizeof(double)),
                 0);
    kit_free(&k);
    kit_free(&l);
}

/* ---- A stop rule over evaluations */
Test(elab_value, stop) {
    Kit k = kit_text("data d { train = csv(\"a.csv\", y = \"y\")\n validation = train when "
                     "example.number > 9\n}\n"
                     "model m(x[3]) -> y[2] { x -> dense(2) }\n"
                     "train m on d {\n loss = mse\n optimizer = sgd\n stop = "
                     "error_change(validation.loss, window = 2)\n}\n");
    kit_begin(&k, 1);
    kit_run(&k, "init");
    static const double error[] = {5, 4, 4.5, 3, 3.5, 3.1}, stop[] = {0, 0, 0, 0, 0, 1};
    for (int i = 0; i < 6; i++) {
        kit_number(&k, "validation.loss", error[i]);
        cr_expect_eq(kit_get(&k, kit_result(&k, "epoch", RESULT_STOP, "stop"))[0], stop[i],
                     "evaluation %d", i);
        kit_run(&k, "epoch");
    }
    EXPECT_NEAR(kit_get(&k, kit_leaf(&k, "stop.best"))[0], 3);
    kit_free(&k);
}
