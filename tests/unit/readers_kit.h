/* SPDX-License-Identifier: MIT
 * What tests of readers share: sources of files in memory, faults, the numbers of numpy/record.py.
 * Needs Criterion and data.h. Included once by a test. */
#include "data.h"
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#define FOLDER SOURCE_DIR "/tests/unit/numpy/"
#define BYTES(text) text, sizeof text - 1
static const DataPlaces nowhere = {NULL, NULL, NULL};

/* A source of files that are in memory. */
typedef struct Given {
    GrFile files[3];
    GrSource source;
} Given;

static inline Given given(const char *format, const void *bytes, size_t size) {
    return (Given){.files = {{"a", bytes, (int64_t)size}, {"b", NULL, 0}, {"c", NULL, 0}},
                   .source = {.format = format, .nfiles = 1}};
}

static inline bool opens(Given *from, Data *data, Fault *fault) {
    from->source.files = from->files;
    return data_open(&from->source, &nowhere, data, fault);
}

static inline void reads(Given *from, Data *data) {
    Fault fault = {0};
    cr_assert(opens(from, data, &fault), "%s", fault.text);
}

static inline void fails(Given *from, const char *told) {
    Data data;
    Fault fault = {0};
    cr_assert(!opens(from, &data, &fault), "not refused: %s", told);
    cr_assert(strstr(fault.text, told), "'%s' does not say '%s'", fault.text, told);
    cr_assert_eq(fault.code, GR_BAD_DATA);
    data_close(&data);
}

/* Checks one array of the recordings by its name, b1C or i4beF: kind, width, byte order. */
static inline void check_numbers(const Data *data, const DataField *field, const char *name) {
    double shift = *name == 'i' ? -5 : *name == 'f' ? -4.75 : 0;
    cr_assert(data->count == 4 && field->count == 6 && field->rank == 2, "%s", name);
    cr_assert(field->extent[0] == 2 && field->extent[1] == 3, "%s", name);
    for (int i = 0; i < 4; i++)
        for (int j = 0; j < 2; j++)
            for (int k = 0; k < 3; k++) {
                int count = 7 * i + 3 * j + k;
                double wanted = *name == 'b' ? count % 2 : count + shift;
                if (field->kind == FIELD_PIXEL) wanted = count / 255.0;
                cr_assert_eq(data_value(field, i, j * 3 + k), wanted, "%s[%d, %d, %d]", name, i, j,
                             k);
            }
}
