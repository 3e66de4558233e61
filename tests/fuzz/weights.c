/* SPDX-License-Identifier: MIT
 * libFuzzer target: safetensors. What is read lies inside the file, and is written as a file that
 * reads back the same. Needs the runtime. */
#define _GNU_SOURCE
#include "safetensors.h"
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int memory; /* a file that is none on a disk */
static volatile unsigned sum;

static void touch(const TensorFile *file) {
    for (int i = 0; i < file->ntensors; i++)
        for (int64_t k = 0; k < tensor_bytes(&file->tensors[i]); k++)
            sum += file->tensors[i].bytes[k];
    for (int i = 0; i < file->nmeta; i++)
        if (!tensors_meta(file, file->meta[i].name)) abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (!memory) memory = memfd_create("fuzz", 0);
    char path[64];
    snprintf(path, sizeof path, "/proc/self/fd/%d", memory);
    if (ftruncate(memory, 0) || pwrite(memory, data, size, 0) != (ssize_t)size) abort();
    TensorFile file;
    Fault fault = {0};
    if (tensors_read(path, &file, &fault)) {
        touch(&file);
        tensors_free(&file);
    } else if (!fault.code || !*fault.text) {
        abort(); /* refused without saying why */
    }
    return 0;
}
