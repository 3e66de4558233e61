/* SPDX-License-Identifier: MIT
 * What generated code and the runtime know of each other: one constant table, `gr_model`, which the
 * compiler emits, and functions over one block of memory. Plain C types; both sides include it.
 * Change GR_ABI with any change here. */
#ifndef GRADUS_ABI_H
#define GRADUS_ABI_H
#include <stdint.h>

enum { GR_ABI = 9, GR_LANES = 16, GR_MAX_RANK = 8 };

/* A phase: work that needs no talk between its units. `from`..`to` are units; `blocks` is the number
 * of lane blocks that hold at least one live example now. mem is the one planned block of memory
 * (64-byte aligned), scratch this thread's own. A BLOCKS phase has `blocks` units, a UNITS phase
 * `units`, a SERIAL phase runs once, (0, 1), on one thread. Between phases: a barrier. */
typedef void GrPhaseFn(char *mem, char *scratch, int64_t blocks, int64_t from, int64_t to);
typedef enum GrPhaseKind { GR_SERIAL, GR_BLOCKS, GR_UNITS } GrPhaseKind;
/* What there is to do: operations on numbers and bytes of memory touched, of one run and besides of
 * each example. */
typedef struct GrWork { double flops, flops_each, bytes, bytes_each; } GrWork;
/* A part of a phase, for `bench --profile`: a phase is its kernels one after the other (BLOCKS: for
 * each block u called with (u, to)), those of a recurrence step by step, each with (from, step). */
typedef struct GrKernel {
    GrPhaseFn *fn;
    const char *name;
    int32_t group;     /* of equal number and next to each other: one recurrence; -1: none */
    int64_t steps;     /* of the recurrence; negative: from the last one down */
    GrWork work;
} GrKernel;
typedef struct GrPhase {
    GrPhaseFn *fn;
    const char *name;  /* for --profile and dumps */
    int32_t kind;      /* GrPhaseKind */
    int64_t units;     /* UNITS: how many */
    double flops;      /* BLOCKS: for one block; else for the phase with a full batch */
    double bytes;      /* the same for memory touched */
    GrWork work;
    const GrKernel *kernels;
    int32_t nkernels;
} GrPhase;

/* A named buffer in mem. Shared: row-major elements. Per example: [block][element][16 lanes]. */
typedef struct GrBuffer {
    const char *name;
    int64_t offset;      /* bytes from mem */
    int64_t count;       /* elements (of one example where per example) */
    int32_t rank;
    int64_t extent[GR_MAX_RANK];
    int32_t bytes;       /* of an element: 4 float, 8 double */
    int32_t per_example;
    int32_t classes;     /* a class number 0 .. classes-1; 0 where it is none */
} GrBuffer;

typedef enum GrProgramKind {
    GR_SPLIT, GR_FIT, GR_INIT, GR_STEP, GR_EVAL, GR_PREDICT, GR_EPOCH, GR_ORDER, GR_SUMS, GR_METRIC,
    GR_AFTER, GR_KEPT, GR_SAMPLE, GR_WATCH, /* a step, and results "watch:NAME", "flag:NAME" */
    GR_CHECK, /* results 1 or 0, "start PLACE: TEXT" of settings, "step PLACE: TEXT" of what changes */
    GR_TRACE, /* a step that stores its values; results: "loss" and the new leaves by name */
    GR_ONE   /* predict, for one example: inputs and results are row-major, as shared ones are */
} GrProgramKind;
typedef struct GrProgram {
    const char *name;          /* "init" "step" "eval" "predict" "epoch" "fit0" "split:test" */
    int32_t kind;
    int32_t batch;             /* examples at most in one run */
    const GrPhase *phases;
    int32_t nphases;
    int32_t ready;             /* so many at first make of leaves alone what the others read: a run right
                                  after another of this program, with equal leaves, may leave them out */
    const GrBuffer *inputs;    /* per-example inputs to fill before a run; `live` is one, 1 or 0 */
    int32_t ninputs;
    const GrBuffer *results;   /* values to read after a run */
    int32_t nresults;
    int64_t number_offset;     /* uint32 example numbers, [block][16]; -1 where no draw needs them */
    int64_t presentation_offset; /* uint32, how often each was presented before; -1 likewise */
    double flops;              /* of one run with a full batch */
    const struct GrGuard *guards; /* in test builds; else none */
    int32_t nguards;
} GrProgram;

/* Bytes behind a buffer that nobody may write to: GR_GUARD of them, in mem or in each scratch. */
enum { GR_GUARD = 64 };
typedef struct GrGuard {
    const char *name; /* of what lies before them */
    int64_t offset;
    int32_t scratch;
} GrGuard;

/* Hyperparameters and other numbers of a run: double, at offset. The runtime sets
 * step, epoch, steps_per_epoch, progress, count (live examples of this batch), data.count,
 * metrics ("validation.error_rate") and "set:PATH" (NaN where --set does not give it). */
typedef struct GrHyper {
    const char *name;
    int64_t offset;
    double value;              /* default of a "set:" one, for info */
} GrHyper;

typedef enum GrLeafKind { GR_PARAM, GR_STATE, GR_FITTED } GrLeafKind;
typedef struct GrLeaf {        /* what a checkpoint holds; row-major in mem */
    GrBuffer buffer;
    int32_t kind;
} GrLeaf;

typedef struct GrColumn { const char *name, *column; } GrColumn; /* bound name, what it is in the file */
typedef struct GrFile {
    const char *name;
    const unsigned char *bytes;    /* where it is embedded, or NULL */
    int64_t size;
} GrFile;
typedef struct GrSource {
    const char *format;            /* a row of data/formats.def */
    const GrFile *files; int32_t nfiles;
    const GrColumn *columns; int32_t ncolumns;
} GrSource;
typedef struct GrSet {
    const char *name;              /* train validation test */
    int32_t source;
    int32_t taken_from;            /* index of the set it leaves, or -1 */
    int32_t split;                 /* index into programs of its condition (a result "split"), or -1 */
} GrSet;

typedef struct GrBatchStage { int64_t from, size; } GrBatchStage; /* from this epoch or step on */

/* A value of the program GR_TRACE, which has a block of memory of its own: leaves and numbers of the
 * run lie in it as in mem. Operands come first, but in recurrences. */
typedef enum GrTraceKind { GR_MADE, GR_PART, GR_DATUM, GR_KEPT_LEAF, GR_NUMBER } GrTraceKind;
typedef struct GrTrace {
    GrBuffer value;         /* its name: "conv1.y", or NULL */
    int32_t kind;           /* GrTraceKind; PART: of the expression of another value, */
    int32_t part_of;        /* this one; else -1 */
    int32_t gradient;       /* made by differentiating what stands at `place` */
    const char *what;       /* the operator: "log", "sum" */
    const char *path;       /* the layer, or NULL */
    const char *place;      /* "model.gr:12:7" */
    const char *use;        /* where the user's file uses the def that `place` is in, or NULL */
    const char *line;       /* the text there, or NULL */
    const int32_t *operands; int32_t noperands;
} GrTrace;

/* What starts as a file of weights has it. */
typedef struct GrLoad { const char *file; const char *const *leaves; int32_t nleaves; } GrLoad;

typedef struct GrModel {
    int32_t abi;
    const char *name, *train_name, *compiler, *cpu; /* compiler: "gradus 0.1.0 (LLVM 19.1.7)" */
    const char *source_path, *source_dir;
    uint64_t model_hash;
    int32_t float_bytes;           /* 4, or 8 with --float=64 */
    int64_t memory, scratch;       /* bytes; scratch per thread */
    int64_t persistent;            /* leaves lie in mem[0, persistent): one memcpy keeps the weights */
    const GrLeaf *leaves; int32_t nleaves;
    const GrHyper *hypers; int32_t nhypers;
    const GrProgram *programs; int32_t nprograms;
    const GrSource *sources; int32_t nsources;
    const GrSet *sets; int32_t nsets;
    const char *const *inputs; int32_t ninputs;   /* model inputs by name, in order */
    const char *const *outputs; int32_t noutputs; /* model outputs; "NAME.target" is the datum */
    int64_t seed_offset;           /* uint64 seed in mem, read by draws */
    int64_t batch, epochs, steps;  /* steps 0: by epochs */
    uint64_t seed;
    int32_t last_drop, best_max, has_stop;
    const char *best;              /* "loss" or a metric */
    int64_t parameters;            /* learned numbers */
    const GrBatchStage *stages; int32_t nstages; /* a batch that changes; `batch` is the largest */
    int32_t stages_by_step, batch_all; /* all: every update takes the whole training set */
    int32_t min_batch;             /* examples that an update needs: 2 where it normalizes over them */
    const GrLoad *loads; int32_t nloads;
    const GrTrace *traces; int32_t ntraces;
    int64_t trace_memory;
    const struct GrModel *next;    /* the next training of the same file, or NULL */
} GrModel;
extern const GrModel gr_model;
#endif
