/* SPDX-License-Identifier: MIT
 * The names that every text sees without declaring them.
 * Needs interned names, and the table of operators: a copy of that one file, as front may not see ir.
 * Does not say what a name means. */
#include "tree.h"

typedef enum Level {
    SOFT,     /* may be declared anew: then it is what was declared */
    FUNCTION, /* no def or model may take the name; arguments and locals may */
    CONSTANT  /* nothing may take the name */
} Level;

static const struct {
    const char *text;
    Level level;
} table[] = {
    {"pi", CONSTANT},
    {"infinity", CONSTANT},
    {"none", CONSTANT},
    {"true", CONSTANT},
    {"false", CONSTANT},
    {"training", CONSTANT},
    /* reductions, and functions that are no operator of one operand */
    {"sum", FUNCTION},
    {"mean", FUNCTION},
    {"max", FUNCTION},
    {"min", FUNCTION},
    {"prod", FUNCTION},
    {"argmax", FUNCTION},
    {"argmin", FUNCTION},
    {"count", FUNCTION},
    {"pow", FUNCTION},
/* scalar functions: the operators of one operand */
#define FUNCTION_1(text) {text, FUNCTION},
#define FUNCTION_2(text)
#define FUNCTION_3(text)
#define OP(id, text, arity, ...) FUNCTION_##arity(text)
#include "ops.def"
#undef OP
    /* draws, matrix functions, what orders examples */
    {"uniform", FUNCTION},
    {"normal", FUNCTION},
    {"bernoulli", FUNCTION},
    {"eigh", FUNCTION},
    {"gradient", FUNCTION},
    {"moved", FUNCTION},
    {"qr", FUNCTION},
    {"rank", SOFT},
    {"quantile", SOFT},
    /* where training stands */
    {"step", SOFT},
    {"epoch", SOFT},
    {"steps_per_epoch", SOFT},
    {"progress", SOFT},
    {"loss", SOFT},
    {"full_batch", SOFT},
    {"all", SOFT},
    /* reserved indices */
    {"batch", SOFT},
    {"data", SOFT},
    {"batches", SOFT},
    {"weights", SOFT},
    {"examples", SOFT},
    /* data and its files */
    {"example", SOFT},
    {"generate", SOFT},
#define FORMAT(name, ...) {#name, SOFT},
#include "formats.def"
#undef FORMAT
};

static Name names[LENGTH(table)];

/** All of them, for suggestions. */
const Name *builtin_all(int *count) {
    if (!names[0]) {
        for (int i = 0; i < LENGTH(table); i++)
            names[i] = name_of(table[i].text);
    }
    *count = LENGTH(table);
    return names;
}

static int level_of(Name name) {
    int count;
    const Name *all = builtin_all(&count);
    for (int i = 0; i < count; i++) {
        if (all[i] == name) return (int)table[i].level;
    }
    return -1;
}

/** Whether every text sees this name. */
bool builtin_is(Name name) {
    return level_of(name) >= 0;
}

/** Whether no def and no model may be called so. */
bool builtin_is_fixed(Name name) {
    return level_of(name) >= (int)FUNCTION;
}

/** Whether nothing at all may be called so. */
bool builtin_is_constant(Name name) {
    return level_of(name) == (int)CONSTANT;
}
