/* SPDX-License-Identifier: MIT
 * Chooses the order of a kernel's loops over its tiles: the one that moves least between the
 * caches. Needs tiles. Estimates footprints from index maps and target constants; keeps every bit.
 */
#include "plan.h"

enum { AXES = MAX_DIMS + 1 }; /* BLOCK_AXIS is the last */

typedef struct Ordering {
    const Plan *plan;
    const ProgramPlan *program;
    const Kernel *kernel;
    const Scalar *read[16];
    int n;
    int streams; /* values of the space that pass once: what is written, what riders read */
    double trips[AXES];
    int axis[AXES]; /* the loops there are */
    int naxes;
    int best[AXES];
    double cost;
} Ordering;

static void note(const Scalar *read, void *context) {
    Ordering *o = context;
    if (o->n < LENGTH(o->read)) o->read[o->n++] = read;
}

static void note_stream(const Scalar *read, void *context) {
    Ordering *o = context;
    if (read->node->per_example && plan_identity(read, o->kernel->rank) &&
        map_get(&o->program->kernel_of, node_value(read->node)) != o->kernel)
        o->streams++;
}

/* Values that dimension `dim` takes while the axes in `whole` run and the others stand at a tile.
 */
static double dim_range(const Kernel *kernel, int dim, uint32_t whole) {
    if (dim >= kernel->rank) return (double)kernel->extent[dim];
    int axis = plan_axis(kernel, dim);
    if (whole >> axis & 1) return (double)kernel->extent[dim];
    if (axis == kernel->axes - 1 && dim != kernel->rank - 1) return 1; /* merged: the last counts */
    bool lanes = kernel->carrier == CARRY_DIM && axis == kernel->lane_axis;
    return (double)kernel->tile[axis] * (lanes ? LANES : 1);
}

/* Different values of a coordinate. */
static double coordinate_count(const Kernel *kernel, const Ix *ix, int64_t extent, uint32_t whole) {
    double span = 1, product = 1;
    for (int t = 0; t < ix->n; t++) {
        const IxTerm *term = &ix->term[t];
        double range = 1, coef = term->coef < 0 ? -(double)term->coef : (double)term->coef;
        if (term->kind == ATOM_VALUE) return (double)extent;
        if (term->kind == ATOM_DIM)
            range = dim_range(kernel, term->dim, whole);
        else
            range = coordinate_count(kernel, term->inner, INT64_MAX, whole) / (double)term->by + 1;
        span += coef * (range - 1);
        product *= range;
    }
    double least = span < product ? span : product;
    return least < (double)extent ? least : (double)extent;
}

double plan_footprint(const Plan *plan, const ProgramPlan *program, const Kernel *kernel,
                      const Scalar *read, uint32_t whole) {
    double bytes = kernel->wide ? 8 : plan->target.float_bytes;
    for (int m = 0; m < read->node->rank; m++)
        bytes *= coordinate_count(kernel, read->at[m], read->node->extent[m], whole);
    if (!read->node->per_example) return bytes;
    double blocks = program->blocks;
    if ((!kernel->batch_sum || kernel->makes_leaves) && !(whole >> BLOCK_AXIS & 1))
        blocks = kernel->block_tile;
    return bytes * (double)LANES * blocks;
}

static bool invariant(const Ordering *o, const Scalar *read, int axis) {
    if (axis == BLOCK_AXIS) return !read->node->per_example;
    uint32_t dims = 0;
    for (int m = 0; m < read->node->rank; m++)
        dims |= ix_dims(read->at[m]);
    for (int d = 0; d < o->kernel->rank; d++)
        if (dims >> d & 1 && plan_axis(o->kernel, d) == axis) return false;
    return true;
}

/* Bytes that come into a cache of this size from outside of it. */
static double traffic(const Ordering *o, const int *order, double cache) {
    int inside = o->naxes + 1; /* loops inside .. naxes - 1 find all that they read in the cache */
    uint32_t whole = 0;
    for (int k = o->naxes - 1; k >= -1; k--) {
        double sum = 0;
        for (int i = 0; i < o->n; i++)
            sum += plan_footprint(o->plan, o->program, o->kernel, o->read[i], whole);
        if (sum > cache) break;
        inside = k + 1;
        if (k >= 0) whole |= 1u << order[k];
    }
    bool fits = inside <= o->naxes; /* a tile at least */
    if (!fits) inside = o->naxes;
    whole = 0;
    for (int k = inside; k < o->naxes; k++)
        whole |= 1u << order[k];
    double all = 0;
    for (int i = 0; i < o->n; i++) {
        double bytes = plan_footprint(o->plan, o->program, o->kernel, o->read[i], whole);
        int k = inside - 1;
        while (fits && k >= 0 && invariant(o, o->read[i], order[k]))
            k--;
        if (fits && k >= 0) { /* neighbours of this loop share what they have in common */
            uint32_t more = whole | 1u << order[k--];
            bytes = plan_footprint(o->plan, o->program, o->kernel, o->read[i], more);
        }
        for (; k >= 0; k--)
            bytes *= o->trips[order[k]];
        all += bytes;
    }
    return all;
}

/* What passes once comes in runs of neighbours. The first vectors of each are not seen coming. */
static double broken_runs(const Ordering *o, const int *order) {
    static const double unseen = 8, late = 50; /* vectors; cycles for each */
    const Kernel *kernel = o->kernel;
    double run = 1, all = 1;
    bool whole = true;
    for (int a = kernel->axes - 1, k = o->naxes - 1; a >= 0; a--) {
        bool inner = k >= 0 && order[k] == a;
        all *= (double)kernel->axis[a];
        if (whole) run *= (double)(inner ? kernel->axis[a] : kernel->tile[a]);
        whole &= inner || kernel->tile[a] == kernel->axis[a];
        k -= inner;
    }
    return o->streams * all / run * (run < unseen ? run : unseen) * late;
}

/* Bytes a cycle from the second cache, and from what lies behind it. */
static const double from_l2 = 40, from_far = 20;

static void try_orders(Ordering *o, int *order, int n) {
    if (n == o->naxes) {
        double cost = broken_runs(o, order) +
                      traffic(o, order, (double)o->plan->target.l1_bytes) / from_l2 +
                      traffic(o, order, 2 * (double)o->plan->target.shared_limit) / from_far;
        if (cost >= o->cost * 0.99) return; /* where little is won, the natural order */
        o->cost = cost;
        for (int i = 0; i < n; i++)
            o->best[i] = order[i];
        return;
    }
    for (int i = 0; i < o->naxes; i++) {
        bool used = false;
        for (int k = 0; k < n; k++)
            used |= order[k] == o->axis[i];
        if (used) continue;
        order[n] = o->axis[i];
        try_orders(o, order, n + 1);
    }
}

enum { MOST_ORDERED = 4 }; /* axes: 24 orders */

void plan_order(const Plan *plan, const ProgramPlan *program, Kernel *kernel) {
    Ordering o = {.plan = plan, .program = program, .kernel = kernel, .cost = 1e300};
    if (kernel->split >= 0) o.axis[o.naxes++] = kernel->split;
    for (int a = kernel->group ? 1 : 0; a < kernel->axes; a++)
        if (a != kernel->split) o.axis[o.naxes++] = a;
    for (int i = 0; i < o.naxes; i++) {
        int axis = o.axis[i];
        bool lanes = kernel->carrier == CARRY_DIM && axis == kernel->lane_axis;
        int64_t width = (int64_t)kernel->tile[axis] * (lanes ? LANES : 1);
        o.trips[axis] = (double)((kernel->axis[axis] + width - 1) / width);
    }
    if (kernel->kind == KERNEL_UNITS && kernel->per_example) {
        o.axis[o.naxes++] = BLOCK_AXIS;
        o.trips[BLOCK_AXIS] = (program->blocks + kernel->block_tile - 1) / kernel->block_tile;
    }
    for (int i = 0; i < o.naxes; i++)
        o.best[i] = o.axis[i];
    for (int r = 0; r < kernel->reductions.len; r++)
        sc_reads(kernel->reductions.at[r]->body, note, &o);
    if (kernel->kind == KERNEL_BLOCKS && !kernel->batch_sum) {
        o.streams = 1;
        for (int i = 0; i < kernel->maps.len; i++)
            sc_reads(kernel->maps.at[i]->body, note_stream, &o);
    }
    int order[AXES];
    if (kernel->reductions.len && !kernel->transpose && o.naxes <= MOST_ORDERED)
        try_orders(&o, order, 0);
    kernel->loops = o.naxes;
    for (int i = 0; i < o.naxes; i++)
        kernel->loop[i] = o.best[i];
}
