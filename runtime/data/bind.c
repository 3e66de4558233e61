/* SPDX-License-Identifier: MIT
 * Which field of a source feeds which input of the model: by name, else by position; counts and
 * classes are checked. Needs data.h. Does not know how a format is laid out. */
#include "data.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

double data_value(const DataField *field, int64_t example, int64_t element) {
    int64_t at = example * field->stride + element;
    switch (field->kind) {
    case FIELD_REAL:
        return ((const double *)field->first)[at];
    case FIELD_FLOAT:
        return (double)((const float *)field->first)[at];
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
    double *values = data_own(data, io_alloc((size_t)data->count, sizeof *values));
    for (int64_t i = 0; i < data->count; i++)
        values[i] = NAN;
    DataField *field = data_field(data, FIELD_KNOWN, FIELD_REAL);
    field->bound = name;
    field->count = field->stride = 1;
    field->first = values;
    return values;
}

static DataField *find_bound(const Data *data, const char *name, size_t size) {
    for (int i = 0; i < data->nfields; i++) {
        const char *bound = data->fields[i].bound;
        if (bound && strlen(bound) == size && !strncmp(bound, name, size)) return &data->fields[i];
    }
    return NULL;
}

static DataField *find_role(const Data *data, FieldRole role) {
    for (int i = 0; i < data->nfields; i++)
        if (data->fields[i].role == role) return &data->fields[i];
    return NULL;
}

static DataField *find_target(const Data *data, const GrModel *model, const char *output,
                              size_t size) {
    DataField *field = find_bound(data, output, size);
    bool first = model->noutputs && strlen(model->outputs[0]) == size &&
                 !strncmp(model->outputs[0], output, size);
    return field || !first ? field : find_role(data, FIELD_LABEL);
}

static DataField *find_field(const Data *data, const GrModel *model, const char *name) {
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
        DataField *field = find_bound(data, name + head, size - head);
        for (int i = 0; i < data->nfields && !field; i++)
            if (data->fields[i].column && !strcmp(data->fields[i].column, name + head))
                field = &data->fields[i];
        return field;
    }
    if (size > tail && !strcmp(name + size - tail, target))
        return find_target(data, model, name, size - tail);
    DataField *field = find_bound(data, name, size);
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

/* How much of a buffer's name the user wrote: the datum of the output `kind` is bound as `kind`. */
static int plain(const GrBuffer *buffer) {
    const char *tail = strstr(buffer->name, ".target");
    return tail ? (int)(tail - buffer->name) : (int)strlen(buffer->name);
}

static bool check_classes(const Data *data, const DataField *field, const GrBuffer *buffer,
                          Fault *fault) {
    for (int64_t i = 0; i < data->count; i++)
        for (int64_t e = 0; e < field->count; e++) {
            double value = data_value(field, i, e);
            if (value >= 0 && value < buffer->classes && value == floor(value)) continue;
            char text[NUMBER_TEXT];
            return fault_set(fault, GR_BAD_DATA,
                             "%s: example %lld has class %s, but '%.*s' is class[%d]: whole numbers "
                             "0 to %d",
                             data->file, (long long)i, number_text(value, 8, text), plain(buffer),
                             buffer->name, buffer->classes, buffer->classes - 1);
        }
    return true;
}

/* What the model's data call what a name is bound to, or NULL. */
static const char *bound_to(const GrModel *model, const char *name, size_t size) {
    for (int s = 0; s < model->nsources; s++)
        for (int i = 0; i < model->sources[s].ncolumns; i++) {
            const GrColumn *column = &model->sources[s].columns[i];
            if (strlen(column->name) == size && !strncmp(column->name, name, size))
                return column->column;
        }
    return NULL;
}

/* The names that a file has, and what it says of a missing input. */
static bool no_field(const Data *data, const GrModel *model, const GrBuffer *buffer, Fault *fault) {
    bool input = model->ninputs && !strcmp(buffer->name, model->inputs[0]);
    if (input && data->no_input)
        return fault_set(fault, GR_BAD_DATA,
                         "%s: holds nothing for the input '%s' of model '%s': %s", data->file,
                         buffer->name, model->name, data->no_input);
    char *columns = io_format("%s", "");
    for (int i = 0; i < data->nfields; i++) {
        const char *name = data->fields[i].column;
        if (!name) continue;
        char *more = io_format("%s%s%s", columns, *columns ? ", " : "; its columns: ", name);
        free(columns);
        columns = more;
    }
    const char *column = bound_to(model, buffer->name, (size_t)plain(buffer));
    fault_set(fault, GR_BAD_DATA, "%s: holds nothing for '%.*s'%s%s%s of model '%s'%s", data->file,
              plain(buffer), buffer->name, column ? ", which its data call '" : "", column ? column : "",
              column ? "'," : "", model->name, columns);
    free(columns);
    return false;
}

/* As many values may still be others: [32, 32, 3] is no [3, 32, 32]. What is flat on either side
 * fits, and so do dimensions of 1. */
static bool same_shape(const DataField *field, const GrBuffer *buffer) {
    int a = 0, b = 0;
    if (field->rank < 2 || buffer->rank < 2) return true;
    for (;;) {
        while (a < field->rank && field->extent[a] == 1)
            a++;
        while (b < buffer->rank && buffer->extent[b] == 1)
            b++;
        if (a == field->rank || b == buffer->rank) return a == field->rank && b == buffer->rank;
        if (field->extent[a++] != buffer->extent[b++]) return false;
    }
}

/* Bytes are pixels where the model takes them in, and numbers elsewhere: labels, weights. */
static void bytes_as(DataField *field, const GrModel *model, const char *name) {
    bool input = false;
    for (int i = 0; i < model->ninputs; i++)
        input |= !strcmp(model->inputs[i], name);
    if (field->kind == FIELD_PIXEL && !input) field->kind = FIELD_BYTE;
}

const DataField *data_bind(const Data *data, const GrModel *model, const GrBuffer *buffer,
                           Fault *fault) {
    DataField *field = find_field(data, model, buffer->name);
    if (!field) {
        no_field(data, model, buffer, fault);
        return NULL;
    }
    bytes_as(field, model, buffer->name);
    if (field->count != buffer->count) {
        char *shape = shape_text(buffer);
        if (field->role == FIELD_INPUT)
            fault_set(fault, GR_BAD_DATA,
                      "%s: an example has %s, but the input '%s'%s of model '%s' takes %lld",
                      data->file, data->input_text, buffer->name, shape, model->name,
                      (long long)buffer->count);
        else
            fault_set(fault, GR_BAD_DATA, "%s: '%.*s' takes %lld values%s; the data has %lld",
                      data->file, plain(buffer), buffer->name, (long long)buffer->count, shape,
                      (long long)field->count);
        free(shape);
        return NULL;
    }
    if (!same_shape(field, buffer)) {
        char *shape = shape_text(buffer), *own = data_shape(field->extent, field->rank);
        fault_set(fault, GR_BAD_DATA,
                  "%s: an example has %s, but '%.*s' is %s: the dimensions stand in another order; "
                  "change it in the data (numpy: x.transpose) or in the model",
                  data->file, own, plain(buffer), buffer->name, shape);
        free(own);
        free(shape);
        return NULL;
    }
    if (buffer->classes > 0 && !check_classes(data, field, buffer, fault)) return NULL;
    return field;
}
