/* SPDX-License-Identifier: MIT
 * The verb info: what this executable is, from its table alone. Needs abi.h.
 * Reads no data and no weights. */
#include "run.h"
#include <inttypes.h>
#include <math.h>
#include <string.h>

static void print_shape(const GrBuffer *buffer) {
    putchar('[');
    for (int i = 0; i < buffer->rank; i++)
        printf("%s%" PRId64, i ? ", " : "", buffer->extent[i]);
    putchar(']');
}

static const GrBuffer *find_input(const GrModel *model, const char *name) {
    for (int p = 0; p < model->nprograms; p++)
        for (int i = 0; i < model->programs[p].ninputs; i++)
            if (!strcmp(model->programs[p].inputs[i].name, name))
                return &model->programs[p].inputs[i];
    return NULL;
}

static void print_values(const GrModel *model) {
    for (int i = 0; i < model->ninputs; i++) {
        const GrBuffer *buffer = find_input(model, model->inputs[i]);
        printf("input       %s", model->inputs[i]);
        if (buffer) print_shape(buffer);
        putchar('\n');
    }
    for (int i = 0; i < model->noutputs; i++) {
        char *name = io_format("%s.target", model->outputs[i]);
        const GrBuffer *target = find_input(model, name), *result = NULL;
        for (int p = 0; p < model->nprograms && !result; p++)
            if (model->programs[p].kind == GR_PREDICT)
                result = run_result(&model->programs[p], model->outputs[i]);
        printf("output      %s", model->outputs[i]);
        if (target && target->classes)
            printf(": class[%d]", target->classes);
        else if (result)
            print_shape(result);
        putchar('\n');
    }
    for (int i = 0; i < model->nsets; i++) {
        const GrSource *source = &model->sources[model->sets[i].source];
        const GrSet *set = &model->sets[i];
        printf("%-11s %s", set->name, set->split >= 0 ? "part of " : "");
        if (set->taken_from >= 0) printf("%s", model->sets[set->taken_from].name);
        for (int f = 0; f < source->nfiles && set->taken_from < 0; f++)
            printf("%s%s%s", f ? ", " : "", source->files[f].name,
                   source->files[f].bytes ? " (embedded)" : "");
        putchar('\n');
    }
}

static void print_leaves(const GrModel *model) {
    static const char *const kinds[] = {"parameter", "state", "fitted"};
    printf("\n%-40s %-10s %12s\n", "name and shape", "kind", "numbers");
    for (int i = 0; i < model->nleaves; i++) {
        const GrBuffer *buffer = &model->leaves[i].buffer;
        int width = printf("%s", buffer->name);
        print_shape(buffer);
        width += 2;
        for (int d = 0; d < buffer->rank; d++) {
            width += snprintf(NULL, 0, "%s%" PRId64, d ? ", " : "", buffer->extent[d]);
        }
        printf("%*s %-10s %12" PRId64 "\n", width < 40 ? 40 - width : 0, "",
               kinds[model->leaves[i].kind], buffer->count);
    }
}

static void print_settings(const GrModel *model) {
    bool first = true;
    for (int i = 0; i < model->nhypers; i++) {
        const GrHyper *hyper = &model->hypers[i];
        if (strncmp(hyper->name, "set:", 4) != 0) continue;
        if (first) printf("\n%-40s default\n", "--set NAME=VALUE");
        first = false;
        char text[NUMBER_TEXT];
        printf("%-40s %s\n", hyper->name + 4,
               isnan(hyper->value) ? "an expression" : number_text(hyper->value, 8, text));
    }
}

static void print_training(const GrModel *model) {
    bool trains = false;
    for (int i = 0; i < model->nprograms; i++)
        trains |= model->programs[i].kind == GR_STEP;
    if (!trains) return;
    printf("training    batch %" PRId64 ", ", model->batch);
    if (model->steps)
        printf("%" PRId64 " steps", model->steps);
    else
        printf("%" PRId64 " epochs", model->epochs);
    printf(", seed %" PRIu64 ", best by the %s %s\n", model->seed,
           model->best_max ? "largest" : "smallest", model->best ? model->best : "loss");
}

int verb_info(const GrModel *model, const Options *options) {
    printf("model       %s, from %s (hash %016" PRIx64 ")\n", model->name,
           model->source_path ? model->source_path : "?", model->model_hash);
    printf("built by    %s, for %s, float%d\n", model->compiler, model->cpu,
           8 * model->float_bytes);
    print_values(model);
    print_training(model);
    printf("parameters  %" PRId64 "\n", model->parameters);
    printf("memory      %.2f MB, of it %.2f MB weights and states; %.2f MB more for each thread\n",
           (double)model->memory / 1e6, (double)model->persistent / 1e6,
           (double)model->scratch / 1e6);
    print_leaves(model);
    print_settings(model);
    printf("\n%-12s %8s %8s %14s\n", "program", "batch", "phases", "MFLOP a run");
    for (int i = 0; i < model->nprograms; i++) {
        const GrProgram *program = &model->programs[i];
        printf("%-12s %8d %8d %14.3f\n", program->name, program->batch, program->nphases,
               program->flops / 1e6);
        for (int p = 0; options->verbose && p < program->nphases; p++)
            printf("    %-36s %s\n", program->phases[p].name,
                   program->phases[p].kind == GR_SERIAL   ? "serial"
                   : program->phases[p].kind == GR_BLOCKS ? "by blocks"
                                                          : "by units");
    }
    return GR_OK;
}
