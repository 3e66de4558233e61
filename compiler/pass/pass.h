/* SPDX-License-Identifier: MIT
 * Passes over the graph, a row each, in order: gradient, simplify, contract, order are the freeze
 * point: they always run and fix every bit; what comes after may only choose how. Needs ir. */
#ifndef GRADUS_PASS_H
#define GRADUS_PASS_H
#include "ir.h"
typedef struct Pass {
    const char *name, *needs, *breaks, *purpose;
    bool frozen; /* part of the freeze point: cannot be skipped */
    void (*run)(Unit *unit);
} Pass;
extern const Pass pass_table[];
extern const int pass_count;
/* Runs the table on the unit in order; `after` (may be NULL) is called after each. Stops after the
 * pass named `stop` (may be NULL). */
void pass_run(Unit *unit, const char *stop, void (*after)(const Pass *, Unit *, void *), void *context);
/* Adds the program "trace" to a frozen unit that has a step. */
void pass_trace(Unit *unit);
/* Rewrites the nodes under every result of every program: `leaf`-to-node substitution used by passes. */
void unit_rewrite(Unit *unit, Node *(*node)(Graph *, Node *rebuilt, void *), void *context);
#endif
