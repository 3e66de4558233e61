/* SPDX-License-Identifier: MIT
 * Two runs compared to the last bit: where their curves first differ, in what, and by how much;
 * `expect curve`, `expect equal over`, `gradus diff`. Needs curve.c and session.c. */
#include "test.h"
#include "safetensors.h"
#include <libgen.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- Two curves */
typedef struct Compare {
    Arena *arena;
    const Curve *a, *b;
    CurveSay *say;
    void *context;
    CurvePlace *place;
} Compare;

static void say(const Compare *c, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void say(const Compare *c, const char *format, ...) {
    char line[2000];
    va_list list;
    va_start(list, format);
    vsnprintf(line, sizeof line, format, list);
    va_end(list);
    c->say(c->context, line);
}

static bool same_bits(double a, double b) {
    return (isnan(a) && isnan(b)) || !memcmp(&a, &b, sizeof a);
}

static const CurvePoint *point_of(const CurveStep *step, const char *name) {
    for (int i = 0; i < step->points.len; i++)
        if (!strcmp(step->points.at[i].name, name)) return &step->points.at[i];
    return NULL;
}

static const CurveStep *step_of(const Curve *curve, const CurveStep *like, int from) {
    for (int i = from; i < curve->steps.len; i++)
        if (curve->steps.at[i].step == like->step && curve->steps.at[i].epoch == like->epoch)
            return &curve->steps.at[i];
    return from ? step_of(curve, like, 0) : NULL;
}

/* "the gradient of dense1.W" */
static const char *meaning(Arena *arena, const CurveStep *step, const char *name) {
    static const struct {
        const char *prefix, *text;
    } kinds[] = {{"weights.", "the values of %s before the step"},
                 {"layer.", "the output of %s"},
                 {"gradient.", "the gradient of %s"}};
    if (step->epoch) return arena_printf(arena, "the metric %s", name);
    if (!strcmp(name, "loss")) return "the loss";
    for (int i = 0; i < LENGTH(kinds); i++) {
        size_t length = strlen(kinds[i].prefix);
        if (strncmp(name, kinds[i].prefix, length)) continue;
        const char *at = strstr(kinds[i].text, "%s");
        return arena_printf(arena, "%.*s%s%s", (int)(at - kinds[i].text), kinds[i].text,
                            name + length, at + 2);
    }
    return name;
}

/* A tensor, of which there are elements behind its norm. */
static void note_place(const Compare *c, const CurveStep *step, const char *name) {
    if (c->place && !step->epoch && strcmp(name, "loss")) *c->place = (CurvePlace){step->step, name};
}

static void say_values(const Compare *c, const CurveStep *step, const char *name, double a,
                       double b) {
    double size = fmax(fabs(a), fabs(b));
    say(c, "  %s%s: %s %.9g (%a), %s %.9g (%a); difference %.3g, relative %.2g", name,
        step->epoch || !strcmp(name, "loss") || strchr(name, '[') ? "" : " (norm)", c->a->name, a, a, c->b->name, b, b,
        b - a, size > 0 ? fabs(b - a) / size : 0);
}

/* The first number that differs in a step, in the order in which the step makes them. */
static const CurvePoint *differs(const CurveStep *a, const CurveStep *b, const CurvePoint **other,
                                 int *equal) {
    for (int i = 0; i < a->points.len; i++) {
        const CurvePoint *p = &a->points.at[i], *q = point_of(b, p->name);
        *other = q;
        if (q && !same_bits(p->value, q->value)) return p;
        if (q) ++*equal;
    }
    return NULL;
}

/* The first number that one of two steps has alone, where both have more than the loss. */
static const char *alone(const CurveStep *a, const CurveStep *b) {
    if (a->points.len < 2 || b->points.len < 2) return NULL;
    for (int i = 0; i < a->points.len; i++)
        if (!point_of(b, a->points.at[i].name)) return a->points.at[i].name;
    return NULL;
}

static void say_header(const Compare *c) {
    const Curve *a = c->a, *b = c->b;
    const struct {
        const char *what, *a, *b;
    } rows[] = {{"the model is another one", a->model, b->model},
                {"the data differ", a->data_hash, b->data_hash},
                {"the model file has changed", a->model_hash, b->model_hash},
                {"the language has another version", a->language, b->language}};
    for (int i = 0; i < LENGTH(rows); i++)
        if (strcmp(rows[i].a, rows[i].b))
            say(c, "%s: %s %s, %s %s", rows[i].what, a->name, rows[i].a, b->name, rows[i].b);
    if (a->seed != b->seed)
        say(c, "the seeds differ: %s %llu, %s %llu", a->name, (unsigned long long)a->seed, b->name,
            (unsigned long long)b->seed);
    if (a->float_bytes != b->float_bytes)
        say(c, "numbers have %s %d bits, %s %d", a->name, 8 * a->float_bytes, b->name,
            8 * b->float_bytes);
}

/* After a loss that differs, where only some steps have norms: the first of them says in what. */
static void say_tensor(const Compare *c, int from) {
    for (int i = from; i < c->a->steps.len; i++) {
        const CurveStep *s = &c->a->steps.at[i], *t = step_of(c->b, s, i);
        const CurvePoint *q = NULL;
        int equal = 0;
        if (!t || s->epoch || s->points.len < 2 || t->points.len < 2) continue;
        const CurvePoint *p = differs(s, t, &q, &equal);
        if (!p) continue;
        say(c, "the first tensor known to differ is at step %lld, %s:", (long long)s->step,
            meaning(c->arena, s, p->name));
        say_values(c, s, p->name, p->value, q->value);
        note_place(c, s, p->name);
        return;
    }
}

static void say_difference(const Compare *c, int at, const CurveStep *s, const CurveStep *t,
                           const CurvePoint *p, const CurvePoint *q, int equal) {
    int64_t last = c->a->steps.at[c->a->steps.len - 1].step;
    say(c, "first difference: step %lld of %lld, %s", (long long)s->step, (long long)last,
        meaning(c->arena, s, p->name));
    say_values(c, s, p->name, p->value, q->value);
    note_place(c, s, p->name);
    const CurvePoint *loss = point_of(s, "loss"), *other = point_of(t, "loss");
    if (loss && other && p != loss && same_bits(loss->value, other->value))
        say(c, "  the loss of that step is equal");
    else if (loss && other && p != loss)
        say_values(c, s, "loss", loss->value, other->value);
    if (equal) say(c, "  the %d numbers before it in that step are equal", equal);
    if (!s->epoch && (s->points.len < 2 || t->points.len < 2)) say_tensor(c, at + 1);
    say_header(c);
}

bool curve_same(Arena *arena, const Curve *a, const Curve *b, CurveSay *say_line, void *context,
                CurvePlace *place) {
    Compare c = {arena, a, b, say_line, context, place};
    for (int i = 0; i < a->steps.len; i++) {
        const CurveStep *s = &a->steps.at[i], *t = step_of(b, s, i);
        const CurvePoint *q = NULL;
        int equal = 0;
        if (!t) {
            if (s->epoch) continue;
            say(&c, "%s has step %lld, %s ends before it", a->name, (long long)s->step, b->name);
            say_header(&c);
            return false;
        }
        const CurvePoint *p = differs(s, t, &q, &equal);
        if (p) {
            say_difference(&c, i, s, t, p, q, equal);
            return false;
        }
        const char *left = alone(s, t), *right = alone(t, s);
        if (left || right) {
            say(&c, "step %lld: only %s has %s", (long long)s->step, left ? a->name : b->name,
                meaning(arena, s, left ? left : right));
            say_header(&c);
            return false;
        }
    }
    const CurveStep *last = &b->steps.at[b->steps.len - 1];
    if (last->step > a->steps.at[a->steps.len - 1].step) {
        say(&c, "%s goes on to step %lld, %s ends before it", b->name, (long long)last->step,
            a->name);
        return false;
    }
    return true;
}

/* ---- expect curve */
static void say_test(void *context, const char *line) {
    test_say(context, "%s", line);
}

static const char *stem_of(Arena *arena, const char *path) {
    char *copy = arena_copy(arena, path, strlen(path)), *name = basename(copy);
    name[strcspn(name, ".")] = '\0';
    return name;
}

static const char *curve_path(Test *test, const char *text) {
    char *name = arena_copy(test->arena, text, strlen(text));
    if (test->options->curves) {
        for (char *at = name; *at; at++)
            if (*at == '/') *at = '_';
        return arena_printf(test->arena, "%s/%s.%s", test->options->curves,
                            stem_of(test->arena, test->path), name);
    }
    const char *slash = strrchr(test->path, '/');
    return *name == '/' || !slash
               ? name
               : arena_printf(test->arena, "%.*s/%s", (int)(slash - test->path), test->path, name);
}

/* What the test has trained, as a curve; NULL where there is none (said). */
static Curve *trained(Test *test, const char *log, const char *name) {
    const char *fault = "nothing was trained: `train N steps` stands before it";
    Curve *curve = log ? curve_read(test->arena, log, &fault) : NULL;
    if (!curve) test_say(test, "%s", fault);
    if (curve) curve->name = name;
    return curve;
}

/* ---- Elements: a run is done again, and one tensor of one step is in its log. */
typedef struct Way {
    const Options *options;
    const char *variant, *more, *name; /* of the executable; a word more or NULL */
} Way;

static Curve *elements(Test *test, const CurvePlace *place, const Way *way) {
    Work work = {.arena = test->arena, .options = way->options, .path = test->path};
    if (!stages_run(&work, STAGE_LOAD)) return NULL;
    Module *module = test->module;
    curve_watch_elements(work.module, test->session.only, place->name);
    test->module = work.module;
    const char *name = arena_printf(test->arena, "%s elements", way->name);
    const char *exe = session_build(
        test, way->options, arena_printf(test->arena, "%s.%d", way->variant, (int)getpid()));
    test->module = module;
    const char *log = exe ? session_again(test, exe, way->more, name, place->step) : NULL;
    if (exe) remove(exe);
    return log ? trained(test, log, way->name) : NULL;
}

/* The same of the other compiler. */
static Curve *their_elements(Test *test, const CurvePlace *place, const char *text) {
    Arena *arena = test->arena;
    const char *folder = arena_printf(arena, "%s/theirs", test->own);
    char *words[9];
    int n = 0;
    words[n++] = arena_printf(arena, "%s", test->options->against);
    words[n++] = arena_printf(arena, "test");
    words[n++] = arena_printf(arena, "--update");
    words[n++] = arena_printf(arena, "--curves=%s", folder);
    words[n++] = arena_printf(arena, "--element=%lld:%s", (long long)place->step, place->name);
    words[n++] = arena_printf(arena, "--filter=%s", test->name);
    if (test->options->data) words[n++] = arena_printf(arena, "--data=%s", test->options->data);
    words[n++] = arena_printf(arena, "%s", test->path);
    words[n] = NULL;
    Options options = *test->options;
    options.curves = folder;
    const Options *given = test->options;
    test->options = &options;
    const char *path = curve_path(test, text);
    test->options = given;
    mkdir(folder, 0777);
    return session_run(test, words) ? NULL : trained(test, path, "theirs");
}

/* `from` a and b: which elements differ, the first of them in both runs' terms. */
static void say_elements(Test *test, const CurvePlace *place, const Curve *a, const Curve *b) {
    Compare c = {test->arena, a, b, say_test, test, NULL};
    const CurveStep like = {.step = place->step}, *s = a ? step_of(a, &like, 0) : NULL,
                    *t = b ? step_of(b, &like, 0) : NULL;
    size_t length = strlen(place->name);
    int all = 0, different = 0, first = -1;
    bool shape = s && t && s->points.len == t->points.len;
    for (int i = 0; shape && i < s->points.len; i++) {
        const CurvePoint *p = &s->points.at[i], *q = &t->points.at[i];
        if (strncmp(p->name, place->name, length) || p->name[length] != '[') continue;
        shape = !strcmp(p->name, q->name);
        all++;
        if (same_bits(p->value, q->value)) continue;
        if (!different++) first = i;
    }
    if (!shape || !all) {
        test_say(test, "  its elements cannot be had from both runs");
    } else if (!different) {
        test_say(test, "  its %d elements are equal: the norm was summed in another way", all);
    } else {
        test_say(test, "  %d of its %d elements differ%s, the first:", different, all,
                 strncmp(place->name, "layer.", 6) ? "" : " ([example of the batch, ...])");
        say_values(&c, s, s->points.at[first].name, s->points.at[first].value,
                   t->points.at[first].value);
    }
}

/* STEP:NAME of --element, by the compiler that is asked. */
static Curve *asked_elements(Test *test) {
    char *name = NULL;
    CurvePlace place = {.step = strtoll(test->options->element, &name, 10)};
    place.name = *name ? name + 1 : name;
    if (place.step >= 1 && *name == ':' && strchr(place.name, '.'))
        return elements(test, &place, &(Way){test->options, "", NULL, "now"});
    test_say(test, "--element wants STEP:NAME, `7:layer.relu1`");
    return NULL;
}

bool curve_expect(Test *test, const Stmt *stmt) {
    const char *path = curve_path(test, stmt->text), *fault;
    Curve *now = trained(test, test->session.log, "now");
    if (now && test->options->element) now = asked_elements(test);
    if (!now) return false;
    if (test->options->update) {
        bool written = curve_write(test->arena, now, path, test->options->curves);
        if (written) test_say(test, "%s: recorded", path);
        return written;
    }
    Curve *recorded = curve_read(test->arena, path, &fault);
    if (!recorded) {
        test_say(test, "%s", fault);
        test_say(test, "%s",
                 test->options->against ? "the other compiler has not recorded it"
                                        : "`gradus test --update` records it");
        return false;
    }
    recorded->name = test->options->against ? "theirs" : "recorded";
    CurvePlace place = {.name = NULL};
    if (curve_same(test->arena, recorded, now, say_test, test, &place)) return true;
    if (place.name && test->options->against)
        say_elements(test, &place, their_elements(test, &place, stmt->text),
                     elements(test, &place, &(Way){test->options, "", NULL, "now"}));
    else if (place.name)
        test_say(test, "  a recorded curve holds norms; `gradus test --against=GRADUS`, with the "
                       "compiler that recorded it, names the element");
    return false;
}

/* ---- expect equal over */
static void say_element(Test *test, const Tensor *s, const Tensor *t, int64_t at,
                        const char *name) {
    const char *index = "";
    double a = tensor_number(s, at), b = tensor_number(t, at);
    for (int d = s->rank - 1; d >= 0; at /= s->extent[d], d--)
        index = arena_printf(test->arena, "%lld%s%s", (long long)(at % s->extent[d]),
                             *index ? "," : "", index);
    test_say(test, "after the training %s[%s] differs: as it is %.9g (%a), %s %.9g (%a)", s->name,
             index, a, a, name, b, b);
}

static bool weights_same(Test *test, const char *a, const char *b, const char *name) {
    TensorFile x, y;
    Fault fault;
    if (!tensors_read(a, &x, &fault) || !tensors_read(b, &y, &fault)) {
        test_say(test, "%s", fault.text);
        return false;
    }
    bool same = x.ntensors == y.ntensors;
    for (int i = 0; same && i < x.ntensors; i++) {
        const Tensor *s = &x.tensors[i], *t = &y.tensors[i];
        int64_t bytes = tensor_bytes(s);
        same = !strcmp(s->name, t->name) && bytes == tensor_bytes(t);
        for (int64_t k = 0; same && k < bytes; k++)
            if (s->bytes[k] != t->bytes[k]) {
                say_element(test, s, t, k / (bytes / s->count), name);
                same = false;
            }
    }
    tensors_free(&x);
    tensors_free(&y);
    return same;
}

static bool same_as(Test *test, const Curve *usual, Way way) {
    const char *exe = session_build(test, way.options, way.variant), *name = way.name;
    const char *log = exe ? session_again(test, exe, way.more, name, 0) : NULL;
    Curve *other = log ? trained(test, log, name) : NULL;
    const char *out = arena_printf(test->arena, "%s/%s", test->own, name);
    CurvePlace place = {.name = NULL};
    bool same = other && curve_same(test->arena, usual, other, say_test, test, &place) &&
                weights_same(test, session_weights(test, test->session.out),
                             session_weights(test, out), name);
    if (place.name)
        say_elements(test, &place,
                     elements(test, &place, &(Way){test->options, "", NULL, usual->name}),
                     elements(test, &place, &way));
    if (!same) test_say(test, "not the same with %s", name);
    return same;
}

static bool same_build(Test *test, const Curve *usual, const char *level, const char *cpu,
                       const char *fuse, const char *name) {
    Options *options = NEW(test->arena, Options);
    *options = *test->options;
    if (level) options->level = level;
    if (cpu) options->cpu = cpu;
    if (fuse) options->fuse = fuse;
    return same_as(test, usual, (Way){options, name, NULL, name});
}

static bool over_threads(Test *test, const Curve *usual) {
    bool same = true;
    for (int i = 1; i <= 4; i++) {
        const char *name = arena_printf(test->arena, "%d thread%s", i, i > 1 ? "s" : "");
        const char *more = arena_printf(test->arena, "--threads=%d", i);
        same &= same_as(test, usual, (Way){test->options, "", more, name});
    }
    return same;
}

static bool over_levels(Test *test, const Curve *usual) {
    static const char *const levels[] = {"0", "1", "2", "3"};
    bool same = true;
    for (int i = 0; i < LENGTH(levels); i++) {
        const char *name = arena_printf(test->arena, "-O%s", levels[i]);
        same &= same_build(test, usual, levels[i], NULL, NULL, name);
    }
    return same;
}

/* The levels that this machine can run. */
static int cpu_levels(void) {
#ifdef __x86_64__
    return __builtin_cpu_supports("x86-64-v4") ? 2 : __builtin_cpu_supports("x86-64-v3") ? 1 : 0;
#else
    return 0;
#endif
}

static bool over_cpus(Test *test, const Curve *usual) {
    bool same = true;
    static const char *const cpus[] = {"x86-64-v3", "x86-64-v4"};
    for (int i = 0; i < cpu_levels(); i++) {
        const char *name = arena_printf(test->arena, "--cpu=%s", cpus[i]);
        same &= same_build(test, usual, NULL, cpus[i], NULL, name);
    }
    return same;
}

static bool over_fusion(Test *test, const Curve *usual) {
    return same_build(test, usual, NULL, NULL, "off", "--fuse=off");
}

static const struct {
    const char *name;
    bool (*run)(Test *test, const Curve *usual);
} equal_table[] = {{"threads", over_threads},
                   {"levels", over_levels},
                   {"cpus", over_cpus},
                   {"fusion", over_fusion}};

static bool over_one(Test *test, const Curve *usual, const Expr *x) {
    for (int i = 0; x->kind == EXPR_NAME && i < LENGTH(equal_table); i++)
        if (!strcmp(x->name, equal_table[i].name)) return equal_table[i].run(test, usual);
    Name names[LENGTH(equal_table)];
    for (int i = 0; i < LENGTH(equal_table); i++)
        names[i] = name_of(equal_table[i].name);
    diag_error(x->at, "E0816", "`equal over` names threads, levels, cpus or fusion");
    Name near = x->kind == EXPR_NAME ? name_nearest(x->name, names, LENGTH(names)) : NULL;
    if (near) diag_help("did you mean `%s`?", near);
    return false;
}

bool equal_expect(Test *test, const Stmt *stmt) {
    Curve *usual = trained(test, test->session.log, "as it is");
    const Expr *x = stmt->value;
    if (!usual) return false;
    if (x->kind != EXPR_TUPLE) return over_one(test, usual, x);
    bool same = true;
    for (int i = 0; i < x->args.len; i++)
        same &= over_one(test, usual, x->args.at[i].value);
    return same;
}

/* ---- gradus diff */
static void say_plain(void *context, const char *line) {
    (void)context;
    puts(line);
}

int verb_diff(Arena *arena, const Options *options) {
    Curve *runs[2];
    for (int i = 0; i < 2; i++) {
        const char *fault;
        runs[i] = curve_read(arena, options->files[i], &fault);
        if (runs[i]) continue;
        diag_error((Span){0}, "E0817", "%s", fault);
        diag_help(
            "`gradus diff` compares two recorded curves, or logs of `model train --log=FILE`");
        return EXIT_DATA;
    }
    CurvePlace place = {.name = NULL};
    if (!curve_same(arena, runs[0], runs[1], say_plain, NULL, &place)) {
        if (place.name) puts("  (recorded runs hold norms, no elements)");
        return EXIT_MISMATCH;
    }
    printf("the same in %d records, up to step %lld\n", runs[0]->steps.len,
           (long long)runs[0]->steps.at[runs[0]->steps.len - 1].step);
    return EXIT_OK;
}
