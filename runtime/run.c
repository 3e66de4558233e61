/* SPDX-License-Identifier: MIT
 * What the verbs share: memory, hyperparameters, data, initialization, evaluation. Needs the team,
 * batches and data. Does not train. */
#include "run.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

bool run_open(Run *run, const GrModel *model, Options *options, Team *team, Fault *fault) {
    const char *out = options->out && *options->out ? options->out : ".";
    const char *slash = !strcmp(out, ".") ? "" : "/";
    *run = (Run){.model = model, .options = options, .team = team};
    run->places = (DataPlaces){model->source_dir, options->data, getenv("GRADUS_DATA")};
    run->seed = options->has_seed ? options->seed : model->seed;
    /* a training with a name keeps its weights under it: others of the model have files of theirs */
    const char *name = model->train_name && *model->train_name ? model->train_name : model->name;
    run->best_path = io_format("%s%s%s.safetensors", *slash ? out : "", slash, name);
    run->last_path = io_format("%s%s%s.last.safetensors", *slash ? out : "", slash, name);
    run->sources = io_alloc((size_t)model->nsources, sizeof *run->sources);
    run->sets = io_alloc((size_t)model->nsets, sizeof *run->sets);
    run->mem = team_memory(model->memory);
    if (!run->mem)
        return fault_set(fault, GR_FAILED,
                         "the model needs %.1f MB of memory, which is not there: "
                         "a smaller batch needs less",
                         (double)model->memory / 1e6);
    run_settings(run);
    for (int i = 0; i < model->nhypers; i++) /* metrics: unknown before the first evaluation */
        if (strchr(model->hypers[i].name, '.') && strncmp(model->hypers[i].name, "set:", 4) != 0)
            run_hyper(run, model->hypers[i].name, NAN);
    return run_check(run, NULL, fault);
}

void run_close(Run *run) {
    for (int i = 0; i < run->model->nsources; i++)
        data_close(&run->sources[i]);
    for (int i = 0; i < run->model->nsets; i++)
        free(run->sets[i].examples);
    for (int i = 0; i < run->ntotals; i++)
        free(run->totals[i].values);
    for (int i = 0; i < run->ntables; i++)
        free(run->tables[i].values);
    free(run->totals);
    free(run->tables);
    free(run->sources);
    free(run->sets);
    free(run->best_path);
    free(run->last_path);
}

void run_hyper(Run *run, const char *name, double value) {
    for (int i = 0; i < run->model->nhypers; i++)
        if (!strcmp(run->model->hypers[i].name, name))
            *(double *)(run->mem + run->model->hypers[i].offset) = value;
}

void run_settings(Run *run) {
    if (run->model->seed_offset >= 0) *(uint64_t *)(run->mem + run->model->seed_offset) = run->seed;
    for (int i = 0; i < run->model->nhypers; i++) {
        const GrHyper *hyper = &run->model->hypers[i];
        if (strncmp(hyper->name, "set:", 4) != 0) continue;
        double value = NAN;
        for (int s = 0; s < run->options->nsettings; s++)
            if (!strcmp(run->options->settings[s].name, hyper->name + 4))
                value = run->options->settings[s].value;
        *(double *)(run->mem + hyper->offset) = value;
    }
    run_hyper(run, "data.count", (double)run->data_count);
}

const GrProgram *run_program(const Run *run, GrProgramKind kind) {
    for (int i = 0; i < run->model->nprograms; i++)
        if (run->model->programs[i].kind == (int32_t)kind) return &run->model->programs[i];
    return NULL;
}

const Set *run_set(const Run *run, const char *name) {
    for (int i = 0; i < run->model->nsets; i++)
        if (!strcmp(run->model->sets[i].name, name) && run->sets[i].count) return &run->sets[i];
    return NULL;
}

const GrBuffer *run_result(const GrProgram *program, const char *name) {
    for (int i = 0; i < program->nresults; i++)
        if (!strcmp(program->results[i].name, name)) return &program->results[i];
    return NULL;
}

double run_value(const Run *run, const GrBuffer *buffer, int64_t example, int64_t element) {
    int64_t at = element;
    if (buffer->per_example)
        at = (example / GR_LANES * buffer->count + element) * GR_LANES + example % GR_LANES;
    const char *from = run->mem + buffer->offset;
    return buffer->bytes == 8 ? ((const double *)from)[at] : (double)((const float *)from)[at];
}

void run_plain(Run *run, const GrProgram *program) {
    TeamWork work = {.program = program, .mem = run->mem};
    team_run(run->team, &work);
}

bool run_over(Run *run, const GrProgram *program, const Set *set, const uint32_t *presented,
              TakeChunk *take, void *context, Fault *fault) {
    Batch batch;
    bool ok = batch_bind(&batch, run->model, program, run->mem, set->data, fault);
    batch.presented = presented;
    for (int64_t from = 0; ok && from < set->count; from += batch.live) {
        batch.live = set->count - from < program->batch ? set->count - from : program->batch;
        batch.examples = set->examples + from;
        run_hyper(run, "count", (double)batch.live);
        batch_run(&batch, run->team);
        if (take) take(run, program, from, batch.live, context);
    }
    batch_free(&batch);
    return ok;
}

/* ---- Data */

static bool split_set(void *context, const GrProgram *program, const Set *from, uint8_t *belongs,
                      Fault *fault) {
    double *split = io_alloc((size_t)from->count, sizeof *split);
    /* What is held out is the file's business: another --seed trains on the same examples. */
    Run *run = context;
    uint64_t seed = run->seed;
    run->seed = run->model->seed;
    run_settings(run);
    bool ok = order_ask(run, program, from, NULL, "split", split, fault);
    for (int64_t i = 0; ok && i < from->count; i++)
        belongs[from->examples[i]] = split[i] != 0;
    run->seed = seed;
    run_settings(run);
    free(split);
    return ok;
}

/* Marks the source of a set: its own, or that of the set it is taken from. */
static void mark_sources(const GrModel *model, int set, bool *wanted) {
    for (int depth = 0; set >= 0 && depth <= model->nsets; depth++) {
        if (model->sets[set].taken_from < 0) wanted[model->sets[set].source] = true;
        set = model->sets[set].taken_from;
    }
}

bool run_read_data(Run *run, const char *name, Fault *fault) {
    const GrModel *model = run->model;
    bool *wanted = io_alloc((size_t)model->nsources, sizeof *wanted);
    bool ok = true;
    for (int i = 0; i < model->nsets; i++)
        if (!name || !strcmp(name, model->sets[i].name)) mark_sources(model, i, wanted);
    for (int i = 0; i < model->nsources && ok; i++)
        if (wanted[i]) ok = data_open(&model->sources[i], &run->places, &run->sources[i], fault);
    for (int i = 0; i < model->nsources && ok; i++)
        if (wanted[i]) order_prepare(run, &run->sources[i]);
    free(wanted);
    ok = ok && sets_make(model, run->sources, run->sets, split_set, run, fault);
    const Set *train = run_set(run, "train");
    if (train) run->data_count = train->count;
    run_hyper(run, "data.count", (double)run->data_count);
    return ok;
}

bool run_measures_train(const GrModel *model) {
    for (int i = 0; i < model->nhypers; i++)
        if (!strncmp(model->hypers[i].name, "train.", 6) &&
            strcmp(model->hypers[i].name, "train.loss") != 0)
            return true;
    return model->best && !strncmp(model->best, "train.", 6) &&
           strcmp(model->best, "train.loss") != 0;
}

uint64_t run_data_hash(const Run *run) {
    uint64_t hash = 0;
    for (int i = 0; i < run->model->nsources; i++)
        if (run->sources[i].count)
            hash = data_hash(hash, &run->sources[i].hash, sizeof run->sources[i].hash);
    return hash;
}

bool run_init(Run *run, Fault *fault) {
    const GrProgram *init = run_program(run, GR_INIT);
    const Set *train = run_set(run, "train");
    run_hyper(run, "step", 0);
    run_hyper(run, "epoch", 0);
    run_hyper(run, "progress", 0);
    if (init) run_plain(run, init);
    for (int i = 0; i < run->model->nprograms; i++) {
        const GrProgram *fit = &run->model->programs[i];
        if (fit->kind != GR_FIT || !train) continue;
        if (!fit->ninputs) { /* made of fitted values alone: once, not batch by batch */
            run_plain(run, fit);
            continue;
        }
        if (!run_over(run, fit, train, NULL, NULL, NULL, fault))
            return false;
    }
    return true;
}

/* ---- Evaluation */

/* A number of each example, or one of parameters alone; not a part of a sum over the set. */
static bool is_metric(const GrBuffer *result) {
    return !result->rank && !strchr(result->name, ':');
}

static void take_sums(Run *run, const GrProgram *program, int64_t from, int64_t live,
                      void *context) {
    (void)from;
    double *sums = context;
    for (int r = 0; r < program->nresults; r++) {
        const GrBuffer *result = &program->results[r];
        if (!is_metric(result)) continue;
        for (int64_t i = 0; i < live; i++)
            sums[r] += run_value(run, result, i, 0);
    }
    totals_take(run, program);
}

bool evaluate(Run *run, const Set *set, Metrics *metrics, Fault *fault) {
    const GrProgram *program = run_program(run, GR_EVAL);
    double *sums = io_alloc((size_t)program->nresults, sizeof *sums);
    totals_clear(run);
    bool ok = run_over(run, program, set, NULL, take_sums, sums, fault);
    for (int r = 0; ok && r < program->nresults; r++)
        if (is_metric(&program->results[r]))
            metrics_put(metrics, set->name, program->results[r].name, sums[r] / (double)set->count);
    free(sums);
    return ok && totals_finish(run, set, metrics, fault);
}

const double *metrics_find(const Metrics *metrics, const char *set, const char *name) {
    for (int i = 0; i < metrics->count; i++)
        if (!strcmp(metrics->item[i].set, set) && !strcmp(metrics->item[i].name, name))
            return &metrics->item[i].value;
    return NULL;
}

void metrics_put(Metrics *metrics, const char *set, const char *name, double value) {
    double *found = (double *)metrics_find(metrics, set, name);
    if (found)
        *found = value;
    else if (metrics->count < MOST_METRICS)
        metrics->item[metrics->count++] = (Metric){set, name, value};
}

void metrics_print(FILE *out, const Metrics *metrics, const char *set) {
    fputs(set, out);
    for (int i = 0; i < metrics->count; i++)
        if (!strcmp(metrics->item[i].set, set))
            fprintf(out, " %s %.5g", metrics->item[i].name, metrics->item[i].value);
}
