/* SPDX-License-Identifier: MIT
 * Chooses register tiles: which output elements (and lane blocks) a reduction computes together so
 * that each load feeds several multiply-adds. By index classes, never by what the node is for.
 * Needs carriers; keeps every bit (each sum keeps its order). */
#include "plan.h"

enum { BLOCK_AXIS = MAX_DIMS, AXES = MAX_DIMS + 1 };

typedef struct TileRead {
    uint32_t dims;    /* axes it depends on, the block axis among them */
    uint32_t guarded; /* axes that decide whether it falls outside */
    bool vector;
} TileRead;

typedef struct Tiling {
    const Kernel *kernel;
    TileRead read[64];
    int n;
    uint32_t
        fixed; /* axes that may not be tiled: they stand under a floor or a computed position */
} Tiling;

/* Dimensions as axes: those beyond the last axis are run by it; reduced ones keep their number. */
static uint32_t axes_of(const Kernel *kernel, uint32_t dims) {
    uint32_t axes = 0;
    for (int d = 0; d < MAX_DIMS; d++)
        if (dims >> d & 1) axes |= 1u << plan_axis(kernel, d);
    return axes;
}

static void tile_read(const Scalar *read, void *context) {
    Tiling *tiling = context;
    if (tiling->n == LENGTH(tiling->read)) return;
    TileRead *entry = &tiling->read[tiling->n++];
    entry->vector = read->node->per_example;
    for (int m = 0; m < read->node->rank; m++) {
        const Ix *ix = read->at[m];
        uint32_t dims = axes_of(tiling->kernel, ix_dims(ix));
        entry->dims |= dims;
        int64_t lo, hi;
        bool known = ix_range(ix, tiling->kernel->extent, &lo, &hi);
        if (!known || lo < 0 || hi >= read->node->extent[m]) entry->guarded |= dims;
        for (int t = 0; t < ix->n; t++) {
            if (ix->term[t].kind == ATOM_FLOOR)
                tiling->fixed |= axes_of(tiling->kernel, ix_dims(ix->term[t].inner));
            if (ix->term[t].kind == ATOM_VALUE) tiling->fixed |= dims;
        }
    }
    if (read->node->per_example && tiling->kernel->per_example) entry->dims |= 1u << BLOCK_AXIS;
}

/* Loads for each multiply-add in a tile of m along a and n along b. */
static double tile_cost(const Tiling *tiling, int a, int m, int b, int n, int budget) {
    double loads = 0;
    int live = 0;
    for (int i = 0; i < tiling->n; i++) {
        const TileRead *read = &tiling->read[i];
        int times = 1;
        if (a >= 0 && read->dims >> a & 1) times *= m;
        if (b >= 0 && read->dims >> b & 1) times *= n;
        bool guarded = (a >= 0 && read->guarded >> a & 1) || (b >= 0 && read->guarded >> b & 1);
        bool broadcast = !read->vector && times > 1;
        loads += times * (guarded ? 3.0 : 1.0);
        live += broadcast ? 1 : read->vector && times > 1 ? times : 1;
    }
    int sums = m * n * tiling->kernel->reductions.len;
    if (sums + live > budget) return 1e9;
    double cost = loads / (m * n) / 2;
    if (cost < 0.5) cost = 0.5 + 0.1 * cost;       /* two loads and two multiply-adds a cycle */
    if (sums < 8) cost += (8.0 / sums - 1) * 0.25; /* too few chains to hide the latency */
    return cost;
}

static int64_t axis_extent(const ProgramPlan *program, const Kernel *kernel, int axis) {
    if (axis == BLOCK_AXIS) return program->blocks;
    int64_t extent = kernel->axis[axis];
    return axis == kernel->lane_axis && kernel->carrier == CARRY_DIM ? (extent + LANES - 1) / LANES
                                                                     : extent;
}

/* What a last, smaller tile costs on top. */
static double remainder_share(int64_t extent, int m) {
    int64_t rest = extent % m;
    return rest ? (double)rest / (double)extent * (m - (double)rest) / m : 0;
}

static void set_tile(Kernel *kernel, int axis, int m) {
    if (axis < 0) return;
    if (axis == BLOCK_AXIS)
        kernel->block_tile = m;
    else
        kernel->tile[axis] = m;
}

/* Elements that share a block of draws should stand in one tile. */
static bool wants_draws(const Kernel *kernel) {
    int last = kernel->axes - 1;
    if (kernel->carrier != CARRY_BATCH || kernel->batch_sum || last < 0) return false;
    if (kernel->group && last == 0) return false;
    if (kernel->axes > 1 && kernel->axis[last] % DRAW_TILE) return false; /* rows would not align */
    for (int i = 0; i < kernel->maps.len; i++)
        if (kernel->maps.at[i]->body->draws_own) return true;
    return false;
}

static bool breaks_draws(const Kernel *kernel, int axis, int m) {
    return kernel->draws && axis == kernel->axes - 1 && m % DRAW_TILE;
}

static void search(const ProgramPlan *program, Kernel *kernel, const Tiling *tiling, int budget) {
    double best = 1e9;
    int best_a = -1, best_b = -1, best_m = 1, best_n = 1;
    bool blocks = kernel->kind == KERNEL_UNITS && kernel->per_example;
    for (int a = 0; a < AXES; a++) {
        if ((a >= kernel->axes && a != BLOCK_AXIS) || (a == BLOCK_AXIS && !blocks)) continue;
        if (tiling->fixed >> a & 1) continue;
        if (kernel->group && a == 0) continue; /* one step at a time */
        int64_t ea = axis_extent(program, kernel, a);
        for (int b = a; b < AXES; b++) { /* b == a: one axis alone */
            if ((b >= kernel->axes && b != BLOCK_AXIS) || (b == BLOCK_AXIS && !blocks)) continue;
            if (tiling->fixed >> b & 1) continue;
            int64_t eb = b == a ? 1 : axis_extent(program, kernel, b);
            for (int m = 1; m <= 26 && m <= ea; m++) {
                if (breaks_draws(kernel, a, m)) continue;
                for (int n = 1; n <= 26 && n <= eb; n++) {
                    if (b != a && breaks_draws(kernel, b, n)) continue;
                    double cost = tile_cost(tiling, a, m, b == a ? -1 : b, n, budget);
                    cost *= 1 + remainder_share(ea, m) + remainder_share(eb, n);
                    if (cost < best - 1e-9) {
                        best = cost, best_a = a, best_m = m, best_b = b == a ? -1 : b, best_n = n;
                    }
                }
            }
        }
    }
    set_tile(kernel, best_a, best_m);
    set_tile(kernel, best_b, best_n);
}

static void choose_split(const ProgramPlan *program, Kernel *kernel) {
    if (kernel->kind != KERNEL_UNITS) return;
    int64_t most = 0;
    for (int d = 0; d < kernel->axes; d++) {
        int64_t tiles = axis_extent(program, kernel, d) / kernel->tile[d];
        if (tiles > most) most = tiles, kernel->split = d;
    }
}

void plan_tile(const Plan *plan, ProgramPlan *program, Kernel *kernel) {
    if (program->trace) {
        choose_split(program, kernel);
        return;
    }
    kernel->draws = wants_draws(kernel);
    if (kernel->draws && !kernel->reductions.len) kernel->tile[kernel->axes - 1] = DRAW_TILE;
    if (kernel->reductions.len && !kernel->transpose) {
        Tiling tiling = {.kernel = kernel};
        for (int i = 0; i < kernel->reductions.len; i++)
            sc_reads(kernel->reductions.at[i]->body, tile_read, &tiling);
        int bytes = kernel->wide ? 8 : plan->target.float_bytes;
        int each = LANES * bytes / plan->target.register_bytes;
        int budget = plan->target.registers / (each > 0 ? each : 1);
        if (kernel->carrier == CARRY_NONE) budget = 8;
        if (kernel->reductions.at[0]->reduce != RED_SUM) budget /= 2;
        search(program, kernel, &tiling, budget > 2 ? budget : 2);
        if (kernel->draws) kernel->draws = kernel->tile[kernel->axes - 1] % DRAW_TILE == 0;
    }
    choose_split(program, kernel);
}
