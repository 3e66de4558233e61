/* SPDX-License-Identifier: MIT
 * Online training: rows of CSV from standard input as they come, each batch first evaluated and
 * then learned from; until the input ends or a signal comes. Needs run.h. Keeps no row. */
#include "run.h"
#include <errno.h>
#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static volatile sig_atomic_t caught;

static void note_signal(int number) {
    caught = number;
}

typedef struct Follow {
    Run *run;
    const GrProgram *step;
    const GrBuffer *loss;
    char *kept; /* leaves before the step */
    const GrSource *source;
    char *header, *buffer; /* buffer: what was read and not yet used */
    size_t used, room;
    bool ended, diverged;
    int64_t line; /* rows taken */
    Progress progress;
    Metrics running; /* before learning: moving means over about 100 examples */
    double sum;      /* of all losses before learning */
    int64_t told;
    Log log;
    Fault *fault;
} Follow;

/* More of the input behind what is there; false at its end, or where a signal came. */
static bool read_more(Follow *f) {
    if (f->ended || caught) return false;
    if (f->room - f->used < 4096) {
        f->room = f->room * 2 + 8192;
        f->buffer = io_more(f->buffer, f->room);
    }
    ssize_t got = read(STDIN_FILENO, f->buffer + f->used, f->room - f->used);
    if (got < 0 && errno == EINTR) return !caught;
    if (got <= 0) {
        f->ended = true;
        return false;
    }
    f->used += (size_t)got;
    return true;
}

/* The next line without its end, NULL where there is none; waits for it. Free it. */
static char *take_line(Follow *f) {
    size_t from = 0;
    for (;;) {
        char *end = f->used > from ? memchr(f->buffer + from, '\n', f->used - from) : NULL;
        from = f->used;
        if (!end && read_more(f)) continue;
        if (!end && (!f->used || caught)) return NULL;
        size_t size = end ? (size_t)(end - f->buffer) : f->used, taken = size + (end != NULL);
        char *line = io_format("%.*s", (int)size, f->buffer);
        memmove(f->buffer, f->buffer + taken, f->used - taken);
        f->used -= taken;
        size = strlen(line);
        if (size && line[size - 1] == '\r') line[--size] = 0;
        if (size) return line;
        free(line); /* an empty line says nothing */
        from = 0;
    }
}

/* Up to a batch of rows, read as a CSV file of their own. */
static bool take_batch(Follow *f, Data *data, bool *any) {
    char *text = io_format("%s\n", f->header);
    int64_t rows = 0;
    for (char *line; rows < f->step->batch && (line = take_line(f)); rows++) {
        char *more = io_format("%s%s\n", text, line);
        free(line);
        free(text);
        text = more;
    }
    *any = rows > 0 && !caught;
    *data = (Data){0};
    if (!*any) {
        free(text);
        return true;
    }
    DataFile *file = data_file(data, "standard input");
    file->bytes = (unsigned char *)text;
    file->size = strlen(text);
    Fault told;
    if (data_read(f->source, true, data, &told)) {
        f->line += rows;
        return true;
    }
    return fault_set(f->fault, GR_BAD_DATA, "%s (in the rows after the first %lld)", told.text,
                     (long long)f->line);
}

static void set_hypers(Follow *f, int64_t live) {
    Run *run = f->run;
    run_hyper(run, "step", (double)(f->progress.step + 1));
    run_hyper(run, "epoch", 0);
    run_hyper(run, "steps_per_epoch", 1);
    run_hyper(run, "progress", 0);
    run_hyper(run, "count", (double)live);
}

static void average(Follow *f, const Metrics *now, int64_t count) {
    double part = f->progress.step ? fmin((double)count / 100, 1) : 1;
    for (int i = 0; i < now->count; i++) {
        const Metric *m = &now->item[i];
        const double *old = metrics_find(&f->running, m->set, m->name);
        metrics_put(&f->running, m->set, m->name, old ? *old + part * (m->value - *old) : m->value);
    }
}

static void tell(Follow *f, bool last) {
    int64_t every = f->step->batch > 100 ? f->step->batch : 100;
    if (f->run->options->quiet || (!last && f->line - f->told < every) || !f->line) return;
    f->told = f->line;
    printf("examples %lld  mean loss %.5g  ", (long long)f->line, f->sum / (double)f->line);
    metrics_print(stdout, &f->running, "last");
    putchar('\n');
    fflush(stdout);
}

/* The weights as they were before the step, and what spoilt them. */
static void undo(Follow *f, const Batch *batch, const Data *data) {
    Finding finding;
    char when[80];
    memcpy(f->run->mem, f->kept, (size_t)f->run->model->persistent);
    set_hypers(f, batch->live);
    trace_step(f->run, batch, data, &finding);
    snprintf(when, sizeof when, "at step %lld (rows after the first %lld)",
             (long long)f->progress.step + 1, (long long)f->line - data->count);
    trace_tell(f->run, &finding, when, data);
    log_finding(&f->log, f->progress.step + 1, 0, &finding);
}

/* Evaluates, then learns. Draws see the update as presentation: a row has no other number. */
static bool learn(Follow *f, Data *data) {
    Run *run = f->run;
    Metrics metrics = {.count = 0};
    Batch batch = {0};
    int64_t count = data->count;
    uint32_t *presented = io_alloc((size_t)count, sizeof *presented);
    Set set = {.name = "last", .data = data, .count = count};
    set.examples = io_alloc((size_t)count, sizeof *set.examples);
    for (int64_t i = 0; i < count; i++) {
        set.examples[i] = (uint32_t)i;
        presented[i] = (uint32_t)f->progress.step;
    }
    double before = 0;
    bool ok = evaluate(run, &set, &metrics, f->fault) &&
              batch_bind(&batch, run->model, f->step, run->mem, data, f->fault);
    if (ok) {
        before = *metrics_find(&metrics, "last", "loss");
        average(f, &metrics, count);
        f->sum += before * (double)count;
        batch.live = count;
        batch.examples = set.examples;
        batch.presented = presented;
        set_hypers(f, count);
        ok = run_check(run, &f->progress, f->fault);
    }
    if (ok) {
        memcpy(f->kept, run->mem, (size_t)run->model->persistent);
        batch_run(&batch, run->team);
        f->diverged = !isfinite(run_value(run, f->loss, 0, 0)) || run_spoilt(run);
        if (f->diverged) {
            undo(f, &batch, data);
        } else {
            f->progress.step++;
            log_step(&f->log, f->progress.step, 0, before, 8);
            tell(f, false);
        }
    }
    batch_free(&batch);
    free(presented);
    free(set.examples);
    return ok;
}

static bool open_follow(Follow *f) {
    Run *run = f->run;
    const GrModel *model = run->model;
    const Options *options = run->options;
    const char *out = options->out && *options->out ? options->out : ".";
    f->step = run_program(run, GR_STEP);
    f->loss = f->step ? run_result(f->step, "loss") : NULL;
    for (int i = 0; i < model->nsources && !f->source; i++)
        if (!strcmp(model->sources[i].format, "csv")) f->source = &model->sources[i];
    if (!f->loss || !f->source)
        return fault_set(
            f->fault, GR_USAGE,
            "--follow reads rows of CSV: the model needs a training and data from csv(…)");
    if (model->batch_all || f->step->batch < model->min_batch)
        return fault_set(f->fault, GR_USAGE,
                         "--follow learns from a batch at a time, not from all");
    if (!io_make_folder(out, f->fault) || !io_check_folder(out, f->fault)) return false;
    if (options->resume || options->weights) {
        const char *path = options->weights       ? options->weights
                           : options->resume_file ? options->resume_file
                                                  : run->best_path;
        if (!checkpoint_load(run, path, f->fault)) return false;
    } else if (!run_read_data(run, "train", f->fault) || !run_init(run, f->fault))
        return false; /* what is fitted to data is fitted to the file's */
    if (!log_open(&f->log, run, 0, f->fault)) return false;
    if (!(f->header = take_line(f)) && !caught)
        return fault_set(f->fault, GR_BAD_DATA,
                         "standard input is empty: a header is wanted, then rows");
    return true;
}

static bool follow(Follow *f) {
    struct sigaction action = {.sa_handler = note_signal, .sa_flags = (int)SA_RESETHAND};
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    if (!open_follow(f)) return false;
    for (bool any = true; any && !f->diverged;) {
        Data data;
        if (!take_batch(f, &data, &any)) return false;
        bool lone = any && data.count < f->run->model->min_batch;
        bool ok = !any || lone || learn(f, &data);
        data_close(&data);
        if (!ok) return false;
    }
    tell(f, true);
    log_stop(&f->log, &f->progress,
             f->diverged ? "diverged"
             : caught    ? "interrupted"
                         : "finished");
    if (!log_close(&f->log, f->fault)) return false;
    if (f->diverged && !f->progress.step) return true;
    return checkpoint_write_best(f->run, &f->progress, f->run->mem, f->fault);
}

int verb_follow(Run *run) {
    Fault fault = {0};
    Follow f = {.run = run, .fault = &fault};
    f.kept = io_alloc((size_t)run->model->persistent, 1);
    bool ok = follow(&f);
    if (ok && f.diverged)
        fputs(f.progress.step ? "the weights before that step are kept\n"
                              : "no step went well: no weights are written\n",
              stderr);
    else if (ok && !run->options->quiet)
        printf("weights: %s after %lld examples\n", run->best_path, (long long)f.line);
    if (!ok) complain(&fault);
    free(f.header);
    free(f.kept);
    free(f.buffer);
    return !ok ? fault.code : f.diverged ? GR_DIVERGED : caught ? 128 + (int)caught : GR_OK;
}
