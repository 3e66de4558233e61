/* SPDX-License-Identifier: MIT
 * Two curves compared to the last bit: where they first differ, in what, and by how much; `gradus diff`.
 * Needs curve.c. Trains nothing: again.c does. */
#include "test.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

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
        step->epoch || !strcmp(name, "loss") || strchr(name, '[') ? "" : " (norm)", c->a->name, a,
        a, c->b->name, b, b, b - a, size > 0 ? fabs(b - a) / size : 0);
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

void curve_elements(Arena *arena, const Curve *a, const Curve *b, const CurvePlace *place,
                    CurveSay *say_line, void *context) {
    const Compare c = {arena, a, b, say_line, context, NULL};
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
        say(&c, "  its elements cannot be had from both runs");
    } else if (!different) {
        say(&c, "  its %d elements are equal: the norm was summed in another way", all);
    } else {
        say(&c, "  %d of its %d elements differ%s, the first:", different, all,
            strncmp(place->name, "layer.", 6) ? "" : " ([example of the batch, ...])");
        say_values(&c, s, s->points.at[first].name, s->points.at[first].value,
                   t->points.at[first].value);
    }
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
