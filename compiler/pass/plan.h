/* SPDX-License-Identifier: MIT
 * The plan: how a frozen program runs. Nodes are grouped into kernels (one loop nest each), kernels
 * into phases, values into buffers. Nothing here changes a bit: it chooses where and when.
 * Needs ir. Knows target constants, never the number of cores. */
#ifndef GRADUS_PLAN_H
#define GRADUS_PLAN_H
#include "ir.h"

enum { LANES = 16, BLOCK_AXIS = MAX_DIMS /* among axes: the lane blocks of a UNITS kernel */ };
enum { GUARD = ROOM(0, 64) }; /* bytes behind each buffer that nobody may write to: see GrGuard */

typedef struct PlanTarget {
    int float_bytes;      /* 4 or 8: of values that are not wide */
    int registers;        /* machine vector registers to spend in a tile (28 AVX-512, 14 AVX2) */
    int register_bytes;   /* of one */
    int64_t l1_bytes;     /* of the first data cache that a kernel may count on */
    int64_t shared_limit; /* bytes of a shared operand beyond which all blocks run together: half the
                             second cache */
    bool one;             /* a program of one example however small, of `eval` where nothing is
                             predicted: for tests */
    bool apart;           /* each node is a kernel of its own: for tests, which ask for equal bits */
} PlanTarget;

typedef struct Kernel Kernel;

/* Operations on numbers and bytes of memory touched: of one run, and besides of each example. */
typedef struct PlanWork {
    double flops, flops_each, bytes, bytes_each;
} PlanWork;

/* Where a value lies. Shared: row-major. Per example: [block][element][16]; transposed:
 * [block][16][padded elements]. In `scratch` (one block, of the running thread) or in mem. */
typedef struct Buffer {
    Node *node;
    bool transposed, scratch, persistent;
    bool leaf;            /* one value of a shared node for each block: its sum over the examples there */
    int bytes;            /* of an element */
    int64_t elements;     /* of one example; transposed and per example: padded to 16 */
    int64_t block_stride; /* bytes from block to block */
    int64_t size;         /* bytes in all */
    int64_t offset;
    int first, last; /* phases (kernels, where in scratch) between which it lives */
} Buffer;

/* What the 16 lanes of a vector run along. */
typedef enum Carrier { CARRY_NONE, CARRY_BATCH, CARRY_DIM } Carrier;
typedef enum KernelKind { KERNEL_SERIAL, KERNEL_BLOCKS, KERNEL_UNITS } KernelKind;
/* How the sum over the examples goes (execution.md, "Sums over examples"). */
typedef enum BatchSum {
    BATCH_NONE,
    BATCH_LANES,    /* one accumulator a lane, then the lane tree */
    BATCH_SEQUENCE, /* example after example */
    BATCH_LEAVES    /* what another kernel summed in each block, leaf by leaf */
} BatchSum;

struct Kernel {
    int number;
    KernelKind kind;
    bool per_example, wide;
    int rank;                 /* of its space */
    int64_t extent[MAX_DIMS]; /* the space, then the reduced dimensions of its reductions */
    int nred;
    /* The loops over the space: dimensions axes-1 .. rank-1 are run as one where axes < rank. */
    int axes;
    int64_t axis[MAX_DIMS];
    VEC(Node *) reductions;    /* over the same space and the same reduced dimensions */
    VEC(Node *) maps;          /* after them, in order, over the same space */
    VEC(Node *) leaves;        /* BATCH_LEAVES: before the maps, sums over blocks of what a kernel of
                                  lane blocks left in their leaf buffers */
    bool constant;             /* of leaves of the model alone: see `ready` */
    bool striped;              /* sums by sixteen partials (execution.md, "All-shared sums") */
    bool makes_leaves;         /* that kernel: its reductions go to leaf buffers */
    VEC(Node *) calls;         /* nothing but results of one call of a function of whole tensors */
    Buffer *transpose;         /* a kernel that only transposes this buffer's node into it */
    Node *copy_from, *copy_to; /* a kernel that only copies a value to a leaf */
    BatchSum batch_sum;
    Carrier carrier;
    int lane_axis;      /* CARRY_DIM: always the last one; results lie along it */
    int tile[MAX_DIMS]; /* output elements computed together, along each axis */
    int apart[MAX_DIMS]; /* places that far apart along an axis are run together: one residue after
                            the other; 0: all */
    int block_tile;     /* the same along the blocks (UNITS and per example) */
    bool draws;         /* a tile begins where a block of draws does: one serves 4 or 8 elements */
    int split;          /* UNITS: axis that is divided among threads; -1: none */
    int loop[MAX_DIMS + 1]; /* axes in the order of the loops, outermost first */
    int loops;
    int phase;
    const ScanGroup *group; /* part of a recurrence: runs one step of dimension 0 at a time; or NULL */
    const char *name;       /* for people */
    PlanWork work;
    VEC(Kernel *) after; /* kernels that must have run */
};

typedef struct PlanPhase {
    KernelKind kind;
    VEC(Kernel *) kernels;
    PlanWork work;
} PlanPhase;

typedef struct ProgramPlan {
    const Program *program;
    int alias;       /* number of the program whose phases serve this one too, or -1 */
    int batch;       /* examples at most */
    int blocks;      /* ceil(batch / 16) */
    int leaf_blocks; /* blocks in a leaf of the sums over examples */
    bool wide;       /* everything in float64 (FIT) */
    bool trace;      /* every value is stored and stays; small code, not fast code */
    NodeList nodes;
    Map groups; /* Node -> ScanGroup of those in a recurrence */
    VEC(Kernel *) kernels;
    VEC(PlanPhase) phases;
    VEC(Buffer *) buffers;
    Map of_node; /* Node -> Buffer */
    Map of_node_transposed;
    Map of_node_leaf; /* Node -> Buffer of what each block adds to it */
    Map kernel_of;                 /* comp Node -> Kernel */
    Map stored;                    /* comp Node -> itself, where its value must be in memory */
    int ready;                     /* so many phases at first need no second run while leaves stay */
    Map ones;                      /* Node of a program of one example -> that of the batch's */
    Map in_place;                  /* comp Node -> leaf whose buffer it writes */
    Map doubles;                   /* operands of calls: float64 */
    Map padded;                    /* comp Node -> itself: see plan_pitch */
    Map bodies;                    /* comp Node -> its body where it is not the node's own: see plan_body */
    Buffer *number, *presentation; /* what draws see of each example; NULL where none looks */
    int64_t mem, scratch;          /* bytes of working memory beyond the persistent part */
} ProgramPlan;

typedef struct Plan {
    Arena *arena;
    Unit *unit;
    PlanTarget target;
    VEC(ProgramPlan *) programs;
    Map leaf; /* PARAM STATE FITTED HYPER Node -> Buffer, shared by all programs */
    VEC(Buffer *) persistent;
    int64_t persistent_size;          /* leaves, then hypers and the seed behind them */
    int64_t seed_offset, step_offset; /* uint64; double: the step that shared draws see */
    Map hyper;                        /* HYPER Node -> Buffer */
    int64_t memory, scratch;          /* totals */
    int64_t trace_memory;             /* of the program "trace", which has a block of its own */
} Plan;

Plan *plan_make(Arena *arena, Unit *unit, const PlanTarget *target);
void plan_print(FILE *out, const Plan *plan);
/* The step's phases and kernels with their work, and the least time where one thread does `gflops`
 * and memory moves `gigabytes` a second. */
void plan_work_print(FILE *out, const Plan *plan, double gflops, double gigabytes);
/* What a node computes, in terms of what is in memory when it runs; of its own value, its body's. */
const Scalar *plan_body(const ProgramPlan *program, const Node *node);
/* Buffer of a node (leaf or computed) in a program; NULL where it lives in registers only. */
Buffer *plan_buffer(const Plan *plan, const ProgramPlan *program, const Node *node);
bool plan_wide(const ProgramPlan *program, const Node *node, int float_bytes); /* float64? */

/* Elements in memory from one place of a node's first dimension to the next: its plane, and where
 * planes would all lie on the same sets of a cache, a little more. */
int64_t plan_pitch(const ProgramPlan *program, const Node *node);

/* Steps of plan_make, a file each. */
/* The program `source` for one example, its nodes in `ones`; NULL where it has none or is too small
 * for it. */
const Program *plan_one(Plan *plan, const Program *source, Map *ones);
void plan_pad(Plan *plan, ProgramPlan *program);      /* which nodes have a pitch of their own */
void plan_group(Plan *plan, ProgramPlan *program);    /* nodes to kernels */
void plan_sink(Plan *plan, ProgramPlan *program);     /* maps to where they are read */
void plan_schedule(Plan *plan, ProgramPlan *program); /* kernels to phases */
void plan_rematerialize(Plan *plan, ProgramPlan *program); /* maps that are made again, not stored */
void plan_memory(Plan *plan, ProgramPlan *program);   /* buffers and their places */
void plan_tile(const Plan *plan, ProgramPlan *program, Kernel *kernel);
void plan_work(const Plan *plan, ProgramPlan *program); /* names and work of kernels and phases */
void plan_order(const Plan *plan, const ProgramPlan *program, Kernel *kernel);
/* Bytes that a read touches while a tile of the kernel is computed, or, in a batch sum, for all
 * examples; `whole`: axes that run over their extent meanwhile. */
double plan_footprint(const Plan *plan, const ProgramPlan *program, const Kernel *kernel,
                      const Scalar *read, uint32_t whole);
/* Can a map run in the tiles of a kernel that it need not share operands with? */
bool plan_may_ride(Plan *plan, const ProgramPlan *program, const Kernel *kernel, const Node *node);
/* Linear element number of a read of `node`, as coefficient of `dim`; false where it is not affine.
 */
bool plan_stride(const Scalar *read, int dim, int64_t *stride);
bool plan_identity(const Scalar *read, int rank); /* at dims 0 .. rank-1, of that rank */
/* Does a kernel of a recurrence read what an earlier step of it left in memory? */
bool plan_carried(const ProgramPlan *program, const Kernel *kernel, const Scalar *read);
/* Must `kernel` run after `other`? All kernels of a recurrence do where one of them does. `mark`: by
 * number of kernel, holding other stamps before. */
bool plan_follows(const ProgramPlan *program, const Kernel *kernel, const Kernel *other, int *mark,
                  int stamp);
/* Stride of a read along the lanes of a CARRY_DIM kernel; false where it is not affine. */
bool plan_lane_stride(const Kernel *kernel, const Scalar *read, int64_t *stride);
/* Dimension `dim` of a kernel where residue `r` of its places runs: number of those, and the form of
 * the place in terms of it. */
int64_t plan_places(const Kernel *kernel, int dim, int r);
const Ix *plan_place(Graph *graph, const Kernel *kernel, int dim, int r);
/* The axis that a dimension of the space is run by. */
int plan_axis(const Kernel *kernel, int dim);
enum { DRAW_TILE = 8 };
/* Can the kernels of a recurrence run now? Adds them to a phase in the order of a step. */
bool plan_group_ready(const ProgramPlan *program, const ScanGroup *group);
void plan_group_place(Plan *plan, ProgramPlan *program, const ScanGroup *group, int number,
                      PlanPhase *phase);
/* Can dimensions from .. rank-1 be run as one for this node of the kernel? */
bool plan_merges(const Plan *plan, const ProgramPlan *program, const Kernel *kernel,
                 const Node *node, int from);
#endif
