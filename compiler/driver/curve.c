/* SPDX-License-Identifier: MIT
 * Curves: what a training measured at each step, recorded as text and compared to the last bit.
 * Needs the runtime's JSON reader for logs. Trains nothing: session.c does.
 *
 * The file: a line "gradus curve 1", lines of what was run, then "step N loss HEX DECIMAL" and
 * below it "  NAME HEX DECIMAL" for the norms of that step; "epoch N at STEP" and metrics below it.
 */
#include "test.h"
#include "json.h"
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { NUMBERS = 500 }; /* about so many in a recorded curve, and one a step */
static const char mark[] = "gradus curve 1";
/* In the order in which a step makes them; "layer" is any other name but the loss. */
static const char weights_of[] = "weights.", gradient_of[] = "gradient.";

static int rank_of(const char *name) {
    if (!strncmp(name, weights_of, strlen(weights_of))) return 0;
    if (!strcmp(name, "loss")) return 2;
    return strncmp(name, gradient_of, strlen(gradient_of)) ? 1 : 3;
}

static void add_point(Arena *arena, CurveStep *step, const char *name, double value) {
    VEC_PUSH(arena, step->points, ((CurvePoint){name, value}));
    for (int i = step->points.len - 1; i > 0; i--) { /* by rank, else as they come */
        CurvePoint *p = &step->points.at[i];
        if (rank_of(p[-1].name) <= rank_of(p->name)) break;
        CurvePoint swap = p[-1];
        p[-1] = *p;
        *p = swap;
    }
}

static CurveStep *add_step(Arena *arena, Curve *curve, int64_t step, bool epoch) {
    VEC_PUSH(arena, curve->steps, ((CurveStep){.step = step, .epoch = epoch}));
    return &curve->steps.at[curve->steps.len - 1];
}

/* ---- Logs */
/* What tests measure, beside what the file's own key `watch` names. */
static const char curve_prefix[] = "curve ";
static const char *const curve_defs[] = {"weights", "layer", "gradient"};
static const char watch_text[] =
    "def weights(w[d...], g[d...]) = sqrt(sum[d...] w[d...]^2)\n"
    "def layer(y[d...]) = sqrt(mean[batch] m)   where m = mean[d...] y[d...]^2\n"
    "def gradient(w[d...], g[d...]) = sqrt(sum[d...] g[d...]^2)\n"
    "train m {\n  watch = weights, layer, gradient\n}\n";

/* What is asked for where two runs are done again: one tensor as a whole. */
static const char element_text[] = "def weights(w[d...], g[d...]) = if step > 0 then w else g\n"
                                   "def layer(y[d...]) = y\n"
                                   "def gradient(w[d...], g[d...]) = g\n"
                                   "train m {\n  watch = %.*s on %s\n}\n";

static void add_watch(Arena *arena, Decl *train, const Stmt *key) {
    for (int i = 0; i < train->body.len; i++) {
        Stmt *own = train->body.at[i];
        if (own->targets.at[0].name != key->targets.at[0].name) continue;
        Expr *all = NEW(arena, Expr);
        *all = *key->value;
        all->args = (ArgList){0};
        if (own->value->kind != EXPR_TUPLE)
            VEC_PUSH(arena, all->args, ((Arg){.value = own->value, .at = own->value->at}));
        for (int k = 0; own->value->kind == EXPR_TUPLE && k < own->value->args.len; k++)
            VEC_PUSH(arena, all->args, own->value->args.at[k]);
        for (int k = 0; k < key->value->args.len; k++)
            VEC_PUSH(arena, all->args, key->value->args.at[k]);
        own->value = all;
        return;
    }
    VEC_PUSH(arena, train->body, (Stmt *)(uintptr_t)key);
}

static void own_name(Expr *def) {
    def->name = name_printf("%s%s", curve_prefix, def->name);
}

/* Names that no file can have. */
static const Stmt *parse_watch(Module *module, const char *text) {
    VEC(Decl *) decls = {0};
    uint32_t file = source_add("curve", text, strlen(text), true);
    parse_text(module->arena, file, &decls);
    const Stmt *key = decls.at[decls.len - 1]->body.at[0];
    for (int i = 0; i + 1 < decls.len; i++) {
        decls.at[i]->name = name_printf("%s%s", curve_prefix, curve_defs[i]);
        map_put(&module->defs, decls.at[i]->name, decls.at[i]);
    }
    if (key->value->kind == EXPR_ON) own_name(key->value->a);
    for (int i = 0; i < key->value->args.len; i++)
        own_name(key->value->args.at[i].value);
    return key;
}

void curve_watch(Module *module) {
    const Stmt *key = parse_watch(module, watch_text);
    for (int i = 0; i < module->trains.len; i++)
        add_watch(module->arena, module->trains.at[i], key);
}

void curve_watch_elements(Module *module, const char *training, const char *name) {
    int kind = (int)strcspn(name, ".");
    const char *text = arena_printf(module->arena, element_text, kind, name, name + kind + 1);
    const Stmt *key = parse_watch(module, text);
    for (int i = 0; i < module->trains.len; i++) {
        Decl *train = module->trains.at[i];
        if (training && train->name != name_of(training)) continue;
        Stmt *own = NULL;
        for (int k = 0; k < train->body.len; k++)
            if (train->body.at[k]->targets.at[0].name == key->targets.at[0].name)
                own = train->body.at[k];
        if (own)
            own->value = key->value;
        else
            VEC_PUSH(module->arena, train->body, (Stmt *)(uintptr_t)key);
    }
}

/* As the run had it: a float's shortest text is another double. */
static double number_of(const Curve *curve, const Json *json) {
    if (json->kind != JSON_NUMBER) return NAN;
    return curve->float_bytes == 4 ? (double)(float)json->number : json->number;
}

static const char *text_of(Arena *arena, const Json *record, const char *name) {
    const Json *json = json_member(record, name);
    return json && json->kind == JSON_STRING ? arena_copy(arena, json->text, strlen(json->text))
                                             : "?";
}

static int64_t whole_of(const Json *record, const char *name) {
    const Json *json = json_member(record, name);
    int64_t value = 0;
    return json && json_whole(json, &value) ? value : 0;
}

/* A tensor has a point for each element: "layer.relu1[2,7]". */
static void add_values(Arena *arena, const Curve *curve, CurveStep *step, const char *name,
                       const Json *json) {
    int length = (int)strlen(name), more = name[length - 1] == ']';
    if (json->kind != JSON_ARRAY) add_point(arena, step, name, number_of(curve, json));
    for (int i = 0; json->kind == JSON_ARRAY && i < json->count; i++)
        add_values(arena, curve, step,
                   arena_printf(arena, more ? "%.*s,%d]" : "%.*s[%d]", length - more, name, i),
                   &json->items[i]);
}

static void take_step(Arena *arena, Curve *curve, const Json *record) {
    CurveStep *step = add_step(arena, curve, whole_of(record, "step"), false);
    const Json *loss = json_member(record, "loss"), *watch = json_member(record, "watch");
    add_point(arena, step, "loss", loss ? number_of(curve, loss) : (double)NAN);
    for (int i = 0; watch && i < watch->count; i++) {
        const char *name = watch->names[i];
        if (!strncmp(name, curve_prefix, strlen(curve_prefix))) name += strlen(curve_prefix);
        add_values(arena, curve, step, arena_copy(arena, name, strlen(name)), &watch->items[i]);
    }
}

static void take_epoch(Arena *arena, Curve *curve, const Json *record) {
    static const char *const sets[] = {"train", "validation", "test"};
    CurveStep *step = add_step(arena, curve, whole_of(record, "step"), true);
    for (int s = 0; s < LENGTH(sets); s++) {
        const Json *numbers = json_member(record, sets[s]);
        for (int i = 0; numbers && i < numbers->count; i++)
            if (numbers->items[i].kind != JSON_ARRAY)
                add_point(arena, step, arena_printf(arena, "%s.%s", sets[s], numbers->names[i]),
                          numbers->items[i].kind == JSON_NUMBER ? numbers->items[i].number
                                                                : (double)NAN);
    }
}

static bool take_record(Arena *arena, Curve *curve, const char *line) {
    Json record;
    Fault fault;
    if (!json_read(line, strlen(line), &record, &fault)) return false;
    const char *type = text_of(arena, &record, "type");
    if (!strcmp(type, "header") && !curve->steps.len) {
        const char *version = text_of(arena, &record, "version");
        curve->model = text_of(arena, &record, "model");
        curve->model_hash = text_of(arena, &record, "model_hash");
        curve->data_hash = text_of(arena, &record, "data_hash");
        curve->language = strncmp(version, "gradus ", 7)
                              ? version
                              : arena_copy(arena, version + 7, strcspn(version + 7, " "));
        curve->seed = (uint64_t)whole_of(&record, "seed");
        curve->float_bytes = (int)whole_of(&record, "float_bytes");
    } else if (!strcmp(type, "step")) {
        take_step(arena, curve, &record);
    } else if (!strcmp(type, "epoch")) {
        take_epoch(arena, curve, &record);
    }
    json_free(&record);
    return true;
}

/* ---- Recorded curves */
static bool number_read(const char *text, double *value) {
    char *end;
    *value = strtod(text, &end);
    return end > text && !*end;
}

/* Each number stands there twice, to the bit and to be read: a file that was damaged or changed by
 * hand disagrees with itself. */
static bool take_value(Arena *arena, const Curve *curve, CurveStep *step, const char *name,
                       const char *exact, const char *decimal) {
    double value, other;
    if (!number_read(exact, &value) || !number_read(decimal, &other)) return false;
    if (curve->float_bytes == 4 && !step->epoch) other = (double)(float)other;
    if (value != other && !(isnan(value) && isnan(other))) return false;
    add_point(arena, step, arena_copy(arena, name, strlen(name)), value);
    return true;
}

static bool take_line(Arena *arena, Curve *curve, const char *line) {
    long long number, at;
    char name[400], exact[80], other[80], rest;
    if (sscanf(line, "language %79s", other) == 1)
        curve->language = arena_copy(arena, other, strlen(other));
    else if (sscanf(line, "model %399s %79s", name, other) == 2) {
        curve->model = arena_copy(arena, name, strlen(name));
        curve->model_hash = arena_copy(arena, other, strlen(other));
    } else if (sscanf(line, "data %79s", other) == 1)
        curve->data_hash = arena_copy(arena, other, strlen(other));
    else if (sscanf(line, "seed %" SCNu64 " %c", &curve->seed, &rest) == 1)
        return true;
    else if (sscanf(line, "float %lld %c", &number, &rest) == 1)
        curve->float_bytes = (int)number / 8;
    else if (sscanf(line, "step %lld loss %79s %79s %c", &number, exact, other, &rest) == 3)
        return take_value(arena, curve, add_step(arena, curve, number, false), "loss", exact,
                          other);
    else if (sscanf(line, "epoch %lld at %lld %c", &number, &at, &rest) == 2)
        add_step(arena, curve, at, true);
    else if (sscanf(line, "  %399s %79s %79s %c", name, exact, other, &rest) == 3)
        return curve->steps.len &&
               take_value(arena, curve, &curve->steps.at[curve->steps.len - 1], name, exact, other);
    else
        return false;
    return true;
}

Curve *curve_read(Arena *arena, const char *path, const char **fault) {
    Curve *curve = NEW(arena, Curve);
    *curve = (Curve){.path = path,
                     .name = path,
                     .model = "?",
                     .model_hash = "?",
                     .data_hash = "?",
                     .language = "?"};
    FILE *file = fopen(path, "r");
    char *line = NULL;
    size_t room = 0;
    bool recorded = false;
    *fault = file ? NULL : arena_printf(arena, "%s: %s", path, strerror(errno));
    for (int number = 1; file && !*fault && getline(&line, &room, file) > 0; number++) {
        line[strcspn(line, "\n")] = '\0';
        if (number == 1 && (recorded = !strcmp(line, mark))) continue;
        bool fine = recorded ? take_line(arena, curve, line) : take_record(arena, curve, line);
        if (!fine)
            *fault = arena_printf(arena, "%s:%d: this is no line of a %s", path, number,
                                  number == 1 ? "curve or log"
                                  : recorded  ? "curve, or the two forms of its number differ"
                                              : "log");
    }
    if (file && ferror(file) && !*fault)
        *fault = arena_printf(arena, "%s: %s", path, strerror(errno));
    if (file) fclose(file);
    free(line);
    if (!*fault && !curve->steps.len) *fault = arena_printf(arena, "%s: holds no step", path);
    return *fault ? NULL : curve;
}

static void put_value(FILE *file, const Curve *curve, const CurvePoint *p, bool metric) {
    char text[NUMBER_TEXT];
    double exact = isnan(p->value) ? (double)NAN : p->value; /* its sign is the processor's */
    fprintf(file, " %a %s\n", exact, number_text(exact, metric ? 8 : curve->float_bytes, text));
}

bool curve_write(Arena *arena, const Curve *curve, const char *path, bool all) {
    FILE *file = output_open(arena, path);
    int64_t epoch = 0;
    if (!file) return false;
    fprintf(file, "%s\nlanguage %s\nmodel %s %s\ndata %s\nseed %" PRIu64 "\nfloat %d\n", mark,
            curve->language, curve->model, curve->model_hash, curve->data_hash, curve->seed,
            8 * curve->float_bytes);
    int64_t numbers = 0, every; /* norms of so many steps that the file stays small */
    for (int i = 0; i < curve->steps.len; i++)
        numbers += curve->steps.at[i].points.len;
    every = all ? 1 : 1 + numbers / NUMBERS;
    for (int i = 0; i < curve->steps.len; i++) {
        const CurveStep *s = &curve->steps.at[i];
        bool norms = s->epoch || s->step <= 10 || s->step % every == 0;
        if (s->epoch) fprintf(file, "epoch %" PRId64 " at %" PRId64 "\n", ++epoch, s->step);
        for (int k = 0; !s->epoch && k < s->points.len; k++)
            if (!strcmp(s->points.at[k].name, "loss")) {
                fprintf(file, "step %" PRId64 " loss", s->step);
                put_value(file, curve, &s->points.at[k], false);
            }
        for (int k = 0; norms && k < s->points.len; k++)
            if (strcmp(s->points.at[k].name, "loss")) {
                fprintf(file, "  %s", s->points.at[k].name);
                put_value(file, curve, &s->points.at[k], s->epoch);
            }
    }
    return output_close(file, path);
}
