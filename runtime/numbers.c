/* SPDX-License-Identifier: MIT
 * The states that are single numbers, for the log and the eye: what a search found, how far it is.
 * Needs run.h. Each parameter's optimizer has its own; those that agree are told once. */
#include "run.h"
#include <math.h>
#include <string.h>

/* "W.optimizer.lbfgs1.updates": the part that the parameters share; else the whole path. */
static const char *short_name(const GrLeaf *leaf) {
    const char *found = strstr(leaf->buffer.name, ".optimizer");
    return found ? found + 1 : leaf->buffer.name;
}

static bool is_number(const GrLeaf *leaf) {
    return leaf->kind == GR_STATE && leaf->buffer.rank == 0;
}

static bool equal(double a, double b) {
    return a == b || (isnan(a) && isnan(b));
}

/* How those of the same short name compare: do all agree, and is this the first? */
static bool all_agree(const Run *run, int at, bool *first) {
    const GrLeaf *leaves = run->model->leaves;
    double value = run_value(run, &leaves[at].buffer, 0, 0);
    bool agree = true;
    *first = true;
    for (int i = 0; i < run->model->nleaves; i++) {
        if (!is_number(&leaves[i]) || strcmp(short_name(&leaves[i]), short_name(&leaves[at])))
            continue;
        agree = agree && equal(run_value(run, &leaves[i].buffer, 0, 0), value);
        *first = *first && i >= at;
    }
    return agree;
}

bool numbers_next(const Run *run, int *at, Number *out) {
    for (; *at < run->model->nleaves; ++*at) {
        const GrLeaf *leaf = &run->model->leaves[*at];
        bool first;
        if (!is_number(leaf)) continue;
        bool agree = all_agree(run, *at, &first);
        if (agree && !first) continue;
        *out = (Number){agree ? short_name(leaf) : leaf->buffer.name,
                        run_value(run, &leaf->buffer, 0, 0), leaf->buffer.bytes};
        ++*at;
        return true;
    }
    return false;
}

void numbers_tell(const Run *run) {
    Number number;
    char text[NUMBER_TEXT];
    for (int at = 0; numbers_next(run, &at, &number);)
        printf("%s = %s\n", number.name, number_text(number.value, number.bytes, text));
}
