/* SPDX-License-Identifier: MIT
 * A compiled unit in this process, for tests: opened as a shared object, its memory, its
 * buffers and programs. Needs the compiler and the runtime's abi. Compares nothing. */
#ifndef GRADUS_NATIVE_H
#define GRADUS_NATIVE_H
#include "abi.h"
#include "back.h"

enum { NATIVE_THREADS = 3 };
typedef struct Native {
    void *library;
    const GrModel *model;
    char *mem, *scratch[NATIVE_THREADS];
    int bytes; /* of a number */
} Native;

/* Compiles the unit (after all passes) and loads it; `how` says cpu, level, float_bytes and, or
 * NULL, runtime. False where it could not be built or loaded; that is said. */
bool native_open(Native *native, Arena *arena, Unit *unit, const BackOptions *how);
void native_close(Native *native);
/* From a unit to the one behind it, `unit->next`, which is in the same library. */
void native_next(Native *native);
/* All of memory NaN, so that what is read before it is written shows. */
void native_clear(Native *native);
const GrProgram *native_program(const Native *native, const char *name); /* NULL where absent */

void native_put(Native *native, int64_t offset, int64_t index, int bytes, double value);
double native_get(const Native *native, int64_t offset, int64_t index, int bytes);
/* Index of element number `element` of `example` in the buffer. */
int64_t native_place(const GrBuffer *buffer, int64_t example, int64_t element);
/* Values ([example][element], or [element] where shared) into a buffer; dead lanes repeat the last
 * example; the buffer "live" is 1 for examples and 0 behind them, whatever `values`. */
void native_fill(Native *native, const GrBuffer *buffer, const double *values, int64_t count,
                 int64_t examples);
/* Runs all phases by so many threads (at most NATIVE_THREADS), as the runtime's team hands out
 * units, but however little there is to do; 0: by one, in the smallest pieces that threads could be
 * given. */
void native_run(Native *native, const GrProgram *program, int64_t examples, int threads);
#endif
