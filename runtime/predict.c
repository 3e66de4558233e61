/* SPDX-License-Identifier: MIT
 * The verbs eval and predict: saved weights applied to sets and files. Needs run.h.
 * Writes CSV (RFC 4180); numbers in the shortest form that reads back the same. */
#include "run.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const char *weights_path(const Run *run) {
    return run->options->weights ? run->options->weights : run->best_path;
}

static bool load_weights(Run *run, Fault *fault) {
    const char *path = weights_path(run);
    if (!io_exists(path))
        return fault_set(fault, GR_BAD_DATA,
                         "%s: there are no weights yet: run `train` first, or name a file with "
                         "--weights=FILE",
                         path);
    return checkpoint_load(run, path, fault);
}

static bool evaluate_all(Run *run, Fault *fault) {
    const char *only = run->options->set_name;
    Metrics metrics = {.count = 0};
    if (!load_weights(run, fault) || !run_read_data(run, only, fault)) return false;
    if (only && !run_set(run, only))
        return fault_set(fault, GR_USAGE, "there is no set '%s'", only);
    for (int i = 0; i < run->model->nsets; i++) {
        const Set *set = &run->sets[i];
        if (!set->count || (only && strcmp(set->name, only) != 0)) continue;
        if (!evaluate(run, set, &metrics, fault)) return false;
        metrics_print(stdout, &metrics, set->name);
        putchar('\n');
    }
    return true;
}

int verb_eval(Run *run) {
    Fault fault = {0};
    if (evaluate_all(run, &fault)) return GR_OK;
    complain(&fault);
    return fault.code;
}

/* ---- predict */

/* An output as it is printed: a class with its probabilities, or values. */
typedef struct Column {
    const char *name;
    const GrBuffer *value, *chances; /* chances: NAME.p, or NULL */
    bool is_class;
} Column;

static bool target_is_class(const GrModel *model, const char *output) {
    size_t size = strlen(output);
    for (int p = 0; p < model->nprograms; p++)
        for (int i = 0; i < model->programs[p].ninputs; i++) {
            const GrBuffer *buffer = &model->programs[p].inputs[i];
            if (buffer->classes && !strncmp(buffer->name, output, size) &&
                !strcmp(buffer->name + size, ".target"))
                return true;
        }
    return false;
}

static Column *find_columns(const GrModel *model, const GrProgram *program, int *count) {
    Column *columns = io_alloc((size_t)model->noutputs, sizeof *columns);
    *count = 0;
    for (int i = 0; i < model->noutputs; i++) {
        char *name = io_format("%s.p", model->outputs[i]);
        Column column = {.name = model->outputs[i],
                         .value = run_result(program, model->outputs[i]),
                         .chances = run_result(program, name)};
        free(name);
        column.is_class = column.chances || target_is_class(model, column.name);
        if (!column.value) column.value = column.chances;
        if (column.value) columns[(*count)++] = column;
    }
    return columns;
}

/* A name as a CSV field. */
static void put_name(FILE *out, const char *name) {
    bool quote = strpbrk(name, ",\"\r\n") != NULL;
    if (quote) fputc('"', out);
    for (; *name; name++) {
        if (*name == '"') fputc('"', out);
        fputc(*name, out);
    }
    if (quote) fputc('"', out);
}

static void put_header(FILE *out, const Column *columns, int count) {
    fputs("example", out);
    for (int i = 0; i < count; i++) {
        const Column *column = &columns[i];
        const GrBuffer *many = column->is_class ? column->chances : column->value;
        if (column->is_class || many->count == 1) {
            fputc(',', out);
            put_name(out, column->name);
        }
        for (int64_t e = 0; many && (column->is_class || many->count > 1) && e < many->count; e++) {
            fputc(',', out);
            if (!column->is_class || count > 1) put_name(out, column->name);
            fprintf(out, "%s%lld", !column->is_class ? "" : count > 1 ? ".p" : "p", (long long)e);
        }
    }
    fputc('\n', out);
}

static void put_row(FILE *out, const Run *run, const Column *columns, int count, int64_t lane,
                    uint32_t example) {
    char text[NUMBER_TEXT];
    fprintf(out, "%u", example);
    for (int i = 0; i < count; i++) {
        const Column *column = &columns[i];
        const GrBuffer *many = column->is_class ? column->chances : column->value;
        if (column->is_class) {
            const GrBuffer *from = column->chances ? column->chances : column->value;
            int64_t first = 0; /* of equals, the first */
            for (int64_t e = 1; e < from->count; e++)
                if (run_value(run, from, lane, e) > run_value(run, from, lane, first)) first = e;
            fprintf(out, ",%lld", (long long)first);
        }
        for (int64_t e = 0; many && e < many->count; e++)
            fprintf(out, ",%s", number_text(run_value(run, many, lane, e), many->bytes, text));
    }
    fputc('\n', out);
}

static bool predict_set(Run *run, const Set *set, FILE *out, Fault *fault) {
    const GrProgram *program = run_program(run, GR_PREDICT);
    Batch batch = {0};
    int count = 0;
    if (!program)
        return fault_set(fault, GR_FAILED, "model '%s' predicts nothing", run->model->name);
    if (!batch_bind(&batch, run->model, program, run->mem, set->data, fault)) return false;
    Column *columns = find_columns(run->model, program, &count);
    put_header(out, columns, count);
    for (int64_t from = 0; from < set->count && !ferror(out); from += batch.live) {
        batch.live = set->count - from < program->batch ? set->count - from : program->batch;
        batch.examples = set->examples + from;
        run_hyper(run, "count", (double)batch.live);
        batch_run(&batch, run->team);
        for (int64_t i = 0; i < batch.live; i++)
            put_row(out, run, columns, count, i, set->examples[from + i]);
    }
    free(columns);
    batch_free(&batch);
    return true;
}

/* What to predict: a file, a set by name, or the first there is of test, validation, train. */
static bool choose_examples(Run *run, Set *set, Fault *fault) {
    static const char *const order[] = {"test", "validation", "train"};
    const Options *options = run->options;
    const GrModel *model = run->model;
    if (options->input) {
        Data *data = io_alloc(1, sizeof *data);
        if (!data_open_file(options->input, model->nsources ? &model->sources[0] : NULL, data,
                            fault))
            return false;
        *set = (Set){.name = "input", .data = data, .count = data->count};
        set->examples = io_alloc((size_t)set->count, sizeof *set->examples);
        for (int64_t i = 0; i < set->count; i++)
            set->examples[i] = (uint32_t)i;
        return true;
    }
    const char *name = options->set_name;
    for (int o = 0; o < 3 && !name; o++)
        for (int i = 0; i < model->nsets; i++)
            if (!strcmp(model->sets[i].name, order[o])) name = order[o];
    if (!name)
        return fault_set(fault, GR_USAGE, "the model names no data: give a file with --input=FILE");
    if (!run_read_data(run, name, fault)) return false;
    const Set *found = run_set(run, name);
    if (!found) return fault_set(fault, GR_USAGE, "there is no set '%s'", name);
    *set = *found;
    return true;
}

static bool predict(Run *run, Fault *fault) {
    const char *path = run->options->output;
    Set set = {0};
    if (!load_weights(run, fault) || !choose_examples(run, &set, fault)) return false;
    char *temporary = path ? io_format("%s.tmp", path) : NULL;
    FILE *out = path ? fopen(temporary, "w") : stdout;
    if (!out)
        return fault_set(fault, GR_FAILED, "%s: cannot be written: %s", path, strerror(errno));
    bool ok = predict_set(run, &set, out, fault);
    bool bad = fflush(out) != 0 || ferror(out);
    int error = errno;
    if (path) {
        bad |= fclose(out) != 0;
        if (ok && !bad && rename(temporary, path)) bad = true;
        if (!ok || bad) remove(temporary);
        free(temporary);
    }
    if (ok && bad)
        ok = fault_set(fault, GR_FAILED, "%s: the predictions could not be written whole: %s",
                       path ? path : "standard output",
                       error == ENOSPC ? "the disk is full" : strerror(error));
    if (run->options->input) {
        free(set.examples);
        data_close(set.data);
        free(set.data);
    }
    return ok;
}

int verb_predict(Run *run) {
    Fault fault = {0};
    if (predict(run, &fault)) return GR_OK;
    complain(&fault);
    return fault.code;
}
