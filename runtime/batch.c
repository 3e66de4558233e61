/* SPDX-License-Identifier: MIT
 * Fills the inputs of a program: [block][element][16 lanes] from 16 rows of a source each; lanes
 * without an example repeat the last one. Needs data.h. The team splits it by block and part. */
#include "batch.h"
#include <stdlib.h>
#include <string.h>

/* A block's elements are filled in parts, so that four blocks keep more than four threads busy. */
enum { PARTS = 4 };

/* What a pixel stands for, rounded once in the float type of the program. */
static float pixel_float[256];
static double pixel_double[256];

static bool is_number(const GrBuffer *buffer) {
    return !strcmp(buffer->name, "example.number");
}
/* A total over the evaluated set, put there before the run. */
static bool is_total(const GrBuffer *buffer) {
    return strchr(buffer->name, ':') != NULL;
}
static bool is_live(const GrBuffer *buffer) {
    return !strcmp(buffer->name, "live");
}

bool batch_bind(Batch *batch, const GrModel *model, const GrProgram *program, char *mem,
                const Data *data, Fault *fault) {
    *batch = (Batch){.program = program, .mem = mem};
    batch->fields = io_alloc((size_t)program->ninputs, sizeof *batch->fields);
    for (int i = 0; i < program->ninputs; i++) {
        const GrBuffer *buffer = &program->inputs[i];
        if (is_live(buffer) || is_number(buffer) || is_total(buffer)) continue;
        if (!(batch->fields[i] = data_bind(data, model, buffer, fault))) return false;
    }
    for (int i = 0; i < 256; i++) {
        pixel_float[i] = (float)i / 255.0f;
        pixel_double[i] = (double)i / 255.0;
    }
    return true;
}

void batch_free(Batch *batch) {
    free(batch->fields);
    batch->fields = NULL;
}

int64_t batch_blocks(int64_t live) {
    return (live + GR_LANES - 1) / GR_LANES;
}
int64_t batch_units(const Batch *batch) {
    return batch_blocks(batch->live) * PARTS;
}

static uint32_t lane_example(const Batch *batch, int64_t block, int lane) {
    int64_t at = block * GR_LANES + lane;
    return batch->examples[at < batch->live ? at : batch->live - 1];
}

/* to[element][lane] = VALUE of rows[lane][element]: 16 streams in, one out. */
#define FILL_AS(TO, FROM, VALUE)                                                                   \
    {                                                                                              \
        TO *restrict lanes = (TO *)to;                                                             \
        for (int64_t element = from; element < end; element++)                                     \
            for (int lane = 0; lane < GR_LANES; lane++) {                                          \
                FROM x = rows[lane][element];                                                      \
                lanes[element * GR_LANES + lane] = VALUE;                                          \
            }                                                                                      \
    }
#define FILL(NAME, FROM, FLOAT, DOUBLE)                                                            \
    static void NAME(const Batch *batch, const DataField *field, const GrBuffer *buffer,           \
                     int64_t block, int64_t from, int64_t end) {                                   \
        char *to = batch->mem + buffer->offset + block * buffer->count * GR_LANES * buffer->bytes; \
        const FROM *rows[GR_LANES];                                                                \
        for (int lane = 0; lane < GR_LANES; lane++)                                                \
            rows[lane] =                                                                           \
                (const FROM *)field->first + lane_example(batch, block, lane) * field->stride;     \
        if (buffer->bytes == 8)                                                                    \
            FILL_AS(double, FROM, DOUBLE)                                                          \
        else                                                                                       \
            FILL_AS(float, FROM, FLOAT)                                                            \
    }
FILL(fill_real, double, (float)x, x)
FILL(fill_float, float, x, (double)x)
FILL(fill_pixel, unsigned char, pixel_float[x], pixel_double[x])
FILL(fill_byte, unsigned char, (float)x, (double)x)

/* An input without lanes: of a program of one example. Rounded once to the type of the program: no
 * quotient of a byte by 255 lies so that rounding to double before makes another float of it. */
static void fill_row(const Batch *batch, const DataField *field, const GrBuffer *buffer,
                     int64_t from, int64_t end) {
    char *to = batch->mem + buffer->offset;
    for (int64_t element = from; element < end; element++) {
        double value = data_value(field, batch->examples[0], element);
        if (buffer->bytes == 8)
            ((double *)to)[element] = value;
        else
            ((float *)to)[element] = (float)value;
    }
}

static void fill_field(const Batch *batch, const DataField *field, const GrBuffer *buffer,
                       int64_t block, int64_t from, int64_t end) {
    static void (*const fill[])(const Batch *, const DataField *, const GrBuffer *, int64_t,
                                int64_t, int64_t) = {[FIELD_REAL] = fill_real,
                                                     [FIELD_FLOAT] = fill_float,
                                                     [FIELD_PIXEL] = fill_pixel,
                                                     [FIELD_BYTE] = fill_byte};
    if (buffer->per_example)
        fill[field->kind](batch, field, buffer, block, from, end);
    else
        fill_row(batch, field, buffer, from, end);
}

/* `live` or the example's number, one value a lane. */
static void fill_special(const Batch *batch, const GrBuffer *buffer, int64_t block) {
    char *to = batch->mem + buffer->offset + block * GR_LANES * buffer->bytes;
    for (int lane = 0; lane < (buffer->per_example ? GR_LANES : 1); lane++) {
        double value = is_number(buffer) ? lane_example(batch, block, lane)
                                         : block * GR_LANES + lane < batch->live;
        if (buffer->bytes == 8)
            ((double *)to)[lane] = value;
        else
            ((float *)to)[lane] = (float)value;
    }
}

/* What draws know of each example. */
static void fill_draws(const Batch *batch, int64_t block) {
    const GrProgram *program = batch->program;
    for (int lane = 0; lane < GR_LANES; lane++) {
        uint32_t example = lane_example(batch, block, lane);
        int64_t at = block * GR_LANES + lane;
        if (program->number_offset >= 0)
            ((uint32_t *)(batch->mem + program->number_offset))[at] = example;
        if (program->presentation_offset >= 0)
            ((uint32_t *)(batch->mem + program->presentation_offset))[at] =
                (batch->presented ? batch->presented[example] : 0) +
                (batch->again ? batch->again[at < batch->live ? at : batch->live - 1] : 0);
    }
}

void batch_fill(void *context, int64_t from, int64_t to) {
    const Batch *batch = context;
    for (int64_t unit = from; unit < to; unit++) {
        int64_t block = unit / PARTS, part = unit % PARTS;
        for (int i = 0; i < batch->program->ninputs; i++) {
            const GrBuffer *buffer = &batch->program->inputs[i];
            if (batch->fields[i])
                fill_field(batch, batch->fields[i], buffer, block, buffer->count * part / PARTS,
                           buffer->count * (part + 1) / PARTS);
            else if (!part && !is_total(buffer))
                fill_special(batch, buffer, block);
        }
        if (!part) fill_draws(batch, block);
    }
}

void batch_run(Batch *batch, Team *team) {
    TeamWork work = {.program = batch->program,
                     .mem = batch->mem,
                     .blocks = batch_blocks(batch->live),
                     .skip = batch->ready ? batch->program->ready : 0,
                     .prepare = batch_fill,
                     .context = batch,
                     .prepare_units = batch_units(batch)};
    team_run(team, &work);
}
