/* SPDX-License-Identifier: MIT
 * The binary version of CIFAR-10 and CIFAR-100 (https://www.cs.toronto.edu/~kriz/cifar.html): one
 * or two labels and 3 x 32 x 32 bytes a record, no header. Needs data.h. Strict: whole records,
 * labels in range. */
#include "data.h"
#include <stdlib.h>
#include <string.h>

enum { PIXELS = 3 * 32 * 32 };

/* A kind of records: the labels that each begins with. */
typedef struct Records {
    const char *set;
    int labels, size; /* size: bytes of a record */
    const char *label[2];
    int classes[2];
} Records;
static const Records kinds[] = {
    {"CIFAR-10", 1, 1 + PIXELS, {"label"}, {10}},
    {"CIFAR-100", 2, 2 + PIXELS, {"coarse", "fine"}, {20, 100}},
};

/* Where there is a label out of range, or a record that is cut: its number; else -1. */
static int64_t first_wrong(const Records *records, const DataFile *file, int *which) {
    size_t size = (size_t)records->size, count = file->size / size;
    for (size_t i = 0; i < count; i++)
        for (*which = 0; *which < records->labels; ++*which)
            if (file->bytes[i * size + (size_t)*which] >= records->classes[*which])
                return (int64_t)i;
    *which = -1;
    return file->size % size ? (int64_t)count : -1;
}

static bool are(const Records *records, const DataFile *file) {
    int which;
    return file->size && first_wrong(records, file, &which) < 0;
}

bool cifar_fits(const DataFile *file) {
    return are(&kinds[0], file) || are(&kinds[1], file);
}

/* The kind that has a label of this name, and which of them it is. */
static const Records *kind_of(const char *label, int *which) {
    for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++)
        for (*which = 0; *which < kinds[k].labels; ++*which)
            if (!strcmp(kinds[k].label[*which], label)) return &kinds[k];
    return NULL;
}

/* What names are bound to decides; without one the files are CIFAR-10, or in prediction what fits.
 */
static const Records *choose(const GrSource *source, bool targets, Data *data, Fault *fault) {
    static const char *const labels[] = {"label", "coarse", "fine"};
    const Records *chosen = NULL;
    for (int i = 0; i < source->ncolumns; i++) {
        const GrColumn *column = &source->columns[i];
        int which;
        const Records *records = kind_of(column->column, &which);
        if (!records && !targets) continue; /* a name of another format's */
        if (!records) {
            data_not_there(data, "label", column, labels, 3, fault);
            return NULL;
        }
        if (chosen && records != chosen) {
            fault_set(fault, GR_BAD_DATA,
                      "%s: '%s' is a label of %s, and others that are bound are of %s: a file is "
                      "one or the other",
                      data->file, column->column, records->set, chosen->set);
            return NULL;
        }
        chosen = records;
    }
    if (chosen) return chosen;
    return !targets && !are(&kinds[0], &data->files[0]) && are(&kinds[1], &data->files[0])
               ? &kinds[1]
               : &kinds[0];
}

static bool check(const Records *records, const DataFile *file, Fault *fault) {
    int which;
    int64_t wrong = first_wrong(records, file, &which);
    if (!file->size) return fault_set(fault, GR_BAD_DATA, "%s: the file is empty", file->name);
    if (wrong < 0) return true;
    const Records *other = records == &kinds[0] ? &kinds[1] : &kinds[0];
    if (are(other, file))
        return fault_set(fault, GR_BAD_DATA,
                         "%s: its %zu bytes are records of %s, not of %s: bind its label, NAME = "
                         "\"%s\"",
                         file->name, file->size, other->set, records->set,
                         other->label[other->labels - 1]);
    if (which < 0)
        return fault_set(fault, GR_BAD_DATA,
                         "%s: %zu bytes are no whole number of %s records of %d bytes: the file is "
                         "truncated, or of another kind",
                         file->name, file->size, records->set, records->size);
    return fault_set(fault, GR_BAD_DATA, "%s: record %lld has the %s %d; %s has 0 to %d",
                     file->name, (long long)wrong, records->label[which],
                     file->bytes[wrong * records->size + which], records->set,
                     records->classes[which] - 1);
}

/* All files in the bytes of the first: records have one stride. */
static void join(Data *data) {
    DataFile *first = &data->files[0];
    size_t size = 0, used = first->size;
    for (int i = 0; i < data->nfiles; i++)
        size += data->files[i].size;
    if (size > used) first->bytes = io_more(first->bytes, size + 1);
    for (int i = 1; i < data->nfiles; i++) {
        DataFile *file = &data->files[i];
        memcpy(first->bytes + used, file->bytes, file->size);
        used += file->size;
        free(file->bytes);
        file->bytes = NULL;
    }
    first->size = size;
}

bool cifar_read(const GrSource *source, bool targets, Data *data, Fault *fault) {
    const Records *records = choose(source, targets, data, fault);
    for (int i = 0; records && i < data->nfiles; i++)
        if (!check(records, &data->files[i], fault)) return false;
    if (!records) return false;
    join(data);
    const DataFile *file = &data->files[0];
    data->count = (int64_t)(file->size / (size_t)records->size);
    data->input_text = data_shape((const int64_t[]){3, 32, 32}, 3);
    DataField *field = data_field(data, FIELD_INPUT, FIELD_PIXEL);
    data_extent(field, (const int64_t[]){3, 32, 32}, 3);
    field->stride = records->size;
    field->first = file->bytes + records->labels;
    for (int i = 0; i < records->labels; i++) {
        field = data_field(data, records->labels == 1 ? FIELD_LABEL : FIELD_COLUMN, FIELD_BYTE);
        field->count = 1;
        field->stride = records->size;
        field->first = file->bytes + i;
        field->column = records->label[i];
        for (int c = 0; c < source->ncolumns; c++)
            if (!strcmp(source->columns[c].column, records->label[i]))
                field->bound = source->columns[c].name;
    }
    return true;
}
