/* SPDX-License-Identifier: MIT
 * Random values for the leaves of a unit, the same for interpreter and compiled code.
 * Needs ir and eval. Knows names of runtime numbers (step, epoch, count, live), no def's name. */
#include "sample.h"
#include <math.h>
#include <string.h>

/* splitmix64 (Steele et al. 2014): independent of the language's own draws on purpose */
static uint64_t next_random(uint64_t *state) {
    uint64_t z = (*state += UINT64_C(0x9e3779b97f4a7c15));
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}
static double next_uniform(uint64_t *state) {
    return ((double)(next_random(state) >> 11) + 0.5) * 0x1p-53;
}
static double next_normal(uint64_t *state) { /* Box and Muller 1958 */
    double u = next_uniform(state), v = next_uniform(state);
    return sqrt(-2 * log(u)) * cos(6.283185307179586 * v);
}
/* Rounded to float32, so that both widths of compiled code see the very same numbers. */
static double narrow(double value) {
    return (double)(float)value;
}

double sample_hyper(Name name, int64_t examples) {
    static const struct {
        const char *name;
        double value;
    } known[] = {
        {"step", 3}, {"epoch", 1}, {"steps_per_epoch", 2}, {"progress", 0.25}, {"data.count", 100}};
    if (!strcmp(name, "count")) return (double)examples;
    if (!strncmp(name, "set:", 4))
        return NAN; /* as the runtime does where --set does not give it */
    for (int i = 0; i < LENGTH(known); i++)
        if (!strcmp(known[i].name, name)) return known[i].value;
    return 0.5; /* metrics */
}

Sample *samples_find(const Samples *samples, const Node *leaf) {
    intptr_t at = (intptr_t)map_get(&samples->by_leaf, leaf);
    return at ? &samples->list.at[at - 1] : NULL;
}

static void fill_input(const Samples *s, Sample *one, uint64_t *random) {
    const Node *leaf = one->leaf;
    for (int64_t i = 0; i < one->count; i++) {
        if (leaf->classes > 0)
            one->values[i] = (double)(next_random(random) % (uint64_t)leaf->classes);
        else if (!strcmp(leaf->name, "live"))
            one->values[i] = 1;
        else if (!strcmp(leaf->name, "example.number"))
            one->values[i] = leaf->per_example ? (double)s->number[i] : 0;
        else
            one->values[i] = narrow(next_normal(random) * 0.5 + 0.25);
    }
}

static void fill_leaf(const Samples *s, Sample *one, uint64_t *random) {
    const Node *leaf = one->leaf;
    if (leaf->kind == NODE_INPUT) {
        fill_input(s, one, random);
        return;
    }
    for (int64_t i = 0; i < one->count; i++) {
        if (leaf->kind == NODE_HYPER)
            one->values[i] = sample_hyper(leaf->name, s->examples);
        else if (leaf->kind == NODE_PARAM)
            one->values[i] = narrow(0.3 * next_normal(random));
        else
            one->values[i] = narrow(0.2 + next_uniform(random)); /* states >= 0, variances > 0 */
    }
}

/* Parameters near what `init` gives them: sizes that keep a deep net's values finite. */
static void near_init(Arena *arena, Samples *s, const Unit *unit, uint64_t *random) {
    const Program *init = unit_program(unit, "init");
    if (!init) return;
    Eval *eval = samples_eval(arena, s);
    for (int i = 0; i < init->results.len; i++) {
        const Result *r = &init->results.at[i];
        Sample *one = r->kind == RESULT_NEXT && r->target->kind == NODE_PARAM
                          ? samples_find(s, r->target)
                          : NULL;
        const double *values = one ? eval_node(eval, r->node) : NULL;
        for (int64_t k = 0; one && k < one->count; k++)
            one->values[k] =
                narrow(values[k] * (1 + 0.1 * next_normal(random)) + 0.02 * next_normal(random));
    }
}

static void add_leaf(Samples *s, Node *leaf, uint64_t *random) {
    if (leaf->kind == NODE_COMP || leaf->kind == NODE_GRAD || leaf->kind > NODE_COMP ||
        samples_find(s, leaf))
        return;
    int64_t count = node_count(leaf) * (leaf->per_example ? s->examples : 1);
    Sample one = {leaf, NEW_ARRAY(s->arena, double, count > 0 ? count : 1), count};
    fill_leaf(s, &one, random);
    VEC_PUSH(s->arena, s->list, one);
    map_put(&s->by_leaf, leaf, (void *)(intptr_t)s->list.len);
}

Samples *samples_make(Arena *arena, const Unit *unit, int64_t examples, uint64_t seed) {
    Samples *s = NEW(arena, Samples);
    *s = (Samples){.arena = arena, .examples = examples, .seed = seed, .step = 3};
    map_init(&s->by_leaf, arena);
    uint64_t random = seed * 2 + 1;
    s->number = NEW_ARRAY(arena, uint32_t, examples);
    s->presentation = NEW_ARRAY(arena, uint32_t, examples);
    for (int64_t i = 0; i < examples; i++) {
        s->number[i] = (uint32_t)(next_random(&random) % 60000);
        s->presentation[i] = (uint32_t)(next_random(&random) % 9);
    }
    for (int p = 0; p < unit->programs.len; p++) {
        NodeList nodes = program_nodes(arena, &unit->programs.at[p]);
        for (int i = 0; i < nodes.len; i++)
            add_leaf(s, nodes.at[i], &random);
        for (int i = 0; i < unit->programs.at[p].results.len; i++)
            if (unit->programs.at[p].results.at[i].target)
                add_leaf(s, unit->programs.at[p].results.at[i].target, &random);
    }
    near_init(arena, s, unit, &random);
    return s;
}

Eval *samples_eval(Arena *arena, const Samples *s) {
    Eval *eval = eval_new(arena, s->examples, s->seed);
    eval_draws(eval, s->number, s->presentation, s->step);
    for (int i = 0; i < s->list.len; i++)
        eval_set(eval, s->list.at[i].leaf, s->list.at[i].values);
    return eval;
}
