/* SPDX-License-Identifier: MIT
 * The examples of doc comments: lines "Example: ...", elaborated, evaluated, differentiated and
 * compiled. Needs elab, pass, eval, gradients.c and equal.c. Three forms, told apart by their text:
 *   DEF at [-1, 2], class 1 of 3 gives [0, 2]   values for these inputs, in evaluation
 *   DEF on [3, 8, 8], class[3]                  any inputs of these shapes
 *   KEY = VALUE; KEY = VALUE                    keys of a small training of the text below
 * All of a file's are compiled at once, in float64, and compared with the interpreter. */
#include "example.h"
#include "driver.h"
#include "equal.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

static const char training[] =
    "def example_layer(x[d], units) {\n"
    "  param W[units, d] = uniform(-0.5, 0.5)\n  param b[units] = 0\n"
    "  y[u] = sum[d] W[u, d] * x[d] + b[u]\n}\n"
    "def example_loss(y[c], t: class) = sum[k: c] (y[k] - (if t == k then 1 else 0))^2\n"
    "def example_step(w, g) {\n  w' = w - 0.1 * g\n}\n"
    "data example_data {\n  train = csv(\"none.csv\", kind = \"kind\")\n"
    "  validation = train when example.number % 5 == 0\n}\n"
    "model example_model(x[6]) -> kind: class[3] {\n"
    "  x -> example_layer(5) -> tanh -> example_layer(3)\n}\n"
    "train example_model on example_data {\n";
static const char *const usual[][2] = {
    {"batch", "20"}, {"epochs", "40"}, {"loss", "example_loss"}, {"optimizer", "example_step"}};

typedef struct Literal { /* one value between the brackets behind `at` or `gives` */
    int rank;
    int64_t extent[MAX_RANK], count;
    int classes; /* 0: none */
    double *values;
} Literal;
enum { INPUTS = 8, VALUES = 4096 };
typedef struct Example {
    Arena *arena;
    const char *def, *text;
    Unit *unit; /* NULL: it is no program */
    Literal inputs[INPUTS], wanted;
    int ninputs;
    bool valued;
    const char *fault; /* what is wrong, or NULL */
} Example;

static const char *skip(const char *at) {
    return at + strspn(at, " ");
}

/* A number or nested lists of them, all of one length at each depth; NULL where it is none. */
static const char *literal_read(Literal *l, const char *at, int depth) {
    at = skip(at);
    if (*at != '[') {
        char *end;
        if (l->count >= VALUES) return NULL;
        l->values[l->count++] = strtod(at, &end);
        return end == at ? NULL : skip(end);
    }
    if (depth >= MAX_RANK) return NULL;
    int64_t n = 0;
    for (at++; at && *skip(at) != ']'; n++) {
        at = literal_read(l, at, depth + 1);
        if (at && *at == ',') at++;
        if (at && *at == '\0') return NULL;
    }
    if (!at || n == 0 || (l->rank > depth && l->extent[depth] && l->extent[depth] != n))
        return NULL;
    l->extent[depth] = n;
    if (l->rank <= depth) l->rank = depth + 1;
    return skip(skip(at) + 1);
}

static const char *input_read(Example *x, const char *at) {
    Literal *l = &x->inputs[x->ninputs++];
    l->values = NEW_ARRAY(x->arena, double, VALUES);
    if (strncmp(at, "class ", 6) != 0) {
        at = literal_read(l, at, 0);
        if (l->rank == 0) l->rank = 1, l->extent[0] = 1; /* a number alone is given as [1] */
        return at;
    }
    char *end;
    l->values[l->count++] = (double)strtol(at + 6, &end, 10);
    if (strncmp(end, " of ", 4) != 0) return NULL;
    l->classes = (int)strtol(end + 4, &end, 10);
    return l->classes > 0 ? skip(end) : NULL;
}

/* "DEF at V, V gives V" becomes "DEF on [shape], class[n]"; NULL where it is not of that form. */
static const char *values_read(Example *x, const char *from) {
    const char *gives = strstr(from, " gives ");
    x->wanted.values = NEW_ARRAY(x->arena, double, VALUES);
    const char *end = gives ? literal_read(&x->wanted, gives + 7, 0) : NULL;
    if (!end || *end) return NULL;
    const char *at = arena_printf(x->arena, "%.*s", (int)(gives - from) - 4, from + 4);
    const char *shapes = "";
    for (at = skip(at); at && *at;) {
        if (x->ninputs == INPUTS) return NULL;
        at = input_read(x, at);
        if (at && *at == ',') at = skip(at + 1);
        const Literal *l = &x->inputs[x->ninputs - 1];
        const char *shape = "";
        for (int i = 0; i < l->rank; i++)
            shape =
                arena_printf(x->arena, "%s%s%lld", shape, i ? ", " : "", (long long)l->extent[i]);
        shapes = arena_printf(x->arena, "%s%s%s", shapes, x->ninputs > 1 ? ", " : "",
                              l->classes ? arena_printf(x->arena, "class[%d]", l->classes)
                                         : arena_printf(x->arena, "[%s]", shape));
    }
    x->valued = true;
    return at && x->ninputs
               ? arena_printf(x->arena, "%.*s on %s", (int)(from - x->text), x->text, shapes)
               : NULL;
}

/* The length of KEY where the text is KEY = VALUE, else 0. */
static size_t key_length(const char *text) {
    size_t n = strspn(text, "abcdefghijklmnopqrstuvwxyz_");
    return n && !strncmp(text + n, " = ", 3) ? n : 0;
}

static bool gives_key(const char *text, const char *key) {
    for (const char *at = text; at; at = strstr(at, "; ") ? strstr(at, "; ") + 2 : NULL)
        if (!strncmp(at, key, strlen(key)) && !strncmp(at + strlen(key), " = ", 3)) return true;
    return false;
}

/* The file is used for its defs, which the library may not have. */
static Unit *training_make(Example *x, const char *path) {
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    const char *beside = arena_printf(x->arena, "%.*sexample", (int)(name - path), path);
    const char *text = arena_printf(x->arena, "use \"%s\"\n%s", name, training);
    for (int i = 0; i < LENGTH(usual); i++)
        if (!gives_key(x->text, usual[i][0]))
            text = arena_printf(x->arena, "%s  %s = %s\n", text, usual[i][0], usual[i][1]);
    text = arena_printf(x->arena, "%s  %s\n}\n", text, x->text);
    Module *module = module_load_text(x->arena, beside, text);
    return module && diag_errors() == 0 ? elab_unit(x->arena, module, NULL) : NULL;
}

static Unit *unit_make(Example *x, const Module *module, const char *path) {
    if (key_length(x->text)) return training_make(x, path);
    const char *application = x->text, *at = strstr(x->text, " at ");
    if (at && strstr(at, " gives ")) {
        application = values_read(x, at);
        if (!application) x->fault = "write DEF at [1, 2], class 0 of 3 gives [1, 2]";
    }
    return application ? elab_def(x->arena, module, application) : NULL;
}

/* ---- Values */
static void values_check(Example *x, const Unit *unit) {
    Samples *samples = samples_make(x->arena, unit, 1, 1); /* numbers of a run */
    Eval *first = samples_eval(x->arena, samples), *eval = samples_eval(x->arena, samples);
    const Program *init = unit_program(unit, "init"), *program = unit_program(unit, "eval");
    for (int i = 0; init && i < init->results.len; i++) {
        const Result *r = &init->results.at[i];
        if (r->kind == RESULT_NEXT) eval_set(eval, r->target, eval_node(first, r->node));
    }
    for (int i = 0; i < x->ninputs && i < unit->inputs.len; i++)
        eval_set(eval, unit->inputs.at[i], x->inputs[i].values);
    for (int i = 0; program && i < program->results.len; i++) {
        const Result *r = &program->results.at[i];
        if (!r->name || strcmp(r->name, "y") != 0) continue;
        if (eval_count(eval, r->node) != x->wanted.count) {
            x->fault =
                arena_printf(x->arena, "it gives %lld numbers", (long long)node_count(r->node));
            return;
        }
        const double *got = eval_node(eval, r->node);
        for (int64_t k = 0; k < x->wanted.count; k++) {
            double wanted = x->wanted.values[k];
            if (fabs(got[k] - wanted) <= 1e-6 * fmax(1e-6, fabs(wanted))) continue;
            x->fault = arena_printf(x->arena, "element %lld is %.10g", (long long)k, got[k]);
            return;
        }
        return;
    }
    x->fault = "it has no value in evaluation";
}

/* Values for the leaves as in a run; of the first example those that are written. */
static Samples *inputs_make(const Example *x) {
    enum { EXAMPLES = 5 };
    Samples *samples = samples_make(x->arena, x->unit, EXAMPLES, 1);
    for (int i = 0; i < x->ninputs && i < x->unit->inputs.len; i++) {
        Sample *s = samples_find(samples, x->unit->inputs.at[i]);
        if (s) memcpy(s->values, x->inputs[i].values, sizeof(double) * (size_t)x->inputs[i].count);
    }
    return samples;
}

/* Every result of every program is a number. */
static void numbers_check(Example *x, Eval *eval) {
    for (int p = 0; p < x->unit->programs.len && !x->fault; p++) {
        const Program *program = &x->unit->programs.at[p];
        for (int i = 0; i < program->results.len && !x->fault; i++) {
            const Result *r = &program->results.at[i];
            const double *values = eval_node(eval, r->node);
            bool infinite = !strcmp(program->name, "init"); /* a state may begin there */
            for (int64_t k = 0, n = eval_count(eval, r->node); k < n && !x->fault; k++)
                if (isnan(values[k]) || (isinf(values[k]) && !infinite))
                    x->fault = arena_printf(x->arena, "%s of %s is %g",
                                            r->name     ? r->name
                                            : r->target ? r->target->name
                                                        : "stop",
                                            program->name, values[k]);
        }
    }
}

static void gradient_check(const GradientReport *r, void *context) {
    Example *x = context;
    if (r->wrong && !x->fault)
        x->fault = arena_printf(x->arena, "gradient of %s: %.10g, by differences %.10g", r->path,
                                r->gradient, r->difference);
}

static void example_make(Example *x, const Module *module, const char *path) {
    int errors = diag_errors();
    Unit *unit = unit_make(x, module, path);
    if (!unit || diag_errors() > errors) {
        diag_flush();
        diag_reset(); /* the next example is not at fault */
        if (!x->fault) x->fault = "it is no program";
        return;
    }
    graph_verify(unit, 0);
    unit->config.batch = 22; /* more than the examples, and no multiple of the lanes */
    gradients_add(unit, !key_length(x->text));
    pass_run(unit, NULL, NULL, NULL);
    x->unit = unit;
}

static void compiled_say(const char *line, void *context) {
    Example *x = context;
    if (strstr(line, "WRONG")) x->fault = arena_printf(x->arena, "compiled: %s", line);
}

/* `native`: the example's code, or NULL where there is none. */
static void example_check(Example *x, Native *native) {
    if (x->valued) values_check(x, x->unit);
    Samples *samples = inputs_make(x);
    Eval *eval = samples_eval(x->arena, samples);
    if (!x->fault) numbers_check(x, eval);
    if (!x->fault && gradients_check(x->unit, 1, NULL, 1e7, gradient_check, x) == GRADIENTS_NO_LOSS)
        x->fault = "the loss is nan or infinite";
    Equal equal = {.arena = x->arena,
                   .unit = x->unit,
                   .samples = samples,
                   .eval = eval,
                   .native = native,
                   .strict = true,
                   .say = compiled_say,
                   .context = x};
    if (!x->fault && native && equal_check(&equal) && !x->fault)
        x->fault = "compiled: other programs";
    if (!native) x->fault = "the examples of the file cannot be compiled";
    eval_free(eval);
}

typedef VEC(Example *) ExampleList;

static void examples_find(Arena *arena, ExampleList *list, const Decl *decl) {
    for (const char *at = decl->doc; *at;) {
        size_t length = strcspn(at, "\n"), blank = strspn(at, " ");
        if (blank < length && !strncmp(at + blank, "Example: ", 9)) {
            Example *x = NEW(arena, Example);
            *x = (Example){.arena = arena, .def = decl->name ? decl->name : "training"};
            x->text = arena_copy(arena, at + blank + 9, length - blank - 9);
            VEC_PUSH(arena, *list, x);
        }
        at += length + (at[length] == '\n');
    }
}

void examples_run(const Module *module, const char *path, const Options *options,
                  ExampleReport *report, void *context) {
    Arena *arena = arena_new();
    ExampleList list = {0};
    Unit *first = NULL, **end = &first;
    for (int i = 0; i < module->decls.len; i++)
        if (module->decls.at[i]->at.file == module->file && module->decls.at[i]->doc)
            examples_find(arena, &list, module->decls.at[i]);
    for (int i = 0; i < list.len; i++) {
        example_make(list.at[i], module, path);
        if (!list.at[i]->unit) continue;
        *end = list.at[i]->unit;
        end = &list.at[i]->unit->next;
    }
    BackOptions how;
    Native native;
    bool built = first && options_back(options, arena, EMIT_LIB, &how);
    how.float_bytes = 8;
    if (!options->level) how.level = 0; /* the bits are those of every level */
    built = built && native_open(&native, arena, first, &how);
    if (first && !built) diag_flush();
    for (int i = 0; i < list.len; i++) {
        Example *x = list.at[i];
        if (x->unit) example_check(x, built ? &native : NULL);
        if (built && x->unit && x->unit->next) native_next(&native);
        report(x->def, x->text, x->fault, context);
    }
    if (built) native_close(&native);
    arena_free(arena);
}
