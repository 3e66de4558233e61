/* SPDX-License-Identifier: MIT
 * From a frozen Unit to LLVM IR, an object, or a linked executable. Needs ir and pass; the only
 * folder that includes LLVM. */
#ifndef GRADUS_BACK_H
#define GRADUS_BACK_H
#include "ir.h"
typedef enum Emit {
    EMIT_EXE,
    EMIT_OBJ,
    EMIT_ASM,
    EMIT_LLVM,
    EMIT_LIB
} Emit; /* LIB: a shared object */
typedef struct BackOptions {
    Emit emit;
    const char *output;  /* path; NULL or "-" (text forms): stdout */
    const char *cpu;     /* "native" (default where NULL), "x86-64-v3", … */
    const char *target;  /* triple; NULL: this machine's */
    int level;           /* -O0 .. -O3 */
    int float_bytes;     /* 4 or 8 */
    const char *runtime; /* path of libgradus_runtime.a */
    bool apart;          /* fuse nothing */
    bool one;            /* for tests: a program of one example for each model, however small */
    bool time;           /* print the time of each stage to stderr */
} BackOptions;
/* False where a fault was diagnosed (output not writable, linker failed). Output is written to a
 * temporary file beside it and renamed. */
bool back_build(Unit *unit, const BackOptions *options);
void back_plan_print(FILE *out, Unit *unit,
                     const BackOptions *options); /* phases, kernels, tiles, buffers */
/* What each phase and kernel of a step has to do, and how long it takes at least where one thread
 * does so many GFLOP/s and memory moves so many GB/s; 0: as this machine does, measured now, memory
 * over as many bytes as the plan has. */
void back_work_print(FILE *out, Unit *unit, const BackOptions *options, double gflops,
                     double gigabytes);
const char *back_llvm_version(void);
const char *back_host_cpu(void);
/* Exact memory that an executable will plan, in bytes: state, and working memory of the largest
 * program. */
void back_memory(Unit *unit, const BackOptions *options, int64_t *persistent, int64_t *total);
#endif
