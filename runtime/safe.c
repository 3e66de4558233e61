/* SPDX-License-Identifier: MIT
 * A copy of where training stands, to go back to. Needs run.h. Best weights and what an epoch began
 * with are not copied: neither changes within an epoch. */
#include "run.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

void safe_open(Safe *safe, const Run *run, const Progress *progress) {
    size_t count = (size_t)progress->npresented;
    safe->leaves = io_alloc((size_t)run->model->persistent, 1);
    safe->progress.presented = io_alloc(count, sizeof *safe->progress.presented);
    if (progress->losses)
        safe->progress.losses = io_alloc(count, sizeof *safe->progress.losses);
}

void safe_close(Safe *safe) {
    free(safe->leaves);
    free(safe->progress.presented);
    free(safe->progress.losses);
}

/* All of `from` but its arrays, which keep their places. */
static void copy_progress(Progress *to, const Progress *from) {
    uint32_t *presented = to->presented;
    double *losses = to->losses;
    *to = *from;
    to->presented = presented;
    to->losses = losses;
    memcpy(presented, from->presented, (size_t)from->npresented * sizeof *presented);
    if (losses) memcpy(losses, from->losses, (size_t)from->npresented * sizeof *losses);
}

void safe_keep(Safe *safe, const Run *run, const Progress *progress) {
    memcpy(safe->leaves, run->mem, (size_t)run->model->persistent);
    copy_progress(&safe->progress, progress);
}

void safe_restore(const Safe *safe, Run *run, Progress *progress) {
    memcpy(run->mem, safe->leaves, (size_t)run->model->persistent);
    copy_progress(progress, &safe->progress);
}

/* A number that is none spoils the sum of zero times each. */
static bool all_finite(const char *from, int64_t count, int bytes) {
    double sum = 0;
    float narrow = 0;
    for (int64_t e = 0; bytes == 8 && e < count; e++)
        sum += ((const double *)from)[e] * 0;
    for (int64_t e = 0; bytes != 8 && e < count; e++)
        narrow += ((const float *)from)[e] * 0;
    return isfinite(sum) && isfinite(narrow);
}

/* What is collected after training, "after:…", starts from infinity. */
const GrLeaf *run_spoilt(const Run *run) {
    for (int i = 0; i < run->model->nleaves; i++) {
        const GrLeaf *leaf = &run->model->leaves[i];
        if (leaf->kind == GR_STATE || strchr(leaf->buffer.name, ':')) continue;
        if (!all_finite(run->mem + leaf->buffer.offset, leaf->buffer.count, leaf->buffer.bytes))
            return leaf;
    }
    return NULL;
}
