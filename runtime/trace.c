/* SPDX-License-Identifier: MIT
 * Where a number that is none came from: the step is done again by a program that stores every
 * value, and the way is followed back from the bad result to what first gave it from good ones.
 * Needs run.h. Changes nothing of the run. */
#include "run.h"
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

/* What a value holds. */
typedef struct Look {
    bool looked, met;
    int64_t nans, infinities;
    int64_t example, element; /* of the first bad one */
    double least, most;       /* of the good ones; most < least: none is good */
} Look;

typedef struct Tracer {
    Run *run;
    const GrModel *model;
    const Batch *batch;
    Run own; /* the run with the program's own memory, to read values by */
    Look *looks;
    int64_t live;
} Tracer;

static Look *look(Tracer *t, int trace) {
    Look *look = &t->looks[trace];
    const GrBuffer *buffer = &t->model->traces[trace].value;
    if (look->looked) return look;
    *look = (Look){.looked = true, .met = look->met, .least = INFINITY, .most = -INFINITY};
    for (int64_t i = 0; i < (buffer->per_example ? t->live : 1); i++)
        for (int64_t e = 0; e < buffer->count; e++) {
            double value = run_value(&t->own, buffer, i, e);
            if (isfinite(value)) {
                look->least = fmin(look->least, value);
                look->most = fmax(look->most, value);
                continue;
            }
            if (!look->nans && !look->infinities) look->example = i, look->element = e;
            if (isnan(value)) look->nans++;
            if (isinf(value)) look->infinities++;
        }
    return look;
}

/* A setting that was not given and a metric that nobody has measured yet are NaN by design. */
static bool is_bad(Tracer *t, int trace) {
    const GrTrace *row = &t->model->traces[trace];
    if (row->kind == GR_NUMBER && strchr(row->value.name, ':')) return false;
    return look(t, trace)->nans || look(t, trace)->infinities;
}

static double bad_value(Tracer *t, int trace) {
    const Look *seen = look(t, trace);
    return run_value(&t->own, &t->model->traces[trace].value, seen->example, seen->element);
}

static bool operands_good(Tracer *t, int trace) {
    const GrTrace *row = &t->model->traces[trace];
    for (int i = 0; i < row->noperands; i++)
        if (is_bad(t, row->operands[i])) return false;
    return true;
}

/* Has this part a bad number where its whole has one? They have their elements in common unless the
 * whole is a reduction. */
static bool part_bad_there(Tracer *t, int part, int whole) {
    const GrBuffer *own = &t->model->traces[part].value, *all = &t->model->traces[whole].value;
    const Look *seen = look(t, whole);
    if (own->count != all->count || all->per_example < own->per_example) return is_bad(t, part);
    return !isfinite(run_value(&t->own, own, own->per_example ? seen->example : 0, seen->element));
}

/* The first part of a value that is bad though what it is made of is good, or -1. */
static int bad_part(Tracer *t, int whole) {
    for (int i = 0; i < t->model->ntraces; i++)
        if (t->model->traces[i].part_of == whole && is_bad(t, i) && part_bad_there(t, i, whole) &&
            operands_good(t, i))
            return i;
    return -1;
}

/* An operand that is bad: no number rather than an infinity, which may be meant, where the value
 * itself is no number. */
static int bad_operand(Tracer *t, int trace) {
    const GrTrace *row = &t->model->traces[trace];
    bool nan = look(t, trace)->nans > 0;
    int best = -1;
    for (int i = 0; i < row->noperands; i++) {
        int operand = row->operands[i];
        if (t->looks[operand].met || !is_bad(t, operand)) continue;
        bool fits = nan ? look(t, operand)->nans > 0 : look(t, operand)->infinities > 0;
        bool fitted = best >= 0 && (nan ? look(t, best)->nans > 0 : look(t, best)->infinities > 0);
        if (best < 0 || (fits && !fitted) || (fits == fitted && operand < best)) best = operand;
    }
    return best;
}

static void note_examples(Tracer *t, int trace, Finding *finding) {
    const GrBuffer *buffer = &t->model->traces[trace].value;
    if (!buffer->per_example) return;
    finding->nexamples = finding->more = 0;
    for (int64_t i = 0; i < t->live; i++) {
        bool bad = false;
        for (int64_t e = 0; e < buffer->count && !bad; e++)
            bad = !isfinite(run_value(&t->own, buffer, i, e));
        if (!bad) continue;
        if (finding->nexamples < (int)(sizeof finding->examples / sizeof *finding->examples))
            finding->examples[finding->nexamples++] = t->batch->examples[i];
        else
            finding->more++;
    }
}

/* Back from a bad value to where it began; the examples are those of the last value on the way that
 * has any. */
static int origin_of(Tracer *t, int trace, Finding *finding) {
    for (;;) {
        t->looks[trace].met = true;
        note_examples(t, trace, finding);
        int part = bad_part(t, trace);
        int next = part < 0 ? bad_operand(t, trace) : part;
        if (next < 0) return trace;
        trace = next;
        if (part >= 0) {
            note_examples(t, trace, finding);
            return trace;
        }
    }
}

static const char *shown_name(const GrTrace *row) {
    return row->value.name ? row->value.name : row->kind == GR_PART ? "its operand" : NULL;
}

static size_t add(Finding *finding, size_t used, const char *format, ...) {
    va_list list;
    va_start(list, format);
    if (used < sizeof finding->ranges)
        used += (size_t)vsnprintf(finding->ranges + used, sizeof finding->ranges - used, format, list);
    va_end(list);
    return used;
}

static void note_ranges(Tracer *t, int trace, Finding *finding) {
    enum { MOST = 5 };
    const GrTrace *row = &t->model->traces[trace];
    const Look *seen = look(t, trace);
    size_t used = 0;
    for (int i = 0; i < row->noperands && i < MOST; i++) {
        const GrTrace *operand = &t->model->traces[row->operands[i]];
        const Look *its = look(t, row->operands[i]);
        const char *name = shown_name(operand);
        if (its->most < its->least) continue;
        used = add(finding, used, "%s", used ? "; " : "");
        if (name)
            used = add(finding, used, "%s%s%s", name[0] == 'i' ? "" : "`", name,
                       name[0] == 'i' ? "" : "`");
        else
            used = add(finding, used, "the `%s` of %s", operand->what,
                       operand->place ? operand->place : "the model");
        used = its->least == its->most ? add(finding, used, " is %.7g", its->least)
                                       : add(finding, used, " is in %.7g .. %.7g", its->least,
                                             its->most);
        if (its->least == its->most || operand->value.count != row->value.count ||
            operand->value.per_example > row->value.per_example)
            continue;
        used = add(finding, used, ", there %.7g",
                   run_value(&t->own, &operand->value,
                             operand->value.per_example ? seen->example : 0, seen->element));
    }
}

static int leaf_kind(const GrModel *model, const char *name) {
    for (int i = 0; i < model->nleaves; i++)
        if (!strcmp(model->leaves[i].buffer.name, name)) return model->leaves[i].kind;
    return -1;
}

/* A parameter that is so large that its steps must have been: its name and what made it new. */
static void note_grown(Tracer *t, Finding *finding) {
    enum { LARGE = 1000000 };
    double most = LARGE;
    for (int i = 0; i < t->model->ntraces; i++) {
        const GrTrace *row = &t->model->traces[i];
        if (row->kind != GR_KEPT_LEAF || leaf_kind(t->model, row->value.name) != GR_PARAM) continue;
        double size = fmax(fabs(look(t, i)->least), fabs(look(t, i)->most));
        if (!isfinite(size) || size <= most) continue;
        most = size;
        finding->grown = row;
    }
}

/* The trace of a result of the program, by its place; -1: a leaf that keeps its value. */
static int trace_at(const GrModel *model, const GrBuffer *result) {
    for (int i = 0; i < model->ntraces; i++)
        if (model->traces[i].kind == GR_MADE && model->traces[i].value.offset == result->offset)
            return i;
    return -1;
}

static void note_update(Tracer *t, const GrProgram *program, Finding *finding) {
    for (int r = 0; finding->grown && r < program->nresults; r++)
        if (!strcmp(program->results[r].name, finding->grown->value.name)) {
            int trace = trace_at(t->model, &program->results[r]);
            if (trace >= 0) finding->update = &t->model->traces[trace];
        }
}

static bool may_be_bad(const GrModel *model, const char *result) {
    int kind = leaf_kind(model, result);
    return kind >= 0 ? kind != GR_STATE && !strchr(result, ':') : !strcmp(result, "loss");
}

/* The loss first, then new leaves in their order. */
static int bad_result(Tracer *t, const GrProgram *program, Finding *finding) {
    for (int loss = 1; loss >= 0; loss--)
        for (int r = 0; r < program->nresults; r++) {
            const char *name = program->results[r].name;
            int trace = trace_at(t->model, &program->results[r]);
            if (trace < 0 || (strcmp(name, "loss") == 0) != loss || !may_be_bad(t->model, name) ||
                !is_bad(t, trace))
                continue;
            finding->result = name;
            finding->value = bad_value(t, trace);
            return trace;
        }
    return -1;
}

static void follow_back(Tracer *t, const GrProgram *program, Finding *finding) {
    int trace = bad_result(t, program, finding);
    if (trace < 0) return;
    trace = origin_of(t, trace, finding);
    finding->trace = &t->model->traces[trace];
    finding->bad = bad_value(t, trace);
    finding->element = look(t, trace)->element;
    note_ranges(t, trace, finding);
    note_grown(t, finding);
    note_update(t, program, finding);
}

/* Leaves, seed and numbers of the run lie in front of what programs make. */
static int64_t front_bytes(const GrModel *model) {
    int64_t end = model->persistent;
    if (model->seed_offset + 8 > end) end = model->seed_offset + 8;
    for (int i = 0; i < model->nhypers; i++)
        if (model->hypers[i].offset + 8 > end) end = model->hypers[i].offset + 8;
    return end;
}

void trace_step(Run *run, const Batch *batch, const Data *data, Finding *finding) {
    const GrModel *model = run->model;
    const GrProgram *program = run_program(run, GR_TRACE);
    *finding = (Finding){.result = "loss", .value = (double)NAN};
    char *mem = program ? team_memory(model->trace_memory) : NULL; /* the process ends soon */
    if (!mem) return;
    memcpy(mem, run->mem, (size_t)front_bytes(model));
    Tracer t = {.run = run, .model = model, .batch = batch, .own = *run, .live = batch->live};
    t.own.mem = mem;
    t.looks = io_alloc((size_t)model->ntraces, sizeof *t.looks);
    Batch own;
    Fault ignored = {0};
    if (batch_bind(&own, model, program, mem, data, &ignored)) {
        own.live = batch->live;
        own.examples = batch->examples;
        own.presented = batch->presented;
        own.again = batch->again;
        batch_run(&own, run->team);
        follow_back(&t, program, finding);
    }
    batch_free(&own);
    free(t.looks);
}

/* ---- Telling */
const char *bad_text(double value) {
    return isnan(value) ? "nan" : value > 0 ? "inf" : "-inf";
}

static void tell_place(const GrTrace *row) {
    if (row->use) fprintf(stderr, "%s: used here\n", row->use);
    if (row->line && *row->line) fprintf(stderr, "    %s\n", row->line);
}

static void tell_examples(const Finding *finding) {
    if (!finding->nexamples) return;
    fprintf(stderr, "  example number%s", finding->nexamples > 1 ? "s" : "");
    for (int i = 0; i < finding->nexamples; i++)
        fprintf(stderr, "%s %lld", i ? "," : "", (long long)finding->examples[i]);
    if (finding->more) fprintf(stderr, " and %d more", finding->more);
    fputc('\n', stderr);
}

static void tell_origin(const Finding *finding, const Data *data) {
    const GrTrace *row = finding->trace;
    const char *name = row->value.name, *place = row->place ? row->place : "here";
    if (row->kind == GR_DATUM) {
        fprintf(stderr, "%s: row %lld: `%s` holds %s, element %lld\n", data->file,
                finding->nexamples ? (long long)finding->examples[0] + 1 : 0, name,
                bad_text(finding->bad), (long long)finding->element);
        return;
    }
    if (row->kind == GR_KEPT_LEAF || row->kind == GR_NUMBER) {
        fprintf(stderr, "%s: `%s` was %s before this step\n", place, name, bad_text(finding->bad));
        tell_place(row);
        return;
    }
    fprintf(stderr, "%s: ", place);
    if (*row->what) fprintf(stderr, "`%s` gave ", row->what);
    fprintf(stderr, "%s%s", *row->what ? "" : "this gave ", bad_text(finding->bad));
    if (row->gradient) fputs(" in the gradient of this", stderr);
    if (name) fprintf(stderr, ", `%s`", name);
    if (row->path) fprintf(stderr, ", in layer `%s`", row->path);
    fputc('\n', stderr);
    tell_place(row);
    if (*finding->ranges) fprintf(stderr, "  made of: %s\n", finding->ranges);
}

void trace_tell(const Run *run, const Finding *finding, const char *when, const Data *data) {
    Fault told;
    bool loss = !strcmp(finding->result, "loss");
    fault_set(&told, GR_DIVERGED, "training diverged %s: the %s%s%s is %s [E0751]", when,
              loss ? "loss" : "new value of `", loss ? "" : finding->result, loss ? "" : "`",
              bad_text(finding->value));
    complain(&told);
    if (finding->trace) {
        tell_origin(finding, data);
        tell_examples(finding);
    }
    const GrTrace *grown = finding->grown;
    if (!grown && finding->trace) return;
    if (grown) {
        fprintf(stderr, "`%s` had grown very large: steps are too long", grown->value.name);
        if (finding->update)
            fprintf(stderr, ", made at %s",
                    finding->update->use ? finding->update->use : finding->update->place);
        fputs(". ", stderr);
    }
    const char *rate = NULL;
    for (int i = 0; i < run->model->nhypers && !rate; i++)
        if (!strncmp(run->model->hypers[i].name, "set:", 4) && strstr(run->model->hypers[i].name, "lr"))
            rate = run->model->hypers[i].name + 4;
    fprintf(stderr, "Try a smaller learning rate%s%s%s, clipped gradients or another initialization\n",
            rate ? " (--set " : "", rate ? rate : "", rate ? "=...)" : "");
}

void trace_leaf(const Run *run, const GrLeaf *leaf, const Data *data) {
    const GrTrace *row = NULL;
    for (int i = 0; i < run->model->ntraces; i++)
        if (run->model->traces[i].kind == GR_KEPT_LEAF &&
            !strcmp(run->model->traces[i].value.name, leaf->buffer.name))
            row = &run->model->traces[i];
    Fault told;
    fault_set(&told, GR_DIVERGED, "training cannot start: `%s` holds a number that is none [E0751]",
              leaf->buffer.name);
    complain(&told);
    if (row && row->place) fprintf(stderr, "%s: made here\n", row->place);
    if (row) tell_place(row);
    if (leaf->kind == GR_FITTED)
        fprintf(stderr, "it is fitted to the data: look at %s\n", data->file);
    else
        fputs("look at its initial value, or at the weights that training starts from\n", stderr);
}
