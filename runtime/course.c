/* SPDX-License-Identifier: MIT
 * How many examples each update takes and how many updates an epoch has, where the batch changes
 * too. Needs run.h. Knows no examples, only how many there are. */
#include "run.h"

int64_t course_size(const Course *c, int64_t step, int64_t epoch) {
    const GrModel *model = c->model;
    int64_t at = model->stages_by_step ? step : epoch, size = c->planned;
    for (int i = 0; i < model->nstages && (!i || model->stages[i].from <= at); i++)
        size = model->stages[i].size;
    return size;
}

int64_t course_epoch(const Course *c, int64_t done, int64_t epoch, int64_t *usable) {
    const GrModel *model = c->model;
    int64_t count = c->count, size = course_size(c, done + 1, epoch), steps = 0;
    *usable = 0;
    if (!model->stages_by_step) {
        steps = (count + (model->last_drop ? 0 : size - 1)) / size;
        *usable = model->last_drop ? steps * size : count;
        return steps;
    }
    while (*usable < count) {
        size = course_size(c, done + steps + 1, epoch);
        if (model->last_drop && *usable + size > count) break;
        *usable += size < count - *usable ? size : count - *usable;
        steps++;
    }
    return steps;
}

int64_t course_begun(const Course *c, int64_t step, int64_t position, int64_t epoch) {
    for (; position > 0; step--) /* all but an epoch's last update are full */
        position -= course_size(c, step, epoch);
    return step;
}

int64_t course_walk(const Course *c, int64_t epochs, int64_t most, int64_t *taken) {
    int64_t steps = 0, epoch = 0, usable;
    for (; epoch < epochs && steps < most; epoch++) {
        int64_t more = course_epoch(c, steps, epoch, &usable);
        if (!more) break;
        steps += more;
        if (c->model->nstages) continue;
        int64_t left = (most - steps + more - 1) / more; /* they are all alike */
        if (left > epochs - epoch - 1) left = epochs - epoch - 1;
        steps += left * more;
        epoch += left;
    }
    *taken = epoch;
    return steps;
}
