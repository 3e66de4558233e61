/* SPDX-License-Identifier: MIT
 * Elaboration: from the checked tree to one Unit of tensor programs. Needs front and ir.
 * Diagnoses every fault of shape, range and meaning; does not differentiate (NODE_GRAD stands). */
#ifndef GRADUS_ELAB_H
#define GRADUS_ELAB_H
#include "ast.h"
#include "ir.h"
/* `train_name` chooses among several trainings (NULL: the first, or the only one). A file without a
 * `train` but with a model gives a Unit with init and predict only. NULL where errors were
 * diagnosed. */
Unit *elab_unit(Arena *arena, const Module *module, Name train_name);
/* For tests of single defs: `unit` of one def applied to inputs of the given shapes, e.g.
 * "conv(8, 3) on [3, 8, 8]": inputs x, loss = sum of output times fixed input "weight". */
Unit *elab_def(Arena *arena, const Module *module, const char *application);

/* ---- Tests. What a test knows besides the module: metrics and weights of its training. */
typedef struct Known {
    Name name; /* "error_rate", "validation.loss", "dense1.W" */
    int rank;
    int64_t extent[MAX_RANK];
    const double *values;
} Known;
typedef struct Claim {
    const StmtList *body; /* of the test: its bindings before `stmt` are made */
    const Stmt *stmt;     /* `expect …` or `check gradients of …` */
    const Expr *value;    /* its expression, or a part of it that is claimed alone */
    const Known *known;
    int nknown;
} Claim;
/* `expect e`: the program "eval" gives "left" and "right" of a comparison ("within" too), else "holds";
 * "at:NAME" for each number of `at`. What is known stands as shared inputs, any input of a written shape
 * as one of each example. */
Unit *elab_claim(Arena *arena, const Module *module, const Claim *claim);
/* `check gradients of e`: as elab_def does. */
Unit *elab_claim_def(Arena *arena, const Module *module, const Claim *claim);
#endif
