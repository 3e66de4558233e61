/* SPDX-License-Identifier: MIT
 * The order of examples in an epoch: shuffled, by a sort key, or drawn by a weight; and what
 * programs ask about all examples of a set, ranks and quantiles. Needs philox.h. A function of
 * seed, epoch, examples and their last losses alone. */
#include "philox.h"
#include "run.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Keeps these draws apart from those of the model, whose last word is the hash of a place. */
static const uint32_t place = 0x6f726472, start_place = 0x73746172; /* "ordr", "star" */

/* Fisher and Yates; position i takes one 64-bit number, scaled to 0 .. i by multiplication (its
 * bias is below count / 2^64). */
void order_shuffle(uint32_t *order, int64_t count, uint64_t seed, uint32_t epoch) {
    for (int64_t i = 0; i < count; i++)
        order[i] = (uint32_t)i;
    for (int64_t i = count - 1; i > 0; i--) {
        Philox draw = philox(seed, (uint32_t)i, epoch, 0, place);
        uint64_t random = (uint64_t)draw.word[1] << 32 | draw.word[0];
        int64_t j = (int64_t)((unsigned __int128)random * (uint64_t)(i + 1) >> 64);
        uint32_t kept = order[i];
        order[i] = order[j];
        order[j] = kept;
    }
}

/* ---- Ranks and quantiles */

typedef struct Ranked {
    double group, key;
    int64_t at;
} Ranked;

/* What is no number is larger than all that are. */
static int compare_numbers(double a, double b) {
    if (isnan(a) || isnan(b)) return isnan(a) - isnan(b);
    return (a > b) - (a < b);
}

static int by_key(const void *a, const void *b) {
    const Ranked *x = a, *y = b;
    int order = compare_numbers(x->group, y->group);
    if (!order) order = compare_numbers(x->key, y->key);
    return order ? order : (x->at > y->at) - (x->at < y->at);
}

static Ranked *ranked(const double *key, const double *group, int64_t count) {
    Ranked *rows = io_alloc((size_t)count, sizeof *rows);
    for (int64_t i = 0; i < count; i++)
        rows[i] = (Ranked){group ? group[i] : 0, key[i], i};
    qsort(rows, (size_t)count, sizeof *rows, by_key);
    return rows;
}

void order_rank(double *rank, const double *key, const double *group, int64_t count) {
    Ranked *rows = ranked(key, group, count);
    for (int64_t i = 0, first = 0; i < count; i++) {
        if (compare_numbers(rows[i].group, rows[first].group)) first = i;
        rank[rows[i].at] = (double)(i - first);
    }
    free(rows);
}

/* Between two neighbours in proportion, where both are finite. */
double order_quantile(double level, const double *value, int64_t count) {
    Ranked *rows = ranked(value, NULL, count);
    double at = fmin(fmax(level, 0), 1) * (double)(count - 1);
    int64_t low = (int64_t)at;
    double x = rows[low].key, gap = low + 1 < count ? rows[low + 1].key - x : 0;
    free(rows);
    return isfinite(gap) ? x + (at - (double)low) * gap : x;
}

/* ---- Programs that ask for them */

typedef struct Taking {
    const GrBuffer *result;
    double *values;
} Taking;

static void take_values(Run *run, const GrProgram *program, int64_t from, int64_t live,
                        void *context) {
    (void)program;
    Taking *taking = context;
    for (int64_t i = 0; i < live; i++)
        taking->values[from + i] = run_value(run, taking->result, i, 0);
}

static bool take_all(Run *run, const GrProgram *program, const Set *set, const uint32_t *presented,
                     const GrBuffer *result, double *values, Fault *fault) {
    Taking taking = {result, values};
    return run_over(run, program, set, presented, take_values, &taking, fault);
}

static const GrBuffer *stage_part(const GrProgram *program, const char *part, const char *stage) {
    char *name = io_format("%s:%s", part, stage);
    const GrBuffer *buffer = run_result(program, name);
    free(name);
    return buffer;
}

/* One value that all examples decide: an input of each, or a number of the run. */
static bool run_stage(Run *run, const GrProgram *program, const Set *set, const uint32_t *presented,
                      const GrBuffer *result, Fault *fault) {
    const char *stage = strchr(result->name, ':') + 1; /* "example.rank0" */
    const GrBuffer *group = stage_part(program, "group", stage),
                   *level = stage_part(program, "level", stage);
    double *values = io_alloc((size_t)set->count, sizeof *values), *groups = NULL;
    bool ok = take_all(run, program, set, presented, result, values, fault);
    if (ok && level) {
        run_hyper(run, stage, order_quantile(run_value(run, level, 0, 0), values, set->count));
    } else if (ok) {
        double *rank = io_alloc((size_t)set->count, sizeof *rank);
        double *known = data_known(set->data, stage + strlen("example."));
        if (group) groups = io_alloc((size_t)set->count, sizeof *groups);
        ok = !group || take_all(run, program, set, presented, group, groups, fault);
        if (ok) order_rank(rank, values, groups, set->count);
        for (int64_t i = 0; ok && i < set->count; i++)
            known[set->examples[i]] = rank[i];
        free(rank);
    }
    free(groups);
    free(values);
    return ok;
}

bool order_ask(Run *run, const GrProgram *program, const Set *set, const uint32_t *presented,
               const char *result, double *values, Fault *fault) {
    for (int i = 0; i < program->nresults; i++) {
        const GrBuffer *part = &program->results[i];
        bool stage = !strncmp(part->name, "key:", 4) || !strncmp(part->name, "value:", 6);
        if (stage && !run_stage(run, program, set, presented, part, fault)) return false;
    }
    return take_all(run, program, set, presented, run_result(program, result), values, fault);
}

void order_prepare(const Run *run, Data *data) {
    const GrModel *model = run->model;
    const GrProgram *order = run_program(run, GR_ORDER);
    bool sampled = order && run_result(order, "weight");
    for (int p = 0; p < model->nprograms; p++)
        for (int i = 0; i < model->programs[p].ninputs; i++) {
            const GrProgram *program = &model->programs[p];
            const char *name = program->inputs[i].name;
            bool asks = program == order || program->kind == GR_SPLIT;
            if ((asks && !strncmp(name, "example.rank", 12)) ||
                (program == order && !strcmp(name, "example.loss")) ||
                (sampled && !strcmp(name, "example.weight")))
                data_known(data, name + strlen("example."));
        }
}

/* ---- The order of an epoch */

/* The last loss seen of each example; of one not seen yet, the mean of those that were, or 1. */
static void tell_losses(const Progress *progress, double *losses) {
    double sum = 0, seen = 0;
    for (int64_t i = 0; i < progress->npresented; i++)
        if (!isnan(progress->known[i])) sum += progress->known[i], seen++;
    for (int64_t i = 0; i < progress->npresented; i++)
        losses[i] = !isnan(progress->known[i]) ? progress->known[i] : seen > 0 ? sum / seen : 1;
}

static bool bad_weight(const Set *set, const double *weight, Fault *fault) {
    double sum = 0;
    for (int64_t i = 0; i < set->count; i++) {
        sum += weight[i];
        if (isfinite(weight[i]) && weight[i] >= 0) continue;
        char text[NUMBER_TEXT];
        fault_set(
            fault, GR_FAILED,
            "`sample with` gives example %u the weight %s: a weight is a finite number from 0",
            set->examples[i], number_text(weight[i], 8, text));
        return true;
    }
    if (sum > 0 && isfinite(sum)) return false;
    fault_set(fault, GR_FAILED, "`sample with` gives all examples together the weight %g", sum);
    return true;
}

/* As many draws as examples, at equal distances along the line of all weights laid end to end: an
 * example comes as often as its weight over the mean weight, rounded down or up. */
void order_sample(uint32_t *order, const double *weight, int64_t count, uint64_t seed,
                  uint32_t epoch) {
    double total = 0, end = 0;
    for (int64_t i = 0; i < count; i++)
        total += weight[i];
    double first = ((double)(philox(seed, 0, epoch, 0, start_place).word[0] >> 9) + 0.5) * 0x1p-23;
    uint32_t *drawn = io_alloc((size_t)count, sizeof *drawn);
    int64_t at = 0, last = 0;
    for (int64_t i = 0; i < count; i++) {
        end += weight[i];
        if (weight[i] > 0) last = i;
        while (at < count && ((double)at + first) * (total / (double)count) < end)
            drawn[at++] = (uint32_t)i;
    }
    while (at < count) /* rounding */
        drawn[at++] = (uint32_t)last;
    order_shuffle(order, count, seed, epoch);
    for (int64_t i = 0; i < count; i++)
        order[i] = drawn[order[i]];
    free(drawn);
}

static bool sampled_order(Run *run, const Set *train, uint32_t epoch, const double *weight,
                          uint32_t *order, Fault *fault) {
    if (bad_weight(train, weight, fault)) return false;
    order_sample(order, weight, train->count, run->seed, epoch);
    double mean = 0, *known = data_known(train->data, "weight");
    for (int64_t i = 0; i < train->count; i++)
        mean += weight[i] / (double)train->count;
    for (int64_t i = 0; i < train->count; i++)
        known[train->examples[i]] = weight[i] > 0 ? mean / weight[i] : 1;
    return true;
}

static bool asked_order(Run *run, const Set *train, const Progress *progress, uint32_t *order,
                        Fault *fault) {
    const GrProgram *program = run_program(run, GR_ORDER);
    bool sampled = run_result(program, "weight") != NULL;
    double *values = io_alloc((size_t)train->count, sizeof *values);
    /* a draw is anew in each epoch, however often the example was presented */
    uint32_t epoch = (uint32_t)progress->epoch;
    uint32_t *epochs = io_alloc((size_t)train->data->count, sizeof *epochs);
    for (int64_t i = 0; i < train->data->count; i++)
        epochs[i] = epoch;
    run_hyper(run, "epoch", (double)progress->epoch);
    if (progress->known) tell_losses(progress, data_known(train->data, "loss"));
    bool ok = order_ask(run, program, train, epochs, sampled ? "weight" : "key", values, fault);
    if (ok && sampled) {
        ok = sampled_order(run, train, epoch, values, order, fault);
    } else if (ok) {
        Ranked *rows = ranked(values, NULL, train->count);
        for (int64_t i = 0; i < train->count; i++)
            order[i] = (uint32_t)rows[i].at;
        free(rows);
    }
    free(epochs);
    free(values);
    return ok;
}

bool order_make(Run *run, const Set *train, const Progress *progress, bool whole, uint32_t *order,
                Fault *fault) {
    const GrProgram *program = run_program(run, GR_ORDER);
    if (!program || whole) {
        order_shuffle(order, train->count, run->seed, (uint32_t)progress->epoch);
        if (program && run_result(program, "weight")) {
            double *weight = data_known(train->data, "weight");
            for (int64_t i = 0; i < train->data->count; i++)
                weight[i] = 1;
        }
    } else if (!asked_order(run, train, progress, order, fault))
        return false;
    for (int64_t i = 0; i < train->count; i++)
        order[i] = train->examples[order[i]];
    return true;
}

/* ---- The examples of an update */
uint32_t *order_room(const Run *run, int64_t batch) {
    const GrProgram *order = run_program(run, GR_ORDER);
    return order && run_result(order, "weight") ? io_alloc((size_t)batch, sizeof(uint32_t)) : NULL;
}

void order_again(const Batch *batch, uint32_t *presented, uint32_t *again) {
    for (int64_t i = 0; again && i < batch->live; i++)
        again[i] = presented[batch->examples[i]]++;
    for (int64_t i = 0; again && i < batch->live; i++)
        presented[batch->examples[i]]--;
    for (int64_t i = 0; again && i < batch->live; i++)
        again[i] -= presented[batch->examples[i]];
}

bool order_enough(const GrModel *model, int64_t batch, int64_t count, Fault *fault) {
    if (model->min_batch < 2) return true;
    if (batch == 1 || count == 1)
        return fault_set(
            fault, GR_BAD_DATA,
            "an update has one example, and the model normalizes over the examples of an "
            "update: take a larger batch, or last = \"drop\" in the training");
    if (count % batch != 1 || model->last_drop) return true;
    return fault_set(
        fault, GR_BAD_DATA,
        "the last batch of an epoch holds one example (%lld in batches of %lld), and the "
        "model normalizes over the batch: write last = \"drop\" in the training, or "
        "another batch",
        (long long)count, (long long)batch);
}
