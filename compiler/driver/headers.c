/* SPDX-License-Identifier: MIT
 * Data files against the model, before anything is trained: the runtime's readers and binding,
 * their faults at the model's line. Needs runtime/data and the Unit's sources. Reads no format
 * itself. */
#include "driver.h"
#include "data.h"
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static DataPlaces places_of(const Unit *unit, const char *data_dir) {
    return (DataPlaces){unit->model_dir, data_dir, getenv("GRADUS_DATA")};
}

/* The row of the executable's table that a source becomes. */
static GrSource row_of(Arena *arena, const DataSource *source) {
    GrFile *files = NEW_ARRAY(arena, GrFile, source->files.len);
    GrColumn *columns = NEW_ARRAY(arena, GrColumn, source->columns.len);
    for (int i = 0; i < source->files.len; i++)
        files[i].name = source->files.at[i];
    for (int i = 0; i < source->columns.len; i++)
        columns[i] = (GrColumn){source->columns.at[i].name, source->columns.at[i].column};
    return (GrSource){source->format->name, files, source->files.len, columns, source->columns.len};
}

/* The file of a source that is not where data are looked for, or NULL. */
static const char *missing(const DataSource *source, const DataPlaces *places) {
    Fault fault;
    for (int i = 0; i < source->files.len; i++) {
        char *path = data_find(source->files.at[i], places, &fault);
        if (!path) return source->files.at[i];
        free(path);
    }
    return NULL;
}

/* What a run finds out by itself is in no file. */
static bool from_file(const char *name) {
    static const char *const known[] = {"live", "example.number", "example.loss", "example.weight"};
    for (int i = 0; i < LENGTH(known); i++)
        if (!strcmp(name, known[i])) return false;
    return !strchr(name, ':') && strncmp(name, "example.rank", 12) != 0;
}

static bool binds(Arena *arena, const Unit *unit, const Data *data, const DataSource *source) {
    VEC(const char *) inputs = {0}, outputs = {0};
    bool fine = true;
    for (int i = 0; i < unit->inputs.len; i++)
        if (!strchr(unit->inputs.at[i]->name, '.') && from_file(unit->inputs.at[i]->name))
            VEC_PUSH(arena, inputs, unit->inputs.at[i]->name);
    for (int i = 0; i < unit->outputs.len; i++)
        VEC_PUSH(arena, outputs, unit->outputs.at[i]);
    GrModel model = {.name = unit->model,
                     .inputs = inputs.at,
                     .ninputs = inputs.len,
                     .outputs = outputs.at,
                     .noutputs = outputs.len};
    for (int i = 0; i < unit->inputs.len; i++) {
        const Node *node = unit->inputs.at[i];
        GrBuffer buffer = {.name = node->name,
                           .count = node_count(node),
                           .rank = node->rank,
                           .classes = (int32_t)node->classes};
        Fault fault;
        for (int d = 0; d < node->rank; d++)
            buffer.extent[d] = node->extent[d];
        if (!from_file(node->name) || data_bind(data, &model, &buffer, &fault)) continue;
        diag_error(source->at, "E0612", "%s", fault.text);
        fine = false;
    }
    return fine;
}

static bool source_check(Arena *arena, const Unit *unit, const DataPlaces *places,
                         const DataSource *source) {
    const char *gone = missing(source, places);
    if (gone) {
        printf("%s: not found beside the model, in --data or in $GRADUS_DATA\n", gone);
        return true;
    }
    GrSource row = row_of(arena, source);
    Data data;
    Fault fault;
    bool fine = data_open(&row, places, &data, &fault);
    if (!fine)
        diag_error(source->at, "E0611", "%s", fault.text);
    else if ((fine = binds(arena, unit, &data, source))) {
        for (int i = 0; i < data.nfiles; i++)
            printf("%s%s", i ? ", " : "", data.files[i].name);
        printf(": %" PRId64 " examples of %s\n", data.count,
               data.input_text ? data.input_text : "named values");
    }
    data_close(&data);
    return fine;
}

int64_t headers_count(Arena *arena, const Unit *unit, const char *data_dir,
                      const DataSource *source) {
    if (source->made.len) return source->count;
    DataPlaces places = places_of(unit, data_dir);
    if (missing(source, &places)) return -1;
    GrSource row = row_of(arena, source);
    Data data;
    Fault fault;
    int64_t count = -1;
    if (data_open(&row, &places, &data, &fault))
        count = data.count;
    else
        diag_error(source->at, "E0611", "%s", fault.text);
    data_close(&data);
    return count;
}

bool headers_check(Arena *arena, const Unit *unit, const char *data_dir) {
    DataPlaces places = places_of(unit, data_dir);
    bool fine = true;
    for (int i = 0; i < unit->sources.len; i++) {
        const DataSource *source = &unit->sources.at[i];
        if (source->made.len)
            printf("%s: %" PRId64 " examples\n", source->files.at[0], source->count);
        else
            fine &= source_check(arena, unit, &places, source);
    }
    return fine;
}
