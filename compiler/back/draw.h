/* SPDX-License-Identifier: MIT
 * Draws as inline LLVM IR: Philox4x32-10 and what is made of its words.
 * Needs mathops. Does not know where seeds, example numbers or steps are kept. */
#ifndef GRADUS_DRAW_H
#define GRADUS_DRAW_H
#include "mathops.h"

/* Emits one draw. `type` is float or double; the result is a vector of it if any operand is a
 * vector (all vectors have the same width), else a scalar: a number in (0, 1), a standard normal
 * one, or 1 or 0. `seed` is an i64; the others are i32: the element's number, the example's number
 * or the step, the presentation (0 for shared draws). `p`, of the type, is for DRAW_BERNOULLI. */
LLVMValueRef draw_emit(const MathEmit *m, Draw kind, LLVMTypeRef type, LLVMValueRef seed,
                       uint32_t place, LLVMValueRef element, LLVMValueRef number,
                       LLVMValueRef presentation, LLVMValueRef p);

/* The same in two steps, for code that knows that several elements lie in one block: elements
 * draw_span(kind) * counter + 0, 1, … share the block of `counter` (span 4, or 8 for bernoulli).
 * A block costs as much as one draw. */
typedef struct DrawBlock {
    LLVMValueRef word[4]; /* i32 each */
} DrawBlock;
unsigned draw_span(Draw kind);
DrawBlock draw_block(const MathEmit *m, LLVMValueRef seed, uint32_t place, LLVMValueRef counter,
                     LLVMValueRef number, LLVMValueRef presentation);
/* `position` (i32, 0 .. draw_span - 1): the element's place in the block; cheap if constant. */
LLVMValueRef draw_value(const MathEmit *m, Draw kind, LLVMTypeRef type, const DrawBlock *block,
                        LLVMValueRef position, LLVMValueRef p);
#endif
