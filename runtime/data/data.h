/* SPDX-License-Identifier: MIT
 * Data sources in memory, the table of readers, and sets of examples. Needs abi.h and io.h.
 * To add a format: a reader file here, its row in data.c, its number in abi.h. */
#ifndef GRADUS_DATA_H
#define GRADUS_DATA_H
#include "abi.h"
#include "io.h"

typedef enum FieldRole {
    FIELD_INPUT, /* what the model's first input takes */
    FIELD_LABEL, /* the label of a format that has just one */
    FIELD_COLUMN, /* a named column, perhaps bound to a name of the model */
    FIELD_KNOWN   /* what the runtime found out: a rank, the last loss */
} FieldRole;
typedef enum FieldKind {
    FIELD_REAL,  /* double */
    FIELD_PIXEL, /* byte, stands for value / 255 */
    FIELD_BYTE   /* byte, stands for itself */
} FieldKind;
typedef struct DataField {
    FieldRole role;
    FieldKind kind;
    const char *bound, *column; /* names, or NULL */
    int64_t count, stride;      /* values of one example; from one example to the next */
    const void *first;
} DataField;

/* A source that has been read: `count` examples, each with a value of every field. */
typedef struct Data {
    const char *file; /* for messages */
    char *input_text; /* what an example's input is: "28 x 28 = 784 values" */
    int64_t count;
    DataField *fields;
    int nfields;
    uint64_t hash; /* of the files' bytes, unpacked */
} Data;

/* A file of a source: its name for messages and its bytes, unpacked and ours to change. */
typedef struct DataFile {
    const char *name;
    unsigned char *bytes;
    size_t size;
} DataFile;

/* A row of the table of formats. `read` may keep the bytes; `targets` false: bound columns and
 * labels may be missing (prediction). */
typedef struct DataReader {
    const char *name;
    bool (*fits)(const DataFile *file); /* do the bytes look like it */
    bool (*read)(const GrSource *source, DataFile files[2], bool targets, Data *data, Fault *fault);
} DataReader;
extern const DataReader data_readers[]; /* by GrFormat */
extern const int data_reader_count;

bool idx_fits(const DataFile *file);
bool idx_read(const GrSource *source, DataFile files[2], bool targets, Data *data, Fault *fault);
bool csv_fits(const DataFile *file);
bool csv_read(const GrSource *source, DataFile files[2], bool targets, Data *data, Fault *fault);

void csv_free(Data *data); /* with its rows, for those who read many */

/* Where files are looked for, in this order; NULL where not given. */
typedef struct DataPlaces {
    const char *model_folder, *option, *variable;
} DataPlaces;

DataField *data_field(Data *data, FieldRole role, FieldKind kind); /* appends one */
bool data_open(const GrSource *source, const DataPlaces *places, Data *data, Fault *fault);
/* A file of any format, by its content; columns are bound as in `like` (may be NULL). */
bool data_open_file(const char *path, const GrSource *like, Data *data, Fault *fault);
void data_close(Data *data);
/* The field that feeds a program's input buffer: by name; counts and classes are checked. NULL
 * where there is none. */
const DataField *data_bind(const Data *data, const GrModel *model, const GrBuffer *buffer,
                           Fault *fault);
/* A number of each example that the runtime knows and programs read as example.NAME: made where it
 * is new, NAN everywhere. Before any program is bound to the source. */
double *data_known(Data *data, const char *name);
double data_value(const DataField *field, int64_t example, int64_t element);
uint64_t data_hash(uint64_t hash, const void *bytes, size_t size); /* FNV-1a; starts from 0 */

/* Examples of one source, by position there, rising. */
typedef struct Set {
    const char *name;
    Data *data;
    uint32_t *examples;
    int64_t count;
} Set;
/* Fills belongs[] of the examples of `from` by running the split program over them. */
typedef bool SetSplit(void *context, const GrProgram *program, const Set *from, uint8_t *belongs,
                      Fault *fault);
/* Makes the model's sets from its sources (those not needed may be unread: data->count 0 and the
 * set stays empty). What a set takes leaves the set it came from; an empty set is a fault. */
bool sets_make(const GrModel *model, Data *sources, Set *sets, SetSplit *split, void *context,
               Fault *fault);
#endif
