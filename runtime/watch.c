/* SPDX-License-Identifier: MIT
 * What --watch shows of training: the program that does a step and gives numbers of it as well, run
 * in place of the plain one. Needs run.h. Without --watch it does nothing. */
#include "run.h"
#include "json.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

static bool is_flag(const Watch *watch, int i) {
    return !strncmp(watch->column[i]->name, "flag:", 5);
}

static const char *column_name(const Watch *watch, int i) {
    return watch->column[i]->name + (is_flag(watch, i) ? 5 : 6);
}

/* Numbers of a column, as nested lists: of each example, where it is per example. */
static int64_t column_size(const GrBuffer *column, int64_t live) {
    return column->count * (column->per_example ? live : 1);
}

static bool is_tensor(const GrBuffer *column) {
    return column->rank > 0 || column->per_example;
}

static void put_value(FILE *file, double value, int bytes) {
    char text[NUMBER_TEXT];
    fputs(isfinite(value) ? number_text(value, bytes, text) : "null", file);
}

static const double *put_rows(FILE *file, const GrBuffer *column, int dim, int64_t live,
                              const double *at) {
    if (dim == column->rank) {
        put_value(file, *at, column->bytes);
        return at + 1;
    }
    int64_t n = dim < 0 ? live : column->extent[dim];
    for (int64_t i = 0; i < n; i++) {
        fputc(i ? ',' : '[', file);
        at = put_rows(file, column, dim + 1, live, at);
    }
    fputc(']', file);
    return at;
}

static bool bad_way(const char *how, Fault *fault) {
    static const char *const ways[] = {"step", "epoch"};
    const char *near = text_nearest(how, ways, 2);
    return fault_set(fault, GR_USAGE,
                     "--watch is at every step, =epoch at the last of each, or =N at step N alone, "
                     "not '%s'%s%s%s", how,
                     near ? "; did you mean '" : "", near ? near : "", near ? "'?" : "");
}

bool watch_open(Watch *watch, Run *run, const Data *data, Fault *fault) {
    const Options *options = run->options;
    const char *how = options->watch_how ? options->watch_how : "step";
    *watch = (Watch){.run = run, .epochs = !strcmp(how, "epoch")};
    if (!options->watch) return true;
    char *end = NULL;
    watch->only = strtoll(how, &end, 10);
    if (watch->only < 1 || *end) watch->only = 0;
    if (!watch->epochs && !watch->only && strcmp(how, "step")) return bad_way(how, fault);
    watch->program = run_program(run, GR_WATCH);
    if (!watch->program)
        return fault_set(fault, GR_USAGE,
                         "there is nothing to watch: add a key `watch = ...` to the training in %s",
                         run->model->source_path);
    watch->loss = run_result(watch->program, "loss");
    watch->each_loss = run_result(watch->program, "example.loss");
    const GrProgram *programs[] = {watch->program, run_program(run, GR_EPOCH)};
    size_t most = (size_t)watch->program->nresults;
    if (programs[1]) most += (size_t)programs[1]->nresults;
    watch->column = io_alloc(most, sizeof *watch->column);
    watch->value = io_alloc(most, sizeof *watch->value);
    watch->tensor = io_alloc(most, sizeof *watch->tensor);
    watch->told = io_alloc(most, sizeof *watch->told);
    for (int p = 0; p < 2 && programs[p]; p++) {
        for (int i = 0; i < programs[p]->nresults; i++) {
            const GrBuffer *result = &programs[p]->results[i];
            if (strncmp(result->name, "watch:", 6) && strncmp(result->name, "flag:", 5)) continue;
            watch->told[watch->columns] = false;
            if (is_tensor(result))
                watch->tensor[watch->columns] = io_alloc(
                    (size_t)column_size(result, programs[p]->batch), sizeof **watch->tensor);
            watch->column[watch->columns++] = result;
        }
        if (!p) watch->steps = watch->columns;
    }
    return batch_bind(&watch->batch, run->model, watch->program, run->mem, data, fault);
}

void watch_close(Watch *watch) {
    if (!watch->program) return;
    batch_free(&watch->batch);
    free(watch->column);
    free(watch->value);
    for (int i = 0; i < watch->columns; i++)
        free(watch->tensor[i]);
    free(watch->tensor);
    free(watch->told);
}

bool watch_step(Watch *watch, const Batch *batch, int64_t step, bool last) {
    watch->fresh = watch->program && (watch->only ? step == watch->only : last || !watch->epochs);
    if (!watch->fresh) return false;
    watch->batch.live = batch->live;
    watch->batch.examples = batch->examples;
    watch->batch.presented = batch->presented;
    watch->batch.again = batch->again;
    batch_run(&watch->batch, watch->run->team);
    /* Copied at once: an evaluation uses the same memory. */
    for (int i = 0; i < watch->steps; i++) {
        const GrBuffer *column = watch->column[i];
        if (!watch->tensor[i]) watch->value[i] = run_value(watch->run, column, 0, 0);
        for (int64_t k = 0; watch->tensor[i] && k < column_size(column, batch->live); k++)
            watch->tensor[i][k] =
                run_value(watch->run, column, k / column->count, k % column->count);
    }
    for (int i = watch->steps; i < watch->columns; i++) /* not known before the evaluation */
        watch->value[i] = 0;
    watch->seen = true;
    return true;
}

void watch_flags(Watch *watch, int64_t step, Bar *bar) {
    if (!watch->fresh || watch->run->options->quiet) return;
    for (int i = 0; i < watch->columns; i++) {
        if (!is_flag(watch, i) || watch->told[i] || watch->value[i] == 0) continue;
        const char *name = column_name(watch, i), *dot = strchr(name, '.');
        watch->told[i] = true;
        bar_clear(bar);
        warn("step %lld: %.*s%s%s", (long long)step, (int)strcspn(name, "."), name,
             dot ? " in " : "", dot ? dot + 1 : "");
    }
}

void watch_evaluation(Watch *watch, int64_t step, Bar *bar) {
    for (int i = watch->steps; i < watch->columns; i++)
        watch->value[i] = run_value(watch->run, watch->column[i], 0, 0);
    watch_flags(watch, step, bar);
}

void watch_log(const Watch *watch, FILE *file, bool epoch) {
    int columns = watch ? epoch ? watch->columns : watch->steps : 0;
    if (!columns || !watch->seen) return;
    fputs(",\"watch\":{", file);
    for (int i = 0, n = 0; i < columns; i++) {
        const GrBuffer *column = watch->column[i];
        if (watch->tensor[i] && epoch) continue; /* its step has it */
        if (n++) fputc(',', file);
        json_quote(file, column_name(watch, i));
        fputc(':', file);
        if (watch->tensor[i])
            put_rows(file, column, column->per_example ? -1 : 0, watch->batch.live,
                     watch->tensor[i]);
        else
            put_value(file, watch->value[i], column->bytes);
    }
    fputc('}', file);
}

void watch_tell(const Watch *watch) {
    enum { WIDTH = 100 };
    if (!watch->seen) return;
    int used = printf("  watch");
    for (int i = 0; i < watch->columns; i++) {
        char text[256];
        if (watch->tensor[i] || (is_flag(watch, i) && watch->value[i] == 0)) continue;
        int size = snprintf(text, sizeof text, "  %s %.4g", column_name(watch, i), watch->value[i]);
        if (used + size > WIDTH) used = printf("\n       ") - 1;
        used += size;
        fputs(text, stdout);
    }
    putchar('\n');
    fflush(stdout);
}
