/* SPDX-License-Identifier: MIT
 * libFuzzer target: every reader of the table of data formats, and gzip before it.
 * Needs the runtime. An input: the number of the reader, flags (1: targets are wanted, 2: unpack it
 * first), the size of the second file in two bytes (the low one first), then the first file and the
 * second. What is read lies in memory: every value of every field is touched. */
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

static DataFile file_of(const char *name, const uint8_t *bytes, size_t size) {
    DataFile file = {name, malloc(size + 1), size};
    if (!file.bytes) abort();
    memcpy(file.bytes, bytes, size);
    file.bytes[size] = 0;
    return file;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < 4) return 0;
    int format = data[0] % data_reader_count;
    bool targets = data[1] & 1, unpack = data[1] & 2;
    size_t second = (size_t)data[2] | (size_t)data[3] << 8;
    data += 4, size -= 4;
    if (second > size) second = size;
    static const GrColumn columns[] = {{.name = "kind", .column = "kind"}};
    GrSource source = {.format = format, .columns = columns, .ncolumns = 1};
    DataFile files[2] = {file_of("first", data, size - second), {0}};
    if (second) files[1] = file_of("second", data + size - second, second);
    Data read = {.file = "first"};
    Fault fault = {0};
    bool fine = !unpack || io_gunzip("first", &files[0].bytes, &files[0].size, &fault);
    if (fine && data_readers[format].fits(&files[0]))
        fine = data_readers[format].read(&source, files, targets, &read, &fault);
    if (!fine && (!fault.code || !*fault.text)) abort(); /* refused without saying why */
    if (fine) touch(&read);
    if (format == GR_CSV)
        csv_free(&read);
    else
        data_close(&read);
    free(files[0].bytes);
    free(files[1].bytes);
    return 0;
}
