/* SPDX-License-Identifier: MIT
 * Inside back/: the state of emission of one kernel and the pieces it is made of.
 * Needs the plan and LLVM's C API. Not seen outside of back/. */
#ifndef GRADUS_EMIT_H
#define GRADUS_EMIT_H
#include "back.h"
#include "mathops.h"
#include "plan.h"
#include <llvm-c/Core.h>

enum { MAX_TILE = 64 };
#define CALL_PREFIX "gr_call_" /* functions of the runtime that generated code calls */

/* One element of a tile: offsets from the tile's first element along each dimension (in lanes along
 * the lane dimension) and along the blocks. */
typedef struct Pos {
    int16_t off[MAX_DIMS];
    int16_t block;
} Pos;

typedef struct MemoSlot {
    const void *key;
    uint64_t place; /* hash of the offsets that matter */
    uint32_t generation;
    LLVMValueRef value;
} MemoSlot;

/* The function of kernels that differ in where their buffers lie, and a kernel's part in it. */
typedef struct Share {
    int uses;
    LLVMValueRef function; /* NULL: not emitted yet */
} Share;
typedef struct KernelShare {
    Share *share;
    Buffer **buffer; /* in the order of the signature */
    int nbuffers;
} KernelShare;

/* Of all programs of all trainings of a file. */
typedef struct Sharing {
    Map shares, share_of; /* signature -> Share; Kernel -> KernelShare */
} Sharing;

typedef struct Emitter {
    Plan *plan;
    ProgramPlan *program;
    Arena *arena;
    LLVMContextRef context;
    LLVMModuleRef module, trace_module;
    LLVMBuilderRef builder;
    LLVMTypeRef i1, i8, i32, i64, f32, f64, ptr, nothing;
    MathEmit math;
    /* the running function */
    Kernel *kernel;
    LLVMValueRef function, mem, scratch, blocks, from, to;
    LLVMBasicBlockRef entry;    /* allocas go here */
    LLVMTypeRef element;        /* float or double: everything in the kernel is computed in it */
    Carrier mode;               /* what lanes run along in the code emitted now */
    LLVMValueRef block;         /* number of the lane block, i64 */
    LLVMValueRef example;       /* BATCH_SEQUENCE: example within the block, i64; else NULL */
    LLVMValueRef dim[MAX_DIMS]; /* first element of the tile */
    int64_t low[MAX_DIMS], high[MAX_DIMS]; /* of all its elements, as far as it is known */
    int64_t tail;               /* lanes in use along the lane dimension; 0: all */
    int tail_at;                /* in the vector at this place of the tile */
    int residue[MAX_DIMS];  /* that run now, along axes whose places are run some apart */
    bool parted;            /* there are such */
    Map bodies;             /* parted: comp Node -> its body in terms of the places that run now */
    LLVMValueRef alias_read; /* metadata: what is only read is not what is written */
    unsigned kind_scope, kind_noalias;
    /* guards that the bounds of a reduction's loops already imply: coordinate m of a read */
    const Scalar *clipped[64];
    int clipped_at[64];
    int nclipped;
    Sharing *sharing;
    const KernelShare *places; /* in a shared function: whose buffers `place` holds; else NULL */
    LLVMValueRef *place;
    MemoSlot *memo;
    uint32_t generation;
} Emitter;

/* emit.c: types, loops, memo, stack */
void emit_init(Emitter *e, Plan *plan, Sharing *sharing, LLVMContextRef context,
               LLVMModuleRef module);
LLVMValueRef emit_i64(Emitter *e, int64_t value);
LLVMTypeRef emit_vector(LLVMTypeRef element); /* of LANES */
bool emit_is_vector(LLVMValueRef value);
LLVMValueRef emit_splat(Emitter *e, LLVMValueRef scalar);
LLVMValueRef emit_iota(Emitter *e); /* <16 x i64> 0 .. 15 */
LLVMValueRef emit_alloca(Emitter *e, LLVMTypeRef type);
LLVMValueRef emit_load(Emitter *e, LLVMTypeRef type, LLVMValueRef pointer, unsigned align,
                       bool only_read);
void emit_store(Emitter *e, LLVMValueRef value, LLVMValueRef pointer, unsigned align);
LLVMValueRef emit_offset(Emitter *e, LLVMValueRef pointer,
                         LLVMValueRef bytes);                     /* bytes may be NULL */
LLVMValueRef int_min(Emitter *e, LLVMValueRef a, LLVMValueRef b); /* signed integers */
LLVMValueRef int_max(Emitter *e, LLVMValueRef a, LLVMValueRef b);
typedef struct Loop {
    LLVMBasicBlockRef body, exit;
    LLVMValueRef index, end;
    int64_t step;
} Loop;
/* for (i = start; i < end; i += step): loop.index is i. */
Loop loop_begin(Emitter *e, LLVMValueRef start, LLVMValueRef end, int64_t step);
void loop_end(Emitter *e, const Loop *loop);
/* if (condition) { … } */
LLVMBasicBlockRef when_begin(Emitter *e, LLVMValueRef condition);
void when_end(Emitter *e, LLVMBasicBlockRef after);
/* What was computed before may not be reused from here on (another iteration, another branch). */
void memo_forget(Emitter *e);
LLVMValueRef memo_get(Emitter *e, const void *key, uint64_t place);
void memo_put(Emitter *e, const void *key, uint64_t place, LLVMValueRef value);
uint64_t pos_hash(const Pos *pos, uint32_t dims, bool block);

/* access.c: index forms and reads */
LLVMValueRef emit_ix(Emitter *e, const Ix *ix, const Pos *pos); /* i64, or <16 x i64> */
LLVMValueRef emit_read(Emitter *e, const Scalar *read, const Pos *pos);
LLVMValueRef emit_buffer(Emitter *e, const Buffer *buffer,
                         int block); /* its place for a block of the tile */
/* Asks for what the read finds at pos, ahead of time; false where it is not one vector. */
bool emit_prefetch(Emitter *e, const Scalar *read, const Pos *pos);
/* What block e->block adds to a sum over the examples: sixteen elements along the lanes, or one. */
LLVMValueRef emit_leaf(Emitter *e, const Node *node, const Pos *pos);
/* Writes the value of `node` at pos (vector, or scalar where no lanes run). */
void emit_write(Emitter *e, const Node *node, const Pos *pos, LLVMValueRef value);
/* Is coordinate m of a read known to be inside, here? At pos, or (NULL) for the whole tile. */
bool read_is_inside(const Emitter *e, const Scalar *read, int m, const Pos *pos);
/* Is the read known to fall outside at pos? */
bool read_is_outside(const Emitter *e, const Scalar *read, const Pos *pos);
/* A number, where it is known now. */
bool emit_known(LLVMValueRef value, int64_t *number);

/* scalar.c: scalar expressions at one element of the tile */
LLVMValueRef emit_scalar(Emitter *e, const Scalar *s, const Pos *pos);
LLVMValueRef emit_number(Emitter *e, const Scalar *s, const Pos *pos); /* i1 becomes 1 or 0 */
LLVMValueRef emit_as_lanes(Emitter *e, LLVMValueRef value);            /* splat if lanes run */

/* space.c: what the node computes, at the places that run now */
const Scalar *emit_body_of(Emitter *e, const Node *node);

/* tile.c: reductions of a tile, then its maps, then its stores */
typedef struct Tile {
    Pos pos[MAX_TILE];
    int n;
} Tile;
void emit_tile(Emitter *e, const Tile *tile);

/* ahead.c: prefetches */
void ahead_of_maps(Emitter *e, const Tile *tile); /* before the tile's reductions */
/* In the innermost loop of a sum that makes leaves; `tile`: its elements at the steps that are
 * written out now. */
void ahead_of_walk(Emitter *e, const Tile *tile);

/* batch.c: sums over the examples */
void emit_batch_tile(Emitter *e, const Tile *tile,
                     LLVMValueRef *results); /* results[reduction * n + pos] */
/* BATCH_LEAVES: the sum over all blocks of what each left. */
LLVMValueRef emit_leaves(Emitter *e, const Node *node, const Pos *pos);
void emit_reduction_loops(Emitter *e, const Tile *tile, LLVMValueRef *sums, LLVMValueRef *where);
LLVMValueRef reduction_start(Emitter *e, Reduce reduce, bool lanes);
LLVMValueRef reduction_join(Emitter *e, Reduce reduce, LLVMValueRef a, LLVMValueRef b);

/* space.c: loops over a kernel's space; one function per kernel */
LLVMValueRef emit_kernel(Emitter *e, Kernel *kernel, const char *name);
/* units of work that a UNITS phase is divided in, whatever its kernels */
enum { SHARES = 5040 };

/* share.c: one function for kernels of one structure */
Sharing *share_new(Arena *arena);
void share_find(Emitter *e); /* in all programs of e's plan, before any is emitted */
void share_enter(Emitter *e, const KernelShare *mine, LLVMValueRef table);
LLVMValueRef share_place(Emitter *e, const Buffer *buffer); /* bytes from mem or scratch */
/* A function of that name that calls the shared one with this kernel's buffers. */
LLVMValueRef share_call(Emitter *e, const KernelShare *mine, const char *name);

/* table.c: phases and gr_model */
/* The table of a training; `next`: that of the next one, or NULL. The first is `gr_model`. */
LLVMValueRef emit_model(Emitter *e, const BackOptions *options, LLVMValueRef next, bool first);
#endif
