/* SPDX-License-Identifier: MIT
 * Sets of examples: whole sources, and what one set takes from another by its condition.
 * Needs data.h and a way to run a split program. Does not order or shuffle. */
#include "data.h"
#include <stdlib.h>
#include <string.h>

typedef struct Making {
    const GrModel *model;
    Data *sources;
    Set *sets;
    bool *made;
    SetSplit *split;
    void *context;
    Fault *fault;
} Making;

static void whole(Set *set) {
    set->count = set->data->count;
    set->examples = io_alloc((size_t)set->count, sizeof *set->examples);
    for (int64_t i = 0; i < set->count; i++)
        set->examples[i] = (uint32_t)i;
}

/* Moves the examples that belong from one list to the other; both stay in order. */
static void divide(Set *from, Set *to, const uint8_t *belongs) {
    to->examples = io_alloc((size_t)from->count, sizeof *to->examples);
    int64_t left = 0;
    for (int64_t i = 0; i < from->count; i++) {
        uint32_t example = from->examples[i];
        if (belongs[example])
            to->examples[to->count++] = example;
        else
            from->examples[left++] = example;
    }
    from->count = left;
}

static bool make(Making *making, int which) {
    const GrModel *model = making->model;
    const GrSet *row = &model->sets[which];
    Set *set = &making->sets[which];
    if (making->made[which]) return true;
    if (row->taken_from >= 0 && !make(making, row->taken_from)) return false;
    making->made[which] = true;
    set->name = row->name;
    set->data =
        &making->sources[row->taken_from >= 0 ? model->sets[row->taken_from].source : row->source];
    if (!set->data->count) return true; /* not read */
    Set all = {0};
    Set *from = row->taken_from >= 0 ? &making->sets[row->taken_from] : &all;
    if (row->split < 0) {
        whole(set);
        return true;
    }
    if (from == &all) {
        all.data = set->data;
        whole(&all);
    }
    uint8_t *belongs = io_alloc((size_t)set->data->count, 1);
    bool ok = making->split(making->context, &model->programs[row->split], from, belongs,
                            making->fault);
    if (ok) divide(from, set, belongs);
    free(belongs);
    free(all.examples);
    return ok;
}

bool sets_make(const GrModel *model, Data *sources, Set *sets, SetSplit *split, void *context,
               Fault *fault) {
    bool *made = io_alloc((size_t)model->nsets, sizeof *made);
    Making making = {model, sources, sets, made, split, context, fault};
    bool ok = true;
    for (int i = 0; i < model->nsets && ok; i++)
        ok = make(&making, i);
    for (int i = 0; i < model->nsets && ok; i++)
        if (!sets[i].count && sets[i].data->count)
            ok = fault_set(fault, GR_BAD_DATA,
                           "set '%s' of %s is empty: its condition, or one that takes from it, "
                           "leaves none of %lld examples",
                           sets[i].name, sets[i].data->file, (long long)sets[i].data->count);
    free(made);
    return ok;
}
