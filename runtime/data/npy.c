/* SPDX-License-Identifier: MIT
 * NumPy arrays (NEP 1, versions 1 to 3): inputs, and targets in a second file; numbers of any width
 * and byte order, C and Fortran order. Needs npy.h. Reads no objects: that would be running code.
 */
#include "npy.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

static const char magic[6] = "\x93NUMPY";

bool npy_looks(const unsigned char *bytes, size_t size) {
    return size >= sizeof magic && !memcmp(bytes, magic, sizeof magic);
}

/* ---- The header: a dictionary as Python writes it */
typedef struct Words {
    const char *at, *end;
    const NpyArray *array;
    Fault *fault;
} Words;

static void skip(Words *w) {
    while (w->at < w->end && (*w->at == ' ' || *w->at == '\n' || *w->at == '\t'))
        w->at++;
}

static bool take(Words *w, char c) {
    skip(w);
    if (w->at == w->end || *w->at != c) return false;
    w->at++;
    return true;
}

static bool bad_header(const Words *w, const char *wanted) {
    int left = (int)(w->end - w->at < 20 ? w->end - w->at : 20);
    return fault_set(w->fault, GR_BAD_DATA,
                     "%s: its header cannot be read: %s is wanted at '%.*s'; write the array anew "
                     "with numpy.save",
                     w->array->name, wanted, left, w->at);
}

static bool take_word(Words *w, char *word, size_t room) {
    char quote = take(w, '\'') ? '\'' : take(w, '"') ? '"' : 0;
    const char *end = quote ? memchr(w->at, quote, (size_t)(w->end - w->at)) : NULL;
    if (!end || (size_t)(end - w->at) >= room) return bad_header(w, "a word in quotes");
    memcpy(word, w->at, (size_t)(end - w->at));
    word[end - w->at] = 0;
    w->at = end + 1;
    return true;
}

static bool take_type(Words *w, NpyArray *array) {
    char word[16];
    if (take(w, '['))
        return fault_set(w->fault, GR_BAD_DATA,
                         "%s: holds records of several fields; save each field as an array of its "
                         "own",
                         array->name);
    if (!take_word(w, word, sizeof word)) return false;
    const char *type = word;
    array->big = *type == '>';
    if (strchr("<>|=", *type)) type++;
    array->kind = *type;
    array->width = *type && type[1] >= '1' && type[1] <= '8' && !type[2] ? type[1] - '0' : 0;
    static const char *const known[] = {"b1", "i1", "i2", "i4", "i8", "u1",
                                        "u2", "u4", "u8", "f4", "f8"};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (!strcmp(type, known[i])) return true;
    return fault_set(w->fault, GR_BAD_DATA,
                     "%s: holds elements of type '%s'%s; booleans, integers, float32 and float64 "
                     "are read: save x.astype('float32')",
                     array->name, word, *type == 'O' ? " (Python objects)" : "");
}

static bool take_extent(Words *w, int64_t *extent) {
    skip(w);
    const char *from = w->at;
    *extent = 0;
    while (w->at < w->end && *w->at >= '0' && *w->at <= '9')
        if (__builtin_mul_overflow(*extent, (int64_t)10, extent) ||
            __builtin_add_overflow(*extent, (int64_t)(*w->at++ - '0'), extent))
            return bad_header(w, "a smaller number");
    if (w->at == from) return bad_header(w, "a number");
    if (w->at < w->end && *w->at == 'L') w->at++; /* as Python 2 wrote it */
    return true;
}

static bool take_shape(Words *w, NpyArray *array) {
    if (!take(w, '(')) return bad_header(w, "'('");
    for (array->rank = 0; !take(w, ')'); array->rank++) {
        if (array->rank == NPY_MOST_RANK)
            return fault_set(w->fault, GR_BAD_DATA, "%s: has more than %d dimensions", array->name,
                             NPY_MOST_RANK);
        if (!take_extent(w, &array->extent[array->rank])) return false;
        if (!take(w, ',') && (w->at == w->end || *w->at != ')')) return bad_header(w, "','");
    }
    return true;
}

static bool take_truth(Words *w, bool *truth) {
    skip(w);
    *truth = w->end - w->at >= 4 && !memcmp(w->at, "True", 4);
    if (!*truth && (w->end - w->at < 5 || memcmp(w->at, "False", 5) != 0))
        return bad_header(w, "True or False");
    w->at += *truth ? 4 : 5;
    return true;
}

/* {'descr': '<f4', 'fortran_order': False, 'shape': (3, 2), } */
static bool take_dictionary(Words *w, NpyArray *array) {
    bool type = false, order = false, shape = false;
    if (!take(w, '{')) return bad_header(w, "'{'");
    while (!take(w, '}')) {
        char key[16];
        bool fine;
        if (!take_word(w, key, sizeof key)) return false;
        if (!take(w, ':')) return bad_header(w, "':'");
        if (!strcmp(key, "descr"))
            fine = take_type(w, array), type = true;
        else if (!strcmp(key, "fortran_order"))
            fine = take_truth(w, &array->fortran), order = true;
        else if (!strcmp(key, "shape"))
            fine = take_shape(w, array), shape = true;
        else
            fine = bad_header(w, "descr, fortran_order or shape");
        if (!fine) return false;
        if (!take(w, ',') && (w->at == w->end || *w->at != '}')) return bad_header(w, "','");
    }
    if (!type || !order || !shape) return bad_header(w, "all of descr, fortran_order and shape");
    skip(w);
    return w->at == w->end || bad_header(w, "nothing");
}

static bool whole(NpyArray *array, Fault *fault) {
    int64_t size = array->width;
    array->total = 1;
    for (int i = 0; i < array->rank; i++)
        if (__builtin_mul_overflow(size, array->extent[i], &size) || size > INT64_MAX / 16)
            return fault_set(fault, GR_BAD_DATA, "%s: its dimensions are impossibly large",
                             array->name);
    array->total = size / array->width;
    size_t there = array->size - array->from;
    if (there != (uint64_t)size)
        return fault_set(
            fault, GR_BAD_DATA, "%s: its header promises %lld bytes of numbers, but it has %zu: %s",
            array->name, (long long)size, there,
            there < (uint64_t)size ? "the file is truncated" : "there is something after its end");
    if (!array->rank)
        return fault_set(fault, GR_BAD_DATA,
                         "%s: holds a single number; the first dimension counts the examples",
                         array->name);
    if (!size) return fault_set(fault, GR_BAD_DATA, "%s: holds no examples", array->name);
    return true;
}

bool npy_header(NpyArray *array, Fault *fault) {
    const unsigned char *bytes = array->bytes;
    if (!npy_looks(bytes, array->size))
        return fault_set(fault, GR_BAD_DATA,
                         "%s: is no NumPy array: it must begin with the byte 0x93 and NUMPY",
                         array->name);
    if (array->size < 8) goto truncated;
    if (bytes[6] < 1 || bytes[6] > 3)
        return fault_set(fault, GR_BAD_DATA, "%s: is of version %d.%d; 1, 2 and 3 are read",
                         array->name, bytes[6], bytes[7]);
    size_t start = bytes[6] == 1 ? 10 : 12;
    if (array->size < start) goto truncated;
    size_t length = (size_t)bytes[8] | (size_t)bytes[9] << 8;
    if (start == 12) length |= (size_t)bytes[10] << 16 | (size_t)bytes[11] << 24;
    if (array->size - start < length) goto truncated;
    const char *text = (const char *)bytes + start;
    Words words = {text, text + length, array, fault};
    array->from = start + length;
    return take_dictionary(&words, array) && whole(array, fault);
truncated:
    return fault_set(fault, GR_BAD_DATA, "%s: ends inside its header: the file is truncated",
                     array->name);
}

/* ---- The numbers */

/* In C order: the last index runs fastest. */
static void *reorder(const NpyArray *array, const unsigned char *from) {
    size_t width = (size_t)array->width;
    unsigned char *to = io_alloc((size_t)array->total, width);
    int64_t index[NPY_MOST_RANK] = {0};
    for (int64_t i = 0; i < array->total; i++) {
        int64_t at = 0;
        for (int d = array->rank - 1; d >= 0; d--)
            at = at * array->extent[d] + index[d];
        memcpy(to + (size_t)i * width, from + (size_t)at * width, width);
        for (int d = array->rank - 1; d >= 0 && ++index[d] == array->extent[d]; d--)
            index[d] = 0;
    }
    return to;
}

static void swap(unsigned char *at, int64_t count, int width) {
    for (; count > 0; count--, at += width)
        for (int a = 0, b = width - 1; a < b; a++, b--) {
            unsigned char byte = at[a];
            at[a] = at[b];
            at[b] = byte;
        }
}

static double integer(const unsigned char *at, char kind, int width) {
    uint64_t bits = 0;
    memcpy(&bits, at, (size_t)width); /* little-endian, as every machine that code is made for */
    if (kind == 'u') return (double)bits;
    int unused = 64 - 8 * width;
    return (double)((int64_t)(bits << unused) >> unused);
}

static bool all_finite(const NpyArray *array, const DataField *field, Fault *fault) {
    for (int64_t i = 0; i < array->total; i++) {
        double x = array->width == 8 ? ((const double *)field->first)[i]
                                     : (double)((const float *)field->first)[i];
        if (!isfinite(x))
            return fault_set(fault, GR_BAD_DATA,
                             "%s: value %lld of example %lld is %s: fill it in or leave the "
                             "example out",
                             array->name, (long long)(i % field->count),
                             (long long)(i / field->count),
                             isnan(x) ? "nan"
                             : x > 0  ? "infinity"
                                      : "-infinity");
    }
    return true;
}

DataField *npy_field(Data *data, NpyArray *array, FieldRole role, Fault *fault) {
    if (data->count && data->count != array->extent[0]) {
        fault_set(fault, GR_BAD_DATA, "%s: has %lld examples, but what was read before it has %lld",
                  array->name, (long long)array->extent[0], (long long)data->count);
        return NULL;
    }
    data->count = array->extent[0];
    bool byte = array->width == 1 && array->kind != 'i', real = array->kind == 'f';
    unsigned char *from = array->bytes + array->from;
    if (array->fortran && array->rank > 1) from = data_own(data, reorder(array, from));
    size_t off = (uintptr_t)from % (size_t)array->width; /* the header is longer than that */
    if (off) from = memmove(from - off, from, (size_t)(array->total * array->width));
    if (array->big) swap(from, array->total, array->width);
    if (!byte && !real) {
        double *to = data_own(data, io_alloc((size_t)array->total, sizeof *to));
        for (int64_t i = 0; i < array->total; i++)
            to[i] = integer(from + i * array->width, array->kind, array->width);
        from = (unsigned char *)to;
    }
    DataField *field = data_field(data, role,
                                  byte ? array->kind == 'u' ? FIELD_PIXEL : FIELD_BYTE
                                  : real && array->width == 4 ? FIELD_FLOAT
                                                              : FIELD_REAL);
    data_extent(field, array->extent + 1, array->rank - 1);
    field->first = from;
    return real && !all_finite(array, field, fault) ? NULL : field;
}

/* ---- The format */
bool npy_fits(const DataFile *file) {
    return npy_looks(file->bytes, file->size);
}

bool npy_read(const GrSource *source, bool targets, Data *data, Fault *fault) {
    (void)source;
    for (int i = 0; i < (targets ? data->nfiles : 1); i++) {
        NpyArray array = {.name = data->files[i].name,
                          .bytes = data->files[i].bytes,
                          .size = data->files[i].size};
        if (!npy_header(&array, fault) ||
            !npy_field(data, &array, i ? FIELD_LABEL : FIELD_INPUT, fault))
            return false;
        if (!i) data->input_text = data_shape(array.extent + 1, array.rank - 1);
    }
    return true;
}
