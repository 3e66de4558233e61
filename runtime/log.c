/* SPDX-License-Identifier: MIT
 * The log of a training: JSON Lines, one record an update, an epoch, and the end. Needs json.h.
 * What depends on the machine or the clock stands apart, in "machine" and "time". */
#include "json.h"
#include "run.h"
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* JSON has no infinities: what is not finite is null. */
static void put_number(FILE *file, double value, int bytes) {
    char text[NUMBER_TEXT];
    fputs(isfinite(value) ? number_text(value, bytes, text) : "null", file);
}

static void put_text(FILE *file, const char *name, const char *text) {
    fprintf(file, ",\"%s\":", name);
    json_quote(file, text);
}

bool log_open(Log *log, const Run *run, int64_t resumed_step, Fault *fault) {
    const Options *options = run->options;
    *log = (Log){.run = run, .path = options->log};
    if (!log->path) return true;
    log->file = fopen(log->path, resumed_step ? "a" : "w");
    if (!log->file)
        return fault_set(fault, GR_FAILED, "%s: the log cannot be written: %s", log->path,
                         io_advice(errno));
    FILE *file = log->file;
    fputs("{\"type\":\"header\"", file);
    put_text(file, "version", run->model->compiler);
    put_text(file, "model", run->model->name);
    fprintf(file, ",\"model_hash\":\"%016" PRIx64 "\",\"data_hash\":\"%016" PRIx64 "\"",
            run->model->model_hash, run_data_hash(run));
    fprintf(file, ",\"seed\":%" PRIu64 ",\"batch\":%" PRId64 ",\"float_bytes\":%d", run->seed,
            run->model->batch, run->model->float_bytes);
    if (resumed_step) fprintf(file, ",\"resumed_step\":%" PRId64, resumed_step);
    fputs(",\"settings\":{", file);
    for (int i = 0; i < options->nsettings; i++) {
        if (i) fputc(',', file);
        json_quote(file, options->settings[i].name);
        fputc(':', file);
        put_number(file, options->settings[i].value, 8);
    }
    fputs("},\"machine\":{\"command\":[", file);
    for (int i = 0; i < options->argc; i++) {
        if (i) fputc(',', file);
        json_quote(file, options->argv[i]);
    }
    fprintf(file, "],\"threads\":%d", run->team->threads);
    put_text(file, "cpu", run->model->cpu);
    fputs("}}\n", file);
    return true;
}

void log_step(Log *log, int64_t step, int64_t epoch, double loss, int bytes) {
    if (!log->file) return;
    fprintf(log->file,
            "{\"type\":\"step\",\"step\":%" PRId64 ",\"epoch\":%" PRId64 ",\"loss\":", step, epoch);
    put_number(log->file, loss, bytes);
    if (log->watch && log->watch->fresh) watch_log(log->watch, log->file, false);
    fputs("}\n", log->file);
}

static void put_rows(FILE *file, const Table *table, int dim, int64_t *at) {
    int64_t n = table->shape->extent[dim];
    for (int64_t i = 0; i < n; i++) {
        fputs(i ? "," : "[", file);
        if (dim + 1 < table->shape->rank)
            put_rows(file, table, dim + 1, at);
        else
            put_number(file, table->values[(*at)++], 8);
    }
    fputc(']', file);
}

/* ,"confusion":[[…],…] for each table of a set. */
static void put_tables(FILE *file, const Run *run, const char *set) {
    for (int i = 0; run && i < run->ntables; i++) {
        if (strcmp(run->tables[i].set, set)) continue;
        int64_t at = 0;
        fputc(',', file);
        json_quote(file, run->tables[i].name);
        fputc(':', file);
        put_rows(file, &run->tables[i], 0, &at);
    }
}

/* ,"validation":{"loss":…,…} for every set in metrics; with tables where a run is given. */
static void put_metrics(FILE *file, const Metrics *metrics, const Run *run) {
    for (int i = 0; i < metrics->count; i++) {
        const char *set = metrics->item[i].set;
        bool seen = false;
        for (int j = 0; j < i; j++)
            seen |= !strcmp(metrics->item[j].set, set);
        if (seen) continue;
        fprintf(file, ",\"%s\":{", set);
        bool first = true;
        for (int j = i; j < metrics->count; j++) {
            if (strcmp(metrics->item[j].set, set) != 0) continue;
            if (!first) fputc(',', file);
            first = false;
            json_quote(file, metrics->item[j].name);
            fputc(':', file);
            put_number(file, metrics->item[j].value, 8);
        }
        put_tables(file, run, set);
        fputc('}', file);
    }
}

/* ,"state":{"optimizer.updates":43} */
static void put_numbers(FILE *file, const Run *run) {
    Number number;
    bool any = false;
    for (int at = 0; numbers_next(run, &at, &number); any = true) {
        fputs(any ? "," : ",\"state\":{", file);
        json_quote(file, number.name);
        fputc(':', file);
        put_number(file, number.value, number.bytes);
    }
    if (any) fputc('}', file);
}

void log_epoch(Log *log, const Run *run, const Progress *progress, double seconds,
               double examples_per_second) {
    if (!log->file) return;
    fprintf(log->file, "{\"type\":\"epoch\",\"epoch\":%" PRId64 ",\"step\":%" PRId64,
            progress->epoch + 1, progress->step);
    put_metrics(log->file, &progress->metrics, log->run);
    put_numbers(log->file, run);
    watch_log(log->watch, log->file, true);
    fprintf(log->file, ",\"time\":{\"seconds\":%.3f,\"examples_per_second\":%.1f}}\n", seconds,
            examples_per_second);
    fflush(log->file);
}

void log_eval(Log *log, const Metrics *metrics) {
    if (!log->file) return;
    fputs("{\"type\":\"eval\"", log->file);
    put_metrics(log->file, metrics, log->run);
    fputs("}\n", log->file);
}

void log_finding(Log *log, int64_t step, int64_t epoch, const Finding *finding) {
    if (!log->file) return;
    const GrTrace *row = finding->trace;
    fprintf(log->file, "{\"type\":\"diverged\",\"step\":%" PRId64 ",\"epoch\":%" PRId64, step, epoch);
    put_text(log->file, "result", finding->result);
    put_text(log->file, "value", bad_text(finding->value));
    if (row) {
        put_text(log->file, "what", row->what);
        put_text(log->file, "gave", bad_text(finding->bad));
        if (row->value.name) put_text(log->file, "tensor", row->value.name);
        if (row->path) put_text(log->file, "layer", row->path);
        if (row->place) put_text(log->file, "place", row->place);
        if (row->use) put_text(log->file, "use", row->use);
        fputs(",\"examples\":[", log->file);
        for (int i = 0; i < finding->nexamples; i++)
            fprintf(log->file, "%s%" PRId64, i ? "," : "", finding->examples[i]);
        fputc(']', log->file);
    }
    fputs("}\n", log->file);
}

void log_stop(Log *log, const Progress *progress, const char *reason) {
    if (!log->file) return;
    fputs("{\"type\":\"stop\"", log->file);
    put_text(log->file, "reason", reason);
    fprintf(log->file, ",\"step\":%" PRId64 ",\"epoch\":%" PRId64, progress->step, progress->epoch);
    if (progress->has_best) {
        fprintf(log->file, ",\"best_epoch\":%" PRId64 ",\"best_step\":%" PRId64,
                progress->best_epoch, progress->best_step);
        put_metrics(log->file, &progress->best_metrics, NULL);
    }
    fputs("}\n", log->file);
}

bool log_close(Log *log, Fault *fault) {
    if (!log->file) return true;
    bool bad = ferror(log->file) != 0;
    bad |= fclose(log->file) != 0;
    log->file = NULL;
    if (!bad) return true;
    return fault_set(fault, GR_FAILED, "%s: the log could not be written whole: %s", log->path,
                     io_advice(errno));
}
