/* SPDX-License-Identifier: MIT
 * A test's training against a recorded curve, another compiler's or itself done in another way, to
 * the element: `expect curve`, `expect equal over`. Needs compare.c and session.c. */
#include "test.h"
#include "safetensors.h"
#include <libgen.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- expect curve */
static void say_test(void *context, const char *line) {
    test_say(context, "%s", line);
}

static const char *stem_of(Arena *arena, const char *path) {
    char *copy = arena_copy(arena, path, strlen(path)), *name = basename(copy);
    name[strcspn(name, ".")] = '\0';
    return name;
}

/* A curve stands beside the model file, or in `folder` under a name that says whose it is. */
static const char *curve_path(Test *test, const char *text, const char *folder) {
    char *name = arena_copy(test->arena, text, strlen(text));
    if (folder) {
        for (char *at = name; *at; at++)
            if (*at == '/') *at = '_';
        return arena_printf(test->arena, "%s/%s.%s", folder, stem_of(test->arena, test->path),
                            name);
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
    const char *data = test->options->data;
    char *words[] = {arena_printf(arena, "%s", test->options->against),
                     "test",
                     "--update",
                     arena_printf(arena, "--curves=%s", folder),
                     arena_printf(arena, "--element=%lld:%s", (long long)place->step, place->name),
                     arena_printf(arena, "--filter=%s", test->name),
                     arena_printf(arena, "%s", test->path),
                     data ? arena_printf(arena, "--data=%s", data) : NULL,
                     NULL};
    mkdir(folder, 0777);
    return session_run(test, words) ? NULL : trained(test, curve_path(test, text, folder), "theirs");
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
    const char *path = curve_path(test, stmt->text, test->options->curves), *fault;
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
        curve_elements(test->arena, their_elements(test, &place, stmt->text),
                       elements(test, &place, &(Way){test->options, "", NULL, "now"}), &place,
                       say_test, test);
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
        curve_elements(test->arena,
                       elements(test, &place, &(Way){test->options, "", NULL, usual->name}),
                       elements(test, &place, &way), &place, say_test, test);
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
