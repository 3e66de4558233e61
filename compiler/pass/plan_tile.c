/* SPDX-License-Identifier: MIT
 * Chooses register tiles: which output elements (and lane blocks) a reduction computes together so
 * that each load feeds several multiply-adds. By index classes, never by what the node is for.
 * Needs carriers; keeps every bit (each sum keeps its order). */
#include "plan.h"

enum { AXES = MAX_DIMS + 1 };

typedef struct TileRead {
    const Scalar *read;
    uint32_t dims;    /* axes it depends on, the block axis among them */
    uint32_t guarded; /* axes that decide whether it falls outside */
    bool peels;       /* where it does, the loop over a reduced dimension can be cut there */
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

enum { MOST_APART = 4 };

/* A floor asks for its places one residue after the other: then it is an affine form. */
static void part_by_floor(Kernel *kernel, const Ix *ix) {
    for (int t = 0; t < ix->n; t++) {
        const IxTerm *term = &ix->term[t];
        if (term->kind != ATOM_FLOOR) continue;
        for (int d = 0; d < kernel->rank; d++) {
            int64_t coef = ix_coef(term->inner, d), a = term->by, b = coef < 0 ? -coef : coef;
            while (b) { /* to the greatest common divisor */
                int64_t rest = a % b;
                a = b, b = rest;
            }
            int64_t apart = term->by / a;
            if (coef && apart > kernel->apart[d])
                kernel->apart[d] = apart > MOST_APART ? MOST_APART + 1 : (int)apart;
        }
    }
}

static void part_read(const Scalar *read, void *context) {
    for (int m = 0; m < read->node->rank; m++)
        part_by_floor(context, read->at[m]);
}

static void part(Kernel *kernel) {
    if (kernel->kind != KERNEL_BLOCKS || kernel->carrier != CARRY_BATCH || kernel->batch_sum ||
        kernel->axes < kernel->rank || kernel->group || kernel->reductions.len != 1 ||
        kernel->reductions.at[0]->reduce != RED_SUM)
        return;
    sc_reads(kernel->reductions.at[0]->body, part_read, kernel);
    for (int d = 0; d < kernel->rank; d++)
        if (kernel->apart[d] < 2 || kernel->apart[d] > MOST_APART ||
            kernel->apart[d] > kernel->axis[d])
            kernel->apart[d] = 0;
}

static void tile_read(const Scalar *read, void *context) {
    Tiling *tiling = context;
    if (tiling->n == LENGTH(tiling->read)) return;
    TileRead *entry = &tiling->read[tiling->n++];
    entry->read = read;
    entry->peels = true;
    for (int m = 0; m < read->node->rank; m++) {
        const Ix *ix = read->at[m];
        uint32_t dims = axes_of(tiling->kernel, ix_dims(ix));
        entry->dims |= dims;
        int64_t lo, hi;
        bool known = ix_range(ix, tiling->kernel->extent, &lo, &hi);
        if (!known || lo < 0 || hi >= read->node->extent[m]) {
            entry->guarded |= dims;
            entry->peels &= dims >> tiling->kernel->rank != 0;
        }
        for (int t = 0; t < ix->n; t++) {
            if (ix->term[t].kind == ATOM_FLOOR)
                tiling->fixed |= axes_of(tiling->kernel, ix_dims(ix->term[t].inner));
            if (ix->term[t].kind == ATOM_VALUE) tiling->fixed |= dims;
        }
    }
    if (read->node->per_example && tiling->kernel->per_example) entry->dims |= 1u << BLOCK_AXIS;
}

static int64_t axis_extent(const ProgramPlan *program, const Kernel *kernel, int axis) {
    if (axis == BLOCK_AXIS) return program->blocks;
    int64_t extent = plan_places(kernel, axis, 0);
    return axis == kernel->lane_axis && kernel->carrier == CARRY_DIM ? (extent + LANES - 1) / LANES
                                                                     : extent;
}

/* What a last, smaller tile costs on top. */
static double remainder_share(int64_t extent, int m) {
    int64_t rest = extent % m;
    return rest ? (double)rest / (double)extent * (m - (double)rest) / m : 0;
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
    return kernel->draws && axis == kernel->axes - 1 && m % DRAW_TILE && m > 1;
}

enum { MOST_ALONG = 26, GUARD_REGISTERS = 2 };

typedef struct Search {
    const Plan *plan;
    const ProgramPlan *program;
    Kernel *kernel;
    const Tiling *tiling;
    int budget; /* lane vectors that registers hold */
    int axis[AXES], n;
    int *size[AXES], best[AXES]; /* of the tile along each: where the kernel has it */
    double terms, cost;
} Search;

/* Elements are computed along the shortest axis first. What a read found stays in a register until
 * the last axis that it does not depend on has moved on. */
static int values_kept(const Search *search, const TileRead *read) {
    int slowest = 0, kept = 1;
    for (int i = 0; i < search->n; i++) {
        int size = *search->size[i];
        if (!(read->dims >> search->axis[i] & 1) && size > 1 && size >= slowest) slowest = size;
    }
    for (int i = 0; i < search->n; i++) {
        int size = *search->size[i];
        if (read->dims >> search->axis[i] & 1 && size <= slowest) kept *= size;
    }
    return kept;
}

/* From the second cache come this many bytes a cycle, from beyond it so many. */
static const double from_l2 = 40, from_far = 20;

/* Cycles for each multiply-add that its operands take to arrive in the first cache. */
static double stream_cost(const Search *search, int sums) {
    double bytes = 0, fmas = sums * search->terms;
    for (int i = 0; i < search->tiling->n; i++)
        bytes += plan_footprint(search->plan, search->program, search->kernel,
                                search->tiling->read[i].read, 0);
    if (bytes <= (double)search->plan->target.l1_bytes) return 0;
    return bytes / fmas /
           (bytes <= 2 * (double)search->plan->target.shared_limit ? from_l2 : from_far);
}

static double tile_cost(const Search *search) {
    const Kernel *kernel = search->kernel;
    double loads = 0, share = 1;
    int live = 0, sums = kernel->reductions.len;
    for (int i = 0; i < search->n; i++) {
        sums *= *search->size[i];
        share += remainder_share(axis_extent(search->program, kernel, search->axis[i]),
                                 *search->size[i]);
    }
    for (int i = 0; i < search->tiling->n; i++) {
        const TileRead *read = &search->tiling->read[i];
        int times = 1, guarded = 1;
        for (int k = 0; k < search->n; k++) {
            if (read->dims >> search->axis[k] & 1) times *= *search->size[k];
            if (read->guarded >> search->axis[k] & 1) guarded *= *search->size[k];
        }
        loads += times * (guarded == 1 ? 1.0 : read->peels ? 1.2 : 3.0);
        live += values_kept(search, read) + (guarded > 1 ? GUARD_REGISTERS : 0);
    }
    if (sums + live > search->budget) return 1e9;
    double load = loads / sums / 2; /* two loads and two multiply-adds a cycle */
    double cost = load < 0.5 ? 0.5 : load;
    if (sums < 8) cost += (8.0 / sums - 1) * 0.25; /* too few chains to hide the latency */
    if (cost * share >= search->cost) return 1e9;
    double stream = stream_cost(search, sums);
    double slowest = cost < stream ? stream : cost;
    return (slowest + 0.05 * (cost + load + stream)) * share;
}

static void try_tiles(Search *search, int i, int sums) {
    if (i == search->n) {
        double cost = tile_cost(search);
        if (cost >= search->cost - 1e-9) return;
        search->cost = cost;
        for (int k = 0; k < search->n; k++)
            search->best[k] = *search->size[k];
        return;
    }
    int axis = search->axis[i];
    int64_t extent = axis_extent(search->program, search->kernel, axis);
    for (int m = 1; m <= MOST_ALONG && m <= extent && m * sums <= search->budget; m++) {
        if (breaks_draws(search->kernel, axis, m)) continue;
        *search->size[i] = m;
        try_tiles(search, i + 1, m * sums);
    }
    *search->size[i] = 1;
}

static void search_tile(Search *search) {
    Kernel *kernel = search->kernel;
    bool blocks = kernel->kind == KERNEL_UNITS && kernel->per_example;
    for (int a = kernel->group ? 1 : 0; a < AXES; a++) {
        if ((a >= kernel->axes && a != BLOCK_AXIS) || (a == BLOCK_AXIS && !blocks)) continue;
        if (search->tiling->fixed >> a & 1) continue;
        search->size[search->n] = a == BLOCK_AXIS ? &kernel->block_tile : &kernel->tile[a];
        search->axis[search->n++] = a;
    }
    search->terms = (double)node_terms(kernel->reductions.at[0]);
    if (kernel->batch_sum && !kernel->makes_leaves) search->terms *= search->program->blocks;
    if (kernel->batch_sum == BATCH_SEQUENCE) search->terms *= (double)LANES;
    try_tiles(search, 0, kernel->reductions.len);
    for (int i = 0; i < search->n; i++)
        *search->size[i] = search->best[i] > 0 ? search->best[i] : 1;
}

static void choose_split(const ProgramPlan *program, Kernel *kernel) {
    if (kernel->kind != KERNEL_UNITS) return;
    int64_t most = 0;
    for (int d = 0; d < kernel->axes; d++) {
        int64_t tiles = axis_extent(program, kernel, d) / kernel->tile[d];
        if (tiles > most) most = tiles, kernel->split = d;
    }
}

/* The body at the places whose residues are 0, which stand for all. */
static const Scalar *first_residues(Graph *graph, const Kernel *kernel, const Scalar *body) {
    const Ix *map[MAX_DIMS] = {0};
    int64_t extent[MAX_DIMS];
    bool any = false;
    for (int d = 0; d < MAX_DIMS; d++) {
        extent[d] = kernel->extent[d];
        if (d >= kernel->axes || !kernel->apart[d]) continue;
        map[d] = plan_place(graph, kernel, d, 0), extent[d] = plan_places(kernel, d, 0);
        any = true;
    }
    return any ? sc_subst(graph, body, map, MAX_DIMS, extent) : body;
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
        Search search = {.plan = plan, .program = program, .kernel = kernel, .tiling = &tiling};
        search.cost = 1e8;
        part(kernel);
        for (int i = 0; i < kernel->reductions.len; i++)
            sc_reads(first_residues(plan->unit->graph, kernel, kernel->reductions.at[i]->body),
                     tile_read, &tiling);
        int bytes = kernel->wide ? 8 : plan->target.float_bytes;
        int each = LANES * bytes / plan->target.register_bytes;
        int budget = plan->target.registers / (each > 0 ? each : 1);
        if (kernel->carrier == CARRY_NONE) budget = 8;
        if (kernel->reductions.at[0]->reduce != RED_SUM) budget /= 2;
        search.budget = budget > 2 ? budget : 2;
        search_tile(&search);
        if (kernel->draws) kernel->draws = kernel->tile[kernel->axes - 1] % DRAW_TILE == 0;
    }
    choose_split(program, kernel);
}
