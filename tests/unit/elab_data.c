/* SPDX-License-Identifier: MIT
 * Defs that change labels, against facts: how many are disturbed. Needs elab, eval and Criterion.
 * What metrics and orders do is in tests/errors/data. */
#include "elab_kit.h"

/* The classes that a def makes of classes 0, 1, 2, … in a program. */
static const double *classes_of(Kit *k, const char *program, int64_t examples, uint32_t seed,
                                double *x, int classes) {
    k->eval = eval_new(k->arena, examples, seed);
    for (int64_t i = 0; i < examples; i++)
        x[i] = (double)(i % classes);
    kit_set(k, "x", x);
    kit_number(k, "set:disturb1.alpha", NAN);
    return kit_get(k, kit_value(k, program, "y"));
}

/* DisturbLabel: a part alpha (C - 1) / C of the labels is wrong, all wrong classes alike. */
static void check_disturbed(const char *application, double alpha, int classes) {
    enum { EXAMPLES = 30000 };
    static double x[EXAMPLES];
    Kit k = kit_def(application, "");
    const double *y = classes_of(&k, "step", EXAMPLES, 11, x, classes);
    double wrong = 0, by[64] = {0};
    for (int i = 0; i < EXAMPLES; i++) {
        cr_assert(y[i] == floor(y[i]) && y[i] >= 0 && y[i] < classes);
        if (y[i] != x[i]) wrong++, by[(int)(y[i] - x[i] + classes) % classes]++;
    }
    double p = alpha * (classes - 1) / classes, sd = sqrt(p * (1 - p) / EXAMPLES);
    cr_expect(fabs(wrong / EXAMPLES - p) <= 3 * sd, "%s: %g are wrong, not %g", application,
              wrong / EXAMPLES, p);
    for (int c = 1; c < classes; c++) {
        double each = alpha / classes, by_sd = sqrt(each * (1 - each) / EXAMPLES);
        cr_expect(fabs(by[c] / EXAMPLES - each) <= 4 * by_sd, "%s: %g are moved by %d, not %g",
                  application, by[c] / EXAMPLES, c, each);
    }
    eval_free(k.eval);
    y = classes_of(&k, "eval", EXAMPLES, 11, x, classes);
    for (int i = 0; i < EXAMPLES; i++)
        cr_assert_eq(y[i], x[i], "a label changes without training");
    kit_free(&k);
}

Test(elab_data, labels_are_disturbed_at_the_rate_of_the_paper) {
    check_disturbed("disturb(0.3) on class[10]", 0.3, 10);
    check_disturbed("disturb(0.1) on class[2]", 0.1, 2);
    check_disturbed("disturb(1) on class[3]", 1, 3);
}
