/* SPDX-License-Identifier: MIT
 * A tape of small decisions: drawn from a seed and recorded, or replayed; and made shorter.
 * Needs libc alone. Knows no models: whatever is built by choosing can be shrunk by it. */
#include "choice.h"
#include <string.h>

void choices_seed(Choices *choices, uint64_t seed) {
    choices->random = seed;
    choices->replay = false;
    choices->next = choices->len = 0;
}

static uint64_t next_random(Choices *c) { /* splitmix64 (Steele et al. 2014) */
    uint64_t z = (c->random += UINT64_C(0x9e3779b97f4a7c15));
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

int choose(Choices *c, int n) {
    if (c->replay) return c->next < c->len ? c->at[c->next++] % n : 0;
    if (c->len == MOST_CHOICES) return 0;
    int choice = (int)(next_random(c) % (uint64_t)n);
    c->at[c->len++] = (uint16_t)choice;
    return choice;
}

bool choose_rarely(Choices *c, int n) {
    return choose(c, n) == n - 1;
}

/* ---- Shrinking: pieces go, then become 0, then single choices become smaller; again from the
 * start as long as something was won (Hypothesis' way, MacIver & Donaldson 2020). */
typedef struct Shrink {
    Choices *best;
    bool (*fails)(const Choices *, void *);
    void *context;
    int trials, most;
} Shrink;

static bool better(Shrink *s, Choices *candidate) {
    if (s->trials >= s->most) return false;
    s->trials++;
    candidate->replay = true;
    candidate->next = 0;
    if (!s->fails(candidate, s->context)) return false;
    *s->best = *candidate;
    return true;
}

static bool without(Shrink *s, int from, int count) {
    Choices c = *s->best;
    memmove(c.at + from, c.at + from + count, sizeof *c.at * (size_t)(c.len - from - count));
    c.len -= count;
    return better(s, &c);
}

static bool zeroed(Shrink *s, int from, int count) {
    Choices c = *s->best;
    bool any = false;
    for (int i = from; i < from + count; i++) {
        any |= c.at[i] != 0;
        c.at[i] = 0;
    }
    return any && better(s, &c);
}

static bool smaller(Shrink *s, int at) {
    bool won = false;
    for (int step = s->best->at[at] / 2; s->best->at[at] > 0; step /= 2) {
        Choices c = *s->best;
        c.at[at] = (uint16_t)(c.at[at] - (step ? step : 1));
        if (better(s, &c))
            won = true;
        else if (!step)
            break;
    }
    return won;
}

static bool pieces(Shrink *s, bool (*change)(Shrink *, int, int)) {
    bool won = false;
    for (int size = 256; size > 0; size /= 2)
        for (int end = s->best->len; end >= size;) {
            bool gone = change(s, end - size, size);
            won |= gone;
            end -= size;
            if (end > s->best->len) end = s->best->len;
        }
    return won;
}

int choices_shrink(Choices *choices, bool (*fails)(const Choices *, void *), void *context,
                   int most) {
    Shrink s = {choices, fails, context, 0, most};
    choices->replay = true;
    for (bool won = true; won && s.trials < most;) {
        won = pieces(&s, without) | pieces(&s, zeroed);
        for (int i = 0; i < choices->len; i++)
            won |= smaller(&s, i);
    }
    return s.trials;
}
