/* SPDX-License-Identifier: MIT
 * The safetensors format: named row-major tensors and a table of strings in one file.
 * Needs json.h. Knows nothing of models. */
#ifndef GRADUS_SAFETENSORS_H
#define GRADUS_SAFETENSORS_H
#include "io.h"

typedef enum TensorType { TENSOR_F32, TENSOR_F64, TENSOR_U32, TENSOR_OTHER } TensorType;
enum { TENSOR_RANK = 8 };
typedef struct Tensor {
    const char *name;
    TensorType type;
    int rank;
    int64_t extent[TENSOR_RANK];
    int64_t count;              /* elements */
    const unsigned char *bytes; /* little-endian, not aligned */
} Tensor;
typedef struct Meta {
    char *name, *value;
} Meta;
typedef struct TensorFile {
    Tensor *tensors;
    int ntensors;
    Meta *meta;
    int nmeta;
    unsigned char *storage; /* what a read file's names and bytes lie in */
    void *json;
} TensorFile;

int64_t tensor_bytes(const Tensor *tensor);
double tensor_number(const Tensor *tensor, int64_t at); /* of one of F32 or F64 */
/* Strict: every violation is a fault, and then nothing is loaded. */
bool tensors_read(const char *path, TensorFile *file, Fault *fault);
/* Whole or not at all; the order in the file is by element size, as given within. */
bool tensors_write(const char *path, const TensorFile *file, Fault *fault);
void tensors_free(TensorFile *file);
void tensors_add(TensorFile *file, Tensor tensor);
void tensors_note(TensorFile *file, const char *name, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
const Tensor *tensors_find(const TensorFile *file, const char *name);
const char *tensors_meta(const TensorFile *file, const char *name); /* NULL where absent */
#endif
