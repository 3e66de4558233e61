/* SPDX-License-Identifier: MIT
 * Random models by the thousand: each in a process of its own, under settings drawn by its seed;
 * what differs is shrunk. Needs check.h and random.h. */
#ifndef GRADUS_SWEEP_H
#define GRADUS_SWEEP_H
#include "check.h"
typedef struct Sweep {
    Config config;     /* settings 0: drawn by the seed, and examples 0 too */
    bool library;      /* texts of the library's defs; else graphs */
    uint64_t from, to; /* seeds */
    int shrink;        /* most trials for a model that differs */
    const char *keep;  /* folder for the shrunk ones, or NULL */
} Sweep;
/* True for "random:7", "random:3-9", "layers:7", "layers:3-9". */
bool sweep_subject(Sweep *sweep, const char *subject);
/* Says what differs, then how many were compared; returns how many were faulty, refusals not
 * counted. */
int sweep_run(const Sweep *sweep);
#endif
