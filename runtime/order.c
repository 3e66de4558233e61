/* SPDX-License-Identifier: MIT
 * The order of examples in an epoch. Needs philox.h. A function of seed, epoch and count alone. */
#include "philox.h"
#include "run.h"

/* Keeps these draws apart from those of the model, whose last word is the hash of a place. */
static const uint32_t place = 0x6f726472; /* "ordr" */

/* Fisher and Yates; position i takes one 64-bit number, scaled to 0 .. i by multiplication (its
 * bias is below count / 2^64). */
void order_shuffle(uint32_t *order, int64_t count, uint64_t seed, uint32_t epoch) {
    for (int64_t i = 0; i < count; i++)
        order[i] = (uint32_t)i;
    for (int64_t i = count - 1; i > 0; i--) {
        Philox draw = philox(seed, (uint32_t)i, epoch, 0, place);
        uint64_t random = (uint64_t)draw.word[1] << 32 | draw.word[0];
        int64_t j = (int64_t)((unsigned __int128)random * (uint64_t)(i + 1) >> 64);
        uint32_t kept = order[i];
        order[i] = order[j];
        order[j] = kept;
    }
}
