/* SPDX-License-Identifier: MIT
 * What the libFuzzer targets of the compiler share. Needs base.
 * Diagnostics go where they always go: the runs close the error output (-close_fd_mask=3). */
#ifndef GRADUS_TARGET_H
#define GRADUS_TARGET_H
#include "base.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Forgets the diagnostics and all memory of this input. */
static inline void fuzz_end(Arena *arena) {
    diag_flush();
    diag_reset();
    arena_free(arena);
}
#endif
