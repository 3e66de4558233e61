/* SPDX-License-Identifier: MIT
 * What is done once after training: the program `after` over the training minibatches, then `kept`.
 * Needs run.h. The weights it is done on are in memory; who keeps them is train.c's business. */
#include "run.h"
#include <stdlib.h>

bool after_wanted(const Run *run) {
    return run_program(run, GR_AFTER) && run_program(run, GR_KEPT);
}

/* Minibatches of the training set as its first epoch drew them; a last one that is not full is left
 * out where there are others, since each counts alike. */
bool after_training(Run *run, Fault *fault) {
    const GrProgram *program = run_program(run, GR_AFTER);
    const Set *train = run_set(run, "train");
    if (!after_wanted(run) || !train) return true;
    int64_t size = program->batch, whole = train->count / size, batches = whole ? whole : 1;
    uint32_t *order = io_alloc((size_t)train->count, sizeof *order);
    order_shuffle(order, train->count, run->seed, 0);
    for (int64_t i = 0; i < train->count; i++)
        order[i] = train->examples[order[i]];
    Batch batch;
    bool ok = batch_bind(&batch, run->model, program, run->mem, train->data, fault);
    run_hyper(run, "batches.count", (double)batches);
    for (int64_t i = 0; ok && i < batches; i++) {
        batch.live = whole ? size : train->count;
        batch.examples = order + i * size;
        run_hyper(run, "batches.number", (double)i);
        run_hyper(run, "count", (double)batch.live);
        batch_run(&batch, run->team);
    }
    if (ok) run_plain(run, run_program(run, GR_KEPT));
    batch_free(&batch);
    free(order);
    return ok;
}
