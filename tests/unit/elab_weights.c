/* SPDX-License-Identifier: MIT
 * Reductions over `weights` in optimizers, and what is built of them: sums, line search, L-BFGS,
 * against the formulas written by hand. Needs elab, eval, pass and Criterion. Knows no node. */
#include "elab_kit.h"

#define BOWL                                                                                       \
    "data d { train = csv(\"a.csv\", y = \"y\") }\n"                                               \
    "model bowl(x[1]) -> y {\n param u[3] = uniform(-1, 1)\n param v[2, 2] = normal(0, 1)\n"       \
    " y = (sum[i: 3] (0.5 * (i + 1) * (u[i] - 0.3)^2 + 0.25 * u[i]^4)) + (sum[j: 2, k: 2] (0.5 * " \
    "(2 "                                                                                          \
    "* j + k + 2) * v[j, k]^2 + 0.1 * v[j, k] * u[0]))\n}\n"

enum { N = 7 };

static void point(Kit *k, double *w) {
    memcpy(w, kit_get(k, kit_leaf(k, "u")), 3 * sizeof *w);
    memcpy(w + 3, kit_get(k, kit_leaf(k, "v")), 4 * sizeof *w);
}

static double slope(const double *w, double *g) {
    double loss = 0;
    memset(g, 0, N * sizeof *g);
    for (int i = 0; i < 3; i++) {
        loss += 0.5 * (i + 1) * (w[i] - 0.3) * (w[i] - 0.3) + 0.25 * pow(w[i], 4);
        g[i] += (i + 1) * (w[i] - 0.3) + pow(w[i], 3);
    }
    for (int i = 3; i < N; i++) {
        loss += 0.5 * (i - 1) * w[i] * w[i] + 0.1 * w[i] * w[0];
        g[i] += (i - 1) * w[i] + 0.1 * w[0];
        g[0] += 0.1 * w[i];
    }
    return loss;
}

static double dot(const double *a, const double *b) {
    double sum = 0;
    for (int i = 0; i < N; i++)
        sum += a[i] * b[i];
    return sum;
}

static Kit begin(const char *defs, const char *optimizer) {
    Kit k = kit_text(name_printf("%s" BOWL "train bowl on d {\n loss = y\n optimizer = %s\n"
                                 " batch = all\n}\n",
                                 defs, optimizer));
    pass_run(k.unit, "gradient", NULL, NULL);
    kit_begin(&k, 4);
    kit_run(&k, "init");
    return k;
}

/* Locals, states, new values, a def within: each parameter brings its own. */
Test(elab_weights, sums) {
    Kit k =
        begin("def inner(g, h) {\n a = 2 * h\n (sum[weights] a * g) + (max[weights] abs(h))\n}\n"
              "def f(w, g) {\n state s = 0.5\n h = g * s\n s' = s + (mean[weights] w)\n"
              " t = sum[weights] s' * h\n w' = w - 1e-3 * (t + inner(g, h) + loss)\n}\n",
              "f");
    double w[N], g[N], h[N], next[N], mean = 0, most = 0;
    point(&k, w);
    double loss = slope(w, g);
    for (int i = 0; i < N; i++) {
        h[i] = 0.5 * g[i];
        mean += w[i] / N;
        most = fmax(most, fabs(h[i]));
    }
    double t = 0;
    for (int i = 0; i < N; i++)
        t += (0.5 + mean) * h[i];
    kit_run(&k, "step");
    point(&k, next);
    for (int i = 0; i < N; i++)
        EXPECT_NEAR(next[i], w[i] - 1e-3 * (t + 2 * dot(h, g) + most + loss));
    EXPECT_NEAR(kit_get(&k, kit_leaf(&k, "v.optimizer.s"))[0], 0.5 + mean);
    kit_free(&k);
}

/* The parts of a list are summed apart. */
Test(elab_weights, parts) {
    Kit k = begin("def f(w, g) = w - (sum[weights] w)\n", "f on u, f");
    double w[N], next[N];
    point(&k, w);
    kit_run(&k, "step");
    point(&k, next);
    EXPECT_NEAR(next[1], w[1] - (w[0] + w[1] + w[2]));
    EXPECT_NEAR(next[5], w[5] - (w[3] + w[4] + w[5] + w[6]));
    kit_free(&k);
}

static double number(Kit *k, const char *name) {
    return kit_get(k, kit_leaf(k, name_printf("u.optimizer.line_search1.%s", name)))[0];
}

/* Every update lies where the strong Wolfe conditions hold, and lowers the loss. */
static void expect_wolfe(Kit *k, const double *w, const double *d, const double *next, double c2) {
    double g[N], step[N], alpha = 0;
    double before = slope(w, g), s0 = dot(g, d), after = slope(next, g), s = dot(g, d);
    for (int i = 0; i < N; i++)
        step[i] = next[i] - w[i];
    alpha = dot(step, d) / dot(d, d);
    cr_expect(s0 < 0, "a direction of slope %g", s0);
    cr_expect(after <= before + 1e-4 * alpha * s0 + 1e-6 * fabs(before), "%g after %g", after,
              before);
    cr_expect(fabs(s) <= c2 * fabs(s0), "slope %g after %g", s, s0);
    (void)k;
}

static void direction(Kit *k, double *d) {
    memcpy(d, kit_get(k, kit_leaf(k, "u.optimizer.line_search1.d")), 3 * sizeof *d);
    memcpy(d + 3, kit_get(k, kit_leaf(k, "v.optimizer.line_search1.d")), 4 * sizeof *d);
}

/* Algorithm 7.4 of Nocedal & Wright with loops, oldest pair first in S and Y. */
static void two_loops(double S[][N], double Y[][N], int pairs, const double *g, double *d) {
    double a[16], q[N];
    memcpy(q, g, sizeof q);
    for (int i = pairs - 1; i >= 0; i--) {
        a[i] = dot(S[i], q) / dot(S[i], Y[i]);
        for (int j = 0; j < N; j++)
            q[j] -= a[i] * Y[i][j];
    }
    int last = pairs - 1;
    double gamma =
        pairs ? dot(S[last], Y[last]) / dot(Y[last], Y[last]) : 1 / fmax(1, sqrt(dot(g, g)));
    for (int j = 0; j < N; j++)
        d[j] = gamma * q[j];
    for (int i = 0; i < pairs; i++) {
        double b = dot(Y[i], d) / dot(S[i], Y[i]);
        for (int j = 0; j < N; j++)
            d[j] += S[i][j] * (a[i] - b);
    }
    for (int j = 0; j < N; j++)
        d[j] = -d[j];
}

Test(elab_weights, lbfgs) {
    Kit k = begin("", "lbfgs(history = 3)");
    double S[3][N], Y[3][N], w[N], next[N], g[N], old[N], d[N], wanted[N];
    int pairs = 0, updates = 0;
    point(&k, w);
    slope(w, old);
    for (int step = 0; step < 60 && updates < 8; step++) {
        direction(&k, d);
        kit_run(&k, "step");
        point(&k, next);
        slope(next, g);
        if (number(&k, "updates") == updates && step > 0) continue;
        if (step > 0) {
            expect_wolfe(&k, w, d, next, 0.9);
            if (pairs == 3) {
                memmove(S, S + 1, 2 * sizeof *S);
                memmove(Y, Y + 1, 2 * sizeof *Y);
                pairs = 2;
            }
            for (int j = 0; j < N; j++) {
                S[pairs][j] = next[j] - w[j];
                Y[pairs][j] = g[j] - old[j];
            }
            pairs++;
        }
        updates = (int)number(&k, "updates");
        two_loops(S, Y, pairs, g, wanted);
        direction(&k, d);
        for (int j = 0; j < N; j++)
            cr_expect(fabs(d[j] - wanted[j]) <= 1e-8 * sqrt(dot(wanted, wanted)),
                      "update %d: direction %d is %.12g, not %.12g", updates, j, d[j], wanted[j]);
        memcpy(w, next, sizeof w);
        memcpy(old, g, sizeof g);
    }
    cr_expect(updates == 8 && pairs == 3);
    cr_expect(sqrt(dot(g, g)) < 0.05);
    kit_free(&k);
}

static void conjugates(const char *formula, bool fletcher) {
    Kit k = begin("", name_printf("conjugate_gradient(formula = \"%s\")", formula));
    double w[N], next[N], g[N], old[N], d[N], wanted[N];
    int updates = -1;
    for (int step = 0; step < 60 && updates < 6; step++) {
        point(&k, w);
        direction(&k, d);
        kit_run(&k, "step");
        point(&k, next);
        if (step > 0 && number(&k, "updates") == updates) continue;
        slope(next, g);
        if (step > 0) expect_wolfe(&k, w, d, next, 0.1);
        updates = (int)number(&k, "updates");
        double change[N], beta = 0;
        for (int j = 0; j < N; j++)
            change[j] = g[j] - old[j];
        if (step > 0)
            beta = fletcher ? dot(g, g) / dot(old, old) : fmax(0, dot(g, change) / dot(old, old));
        double before[N];
        memcpy(before, d, sizeof d);
        direction(&k, d);
        for (int j = 0; j < N; j++) {
            wanted[j] = -g[j] + (step > 0 ? beta * before[j] : 0);
            cr_expect(fabs(d[j] - wanted[j]) <= 1e-9, "update %d: direction %d is %.12g, not %.12g",
                      updates, j, d[j], wanted[j]);
        }
        memcpy(old, g, sizeof g);
    }
    cr_expect(updates == 6);
    kit_free(&k);
}

Test(elab_weights, polak_ribiere) {
    conjugates("polak_ribiere", false);
}
Test(elab_weights, fletcher_reeves) {
    conjugates("fletcher_reeves", true);
}
