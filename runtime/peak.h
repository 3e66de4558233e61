/* SPDX-License-Identifier: MIT
 * What this machine can do at most: fused multiply-adds and memory traffic of one thread, measured
 * now. Needs a processor that is not busy with something else. Knows nothing of models. */
#ifndef GRADUS_PEAK_H
#define GRADUS_PEAK_H
#include <stddef.h>

enum { PEAK_WIDTHS = 3 };
extern const int peak_bits[PEAK_WIDTHS]; /* widths of vectors: 128, 256, 512 */
/* FLOP/s of fused multiply-adds on vectors of a width, numbers of 4 or 8 bytes; 0 where the machine
 * has none. Takes some milliseconds. */
double peak_fma(int width, int bytes);
/* Bytes/s of reading `size` bytes of memory, and of reading and writing them. */
double peak_read(const char *memory, size_t size);
double peak_update(char *memory, size_t size);
#endif
