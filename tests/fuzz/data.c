/* SPDX-License-Identifier: MIT
 * libFuzzer target: every reader of the table of data formats, and gzip before it.
 * Needs the runtime. An input: the number of the reader, flags (1: targets are wanted, 2: unpack it
 * first, 4: a name is bound), the size of the second file in two bytes (the low one first), then the
 * first file and the second. What is read lies in memory: every value of every field is touched. */
#include "data.h"
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static volatile double sum;

static void touch(const Data *data) {
    for (int i = 0; i < data->nfields; i++)
        for (int64_t k = 0; k < data->count; k++)
            for (int64_t e = 0; e < data->fields[i].count; e++)
                sum += data_value(&data->fields[i], k, e);
}

static void put_file(Data *to, const char *name, const uint8_t *bytes, size_t size) {
    DataFile *file = data_file(to, name);
    file->bytes = malloc(size + 1);
    if (!file->bytes) abort();
    file->size = size;
    memcpy(file->bytes, bytes, size);
    file->bytes[size] = 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < 4) return 0;
    const DataReader *reader = &data_readers[data[0] % data_reader_count];
    bool targets = data[1] & 1, unpack = data[1] & 2, bound = data[1] & 4;
    size_t second = (size_t)data[2] | (size_t)data[3] << 8;
    data += 4, size -= 4;
    if (second > size) second = size;
    static const GrColumn columns[] = {{.name = "kind", .column = "kind"}},
                          fine[] = {{.name = "kind", .column = "fine"}};
    GrSource source = {.format = reader->name,
                       .columns = strcmp(reader->name, "cifar") ? columns : fine,
                       .ncolumns = bound};
    Data read = {0};
    Fault fault = {0};
    put_file(&read, "first", data, size - second);
    if (second) put_file(&read, "second", data + size - second, second);
    DataFile *first = &read.files[0];
    bool ok = (!unpack || io_gunzip("first", &first->bytes, &first->size, &fault)) &&
              (sum += reader->fits(first), data_read(&source, targets, &read, &fault));
    if (!ok && (!fault.code || !*fault.text)) abort(); /* refused without saying why */
    if (ok && read.count < 1) abort();
    if (ok) touch(&read);
    data_close(&read);
    return 0;
}
