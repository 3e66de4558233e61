/* SPDX-License-Identifier: MIT
 * Prefetches: what a tile will read where no stream leads that the processor would see coming, or
 * where its own guess comes late. Needs the loops' places. Changes no value. */
#include "emit.h"

enum {
    HIDING_TERMS = 32, /* a sum as long as this hides what its maps read */
    ROW_BYTES = 4096,  /* this much is walked before what was asked for is there */
    FMAS_EACH = 8      /* more prefetches of a read, and they would take the place of loads */
};

typedef struct Ahead {
    Emitter *e;
    const Tile *tile;
    int inner, by; /* of a walk: the dimension that runs, and steps ahead of the one before it */
    double bytes;  /* that it touches */
} Ahead;

static void read_of_map(const Scalar *read, void *context) {
    const Ahead *ahead = context;
    Emitter *e = ahead->e;
    if (map_get(&e->program->kernel_of, read->node) == e->kernel) return;
    uint32_t dims = 0;
    for (int m = 0; m < read->node->rank; m++)
        dims |= ix_dims(read->at[m]);
    for (int p = 0; p < ahead->tile->n; p++) {
        const Pos *pos = &ahead->tile->pos[p];
        uint64_t place = pos_hash(pos, dims, true);
        const char *asked = (const char *)read + 1; /* its value, which is not made, has another key */
        if (memo_get(e, asked, place)) continue;
        if (!emit_prefetch(e, read, pos)) return;
        memo_put(e, asked, place, e->mem);
    }
}

void ahead_of_maps(Emitter *e, const Tile *tile) {
    const Kernel *kernel = e->kernel;
    int64_t terms = kernel->batch_sum ? e->program->batch : 1;
    for (int d = kernel->rank; d < kernel->rank + kernel->nred; d++)
        terms *= kernel->extent[d];
    if (terms < HIDING_TERMS || kernel->batch_sum == BATCH_LANES || e->mode == CARRY_NONE) return;
    Ahead ahead = {.e = e, .tile = tile};
    for (int i = 0; i < kernel->maps.len; i++)
        sc_reads(emit_body_of(e, kernel->maps.at[i]), read_of_map, &ahead);
    memo_forget(e);
}

/* Does the read find at b what it would find at a, `steps` further along dim? */
static bool same_place(const Emitter *e, const Scalar *read, const Pos *a, int dim, int steps,
                       const Pos *b) {
    for (int m = 0; m < read->node->rank; m++) {
        int64_t distance = steps * ix_coef(read->at[m], dim);
        for (int d = 0; d < e->kernel->rank + e->kernel->nred; d++)
            distance += ix_coef(read->at[m], d) * (a->off[d] - b->off[d]);
        if (distance) return false;
    }
    return true;
}

/* Of places that steps of the walk come by one after the other, the foremost. */
static void read_of_walk(const Scalar *read, void *context) {
    const Ahead *ahead = context;
    Emitter *e = ahead->e;
    const Tile *tile = ahead->tile;
    int inner = ahead->inner, outer = inner - 1;
    Pos there[MAX_TILE];
    int n = 0;
    bool moves = false;
    for (int m = 0; m < read->node->rank; m++)
        moves |= ix_coef(read->at[m], inner) != 0;
    for (int p = 0; p < tile->n && moves; p++) {
        const Pos *pos = &tile->pos[p];
        bool seen = false;
        for (int q = 0; q < tile->n && !seen; q++)
            seen = (q < p && same_place(e, read, pos, inner, 0, &tile->pos[q])) ||
                   same_place(e, read, pos, inner, 1, &tile->pos[q]) ||
                   same_place(e, read, pos, outer, 1, &tile->pos[q]);
        if (seen) continue;
        there[n] = *pos;
        there[n++].off[outer] += (int16_t)ahead->by;
    }
    if (n * FMAS_EACH > tile->n) return;
    for (int i = 0; i < n; i++)
        emit_prefetch(e, read, &there[i]);
}

static void add_footprint(const Scalar *read, void *context) {
    Ahead *ahead = context;
    const Emitter *e = ahead->e;
    ahead->bytes += plan_footprint(e->plan, e->program, e->kernel, read, 0);
}

void ahead_of_walk(Emitter *e, const Tile *tile) {
    const Kernel *kernel = e->kernel;
    int inner = kernel->rank + kernel->nred - 1;
    int64_t known;
    if (kernel->nred < 2 || emit_known(e->dim[inner], &known)) return;
    Ahead ahead = {.e = e, .tile = tile, .inner = inner};
    for (int r = 0; r < kernel->reductions.len; r++)
        sc_reads(emit_body_of(e, kernel->reductions.at[r]), add_footprint, &ahead);
    if (ahead.bytes <= (double)e->plan->target.l1_bytes) return;
    ahead.by = (int)(ROW_BYTES / (kernel->extent[inner] * LANES * e->plan->target.float_bytes));
    if (ahead.by < 1) ahead.by = 1;
    for (int r = 0; r < kernel->reductions.len; r++)
        sc_reads(emit_body_of(e, kernel->reductions.at[r]), read_of_walk, &ahead);
}
