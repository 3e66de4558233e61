/* SPDX-License-Identifier: MIT
 * A tape of small decisions: drawn from a seed and recorded, or replayed; and made shorter.
 * Needs libc alone. Knows no models: whatever is built by choosing can be shrunk by it. */
#ifndef GRADUS_CHOICE_H
#define GRADUS_CHOICE_H
#include <stdbool.h>
#include <stdint.h>

enum { MOST_CHOICES = 4096 };
/* Choice 0 is the simplest one everywhere: what a tape does not say, or no longer, is 0. */
typedef struct Choices {
    uint64_t random;
    bool replay; /* else drawn, and recorded */
    int next, len;
    uint16_t at[MOST_CHOICES];
} Choices;

void choices_seed(Choices *choices, uint64_t seed);
int choose(Choices *choices, int n);         /* 0 .. n-1; n is at most 65536 */
bool choose_rarely(Choices *choices, int n); /* true once in n; false is simple */

/* Looks for a shorter tape of smaller choices that still `fails`, which holds for the one given, by
 * at most `most` trials; returns how many it took. The tape is replayed afterwards. */
int choices_shrink(Choices *choices, bool (*fails)(const Choices *, void *), void *context,
                   int most);
#endif
