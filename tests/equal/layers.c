/* SPDX-License-Identifier: MIT
 * Random models of the library's defs, as text: chains, branches that meet again, blocks repeated,
 * indices written out, and a training with its loss, optimizer and regularizers.
 * Needs base. Knows the shapes that the defs give, so that few texts are refused; compiles nothing.
 */
#include "random.h"
#include <string.h>

enum { MOST_SIZE = 700 };

typedef struct Text {
    Arena *arena;
    Choices *choices;
    const char *body; /* statements of the model */
    int rank, named;  /* of the value; names given */
    int64_t extent[3];
} Text;

static int pick(Text *t, int n) {
    return choose(t->choices, n);
}
static bool one_in(Text *t, int n) {
    return choose_rarely(t->choices, n);
}
#define SAY(t, ...) arena_printf((t)->arena, __VA_ARGS__)
#define ANY(t, list) ((list)[pick(t, LENGTH(list))])

static void shape(Text *t, int rank, int64_t a, int64_t b, int64_t c) {
    t->rank = rank;
    t->extent[0] = a, t->extent[1] = b, t->extent[2] = c;
}

static const char *units_args(Text *t) {
    static const char *const init[] = {"",
                                       ", init = he",
                                       ", init = lecun",
                                       ", init = small_normal",
                                       ", init = xavier_normal",
                                       ", init = orthogonal",
                                       ", init = caffe_xavier(fan = \"average\")",
                                       ", init = he_leaky(a = 0.1)"};
    return ANY(t, init);
}

/* ---- Defs that keep the shape */
static const char *same(Text *t) {
    static const char *const any[] = {"tanh",
                                      "relu",
                                      "sigmoid",
                                      "leaky_relu(a = 0.2)",
                                      "lecun_tanh",
                                      "softsign",
                                      "softplus",
                                      "elu",
                                      "selu",
                                      "gelu",
                                      "silu",
                                      "prelu",
                                      "dropout(0.3)",
                                      "gaussian_dropout(0.4)",
                                      "noise(0.1)",
                                      "layernorm",
                                      "batchnorm",
                                      "batchnorm(decay = 0.5)",
                                      "batchnorm(inference = \"minibatch\")",
                                      "batchnorm(inference = \"population\")",
                                      "identity"};
    if (t->rank == 1 && one_in(t, 8)) return "softmax";
    if (t->rank == 3 && one_in(t, 6)) {
        static const char *const image[] = {"shift(1)",      "mirror(0.5)",
                                            "rotate(10)",    "brightness(0.2)",
                                            "contrast(0.2)", "blur(sigma = 0.7, reach = 1)",
                                            "scale(0.1)"};
        return ANY(t, image);
    }
    if (t->rank == 3 && t->extent[0] % 2 == 0 && one_in(t, 6)) return "groupnorm(2)";
    return ANY(t, any);
}

/* ---- Defs that change it */
static const char *to_row(Text *t) {
    static const int64_t many[] = {1, 2, 3, 5, 8, 15, 16, 17, 20};
    int64_t units = ANY(t, many);
    int how = pick(t, 10);
    shape(t, 1, units, 0, 0);
    if (how == 6) return SAY(t, "maxout(%d, pieces = %d)", (int)units, 2 + pick(t, 2));
    if (how == 7) return SAY(t, "weightnorm(%d)", (int)units);
    if (how == 8)
        return SAY(t, "dropconnect(%d, p = 0.4%s)", (int)units,
                   one_in(t, 2) ? ", per_batch = true" : "");
    if (how == 9) return SAY(t, "dense(%d, bias = none)", (int)units);
    return SAY(t, "dense(%d%s)", (int)units, units_args(t));
}

static int64_t places(int64_t extent, int64_t kernel, int64_t stride, int64_t pad) {
    return (extent + 2 * pad - kernel) / stride + 1;
}

static const char *convolution(Text *t) {
    static const int64_t many[] = {1, 2, 3, 4, 5, 16};
    int64_t filters = ANY(t, many), kernel = 1 + pick(t, 4), stride = 1 + pick(t, 3),
            pad = pick(t, 3);
    int64_t h = t->extent[1], w = t->extent[2];
    if (kernel > h + 2 * pad || kernel > w + 2 * pad) kernel = 1;
    int64_t i = places(h, kernel, stride, pad), j = places(w, kernel, stride, pad);
    if (filters * i * j > MOST_SIZE) filters = 2;
    shape(t, 3, filters, i, j);
    return SAY(t, "conv(%d, %d, stride = %d, pad = %d%s)", (int)filters, (int)kernel, (int)stride,
               (int)pad, one_in(t, 4) ? ", bias = none" : "");
}

static const char *pooling(Text *t) {
    int64_t h = t->extent[1], w = t->extent[2], least = h < w ? h : w;
    int64_t kernel = 1 + pick(t, least < 3 ? (int)least : 3), stride = 1 + pick(t, 3);
    const char *name = one_in(t, 3) ? "avgpool" : "maxpool";
    shape(t, 3, t->extent[0], places(h, kernel, stride, 0), places(w, kernel, stride, 0));
    return SAY(t, "%s(%d, %d)", name, (int)kernel, (int)stride);
}

static const char *from_image(Text *t) {
    int64_t c = t->extent[0], h = t->extent[1], w = t->extent[2];
    int64_t filters;
    switch (pick(t, 8)) {
    case 0:
    case 1:
    case 2:
        return convolution(t);
    case 3:
    case 4:
        return pooling(t);
    case 5:
        shape(t, 1, c, 0, 0);
        return "global_avgpool";
    case 6:
        if (h < 2 || w < 2) return to_row(t);
        filters = 2 + pick(t, 3);
        shape(t, 3, filters, h, w);
        return SAY(t, "residual(%d)", (int)filters);
    default:
        shape(t, 1, c * h * w, 0, 0);
        return "flatten";
    }
}

static const char *from_sequence(Text *t) {
    static const char *const defs[] = {"rnn", "lstm", "gru", "attention"};
    int which = pick(t, LENGTH(defs) + 1);
    if (which == LENGTH(defs)) {
        shape(t, 1, t->extent[1], 0, 0);
        return "last";
    }
    int units = 1 + pick(t, 5);
    shape(t, 2, t->extent[0], units, 0);
    return SAY(t, "%s(%d)", defs[which], units);
}

static const char *changed(Text *t) {
    if (t->rank == 3 && !one_in(t, 4)) return from_image(t);
    if (t->rank == 2 && !one_in(t, 4)) return from_sequence(t);
    return to_row(t);
}

/* ---- Statements: `name` is the value so far */
static void say(Text *t, const char *line) {
    t->body = SAY(t, "%s  %s\n", t->body, line);
}

static const char *indices(const Text *t, bool bounds) {
    static const char *const name[] = {"i", "j", "k"};
    const char *text = "";
    for (int i = 0; i < t->rank; i++)
        text = bounds ? SAY(t, "%s%s%s: %d", text, i ? ", " : "", name[i], (int)t->extent[i])
                      : SAY(t, "%s%s%s", text, i ? ", " : "", name[i]);
    return text;
}

static const char *written_out(Text *t, const char *in, const char *out) {
    const char *bound = indices(t, true), *at = indices(t, false),
               *rest = strchr(at, ',') ? strchr(at, ',') : "";
    switch (pick(t, 6)) {
    case 0: /* neighbours, in a ring or with a value outside */
        return SAY(t, "%s[%s] = %s[%s] - 0.5 * %s[i - 1%s; %s]", out, bound, in, at, in, rest,
                   one_in(t, 2) ? "0" : SAY(t, "%s[0%s]", in, rest));
    case 1: /* backwards */
        return SAY(t, "%s[%s] = %s[%d - i%s]", out, bound, in, (int)t->extent[0] - 1, rest);
    case 2: /* by a condition on the place */
        return SAY(t, "%s[%s] = if i < %d then %s[%s] else tanh(%s[%s])", out, bound,
                   (int)t->extent[0] / 2, in, at, in, at);
    case 3: /* what came before */
        return SAY(t, "%s[%s] = 0.3 * (sum[n: %d] if n <= i then %s[n%s] else 0)", out, bound,
                   (int)t->extent[0], in, rest);
    case 4: /* relative to the largest */
        return SAY(t, "%s[%s] = %s[%s] / (1 + (max[n: %d] abs(%s[n%s])))", out, bound, in, at,
                   (int)t->extent[0], in, rest);
    default: /* every second one, twice */
        return SAY(t, "%s[%s] = %s[2 * (i / 2)%s]", out, bound, in, rest);
    }
}

static const char *name_new(Text *t) {
    return SAY(t, "h%d", ++t->named);
}

/* Two ways from one value that meet again. */
static const char *branches(Text *t, const char *in) {
    const char *a = name_new(t), *b = name_new(t), *out = name_new(t);
    static const char *const meet[] = {"%s = %s + %s", "%s = %s * %s", "%s = %s - 0.5 * %s"};
    Text other = *t;
    if (one_in(t, 2)) {
        say(t, SAY(t, "%s = %s -> %s", a, in, same(t)));
        say(t, SAY(t, "%s = %s -> %s", b, in, same(t)));
        say(t, SAY(t, ANY(t, meet), out, a, b));
    } else {
        say(t, SAY(t, "%s = %s -> %s", a, in, to_row(t)));
        int64_t first = t->extent[0];
        shape(t, other.rank, other.extent[0], other.extent[1], other.extent[2]);
        say(t, SAY(t, "%s = %s -> %s", b, in, to_row(t)));
        say(t, SAY(t, "%s = %s -> concat(%s)", out, a, b));
        t->extent[0] += first;
    }
    return out;
}

static const char *statement(Text *t, const char *in) {
    int how = pick(t, 10);
    const char *out;
    if (how == 7) return branches(t, in);
    out = name_new(t);
    if (how == 8) {
        say(t, written_out(t, in, out));
    } else if (how == 9 && t->rank == 1 && t->extent[0] < 40) {
        say(t, SAY(t, "%s = %s", out, in));
        say(t, SAY(t, "repeat %d { %s = %s -> dense(%d) -> %s }", 2 + pick(t, 2), out, out,
                   (int)t->extent[0], same(t)));
    } else {
        const char *chain = changed(t);
        for (int more = pick(t, 3); more > 0; more--)
            chain = SAY(t, "%s -> %s", chain, same(t));
        say(t, SAY(t, "%s = %s -> %s", out, in, chain));
    }
    return out;
}

static void input(Text *t) {
    static const int64_t many[] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 16, 17};
    t->rank = 1 + pick(t, 3);
    t->extent[0] = t->rank == 1 ? ANY(t, many) : 1 + pick(t, 5);
    t->extent[1] = t->rank == 2 ? 1 + pick(t, 6) : 2 + pick(t, 7);
    t->extent[2] = 2 + pick(t, 7);
}

static const char *extents(const Text *t) {
    const char *text = "";
    for (int i = 0; i < t->rank; i++)
        text = SAY(t, "%s%s%d", text, i ? ", " : "", (int)t->extent[i]);
    return text;
}

/* ---- The training */
static const char *training(Text *t, bool classes) {
    static const char *const class_loss[] = {"cross_entropy", "hinge", "label_smoothing",
                                             "cross_entropy(y, y.target -> disturb(0.3))"};
    static const char *const number_loss[] = {"mse", "huber", "absolute", "huber(delta = 0.3)"};
    static const char *const optimizer[] = {
        "sgd(lr = 0.05)",
        "momentum(lr = 0.01, gamma = if epoch < 1 then 0.5 else 0.9)",
        "nesterov(lr = 0.01)",
        "adam",
        "adamw(lr = 0.002, decay = 0.1)",
        "nadam",
        "adagrad",
        "adadelta",
        "rmsprop",
        "lion(lr = 0.001)",
        "rprop",
        "averaged(adam(lr = 0.01), decay = 0.9)",
        "sgd(lr = 0.1 * 0.95^epoch)"};
    static const char *const more[] = {"penalty   = l2(1e-3)",
                                       "penalty   = l1(1e-3)",
                                       "gradients = clip_norm(0.1)",
                                       "gradients = clip_value(0.01)",
                                       "gradients = gradient_noise(0.1)",
                                       "gradients = clip_norm(0.1) -> gradient_noise(0.1)",
                                       "augment   = x -> noise(0.1)",
                                       "metric    = %s"};
    const char *metric = classes ? one_in(t, 2) ? "accuracy" : "error_rate" : "mean_absolute_error";
    const char *text = SAY(t, "  loss      = %s\n  optimizer = %s\n",
                           classes ? ANY(t, class_loss) : ANY(t, number_loss), ANY(t, optimizer));
    for (int i = 0; i < LENGTH(more); i++)
        if (one_in(t, LENGTH(more)) && !strstr(text, SAY(t, "  %.8s", more[i])))
            text = SAY(t, "%s  %s\n", text,
                       i == LENGTH(more) - 1 ? SAY(t, "metric    = %s", metric) : more[i]);
    return text;
}

char *random_text(Arena *arena, Choices *choices) {
    Text text = {.arena = arena, .choices = choices, .body = ""}, *t = &text;
    input(t);
    const char *in = extents(t), *value = "x";
    static const char *const transform[] = {"standardize", "center", "min_max", "whiten", "pca"};
    if (one_in(t, 4)) {
        const char *first = transform[pick(t, t->rank == 1 ? LENGTH(transform) : 3)];
        value = name_new(t);
        say(t, SAY(t, "%s = x -> %s", value, first));
    }
    for (int n = pick(t, 5); n > 0; n--)
        value = statement(t, value);
    bool classes = !one_in(t, 3);
    int outputs = 2 + pick(t, 4);
    const char *out = classes ? SAY(t, "class[%d]", outputs) : "";
    say(t, SAY(t, "%s -> dense(%d)", value, outputs));
    const char *train = training(t, classes);
    return arena_printf(arena,
                        "data points {\n  train = csv(\"none.csv\", y = \"y\")\n}\n\n"
                        "model m(x[%s]) -> y%s {\n%s}\n\n"
                        "train m on points {\n%s  batch     = 20\n  epochs    = 2\n}\n",
                        in, classes ? SAY(t, ": %s", out) : SAY(t, "[%d]", outputs), t->body,
                        train);
}
