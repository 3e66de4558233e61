/* SPDX-License-Identifier: MIT
 * One NumPy array in memory, for the readers of single files and of archives. Needs data.h.
 * Private to this folder. */
#ifndef GRADUS_NPY_H
#define GRADUS_NPY_H
#include "data.h"

enum { NPY_MOST_RANK = GR_MAX_RANK + 1 }; /* the examples' dimension, and those of one */

typedef struct NpyArray {
    const char *name; /* for messages */
    unsigned char *bytes;
    size_t size;
    char kind;    /* 'b' truth values, 'i' integers, 'u' without sign, 'f' floating point */
    int width;    /* bytes of a number */
    bool big, fortran;
    int rank;
    int64_t extent[NPY_MOST_RANK], total; /* total: of all extents */
    size_t from; /* where the numbers begin */
} NpyArray;

bool npy_looks(const unsigned char *bytes, size_t size);
/* Fills `array` from the header of array->bytes; every byte behind it is a number's. */
bool npy_header(NpyArray *array, Fault *fault);
/* The array as a field of `data`, an example each along its first dimension; all arrays of a source
 * have as many. The bytes are changed, and must live as long as `data`. NULL after a fault. */
DataField *npy_field(Data *data, NpyArray *array, FieldRole role, Fault *fault);
#endif
