/* SPDX-License-Identifier: MIT
 * Runs a scalar expression at a point: every distinct part once, both branches of a selection.
 * Needs ir and eval.h.
 * Loops over nothing: eval.c walks the space of a node. */
#include "tape.h"
#include <math.h>

/* One distinct part of the expression; its result lies in the slot of the same number. */
typedef struct Step {
    const Scalar *s;
    int arg[3], outside; /* slots */
    Values values;       /* READ */
    int64_t stride;      /* READ: elements of one example, 0 where the node is shared */
    /* READ at affine coordinates that cannot leave: base + sum coef * dimension */
    bool flat;
    int ncoef, dim[MAX_DIMS];
    int64_t base, coef[MAX_DIMS]; /* coef[i] is of dimension dim[i] */
} Step;

struct Tape {
    Arena *arena;
    Map slots; /* scalar -> its step's number + 1 */
    VEC(Step) steps;
    double *value, *magnitude;
    const DrawState *draws;
    const Noise *noise;
    bool magnitudes;
    Values (*values)(Node *, void *);
    void *context;
};

static int slot_of(Tape *tape, const Scalar *s);

static void ix_steps(Tape *tape, const Ix *ix) {
    for (int i = 0; i < ix->n; i++)
        if (ix->term[i].kind == ATOM_FLOOR)
            ix_steps(tape, ix->term[i].inner);
        else if (ix->term[i].kind == ATOM_VALUE)
            slot_of(tape, ix->term[i].value);
}

static void read_step(Tape *tape, Step *step) {
    const Scalar *s = step->s;
    Node *node = s->node;
    step->values = tape->values(node, tape->context);
    step->stride = node->per_example ? node_count(node) : 0;
    step->flat = !s->outside;
    for (int i = 0; i < node->rank; i++)
        step->flat = step->flat && ix_affine(s->at[i]);
    if (!step->flat) return;
    int64_t coef[MAX_DIMS] = {0};
    for (int i = 0; i < node->rank; i++) {
        step->base = step->base * node->extent[i] + s->at[i]->c;
        for (int d = 0; d < MAX_DIMS; d++)
            coef[d] = coef[d] * node->extent[i] + ix_coef(s->at[i], d);
    }
    for (int d = 0; d < MAX_DIMS; d++)
        if (coef[d]) {
            step->dim[step->ncoef] = d;
            step->coef[step->ncoef++] = coef[d];
        }
}

static int slot_of(Tape *tape, const Scalar *s) {
    void *known = map_get(&tape->slots, s);
    if (known) return (int)(intptr_t)known - 1;
    Step step = {.s = s, .outside = -1};
    for (int i = 0; i < 3; i++)
        step.arg[i] = s->arg[i] ? slot_of(tape, s->arg[i]) : -1;
    if (s->outside) step.outside = slot_of(tape, s->outside);
    if (s->ix) ix_steps(tape, s->ix);
    if (s->kind == SC_READ) {
        for (int i = 0; i < s->node->rank; i++)
            ix_steps(tape, s->at[i]);
        read_step(tape, &step);
    }
    VEC_PUSH(tape->arena, tape->steps, step);
    map_put(&tape->slots, s, (void *)(intptr_t)tape->steps.len);
    return tape->steps.len - 1;
}

Tape *tape_new(Arena *arena, const Scalar *s, const DrawState *draws, const Noise *noise,
               bool magnitudes, Values (*values)(Node *, void *), void *context) {
    Tape *tape = NEW(arena, Tape);
    tape->arena = arena, tape->draws = draws, tape->noise = noise, tape->magnitudes = magnitudes;
    tape->values = values, tape->context = context;
    map_init(&tape->slots, arena);
    slot_of(tape, s);
    tape->value = NEW_ARRAY(arena, double, tape->steps.len);
    tape->magnitude = NEW_ARRAY(arena, double, tape->steps.len);
    return tape;
}

static double computed(const Scalar *s, void *context) {
    Tape *tape = context;
    return tape->value[slot_of(tape, s)];
}

/* The element that a read takes, or -1 where a coordinate leaves its extent. */
static int64_t element_of(Tape *tape, const Step *step, const int64_t *dims) {
    int64_t element = 0;
    if (step->flat) {
        element = step->base;
        for (int i = 0; i < step->ncoef; i++)
            element += step->coef[i] * dims[step->dim[i]];
        return element;
    }
    const Node *node = step->s->node;
    for (int i = 0; i < node->rank; i++) {
        int64_t at = ix_eval(step->s->at[i], dims, computed, tape);
        if (at < 0 || at >= node->extent[i]) return -1;
        element = element * node->extent[i] + at;
    }
    return element;
}

static void run_read(Tape *tape, const Step *step, int slot, const int64_t *dims, int64_t example) {
    int64_t element = element_of(tape, step, dims);
    double value = (double)NAN, magnitude = 0; /* a computed position that its def did not guard */
    if (element >= 0) {
        element += example * step->stride;
        value = step->values.value[element];
        magnitude = tape->magnitudes ? step->values.magnitude[element] : 0;
    } else if (step->outside >= 0) {
        value = tape->value[step->outside];
        magnitude = tape->magnitude[step->outside];
    }
    tape->value[slot] = value;
    tape->magnitude[slot] = magnitude;
}

static void run_op(Tape *tape, const Step *step, int slot) {
    const OpInfo *info = &op_info[step->s->op];
    double value[3] = {0}, magnitude[3] = {0};
    for (int i = 0; i < info->arity; i++)
        value[i] = tape->value[step->arg[i]];
    double r = info->value(value[0], value[1], value[2]);
    if (tape->noise && info->truth && value[0] != value[1] &&
        noise_ties(tape->noise, value[0], value[1]))
        r = info->value(value[0], value[0], 0); /* off at random they would hardly ever meet */
    tape->value[slot] = r;
    if (!tape->magnitudes) return;
    for (int i = 0; i < info->arity; i++)
        magnitude[i] = tape->magnitude[step->arg[i]];
    tape->magnitude[slot] = op_magnitude(step->s->op, value, magnitude, r);
}

static double run_draw(Tape *tape, const Step *step, const int64_t *dims, int64_t example) {
    const Scalar *s = step->s;
    const DrawState *draws = tape->draws;
    uint64_t element = (uint64_t)ix_eval(s->ix, dims, computed, tape);
    double p = step->arg[0] >= 0 ? tape->value[step->arg[0]] : 0;
    if (s->shared) return eval_draw(s->draw, p, draws->seed, s->place, element, draws->step, 0);
    return eval_draw(s->draw, p, draws->seed, s->place, element, draws->number[example],
                     draws->presentation[example]);
}

static void run_step(Tape *tape, const Step *step, int slot, const int64_t *dims, int64_t example) {
    switch (step->s->kind) {
    case SC_READ:
        run_read(tape, step, slot, dims, example);
        return;
    case SC_OP:
        run_op(tape, step, slot);
        return;
    case SC_CONST:
        tape->value[slot] = step->s->value;
        break;
    case SC_INDEX:
        tape->value[slot] = (double)ix_eval(step->s->ix, dims, computed, tape);
        break;
    case SC_DRAW:
        tape->value[slot] = run_draw(tape, step, dims, example);
        break;
    }
    tape->magnitude[slot] = fabs(tape->value[slot]);
}

double tape_run(Tape *tape, const int64_t *dims, int64_t example, double *magnitude) {
    for (int i = 0; i < tape->steps.len; i++) {
        run_step(tape, &tape->steps.at[i], i, dims, example);
        const Scalar *made = tape->steps.at[i].s;
        bool function = made->kind == SC_OP && op_info[made->op].costly; /* 1 may be nearly 1 */
        if (tape->noise) /* a constant that has a function's value is off otherwise than that */
            tape->value[i] = noise_round(tape->noise, function, tape->value[i], 0, function);
    }
    *magnitude = tape->magnitude[tape->steps.len - 1];
    return tape->value[tape->steps.len - 1];
}
