/* SPDX-License-Identifier: MIT
 * A batch of examples laid out in lanes for one program. Needs data.h. Chooses no examples. */
#ifndef GRADUS_BATCH_H
#define GRADUS_BATCH_H
#include "data.h"
#include "team.h"

/* Which field fills which input of a program, for one source. */
typedef struct Batch {
    const GrProgram *program;
    char *mem;
    const DataField **fields; /* by input; NULL for `live` and `example.number` */
    /* The examples of the next run: */
    const uint32_t *examples;  /* positions in the source */
    int64_t live;              /* how many, 1 .. program->batch */
    const uint32_t *presented; /* by position: how often it was presented before; NULL: never */
    bool ready;                /* what the program makes of leaves alone is there from its last run */
    const uint32_t *again;     /* by place in the batch: and how often in it before; NULL: never */
} Batch;

bool batch_bind(Batch *batch, const GrModel *model, const GrProgram *program, char *mem,
                const Data *data, Fault *fault);
void batch_free(Batch *batch);
/* Fills the inputs with examples[0, live) and runs the program. */
void batch_run(Batch *batch, Team *team);
int64_t batch_blocks(int64_t live);
/* Filling alone, as a piece of team work: units 0 .. batch_units. */
int64_t batch_units(const Batch *batch);
void batch_fill(void *batch, int64_t from, int64_t to);
#endif
