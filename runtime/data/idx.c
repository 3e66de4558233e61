/* SPDX-License-Identifier: MIT
 * The idx format (MNIST): a big-endian header and unsigned bytes; images, and labels in a second
 * file. Needs data.h. Strict: every byte is accounted for. */
#include "data.h"

enum { UNSIGNED_BYTE = 0x08, MOST_DIMENSIONS = 8 };

typedef struct IdxHeader {
    int rank;
    int64_t extent[MOST_DIMENSIONS], each; /* each: bytes of one example */
    size_t size;
} IdxHeader;

bool idx_fits(const DataFile *file) {
    return file->size >= 4 && !file->bytes[0] && !file->bytes[1] && file->bytes[2] >= 0x08 &&
           file->bytes[2] <= 0x0e && file->bytes[3] >= 1 && file->bytes[3] <= MOST_DIMENSIONS;
}

static bool read_header(const DataFile *file, IdxHeader *header, Fault *fault) {
    const unsigned char *bytes = file->bytes;
    if (file->size < 4 || bytes[0] || bytes[1])
        return fault_set(fault, GR_BAD_DATA,
                         "%s: is no idx file: it must begin with two zero bytes, a type and the "
                         "number of dimensions",
                         file->name);
    if (bytes[2] != UNSIGNED_BYTE)
        return fault_set(fault, GR_BAD_DATA,
                         "%s: holds elements of type 0x%02x; only unsigned bytes (0x08) are read",
                         file->name, bytes[2]);
    header->rank = bytes[3];
    if (header->rank < 1 || header->rank > MOST_DIMENSIONS)
        return fault_set(fault, GR_BAD_DATA, "%s: says that it has %d dimensions; 1 to %d are read",
                         file->name, header->rank, MOST_DIMENSIONS);
    header->size = 4 + 4 * (size_t)header->rank;
    if (file->size < header->size)
        return fault_set(fault, GR_BAD_DATA, "%s: ends inside its header: the file is truncated",
                         file->name);
    header->each = 1;
    for (int i = 0; i < header->rank; i++) {
        const unsigned char *at = bytes + 4 + 4 * i;
        header->extent[i] = (int64_t)at[0] << 24 | at[1] << 16 | at[2] << 8 | at[3];
        if (i && __builtin_mul_overflow(header->each, header->extent[i], &header->each))
            return fault_set(fault, GR_BAD_DATA, "%s: its dimensions are impossibly large",
                             file->name);
    }
    int64_t total;
    if (__builtin_mul_overflow(header->each, header->extent[0], &total) || total > INT64_MAX - 64)
        return fault_set(fault, GR_BAD_DATA, "%s: its dimensions are impossibly large", file->name);
    if (!total) return fault_set(fault, GR_BAD_DATA, "%s: holds no examples", file->name);
    int64_t promised = (int64_t)header->size + total;
    if ((int64_t)file->size != promised)
        return fault_set(fault, GR_BAD_DATA,
                         "%s: its header promises %lld bytes, but it has %zu: %s", file->name,
                         (long long)promised, file->size,
                         (int64_t)file->size < promised ? "the file is truncated"
                                                        : "there is something after its end");
    return true;
}

bool idx_read(const GrSource *source, bool targets, Data *data, Fault *fault) {
    (void)source;
    const DataFile *files = data->files;
    IdxHeader images, labels;
    if (!read_header(&files[0], &images, fault)) return false;
    data->count = images.extent[0];
    data->input_text = data_shape(images.extent + 1, images.rank - 1);
    DataField *field = data_field(data, FIELD_INPUT, FIELD_PIXEL);
    data_extent(field, images.extent + 1, images.rank - 1);
    field->first = files[0].bytes + images.size;
    if (!targets || data->nfiles < 2) return true;
    if (!read_header(&files[1], &labels, fault)) return false;
    if (labels.rank != 1)
        return fault_set(fault, GR_BAD_DATA,
                         "%s: has %d dimensions; labels have one: are images and labels swapped?",
                         files[1].name, labels.rank);
    if (labels.extent[0] != images.extent[0])
        return fault_set(fault, GR_BAD_DATA, "%s: has %lld labels, but %s has %lld images",
                         files[1].name, (long long)labels.extent[0], files[0].name,
                         (long long)images.extent[0]);
    field = data_field(data, FIELD_LABEL, FIELD_BYTE);
    field->count = field->stride = 1;
    field->first = files[1].bytes + labels.size;
    return true;
}
