/* SPDX-License-Identifier: MIT
 * One unit compared three ways: interpreter, compiled float64, compiled float32; and gradients
 * against differences. Needs ir. Makes no units. */
#ifndef GRADUS_CHECK_H
#define GRADUS_CHECK_H
#include "ir.h"

typedef struct Setting { /* how to compile */
    const char *cpu;
    int level, bytes; /* of a number: 8 or 4 */
} Setting;
/* The first setting of each width is compared with the interpreter; the bits of further ones with
 * those of the first. */
enum { MOST_SETTINGS = 4 };
typedef struct Config {
    const char *subject; /* shown */
    const char *runtime; /* path of its archive, or NULL */
    const char *planted; /* file of a faulty twin, or NULL: success is that it differs; */
    Unit *compiled;      /* what is compiled in place of the subject */
    Setting setting[MOST_SETTINGS];
    int settings;
    int64_t examples;
    uint64_t seed;
    double inputs; /* factor on all input numbers; other than 1: nothing may come out as NaN */
    double work;   /* arithmetic that each gradient check may cost */
    bool gradients, input_gradients, verbose, full, graph;
    bool any_loss; /* nan or infinite, too: there are no differences then */
} Config;

typedef enum Fault { /* of a mask */
                     FAULT_REFUSED = 1,
                     FAULT_DOUBLE = 2,   /* compiled float64 is not the interpreter */
                     FAULT_SINGLE = 4,   /* compiled float32 is not */
                     FAULT_GRADIENT = 8, /* is not the difference */
                     FAULT_BITS = 16     /* threads, level or cpu change them */
} Fault;
/* What is wrong, said on stdout; the unit as elaboration gives it. */
int check_unit(Arena *arena, Unit *unit, const Config *config);
#endif
