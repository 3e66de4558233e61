/* SPDX-License-Identifier: MIT
 * Reads and writes safetensors: u64 little-endian header length, JSON header padded with spaces to
 * 8 bytes, then the data, whose ranges tile it exactly. Needs json.h. Converts no types. */
#include "safetensors.h"
#include "json.h"
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

enum { LONGEST_HEADER = 100000000 };
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the format is little-endian");

static const struct {
    const char *name;
    int bytes;
} types[] = {[TENSOR_F32] = {"F32", 4}, [TENSOR_F64] = {"F64", 8}, [TENSOR_U32] = {"U32", 4}};

int64_t tensor_bytes(const Tensor *tensor) {
    return tensor->type == TENSOR_OTHER ? 0 : tensor->count * types[tensor->type].bytes;
}

double tensor_number(const Tensor *tensor, int64_t at) {
    double wide;
    float narrow;
    memcpy(&narrow, tensor->bytes + 4 * at, sizeof narrow);
    if (tensor->type == TENSOR_F32) return (double)narrow;
    memcpy(&wide, tensor->bytes + 8 * at, sizeof wide);
    return wide;
}

void tensors_add(TensorFile *file, Tensor tensor) {
    size_t size = sizeof tensor * (size_t)(file->ntensors + 1);
    file->tensors = io_more(file->tensors, size);
    file->tensors[file->ntensors++] = tensor;
}

static void note(TensorFile *file, const char *name, char *value) {
    Meta *meta = io_alloc((size_t)file->nmeta + 1, sizeof *meta);
    if (file->nmeta) memcpy(meta, file->meta, sizeof *meta * (size_t)file->nmeta);
    free(file->meta);
    file->meta = meta;
    meta[file->nmeta++] = (Meta){io_format("%s", name), value};
}

void tensors_note(TensorFile *file, const char *name, const char *format, ...) {
    char value[1024];
    va_list list;
    va_start(list, format);
    vsnprintf(value, sizeof value, format, list);
    va_end(list);
    note(file, name, io_format("%s", value));
}

const Tensor *tensors_find(const TensorFile *file, const char *name) {
    for (int i = 0; i < file->ntensors; i++)
        if (!strcmp(file->tensors[i].name, name)) return &file->tensors[i];
    return NULL;
}

const char *tensors_meta(const TensorFile *file, const char *name) {
    for (int i = 0; i < file->nmeta; i++)
        if (!strcmp(file->meta[i].name, name)) return file->meta[i].value;
    return NULL;
}

void tensors_free(TensorFile *file) {
    for (int i = 0; i < file->nmeta; i++) {
        free(file->meta[i].name);
        free(file->meta[i].value);
    }
    free(file->meta);
    free(file->tensors);
    if (file->json) json_free(file->json);
    free(file->json);
    free(file->storage);
    *file = (TensorFile){0};
}

static bool read_meta(TensorFile *file, const Json *json, const char *path, Fault *fault) {
    if (json->kind != JSON_OBJECT)
        return fault_set(fault, GR_BAD_DATA, "%s: __metadata__ is no table of strings", path);
    for (int i = 0; i < json->count; i++) {
        if (json->items[i].kind != JSON_STRING)
            return fault_set(fault, GR_BAD_DATA, "%s: __metadata__ '%s' is no string", path,
                             json->names[i]);
        note(file, json->names[i], io_format("%s", json->items[i].text));
    }
    return true;
}

static bool read_shape(Tensor *tensor, const Json *shape) {
    if (!shape || shape->kind != JSON_ARRAY || shape->count > TENSOR_RANK) return false;
    tensor->rank = shape->count;
    tensor->count = 1;
    for (int i = 0; i < shape->count; i++)
        if (!json_whole(&shape->items[i], &tensor->extent[i]) ||
            __builtin_mul_overflow(tensor->count, tensor->extent[i], &tensor->count) ||
            tensor->count > INT64_MAX / 16)
            return false;
    return true;
}

typedef struct Range {
    int64_t from, to;
    const char *name;
} Range;

static bool read_tensor(TensorFile *file, const char *name, const Json *json, size_t start,
                        size_t size, Range *range, const char *path, Fault *fault) {
    Tensor tensor = {.name = name, .type = TENSOR_OTHER};
    const Json *type = json_member(json, "dtype"), *at = json_member(json, "data_offsets");
    if (json->kind != JSON_OBJECT || json->count != 3 || !type || type->kind != JSON_STRING ||
        !at || at->kind != JSON_ARRAY || at->count != 2 ||
        !json_whole(&at->items[0], &range->from) || !json_whole(&at->items[1], &range->to) ||
        !read_shape(&tensor, json_member(json, "shape")))
        return fault_set(fault, GR_BAD_DATA,
                         "%s: the header's entry for '%s' is wrong: dtype, shape and "
                         "data_offsets are wanted",
                         path, name);
    for (int i = 0; i < (int)(sizeof types / sizeof *types); i++)
        if (!strcmp(type->text, types[i].name)) tensor.type = (TensorType)i;
    if (tensor.type == TENSOR_OTHER)
        return fault_set(fault, GR_BAD_DATA, "%s: '%s' has type %s; F32, F64 and U32 are read",
                         path, name, type->text);
    if (range->to < range->from || range->to - range->from != tensor_bytes(&tensor))
        return fault_set(fault, GR_BAD_DATA, "%s: '%s' takes %lld bytes, but its range has %lld",
                         path, name, (long long)tensor_bytes(&tensor),
                         (long long)(range->to - range->from));
    if ((uint64_t)range->to > size - start)
        return fault_set(fault, GR_BAD_DATA, "%s: ends inside '%s': the file is truncated", path,
                         name);
    range->name = name;
    tensor.bytes = file->storage + start + range->from;
    tensors_add(file, tensor);
    return true;
}

static int compare_ranges(const void *a, const void *b) {
    const Range *x = a, *y = b;
    if (x->from != y->from) return x->from < y->from ? -1 : 1;
    return x->to < y->to ? -1 : x->to > y->to;
}

/* The ranges lie end to end and fill the data. */
static bool check_tiling(Range *ranges, int count, int64_t data, const char *path, Fault *fault) {
    qsort(ranges, (size_t)count, sizeof *ranges, compare_ranges);
    int64_t end = 0;
    for (int i = 0; i < count; i++) {
        if (ranges[i].from != end)
            return fault_set(fault, GR_BAD_DATA, "%s: the bytes of '%s' %s", path, ranges[i].name,
                             ranges[i].from < end ? "overlap those of another tensor"
                                                  : "come after a gap");
        end = ranges[i].to;
    }
    if (end != data)
        return fault_set(fault, GR_BAD_DATA, "%s: %lld bytes at its end belong to no tensor", path,
                         (long long)(data - end));
    return true;
}

static bool read_header(TensorFile *file, size_t size, const char *path, Fault *fault) {
    uint64_t length;
    if (size < 8)
        return fault_set(fault, GR_BAD_DATA, "%s: is no safetensors file: it has only %zu bytes",
                         path, size);
    memcpy(&length, file->storage, 8);
    if (length > LONGEST_HEADER)
        return fault_set(fault, GR_BAD_DATA,
                         "%s: is no safetensors file: its header would have "
                         "%llu bytes",
                         path, (unsigned long long)length);
    if (length > size - 8)
        return fault_set(fault, GR_BAD_DATA, "%s: ends inside its header: the file is truncated",
                         path);
    size_t start = 8 + (size_t)length;
    file->json = io_alloc(1, sizeof(Json));
    Fault inner;
    const Json *json = file->json;
    if (!length || file->storage[8] != '{' ||
        !json_read((char *)file->storage + 8, (size_t)length, file->json, &inner))
        return fault_set(fault, GR_BAD_DATA, "%s: its header is damaged%s%s", path,
                         length && file->storage[8] == '{' ? ": " : "",
                         length && file->storage[8] == '{' ? inner.text : "");
    Range *ranges = io_alloc((size_t)json->count, sizeof *ranges);
    bool ok = true;
    for (int i = 0; i < json->count && ok; i++)
        ok = !strcmp(json->names[i], "__metadata__")
                 ? read_meta(file, &json->items[i], path, fault)
                 : read_tensor(file, json->names[i], &json->items[i], start, size,
                               &ranges[file->ntensors], path, fault);
    ok = ok && check_tiling(ranges, file->ntensors, (int64_t)(size - start), path, fault);
    free(ranges);
    return ok;
}

bool tensors_read(const char *path, TensorFile *file, Fault *fault) {
    *file = (TensorFile){0};
    size_t size;
    if (!io_read_file(path, &file->storage, &size, fault)) return false;
    if (read_header(file, size, path, fault)) return true;
    tensors_free(file);
    return false;
}

static void header_text(FILE *out, const TensorFile *file, const int *order) {
    fputs("{\"__metadata__\":{", out);
    for (int i = 0; i < file->nmeta; i++) {
        if (i) fputc(',', out);
        json_quote(out, file->meta[i].name);
        fputc(':', out);
        json_quote(out, file->meta[i].value);
    }
    fputc('}', out);
    int64_t at = 0;
    for (int i = 0; i < file->ntensors; i++) {
        const Tensor *tensor = &file->tensors[order[i]];
        fputc(',', out);
        json_quote(out, tensor->name);
        fprintf(out, ":{\"dtype\":\"%s\",\"shape\":[", types[tensor->type].name);
        for (int d = 0; d < tensor->rank; d++)
            fprintf(out, "%s%lld", d ? "," : "", (long long)tensor->extent[d]);
        fprintf(out, "],\"data_offsets\":[%lld,", (long long)at);
        at += tensor_bytes(tensor);
        fprintf(out, "%lld]}", (long long)at);
    }
    fputc('}', out);
}

bool tensors_write(const char *path, const TensorFile *file, Fault *fault) {
    int *order = io_alloc((size_t)file->ntensors, sizeof *order), used = 0;
    for (int bytes = 8; bytes >= 4; bytes -= 4) /* wide ones first: all are aligned in the file */
        for (int i = 0; i < file->ntensors; i++)
            if (types[file->tensors[i].type].bytes == bytes) order[used++] = i;
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    if (!out) return fault_set(fault, GR_FAILED, "%s: out of memory while writing", path);
    header_text(out, file, order);
    while (ftell(out) % 8)
        fputc(' ', out);
    bool bad = ferror(out) != 0;
    if (fclose(out) || bad || !text) {
        free(text);
        free(order);
        return fault_set(fault, GR_FAILED, "%s: out of memory while writing", path);
    }
    uint64_t length = size;
    Writer writer;
    bool ok = writer_open(&writer, path, fault);
    if (ok) {
        fwrite(&length, 8, 1, writer.file);
        fwrite(text, 1, size, writer.file);
        for (int i = 0; i < file->ntensors && !ferror(writer.file); i++) {
            const Tensor *tensor = &file->tensors[order[i]];
            fwrite(tensor->bytes, 1, (size_t)tensor_bytes(tensor), writer.file);
        }
        ok = writer_commit(&writer, fault);
    }
    free(text);
    free(order);
    return ok;
}
