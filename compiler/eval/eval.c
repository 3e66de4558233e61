/* SPDX-License-Identifier: MIT
 * The float64 interpreter: evaluates nodes over whole arrays, each once.
 * Needs ir and base.
 * Knows no lanes, phases or passes; gradients must have been built before. */
#include "call.h"
#include "tape.h"
#include <float.h>
#include <math.h>
#include <string.h>

struct Eval {
    Arena *arena, *work; /* work: what is computed, freed when a leaf changes */
    int64_t examples;
    DrawState draws;
    Noise noise;
    Map leaves; /* node -> double * */
    Map nodes;  /* node -> Values *, in work */
    Map walked; /* nodes whose recurrences are known */
    Map groups; /* node -> ScanGroup * */
};

static void forget(Eval *eval) {
    arena_free(eval->work);
    eval->work = arena_new();
    map_init(&eval->nodes, eval->work);
}

Eval *eval_new(Arena *arena, int64_t examples, uint64_t seed) {
    if (examples < 1) bug("an evaluation of %lld examples", (long long)examples);
    Eval *eval = NEW(arena, Eval);
    eval->arena = arena;
    eval->examples = examples;
    map_init(&eval->leaves, arena);
    map_init(&eval->walked, arena);
    map_init(&eval->groups, arena);
    uint32_t *number = NEW_ARRAY(arena, uint32_t, examples);
    for (int64_t i = 0; i < examples; i++)
        number[i] = (uint32_t)i;
    eval->draws = (DrawState){seed, number, NEW_ARRAY(arena, uint32_t, examples), 1};
    forget(eval);
    return eval;
}

void eval_free(Eval *eval) {
    arena_free(eval->work);
    eval->work = NULL;
}

int64_t eval_count(const Eval *eval, const Node *node) {
    return node_count(node) * (node->per_example ? eval->examples : 1);
}

void eval_set(Eval *eval, Node *leaf, const double *values) {
    if (leaf->kind >= NODE_COMP)
        bug("eval_set of %s, which is computed", leaf->name ? leaf->name : "a node");
    size_t count = (size_t)eval_count(eval, leaf);
    double *copy = map_get(&eval->leaves, leaf);
    if (!copy) {
        copy = NEW_ARRAY(eval->arena, double, count);
        map_put(&eval->leaves, leaf, copy);
    }
    memcpy(copy, values, sizeof *copy * count);
    forget(eval);
}

void eval_draws(Eval *eval, const uint32_t *number, const uint32_t *presentation, uint32_t step) {
    uint32_t *own = NEW_ARRAY(eval->arena, uint32_t, 2 * eval->examples);
    memcpy(own, number, sizeof *own * (size_t)eval->examples);
    memcpy(own + eval->examples, presentation, sizeof *own * (size_t)eval->examples);
    eval->draws.number = own;
    eval->draws.presentation = own + eval->examples;
    eval->draws.step = step;
    forget(eval);
}

void eval_noise(Eval *eval, double size, uint64_t seed) {
    eval->noise = (Noise){size, seed};
    forget(eval);
}

/* Some nodes are float64 wherever they run. */
static const Noise *noise_of(const Eval *eval, const Node *node) {
    bool single = eval->noise.size >= FLT_EPSILON / 2;
    return eval->noise.size > 0 && !(single && node->wide) ? &eval->noise : NULL;
}

/* ---- Leaves */
/* How many examples are there. */
static double *live_count(Eval *eval) {
    double *count = NEW(eval->work, double);
    *count = (double)eval->examples;
    for (int i = 0; i < eval->leaves.slots.len; i++) {
        const Node *leaf = eval->leaves.slots.at[i].key;
        const double *live = eval->leaves.slots.at[i].value;
        if (leaf->kind != NODE_INPUT || strcmp(leaf->name, "live")) continue;
        *count = 0;
        for (int64_t k = 0; k < eval->examples; k++)
            *count += live[k] != 0;
    }
    return count;
}

static double *leaf_values(Eval *eval, Node *leaf) {
    double *set = map_get(&eval->leaves, leaf);
    if (set) return set;
    bool live = leaf->name && !strcmp(leaf->name, "live");
    bool number = leaf->name && !strcmp(leaf->name, "example.number");
    if (leaf->kind == NODE_HYPER && !strcmp(leaf->name, "count")) return live_count(eval);
    if (!leaf->per_example || leaf->rank || !(live || number))
        bug("the interpreter was given no value of %s", leaf->name ? leaf->name : "a leaf");
    double *values = NEW_ARRAY(eval->work, double, eval->examples);
    for (int64_t i = 0; i < eval->examples; i++)
        values[i] = live ? 1 : eval->draws.number[i];
    return values;
}

static double *absolute(Arena *arena, const double *value, int64_t count) {
    double *result = NEW_ARRAY(arena, double, count);
    for (int64_t i = 0; i < count; i++)
        result[i] = fabs(value[i]);
    return result;
}

/* ---- Reductions: terms come in order, the first example's first. */
typedef struct Total {
    double value, magnitude; /* of the sum, product or extreme; of an ARG: the extreme so far */
    double at;               /* ARG: the linear index of the extreme */
    double squares;          /* of a SUM's terms, where there is noise */
    bool any;
} Total;

static Total total_new(Reduce reduce) {
    double start = reduce == RED_PROD ? 1 : 0;
    return (Total){.value = start, .magnitude = start};
}

static void total_add(Total *total, Reduce reduce, double value, double magnitude, int64_t index) {
    bool greater = reduce == RED_MAX || reduce == RED_ARGMAX;
    switch (reduce) {
    case RED_NONE:
        total->value = value, total->magnitude = magnitude;
        break;
    case RED_SUM:
        total->value += value, total->magnitude += magnitude;
        break;
    case RED_PROD:
        total->value *= value, total->magnitude *= magnitude;
        break;
    default: /* the first term stands until a later one is greater (smaller) */
        if (!total->any || (greater ? value > total->value : value < total->value))
            total->value = value, total->at = (double)index;
        if (!total->any || magnitude > total->magnitude) total->magnitude = magnitude;
    }
    total->any = true;
}

static bool next_point(int64_t *dims, const int64_t *extent, int from, int to) {
    for (int d = to - 1; d >= from; d--) {
        if (++dims[d] < extent[d]) return true;
        dims[d] = 0;
    }
    return false;
}

/* One element: over the examples where they are reduced, else of the one given. */
static Total element_total(const Eval *eval, const Node *node, Tape *tape, int64_t *dims,
                           int64_t example) {
    Total total = total_new(node->reduce);
    const Noise *noise = noise_of(eval, node);
    int64_t end = node->over_batch ? eval->examples : example + 1;
    for (int64_t e = node->over_batch ? 0 : example; e < end; e++) {
        int64_t index = 0;
        do {
            double magnitude, value = tape_run(tape, dims, e, &magnitude);
            total_add(&total, node->reduce, value, magnitude, index++);
            if (!noise) continue;
            if (node->reduce == RED_SUM) total.squares += value * value;
            total.value = noise_round(noise, node->id, total.value, sqrt(total.squares), false);
        } while (next_point(dims, node->extent, node->rank, node_dims(node)));
    }
    if (node->reduce == RED_ARGMAX || node->reduce == RED_ARGMIN)
        total.value = total.magnitude = total.at;
    return total;
}

typedef struct Operands {
    Eval *eval;
    bool magnitudes;
} Operands;
static Values node_values(Eval *eval, Node *node, bool magnitudes);

static Values operand_values(Node *node, void *context) {
    const Operands *operands = context;
    return node_values(operands->eval, node, operands->magnitudes);
}

static Tape *node_tape(const Node *node, Operands *o) {
    return tape_new(o->eval->work, node->body, &o->eval->draws, noise_of(o->eval, node),
                    o->magnitudes, operand_values, o);
}

/* The elements of every example from dims[0] = first to last (all of them where rank is 0). */
static void compute(Eval *eval, const Node *node, Values *values, Tape *tape, int64_t first,
                    int64_t last) {
    int64_t count = node_count(node), slice = node->rank ? count / node->extent[0] : 1;
    int64_t examples = node->per_example ? eval->examples : 1;
    for (int64_t example = 0; example < examples; example++) {
        int64_t dims[MAX_DIMS] = {first}, at = example * count + first * slice;
        for (int64_t i = 0; i < (last - first) * slice; i++, at++) {
            Total total = element_total(eval, node, tape, dims, example);
            values->value[at] = total.value;
            if (values->magnitude) values->magnitude[at] = total.magnitude;
            next_point(dims, node->extent, 0, node->rank);
        }
    }
}

static Values *values_slot(Eval *eval, Node *node) {
    return MAP_NEW(&eval->nodes, node, Values);
}

/* A recurrence: step by step, its nodes in the order of a step. */
static void compute_group(Eval *eval, const ScanGroup *group, bool magnitudes) {
    if (group->fault) bug("the interpreter met a recurrence that cannot run: %s", group->fault);
    int n = group->nodes.len;
    Values **values = NEW_ARRAY(eval->work, Values *, n);
    Tape **tape = NEW_ARRAY(eval->work, Tape *, n);
    for (int i = 0; i < n; i++) { /* every member has its place before any is read */
        const Node *node = group->nodes.at[i];
        if (node->kind == NODE_SCAN) continue;
        int64_t count = eval_count(eval, node);
        values[i] = values_slot(eval, group->nodes.at[i]);
        values[i]->value = NEW_ARRAY(eval->work, double, count);
        values[i]->magnitude = magnitudes ? NEW_ARRAY(eval->work, double, count) : NULL;
    }
    Operands operands = {eval, magnitudes};
    for (int i = 0; i < n; i++)
        if (values[i]) tape[i] = node_tape(group->nodes.at[i], &operands);
    for (int64_t k = 0; k < group->extent; k++) {
        int64_t step = group->direction < 0 ? group->extent - 1 - k : k;
        for (int i = 0; i < n; i++)
            if (values[i]) compute(eval, group->nodes.at[i], values[i], tape[i], step, step + 1);
    }
}

static void find_groups(Eval *eval, Node *node) {
    if (map_has(&eval->walked, node)) return;
    Program program = {.kind = PROGRAM_KINDS};
    VEC_PUSH(eval->arena, program.results, (Result){.node = node});
    NodeList nodes = program_groups(eval->arena, &program, &eval->groups);
    for (int i = 0; i < nodes.len; i++)
        map_put(&eval->walked, nodes.at[i], nodes.at[i]);
}

/* A function of whole tensors; its error scale is the size of its largest element. */
static void compute_call(Eval *eval, const Node *node, Values *values, bool magnitudes) {
    const double *operand[CALL_OPERANDS] = {0};
    for (int i = 0; i < call_info[node->call].operands; i++)
        operand[i] = node_values(eval, node->operand[i], false).value;
    int64_t count = node_count(node);
    double most = 0;
    values->value = NEW_ARRAY(eval->work, double, count);
    matrix_call(eval->work, node, operand, values->value);
    values->magnitude = magnitudes ? NEW_ARRAY(eval->work, double, count) : NULL;
    for (int64_t i = 0; i < count; i++)
        most = fmax(most, fabs(values->value[i]));
    for (int64_t i = 0; i < count; i++) {
        values->value[i] =
            noise_round(noise_of(eval, node), (uint32_t)i, values->value[i], most, false);
        if (magnitudes) values->magnitude[i] = most;
    }
}

static Values node_values(Eval *eval, Node *node, bool magnitudes) {
    node = node_value(node);
    Values *values = values_slot(eval, node);
    if (values->value && (values->magnitude || !magnitudes)) return *values;
    if (node->kind == NODE_CALL) {
        compute_call(eval, node, values, magnitudes);
        return *values;
    }
    if (node->kind > NODE_COMP)
        bug("the interpreter met %s, which a pass should have replaced",
            node->kind == NODE_GRAD ? "a gradient" : "a node of a later kind");
    const ScanGroup *group = map_get(&eval->groups, node);
    if (group) {
        compute_group(eval, group, magnitudes);
    } else if (node->kind == NODE_COMP) {
        Operands operands = {eval, magnitudes};
        Tape *tape = node_tape(node, &operands);
        int64_t count = eval_count(eval, node);
        values->value = NEW_ARRAY(eval->work, double, count);
        if (magnitudes) values->magnitude = NEW_ARRAY(eval->work, double, count);
        compute(eval, node, values, tape, 0, node->rank ? node->extent[0] : 1);
    } else {
        values->value = leaf_values(eval, node);
    }
    if (node->kind != NODE_COMP && magnitudes)
        values->magnitude = absolute(eval->work, values->value, eval_count(eval, node));
    return *values;
}

const double *eval_node(Eval *eval, Node *node) {
    find_groups(eval, node);
    return node_values(eval, node, false).value;
}
const double *eval_magnitude(Eval *eval, Node *node) {
    find_groups(eval, node);
    return node_values(eval, node, true).magnitude;
}
