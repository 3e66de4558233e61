/* SPDX-License-Identifier: MIT
 * Sources: where files are looked for, the reader of their format, what readers share.
 * Needs the readers of formats.def. Does not know how a format is laid out. */
#include "data.h"
#include <stdlib.h>
#include <string.h>

const DataReader data_readers[] = {
#define FORMAT(name, ...) {#name, name##_fits, name##_read},
#include "formats.def"
#undef FORMAT
};
const int data_reader_count = (int)(sizeof data_readers / sizeof *data_readers);

static const DataReader *find_reader(const char *name) {
    for (int i = 0; i < data_reader_count; i++)
        if (!strcmp(data_readers[i].name, name)) return &data_readers[i];
    return NULL;
}

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

void data_extent(DataField *field, const int64_t *extent, int rank) {
    field->rank = rank;
    field->count = 1;
    for (int i = 0; i < rank; i++)
        field->count *= field->extent[i] = extent[i];
    field->stride = field->count;
}

DataFile *data_file(Data *data, const char *name) {
    data->files = io_more(data->files, sizeof *data->files * (size_t)(data->nfiles + 1));
    data->files[data->nfiles] = (DataFile){.name = io_format("%s", name)};
    data->file = data->files[0].name;
    return &data->files[data->nfiles++];
}

void *data_own(Data *data, void *memory) {
    data->owned = io_more(data->owned, sizeof *data->owned * (size_t)(data->nowned + 1));
    data->owned[data->nowned++] = memory;
    return memory;
}

/* `more` behind `text`, which is freed, and between them `with` where there is a text. */
static char *append(char *text, const char *with, const char *more) {
    char *whole = io_format("%s%s%s", text, *text ? with : "", more);
    free(text);
    return whole;
}

char *data_shape(const int64_t *extent, int rank) {
    char *text = io_format("%s", "");
    int64_t count = 1;
    for (int i = 0; i < rank; i++) {
        char number[24];
        snprintf(number, sizeof number, "%lld", (long long)extent[i]);
        text = append(text, " x ", number);
        count *= extent[i];
    }
    const char *several = count == 1 ? "" : "s";
    char *whole = rank == 1 ? io_format("%s value%s", text, several)
                            : io_format("%s%s%lld value%s", text, rank ? " = " : "",
                                        (long long)count, several);
    free(text);
    return whole;
}

bool data_not_there(const Data *data, const char *what, const GrColumn *wanted,
                    const char *const *names, int count, Fault *fault) {
    char *all = io_format("%s", "");
    for (int i = 0; i < count && strlen(all) < 800; i++)
        all = append(all, ", ", names[i]);
    const char *near = text_nearest(wanted->column, names, count);
    fault_set(fault, GR_BAD_DATA, "%s: has no %s '%s' (bound to '%s')%s%s%s; %ss: %s", data->file,
              what, wanted->column, wanted->name, near ? "; did you mean '" : "", near ? near : "",
              near ? "'?" : "", what, all);
    free(all);
    return false;
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

char *data_find(const char *name, const DataPlaces *places, Fault *fault) {
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

static bool load(Data *data, const GrFile *from, const DataPlaces *places, Fault *fault) {
    DataFile *file = data_file(data, from->name);
    char *path =
        from->bytes ? io_format("%s (embedded)", from->name) : data_find(from->name, places, fault);
    if (!path) return false;
    free(file->name);
    file->name = path;
    data->file = data->files[0].name;
    if (from->bytes) {
        file->size = (size_t)from->size;
        file->bytes = io_alloc(file->size + 1, 1);
        memcpy(file->bytes, from->bytes, file->size);
    } else if (!io_read_file(path, &file->bytes, &file->size, fault)) {
        return false;
    }
    return io_gunzip(path, &file->bytes, &file->size, fault);
}

bool data_read(const GrSource *source, bool targets, Data *data, Fault *fault) {
    const DataReader *reader = find_reader(source->format);
    for (int i = 0; i < data->nfiles; i++)
        data->hash = data_hash(data->hash, data->files[i].bytes, data->files[i].size);
    if (!reader)
        return fault_set(fault, GR_FAILED, "%s: format '%s' is unknown to this runtime", data->file,
                         source->format);
    if (!reader->read(source, targets, data, fault)) return false;
    if (data->count > UINT32_MAX)
        return fault_set(fault, GR_BAD_DATA, "%s: more than 2^32 - 1 examples", data->file);
    return true;
}

bool data_open(const GrSource *source, const DataPlaces *places, Data *data, Fault *fault) {
    *data = (Data){0};
    for (int i = 0; i < source->nfiles; i++)
        if (!load(data, &source->files[i], places, fault)) return false;
    return data_read(source, true, data, fault);
}

static const char *format_of(const DataFile *file) {
    for (int i = 0; i < data_reader_count; i++)
        if (data_readers[i].fits(file)) return data_readers[i].name;
    return NULL;
}

bool data_open_file(const char *path, const GrSource *like, Data *data, Fault *fault) {
    *data = (Data){0};
    DataFile *file = data_file(data, path);
    if (!io_read_file(path, &file->bytes, &file->size, fault) ||
        !io_gunzip(path, &file->bytes, &file->size, fault))
        return false;
    GrSource source = {.format = format_of(file)};
    if (!source.format) {
        char *all = io_format("%s", "");
        for (int i = 0; i < data_reader_count; i++)
            all = append(all, ", ", data_readers[i].name);
        fault_set(fault, GR_BAD_DATA, "%s: is in none of the formats that are read: %s", path, all);
        free(all);
        return false;
    }
    if (like) {
        source.columns = like->columns;
        source.ncolumns = like->ncolumns;
    }
    return data_read(&source, false, data, fault);
}

void data_close(Data *data) {
    for (int i = 0; i < data->nfiles; i++) {
        free(data->files[i].name);
        free(data->files[i].bytes);
    }
    for (int i = 0; i < data->nowned; i++)
        free(data->owned[i]);
    free(data->files);
    free(data->owned);
    free(data->fields);
    free(data->input_text);
    free(data->no_input);
    *data = (Data){0};
}
