/* SPDX-License-Identifier: MIT
 * A training under way: what train.c and diverge.c share. Needs run.h. */
#ifndef GRADUS_TRAINING_H
#define GRADUS_TRAINING_H
#include "run.h"

/* FAILED: see the fault. */
typedef enum Ending { GOING, FINISHED, STOPPED, INTERRUPTED, DIVERGED, FAILED } Ending;

typedef struct Training {
    Run *run;
    const GrProgram *step, *after; /* after: of an epoch, or NULL */
    const GrBuffer *loss, *each_loss; /* each_loss: of each example, or NULL */
    const Set *train, *chooser; /* chooser: whose metric chooses the best weights, or NULL */
    const char *by;             /* that metric */
    Batch batch;
    Watch watch;
    uint32_t *order, *again; /* again: see batch.h; NULL where no example comes twice */
    bool warned;
    Course course;
    int64_t steps_per_epoch, usable, epochs;
    Progress progress;
    Safe safe; /* where all was well, in this epoch */
    double kept; /* when that was */
    bool again_over; /* steps are done again, silently */
    double bad_loss;
    Log log;
    Bar bar;
    int64_t examples; /* done since the start of this process */
    double saved, epoch_start;
    int64_t epoch_examples;
    Fault *fault;
} Training;

/* The examples and numbers of the next step; gives its planned size. */
int64_t training_batch(Training *t);
Ending training_step(Training *t);
/* Both files; best: there is no set to choose by, so the last weights are the best ones too. */
bool training_save(Training *t, const char *mem, const Progress *progress, bool best);

/* ---- diverge.c: goes back to the last good step, says what spoilt the next one, keeps the weights;
 * mem and progress are those of the good step then. */
bool training_diverged(Training *t);
#endif
