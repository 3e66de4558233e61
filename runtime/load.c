/* SPDX-License-Identifier: MIT
 * The key `load`: some leaves start as a file of weights has them. Needs run.h.
 * Strict: what was asked for is there, in its shape and finite, or nothing is loaded. */
#include "run.h"
#include <stdlib.h>
#include <string.h>

/* As it stands, in the folder of this training's weights, then where data are looked for. */
static char *find(const Run *run, const char *name, Fault *fault) {
    const char *folders[] = {NULL, run->options->out, run->places.model_folder, run->places.option,
                             run->places.variable};
    for (int i = 0; i < 5; i++) {
        if (i && (!folders[i] || *name == '/')) continue;
        char *path = i ? io_format("%s/%s", folders[i], name) : io_format("%s", name);
        if (io_exists(path)) return path;
        free(path);
    }
    fault_set(fault, GR_BAD_DATA,
              "%s: the weights to start from are not there, nor in --out, beside the model file, "
              "in --data or in $GRADUS_DATA",
              name);
    return NULL;
}

static bool was_loaded(const GrModel *model, const char *leaf) {
    for (int i = 0; i < model->nloads; i++)
        for (int k = 0; k < model->loads[i].nleaves; k++)
            if (!strcmp(model->loads[i].leaves[k], leaf)) return true;
    return false;
}

static void tell(const Run *run) {
    const GrModel *model = run->model;
    int fresh = 0, all = 0;
    for (int i = 0; i < model->nleaves; i++) {
        if (model->leaves[i].kind != GR_PARAM) continue;
        all++;
        fresh += !was_loaded(model, model->leaves[i].buffer.name);
    }
    printf("loaded %d of %d parameters%s", all - fresh, all, fresh ? "; fresh:" : "");
    for (int i = 0; i < model->nleaves; i++)
        if (model->leaves[i].kind == GR_PARAM && !was_loaded(model, model->leaves[i].buffer.name))
            printf(" %s", model->leaves[i].buffer.name);
    putchar('\n');
}

bool load_start(Run *run, Fault *fault) {
    const GrModel *model = run->model;
    for (int i = 0; i < model->nloads; i++) {
        char *path = find(run, model->loads[i].file, fault);
        bool ok = path && checkpoint_take(run, path, model->loads[i].leaves,
                                          model->loads[i].nleaves, fault);
        free(path);
        if (!ok) return false;
    }
    if (model->nloads && !run->options->quiet) tell(run);
    return true;
}
