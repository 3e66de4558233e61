/* SPDX-License-Identifier: MIT
 * The end of a training whose numbers are none any more: which step it was, what made them, and the
 * weights of the step before. Needs training.h. Mends nothing. */
#include "training.h"
#include <math.h>

/* Goes back to the last copy and does the steps again, one by one, up to the first that leaves a
 * number that is none: then mem and progress are as before it, and batch holds it. */
static bool find_bad_step(Training *t) {
    Run *run = t->run;
    int64_t last = t->progress.step;
    if (t->safe.progress.epoch != t->progress.epoch) return false;
    safe_restore(&t->safe, run, &t->progress);
    t->again_over = true;
    while (t->progress.step < last && t->progress.position < t->usable) {
        Progress *progress = &t->progress;
        safe_keep(&t->safe, run, progress);
        if (training_step(t) != DIVERGED && !run_spoilt(run)) continue;
        safe_restore(&t->safe, run, progress);
        training_batch(t);
        return true;
    }
    return false;
}

bool training_diverged(Training *t) {
    Progress *progress = &t->progress;
    Finding finding = {.result = "loss", .value = t->bad_loss};
    char when[80];
    int64_t step = progress->step; /* where it was seen */
    if (find_bad_step(t)) {
        step = progress->step + 1;
        trace_step(t->run, &t->batch, t->train->data, &finding);
    }
    snprintf(when, sizeof when, "at step %lld (epoch %lld)", (long long)step,
             (long long)progress->epoch + 1);
    trace_tell(t->run, &finding, when, t->train->data);
    log_finding(&t->log, step, progress->epoch, &finding);
    if (!progress->step) {
        fputs("no step went well: no weights are written\n", stderr);
        return true;
    }
    if (!training_save(t, t->run->mem, progress, false)) return false;
    fprintf(stderr, "the weights of step %lld are kept in %s%s%s\n", (long long)progress->step,
            t->run->last_path, progress->has_best ? ", the best in " : "",
            progress->has_best ? t->run->best_path : "");
    return true;
}
