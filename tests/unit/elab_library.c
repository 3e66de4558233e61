/* SPDX-License-Identifier: MIT
 * Every def of the library that a chain can use: its value is finite and its gradients, by inputs
 * and by parameters, in training and out of it, agree with central differences.
 * Needs elab, pass, eval and Criterion. Values by hand are elab_value.c's. */
#include "elab_kit.h"
#include <criterion/parameterized.h>

typedef struct Row {
    char application[96];
} Row;

static Row rows[] = {
    {"identity on [4]"},
    {"relu on [3, 4]"},
    {"leaky_relu(0.1) on [3]"},
    {"prelu on [3, 2, 2]"},
    {"sigmoid on [3]"},
    {"tanh on [3]"},
    {"lecun_tanh on [3]"},
    {"softsign on [3]"},
    {"softplus on [3]"},
    {"elu on [5]"},
    {"selu on [5]"},
    {"gelu on [3]"},
    {"silu on [3]"},
    {"softmax on [5]"},
    {"dense(4) on [3, 2]"},
    {"dense(4, bias = none) on [3, 2]"},
    {"dense(4, init = small_normal(0.5)) on [3]"},
    {"dense(4, init = small_uniform(0.5)) on [3]"},
    {"dense(4, init = constant(0.5)) on [3]"},
    {"dense(4, init = uniform(-1, 1)) on [3]"},
    {"dense(4, init = lecun) on [3]"},
    {"dense(4, init = xavier_normal) on [3]"},
    {"dense(4, init = caffe_xavier(fan = \"average\")) on [3]"},
    {"dense(4, init = he_uniform) on [3]"},
    {"dense(4, init = he_leaky(a = 0.1)) on [3]"},
    {"conv(3, 3) on [2, 5, 5]"},
    {"conv(3, 3, stride = 2, pad = 1, bias = none) on [2, 7, 6]"},
    {"maxpool(2) on [2, 4, 5]"},
    {"maxpool(3, 2) on [1, 7, 7]"},
    {"avgpool(2) on [2, 4, 4]"},
    {"global_avgpool on [3, 2, 2]"},
    {"flatten on [2, 3, 4]"},
    {"maxout(3) on [4]"},
    {"concat on [2, 3], [1, 3]"},
    {"residual(2) on [2, 3, 3]"},
    {"residual(3, stride = 2) on [2, 4, 4]"},
    {"mse on [3], [3]"},
    {"absolute on [3], [3]"},
    {"huber(delta = 0.5) on [4], [4]"},
    {"cross_entropy on [5], class[5]"},
    {"binary_cross_entropy on [1], class[2]"},
    {"hinge on [5], class[5]"},
    {"error_rate on [5], class[5]"},
    {"accuracy on [5], class[5]"},
    {"binary_error_rate on [1], class[2]"},
    {"mean_absolute_error on [3], [3]"},
    {"mean_squared_error on [3], [3]"},
    {"batchnorm on [2, 3]"},
    {"batchnorm on [3]"},
    {"layernorm on [2, 3]"},
    {"center on [3]"},
    {"standardize_channels on [2, 3]"},
    {"standardize on [3]"},
    {"standardize_columns on [3]"},
    {"min_max on [3]"},
    {"dropout on [8]"},
    {"gaussian_dropout(0.2) on [4]"},
    {"noise(0.2) on [4]"},
    {"l2(0.1) on [3, 2]"},
    {"l1(0.1) on [3, 2]"},
    {"max_norm(0.5) on [3, 2]"},
    {"clip_value(0.4) on [6]"},
    {"mirror on [1, 3, 3]"},
    {"brightness on [1, 3, 3]"},
    {"contrast on [1, 3, 3]"},
    {"relu -> dense(3) -> tanh on [4]"},
    {"groupnorm(2) on [4, 2, 2]"},
    {"weightnorm(3) on [4]"},
    {"dropconnect(3) on [4]"},
    {"label_smoothing on [5], class[5]"},
    {"top_k_error(k = 2) on [5], class[5]"},
    {"attention(3) on [4, 3]"},
    {"blur on [1, 5, 5]"},
};

ParameterizedTestParameters(elab_library, gradient) {
    return cr_make_param_array(Row, rows, sizeof rows / sizeof *rows);
}

static double loss_at(Kit *k, Node *loss, Node *leaf, double *values, int64_t i, double value) {
    double saved = values[i];
    values[i] = value;
    eval_set(k->eval, leaf, values);
    double result = kit_get(k, loss)[0];
    values[i] = saved;
    eval_set(k->eval, leaf, values);
    return result;
}

/* At a kink any slope between the two one-sided ones is right. */
static void check(Kit *k, const char *program, const char *leaf_name, Node *loss, Node *gradient) {
    Node *leaf = kit_leaf(k, leaf_name);
    int64_t count = eval_count(k->eval, leaf);
    double *values = NEW_ARRAY(k->arena, double, count), *g = NEW_ARRAY(k->arena, double, count);
    memcpy(values, kit_get(k, leaf), sizeof(double) * (size_t)count);
    int64_t given =
        eval_count(k->eval, gradient); /* a zero gradient may be the same for all examples */
    cr_assert(given == count || given == node_count(leaf));
    for (int64_t i = 0; i < count; i++)
        g[i] = kit_get(k, gradient)[i % given];
    const double h = 1e-5;
    for (int64_t i = 0; i<count; i += count> 40 ? 3 : 1) {
        double up = loss_at(k, loss, leaf, values, i, values[i] + h),
               middle = loss_at(k, loss, leaf, values, i, values[i]);
        double down = loss_at(k, loss, leaf, values, i, values[i] - h);
        double central = (up - down) / (2 * h), right = (up - middle) / h,
               left = (middle - down) / h;
        bool kink = fabs(right - left) > 1e-3 && g[i] >= fmin(left, right) - 1e-6 &&
                    g[i] <= fmax(left, right) + 1e-6;
        cr_expect(kink || fabs(central - g[i]) <= 1e-6 * (1 + fabs(central)),
                  "%s: gradient by %s[%lld] is %.10g, differences say %.10g", program, leaf_name,
                  (long long)i, g[i], central);
    }
}

ParameterizedTest(Row *row, elab_library, gradient) {
    Kit k = kit_def(row->application, "");
    pass_run(k.unit, "gradient", NULL, NULL);
    graph_verify(k.unit, 1);
    kit_begin(&k, 4);
    kit_run(&k, "init");
    const uint32_t number[4] = {3, 1, 4, 2}, presentation[4] = {0};
    eval_draws(k.eval, number, presentation, 1);
    double ones[64];
    for (int i = 0; i < 64; i++)
        ones[i] = 0.5 + 0.01 * i;
    for (int i = 0; i < k.unit->fitted.len;
         i++) /* as if fitted: positive, the largest above the smallest */
        eval_set(k.eval, k.unit->fitted.at[i], ones + 8 * i);
    static const char *const programs[] = {"eval", "step"};
    for (int p = 0; p < 2; p++) {
        const Program *program = unit_program(k.unit, programs[p]);
        Node *y = kit_value(&k, programs[p], "y"), *loss = kit_value(&k, programs[p], "loss");
        int64_t count = eval_count(k.eval, y);
        for (int64_t i = 0; i < count; i++)
            cr_expect(isfinite(kit_get(&k, y)[i]), "%s: y[%lld] is %g", programs[p], (long long)i,
                      kit_get(&k, y)[i]);
        int gradients = 0;
        for (int i = 0; i < program->results.len; i++)
            if (program->results.at[i].kind == RESULT_VALUE &&
                !strncmp(program->results.at[i].name, "grad:", 5)) {
                check(&k, programs[p], program->results.at[i].name + 5, loss,
                      program->results.at[i].node);
                gradients++;
            }
        cr_expect_gt(gradients, 0);
    }
    kit_free(&k);
}
