/* SPDX-License-Identifier: MIT
 * The table of formats, where files are looked for, and which field feeds which input of the model.
 * Needs the readers. Does not know how a format is laid out. */
#include "data.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

const DataReader data_readers[] = {
    [GR_IDX] = {"idx", idx_fits, idx_read},
    [GR_CSV] = {"CSV", csv_fits, csv_read},
};
const int data_reader_count = (int)(sizeof data_readers / sizeof *data_readers);

uint64_t data_hash(uint64_t hash, const void *bytes, size_t size) {
    const unsigned char *at = bytes;
    hash ^= UINT64_C(0xcbf29ce484222325);
    for (size_t i = 0; i < size; i++)
        hash = (hash ^ at[i]) * UINT64_C(0x100000001b3);
    return hash;
}

DataField *data_field(Data *data, FieldRole role, FieldKind kind) {
    size_t size = sizeof(DataField) * (size_t)(data->nfields + 1);
    data->fields = io_more(data->fields, size);
    data->fields[data->nfields] = (DataField){.role = role, .kind = kind};
    return &data->fields[data->nfields++];
}

/* `path` as it is, or with ".gz" put on or taken off; NULL where neither exists. */
static char *with_or_without_gz(const char *path) {
    if (io_exists(path)) return io_format("%s", path);
    size_t size = strlen(path);
    bool packed = size > 3 && !strcmp(path + size - 3, ".gz");
    char *other = packed ? io_format("%.*s", (int)size - 3, path) : io_format("%s.gz", path);
    if (io_exists(other)) return other;
    free(other);
    return NULL;
}

static char *find(const char *name, const DataPlaces *places, Fault *fault) {
    if (name[0] == '/') {
        char *found = with_or_without_gz(name);
        if (!found) fault_set(fault, GR_BAD_DATA, "%s: there is no such data file", name);
        return found;
    }
    const struct {
        const char *folder, *why, *missing;
    } tries[] = {
        {places->model_folder, "beside the model file", "the model file's folder is unknown"},
        {places->option, "--data", "--data is not given"},
        {places->variable, "$GRADUS_DATA", "$GRADUS_DATA is not set"},
    };
    char *told = io_format("%s: no such data file; looked for it in", name);
    for (size_t i = 0; i < sizeof tries / sizeof *tries; i++) {
        char *path = NULL, *found = NULL, *more;
        if (tries[i].folder && *tries[i].folder) {
            path = io_format("%s/%s", tries[i].folder, name);
            if ((found = with_or_without_gz(path))) {
                free(path);
                free(told);
                return found;
            }
            more = io_format("%s\n    %s  (%s)", told, path, tries[i].why);
        } else {
            more = io_format("%s\n    (%s)", told, tries[i].missing);
        }
        free(path);
        free(told);
        told = more;
    }
    fault_set(fault, GR_BAD_DATA, "%s\ngive its folder with --data=DIR", told);
    free(told);
    return NULL;
}

static bool load(const GrSource *source, int which, const DataPlaces *places, DataFile *file,
                 Fault *fault) {
    const char *name = source->files[which];
    if (!which && source->embedded) {
        file->name = io_format("%s (embedded)", name ? name : "data");
        file->size = (size_t)source->embedded_size;
        file->bytes = io_alloc(file->size + 1, 1);
        memcpy(file->bytes, source->embedded, file->size);
    } else {
        char *path = find(name, places, fault);
        if (!path) return false;
        file->name = path;
        if (!io_read_file(path, &file->bytes, &file->size, fault)) return false;
    }
    return io_gunzip(file->name, &file->bytes, &file->size, fault);
}

static bool read_files(const GrSource *source, DataFile files[2], bool targets, Data *data,
                       Fault *fault) {
    data->file = files[0].name;
    for (int i = 0; i < 2 && files[i].name; i++)
        data->hash = data_hash(data->hash, files[i].bytes, files[i].size);
    if (source->format < 0 || source->format >= data_reader_count)
        return fault_set(fault, GR_FAILED, "%s: format %d is unknown to this runtime", data->file,
                         source->format);
    if (!data_readers[source->format].read(source, files, targets, data, fault)) return false;
    if (data->count > UINT32_MAX)
        return fault_set(fault, GR_BAD_DATA, "%s: more than 2^32 - 1 examples", data->file);
    return true;
}

bool data_open(const GrSource *source, const DataPlaces *places, Data *data, Fault *fault) {
    DataFile files[2] = {{0}, {0}};
    *data = (Data){0};
    for (int i = 0; i < 2 && source->files[i]; i++)
        if (!load(source, i, places, &files[i], fault)) return false;
    return read_files(source, files, true, data, fault);
}

bool data_open_file(const char *path, const GrSource *like, Data *data, Fault *fault) {
    DataFile files[2] = {{.name = io_format("%s", path)}, {0}};
    *data = (Data){0};
    if (!io_read_file(path, &files[0].bytes, &files[0].size, fault) ||
        !io_gunzip(path, &files[0].bytes, &files[0].size, fault))
        return false;
    GrSource source = {0};
    for (int i = 0; i < data_reader_count; i++) {
        if (!data_readers[i].fits(&files[0])) continue;
        source.format = i;
        source.files[0] = path;
        if (like && like->format == i) {
            source.columns = like->columns;
            source.ncolumns = like->ncolumns;
        }
        return read_files(&source, files, false, data, fault);
    }
    return fault_set(fault, GR_BAD_DATA, "%s: is neither idx nor CSV", path);
}

void data_close(Data *data) {
    free(data->fields);
    free(data->input_text);
    *data = (Data){0};
}

double data_value(const DataField *field, int64_t example, int64_t element) {
    int64_t at = example * field->stride + element;
    switch (field->kind) {
    case FIELD_REAL:
        return ((const double *)field->first)[at];
    case FIELD_PIXEL:
        return ((const unsigned char *)field->first)[at] / 255.0;
    default:
        return ((const unsigned char *)field->first)[at];
    }
}

double *data_known(Data *data, const char *name) {
    for (int i = 0; i < data->nfields; i++)
        if (data->fields[i].role == FIELD_KNOWN && !strcmp(data->fields[i].bound, name))
            return (double *)(uintptr_t)data->fields[i].first;
    double *values = io_alloc((size_t)data->count, sizeof *values);
    for (int64_t i = 0; i < data->count; i++)
        values[i] = NAN;
    DataField *field = data_field(data, FIELD_KNOWN, FIELD_REAL);
    field->bound = name;
    field->count = field->stride = 1;
    field->first = values;
    return values;
}

static const DataField *find_bound(const Data *data, const char *name, size_t size) {
    for (int i = 0; i < data->nfields; i++) {
        const char *bound = data->fields[i].bound;
        if (bound && strlen(bound) == size && !strncmp(bound, name, size)) return &data->fields[i];
    }
    return NULL;
}

static const DataField *find_role(const Data *data, FieldRole role) {
    for (int i = 0; i < data->nfields; i++)
        if (data->fields[i].role == role) return &data->fields[i];
    return NULL;
}

static const DataField *find_target(const Data *data, const GrModel *model, const char *output,
                                    size_t size) {
    const DataField *field = find_bound(data, output, size);
    bool first = model->noutputs && strlen(model->outputs[0]) == size &&
                 !strncmp(model->outputs[0], output, size);
    return field || !first ? field : find_role(data, FIELD_LABEL);
}

static const DataField *find_field(const Data *data, const GrModel *model, const char *name) {
    static const char target[] = ".target", example[] = "example.";
    size_t size = strlen(name), tail = sizeof target - 1, head = sizeof example - 1;
    if (!strcmp(name, "example.label"))
        return model->noutputs
                   ? find_target(data, model, model->outputs[0], strlen(model->outputs[0]))
                   : NULL;
    if (!strncmp(name, example, head)) {
        for (int i = 0; i < data->nfields; i++) /* what the runtime knows goes before columns */
            if (data->fields[i].role == FIELD_KNOWN && !strcmp(data->fields[i].bound, name + head))
                return &data->fields[i];
        const DataField *field = find_bound(data, name + head, size - head);
        for (int i = 0; i < data->nfields && !field; i++)
            if (data->fields[i].column && !strcmp(data->fields[i].column, name + head))
                field = &data->fields[i];
        return field;
    }
    if (size > tail && !strcmp(name + size - tail, target))
        return find_target(data, model, name, size - tail);
    const DataField *field = find_bound(data, name, size);
    if (!field && model->ninputs && !strcmp(name, model->inputs[0]))
        field = find_role(data, FIELD_INPUT);
    return field;
}

static char *shape_text(const GrBuffer *buffer) {
    char *text = io_format("[");
    for (int i = 0; i < buffer->rank; i++) {
        char *more = io_format("%s%s%lld", text, i ? ", " : "", (long long)buffer->extent[i]);
        free(text);
        text = more;
    }
    char *whole = io_format("%s]", text);
    free(text);
    return whole;
}

static bool check_classes(const Data *data, const DataField *field, const GrBuffer *buffer,
                          Fault *fault) {
    for (int64_t i = 0; i < data->count; i++)
        for (int64_t e = 0; e < field->count; e++) {
            double value = data_value(field, i, e);
            if (value >= 0 && value < buffer->classes && value == floor(value)) continue;
            char text[NUMBER_TEXT];
            return fault_set(fault, GR_BAD_DATA,
                             "%s: example %lld has class %s, but '%s' is class[%d]: whole numbers "
                             "0 to %d",
                             data->file, (long long)i, number_text(value, 8, text), buffer->name,
                             buffer->classes, buffer->classes - 1);
        }
    return true;
}

const DataField *data_bind(const Data *data, const GrModel *model, const GrBuffer *buffer,
                           Fault *fault) {
    const DataField *field = find_field(data, model, buffer->name);
    if (!field) {
        char *columns = io_format("%s", "");
        for (int i = 0; i < data->nfields; i++) {
            const char *name = data->fields[i].column;
            if (!name) continue;
            char *more = io_format("%s%s%s", columns, *columns ? ", " : "; its columns: ", name);
            free(columns);
            columns = more;
        }
        fault_set(fault, GR_BAD_DATA, "%s: holds nothing for '%s' of model '%s'%s", data->file,
                  buffer->name, model->name, columns);
        free(columns);
        return NULL;
    }
    if (field->count != buffer->count) {
        char *shape = shape_text(buffer);
        if (field->role == FIELD_INPUT)
            fault_set(fault, GR_BAD_DATA,
                      "%s: an example has %s, but the input '%s'%s of model '%s' takes %lld",
                      data->file, data->input_text, buffer->name, shape, model->name,
                      (long long)buffer->count);
        else
            fault_set(fault, GR_BAD_DATA, "%s: '%s' takes %lld values%s; the data has %lld",
                      data->file, buffer->name, (long long)buffer->count, shape,
                      (long long)field->count);
        free(shape);
        return NULL;
    }
    if (buffer->classes > 0 && !check_classes(data, field, buffer, fault)) return NULL;
    return field;
}
