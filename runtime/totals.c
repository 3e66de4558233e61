/* SPDX-License-Identifier: MIT
 * Metrics of a whole set: what each batch gives is added up in float64, sums that need others in a
 * pass of their own, and a program makes numbers and tables of them. Needs run.h. Measures nothing
 * of single examples. */
#include "run.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* "sum:0", "max:1": how parts are joined, by the name of the result. */
static bool is_total(const GrBuffer *result) {
    return !result->per_example && strchr(result->name, ':');
}

static double *total_of(Run *run, const GrBuffer *buffer) {
    for (int i = 0; i < run->ntotals; i++)
        if (!strcmp(run->totals[i].name, buffer->name)) return run->totals[i].values;
    run->totals = io_more(run->totals, sizeof *run->totals * (size_t)(run->ntotals + 1));
    double *values = io_alloc((size_t)buffer->count, sizeof *values);
    run->totals[run->ntotals++] = (Table){.name = buffer->name, .values = values};
    return values;
}

static void clear(Run *run, const GrProgram *program) {
    for (int r = 0; r < program->nresults; r++) {
        const GrBuffer *result = &program->results[r];
        if (!is_total(result)) continue;
        double *total = total_of(run, result);
        for (int64_t i = 0; i < result->count; i++)
            total[i] = *result->name == 's' ? 0 : result->name[1] == 'a' ? -INFINITY : INFINITY;
    }
}

void totals_clear(Run *run) {
    for (int p = 0; p < run->model->nprograms; p++)
        if (run->model->programs[p].kind == GR_EVAL || run->model->programs[p].kind == GR_SUMS)
            clear(run, &run->model->programs[p]);
}

void totals_take(Run *run, const GrProgram *program) {
    for (int r = 0; r < program->nresults; r++) {
        const GrBuffer *result = &program->results[r];
        if (!is_total(result)) continue;
        double *total = total_of(run, result);
        for (int64_t i = 0; i < result->count; i++) {
            double part = run_value(run, result, 0, i);
            if (*result->name == 's')
                total[i] += part;
            else if (result->name[1] == 'a' ? part > total[i] : part < total[i])
                total[i] = part;
        }
    }
}

static void fill(Run *run, const GrProgram *program) {
    for (int i = 0; i < program->ninputs; i++) {
        const GrBuffer *input = &program->inputs[i];
        if (!is_total(input)) continue;
        const double *total = total_of(run, input);
        for (int64_t e = 0; e < input->count; e++) {
            if (input->bytes == 8)
                ((double *)(run->mem + input->offset))[e] = total[e];
            else
                ((float *)(run->mem + input->offset))[e] = (float)total[e];
        }
    }
}

static void take(Run *run, const GrProgram *program, int64_t from, int64_t live, void *context) {
    (void)from, (void)live, (void)context;
    totals_take(run, program);
}

static void keep_table(Run *run, const char *set, const GrBuffer *result) {
    Table *table = NULL;
    for (int i = 0; i < run->ntables && !table; i++)
        if (!strcmp(run->tables[i].set, set) && !strcmp(run->tables[i].name, result->name))
            table = &run->tables[i];
    if (!table) {
        run->tables = io_more(run->tables, sizeof *run->tables * (size_t)(run->ntables + 1));
        table = &run->tables[run->ntables++];
        *table = (Table){.set = set, .name = result->name, .shape = result};
        table->values = io_alloc((size_t)result->count, sizeof *table->values);
    }
    for (int64_t e = 0; e < result->count; e++)
        table->values[e] = run_value(run, result, 0, e);
}

bool totals_finish(Run *run, const Set *set, Metrics *metrics, Fault *fault) {
    const GrModel *model = run->model;
    run_hyper(run, "examples.count", (double)set->count);
    for (int p = 0; p < model->nprograms; p++) {
        const GrProgram *program = &model->programs[p];
        if (program->kind != GR_SUMS) continue;
        fill(run, program);
        if (!run_over(run, program, set, NULL, take, NULL, fault)) return false;
    }
    const GrProgram *last = run_program(run, GR_METRIC);
    if (!last) return true;
    fill(run, last);
    run_plain(run, last);
    for (int r = 0; r < last->nresults; r++) {
        const GrBuffer *result = &last->results[r];
        if (result->rank)
            keep_table(run, set->name, result);
        else
            metrics_put(metrics, set->name, result->name, run_value(run, result, 0, 0));
    }
    return true;
}

void tables_print(FILE *out, const Run *run, const char *set) {
    for (int i = 0; i < run->ntables; i++) {
        const Table *table = &run->tables[i];
        if (strcmp(table->set, set)) continue;
        int64_t columns = table->shape->extent[table->shape->rank - 1];
        fprintf(out, "%s %s\n", set, table->name);
        for (int64_t e = 0; e < table->shape->count; e++)
            fprintf(out, "%8.5g%s", table->values[e], e % columns == columns - 1 ? "\n" : " ");
    }
}
