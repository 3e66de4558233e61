/* SPDX-License-Identifier: MIT
 * What elaboration makes of model files: shapes, paths, programs, hyperparameters, sets.
 * Needs elab and Criterion. Values are elab_value.c's, the library's gradients elab_library.c's. */
#include "elab_kit.h"

static const char HEAD[] = "data d { train = csv(\"a.csv\", y = \"y\") }\n";

static int64_t parameters(const Unit *u) {
    int64_t count = 0;
    for (int i = 0; i < u->params.len; i++)
        count += node_count(u->params.at[i]);
    return count;
}

static bool settable(const Unit *u, const char *name, double value) {
    for (int i = 0; i < u->hypers.len; i++)
        if (!strcmp(u->hypers.at[i].name, name))
            return u->hypers.at[i].value == value || (isnan(value) && isnan(u->hypers.at[i].value));
    return false;
}

static void has_param(const Kit *k, const char *path) {
    for (int i = 0; i < k->unit->params.len; i++)
        if (!strcmp(k->unit->params.at[i]->name, path)) return;
    cr_expect(false, "no parameter %s", path);
}

Test(elab, lenet) {
    Kit k = kit_file(SOURCE_DIR "/examples/mnist/lenet.gr");
    const Unit *u = k.unit;
    static const struct {
        const char *path;
        int rank;
        int64_t extent[3];
    } rows[] = {{"standardize_channels1", 3, {1, 28, 28}},
                {"conv1", 3, {20, 24, 24}},
                {"batchnorm1", 3, {20, 24, 24}},
                {"relu1", 3, {20, 24, 24}},
                {"maxpool1", 3, {20, 12, 12}},
                {"conv2", 3, {50, 8, 8}},
                {"batchnorm2", 3, {50, 8, 8}},
                {"relu2", 3, {50, 8, 8}},
                {"maxpool2", 3, {50, 4, 4}},
                {"dense1", 1, {500}},
                {"relu3", 1, {500}},
                {"dropout1", 1, {500}},
                {"dense2", 1, {10}}};
    cr_assert_eq(u->layers.len, LENGTH(rows));
    for (int i = 0; i < LENGTH(rows); i++) {
        cr_expect_str_eq(u->layers.at[i].path, rows[i].path);
        kit_shape(u->layers.at[i].output, rows[i].path, rows[i].rank, rows[i].extent);
    }
    cr_expect_eq(parameters(u), 520 + 40 + 25050 + 100 + 400500 + 5010);
    cr_expect_eq(u->params.len, 12);
    EXPECT_SHAPE(kit_leaf(&k, "conv2.W"), 50, 20, 5, 5);
    EXPECT_SHAPE(kit_leaf(&k, "dense1.W"), 500, 50, 4, 4);
    EXPECT_SHAPE(kit_leaf(&k, "dense1.W.optimizer.v"), 500, 50, 4, 4);
    cr_expect_eq(kit_leaf(&k, "digit.target")->classes, 10);
    /* two levels of fits: the variance needs the mean */
    cr_expect_not_null(kit_next(&k, "fit0", "standardize_channels1.mu"));
    cr_expect_not_null(kit_next(&k, "fit1", "standardize_channels1.v"));
    /* prediction is without training: it reads moving averages and drops nothing */
    cr_expect_eq(kit_value(&k, "predict", "digit"), u->layers.at[12].output);
    EXPECT_SHAPE(kit_value(&k, "predict", "digit.p"), 10);
    cr_expect(kit_value(&k, "eval", "loss")->per_example);
    cr_expect(kit_value(&k, "eval", "error_rate")->per_example);
    cr_expect_not(kit_value(&k, "step", "loss")->per_example);
    cr_expect_not_null(kit_next(&k, "step", "batchnorm1.moving_var"));
    cr_expect_null(kit_result(&k, "eval", RESULT_NEXT, "batchnorm1.moving_var"));
    cr_expect_not_null(kit_result(&k, "epoch", RESULT_STOP, "stop"));
    cr_expect_not_null(kit_next(&k, "epoch", "stop.best"));
    cr_expect(kit_has_leaf(&k, "validation.error_rate"));
    cr_expect(settable(u, "set:optimizer.lr", 0.05));
    cr_expect(settable(u, "set:dropout1.p", 0.5));
    cr_expect(settable(u, "set:augment.rotate1.degrees", 10));
    cr_expect(settable(u, "set:stop.window", 5));
    cr_expect_not(settable(u, "set:conv1.kernel", 5), "it changes shapes");
    cr_expect_eq(u->sets.len, 3);
    cr_expect_str_eq(u->sets.at[2].name, "validation");
    cr_expect_eq(u->sets.at[2].taken_from, 0);
    cr_expect_str_eq(u->programs.at[u->sets.at[2].split].name, "split:validation");
    cr_expect(u->config.has_stop);
    cr_expect_eq(u->config.batch, 64);
    cr_expect_eq(u->config.epochs, 10);
    cr_expect_eq(u->model_dir[0], '/');
    kit_free(&k);
}

/* The forward pass of a step reads where the optimizer wants its gradient. */
Test(elab, look_ahead) {
    Kit k = kit_text("data d { train = csv(\"a.csv\", y = \"y\") }\n"
                     "model m(x[3]) -> y[2] { x -> dense(2) }\n"
                     "train m on d {\n loss = mse\n optimizer = nesterov\n}\n");
    const Program *step = unit_program(k.unit, "step");
    NodeList nodes = program_nodes(k.arena, step);
    int gradients = 0;
    for (int i = 0; i < nodes.len; i++)
        if (nodes.at[i]->kind == NODE_GRAD) {
            gradients++;
            cr_expect_eq(nodes.at[i]->wrt->kind, NODE_COMP);
        }
    cr_expect_eq(gradients, 2);
    kit_free(&k);
}

Test(elab, paths) {
    Kit k = kit_text("def unit(x[c, h, w], n) = x -> conv(n, pad = 1) -> batchnorm -> relu\n"
                     "model m(x[2, 6, 6]) -> y[2] {\n"
                     "  stem = x -> conv(4, pad = 1) -> relu\n"
                     "  stage = stem -> unit(4) -> unit(4)\n"
                     "  h = stage\n"
                     "  repeat 2 { h = h -> conv(4, pad = 1, bias = none) }\n"
                     "  g = h -> conv(4) -> conv(4)\n"
                     "  g -> dense(3) -> dense(2)\n}\n");
    const char *paths[] = {"stem.W",
                           "stem.b",
                           "stage.unit1.conv1.W",
                           "stage.unit1.batchnorm1.gamma",
                           "stage.unit2.conv1.W",
                           "h.W",
                           "h2.W",
                           "g.conv1.W",
                           "g.conv2.b",
                           "dense1.W",
                           "dense2.W"};
    for (int i = 0; i < LENGTH(paths); i++)
        has_param(&k, paths[i]);
    cr_expect_not(kit_has_leaf(&k, "h.b"), "bias = none");
    kit_free(&k);
}

Test(elab, model_used_twice_shares) {
    Kit k = kit_text("model half(x[3]) -> e[2] { x -> dense(2) -> tanh }\n"
                     "model m(a[3], b[3]) -> y[2] {\n  (half(a)) - (half(b))\n}\n");
    cr_expect_eq(k.unit->params.len, 2);
    has_param(&k, "half.dense1.W");
    kit_free(&k);
}

Test(elab, two_heads) {
    Kit k = kit_text(
        "data d { train = csv(\"wine.csv\", kind = \"class\", strength = \"s\")\n"
        "  test = train when example.number % 4 == 0\n}\n"
        "model m(x[5]) -> kind: class[3], strength[1] {\n"
        "  h = x -> dense(8) -> relu\n"
        "  kind = h -> dense(3)\n  strength = h -> dense(1)\n}\n"
        "train m on d {\n"
        "  loss = cross_entropy(kind, kind.target) + 0.3 * huber(strength, strength.target)\n"
        "  optimizer = sgd(0.01) on kind, adam(1e-4)\n"
        "  metric = error_rate(kind, kind.target)\n  freeze = h.b\n}\n");
    EXPECT_SHAPE(kit_value(&k, "predict", "kind"), 3);
    EXPECT_SHAPE(kit_value(&k, "predict", "strength"), 1);
    EXPECT_SHAPE(kit_value(&k, "predict", "kind.p"), 3);
    cr_expect_not_null(kit_value(&k, "eval", "error_rate"));
    cr_expect(settable(k.unit, "set:loss.huber1.delta", 1));
    cr_expect(settable(k.unit, "set:optimizer1.lr", 0.01));
    cr_expect(settable(k.unit, "set:optimizer2.lr", 1e-4));
    cr_expect(kit_has_leaf(&k, "h.W.optimizer.r"));
    cr_expect_not(kit_has_leaf(&k, "kind.W.optimizer.r"));
    cr_expect_null(kit_result(&k, "step", RESULT_NEXT, "h.b"), "frozen");
    cr_expect_eq(k.unit->sources.at[0].columns.len, 2);
    kit_free(&k);
}

Test(elab, train_keys) {
    Kit k = kit_text(
        "data d { train = csv(\"a.csv\", y = \"y\") }\n"
        "model m(x[3]) -> y[2] { x -> dense(2) }\n"
        "train m on d {\n loss = mse\n optimizer = sgd(lr = 0.1 * 0.5^epoch)\n batch = 2 * 8\n "
        "steps = 100\n seed = 9\n"
        " last = \"drop\"\n metric = absolute, mse\n best = min(train.absolute)\n leaves = 4\n}\n");
    const TrainConfig *c = &k.unit->config;
    cr_expect_eq(c->batch, 16);
    cr_expect_eq(c->steps, 100);
    cr_expect_eq(c->seed, 9);
    cr_expect_eq(c->leaves, 4);
    cr_expect(c->last_drop);
    cr_expect_str_eq(c->best, "train.absolute");
    cr_expect_not(c->best_max);
    cr_expect(settable(k.unit, "set:optimizer.lr", 0.1), "the default is that of the first step");
    kit_free(&k);
}

Test(elab, model_alone_predicts) {
    Kit k = kit_text("model m(x[3]) -> y: class[2] { x -> dense(2) }\n");
    cr_expect_not_null(unit_program(k.unit, "predict"));
    cr_expect_not_null(unit_program(k.unit, "init"));
    cr_expect_null(unit_program(k.unit, "step"));
    kit_free(&k);
}

Test(elab, examples) {
    static const char *const files[] = {"mnist/mlp.gr", "digits/digits.gr", "diabetes/diabetes.gr",
                                        "breast_cancer/breast_cancer.gr", "own/own.gr"};
    for (int i = 0; i < LENGTH(files); i++) {
        Kit k = kit_file(name_printf("%s/examples/%s", SOURCE_DIR, files[i]));
        cr_expect_not_null(unit_program(k.unit, "step"));
        pass_run(k.unit, NULL, NULL, NULL);
        graph_verify(k.unit, 1);
        kit_free(&k);
    }
}

/* What is not there yet says so; nothing is ignored. */
Test(elab, planned) {
    static const char *const keys[] = {"order = 1", "watch = 1"};
    for (int i = 0; i < LENGTH(keys); i++)
        cr_expect_gt(
            kit_errors(name_printf("%smodel m(x[3]) -> y[2] { x -> dense(2) }\n"
                                   "train m on d {\n loss = mse\n optimizer = sgd\n %s\n}\n",
                                   HEAD, keys[i])),
            0, "%s", keys[i]);
}

/* A value read at its own earlier index is one reference, bound to what it stands for. */
Test(elab, recurrences) {
    Kit k = kit_text("def total(x[t, d]) { h[t] = (sum[d] x[t, d]) + h[t - 1; 0] }\nmodel m(x[3, 2]) "
                    "-> y[3] { x -> total }\n");
    NodeList nodes = program_nodes(k.arena, unit_program(k.unit, "predict"));
    int references = 0;
    for (int i = 0; i < nodes.len; i++)
        if (nodes.at[i]->kind == NODE_SCAN) {
            references++;
            cr_expect_eq(nodes.at[i]->of->kind, NODE_COMP);
            cr_expect_eq(nodes.at[i]->of, unit_program(k.unit, "predict")->results.at[0].node);
        }
    cr_expect_eq(references, 1);
    kit_free(&k);
}

/* Nothing crashes, whatever stands in the file. */
Test(elab, odd_texts) {
    static const char *const texts[] = {
        "model m() -> y { 1 }\n",
        "model m(x[0]) -> y { 1 }\n",
        "model m(x[3]) -> y[3] { }\n",
        "model m(x[3]) -> y[3] { x -> m }\n",
        "model m(x[99999999999999]) -> y { 1 }\n",
        "model m(x[3, 3, 3, 3, 3, 3, 3, 3, 3]) -> y { 1 }\n",
        "def f(x, g) = g(g)\nmodel m(x[3]) -> y[3] { f(x, f) }\n",
        "model m(x[3]) -> y[3] { x[1, 2, 3] }\n",
        "model m(x[3]) -> y[3] { x -> dense(0) }\n",
        "model m(x[3]) -> y[3] { x -> dense(-1) }\n",
        "model m(x[3]) -> y[3] { x -> dense(1e300) }\n",
        "model m(x[3]) -> y[3] { x -> dense(relu) }\n",
        "model m(x[3]) -> y[3] { x -> dense(x) }\n",
        "model m(x[3]) -> y[3] { none }\n",
        "model m(x[3]) -> y[3] { \"a\" + 1 }\n",
        "model m(x[3]) -> y[3] { (x, x) }\n",
        "model m(x[3]) -> y[3] { (a, b) = x\n a }\n",
        "model m(x: class) -> y[3] { x }\n",
        "model m(x[3]) -> y: class { x }\n",
        "model m(x[3]) -> y[3] { z[i: 0] = 1\n z }\n",
        "model m(x[3]) -> y[3] { z[i: 3] = x[i / 0]\n z }\n",
        "model m(x[3]) -> y[3] { x / (if x > 0 then 1 else none) }\n",
        "model m(x[3]) -> y[3] { max(x) }\n",
        "model m(x[3]) -> y[3] { uniform(0) }\n",
        "model m(x[3]) -> y[3] { training }\n",
        "model m(x[3]) -> y[3] { relu }\n",
        "model m(x[3]) -> y[3] { repeat 1e9 { x -> relu } }\n",
        "model m(x[3]) -> y[3] { sum[batch, data] x }\n",
        "model m(x[3]) -> y[3] { stop when 1 > 0\n x }\n",
        "model m(x[3]) -> y[3] { example }\n",
        "model m(x[3]) -> y[3] { example.loss }\n",
        "model m(x[3]) -> y[3] { validation.loss }\n"};
    for (int i = 0; i < LENGTH(texts); i++)
        cr_expect_gt(kit_errors(texts[i]), 0, "%s", texts[i]);
}
