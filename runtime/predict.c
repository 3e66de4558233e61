/* SPDX-License-Identifier: MIT
 * The verbs eval and predict: saved weights applied to sets and files. Needs run.h.
 * Writes CSV (RFC 4180); numbers in the shortest form that reads back the same. */
#include "run.h"
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static const char *weights_path(const Run *run) {
    return run->options->weights ? run->options->weights : run->best_path;
}

static bool load_weights(Run *run, const char *path, Fault *fault) {
    if (!io_exists(path))
        return fault_set(fault, GR_BAD_DATA,
                         "%s: there are no weights yet: run `train` first, or name a file with "
                         "--weights=FILE",
                         path);
    return checkpoint_settings(run, path, fault) && checkpoint_load(run, path, fault);
}

static bool evaluate_all(Run *run, Fault *fault) {
    const char *only = run->options->set_name;
    Metrics metrics = {.count = 0};
    if (!load_weights(run, weights_path(run), fault) || !run_read_data(run, only, fault))
        return false;
    if (only && !run_set(run, only))
        return fault_set(fault, GR_USAGE, "there is no set '%s'", only);
    for (int i = 0; i < run->model->nsets; i++) {
        const Set *set = &run->sets[i];
        if (!set->count || (only && strcmp(set->name, only) != 0)) continue;
        if (!evaluate(run, set, &metrics, fault)) return false;
        metrics_print(stdout, &metrics, set->name);
        putchar('\n');
        tables_print(stdout, run, set->name);
    }
    Log log;
    if (!log_open(&log, run, 0, fault)) return false;
    log_eval(&log, &metrics);
    return log_close(&log, fault);
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

/* Running means and sums of squared differences (Welford 1962), by example and element. */
typedef struct Spread {
    double *mean, *squares;
    int64_t width; /* elements of all columns */
    int64_t runs;
} Spread;

static const GrBuffer *column_numbers(const Column *column) {
    return column->is_class && column->chances ? column->chances : column->value;
}

static void put_labels(FILE *out, const Column *column, int count, const char *what) {
    const GrBuffer *many = column_numbers(column);
    bool named = !column->is_class || count > 1;
    for (int64_t e = 0; e < many->count; e++) {
        fputc(',', out);
        if (named) put_name(out, column->name);
        fprintf(out, "%s%s", named && *what ? "." : "", what);
        if (column->is_class || many->count > 1) fprintf(out, "%lld", (long long)e);
    }
}

static void put_header(FILE *out, const Column *columns, int count, bool spread) {
    fputs("example", out);
    for (int i = 0; i < count; i++) {
        const Column *column = &columns[i];
        if (column->is_class) {
            fputc(',', out);
            put_name(out, column->name);
        }
        if (column->is_class && !column->chances) continue;
        put_labels(out, column, count, column->is_class ? "p" : "");
        if (spread) put_labels(out, column, count, "sd");
    }
    fputc('\n', out);
}

static void put_number(FILE *out, double value, int bytes) {
    char text[NUMBER_TEXT];
    fprintf(out, ",%s", number_text(bytes == 8 ? value : (double)(float)value, bytes, text));
}

static void put_row(FILE *out, const Column *columns, int count, const Spread *spread, int64_t row,
                    uint32_t example, bool with_spread) {
    const double *mean = spread->mean + row * spread->width;
    const double *squares = spread->squares + row * spread->width;
    fprintf(out, "%u", example);
    for (int i = 0; i < count; i++) {
        const Column *column = &columns[i];
        const GrBuffer *many = column_numbers(column);
        if (column->is_class) {
            int64_t first = 0; /* of equals, the first */
            for (int64_t e = 1; e < many->count; e++)
                if (mean[e] > mean[first]) first = e;
            fprintf(out, ",%lld", (long long)first);
        }
        bool shown = !column->is_class || column->chances;
        for (int64_t e = 0; shown && e < many->count; e++)
            put_number(out, mean[e], many->bytes);
        double least = spread->runs > 1 ? (double)(spread->runs - 1) : 1;
        for (int64_t e = 0; shown && with_spread && e < many->count; e++)
            put_number(out, sqrt(squares[e] / least), many->bytes);
        mean += many->count;
        squares += many->count;
    }
    fputc('\n', out);
}

/* A program that predicts, its outputs, and the batch that it works on. */
typedef struct Way {
    const GrProgram *program; /* or NULL */
    Column *columns;
    int count;
    Batch batch;
} Way;

static void spread_add(const Run *run, const Way *way, Spread *spread, int64_t row, int64_t lane) {
    int64_t at = row * spread->width;
    for (int i = 0; i < way->count; i++) {
        const GrBuffer *many = column_numbers(&way->columns[i]);
        for (int64_t e = 0; e < many->count; e++, at++) {
            double value = run_value(run, many, lane, e), change = value - spread->mean[at];
            spread->mean[at] += change / (double)spread->runs;
            spread->squares[at] += change * (value - spread->mean[at]);
        }
    }
}

/* So many examples are predicted one by one, where there is a program for that: one takes it a
 * fourth to a twentieth of a block of sixteen. */
enum { FEW = 3 };

/* One prediction of each example, added to the spread. `sample`: which one, for its draws. */
static void predict_once(Run *run, Way *block, Way *one, const Set *set, Spread *spread,
                         uint32_t *presented, int64_t sample) {
    spread->runs++;
    for (int64_t i = 0; presented && i < set->data->count; i++)
        presented[i] = (uint32_t)sample;
    block->batch.presented = presented;
    one->batch.ready = false;
    run_hyper(run, "step", (double)(sample + 1));
    for (int64_t from = 0, live; from < set->count; from += live) {
        int64_t left = set->count - from;
        Way *way = one->program && left <= FEW ? one : block;
        Batch *batch = &way->batch;
        batch->live = live = left < way->program->batch ? left : way->program->batch;
        batch->examples = set->examples + from;
        run_hyper(run, "count", (double)live);
        batch_run(batch, run->team);
        batch->ready = way == one;
        for (int64_t i = 0; i < live; i++)
            spread_add(run, way, spread, from + i, i);
    }
}

static bool way_find(Run *run, Way *way, GrProgramKind kind, const Set *set, Fault *fault) {
    way->program = run_program(run, kind);
    if (!way->program) return true;
    way->columns = find_columns(run->model, way->program, &way->count);
    return batch_bind(&way->batch, run->model, way->program, run->mem, set->data, fault);
}

static void way_free(Way *way) {
    free(way->columns);
    batch_free(&way->batch);
}

/* Predictions of all weights files and samples, their mean. */
static bool predict_all(Run *run, const Set *set, const char *const *paths, int npaths,
                        Way *block, Way *one, Spread *spread, Fault *fault) {
    int64_t samples = run->options->samples ? run->options->samples : 1;
    uint32_t *presented = io_alloc((size_t)set->data->count, sizeof *presented);
    bool ok = true;
    for (int p = 0; ok && p < npaths; p++) {
        if (npaths > 1 && !checkpoint_load(run, paths[p], fault)) ok = false;
        for (int64_t s = 0; ok && s < samples; s++)
            predict_once(run, block, one, set, spread, presented, s);
    }
    free(presented);
    return ok;
}

static bool predict_set(Run *run, const Set *set, const char *const *paths, int npaths, FILE *out,
                        Fault *fault) {
    bool sampled = run->options->samples > 0;
    Way block = {0}, one = {0};
    bool ok = way_find(run, &block, sampled ? GR_SAMPLE : GR_PREDICT, set, fault) &&
              (sampled || way_find(run, &one, GR_ONE, set, fault));
    if (ok && !block.program && sampled)
        return fault_set(fault, GR_USAGE,
                         "--samples: model '%s' makes no draws in training that a prediction "
                         "could make too",
                         run->model->name);
    Spread spread = {0};
    for (int i = 0; i < block.count; i++)
        spread.width += column_numbers(&block.columns[i])->count;
    size_t numbers = (size_t)set->count * (size_t)spread.width;
    spread.mean = io_alloc(numbers, sizeof *spread.mean);
    spread.squares = io_alloc(numbers, sizeof *spread.squares);
    ok = ok && predict_all(run, set, paths, npaths, &block, &one, &spread, fault);
    if (ok) put_header(out, block.columns, block.count, sampled);
    for (int64_t i = 0; ok && i < set->count && !ferror(out); i++)
        put_row(out, block.columns, block.count, &spread, i, set->examples[i], sampled);
    free(spread.mean);
    free(spread.squares);
    way_free(&block);
    way_free(&one);
    return ok;
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

enum { MOST_WEIGHTS = 64 };

/* "a,b" in place; a file of that whole name is one. */
static int split_paths(char *list, const char **paths) {
    int count = 0;
    paths[count++] = list;
    if (io_exists(list)) return count;
    for (char *at = list; (at = strchr(at, ',')) && count < MOST_WEIGHTS;) {
        *at++ = '\0';
        paths[count++] = at;
    }
    return count;
}

static bool predict(Run *run, Fault *fault) {
    const char *paths[MOST_WEIGHTS];
    char *list = io_format("%s", weights_path(run));
    int npaths = split_paths(list, paths);
    Set set = {0};
    for (int p = npaths - 1; p >= 0; p--) /* all of them are tried before anything is printed */
        if (!load_weights(run, paths[p], fault)) return false;
    if (!choose_examples(run, &set, fault)) return false;
    Writer writer;
    bool ok = writer_open(&writer, run->options->output, fault);
    if (ok && predict_set(run, &set, paths, npaths, writer.file, fault))
        ok = writer_commit(&writer, fault);
    else if (ok)
        ok = false, writer_abandon(&writer);
    free(list);
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
